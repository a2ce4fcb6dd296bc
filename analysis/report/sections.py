"""The report's sections about codecs: each a function of the analysis, or the reason why it is absent."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import pandas as pd
from markupsafe import Markup

from analysis.compression.controls import ZERO_RATE
from analysis.compression.headlines import DISTORTIONS, Target, targets
from analysis.measuring.results import declared
from analysis.pages.numbers import count, counted, with_unit
from analysis.pages.page import Block, Chart, Heading, Section, Text, filled
from analysis.record import Analysis
from analysis.report import figures
from analysis.report.findings import cards, sentences
from analysis.report.rate_figures import rate_quality
from analysis.report.scatter_panels import option_groups, panels
from analysis.report.tables import (
    amortization_table,
    breaks_limits,
    headline_table,
    pareto_table,
    results_table,
    trial_anchors,
    trials_table,
    untrained_table,
)
from analysis.statistics.intervals import FEW_GROUPS
from trainables.study_files import StudyRecord
from zoo.metric import Metric

ASSETS = Path(__file__).with_name("assets")
SLIDER_DECADES = 6
# Five a decade are different whole numbers from 1 on: 1, 2, 3, 4, 6, 10.
STEPS_PER_DECADE = 5
SLIDER_END = SLIDER_DECADES * STEPS_PER_DECADE + 4

CAPTIONS = {
    "agreement": "Share of test examples for which a network predicts the same class after decompression, against the"
    " bits its payload takes. Upper left is better; the axis spreads out towards 100 %. Dashed"
    " lines and crosses are controls, the stepped line is the Pareto front, the dotted line marks 97 %.",
    "accuracy_shift_pp": "Mean absolute change in a network's test accuracy against rate. Upper left is better; the"
    " dotted line marks 1 percentage point. A codec that turns bad networks into good ones does not pass.",
    "output_r2": "Share of the variance of a network's outputs that survives decompression, against the bits its"
    " payload takes. Upper left is better; the axis spreads out towards 1. Dashed lines and"
    " crosses are controls, the stepped line is the Pareto front, the dotted line marks 0.99.",
}


@dataclass(frozen=True)
class View:
    """An analysis of codecs, and what several sections need of it."""

    analysis: Analysis

    @cached_property
    def metrics(self) -> dict[str, Metric]:
        """Every metric that was measured, by name."""
        analysis = self.analysis
        own = (analysis.results, analysis.random_results, analysis.noisy_results, analysis.latent_results)
        return declared(result for results in own for result in results)

    @cached_property
    def intervals(self) -> bool:
        """Whether there are any: not where all networks measured have one minibatch order."""
        return any(one.low is not None for result in self.analysis.results for one in result.metrics.values())

    @cached_property
    def targets(self) -> list[Target]:
        """The qualities at which codecs are compared."""
        return targets(self.analysis.results)

    @cached_property
    def score(self) -> str | None:
        """What each member keeps or loses: "accuracy" or "loss"; ``None`` where neither was measured."""
        return next((name for name in ("accuracy", "loss") if f"{name}_reconstructed" in self.metrics), None)

    @property
    def pair(self) -> tuple[str, str] | None:
        """The two scores of each member that the scatter shows."""
        return None if self.score is None else (f"{self.score}_original", f"{self.score}_reconstructed")

    @cached_property
    def linked(self) -> frozenset[str]:
        """Anchors of trials."""
        return trial_anchors(self.analysis.studies)


def findings(view: View) -> Section:
    """Who wins, by how much, and what a codec that sends nothing would have scored."""
    results, found, summary = view.analysis.results, view.analysis.headlines, view.analysis.summary
    said = sentences(results, found)
    if summary["test_groups"] < FEW_GROUPS:
        said.append(summary["intervals"])
    distortion = next((name for name in DISTORTIONS if name in view.metrics), DISTORTIONS[0])
    return Section(
        anchor="findings",
        heading="Findings",
        blocks=(
            filled(ASSETS, "findings.html.j2", findings=said, cards=cards(results, found)),
            Heading("Codecs compared"),
            headline_table(found, view.metrics[distortion].label if distortion in view.metrics else distortion),
        ),
    )


def quality(view: View) -> Section:
    """Quality against rate, a chart for each target."""
    return Section(
        anchor="quality",
        heading="Rate against quality",
        short="Rate and quality",
        blocks=tuple(
            Chart(
                name=target.metric,
                figure=rate_quality(view.analysis.results, target),
                label=f"Chart of {view.metrics[target.metric].label} against code bits per weight for every codec",
                caption=CAPTIONS[target.metric] + " Bars are 95 % intervals." * view.intervals,
            )
            for target in view.targets
        ),
    )


def shared(view: View) -> Section:
    """What a decoder costs when N networks share it, with a slider for N."""
    target, found = view.targets[0], view.analysis.headlines
    return Section(
        anchor="shared",
        heading="What the shared part costs",
        short="Shared part",
        blocks=(
            Text(
                "A decoder must reach the receiver too. Divided among N networks it adds 8 · shared bytes / (N · P)"
                " bits to each weight, where P is the number of weights of a network. Move the slider to see from how"
                " many networks a codec pays off."
            ),
            filled(ASSETS, "slider.html.j2", end=SLIDER_END, start=4 * STEPS_PER_DECADE, ticks=_slider_ticks()),
            Chart(
                name="amortized",
                figure=rate_quality(view.analysis.results, target, amortized=True),
                label=f"Chart of {view.metrics[target.metric].label} against total bits per weight for the chosen N",
            ),
            Heading(f"Total bits per weight at {target.words}"),
            Text(
                "N* is the smallest number of networks for which a codec beats the best one that shares nothing, at"
                " this quality.",
                "note",
            ),
            amortization_table(found, target.words, view.analysis.results[0].parameters),
        ),
    )


def pareto(view: View) -> Section:
    """The results that no other beats in rate and quality."""
    return Section(
        anchor="pareto",
        heading="Pareto front",
        blocks=(
            Text(
                "No other result has both fewer code bits per weight and a higher"
                f" {view.metrics[view.targets[0].metric].label}."
                " Controls compete too: a codec below them is not on the front."
                + " Small figures are 95 % intervals."
                * view.intervals,
                "note",
            ),
            pareto_table(view.analysis.pareto, view.linked),
        ),
    )


def search(analysis: Analysis, metrics: Mapping[str, Metric], note: Callable[[int, int], str]) -> Section | str:
    """The trials of each study and which of its parameters mattered.

    Args:
        analysis: The analysis.
        metrics: Those of the analysis that a search measures too, by name, beside its study's own.
        note: What is said of a study with so many trials, of which so many were measured.
    """
    if not analysis.studies:
        return "no study was named"
    several, blocks = len(analysis.studies) > 1, list[Block]()
    for study in analysis.studies:
        of = study.name if several else None
        measured = {r.trial for r in analysis.results if r.trial is not None and r.study == of}
        blocks += [*([Heading(study.name)] if several else []), Text(note(len(study.trials), len(measured)))]
        blocks += _searched(study, {**metrics, **study.metrics}, of)
    return Section(
        anchor="search", heading="The searches" if several else "The search", short="Search", blocks=tuple(blocks)
    )


def _searched(study: StudyRecord, metrics: Mapping[str, Metric], of: str | None) -> Iterator[Block]:
    """A study's trials; ``of`` is its name where there are several."""
    table, constants = trials_table(study.trials, metrics, of)
    yield from _infeasible(study.trials, study.facts["study"]["limits"], metrics)
    if study.importances:
        yield Chart(
            name="importances" if of is None else f"importances-of-{of}",
            figure=figures.importances(study.importances, metrics),
            label="Bar chart of parameter importances",
            caption="How much of the variation of each objective a parameter explains.",
        )
    yield table
    if constants:
        listed = Markup(", ").join(Markup("<code>{} = {}</code>").format(name, value) for name, value in constants)
        yield Text(Markup("The same in all trials: {}.").format(listed), "note")


