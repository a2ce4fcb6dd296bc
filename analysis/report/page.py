"""The report: one HTML file that holds everything it shows and opens without a network."""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import plotly.graph_objects as go

from analysis.analyze import Analysis
from analysis.pages.numbers import count
from analysis.pages.page import Fact, installed_versions, render_page
from analysis.report import figures, rate_figures
from analysis.report.fidelity_panels import fidelity_data, option_groups, panels
from analysis.report.findings import cards, sentences
from analysis.report.glossary import DERIVED, METRICS
from analysis.report.reproduce import commands
from analysis.report.tables import (
    amortization_table,
    headline_table,
    pareto_table,
    results_table,
    trials_table,
    untrained_table,
)

ASSETS = Path(__file__).with_name("assets")
SLIDER_DECADES = 6
# Five a decade are different whole numbers from 1 on: 1, 2, 3, 4, 6, 10.
STEPS_PER_DECADE = 5
SLIDER_END = SLIDER_DECADES * STEPS_PER_DECADE + 4
LIBRARIES = ("zooscale", "torch", "numpy", "constriction", "optuna", "ray", "plotly")

LIMITS = (
    "Fidelity is measured on held-out images of the networks' own data set and on the same images shifted by one"
    " pixel. Other inputs are not tested; agreement there is usually lower.",
    "Rates at infinite N leave out what is shared; total_bits_per_weight(N) puts it back in.",
    "Held-out networks come from the same recipe as those the codecs were fitted to. Nothing is said about other"
    " architectures, recipes or data sets.",
    "Rates between two settings of a classical codec are interpolated (agreement linear in the logarithm of the rate);"
    " a rate below a codec's cheapest setting is not guessed at. Autoencoders are not: between two trials there is no"
    " third, so their rate, shared_bytes and N* are those of the cheapest measured trial that reaches the target. Only"
    " the BD-rate, an average along a front, goes between trials.",
    "Intervals cover the choice of networks and images, and of seeds only where a codec was fitted several times:"
    " autoencoders of which the setting says so. Which trials are the best was decided on one fit of each.",
    "Seconds were measured in one process on the machine that made this report; they are not a benchmark.",
)


def render(analysis: Analysis, *, made_on: datetime.date | None = None) -> str:
    """Writes an analysis as one self-contained HTML file.

    Args:
        analysis: What was measured; at least one result.
        made_on: The date that the report bears; today where ``None``.

    Returns:
        The text of the file, some 5 MB: plotly.js, data, styles and scripts are inside it.

    Raises:
        ValueError: There are no results to report.
    """
    if not analysis.results:
        raise ValueError("the analysis has no results; measure at least one codec before writing a report")
    made_on = made_on or datetime.datetime.now(datetime.UTC).date()
    style = figures.styles(analysis.results)
    summary = analysis.summary
    return render_page(
        title=f"What compressing {summary['zoo'].rpartition('-')[0]} costs",
        lead=_lead(summary, made_on),
        facts=_facts(summary),
        template="report.html.j2",
        context=_context(analysis, style),
        figures=_figures(analysis),
        data={"fidelity": fidelity_data(analysis.results, style), "steps_per_decade": STEPS_PER_DECADE},
        scripts=("report.js",),
        assets=ASSETS,
    )


def _figures(analysis: Analysis) -> dict[str, go.Figure]:
    results = analysis.results
    charts = {
        "agreement": rate_figures.rate_agreement(results),
        "accuracy": rate_figures.rate_accuracy(results),
        "amortized": rate_figures.amortized(results),
        "fidelity": figures.fidelity(results),
    }
    if analysis.importances:
        charts["importances"] = figures.importances(analysis.importances)
    return charts


def _context(analysis: Analysis, style: Mapping[str, figures.Style]) -> dict[str, Any]:
    results, summary = analysis.results, analysis.summary
    trials, constants = (None, ()) if analysis.trials is None else trials_table(analysis.trials)
    linked = frozenset(row.anchor for row in trials.rows if row.anchor is not None) if trials else frozenset()
    return {
        "contents": _contents(trials is not None),
        "findings": sentences(results, analysis.headlines),
        "cards": cards(results, analysis.headlines),
        "headlines": headline_table(analysis.headlines, style),
        "slider": {"end": SLIDER_END, "start": 4 * STEPS_PER_DECADE, "ticks": _slider_ticks()},
        "amortization": amortization_table(analysis.headlines, results[0].parameters, style),
        "pareto": pareto_table(analysis.pareto, style, linked),
        "trials": trials,
        "trials_note": _trials_note(analysis),
        "constants": constants,
        "importances": bool(analysis.importances),
        "option_groups": option_groups(results),
        "panels": panels(results),
        "results": results_table(results, style, linked),
        "untrained": untrained_table(analysis.random_results, style, linked) if analysis.random_results else None,
        "members": count(results[0].members),
        "images": count(results[0].images),
        "glossary": [
            *((m.name, m.unit, m.meaning) for m in METRICS.values()),
            *((name, "", meaning) for name, meaning in DERIVED.items()),
        ],
        "limits": [*LIMITS, *_canonicalization(summary), *_left_out(summary), *_diverged(summary)],
        "commands": commands(summary),
        "versions": installed_versions(LIBRARIES),
    }


