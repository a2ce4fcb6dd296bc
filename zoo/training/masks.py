"""Dropout factors as torch operations on a device, which a step can capture; see ``zoo.training.dropout``.

Torch has signed words only, so both sides of a comparison are shifted by 2**31.

Shape letters: M members, B batch.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from zoo.population import Member
from zoo.streams import Purpose
from zoo.training.draws import DeviceDraws, signed
from zoo.training.dropout import drop_thresholds, keep_factors, require_counters

SIGN = np.uint32(1 << 31)


class DeviceDropout(DeviceDraws):
    """Dropout of one group of members."""

    def __init__(self, members: Sequence[Member], units: int, batch: int, device: torch.device) -> None:
        """Prepares what is the same in every step.

        Args:
            members: Whose seeds and probabilities are used.
            units: Units of all activations together.
            batch: Examples a step.
            device: Where.
        """
        require_counters(units, batch)
        super().__init__(Purpose.DROPOUT, [member.seed for member in members], units * batch, device)
        rates = [member.dropout for member in members]
        self.shape = (len(members), units, batch)
        thresholds = (drop_thresholds(rates) ^ SIGN).view(np.int32)
        self.thresholds_M1 = torch.from_numpy(thresholds).to(device)[:, None]
        self.factors_M1 = torch.from_numpy(keep_factors(rates)).to(device)[:, None]
        self.result = torch.empty(self.draws.shape, device=device)

    def factors(self, step: Tensor) -> Tensor:
        """What dropout multiplies the outputs of activations by in one step, float32 ``[M, units, B]``.

        That is 0 with the member's probability, else 1/(1 - p). Units are numbered through the activations in order,
        each output flattened as torch does. Valid until the next step.

        Args:
            step: The step, int64 ``[1]`` on the device.
        """
        draws = self.words(step).bitwise_xor_(signed(int(SIGN)))
        torch.ge(draws, self.thresholds_M1, out=self.result)
        return self.result.mul_(self.factors_M1).view(self.shape)
