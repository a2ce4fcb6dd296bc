"""Reports of all kinds but of codecs: what was found, what was searched, what it does not say."""

from __future__ import annotations

import datetime
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from analysis.measuring.results import Result, declared
from analysis.pages.glossary import glossary
from analysis.pages.numbers import count
from analysis.pages.page import Bullets, Section, render_page
from analysis.record import Analysis
from analysis.report import (
    aggregators,
    conditioning,
    encoders,
    figures,
    generators,
    groups,
    hypernetworks,
    latent,
    made_for_sets,
    predictors,
    sections,
    zoo_matrices,
)
from analysis.report.head import facts
from analysis.report.limits import diverged, missing
from analysis.report.reproduce import reproduce
from analysis.report.scatter_panels import scatter_data
from analysis.report.sections import ASSETS

MAIN_WORDS = ("true test accuracy", "predicted test accuracy")
INTERVAL = (
    "Bootstrap over test members, by groups of members that share a minibatch order, or their task, and over seeds"
    " where a predictor has several."
)


def of_predictors(analysis: Analysis, made_on: datetime.date) -> str:
    """How well what is known of networks is predicted from their weights."""
    summary = analysis.summary
    drawn = [result for result in analysis.results if result.values]
    scatter = figures.scatter(drawn, predictors.PAIR, shares=_shares(drawn), words=_words(summary)) if drawn else None
    return _page(
        analysis,
        title=f"What the weights of {summary['zoo'].rpartition('-')[0]} tell",
        lead=f"how well what is known of a network can be predicted from its weights. {made_on:%-d %B %Y}.",
        findings=[predictors.findings(analysis)],
        candidates={"what weights tell": predictors.what_weights_tell(analysis)},
        searched="kind of predictor",
        limits=predictors.LIMITS,
        figures={} if scatter is None else {"fidelity": scatter},
        data={"fidelity": scatter_data(drawn, predictors.PAIR)} if drawn else {},
        scripts=("report.js",),
        assets=ASSETS,
    )


def of_encoders(analysis: Analysis, made_on: datetime.date) -> str:
    """What embeddings of networks keep of them."""
    maps = analysis.maps
    drawn = encoders.predicted(analysis)
    scatter = figures.scatter(drawn, predictors.PAIR, shares=_shares(drawn), words=MAIN_WORDS) if drawn else None
    return _page(
        analysis,
        title=f"What embeddings of {analysis.summary['zoo'].rpartition('-')[0]} tell",
        lead="what encoders, which see nothing but weights, keep of how each was trained and how good it is."
        f" {made_on:%-d %B %Y}.",
        findings=[encoders.findings(analysis)],
        candidates={
            "predicted against true": encoders.predicted_against_true(drawn),
            "other zoos": encoders.other_zoos(analysis),
            "data sets": encoders.data_sets(analysis),
            "zoos by zoos": zoo_matrices.crosswise(analysis),
            "other layouts": encoders.other_layouts(analysis),
            "where networks lie": latent.section(maps) if maps else "no encoder can embed the zoo's test networks",
            "what encoders are compared with": encoders.compared_with(),
        },
        searched="encoder",
        limits=encoders.LIMITS,
        figures=({latent.FIGURE: latent.figure()} if maps else {}) | ({"fidelity": scatter} if scatter else {}),
        data=({"latent": latent.data(maps)} if maps else {})
        | ({"fidelity": scatter_data(drawn, predictors.PAIR)} if drawn else {}),
        scripts=("report.js", *(["latent.js"] if maps else [])),
        assets=ASSETS,
    )


def of_hypernetworks(analysis: Analysis, made_on: datetime.date) -> str:
    """How good networks made for tasks are."""
    summary = analysis.summary
    return _page(
        analysis,
        title=f"Networks made for the tasks of {summary['zoo'].rpartition('-')[0]}",
        lead=f"a generator makes one for each task from a small vector. {made_on:%-d %B %Y}.",
        findings=[
            hypernetworks.findings(analysis),
            hypernetworks.ways(analysis.results),
            hypernetworks.interpolation(summary),
        ],
        candidates={},
        searched="hypernetwork",
        limits=hypernetworks.LIMITS,
    )


