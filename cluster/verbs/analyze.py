"""``analyze``: measure, write tables and the report, say the headline figures."""

from __future__ import annotations

import json
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cluster import options
from cluster.display import human_bytes, human_seconds, live, say
from cluster.page_files import page_files
from cluster.report_text import lines_of
from cluster.stores import REPORT_FILE, REPORTS, open_zoo
from cluster.verb import Planned, Result
from zoo.config import digest, from_json, to_json
from zoo.words import counted

if TYPE_CHECKING:
    from analysis.plan import Plan
    from trainables.study_files import StudyRecord
    from zoo.storage.store import Store
    from zoo.storage.zoo import Zoo

FACTS_FILE = "report.json"
# About how large a report is.
REPORT_BYTES = 6_000_000


@dataclass(frozen=True, kw_only=True)
class Report(Result):
    """A report with its headline figures, or its ``predictors``; ``new`` unless one that was there would do."""

    identity: str
    report: str
    tables: str
    zoo: str
    studies: tuple[str, ...]
    seconds: float
    summary: Mapping[str, Any]
    headlines: tuple[Mapping[str, Any], ...]
    predictors: tuple[Mapping[str, Any], ...]
    rows: int
    new: bool

    @property
    def text(self) -> str:
        return "\n".join([*lines_of(self), "", f"report  {self.report}", f"tables  {self.tables}"])


