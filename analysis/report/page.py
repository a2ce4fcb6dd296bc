"""The report: one HTML file that holds everything it shows and opens without a network."""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from typing import Any

import plotly.graph_objects as go

from analysis.pages.glossary import glossary
from analysis.pages.numbers import count
from analysis.pages.page import Bullets, Section, render_page
from analysis.record import Analysis
from analysis.report import autoencoders, figures, latent, sections, study_pages
from analysis.report.boundaries import boundaries
from analysis.report.distances import distances
from analysis.report.errors import where_errors_are
from analysis.report.glossary import DERIVED
from analysis.report.head import facts
from analysis.report.layers import layers
from analysis.report.limits import LIMITS, LIMITS_OF_TRIALS, canonicalization, diverged, inputs, left_out, missing
from analysis.report.noisy_storage import noisy_storage
from analysis.report.reproduce import reproduce
from analysis.report.scatter_panels import scatter_data
from analysis.report.sections import ASSETS, STEPS_PER_DECADE, View


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
    pages = {
        "codecs": _of_codecs,
        "predictors": study_pages.of_predictors,
        "encoders": study_pages.of_encoders,
        "hypernetworks": study_pages.of_hypernetworks,
        "data sets": study_pages.of_sets,
        "generators": study_pages.of_generators,
        "aggregators": study_pages.of_aggregators,
        "groups": study_pages.of_groups,
    }
    return pages[analysis.summary["kind"]](analysis, made_on)


def _of_codecs(analysis: Analysis, made_on: datetime.date) -> str:
    summary, view = analysis.summary, View(analysis)
    own: dict[str, go.Figure] = {}
    data: dict[str, Any] = {
        "steps_per_decade": STEPS_PER_DECADE,
        "target": {"value": view.targets[0].value, "words": view.targets[0].words},
    }
    if view.pair is not None:
        own["fidelity"] = figures.scatter(analysis.results, view.pair, shares=view.score == "accuracy")
        data["fidelity"] = scatter_data(analysis.results, view.pair)
    if analysis.latent_results:
        own[latent.FIGURE] = latent.figure()
        data["latent"] = latent.data(autoencoders.maps_of(analysis.latent_results))
    return render_page(
        title=f"What compressing {summary['zoo'].rpartition('-')[0]} costs",
        lead=_lead(summary, made_on),
        facts=facts(summary),
        sections=_sections(view),
        figures=own,
        data=data,
        scripts=("report.js", *(["latent.js"] if analysis.latent_results else [])),
        assets=ASSETS,
    )


def _sections(view: View) -> list[Section]:
    """Those that this analysis can have, and in the limits why it does not have others."""
    analysis = view.analysis
    candidates: dict[str, Section | str] = {
        "findings": sections.findings(view),
        "rate against quality": sections.quality(view),
        "shared part": sections.shared(view),
        "Pareto front": sections.pareto(view),
        "search": sections.search(analysis, view.metrics, sections.trials_note),
        "fidelity": sections.fidelity(view),
        "where it goes wrong": where_errors_are(view),
        "decision boundaries": boundaries(analysis, view.linked),
        "distances": distances(analysis),
        "layer by layer": layers(analysis),
        "what latents hold": autoencoders.autoencoders(analysis),
        "noisy storage": noisy_storage(analysis),
        "all results": sections.all_results(view),
    }
    summary = analysis.summary
    limits = (
        *inputs(summary),
        summary["intervals"],
        *LIMITS,
        *(LIMITS_OF_TRIALS if any(result.trial is not None for result in analysis.results) else ()),
        *canonicalization(summary),
        *left_out(summary),
        *diverged(summary),
    )
    return [
        *(section for section in candidates.values() if isinstance(section, Section)),
        Section(anchor="glossary", heading="Glossary", blocks=(glossary(view.metrics.values(), own=DERIVED),)),
        Section(anchor="limits", heading="Limits", blocks=(Bullets((*limits, *missing(candidates))),)),
        reproduce(summary),
    ]


def _lead(summary: Mapping[str, Any], made_on: datetime.date) -> str:
    text = (
        f"A population of {count(summary['zoo_members'])} trained networks, compressed by classical and learned"
        " codecs; how many bits each needs, and how much of every network's behavior survives."
    )
    return f"{text} {made_on:%-d %B %Y}."
