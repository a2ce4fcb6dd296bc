"""Random draws of a training step as torch operations on a device, which a step can capture.

They are the hash of ``zoo.training.dropout``, which works on unsigned 32-bit words. Torch computes with signed ones,
whose sums and products have the same bits; a logical shift is an arithmetic one with the copies of the sign masked
off.

Shape letters: M members, S steps, K draws.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from zoo.streams import Purpose
from zoo.training.device import Stepper
from zoo.training.dropout import (
    FIRST_FACTOR,
    FIRST_SHIFT,
    LAST_SHIFT,
    SECOND_FACTOR,
    SECOND_SHIFT,
    step_keys,
)

# As many bits of a word as a float32 has; the others are cut off.
CUT_BITS = 8


class DeviceDraws:
    """Draws for one purpose of one group of members, as many in each step.

    Attributes:
        keys: The hash's keys for each step of the present epoch, int32 ``[S, M, 2]``.
    """

    def __init__(self, purpose: Purpose, seeds: Sequence[int], count: int, device: torch.device) -> None:
        """Prepares what is the same in every step.

        Args:
            purpose: What the draws are for.
            seeds: Of each member.
            count: Draws of a member in a step.
            device: Where.
        """
        self.purpose = purpose
        self.seeds = list(seeds)
        self.counters = torch.from_numpy(np.arange(count, dtype=np.uint32).view(np.int32)).to(device)
        self.keys = torch.empty(0, len(seeds), 2, dtype=torch.int32, device=device)
        self.draws = torch.empty(len(seeds), count, dtype=torch.int32, device=device)
        self.shifted = torch.empty_like(self.draws)

    def begin_epoch(self, stepper: Stepper, epoch: int, steps: int) -> None:
        """Puts the keys of an epoch on the device; the number of steps is the same every time."""
        if not len(self.keys):
            self.keys = torch.empty(steps, *self.keys.shape[1:], dtype=torch.int32, device=self.keys.device)
        stepper.put(self.keys, step_keys(self.purpose, self.seeds, epoch, np.arange(steps)).view(np.int32))

    def words(self, step: Tensor) -> Tensor:
        """The draws of one step, int32 ``[M, K]`` with the bits of uint32. Valid until the next call.

        Args:
            step: The step within the epoch, int64 ``[1]`` on the device.
        """
        keys_M2 = self.keys.index_select(0, step)[0]
        torch.add(self.counters, keys_M2[:, :1], out=self.draws)
        self._xor_shifted(FIRST_SHIFT)
        self.draws.mul_(signed(FIRST_FACTOR)).add_(keys_M2[:, 1:])
        self._xor_shifted(SECOND_SHIFT)
        self.draws.mul_(signed(SECOND_FACTOR))
        self._xor_shifted(LAST_SHIFT)
        return self.draws

    def uniform(self, step: Tensor) -> Tensor:
        """The draws of one step as numbers between -1 and 1, neither of them among these: float32 ``[M, K]``."""
        whole = torch.bitwise_right_shift(self.words(step), CUT_BITS)
        return whole.float().add_(0.5).mul_(2.0 ** (CUT_BITS - 31))

    def _xor_shifted(self, shift: int) -> None:
        """``draws ^= draws >> shift`` for unsigned words."""
        torch.bitwise_right_shift(self.draws, shift, out=self.shifted)
        self.draws.bitwise_xor_(self.shifted.bitwise_and_((1 << (32 - shift)) - 1))


def signed(word: int) -> int:
    """The int32 with the bits of an unsigned word."""
    return word - (1 << 32) if word >= 1 << 31 else word
