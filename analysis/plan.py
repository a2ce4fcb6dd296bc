"""What an analysis is going to measure, checked before anything starts: a dry run shows it, a run carries it out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from analysis.adaptation import AdaptationPlan, plan_adaptation
from analysis.aggregation import AggregationPlan, plan_aggregation
from analysis.by_axis import ByAxisPlan, plan_by_axis
from analysis.codecs import CodecFamily
from analysis.evaluation import Evaluation
from analysis.evaluators.registry import chosen_evaluators
from analysis.groups import chosen_members, orders_differ
from analysis.intervals import Bootstrap
from analysis.latents.rows import latent_rows
from analysis.made_for_sets import SetPlan, plan_sets
from analysis.making import MakingPlan, plan_making
from analysis.measured_trials import measured_artifacts
from analysis.noisy_storage.rows import cells_of, noisy_rows
from analysis.noisy_storage.symbols import latents_in_cells, symbols_in_cells
from analysis.prediction import PredictorPlan, plan_predictors
from analysis.probing import ProbePlan, plan_probes
from analysis.rows import LEARNED, Row, chosen_families, codec_rows, learned_rows
from analysis.setup import Setup
from trainables.codecs.codec import Codec
from trainables.study_files import StudyRecord
from zoo.architecture import Architecture
from zoo.recipes.imported import Imported
from zoo.storage.errors import ZooError
from zoo.storage.zoo import Zoo

TEST_MEMBERS = 300
TRAINING_SNAPSHOTS = 8000
# What is run on untrained networks: a codec that knows nothing of training, and those fitted to trained ones.
ON_RANDOM = ("uniform", "function-metric", LEARNED)
LISTED_LAYOUTS = 8
CODECS, GROUPS, SETS = "codecs", "groups of networks", "hypernetworks of data sets"
# By what is analyzed, the options that mean something there.
OPTIONS = {
    CODECS: ("study", "codecs", "evaluators", "inputs", "cells", "layout", "members", "examples"),
    GROUPS: ("by", "evaluators", "inputs", "members", "examples"),
    SETS: ("study", "members", "inputs"),
    "hypernetworks": ("study", "members"),
    "predictors": ("study", "members"),
    "encoders": ("study", "members", "on", "boosting"),
    "generators": ("study", "members", "evaluators"),
    "aggregators": ("study", "members", "inputs"),
}


@dataclass(frozen=True, kw_only=True)
class CodecPlan:
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


StudyPlan = PredictorPlan | ProbePlan | AdaptationPlan | SetPlan | MakingPlan | AggregationPlan
Plan = CodecPlan | ByAxisPlan | StudyPlan


def plan_analysis(
    zoo: Zoo,
    study: StudyRecord | None = None,
    *,
    codecs: Sequence[str] | None = None,
    evaluators: Sequence[str] | None = None,
    inputs: Sequence[str] | None = None,
    cells: Sequence[int] = (),
    layout: int | None = None,
    members: int | None = None,
    training_snapshots: int = TRAINING_SNAPSHOTS,
    examples: int | None = None,
    on: Sequence[Zoo] = (),
    studies_on: Sequence[StudyRecord] = (),
    boosting: bool = False,
    by: Sequence[str] | None = None,
    bootstrap: Bootstrap | None = None,
) -> Plan:
    """Finds and checks all that an analysis needs; reads no weights but those of groups.

    Args:
        zoo: The zoo.
        study: A study on this zoo.
        codecs: Names in ``analysis.codecs.CODECS`` or ``module:attribute``; by default all that know the zoo's
            architecture. The zero-rate controls are always measured.
        evaluators: Names in ``analysis.evaluators.registry.EVALUATORS`` or ``module:attribute``, beside the default
            ones. Of generators and groups those that need no originals.
        inputs: Other inputs: "translation-1", "noise-0.1", names of data sets; by default the first for images, else
            the second. Of hypernetworks of data sets names alone, by default none.
        cells: For so many noisy memory cells a weight, networks are read back from these, and payloads with flipped
            bits.
        layout: Number of the parameter layout whose networks are analyzed, where the zoo has several.
        members: At most so many test members; by default 300, and of predictors all. Of hypernetworks so many
            tasks or sets, of generators so many networks made by each, of aggregators so many networks trained, of
            groups so many networks of all.
        training_snapshots: At most so many snapshots of training members for fitting.
        examples: At most so many test examples; all by default.
        on: Other zoos, whose test members a study's encoders and their readouts are measured on too.
        studies_on: For a matrix of all zoos by all, a study of encoders on each of the other zoos.
        boosting: Whether gradient boosting reads embeddings of encoders too; it takes minutes where linear readouts
            take seconds.
        by: Columns by which members are grouped: in place of codecs, groups are measured.
        bootstrap: How intervals are drawn.

    Raises:
        ZooError: The study is of another zoo, or has nothing to measure; or a split has no members.
        ValueError: An option does not belong to what is analyzed; a codec, an evaluator or inputs are unknown; or the
            zoo has several layouts and none is chosen.
    """
    bootstrap = bootstrap or Bootstrap()
    kind = _kind(study, by)
    asked: dict[str, object] = {
        "study": study,
        "codecs": codecs,
        "evaluators": evaluators,
        "inputs": inputs,
        "cells": cells or None,
        "layout": layout,
        "members": members,
        "examples": examples,
        "on": on or None,
        "boosting": boosting or None,
        "by": by,
    }
    if refused := [name for name, value in asked.items() if value is not None and name not in OPTIONS[kind]]:
        whose = [f"{name} (for {', '.join(other for other in OPTIONS if name in OPTIONS[other])})" for name in refused]
        raise ValueError(
            f"an analysis of {kind} does not take {' and '.join(whose)}; allowed: {', '.join(OPTIONS[kind])}"
        )
    if by is not None:
        return plan_by_axis(
            zoo, by, evaluators=evaluators, inputs=inputs, members=members, examples=examples, bootstrap=bootstrap
        )
    if study is not None and study.zoo_digest != zoo.digest:
        raise ZooError(
            f"study {study.name} searched on a zoo with digest {study.zoo_digest[:8]}; {zoo.name} has "
            f"{zoo.digest[:8]}. Analyze the study with its own zoo"
        )
    if study is not None and kind == "predictors":
        return plan_predictors(zoo, study, members=members, bootstrap=bootstrap)
    if study is not None and kind == "encoders":
        return plan_probes(
            zoo, study, on=on, studies_on=studies_on, boosting=boosting, members=members, bootstrap=bootstrap
        )
    if study is not None and kind == SETS:
        return plan_sets(zoo, study, count=members, datasets=inputs or (), bootstrap=bootstrap)
    if study is not None and kind == "hypernetworks":
        return plan_adaptation(zoo, study, tasks=members, bootstrap=bootstrap)
    if study is not None and kind == "generators":
        return plan_making(zoo, study, count=members, bootstrap=bootstrap, evaluators=evaluators or ())
    if study is not None and kind == "aggregators":
        return plan_aggregation(zoo, study, networks=members, datasets=inputs or (), bootstrap=bootstrap)
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


def _kind(study: StudyRecord | None, by: Sequence[str] | None) -> str:
    """What is analyzed: a key of ``OPTIONS``."""
    if by is not None:
        return GROUPS
    if study is None:
        return CODECS
    if study.kind == "hypernetwork" and reads_sets(study):
        return SETS
    return f"{study.kind}s" if f"{study.kind}s" in OPTIONS else CODECS


def reads_sets(study: StudyRecord) -> bool:
    """Whether a study's hypernetworks read sets of examples; the others have a vector for each task.

    Raises:
        ZooError: The study has both.
    """
    read = {name == "dataset-hypernetwork" for name in study.facts["study"]["trainables"]}
    if len(read) > 1:
        raise ZooError(f"study {study.name} has hypernetworks of tasks and of data sets; make a study of each")
    return read == {True}


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