def _lead(summary: Mapping[str, Any], made_on: datetime.date) -> str:
    text = (
        f"A population of {count(summary['zoo_members'])} trained networks, compressed by classical and learned"
        " codecs; how many bits each needs, and how much of every network's behavior survives."
    )
    return f"{text} {made_on:%-d %B %Y}."


def _facts(summary: Mapping[str, Any]) -> list[Fact]:
    percent = METRICS["agreement"].format
    facts = [
        ("Zoo", summary["zoo"].rpartition("-")[0], f"digest {summary['zoo_digest'][:16]}"),
        ("Networks", count(summary["zoo_members"]), f"{count(summary['parameters'])} weights each"),
        ("Data set", summary["dataset"], ""),
        (
            "Test accuracy, mean ± SD",
            f"{percent(summary['accuracy_mean'])} ± {percent(summary['accuracy_sd'])} %",
            f"from {percent(summary['accuracy_min'])} to {percent(summary['accuracy_max'])} %",
        ),
        (
            "Measured on",
            f"{count(summary['test_members'])} networks",
            f"and {count(summary['test_images'])} images, all held out",
        ),
        ("Fitted on", f"{count(summary['training_snapshots'])} snapshots", "of training networks"),
    ]
    if summary["pairwise_agreement"] is not None:
        facts.insert(4, ("Pairwise agreement", f"{percent(summary['pairwise_agreement'])} %", "of two test networks"))
    if summary["study"]:
        name = summary["study"].rpartition("-")[0]
        facts.append(("Search", f"{count(summary['trials'])} trials", f"study {name}"))
    return [Fact(name=name, value=value, detail=detail) for name, value, detail in facts]


def _contents(searched: bool) -> list[tuple[str, str]]:
    return [
        ("findings", "Findings"),
        ("quality", "Rate and quality"),
        ("shared", "Shared part"),
        ("pareto", "Pareto front"),
        *([("search", "Search")] if searched else []),
        ("fidelity", "Fidelity"),
        ("results", "All results"),
        ("glossary", "Glossary"),
        ("limits", "Limits"),
        ("reproduce", "Reproduce"),
    ]


def _trials_note(analysis: Analysis) -> str:
    if analysis.trials is None:
        return ""
    measured = len({r.trial for r in analysis.results if r.trial is not None})
    return (
        f"{count(len(analysis.trials))} trials on validation networks and validation images; figures in this table are"
        f" the search's own. Measured anew, on networks and images that the search never saw: {count(measured)} from"
        " their Pareto front, in the sections above and below."
    )


def _canonicalization(summary: Mapping[str, Any]) -> list[str]:
    percent = METRICS["agreement"].format
    return [
        "Before coding, for all codecs alike, weights on inputs that are zero in every training image are set to zero"
        " and hidden units are aligned with those of the first training snapshot."
        f" The untouched networks agree with these on {percent(summary['canonicalization_agreement'])} % of the test"
        f" images and {percent(summary['canonicalization_agreement_shifted'])} % of the shifted ones; figures here are"
        " relative to the networks after that step."
    ]


def _diverged(summary: Mapping[str, Any]) -> list[str]:
    """What is said of networks that were left out."""
    test, training = summary["test_members_diverged"], summary["training_snapshots_diverged"]
    if not test and not training:
        return ["No network was left out: no held-out network and no training snapshot has diverged."]
    return [
        f"Left out, for their weights or losses are not finite: {count(test)} held-out networks and {count(training)}"
        " training snapshots. Nothing is said about networks that diverged."
    ]


def _left_out(summary: Mapping[str, Any]) -> list[str]:
    """What is said of codecs that do not know the architecture."""
    names = summary["codecs_left_out"]
    know = "it knows" if len(names) == 1 else "they know"
    return [f"Not measured, for {know} multilayer perceptrons only: {', '.join(names)}."] if names else []


def _slider_ticks() -> list[tuple[float, str]]:
    decades = [(decade * STEPS_PER_DECADE, count(10**decade)) for decade in range(SLIDER_DECADES + 1)]
    return [(round(100 * step / SLIDER_END, 3), text) for step, text in [*decades, (SLIDER_END, "∞")]]
