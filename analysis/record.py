"""What an analysis has found: results and facts, for tables and reports."""

from __future__ import annotations

import dataclasses
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from analysis.compression.headlines import Headline
from analysis.measuring.results import Result
from analysis.measuring.rows import Row
from trainables.study_files import StudyRecord
from zoo.config import to_json
from zoo.storage.selection import Epochs
from zoo.storage.zoo import Zoo

Progress = Callable[[int, int, str], None]


@dataclass(frozen=True, kw_only=True)
class LatentMap:
    """Embeddings by one encoder in two dimensions.

    Attributes:
        name: The encoder and how it was brought to two dimensions.
        places_M2: Where each snapshot lies, in the order of :class:`LatentMaps`.
        axes: What the two are called.
    """

    name: str
    places_M2: np.ndarray
    axes: tuple[str, str]


@dataclass(frozen=True, kw_only=True)
class LatentMaps:
    """The same snapshots in several maps.

    Attributes:
        maps: One for each encoder, and with ``umap`` installed two.
        columns: What is known of the snapshots, ``[M]`` each.
        paths: Of some members their snapshots by epoch.
        large: How many snapshots with very large weights are left out.
    """

    maps: tuple[LatentMap, ...]
    columns: Mapping[str, np.ndarray]
    paths: tuple[np.ndarray, ...]
    large: int = 0


@dataclass(frozen=True, kw_only=True)
class Analysis:
    """What was found.

    Attributes:
        results: One row for each setting of each codec and control.
        summary: Facts about the zoo and what was measured on it.
        headlines: One entry for each codec.
        pareto: The results on the front of rate and agreement over all codecs.
        random_results: Some of the codecs on untrained networks of the same members.
        noisy_results: Networks read back from noisy memory.
        latent_results: Autoencoders looked into, with what is drawn of them in ``details``.
        studies: The studies whose trials were measured.
        members: Of codecs, what is known of each network that was measured, one a row: ``member``, ``epoch``, and
            what else differs among them.
        maps: Of encoders, their embeddings in two dimensions.
    """

    results: list[Result]
    summary: dict[str, Any]
    headlines: list[Headline]
    pareto: list[Result]
    random_results: list[Result] = field(default_factory=list)
    noisy_results: list[Result] = field(default_factory=list)
    latent_results: list[Result] = field(default_factory=list)
    studies: tuple[StudyRecord, ...] = ()
    members: pd.DataFrame | None = None
    maps: LatentMaps | None = None

    def to_json(self) -> dict[str, Any]:
        """Everything as plain values."""
        return {
            "summary": self.summary,
            "headlines": [dataclasses.asdict(headline) for headline in self.headlines],
            "results": [result.to_json() for result in self.results],
            "pareto": [{"name": r.name, "setting": r.setting, "trial": r.trial} for r in self.pareto],
            "random_results": [result.to_json() for result in self.random_results],
            "noisy_results": [result.to_json() for result in self.noisy_results],
            "latent_results": [result.to_json() for result in self.latent_results],
        }


class Planned(ABC):
    """What every kind of analysis does with its rows once they are measured; each kind is a class of its own."""

    def further(self, results: Sequence[Result]) -> list[Row]:  # noqa: ARG002
        """Rows that only these results say are to be measured; none by default.

        Args:
            results: Those of the plan's rows.
        """
        return []

    @abstractmethod
    def analysis(self, results: list[Result]) -> Analysis:
        """What was found.

        Args:
            results: Those of the plan's rows, then those of its further ones.
        """


def of_studies(
    studies: Sequence[StudyRecord],
    zoo: Zoo,
    results: list[Result],
    facts: Mapping[str, Any],
    maps: LatentMaps | None = None,
) -> Analysis:
    """What was found of trials of studies: the results of a plan's rows, and facts about them beside zoo and studies.

    Args:
        studies: The studies.
        zoo: The zoo.
        results: One for each row.
        facts: What else the summary holds.
        maps: Of encoders, their embeddings in two dimensions.
    """
    return Analysis(
        results=results,
        summary={**zoo_facts(zoo), **study_facts(studies, results), **facts},
        headlines=[],
        pareto=[],
        studies=tuple(studies),
        maps=maps,
    )


def zoo_facts(zoo: Zoo) -> dict[str, Any]:
    """What a report says of the zoo."""
    return {
        "zoo": zoo.name,
        "zoo_digest": zoo.digest,
        "zoo_content_sha256": zoo.content_sha256,
        "zoo_members": len(zoo),
        "recipe": to_json(zoo.recipe),
        "dataset": zoo.recipe.dataset,
    }


def study_facts(studies: Sequence[StudyRecord], results: Sequence[Result]) -> dict[str, Any]:
    """What a report says of studies: of each its name, what was searched, how many trials, and fits of those measured.

    Args:
        studies: The studies.
        results: Those of their trials, among others; where there are several studies each result names its own.
    """
    return {
        "studies": [
            {
                "study": study.name,
                "search": {**study.facts["study"], "seed": study.facts.get("seed")},
                "trials": len(study.trials),
                "seeds": max(
                    (each.fits for each in results if each.trial is not None and each.study in (None, study.name)),
                    default=1,
                ),
            }
            for study in studies
        ]
    }


def count_diverged(zoo: Zoo, split: str | None, epochs: Epochs = None, **chosen: Any) -> int:
    """How many of the snapshots that could have been chosen diverged and are left out."""
    rows = zoo.rows(split, epochs=epochs, include_diverged=True, **chosen)
    return int(zoo.snapshots["diverged"].to_numpy()[rows].sum())
