"""The whole analysis of a zoo: every codec and control, or every predictor, on test members and test examples.

Shape letters: M members.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from analysis.adaptation import AdaptationPlan
from analysis.aggregation import AggregationPlan
from analysis.by_axis import ByAxisPlan
from analysis.codecs import CODECS
from analysis.controls import ZERO_RATE
from analysis.evaluating import measure
from analysis.evaluators.evaluator import Subject
from analysis.groups import orders_known, words
from analysis.headlines import headlines, pareto, quality_metric, targets
from analysis.kept_rows import KeptRows, measure_rows
from analysis.latent_maps import latent_maps
from analysis.latents.rows import FAMILY as LATENTS
from analysis.made_for_sets import SetPlan
from analysis.making import MakingPlan
from analysis.members import differing
from analysis.noisy_storage.rows import FAMILY as NOISY
from analysis.plan import ON_RANDOM, CodecPlan, Plan, StudyPlan, plan_analysis
from analysis.prediction import PredictorPlan
from analysis.probing import BOOSTING, ProbePlan
from analysis.record import Analysis, LatentMaps, Progress, count_diverged, study_facts, zoo_facts
from analysis.results import Measured, Result
from analysis.setup import Setup
from trainables.study_files import StudyRecord
from zoo.evaluation import agreement_matrix
from zoo.metric import Metric
from zoo.storage.store import Store
from zoo.storage.zoo import Zoo
from zoo.threads import one_thread
from zoo.words import counted

__all__ = ["Analysis", "analyze", "carry_out"]

FAMILIES = ("learned", "classical", "control")


def analyze(
    zoo: Zoo,
    study: StudyRecord | None = None,
    *,
    keep: Store | None = None,
    progress: Progress | None = None,
    **options: Any,
) -> Analysis:
    """Measures codecs, controls and a study's best trials on held-out members and examples.

    Every codec is fitted on the same training members and training examples and measured on the same test members
    (one snapshot each) and test examples.

    Args:
        zoo: The zoo.
        study: A study on this zoo.
        keep: Where rows are kept as they are measured, and looked for before that; nowhere by default.
        progress: Called with rows measured, rows in all, and the name of the next.
        options: What is measured; see :func:`analysis.plan.plan_analysis`.

    Raises:
        ZooError: The study is of another zoo, or a part of the zoo is missing or damaged.
        ValueError: An option is not allowed; the message says what is.
    """
    return carry_out(plan_analysis(zoo, study, **options), keep=keep, progress=progress)


@one_thread()
def carry_out(plan: Plan, *, keep: Store | None = None, progress: Progress | None = None) -> Analysis:
    """Measures what was planned, on one core: the products are small, and the same on machines with more."""
    kept = KeptRows(keep, plan.zoo.name)
    results = measure_rows(plan.rows, kept, progress)
    if isinstance(plan, CodecPlan):
        return _codec_analysis(plan, results, kept)
    if isinstance(plan, ByAxisPlan):
        return plan.analysis(results)
    if isinstance(plan, AdaptationPlan):
        return _adaptation_analysis(plan, results)
    if isinstance(plan, SetPlan):
        return _set_analysis(plan, results)
    if isinstance(plan, MakingPlan):
        return _making_analysis(plan, results)
    if isinstance(plan, AggregationPlan):
        return _aggregation_analysis(plan, results)
    return _prediction_analysis(plan, results)


def _of_study(
    plan: StudyPlan, results: list[Result], facts: Mapping[str, Any], maps: LatentMaps | None = None
) -> Analysis:
    """What was found of a study's trials: the results of a plan's rows, and facts about them beside zoo and study.

    Args:
        plan: What was planned.
        results: One for each of its rows.
        facts: What else the summary holds.
        maps: Of encoders, their embeddings in two dimensions.
    """
    study = plan.study
    return Analysis(
        results=results,
        summary={**zoo_facts(plan.zoo), **study_facts(study), **facts},
        headlines=[],
        pareto=[],
        study_metrics=study.metrics,
        trials=study.trials,
        importances=study.importances,
        maps=maps,
    )


def _prediction_analysis(plan: PredictorPlan | ProbePlan, results: list[Result]) -> Analysis:
    """What was found: the results of a plan's rows, and facts about them."""
    zoo = plan.zoo
    own = [r for r in results if r.question is not None and r.question.fitted_on == r.question.told_of == zoo.name]
    groups, seeds = max(result.groups for result in own), max(result.fits for result in own)
    return _of_study(
        plan,
        results,
        {
            "kind": "predictors" if isinstance(plan, PredictorPlan) else "encoders",
            "targets": plan.targets,
            "snapshots": list(dict.fromkeys(each.snapshots for each in plan.scopes)),
            "on": list(dict.fromkeys(each.tested.zoo.name for each in plan.scopes))[1:],
            "boosting": isinstance(plan, ProbePlan) and BOOSTING in plan.readouts,
            "crosswise": isinstance(plan, ProbePlan) and bool(plan.crosswise),
            "not_told": plan.not_told if isinstance(plan, ProbePlan) else [],
            "parameters": list(zoo.parameter_counts),
            "training_snapshots": len(zoo.rows("train")),
            "test_members": len(plan.members),
            "test_groups": groups,
            "intervals": words(
                len(plan.members), groups, seeds, plan.held_out.tested.of.grouped, known=orders_known(zoo)
            ),
            "training_snapshots_diverged": count_diverged(zoo, "train"),
            "test_members_diverged": count_diverged(zoo, "test", "one"),
            "seeds": seeds,
            "seed": plan.held_out.bootstrap.seed,
        },
        maps=latent_maps(plan) if isinstance(plan, ProbePlan) else None,
    )