def _infeasible(trials: pd.DataFrame, limits: Mapping[str, float], metrics: Mapping[str, Metric]) -> Iterator[Block]:
    """How many trials break a limit of the study, and which limits it has."""
    broken = int(breaks_limits(trials).sum())
    if broken:
        said = ", ".join(
            f"{metrics[name].label} at {'least' if metrics[name].direction == 'max' else 'most'}"
            f" {with_unit(metrics[name], limit)}"
            for name, limit in limits.items()
        )
        yield Text(
            f"{counted(broken, 'trial')} of {count(len(trials))} {'break' if broken > 1 else 'breaks'} a limit of the"
            f" study ({said}). Such trials are marked as infeasible, and nothing is concluded from them."
        )


def trials_note(trials: int, measured: int) -> str:
    """What is said of a search for codecs with so many trials, of which so many were measured."""
    return (
        f"{counted(trials, 'trial')} on validation networks and validation"
        " examples; figures in this table are the search's own. Measured anew, on networks and examples that the search"
        f" never saw: {count(measured)} from their Pareto front, in the sections above and below."
    )


def fidelity(view: View) -> Section | str:
    """Whether each network keeps its own score."""
    if view.score is None:
        return "neither accuracy nor loss was measured"
    results = view.analysis.results
    return Section(
        anchor="fidelity",
        heading="Does each network stay itself?",
        short="Fidelity",
        blocks=(
            Text(
                f"Every point is one held-out network. On the dashed line it kept its own {view.score}; a codec that"
                " always returns the same good weights draws a horizontal line for each activation, whatever its"
                f" mean {view.score}."
            ),
            filled(
                ASSETS,
                "scatter.html.j2",
                panels=panels(results, view.targets[0].metric, ZERO_RATE),
                option_groups=option_groups(results),
                label=f"Scatter of original against reconstructed {view.score}",
            ),
        ),
    )


def all_results(view: View) -> Section:
    """Every metric of every result, and codecs on untrained networks."""
    analysis, first = view.analysis, view.analysis.results[0]
    blocks: list[Block] = [
        Text(
            f"Measured on {count(first.members)} held-out networks and {count(first.examples)} held-out examples."
            + " Small figures are 95 % intervals." * view.intervals
            + " A click on a heading sorts.",
            "note",
        ),
        results_table(analysis.results, view.linked),
    ]
    if analysis.random_results:
        blocks += [
            Heading("On untrained networks"),
            Text(
                "A control: the same members as they were initialized. What a codec loses here it had learned about"
                " training, not about networks in general. Accuracy and loss mean nothing for them and are left out.",
                "note",
            ),
            untrained_table(analysis.random_results, view.linked),
        ]
    return Section(anchor="results", heading="All results", blocks=tuple(blocks))


def _slider_ticks() -> Sequence[tuple[float, str]]:
    texts = [
        *(count(10**decade) for decade in range(4)),
        *(f"10{'⁴⁵⁶'[decade]}" for decade in range(SLIDER_DECADES - 3)),
    ]
    decades = [(decade * STEPS_PER_DECADE, text) for decade, text in enumerate(texts)]
    return [(round(100 * step / SLIDER_END, 3), text) for step, text in [*decades, (SLIDER_END, "∞")]]
