"""The analysis of codecs and controls on held-out members and examples: what is measured, and what was found.

Shape letters: M members.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from analysis.compression.codec_rows import LEARNED, chosen_families, codec_rows, learned_rows
from analysis.compression.codecs import CODECS, CodecFamily
from analysis.compression.controls import ZERO_RATE
from analysis.compression.headlines import headlines, pareto, quality_metric, targets
from analysis.compression.setup import Setup
from analysis.evaluators.evaluator import Subject
from analysis.evaluators.registry import chosen_evaluators
from analysis.latents.rows import FAMILY as LATENTS
from analysis.latents.rows import latent_rows
from analysis.measuring.evaluating import measure
from analysis.measuring.evaluation import Evaluation
from analysis.measuring.measured_trials import measured_artifacts
from analysis.measuring.results import Measured, Result
from analysis.measuring.rows import Row
from analysis.noisy_storage.rows import FAMILY as NOISY
from analysis.noisy_storage.rows import cells_of, noisy_rows
from analysis.noisy_storage.symbols import latents_in_cells, symbols_in_cells
from analysis.reading.members import rows_told_apart
from analysis.record import Analysis, Planned, count_diverged, study_facts, zoo_facts
from analysis.statistics.groups import chosen_members, orders_differ, orders_known, words
from analysis.statistics.intervals import Bootstrap
from trainables.codecs.codec import Codec
from trainables.study_files import StudyRecord
from zoo.architecture import Architecture
from zoo.evaluation import agreement_matrix
from zoo.metric import Metric
from zoo.recipes.imported import Imported
from zoo.storage.zoo import Zoo

TEST_MEMBERS = 300
TRAINING_SNAPSHOTS = 8000
# What is run on untrained networks: a codec that knows nothing of training, and those fitted to trained ones.
ON_RANDOM = ("uniform", "function-metric", LEARNED)
LISTED_LAYOUTS = 8
FAMILIES = ("learned", "classical", "control")


@dataclass(frozen=True, kw_only=True)
class CodecPlan(Planned):
    """An analysis of codecs.

    Attributes:
        setup: What is measured.
        rows: The rows of the table to be.
        families: The codecs and controls, by name.
        study: The study whose trials are measured too.
        codecs: Of each of those trials its codecs, which differ in their seed.
        added_evaluators: Names of the evaluators asked for beside the usual ones.
        chosen_codecs: Names of the codecs asked for; ``None`` where those that suit were taken.
        cells: Numbers of analog cells for each weight that networks are read back from.
    """

    setup: Setup
    rows: list[Row]
    families: dict[str, CodecFamily]
    study: StudyRecord | None
    codecs: dict[int, list[Codec]]
    added_evaluators: tuple[str, ...]
    chosen_codecs: list[str] | None
    cells: tuple[int, ...] = ()

    @property
    def zoo(self) -> Zoo:
        """The zoo that is analyzed."""
        return self.setup.zoo

    @property
    def members(self) -> tuple[int, ...]:
        """Numbers of the test members that are measured."""
        return self.setup.members

    @property
    def trials(self) -> list[int]:
        """Trials of the study that are measured."""
        return list(self.codecs)

    def on_untrained(self) -> list[Row]:
        """Rows of the codecs of ``ON_RANDOM`` on the members as they were before training, at all settings.

        None of imported networks, even if their seeds are known: what other programs made of these nobody can tell.
        """
        if isinstance(self.zoo.recipe, Imported):
            return []
        families = {name: family for name, family in self.families.items() if name in ON_RANDOM}
        rows = codec_rows(families, self.setup, untrained=True)
        if self.study is not None and self.study.kind == "autoencoder":
            rows += learned_rows(self.study, self.codecs, self.setup, untrained=True)
        return rows

    def further(self, results: Sequence[Result]) -> list[Row]:
        """Each codec of ``ON_RANDOM`` on the test members as they were before training.

        Taken at the setting that comes closest to the first target on trained networks: what is lost against it shows
        how much the codec has learned about training rather than about networks.
        """
        results = [result for result in results if result.family in FAMILIES]
        target, rows, nearest = targets(results)[0], self.on_untrained(), list[Row]()
        for name in ON_RANDOM:
            own = [result for result in results if result.name == name]
            if own:
                best = min(own, key=lambda result: abs(result.metrics[target.metric].estimate - target.value))
                nearest += [r for r in rows if (r.name, r.setting, r.trial) == (name, best.setting, best.trial)]
        return nearest

    def analysis(self, results: list[Result]) -> Analysis:
        """What was found of codecs, with headlines and the front of rate and quality."""
        setup, study = self.setup, self.study
        untrained, results = results[len(self.rows) :], results[: len(self.rows)]
        noisy, latents = ([r for r in results if r.family == family] for family in (NOISY, LATENTS))
        results = [result for result in results if result.family not in (NOISY, LATENTS)]
        quality = quality_metric(results)
        zero_rate = max(result.metrics[quality.name].estimate for result in results if result.name in ZERO_RATE)
        results = [_with_excess(result, quality, zero_rate) for result in results]
        results.sort(key=lambda result: FAMILIES.index(result.family))
        seeds = max((result.fits for result in results if result.family == "learned"), default=0)
        layouts, architecture = self.zoo.layouts, setup.architecture
        return Analysis(
            results=results,
            summary={
                **zoo_facts(self.zoo),
                **study_facts(() if study is None else (study,), results),
                "kind": "codecs",
                "parameters": architecture.parameters,
                "layout": layouts.index(architecture.layout) if len(layouts) > 1 else None,
                **_measured_facts(setup),
                "intervals": words(
                    len(self.members), results[0].groups, seeds, setup.evaluation.grouped, known=orders_known(self.zoo)
                ),
                "canonicalization": _canonicalization(setup),
                "test_members_diverged": count_diverged(self.zoo, "test", "one", architecture=architecture),
                "training_snapshots_diverged": count_diverged(self.zoo, "train", architecture=architecture),
                "codecs_left_out": [name for name, family in CODECS.items() if family.obstacle(architecture)],
                "added_evaluators": list(self.added_evaluators),
                "chosen_codecs": self.chosen_codecs,
                "cells": list(self.cells),
                "symbols_left_out": {
                    name: family.no_symbols
                    for name, family in self.families.items()
                    if family.family == "classical" and family.no_symbols
                },
                "seed": setup.evaluation.bootstrap.seed,
                "quality": quality.name,
                "zero_rate": zero_rate,
                "seeds": seeds,
            },
            headlines=headlines(results),
            pareto=pareto(results),
            random_results=untrained,
            noisy_results=noisy,
            latent_results=latents,
            studies=() if study is None else (study,),
            members=rows_told_apart(setup.original.population),
        )


def plan_codecs(
    zoo: Zoo,
    *,
    study: StudyRecord | None = None,
    codecs: Sequence[str] | None = None,
    evaluators: Sequence[str] | None = None,
    inputs: Sequence[str] | None = None,
    cells: Sequence[int] = (),
    layout: int | None = None,
    members: int | None = None,
    training_snapshots: int = TRAINING_SNAPSHOTS,
    examples: int | None = None,
    bootstrap: Bootstrap,
) -> CodecPlan:
    """Codecs and controls at all their settings, and a study's best trials; see :func:`analysis.plan.plan_analysis`."""
    architecture = chosen_architecture(zoo, layout)
    families = chosen_families(codecs, architecture)
    evaluation = Evaluation.of(
        chosen_evaluators(evaluators),
        zoo.dataset(),
        examples=examples,
        inputs=inputs,
        bootstrap=bootstrap,
        grouped=orders_differ(zoo),
        store=zoo.store,
    )
    setup = Setup(
        zoo=zoo,
        architecture=architecture,
        members=chosen_members(zoo, TEST_MEMBERS if members is None else members, architecture),
        training_snapshots=min(training_snapshots, len(zoo.rows("train", architecture=architecture))),
        evaluation=evaluation,
    )
    found = {} if study is None else measured_artifacts(study)
    rows = codec_rows(families, setup)
    if study is not None:
        rows += learned_rows(study, found, setup)
    held_in = cells_of(cells)
    rows += noisy_rows(setup, held_in) + symbols_in_cells(families, setup, held_in)
    if study is not None:
        rows += latents_in_cells(study, found, setup, held_in)
        rows += latent_rows(study, found, setup)
    return CodecPlan(
        setup=setup,
        rows=rows,
        families=families,
        study=study,
        codecs=found,
        added_evaluators=tuple(evaluators or ()),
        chosen_codecs=None if codecs is None else list(codecs),
        cells=tuple(cells),
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