def _adaptation_analysis(plan: AdaptationPlan, results: list[Result]) -> Analysis:
    """What was found of held-out tasks."""
    zoo = plan.zoo
    groups, seeds = results[0].groups, max(result.fits for result in results)
    return _of_study(
        plan,
        results,
        {
            "kind": "hypernetworks",
            "tasks": list(plan.tasks),
            "training_tasks": len(next(iter(plan.hypernetworks.values()))[0].tasks),
            "parameters": list(zoo.parameter_counts),
            "test_members": len(plan.tasks),
            "test_groups": groups,
            "intervals": f"Intervals are over {groups} groups of tasks and {counted(seeds, 'fit')}.",
            "interpolation": plan.interpolation(),
            "seeds": seeds,
            "seed": plan.bootstrap.seed,
        },
    )


def _set_analysis(plan: SetPlan, results: list[Result]) -> Analysis:
    """What was found of networks made for sets of examples."""
    zoo = plan.zoo
    seeds = max(result.fits for result in results)
    return _of_study(
        plan,
        results,
        {
            "kind": "data sets",
            "datasets": list(plan.datasets),
            "set_size": plan.made[plan.trials[0]][0].module.config.set_size,
            "parameters": list(zoo.parameter_counts),
            "test_members": plan.count,
            "test_groups": plan.count,
            "intervals": f"Intervals are over {plan.count} sets and {counted(seeds, 'fit')}.",
            "seeds": seeds,
            "seed": plan.bootstrap.seed,
        },
    )


def _making_analysis(plan: MakingPlan, results: list[Result]) -> Analysis:
    """What was found of generated networks."""
    zoo = plan.zoo
    seeds = max(result.fits for result in results)
    return _of_study(
        plan,
        results,
        {
            "kind": "generators",
            "added_evaluators": list(plan.added_evaluators),
            "conditioning": [
                {
                    "trial": trial,
                    "column": found.column,
                    "wanted": found.wanted_L.tolist(),
                    "obtained": found.accuracy_LM.mean(1).tolist(),
                    "low": np.quantile(found.accuracy_LM, 0.1, axis=1).tolist(),
                    "high": np.quantile(found.accuracy_LM, 0.9, axis=1).tolist(),
                }
                for trial, fits in plan.conditioning.items()
                for found in fits
            ],
            "parameters": list(zoo.parameter_counts),
            "training_snapshots": len(zoo.rows("train")),
            "test_members": plan.count,
            "test_groups": plan.count,
            "intervals": f"Intervals are over {plan.count} networks and {counted(seeds, 'fit')}.",
            "seeds": seeds,
            "seed": plan.bootstrap.seed,
        },
    )


def _aggregation_analysis(plan: AggregationPlan, results: list[Result]) -> Analysis:
    """What was found of learned gradients."""
    seeds = max(result.fits for result in results)
    return _of_study(
        plan,
        results,
        {
            "kind": "aggregators",
            "scenarios": [scenario.name for scenario in plan.scenarios],
            "inputs": list(plan.datasets),
            "parameters": [plan.architecture.parameters],
            "test_members": len(plan.members),
            "test_groups": len(plan.members),
            "set_size": plan.config.set_size,
            "horizon": plan.config.horizon,
            "label_noise": list(plan.config.label_noise),
            "weights": plan.weights(),
            "intervals": f"Intervals are over {len(plan.members)} networks, each with a set of its own, and "
            f"{counted(seeds, 'fit')}.",
            "seeds": seeds,
            "seed": plan.bootstrap.seed,
        },
    )


