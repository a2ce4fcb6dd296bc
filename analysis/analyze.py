"""The whole analysis of a zoo: every codec and control on test members and test examples.

Shape letters: M members, P parameters, N examples.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from analysis.codecs import CODECS
from analysis.controls import ZERO_RATE
from analysis.evaluation import Evaluation
from analysis.evaluators.evaluator import Subject
from analysis.evaluators.registry import chosen_evaluators
from analysis.headlines import headlines, pareto, quality_metric, targets
from analysis.intervals import Bootstrap
from analysis.prediction import analyze_predictors, best_trials
from analysis.record import Analysis, Progress, count_diverged, require_own_zoo, study_facts, zoo_facts
from analysis.results import Measured, Result
from analysis.rows import LEARNED, Row, best_mean_latent, chosen_families, codec_rows, learned_rows, measured_trials
from trainables.study_files import StudyRecord
from zoo.architecture import Architecture
from zoo.data.examples import Dataset
from zoo.evaluation import agreement_matrix
from zoo.metric import Metric
from zoo.population import Population
from zoo.population.initialization import initial_weights
from zoo.storage.zoo import Zoo
from zoo.threads import one_thread
from zoo.views import align, without_dead_inputs

__all__ = ["Analysis", "analyze"]

TEST_MEMBERS = 300
TRAINING_SNAPSHOTS = 8000
FAMILIES = ("learned", "classical", "control")
# What is run on untrained networks: a codec that knows nothing of training, and those fitted to trained ones.
ON_RANDOM = ("uniform", "function-metric", LEARNED)

LISTED_LAYOUTS = 8


@one_thread()
def analyze(
    zoo: Zoo,
    study: StudyRecord | None = None,
    *,
    codecs: Sequence[str] | None = None,
    evaluators: Sequence[str] | None = None,
    inputs: Sequence[str] | None = None,
    layout: int | None = None,
    members: int | None = TEST_MEMBERS,
    training_snapshots: int = TRAINING_SNAPSHOTS,
    examples: int | None = None,
    bootstrap: Bootstrap | None = None,
    progress: Progress | None = None,
) -> Analysis:
    """Measures codecs, controls and a study's Pareto autoencoders on held-out members and examples.

    Every codec is fitted on the same training members and training examples and measured on the same test members
    (one snapshot each) and test examples. For all codecs alike, first-layer weights on inputs that are zero in all
    training examples are set to zero and hidden units are aligned with the first training snapshot's. Computes on
    one core: the products are small, and the same on machines with more.

    Args:
        zoo: The zoo.
        study: A study on this zoo.
        codecs: Names in ``analysis.codecs.CODECS`` or ``module:attribute``; by default all that know the zoo's
            architecture. The zero-rate controls are always measured.
        evaluators: Names in ``analysis.evaluators.registry.EVALUATORS`` or ``module:attribute``, beside the default
            ones.
        inputs: Other inputs: "translation-1", "noise-0.1", names of data sets; by default the first for images, else
            the second.
        layout: Number of the parameter layout whose networks are analyzed, where the zoo has several.
        members: At most so many test members; ``None`` for all.
        training_snapshots: At most so many snapshots of training members for fitting.
        examples: At most so many test examples; ``None`` for all.
        bootstrap: How intervals are drawn.
        progress: Called with rows measured, rows in all, and the name of the next.

    Raises:
        ZooError: The study is of another zoo, or a part of the zoo is missing or damaged.
        ValueError: A codec, an evaluator or inputs are unknown, or the zoo has several layouts and none is chosen.
    """
    if study is not None:
        require_own_zoo(study, zoo)
        if study.kind == "predictor":
            return analyze_predictors(zoo, study, members=members, bootstrap=bootstrap, progress=progress)
    architecture = chosen_architecture(zoo, layout)
    families = chosen_families(codecs, architecture)
    data = zoo.dataset()
    evaluation = Evaluation.of(
        chosen_evaluators(evaluators), data, examples=examples, inputs=inputs, bootstrap=bootstrap, store=zoo.store
    )
    training = zoo.population("train", architecture=architecture)
    raw = zoo.population("test", epochs="one", limit=members, architecture=architecture)
    like_P = training.weights_MP[0]
    training = _canonical(_evenly(training, training_snapshots), data, like_P)
    original = Subject(_canonical(raw, data, like_P), "the original population")

    learned = learned_rows(study) if study is not None else []
    rows = [*codec_rows(families, training, data), *learned]
    if (mean_latent := best_mean_latent(learned, training, original, evaluation)) is not None:
        rows.append(mean_latent)
    results = []
    for done, row in enumerate(rows):
        if progress is not None:
            progress(done, len(rows), f"{row.name} {row.setting}".strip())
        results.append(row.measure(original, evaluation))
    if progress is not None:
        progress(len(rows), len(rows), "")
    quality = quality_metric(results)
    zero_rate = max(result.metrics[quality.name].estimate for result in results if result.name in ZERO_RATE)
    results = [_with_excess(result, quality, zero_rate) for result in results]
    results.sort(key=lambda result: FAMILIES.index(result.family))
    return Analysis(
        results=results,
        summary={
            **zoo_facts(zoo),
            **study_facts(study),
            "kind": "codecs",
            "parameters": architecture.parameters,
            "layout": zoo.layouts.index(architecture.layout) if len(zoo.layouts) > 1 else None,
            **_measured_facts(training, original, evaluation),
            "canonicalization": _canonicalization(raw, original, evaluation),
            "test_members_diverged": count_diverged(zoo, "test", "one", architecture=architecture),
            "training_snapshots_diverged": count_diverged(zoo, "train", architecture=architecture),
            "codecs_left_out": [name for name, family in CODECS.items() if family.obstacle(architecture)],
            "added_evaluators": list(evaluators or ()),
            "chosen_codecs": None if codecs is None else list(codecs),
            "seed": evaluation.bootstrap.seed,
            "quality": quality.name,
            "zero_rate": zero_rate,
            "seeds": max((result.fits for result in results if result.family == "learned"), default=0),
        },
        headlines=headlines(results),
        pareto=pareto(results),
        random_results=_on_random(results, rows, original, evaluation, like_P),
        study_metrics={} if study is None else study.metrics,
        trials=None if study is None else study.trials,
        importances=None if study is None else study.importances,
    )


@dataclass(frozen=True, kw_only=True)
class PlannedRows:
    """What an analysis would measure.

    Attributes:
        codecs: Names of codecs and controls.
        settings: At how many settings altogether.
        trials: Trials of the study.
        fits: How many fits those have.
        further: Rows beside: the best mean latent, codecs on untrained networks, baselines.
        count: Rows of the table.
        architecture: That of the networks; ``None`` where they may be of any layout.
    """

    codecs: list[str]
    settings: int
    trials: list[int]
    fits: int
    further: int
    count: int
    architecture: Architecture | None


def planned_rows(
    zoo: Zoo, study: StudyRecord | None = None, *, codecs: Sequence[str] | None = None, layout: int | None = None
) -> PlannedRows:
    """What :func:`analyze` would measure; what it cannot is refused here, before anything starts.

    Raises:
        ZooError: The study is of another zoo, or has nothing to measure.
        ValueError: A codec is unknown, or no layout is chosen of several.
    """
    if study is not None:
        require_own_zoo(study, zoo)
    if study is not None and study.kind == "predictor":
        trials = best_trials(study)
        targets = len({study.config(trial).target for trial in trials})
        fits = sum(len(study.fits(trial)) for trial in trials)
        further = 2 * targets
        return PlannedRows(
            codecs=[],
            settings=0,
            trials=trials,
            fits=fits,
            further=further,
            count=len(trials) + further,
            architecture=None,
        )
    architecture = chosen_architecture(zoo, layout)
    families = chosen_families(codecs, architecture)
    trials = [] if study is None else measured_trials(study)
    settings = sum(len(family.settings) for family in families.values())
    latents = int(bool(trials) and study is not None and study.kind == "autoencoder")
    return PlannedRows(
        codecs=list(families),
        settings=settings,
        trials=trials,
        fits=sum(len(study.fits(trial)) for trial in trials) if study else 0,
        further=latents + sum(name in families for name in ON_RANDOM) + latents,
        count=settings + len(trials) + latents,
        architecture=architecture,
    )


def chosen_architecture(zoo: Zoo, layout: int | None) -> Architecture:
    """An architecture of the layout to analyze.

    Raises:
        ValueError: There are several and none is chosen, or there is no such layout.
    """
    listed = "; ".join(
        f"{number}: {' '.join('x'.join(map(str, spec.shape)) for spec in found if len(spec.shape) > 1)}"
        for number, found in enumerate(zoo.layouts[:LISTED_LAYOUTS])
    )
    listed += " …" if len(zoo.layouts) > LISTED_LAYOUTS else ""
    if layout is None and len(zoo.layouts) > 1:
        raise ValueError(
            f"zoo {zoo.name} has {len(zoo.layouts)} parameter layouts, and codecs know networks of one; choose with "
            f"--layout ({listed}), or name a study of predictors, which take any"
        )
    if not 0 <= (layout or 0) < len(zoo.layouts):
        raise ValueError(f"layout is {layout}; allowed: 0 to {len(zoo.layouts) - 1} ({listed})")
    wanted = zoo.layouts[layout or 0]
    return next(architecture for architecture in zoo.architectures if architecture.layout == wanted)


def _with_excess(result: Result, quality: Metric, zero_rate: float) -> Result:
    """A result with what its quality exceeds the best zero-rate control's by."""
    excess = Metric(
        name=f"excess_{quality.name}",
        label=f"{quality.label} beyond the best zero-rate control",
        unit=quality.unit,
        direction=quality.direction,
        description=f"{quality.name} minus that of the best zero-rate control: what the bits buy beyond one network.",
    )
    own = Measured(metric=excess, estimate=result.metrics[quality.name].estimate - zero_rate)
    return dataclasses.replace(result, metrics={**result.metrics, excess.name: own})


