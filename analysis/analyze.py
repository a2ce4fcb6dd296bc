"""The whole analysis of a zoo: every codec and control on test members and test images.

Shape letters: M members, P parameters, N images.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from analysis.behavior import Reference
from analysis.codecs import CODECS
from analysis.controls import ZERO_RATE
from analysis.headlines import TARGET_AGREEMENT, Headline, headlines, pareto
from analysis.intervals import Bootstrap
from analysis.measurement import BLOCK, CodecResult
from analysis.rows import LEARNED, Row, best_mean_latent, chosen_families, codec_rows, learned_rows
from trainables.study_files import StudyRecord
from zoo.config import to_json
from zoo.data.examples import Dataset
from zoo.evaluation import agreement_matrix, predictions
from zoo.generation.shard_training import one_thread
from zoo.population import Population
from zoo.population.initialization import initial_weights
from zoo.storage.errors import ZooError
from zoo.storage.selection import Epochs
from zoo.storage.zoo import Zoo
from zoo.views import align, without_dead_inputs

__all__ = ["Analysis", "Headline", "analyze"]

TEST_MEMBERS = 300
TRAINING_SNAPSHOTS = 8000
FAMILIES = ("learned", "classical", "control")
# What is run on untrained networks: a codec that knows nothing of training, and those fitted to trained ones.
ON_RANDOM = ("uniform", "function-metric", LEARNED)

Progress = Callable[[int, int, str], None]


@dataclass(frozen=True, kw_only=True)
class Analysis:
    """What was found.

    Attributes:
        results: One row for each setting of each codec and control.
        summary: Facts about the zoo and what was measured on it.
        headlines: One entry for each codec.
        pareto: The results on the front of rate and agreement over all codecs.
        random_results: Some of the codecs on untrained networks of the same members.
        trials: The study's trials, where there is a study.
        importances: Objective to parameter to importance, where the study tells them.
    """

    results: list[CodecResult]
    summary: dict[str, Any]
    headlines: list[Headline]
    pareto: list[CodecResult]
    random_results: list[CodecResult] = field(default_factory=list)
    trials: pd.DataFrame | None = None
    importances: Mapping[str, Mapping[str, float]] | None = None

    def to_json(self) -> dict[str, Any]:
        """Everything as plain values."""
        return {
            "summary": self.summary,
            "headlines": [dataclasses.asdict(headline) for headline in self.headlines],
            "results": [dataclasses.asdict(result) for result in self.results],
            "pareto": [{"codec": r.codec, "setting": r.setting, "trial": r.trial} for r in self.pareto],
            "random_results": [dataclasses.asdict(result) for result in self.random_results],
        }


@one_thread()
def analyze(
    zoo: Zoo,
    study: StudyRecord | None = None,
    *,
    codecs: Sequence[str] | None = None,
    members: int | None = TEST_MEMBERS,
    training_snapshots: int = TRAINING_SNAPSHOTS,
    images: int | None = None,
    bootstrap: Bootstrap | None = None,
    progress: Progress | None = None,
) -> Analysis:
    """Measures codecs, controls and a study's Pareto autoencoders on held-out members and images.

    Every codec is fitted on the same training members and training images and measured on the same test members
    (one snapshot each) and test images. For all codecs alike, first-layer weights on inputs that are zero in all
    training images are set to zero and hidden units are aligned with the first training snapshot's. Computes on one
    core: the products are small, and the same on machines with more.

    Args:
        zoo: The zoo.
        study: A study on this zoo.
        codecs: Names in ``analysis.codecs.CODECS`` or ``module:attribute``; by default all that know the zoo's
            architecture. The zero-rate controls are always measured.
        members: At most so many test members; ``None`` for all.
        training_snapshots: At most so many snapshots of training members for fitting.
        images: At most so many test images; ``None`` for all.
        bootstrap: How intervals are drawn.
        progress: Called with rows measured, rows in all, and the name of the next.

    Raises:
        ZooError: The study is of another zoo, or a part of the zoo is missing or damaged.
        ValueError: A codec is unknown, or the members' tasks are parts of the data set.
    """
    if study is not None and study.zoo_digest != zoo.digest:
        raise ZooError(
            f"study {study.name} searched on a zoo with digest {study.zoo_digest[:8]}; {zoo.name} has "
            f"{zoo.digest[:8]}. Analyze the study with its own zoo"
        )
    families = chosen_families(codecs, zoo.architectures[0])
    data = zoo.dataset()
    training, raw = zoo.population("train"), zoo.population("test", epochs="one", limit=members)
    training.require_whole_data_set("the analysis")
    like_P = training.weights_MP[0]
    training = _canonical(_evenly(training, training_snapshots), data, like_P)
    reference = Reference(_canonical(raw, data, like_P), data.test.first(images))
    bootstrap = bootstrap or Bootstrap()
    # Members of one block share their minibatch order and more, so they are not independent.
    groups_M = np.array([member.order_seed for member in raw.members])

    learned = learned_rows(study) if study is not None else []
    rows = [*codec_rows(families, training, data), *learned]
    if learned:
        rows.append(best_mean_latent(learned, training, reference))
    results = []
    for done, row in enumerate(rows):
        if progress is not None:
            progress(done, len(rows), f"{row.name} {row.setting}".strip())
        results.append(row.measure(reference, bootstrap, groups_M))
    if progress is not None:
        progress(len(rows), len(rows), "")
    zero_rate = max(result.agreement for result in results if result.codec in ZERO_RATE)
    results = [dataclasses.replace(r, excess_agreement=r.agreement - zero_rate) for r in results]
    results.sort(key=lambda result: FAMILIES.index(result.family))
    return Analysis(
        results=results,
        summary={
            **_summary(zoo, study, training, raw, reference, zero_rate),
            "seeds": max((result.fits for result in results if result.codec == LEARNED), default=0),
        },
        headlines=headlines(results),
        pareto=pareto(results),
        random_results=_on_random(results, rows, reference, data, like_P, bootstrap, groups_M),
        trials=None if study is None else study.trials,
        importances=None if study is None else study.importances,
    )


def _on_random(
    results: Sequence[CodecResult],
    rows: Sequence[Row],
    reference: Reference,
    data: Dataset,
    like_P: Tensor,
    bootstrap: Bootstrap,
    groups_M: np.ndarray,
) -> list[CodecResult]:
    """Each codec of ``ON_RANDOM`` on the test members as they were before training.

    Taken at the setting that comes closest to 97 % agreement on trained networks: what is lost against it shows
    how much the codec has learned about training rather than about networks.
    """
    test = reference.population
    weights_MP = torch.empty_like(test.weights_MP)
    for architecture, chosen in test.groups():
        weights_MP[chosen] = initial_weights(architecture, test.select(chosen).members)
    untrained = Reference(_canonical(test.with_weights(weights_MP), data, like_P), reference.images)
    measured = []
    for name in ON_RANDOM:
        own = [result for result in results if result.codec == name]
        if not own:
            continue
        nearest = min(own, key=lambda result: abs(result.agreement - TARGET_AGREEMENT))
        row = next(r for r in rows if (r.name, r.setting, r.trial) == (name, nearest.setting, nearest.trial))
        measured.append(dataclasses.replace(row, family="control").measure(untrained, bootstrap, groups_M))
    return measured


def _diverged(zoo: Zoo, split: str, epochs: Epochs = None) -> int:
    """How many of the snapshots that could have been chosen diverged and are left out."""
    rows = zoo.rows(split, epochs=epochs, include_diverged=True)
    return int(zoo.snapshots["diverged"].to_numpy()[rows].sum())


def _summary(
    zoo: Zoo,
    study: StudyRecord | None,
    training: Population,
    raw: Population,
    reference: Reference,
    zero_rate_agreement: float,
) -> dict[str, Any]:
    """Facts about the zoo and about what was measured on it."""
    accuracy_M = reference.correct_MN.mean(1, dtype=np.float64)
    agreement_MM = agreement_matrix(predictions(reference.population, reference.images)).numpy()
    others = ~np.eye(len(agreement_MM), dtype=bool)
    mlp = training.architecture.is_mlp
    canonicalized = Reference(raw, reference.images).behavior(reference.population.weights_MP, "the population")
    return {
        "zoo": zoo.name,
        "zoo_uri": zoo.uri,
        "zoo_digest": zoo.digest,
        "zoo_content_sha256": zoo.content_sha256,
        "zoo_members": len(zoo),
        "recipe": to_json(zoo.recipe),
        "dataset": zoo.recipe.dataset,
        "parameters": zoo.parameters,
        "training_snapshots": len(training),
        "training_snapshots_diverged": _diverged(zoo, "train"),
        "test_members_diverged": _diverged(zoo, "test", epochs="one"),
        "test_members": len(reference.population),
        "test_images": len(reference.images),
        "codecs_left_out": [name for name, family in CODECS.items() if family.mlp_only and not mlp],
        "block": BLOCK,
        "accuracy_mean": float(accuracy_M.mean()),
        "accuracy_sd": float(accuracy_M.std()),
        "accuracy_min": float(accuracy_M.min()),
        "accuracy_max": float(accuracy_M.max()),
        "pairwise_agreement": float(agreement_MM[others].mean()) if others.any() else None,
        "zero_rate_agreement": zero_rate_agreement,
        "canonicalization_agreement": float(canonicalized.agree_MN.mean()),
        "canonicalization_agreement_shifted": float(canonicalized.agree_shifted_MN.mean()),
        "study": None if study is None else study.name,
        "search": None if study is None else {**study.facts["study"], "seed": study.facts.get("seed")},
        "trials": 0 if study is None else len(study.trials),
    }


def _evenly(population: Population, count: int) -> Population:
    """At most ``count`` rows, evenly spaced."""
    if len(population) <= count:
        return population
    return population.select(np.linspace(0, len(population) - 1, count).round().astype(int).tolist())


def _canonical(population: Population, data: Dataset, like_P: Tensor) -> Population:
    """Weights on inputs that never occur set to zero, hidden units in the order of those of ``like_P``."""
    population = without_dead_inputs(population, data.train)
    return population.with_weights(align(population.weights_MP, population.architecture, like_P).weights_MP)
