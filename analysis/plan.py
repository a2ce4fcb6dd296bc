"""What an analysis is going to measure, checked before anything starts: a dry run shows it, a run carries it out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from analysis.by_axis import ByAxisPlan, plan_by_axis
from analysis.codec_plan import CodecPlan, plan_codecs
from analysis.generation.making import MakingPlan, plan_making
from analysis.held_out_tasks.adaptation import AdaptationPlan, plan_adaptation
from analysis.held_out_tasks.aggregation import AggregationPlan, plan_aggregation
from analysis.held_out_tasks.made_for_sets import SetPlan, plan_sets
from analysis.reading.prediction import PredictorPlan, plan_predictors
from analysis.reading.probing import ProbePlan, plan_probes
from analysis.statistics.intervals import Bootstrap
from trainables.study_files import StudyRecord
from zoo.storage.errors import ZooError
from zoo.storage.zoo import Zoo

Plan = CodecPlan | ByAxisPlan | PredictorPlan | ProbePlan | AdaptationPlan | SetPlan | MakingPlan | AggregationPlan


@dataclass(frozen=True, slots=True)
class Kind:
    """Something that can be analyzed.

    Attributes:
        plan: Called with the zoo, the bootstrap and, by their names, those of its options that are given.
        options: Names of the options of :func:`plan_analysis` that mean something there; "study" for its studies.
        several: Whether it takes several studies, as ``studies``: rows of each do not depend on those of others.
    """

    plan: Callable[..., Plan]
    options: tuple[str, ...]
    several: bool = False


CODECS, GROUPS, SETS = "codecs", "groups of networks", "hypernetworks of data sets"
OF_CODECS = (
    "study", "codecs", "evaluators", "inputs", "cells", "layout", "members", "training_snapshots", "examples",
)  # fmt: skip
KINDS = {
    CODECS: Kind(plan_codecs, OF_CODECS),
    GROUPS: Kind(plan_by_axis, ("by", "evaluators", "inputs", "members", "examples")),
    SETS: Kind(plan_sets, ("study", "members", "inputs")),
    "hypernetworks": Kind(plan_adaptation, ("study", "members")),
    "predictors": Kind(plan_predictors, ("study", "members"), several=True),
    "encoders": Kind(plan_probes, ("study", "members", "on", "studies_on", "boosting", "untrained"), several=True),
    "generators": Kind(plan_making, ("study", "members", "evaluators")),
    "aggregators": Kind(plan_aggregation, ("study", "members", "inputs")),
}


def plan_analysis(
    zoo: Zoo,
    *studies: StudyRecord,
    codecs: Sequence[str] | None = None,
    evaluators: Sequence[str] | None = None,
    inputs: Sequence[str] | None = None,
    cells: Sequence[int] = (),
    layout: int | None = None,
    members: int | None = None,
    training_snapshots: int | None = None,
    examples: int | None = None,
    on: Sequence[Zoo] = (),
    studies_on: Sequence[Sequence[StudyRecord]] = (),
    boosting: bool = False,
    untrained: bool = False,
    by: Sequence[str] | None = None,
    bootstrap: Bootstrap | None = None,
) -> Plan:
    """Finds and checks all that an analysis needs; reads no weights but those of groups.

    Args:
        zoo: The zoo.
        studies: Studies on this zoo, of one kind; of predictors and encoders several.
        codecs: Names in ``analysis.compression.codecs.CODECS`` or ``module:attribute``; by default all that know the
            zoo's architecture. The zero-rate controls are always measured.
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
        training_snapshots: At most so many snapshots of training members for fitting; by default 8 000.
        examples: At most so many test examples; all by default.
        on: Other zoos, whose test members encoders and their readouts are measured on too. Where they are of other
            data sets, readouts of all zoos' training members together tell which.
        studies_on: For a matrix of all zoos by all, of each of the other zoos the studies of encoders on it.
        boosting: Whether gradient boosting reads embeddings of encoders too; it takes minutes where linear readouts
            take seconds.
        untrained: Whether encoders are asked about all snapshots with untrained networks too.
        by: Columns by which members are grouped: in place of codecs, groups are measured.
        bootstrap: How intervals are drawn.

    Raises:
        ZooError: A study is of another zoo, or has nothing to measure; or a split has no members.
        ValueError: Studies are of several kinds, one is named twice, or one alone can be analyzed; an option does not
            belong to what is analyzed; a codec, an evaluator or inputs are unknown; or the zoo has several layouts and
            none is chosen.
    """
    kind = _kind(studies, by)
    options: dict[str, object] = {
        "study": studies or None,
        "codecs": codecs,
        "evaluators": evaluators,
        "inputs": inputs,
        "cells": cells or None,
        "layout": layout,
        "members": members,
        "training_snapshots": training_snapshots,
        "examples": examples,
        "on": on or None,
        "studies_on": studies_on or None,
        "boosting": boosting or None,
        "untrained": untrained or None,
        "by": by,
    }
    asked = {name: value for name, value in options.items() if value is not None}
    if refused := [name for name in asked if name not in KINDS[kind].options]:
        whose = [
            f"{name} (for {', '.join(other for other in KINDS if name in KINDS[other].options)})" for name in refused
        ]
        allowed = ", ".join(KINDS[kind].options)
        raise ValueError(f"an analysis of {kind} does not take {' and '.join(whose)}; allowed: {allowed}")
    named = _checked(studies, zoo, kind) if asked.pop("study", None) else {}
    return KINDS[kind].plan(zoo, **named, **asked, bootstrap=bootstrap or Bootstrap())


def _checked(studies: Sequence[StudyRecord], zoo: Zoo, kind: str) -> dict[str, object]:
    """Studies, or the one study, as what plans an analysis of this kind takes them.

    Raises:
        ZooError: One is of another zoo.
        ValueError: One is named twice, or there are several where one alone is taken.
    """
    names = [study.name for study in studies]
    for study in studies:
        study.require_on(zoo)
        if names.count(study.name) > 1:
            raise ValueError(f"study {study.name} is named {names.count(study.name)} times; name each study once")
    if KINDS[kind].several:
        return {"studies": studies}
    if len(studies) > 1:
        several = " or ".join(name for name, other in KINDS.items() if other.several)
        raise ValueError(
            f"an analysis of {kind} takes one study, not {len(studies)} ({', '.join(names)}): analyze each by itself. "
            f"Only those of {several} are analyzed together"
        )
    return {"study": studies[0]}


def _kind(studies: Sequence[StudyRecord], by: Sequence[str] | None) -> str:
    """What is analyzed: a key of ``KINDS``.

    Raises:
        ValueError: Studies are of several kinds.
    """
    if by is not None:
        return GROUPS
    of_study = {study.name: _kind_of(study) for study in studies}
    kinds = list(dict.fromkeys(of_study.values())) or [CODECS]
    if len(kinds) > 1:
        told = ", ".join(f"{name} of {kind}" for name, kind in of_study.items())
        raise ValueError(f"these studies are of several kinds ({told}); name those of one kind together")
    return kinds[0]


def _kind_of(study: StudyRecord) -> str:
    """What is analyzed with a study."""
    if study.kind == "hypernetwork" and reads_sets(study):
        return SETS
    return f"{study.kind}s" if f"{study.kind}s" in KINDS else CODECS


def reads_sets(study: StudyRecord) -> bool:
    """Whether a study's hypernetworks read sets of examples; the others have a vector for each task.

    Raises:
        ZooError: The study has both.
    """
    read = {name == "dataset-hypernetwork" for name in study.facts["study"]["trainables"]}
    if len(read) > 1:
        raise ZooError(f"study {study.name} has hypernetworks of tasks and of data sets; make a study of each")
    return read == {True}
