"""Which member has which lane, and members' numbers side by side.

Shape letters: M members, P parameters, S steps, V groups of sixteen, L lanes (16), K settings.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from zoo.population import Member
from zoo.streams import Purpose
from zoo.training.dropout import drop_thresholds, keep_factors, step_keys
from zoo.training.lanes.codes import LANES

__all__ = ["LANES", "Lanes", "lane_members"]


def lane_members(members: int, block: int) -> np.ndarray:
    """Which member has which lane: int64 ``[V, L]``, -1 for lanes that nobody has.

    Members of one block see the same examples, so that groups of one block are faster: those come first, and what is
    left of all blocks shares groups.
    """
    rows_GK = np.arange(members).reshape(-1, block)
    whole = block // LANES * LANES
    taken = np.full(-(-members // LANES) * LANES, -1, dtype=np.int64)
    taken[:members] = np.concatenate([rows_GK[:, :whole].ravel(), rows_GK[:, whole:].ravel()])
    return taken.reshape(-1, LANES)


class Lanes:
    """Members of blocks in their lanes. Lanes that nobody has hold zeros and see some block's examples.

    Attributes:
        member_VL: The member of each lane, -1 where there is none.
        block_VL: The block whose examples each lane sees.
    """

    def __init__(self, members: int, block: int) -> None:
        self.members = members
        self.member_VL = lane_members(members, block)
        self.filled_VL = self.member_VL >= 0
        self.block_VL = np.where(self.filled_VL, self.member_VL, self.member_VL[:, :1]) // block

    def __len__(self) -> int:
        return len(self.member_VL)

    def spread(self, values_MX: np.ndarray, out_VXL: np.ndarray) -> np.ndarray:
        """Puts one row a member into lanes; the inverse of :meth:`gather`."""
        for group, (rows, filled) in enumerate(zip(self.member_VL, self.filled_VL, strict=True)):
            out_VXL[group][:, filled] = values_MX[rows[filled]].T
        return out_VXL

    def gather(self, values_VXL: np.ndarray, out_MX: np.ndarray) -> np.ndarray:
        """Puts what is in lanes into one row a member."""
        for group, (rows, filled) in enumerate(zip(self.member_VL, self.filled_VL, strict=True)):
            out_MX[rows[filled]] = values_VXL[group][:, filled].T
        return out_MX

    def settings(self, members: Sequence[Member]) -> np.ndarray:
        """Learning rate, weight decay, dropout's factor for kept units and its inverse: float32 ``[V, K, L]``."""
        keep_M = keep_factors([member.dropout for member in members])
        columns = [
            [member.learning_rate for member in members],
            [member.weight_decay for member in members],
            keep_M,
            1 - np.array([member.dropout for member in members]),
        ]
        settings_MK = np.stack([np.asarray(column, dtype=np.float32) for column in columns], axis=1)
        return self.spread(settings_MK, np.zeros((len(self), len(columns), LANES), dtype=np.float32))

    def thresholds(self, members: Sequence[Member]) -> np.ndarray:
        """Of dropout: int32 ``[V, L]`` with the bits of uint32."""
        thresholds_M1 = drop_thresholds([member.dropout for member in members])[:, None]
        return self.spread(thresholds_M1, np.zeros((len(self), 1, LANES), dtype=np.uint32))[:, 0].view(np.int32)

    def keys(self, purpose: Purpose, members: Sequence[Member], epoch: int, steps: int) -> np.ndarray:
        """Of draws for a purpose: int32 ``[V, S, 2, L]`` with the bits of uint32."""
        keys_SM2 = step_keys(purpose, [member.seed for member in members], epoch, np.arange(steps))
        keys_MX = keys_SM2.transpose(1, 0, 2).reshape(self.members, -1)
        keys_VXL = self.spread(keys_MX, np.zeros((len(self), keys_MX.shape[1], LANES), dtype=np.uint32))
        return keys_VXL.view(np.int32).reshape(len(self), steps, 2, LANES)
