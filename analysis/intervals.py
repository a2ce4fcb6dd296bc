"""Confidence intervals: hierarchical paired bootstrap over seeds, members and images.

Every replicate resamples fits (outer), within each drawn fit the members (inner), and once for all of them the
images (crossed). Original and reconstruction are resampled together, which makes the comparison paired. A
resample is a vector of counts, so that a replicate is two products with the table of what happened for each
member on each image.

Shape letters: S fits that differ in their seed, M members, N images, B replicates, G groups of members.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

IMAGE, FIT, MEMBER = 0, 1, 2


@dataclass(frozen=True, slots=True)
class Interval:
    """An estimate with its confidence interval, in the unit of the table it was made from."""

    estimate: float
    low: float
    high: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Bootstrap:
    """How replicates are drawn.

    Attributes:
        replicates: Number of replicates.
        level: Coverage of the interval.
        seed: Seed of the draws; equal seeds give equal draws, so that codecs are compared on the same ones.
    """

    replicates: int = 1000
    level: float = 0.95
    seed: int = 0

    def __post_init__(self) -> None:
        if self.replicates < 2:
            raise ValueError(f"Bootstrap.replicates is {self.replicates}; allowed: 2 or more")
        if not 0 < self.level < 1:
            raise ValueError(f"Bootstrap.level is {self.level}; allowed: between 0 and 1")

    def interval(
        self,
        values: np.ndarray,
        *,
        absolute: bool = False,
        groups_M: np.ndarray | None = None,
        part_MN: np.ndarray | None = None,
    ) -> Interval:
        """Interval of the mean over members of the mean over images, or of its absolute value.

        Args:
            values: ``[M, N]``, or ``[S, M, N]`` for several fits: what happened for a member on an image
                (1 where predictions agree; original minus reconstruction of what is right; a divergence).
            absolute: Take the absolute value of each member's mean over images before averaging members.
            groups_M: For each member, the number of its group; members of one group (that share a minibatch
                order, say) are resampled together. Each member is its own group where ``None``.
            part_MN: Which images count for each member, where not all do; each member needs one.

        Returns:
            The estimate and its interval. Replicates are shifted so that their mean is the estimate: resampling
            images inflates an absolute value, and an interval that leaves out its estimate helps nobody.

        Raises:
            ValueError: The table is empty or holds something that is not finite.
        """
        values_SMN = np.asarray(values, dtype=np.float32)
        values_SMN = values_SMN[None] if values_SMN.ndim == 2 else values_SMN
        if values_SMN.ndim != 3 or not values_SMN.size:
            raise ValueError(f"the table has shape {np.shape(values)}; expected [members, images] or [fits, ...]")
        if not np.isfinite(values_SMN).all():
            raise ValueError("the table holds values that are not finite; leave out those members first")
        if part_MN is not None:
            if part_MN.shape != values_SMN.shape[1:] or not part_MN.any(1).all():
                raise ValueError(f"part_MN has shape {part_MN.shape}; expected one image or more for each member")
            values_SMN = values_SMN * part_MN
        means_SM = member_means(values_SMN, part_MN)
        replicates_B = self._replicates(values_SMN, absolute, groups_M, part_MN, means_SM)
        estimate = float((np.abs(means_SM) if absolute else means_SM).mean())
        tail = (1 - self.level) / 2
        ends = np.quantile(replicates_B, (tail, 1 - tail)) + (estimate - replicates_B.mean())
        # A mean lies between the extremes; shifts and rounding must not take it further.
        extremes = np.abs(values_SMN) if absolute else values_SMN
        low, high = np.clip(ends, 0 if absolute else extremes.min(), extremes.max())
        return Interval(estimate, min(float(low), estimate), max(float(high), estimate))

    def of_statistics(
        self,
        statistics: Callable[[int, np.ndarray], Mapping[str, float]],
        members: int,
        *,
        fits: int = 1,
        groups_M: np.ndarray | None = None,
    ) -> dict[str, Interval]:
        """Percentile intervals of statistics that are no means, such as a correlation over members.

        Args:
            statistics: ``(fit, rows of members) -> values by name``.
            members: M.
            fits: How many fits there are; each replicate averages over fits drawn with replacement.
            groups_M: Members that are resampled together, as in :meth:`interval`.
        """
        groups_M = np.arange(members) if groups_M is None else np.unique(groups_M, return_inverse=True)[1]
        whole = [statistics(fit, np.arange(members)) for fit in range(fits)]
        drawn_BS = np.random.default_rng((self.seed, FIT)).integers(fits, size=(self.replicates, fits))
        replicates: dict[str, list[float]] = {name: [] for name in whole[0]}
        counts = [self._counts(MEMBER, int(groups_M.max()) + 1, place) for place in range(fits)]
        for replicate, drawn_S in enumerate(drawn_BS):
            parts = [
                statistics(int(fit), np.repeat(np.arange(members), count_BG[replicate][groups_M].astype(np.int64)))
                for fit, count_BG in zip(drawn_S, counts, strict=True)
            ]
            for name, values in replicates.items():
                values.append(float(np.mean([part[name] for part in parts])))
        tail = (1 - self.level) / 2
        found = {}
        for name, values in replicates.items():
            estimate = float(np.mean([part[name] for part in whole]))
            low, high = np.quantile(values, (tail, 1 - tail))
            found[name] = Interval(estimate, min(float(low), estimate), max(float(high), estimate))
        return found

    def _replicates(
        self,
        values_SMN: np.ndarray,
        absolute: bool,
        groups_M: np.ndarray | None,
        part_MN: np.ndarray | None,
        means_SM: np.ndarray,
    ) -> np.ndarray:
        """The statistic of each replicate, ``[B]`` float64."""
        fits, members, images = values_SMN.shape
        groups_M = np.arange(members) if groups_M is None else np.unique(groups_M, return_inverse=True)[1]
        count_NB = self._counts(IMAGE, images).T
        means_SMB = values_SMN @ (count_NB / np.float32(images))
        if part_MN is not None:
            drawn_MB = part_MN.astype(np.float32) @ (count_NB / np.float32(images))
            # A member of whose images none is drawn keeps its own mean.
            means_SMB = np.where(drawn_MB > 0, means_SMB / np.maximum(drawn_MB, 1e-30), means_SM[..., None])
        if absolute:
            np.abs(means_SMB, out=means_SMB)
        drawn_BS = np.random.default_rng((self.seed, FIT)).integers(fits, size=(self.replicates, fits))
        total_B = np.zeros(self.replicates)
        for place in range(fits):
            count_BM = self._counts(MEMBER, int(groups_M.max()) + 1, place)[:, groups_M]
            means_BM = means_SMB[drawn_BS[:, place], :, np.arange(self.replicates)]
            total_B += (count_BM * means_BM).sum(1, dtype=np.float64) / count_BM.sum(1)
        return total_B / fits

    def _counts(self, purpose: int, size: int, place: int = 0) -> np.ndarray:
        """How often each of ``size`` things is drawn, ``[B, size]``; rows sum to ``size``."""
        return _counts(self.seed, purpose, place, self.replicates, size)


def member_means(values: np.ndarray, part_MN: np.ndarray | None = None) -> np.ndarray:
    """Each member's mean over its images, float64: ``[..., M]`` of ``[..., M, N]``."""
    if part_MN is None:
        means: np.ndarray = values.mean(-1, dtype=np.float64)
        return means
    return (values * part_MN).sum(-1, dtype=np.float64) / part_MN.sum(-1)


@functools.lru_cache(maxsize=8)
def _counts(seed: int, purpose: int, place: int, replicates: int, size: int) -> np.ndarray:
    """A pure function of its arguments, kept because every codec is compared on the same draws."""
    generator = np.random.default_rng((seed, purpose, place))
    counts_BK = generator.multinomial(size, np.full(size, 1 / size), size=replicates).astype(np.float32)
    counts_BK.flags.writeable = False
    return counts_BK