def _codec_analysis(plan: CodecPlan, results: list[Result], kept: KeptRows) -> Analysis:
    setup, study = plan.setup, plan.study
    noisy, latents = ([r for r in results if r.family == family] for family in (NOISY, LATENTS))
    results = [result for result in results if result.family not in (NOISY, LATENTS)]
    quality = quality_metric(results)
    zero_rate = max(result.metrics[quality.name].estimate for result in results if result.name in ZERO_RATE)
    results = [_with_excess(result, quality, zero_rate) for result in results]
    results.sort(key=lambda result: FAMILIES.index(result.family))
    seeds = max((result.fits for result in results if result.family == "learned"), default=0)
    layouts, architecture = plan.zoo.layouts, setup.architecture
    return Analysis(
        results=results,
        summary={
            **zoo_facts(plan.zoo),
            **study_facts(study),
            "kind": "codecs",
            "parameters": architecture.parameters,
            "layout": layouts.index(architecture.layout) if len(layouts) > 1 else None,
            **_measured_facts(setup),
            "intervals": words(
                len(plan.members), results[0].groups, seeds, setup.evaluation.grouped, known=orders_known(plan.zoo)
            ),
            "canonicalization": _canonicalization(setup),
            "test_members_diverged": count_diverged(plan.zoo, "test", "one", architecture=architecture),
            "training_snapshots_diverged": count_diverged(plan.zoo, "train", architecture=architecture),
            "codecs_left_out": [name for name, family in CODECS.items() if family.obstacle(architecture)],
            "added_evaluators": list(plan.added_evaluators),
            "chosen_codecs": plan.chosen_codecs,
            "cells": list(plan.cells),
            "symbols_left_out": {
                name: family.no_symbols
                for name, family in plan.families.items()
                if family.family == "classical" and family.no_symbols
            },
            "seed": setup.evaluation.bootstrap.seed,
            "quality": quality.name,
            "zero_rate": zero_rate,
            "seeds": seeds,
        },
        headlines=headlines(results),
        pareto=pareto(results),
        random_results=_on_untrained(plan, results, kept),
        noisy_results=noisy,
        latent_results=latents,
        study_metrics={} if study is None else study.metrics,
        trials=None if study is None else study.trials,
        importances=None if study is None else study.importances,
        members=differing(setup.original.population),
    )


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


def _on_untrained(plan: CodecPlan, results: Sequence[Result], kept: KeptRows) -> list[Result]:
    """Each codec of ``ON_RANDOM`` on the test members as they were before training.

    Taken at the setting that comes closest to the first target on trained networks: what is lost against it shows
    how much the codec has learned about training rather than about networks.
    """
    target, rows = targets(results)[0], plan.on_untrained()
    nearest = []
    for name in ON_RANDOM:
        own = [result for result in results if result.name == name]
        if own:
            best = min(own, key=lambda result: abs(result.metrics[target.metric].estimate - target.value))
            nearest += [r for r in rows if (r.name, r.setting, r.trial) == (name, best.setting, best.trial)]
    return measure_rows(nearest, kept)


def _measured_facts(setup: Setup) -> dict[str, Any]:
    """What was measured, and how good the originals are."""
    original, evaluation = setup.original, setup.evaluation
    data, has_classes = evaluation.test, setup.dataset.task.has_classes
    facts: dict[str, Any] = {
        "training_snapshots": setup.training_snapshots,
        "test_members": len(original),
        "test_groups": len(np.unique(evaluation.groups(original.population))),
        "grouped": evaluation.grouped,
        "test_examples": len(data),
        "chosen_examples": len(data) if len(data) < len(data.dataset.test) else None,
        "inputs": [other.inputs for other in evaluation.others],
        "evaluators_left_out": dict(evaluation.left_out),
        "pairwise_agreement": None,
    }
    if has_classes and data.part(original.population) is None and len(original) > 1:
        agreement_MM = agreement_matrix(original.predicted(data)).numpy()
        facts["pairwise_agreement"] = float(agreement_MM[~np.eye(len(agreement_MM), dtype=bool)].mean())
    name = "accuracy_original" if has_classes else "loss_original"
    metrics, values = measure(evaluation.only("accuracy-change", "loss"), [original], original)
    score_M = np.array(values[name])
    return facts | {
        "score": name,
        "score_label": metrics[name].metric.label,
        "score_mean": float(score_M.mean()),
        "score_sd": float(score_M.std()),
        "score_min": float(score_M.min()),
        "score_max": float(score_M.max()),
    }


def _canonicalization(setup: Setup) -> dict[str, float]:
    """How much quality setting dead inputs to zero and aligning costs, on test examples and on shifted inputs."""
    evaluation = setup.evaluation
    judged = dataclasses.replace(evaluation.only("agreement", "outputs"), others=evaluation.others)
    metrics, _ = measure(judged, [Subject(setup.original.population)], Subject(setup.raw))
    return {name: measured.estimate for name, measured in metrics.items()}