def _on_random(
    results: Sequence[Result], rows: Sequence[Row], original: Subject, evaluation: Evaluation, like_P: Tensor
) -> list[Result]:
    """Each codec of ``ON_RANDOM`` on the test members as they were before training.

    Taken at the setting that comes closest to the first target on trained networks: what is lost against it shows
    how much the codec has learned about training rather than about networks.
    """
    test, target = original.population, targets(results)[0]
    weights_MP = torch.empty_like(test.weights_MP)
    for architecture, chosen in test.groups():
        weights_MP[chosen] = initial_weights(architecture, test.select(chosen).members)
    raw = test.with_weights(weights_MP)
    untrained = Subject(_canonical(raw, evaluation.test.dataset, like_P), "the untrained population")
    measured = []
    for name in ON_RANDOM:
        own = [result for result in results if result.name == name]
        if not own:
            continue
        nearest = min(own, key=lambda result: abs(result.metrics[target.metric].estimate - target.value))
        row = next(r for r in rows if (r.name, r.setting, r.trial) == (name, nearest.setting, nearest.trial))
        measured.append(dataclasses.replace(row, family="control").measure(untrained, evaluation))
    return measured


def _measured_facts(training: Population, original: Subject, evaluation: Evaluation) -> dict[str, Any]:
    """What was measured, and how good the originals are."""
    data = evaluation.test
    facts: dict[str, Any] = {
        "training_snapshots": len(training),
        "test_members": len(original),
        "test_examples": len(data),
        "inputs": [other.inputs for other in evaluation.others],
        "evaluators_left_out": dict(evaluation.left_out),
        "pairwise_agreement": None,
    }
    if data.dataset.task.has_classes and data.part(original.population) is None and len(original) > 1:
        agreement_MM = agreement_matrix(original.predicted(data)).numpy()
        facts["pairwise_agreement"] = float(agreement_MM[~np.eye(len(agreement_MM), dtype=bool)].mean())
    name = "accuracy_original" if data.dataset.task.has_classes else "loss_original"
    metrics, values = evaluation.only("accuracy-change", "loss").measure([original], original)
    score_M = np.array(values[name])
    return facts | {
        "score": name,
        "score_label": metrics[name].metric.label,
        "score_mean": float(score_M.mean()),
        "score_sd": float(score_M.std()),
        "score_min": float(score_M.min()),
        "score_max": float(score_M.max()),
    }


def _canonicalization(raw: Population, original: Subject, evaluation: Evaluation) -> dict[str, float]:
    """How much quality setting dead inputs to zero and aligning costs, on test examples and on shifted inputs."""
    judged = dataclasses.replace(evaluation.only("agreement", "outputs"), others=evaluation.others)
    metrics, _ = judged.measure([Subject(original.population)], Subject(raw))
    return {name: measured.estimate for name, measured in metrics.items()}


def _evenly(population: Population, count: int) -> Population:
    """At most ``count`` rows, evenly spaced."""
    if len(population) <= count:
        return population
    return population.select(np.linspace(0, len(population) - 1, count).round().astype(int).tolist())


def _canonical(population: Population, data: Dataset, like_P: Tensor) -> Population:
    """Weights on inputs that never occur set to zero, hidden units in the order of those of ``like_P``."""
    population = without_dead_inputs(population, data.train)
    return population.with_weights(align(population.weights_MP, population.architecture, like_P).weights_MP)
