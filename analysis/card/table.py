"""The table of a zoo, without weights: what the card computes over all of its snapshots.

Shape letters: M members, R rows (snapshots).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
import pyarrow as pa

from analysis.card.distributions import distribution
from analysis.card.record import EpochFacts
from zoo.storage.rows import METRIC_COLUMNS
from zoo.storage.zoo import Zoo

METRICS = (*METRIC_COLUMNS, "generalization_gap")


@dataclass(frozen=True, kw_only=True)
class ZooTable:
    """The zoo's table.

    Attributes:
        member_R: Member of each row.
        epoch_R: Its epoch.
        diverged_R: Whether it diverged.
        metrics: Metrics of each row.
        last_M: For each member, its row of the highest epoch.
        last: These rows, without lists; metrics of those that diverged are NaN.
    """

    member_R: np.ndarray
    epoch_R: np.ndarray
    diverged_R: np.ndarray
    metrics: Mapping[str, np.ndarray]
    last_M: np.ndarray
    last: pd.DataFrame

    @classmethod
    def of(cls, zoo: Zoo) -> ZooTable:
        table = zoo.snapshots
        member_R, epoch_R = table["member"].to_numpy(), table["epoch"].to_numpy()
        diverged_R = table["diverged"].to_numpy()
        # Rows are sorted by member, then epoch.
        last_M = np.flatnonzero(np.r_[member_R[1:] != member_R[:-1], True])
        flat = [field.name for field in table.schema if not pa.types.is_list(field.type)]
        last = table.select(flat).take(pa.array(last_M)).to_pandas()
        last.loc[diverged_R[last_M], list(METRICS)] = np.nan
        metrics = {name: table[name].to_numpy() for name in METRICS}
        return cls(member_R=member_R, epoch_R=epoch_R, diverged_R=diverged_R, metrics=metrics, last_M=last_M, last=last)

    def epochs(self) -> tuple[EpochFacts, ...]:
        """Describes each epoch."""
        found = []
        for epoch in np.unique(self.epoch_R):
            rows = np.flatnonzero(self.epoch_R == epoch)
            kept = rows[~self.diverged_R[rows]]
            found.append(
                EpochFacts(
                    epoch=int(epoch),
                    snapshots=len(rows),
                    diverged=len(rows) - len(kept),
                    metrics={name: distribution(values_R[kept]) for name, values_R in self.metrics.items()},
                )
            )
        return tuple(found)