@dataclass(frozen=True, kw_only=True)
class AnalysisEstimate(Result):
    """What ``analyze`` would measure: ``rows``, of which ``kept`` are there from before, among them the ``trials``.

    Its ``seconds`` are a ``guess`` until such networks were analyzed on this machine.
    """

    zoo: str
    studies: tuple[str, ...]
    rows: int
    kept: int
    codecs: tuple[str, ...]
    trials: tuple[int, ...]
    test_members: int
    report: str
    bytes: int
    seconds: float
    guess: bool
    workers: int

    @property
    def text(self) -> str:
        place = f" with {counted(self.workers, 'worker')} on Ray" if self.workers > 1 else ""
        guess = " (a guess: such networks were not analyzed on this machine yet)" if self.guess else ""
        known = f", of which {self.kept} are known from before" if self.kept else ""
        codecs = [f"settings of {counted(len(self.codecs), 'codec or control', 'codecs and controls')}"]
        of = (codecs if self.codecs else []) + ([counted(len(self.trials), "trial")] if self.trials else [])
        what = f": {' and '.join(of)}," if of else ""
        networks = counted(self.test_members, "held-out network" if what else "network")
        return (
            f"would measure {counted(self.rows, 'row')}{known}{what} on {networks}{place}: "
            f"about {human_seconds(self.seconds)}{guess}; a report of about {human_bytes(self.bytes)} in {self.report}"
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class Analyze(Planned):
    """Measure codecs, trials of studies or groups of networks on held-out networks and examples; write report.html."""

    zoo: options.ZooOption
    study: Annotated[
        str | None,
        typer.Option(
            help="Studies of the store, with commas, whose best trials are measured too; several of predictors or "
            "encoders.",
            autocompletion=options.names_in("studies"),
        ),
    ] = None
    store: options.Store = "./store"
    members: Annotated[
        int | None, typer.Option(min=1, help="How many test networks. (default: 300; all for predictors and encoders)")
    ] = None
    examples: Annotated[
        int | None, typer.Option(min=1, help="How many test examples they are applied to. (default: all)")
    ] = None
    codecs: Annotated[str | None, typer.Option(help="Names of codecs, with commas. (default: all)")] = None
    evaluators: Annotated[
        str | None, typer.Option(help="Names or module:attribute, with commas, beside the usual ones.")
    ] = None
    inputs: Annotated[
        str | None,
        typer.Option(
            help="Other inputs: translation-2, noise-0.1, impulse-0.1, blur-1, contrast-0.5, data sets, with commas. "
            "(default: translation-1 for images, else noise-0.1)"
        ),
    ] = None
    cells: Annotated[
        str | None,
        typer.Option(help="Read networks back from so many noisy memory cells a weight too, with commas: 1,2,4."),
    ] = None
    on: Annotated[
        str | None,
        typer.Option(
            help="Other zoos, with commas, whose networks encoders are measured on too; those of other data sets are "
            "told apart.",
            autocompletion=options.names_in("zoos"),
        ),
    ] = None
    crosswise: Annotated[
        bool,
        typer.Option(
            "--crosswise",
            help="Take each zoo of --on as a source too, with its own studies of the same settings, or else name.",
        ),
    ] = False
    boosting: Annotated[
        bool, typer.Option("--boosting", help="Read embeddings by gradient boosting too, beside linear readouts.")
    ] = False
    untrained: Annotated[
        bool,
        typer.Option(
            "--untrained",
            help="Ask encoders about all snapshots with untrained networks too, as published tables often do.",
        ),
    ] = False
    by: Annotated[
        str | None,
        typer.Option(
            help="Measure groups of networks in place of codecs: columns by which they are grouped, with commas, as in "
            "weight_noise,adversarial_epsilon."
        ),
    ] = None
    layout: Annotated[int | None, typer.Option(min=0, help="Which parameter layout, where the zoo has several.")] = None
    seed: options.Seed = None
    reuse: Annotated[
        bool, typer.Option("--reuse", help="Keep a report on the same zoo, studies and options, if there is one.")
    ] = False
    figures: options.Figures = None
    workers: options.Workers = None

    def plan(self) -> AnalysisEstimate:
        """Counts what would be measured; how long that takes is known from analyses before, else guessed."""
        zoo, studies, store, asked = self._open()
        return estimate(zoo, studies, store, asked, workers=self.workers)

    def run(self) -> Report:
        """Measures and writes the report."""
        zoo, studies, store, asked = self._open()
        store.check_writable(REPORTS)
        write = page_files(self.figures)
        report = write_report(zoo, studies, store, asked, reuse=self.reuse, workers=self.workers)
        write(store, f"{REPORTS}/{report_name(zoo, studies, asked)}/{REPORT_FILE}")
        return report

    def _open(self) -> tuple[Zoo, list[StudyRecord], Store, dict[str, Any]]:
        """Zoo, studies and store, and which options were given."""
        from trainables.study_files import StudyRecord
        from zoo.storage.store import Store

        zoo, store = open_zoo(self.zoo, self.store), Store(self.store)
        named = split_names(self.study) or []
        studies = [StudyRecord.open(store, name, zoo) for name in named]
        asked: dict[str, Any] = {
            "members": self.members,
            "examples": self.examples,
            "codecs": split_names(self.codecs),
            "evaluators": split_names(self.evaluators),
            "inputs": split_names(self.inputs),
            "cells": _whole_numbers(self.cells, "cells"),
            "by": split_names(self.by),
            "layout": self.layout,
            "seed": self.seed,
            "boosting": self.boosting or None,
            "untrained": self.untrained or None,
        }
        if self.study is not None and not named:
            raise ValueError(f"--study is {self.study!r}; name a study, or several with commas")
        if self.crosswise and (not self.on or not named):
            raise ValueError("--crosswise is for a --study and other zoos; name these with --on A,B")
        if self.on:
            asked["on"] = [open_zoo(name, self.store) for name in split_names(self.on) or ()]
            if self.crosswise:
                asked["studies_on"] = [[study.counterpart(other) for study in studies] for other in asked["on"]]
        return zoo, studies, store, {name: value for name, value in asked.items() if value is not None}


def split_names(text: str | None) -> list[str] | None:
    """Names that are separated by commas."""
    return None if text is None else [name.strip() for name in text.split(",") if name.strip()]


def _whole_numbers(text: str | None, option: str) -> list[int] | None:
    """Whole numbers that are separated by commas."""
    names = split_names(text)
    if names is not None and not (names and all(name.isdecimal() for name in names)):
        raise ValueError(f"--{option} is {text!r}; allowed: whole numbers with commas, as in 1,2,4")
    return None if names is None else [int(name) for name in names]


def plan_of(zoo: Zoo, studies: Sequence[StudyRecord], asked: Mapping[str, Any]) -> Plan:
    """The plan of an analysis, checked.

    Args:
        zoo: The zoo.
        studies: Studies on it.
        asked: Options of :func:`analysis.plan.plan_analysis` by their names there, and ``seed`` of the bootstrap.
    """
    from analysis.plan import plan_analysis
    from analysis.statistics.intervals import Bootstrap

    options = {name: value for name, value in asked.items() if name != "seed"}
    return plan_analysis(zoo, *studies, bootstrap=Bootstrap(seed=asked.get("seed", 0)), **options)


def write_report(
    zoo: Zoo,
    studies: Sequence[StudyRecord],
    store: Store,
    asked: Mapping[str, Any],
    *,
    reuse: bool = False,
    workers: int | None = None,
) -> Report:
    """Analyzes a zoo and writes tables and report into the store.

    Args:
        zoo: The zoo.
        studies: Studies on it.
        store: Where tables and report go, and where rows are kept as they are measured.
        asked: See :func:`plan_of`.
        reuse: Whether a report on the same zoo, studies and options will do.
        workers: How many processes of Ray measure; by default none where the work is small.
    """
    from analysis.analyze import carry_out
    from analysis.kept_rows import KeptRows
    from analysis.report.page import render
    from analysis.tables import TABLES, write_tables
    from cluster.distributed.rows import measure_on_ray
    from cluster.row_estimates import remember_rows

    name = report_name(zoo, studies, asked)
    identity = digest(
        {
            "zoo": zoo.content_sha256,
            "studies": [{"name": study.name, "content": study.content_sha256} for study in studies],
            "options": _named(asked),
            "version": _version(),
        }
    )
    facts_path = f"{REPORTS}/{name}/{FACTS_FILE}"
    # Not part of what is stored: a store may be copied elsewhere.
    places = {"report": store.join(REPORTS, name, REPORT_FILE), "tables": store.join(TABLES, name)}
    if reuse and store.exists(facts_path) and store.exists(f"{REPORTS}/{name}/{REPORT_FILE}"):
        facts = json.loads(store.read(facts_path))
        if facts["identity"] == identity:
            return from_json(Report, {**facts, **places, "new": False})
    started = time.monotonic()
    plan = plan_of(zoo, studies, asked)
    named = ", ".join(study.name for study in studies)
    say(f"analyze {zoo.name}{f' with {named}' if named else ''}")
    kept = KeptRows(store, zoo.name)
    missing = [place for place, row in enumerate(plan.rows) if row not in kept]
    ends: list[float] = []

    def told(done: int, total: int, row: str) -> None:
        ends.append(time.process_time())
        task.update(done, row, total)

    with live("analyze", len(plan.rows), "rows") as task:
        elsewhere = measure_on_ray(
            plan,
            missing,
            store,
            workers=workers,
            progress=lambda done, total, row: task.update(done, row, total),
        )
        analysis = carry_out(plan, keep=store, progress=told)
    took = defaultdict(list)
    for place in missing:
        took[plan.rows[place].name].append(elsewhere.get(place, ends[place + 1] - ends[place]))
    remember_rows(plan, took)
    write_tables(analysis, store, name)
    store.put(f"{REPORTS}/{name}/{REPORT_FILE}", render(analysis).encode())
    found = analysis.to_json()
    report = Report(
        identity=identity,
        **places,
        zoo=zoo.name,
        studies=tuple(study.name for study in studies),
        seconds=round(time.monotonic() - started, 2),
        summary=found["summary"],
        headlines=tuple(found["headlines"]),
        predictors=() if analysis.headlines else tuple(result.row() for result in analysis.results),
        rows=len(plan.rows),
        new=True,
    )
    facts = {name: value for name, value in to_json(report).items() if name not in ("new", *places)}
    store.put(facts_path, json.dumps(facts, indent=2).encode())
    return report


def estimate(
    zoo: Zoo, studies: Sequence[StudyRecord], store: Store, asked: Mapping[str, Any], *, workers: int | None = None
) -> AnalysisEstimate:
    """What :func:`write_report` would do with the same arguments."""
    from analysis.codec_plan import CodecPlan
    from analysis.kept_rows import KeptRows
    from cluster.distributed.runtime import ray_is_asked_for
    from cluster.estimates import duration
    from cluster.row_estimates import analysis_s

    plan = plan_of(zoo, studies, asked)
    kept = KeptRows(store, zoo.name)
    missing = [row for row in plan.rows if row not in kept]
    seconds, guess = analysis_s(plan, missing)
    processes = 1
    if missing and (ray_is_asked_for(workers) or not guess):
        _, processes, seconds = duration((len(missing),), seconds / len(missing), workers, store)
    return AnalysisEstimate(
        zoo=zoo.name,
        studies=tuple(study.name for study in studies),
        rows=len(plan.rows),
        kept=len(plan.rows) - len(missing),
        codecs=tuple(plan.families) if isinstance(plan, CodecPlan) else (),
        trials=tuple(plan.trials),
        test_members=len(plan.members),
        report=store.join(REPORTS, report_name(zoo, studies, asked), REPORT_FILE),
        bytes=REPORT_BYTES,
        seconds=round(seconds, 1),
        guess=guess,
        workers=processes,
    )


def report_name(zoo: Zoo, studies: Sequence[StudyRecord], asked: Mapping[str, Any]) -> str:
    """Where a report and its tables lie: a folder for each zoo, study or studies, and others for other options."""
    name, further = zoo.name, _named(asked)
    if len(studies) == 1:
        name = studies[0].name
    elif studies:
        further["studies"] = [study.name for study in studies]
    return f"{name}-{digest(further)[:8]}" if further else name


def _named(asked: Mapping[str, Any]) -> dict[str, Any]:
    """Options as JSON values: zoos and studies by their names and contents."""
    named = dict(asked)
    if "on" in asked:
        named["on"] = [[zoo.name, zoo.content_sha256] for zoo in asked["on"]]
    if "studies_on" in asked:
        named["studies_on"] = [[[each.name, each.content_sha256] for each in of_zoo] for of_zoo in asked["studies_on"]]
    return named


def _version() -> str | None:
    try:
        return metadata.version("zooscale")
    except metadata.PackageNotFoundError:  # run from a source folder
        return None
