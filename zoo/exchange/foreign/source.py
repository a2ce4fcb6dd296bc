"""What a reader of a foreign format gives: networks, what is known of them, and their snapshots.

Shape letters: M networks, E epochs, P parameters.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np

from zoo.architecture import Architecture
from zoo.population import Member
from zoo.storage.rows import METRIC_COLUMNS

LAST_EPOCH = 2**31 - 1


@dataclass(frozen=True, kw_only=True)
class ForeignNetwork:
    """One network of a source.

    Attributes:
        origin: What the source calls it.
        architecture: Its architecture.
        known: Fields of ``zoo.population.Member`` that the source tells, in its meaning of them.
        original: Everything that the source says of it, as JSON values.
    """

    origin: str
    architecture: Architecture
    known: Mapping[str, Any]
    original: Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class ForeignSnapshots:
    """Snapshots of some networks at all epochs of a source.

    Attributes:
        weights_MEP: Weights, float32.
        metrics: For each of ``METRIC_COLUMNS`` float64 ``[M, E]``, NaN where the source does not say.
        steps_ME: Optimizer steps done, or ``None`` where the source does not say.
        original_ME: What else the source says of each snapshot, as JSON values, or ``None``.
    """

    weights_MEP: np.ndarray
    metrics: Mapping[str, np.ndarray]
    steps_ME: np.ndarray | None = None
    original_ME: Sequence[Sequence[Mapping[str, Any]]] | None = None


@dataclass(kw_only=True)
class ForeignZoo(ABC):
    """A source that has been recognized. Reading is repeatable, so that it can be checked before it is stored.

    Attributes:
        name: A name for the zoo.
        networks: Its networks.
        epochs: Epochs of the snapshots, the same for all networks.
        dataset: What the source calls its data set; empty where it does not say.
        left_out: What is in the source but not among the networks and epochs, and why; for people.
        assumed: What the source does not tell and was taken to be so; for people.
    """

    format: ClassVar[str]

    name: str
    networks: Sequence[ForeignNetwork]
    epochs: tuple[int, ...]
    dataset: str = ""
    left_out: list[str] = field(default_factory=list)
    assumed: list[str] = field(default_factory=list)

    @abstractmethod
    def read(self, chosen: Sequence[int]) -> ForeignSnapshots:
        """Snapshots of the networks with these indices, which have one architecture.

        Raises:
            ValueError: A file cannot be read, or does not fit; the message names it.
        """


def no_metrics(networks: int, epochs: int) -> dict[str, np.ndarray]:
    """Metrics of which nothing is known yet: NaN ``[M, E]`` for each column."""
    return {name: np.full((networks, epochs), math.nan) for name in METRIC_COLUMNS}


def common_epochs(
    epochs_of: Mapping[str, Collection[int]], wanted: Sequence[int] | None
) -> tuple[tuple[int, ...], list[str], list[str]]:
    """Decides about epochs that only some of the networks have.

    A zoo has the same epochs for every network. Without a wish these are the ones that the most networks have
    exactly (of several equally frequent sets the largest); networks that lack one of them are left out, and so are
    the further snapshots of those that have more.

    Args:
        epochs_of: For each network, its epochs.
        wanted: The epochs to take, where the user says.

    Returns:
        The epochs, the networks that have them all, and what is left out, in words.

    Raises:
        ValueError: No network has the epochs wanted, without a wish fewer than half have the same, or none is after
            the initialization.
    """
    sets = {origin: frozenset(epochs) for origin, epochs in epochs_of.items()}
    if wanted is not None:
        chosen = frozenset(wanted)
    else:
        counts = Counter(sets.values())
        chosen = max(counts, key=lambda epochs: (counts[epochs], len(epochs), sorted(epochs)))
    kept = [origin for origin, epochs in sets.items() if chosen <= epochs]
    if not kept or not chosen or (wanted is None and 2 * len(kept) < len(sets)):
        shared = Counter(epoch for epochs in sets.values() for epoch in epochs)
        frequent = ", ".join(f"{epoch} ({count})" for epoch, count in sorted(shared.items())[:20])
        raise ValueError(
            f"of {len(sets)} networks {len(kept)} have the epochs {_few(sorted(chosen))}; epochs and how many networks "
            f"have them: {frequent}. Choose with --epochs those to import; networks that lack one are left out"
        )
    if not 0 < max(chosen) <= LAST_EPOCH:
        raise ValueError(f"the last epoch is {max(chosen)}; allowed: 1 to {LAST_EPOCH}, since 0 is before any training")
    left_out = []
    if lacking := [origin for origin in sets if origin not in set(kept)]:
        left_out.append(f"{len(lacking)} networks that lack one of the epochs: {_few(lacking)}")
    if further := sum(len(sets[origin] - chosen) for origin in kept):
        left_out.append(f"{further} snapshots at other epochs than {_few(sorted(chosen))}")
    return tuple(sorted(chosen)), kept, left_out


def _few(values: Sequence[object]) -> str:
    """The first values of a list, and how many more there are."""
    more = f" and {len(values) - 8} more" if len(values) > 8 else ""
    return ", ".join(map(str, values[:8])) + more


def known_fields(candidates: Mapping[str, Any]) -> dict[str, Any]:
    """Those of a source's hyper-parameters that a ``Member`` can have; what it cannot have remains unknown."""
    known: dict[str, Any] = {}
    rest = [name for name, value in candidates.items() if value is not None]
    while accepted := [name for name in rest if _allowed({**known, name: candidates[name]})]:
        known |= {accepted[0]: candidates[accepted[0]]}
        rest.remove(accepted[0])
    return known


def _allowed(fields: Mapping[str, Any]) -> bool:
    try:
        Member(**{"id": 0, "seed": 0, **fields})
    except (TypeError, ValueError):
        return False
    return True


def plain_json(value: Any) -> Any:
    """JSON values that any reader takes: NaN, which JSON lacks, becomes ``None``, infinity its name."""
    if isinstance(value, Mapping):
        return {str(key): plain_json(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [plain_json(entry) for entry in value]
    if isinstance(value, np.generic):
        return plain_json(value.item())
    if isinstance(value, float) and not math.isfinite(value):
        return None if math.isnan(value) else str(value)
    return value if value is None or isinstance(value, str | int | float | bool) else str(value)
