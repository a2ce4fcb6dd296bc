"""Dropout factors as torch operations on a device, which a step can capture; see ``zoo.training.dropout``.

The hash works on unsigned 32-bit words. Torch computes with signed ones, whose sums and products have the same bits;
a logical shift is an arithmetic one with the copies of the sign masked off, and the comparison has both sides shifted
by 2**31.

Shape letters: M members, S steps, B batch.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from zoo.population import Member
from zoo.training.device import Stepper
from zoo.training.dropout import (
    FIRST_FACTOR,
    FIRST_SHIFT,
    LAST_SHIFT,
    SECOND_FACTOR,
    SECOND_SHIFT,
    drop_thresholds,
    dropout_keys,
    keep_factors,
    require_counters,
)

SIGN = np.uint32(1 << 31)


class DeviceDropout:
    """Dropout of one group of members.

    Attributes:
        keys: The hash's keys for each step of the present epoch, int32 ``[S, M, 2]``.
    """

    def __init__(self, members: Sequence[Member], units: int, batch: int, device: torch.device) -> None:
        """Prepares what is the same in every step.

        Args:
            members: Whose seeds and probabilities are used.
            units: Units of all activations together.
            batch: Examples a step.
            device: Where.
        """
        require_counters(units, batch)
        rates = [member.dropout for member in members]
        self.shape = (len(members), units, batch)
        self.seeds = [member.seed for member in members]
        self.counters = torch.from_numpy(np.arange(units * batch, dtype=np.uint32).view(np.int32)).to(device)
        thresholds = (drop_thresholds(rates) ^ SIGN).view(np.int32)
        self.thresholds_M1 = torch.from_numpy(thresholds).to(device)[:, None]
        self.factors_M1 = torch.from_numpy(keep_factors(rates)).to(device)[:, None]
        self.keys = torch.empty(0, len(members), 2, dtype=torch.int32, device=device)
        self.draws = torch.empty(len(members), units * batch, dtype=torch.int32, device=device)
        self.shifted = torch.empty_like(self.draws)
        self.result = torch.empty(self.draws.shape, device=device)

    def begin_epoch(self, stepper: Stepper, epoch: int, steps: int) -> None:
        """Puts the keys of an epoch on the device; the number of steps is the same every time."""
        if not len(self.keys):
            self.keys = torch.empty(steps, *self.keys.shape[1:], dtype=torch.int32, device=self.keys.device)
        stepper.put(self.keys, dropout_keys(self.seeds, epoch, np.arange(steps)).view(np.int32))

    def factors(self, step: Tensor) -> Tensor:
        """What dropout multiplies the outputs of activations by in one step, float32 ``[M, units, B]``.

        That is 0 with the member's probability, else 1/(1 - p). Units are numbered through the activations in order,
        each output flattened as torch does. Valid until the next step.

        Args:
            step: The step, int64 ``[1]`` on the device.
        """
        keys_M2 = self.keys.index_select(0, step)[0]
        torch.add(self.counters, keys_M2[:, :1], out=self.draws)
        self._xor_shifted(FIRST_SHIFT)
        self.draws.mul_(_signed(FIRST_FACTOR)).add_(keys_M2[:, 1:])
        self._xor_shifted(SECOND_SHIFT)
        self.draws.mul_(_signed(SECOND_FACTOR))
        self._xor_shifted(LAST_SHIFT)
        self.draws.bitwise_xor_(_signed(int(SIGN)))
        torch.ge(self.draws, self.thresholds_M1, out=self.result)
        return self.result.mul_(self.factors_M1).view(self.shape)

    def _xor_shifted(self, shift: int) -> None:
        """``draws ^= draws >> shift`` for unsigned words."""
        torch.bitwise_right_shift(self.draws, shift, out=self.shifted)
        self.draws.bitwise_xor_(self.shifted.bitwise_and_((1 << (32 - shift)) - 1))


def _signed(word: int) -> int:
    """The int32 with the bits of an unsigned word."""
    return word - (1 << 32) if word >= 1 << 31 else word