def of_sets(analysis: Analysis, made_on: datetime.date) -> str:
    """How good networks made for sets of examples are."""
    return _page(
        analysis,
        title=f"Networks made for sets of {analysis.summary['datasets'][0]}",
        lead=f"a set of labeled examples becomes a network in one pass. {made_on:%-d %B %Y}.",
        findings=[made_for_sets.findings(analysis), made_for_sets.ways()],
        candidates={},
        searched="hypernetwork",
        limits=made_for_sets.LIMITS,
    )


def of_generators(analysis: Analysis, made_on: datetime.date) -> str:
    """How good and how new generated networks are."""
    return _page(
        analysis,
        title=f"New networks after {analysis.summary['zoo'].rpartition('-')[0]}",
        lead=f"generators make others of their kind; how good and how new these are. {made_on:%-d %B %Y}.",
        findings=[generators.findings(analysis), generators.compared_with()],
        candidates={
            "conditioning": conditioning.section(analysis.summary),
            "decision boundaries": generators.boundaries(analysis),
        },
        searched="generator",
        limits=generators.LIMITS,
    )


def of_aggregators(analysis: Analysis, made_on: datetime.date) -> str:
    """How networks trained by learned gradients do."""
    return _page(
        analysis,
        title=f"Learned gradients on {analysis.summary['dataset']}",
        lead=f"what weighs the examples of a minibatch was fitted to trainings like theirs. {made_on:%-d %B %Y}.",
        findings=[aggregators.findings(analysis), aggregators.learned(analysis.summary), aggregators.compared_with()],
        candidates={},
        searched="aggregator",
        limits=aggregators.LIMITS,
    )


def of_groups(analysis: Analysis, made_on: datetime.date) -> str:
    """What networks are and withstand, by how they were trained."""
    summary = analysis.summary
    return _page(
        analysis,
        title=f"Networks of {summary['zoo'].rpartition('-')[0]} by {', '.join(summary['columns'])}",
        lead=f"what those trained in each way are and withstand. {made_on:%-d %B %Y}.",
        findings=[groups.findings(analysis)],
        candidates={"examples made on other networks": groups.transfers(analysis)},
        limits=groups.limits(summary),
    )


def _page(
    analysis: Analysis,
    *,
    title: str,
    lead: str,
    findings: Sequence[Section],
    candidates: Mapping[str, Section | str],
    searched: str = "",
    limits: Sequence[str],
    **drawn: Any,
) -> str:
    """A report of what columns of a zoo are told from; ``drawn`` are options of ``render_page``."""
    summary = analysis.summary
    found = dict(candidates)
    if analysis.studies:
        found["search"] = sections.search(analysis, {}, partial(predictors.trials_note, each=searched))
    left_out = diverged(summary) if "test_members_diverged" in summary else []
    bullets = (summary["intervals"], *limits, *left_out, *missing(found))
    searched_by = {name: m for study in analysis.studies for name, m in study.metrics.items() if name in study.trials}
    terms = glossary((searched_by | declared(analysis.results)).values(), own={"95 % interval": INTERVAL})
    return render_page(
        title=title,
        lead=f"A population of {count(summary['zoo_members'])} trained networks: {lead}",
        facts=facts(summary),
        sections=[
            *findings,
            *(section for section in found.values() if isinstance(section, Section)),
            Section(anchor="glossary", heading="Glossary", blocks=(terms,)),
            Section(anchor="limits", heading="Limits", blocks=(Bullets(bullets),)),
            reproduce(summary),
        ],
        **drawn,
    )


def _shares(drawn: Sequence[Result]) -> bool:
    """Whether all true targets are shares, as accuracies are."""
    return all(0 <= value <= 1 for result in drawn for value in result.values[predictors.PAIR[0]])


def _words(summary: Mapping[str, Any]) -> tuple[str, str]:
    """What the axes of predictions are called."""
    target = " or ".join(summary["targets"]).replace("_", " ")
    return f"true {target}", f"predicted {target}"
