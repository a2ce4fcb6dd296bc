"""The report: one HTML file that holds everything it shows and opens without a network."""

from __future__ import annotations

import datetime
from collections.abc import Mapping, Sequence
from typing import Any

import plotly.graph_objects as go

from analysis.evaluators.inputs import in_words
from analysis.pages.glossary import glossary
from analysis.pages.numbers import count, counted, percent, significant
from analysis.pages.page import Bullets, Code, Fact, Section, Text, installed_versions, render_page
from analysis.record import Analysis
from analysis.report import (
    aggregators,
    autoencoders,
    conditioning,
    encoders,
    figures,
    generators,
    hypernetworks,
    latent,
    made_for_sets,
    predictors,
    sections,
    zoo_matrices,
)
from analysis.report.boundaries import boundaries
from analysis.report.distances import distances
from analysis.report.errors import where_errors_are
from analysis.report.glossary import DERIVED
from analysis.report.layers import layers
from analysis.report.noisy_storage import noisy_storage
from analysis.report.reproduce import commands
from analysis.report.scatter_panels import scatter_data
from analysis.report.sections import ASSETS, STEPS_PER_DECADE, View
from analysis.results import Result, declared

LIBRARIES = ("zooscale", "torch", "numpy", "scikit-learn", "constriction", "optuna", "ray", "plotly")

# Where trials of a search were measured.
LIMITS_OF_TRIALS = (
    "Between two autoencoders there is no third, so no rate is interpolated there: their rate, shared bytes and N* are"
    " those of the cheapest measured trial that reaches the target. Only the BD-rate, an average along a front, goes"
    " between trials.",
    "Which trials are the best was decided on one fit of each, which intervals do not cover.",
)
MAIN_WORDS = ("true test accuracy", "predicted test accuracy")
INTERVAL_OF_PREDICTORS = (
    "Bootstrap over test members, by groups of members that share a minibatch order, and over seeds where a predictor"
    " has several."
)

LIMITS = (
    "Rates at infinite N leave out what is shared; total bits per weight for N networks put it back in.",
    "Held-out networks come from the same zoo as those the codecs were fitted to. Nothing is said about other"
    " architectures, zoos or data sets.",
    "Rates between two settings of a classical codec are interpolated (quality linear in the logarithm of the rate);"
    " a rate below a codec's cheapest setting is not guessed at.",
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
    pages = {
        "codecs": _of_codecs,
        "predictors": _of_predictors,
        "encoders": _of_encoders,
        "hypernetworks": _of_hypernetworks,
        "data sets": _of_sets,
        "generators": _of_generators,
        "aggregators": _of_aggregators,
    }
    return pages[analysis.summary["kind"]](analysis, made_on)


def _of_predictors(analysis: Analysis, made_on: datetime.date) -> str:
    summary = analysis.summary
    drawn = [result for result in analysis.results if result.values]
    scatter = figures.scatter(drawn, predictors.PAIR, shares=_shares(drawn), words=_words(summary)) if drawn else None
    return _of_columns(
        analysis,
        title=f"What the weights of {summary['zoo'].rpartition('-')[0]} tell",
        lead=f"how well what is known of a network can be predicted from its weights. {made_on:%-d %B %Y}.",
        findings=[predictors.findings(analysis)],
        candidates={"what weights tell": predictors.what_weights_tell(analysis)},
        searched=predictors.trials_note(analysis),
        limits=predictors.LIMITS,
        figures={} if scatter is None else {"fidelity": scatter},
        data={"fidelity": scatter_data(drawn, predictors.PAIR)} if drawn else {},
        scripts=("report.js",),
        assets=ASSETS,
    )


def _of_encoders(analysis: Analysis, made_on: datetime.date) -> str:
    maps = analysis.maps
    drawn = encoders.predicted(analysis)
    scatter = figures.scatter(drawn, predictors.PAIR, shares=_shares(drawn), words=MAIN_WORDS) if drawn else None
    return _of_columns(
        analysis,
        title=f"What embeddings of {analysis.summary['zoo'].rpartition('-')[0]} tell",
        lead="what encoders, which see nothing but weights, keep of how each was trained and how good it is."
        f" {made_on:%-d %B %Y}.",
        findings=[encoders.findings(analysis)],
        candidates={
            "predicted against true": encoders.predicted_against_true(drawn),
            "other zoos": encoders.other_zoos(analysis),
            "zoos by zoos": zoo_matrices.crosswise(analysis),
            "other layouts": encoders.other_layouts(analysis),
            "where networks lie": latent.section(maps) if maps else "no encoder can embed the zoo's test networks",
            "what encoders are compared with": encoders.compared_with(),
        },
        searched=predictors.trials_note(analysis, "encoder"),
        limits=encoders.LIMITS,
        figures=({latent.FIGURE: latent.figure()} if maps else {}) | ({"fidelity": scatter} if scatter else {}),
        data=({"latent": latent.data(maps)} if maps else {})
        | ({"fidelity": scatter_data(drawn, predictors.PAIR)} if drawn else {}),
        scripts=("report.js", "latent.js"),
        assets=ASSETS,
    )


def _of_hypernetworks(analysis: Analysis, made_on: datetime.date) -> str:
    summary = analysis.summary
    return _of_columns(
        analysis,
        title=f"Networks made for the tasks of {summary['zoo'].rpartition('-')[0]}",
        lead=f"a generator makes one for each task from a small vector. {made_on:%-d %B %Y}.",
        findings=[
            hypernetworks.findings(analysis),
            hypernetworks.ways(analysis.results),
            hypernetworks.interpolation(summary),
        ],
        candidates={},
        searched=predictors.trials_note(analysis, "hypernetwork"),
        limits=hypernetworks.LIMITS,
    )


def _of_sets(analysis: Analysis, made_on: datetime.date) -> str:
    return _of_columns(
        analysis,
        title=f"Networks made for sets of {analysis.summary['datasets'][0]}",
        lead=f"a set of labeled examples becomes a network in one pass. {made_on:%-d %B %Y}.",
        findings=[made_for_sets.findings(analysis), made_for_sets.ways()],
        candidates={},
        searched=predictors.trials_note(analysis, "hypernetwork"),
        limits=made_for_sets.LIMITS,
    )


def _of_generators(analysis: Analysis, made_on: datetime.date) -> str:
    return _of_columns(
        analysis,
        title=f"New networks after {analysis.summary['zoo'].rpartition('-')[0]}",
        lead=f"generators make others of their kind; how good and how new these are. {made_on:%-d %B %Y}.",
        findings=[generators.findings(analysis), generators.compared_with()],
        candidates={
            "conditioning": conditioning.section(analysis.summary),
            "decision boundaries": generators.boundaries(analysis),
        },
        searched=predictors.trials_note(analysis, "generator"),
        limits=generators.LIMITS,
    )


def _of_aggregators(analysis: Analysis, made_on: datetime.date) -> str:
    return _of_columns(
        analysis,
        title=f"Learned gradients on {analysis.summary['dataset']}",
        lead=f"what weighs the examples of a minibatch was fitted to trainings like theirs. {made_on:%-d %B %Y}.",
        findings=[aggregators.findings(analysis), aggregators.learned(analysis.summary), aggregators.compared_with()],
        candidates={},
        searched=predictors.trials_note(analysis, "aggregator"),
        limits=aggregators.LIMITS,
    )


def _of_columns(
    analysis: Analysis,
    *,
    title: str,
    lead: str,
    findings: Sequence[Section],
    candidates: Mapping[str, Section | str],
    searched: str,
    limits: Sequence[str],
    **drawn: Any,
) -> str:
    """A report of what columns of a zoo are told from; ``drawn`` are options of ``render_page``."""
    summary = analysis.summary
    found = {**candidates, "search": sections.search(analysis, analysis.study_metrics, searched)}
    diverged = _diverged(summary) if "test_members_diverged" in summary else []
    bullets = (summary["intervals"], *limits, *diverged, *_missing(found))
    terms = glossary(declared(analysis.results).values(), own={"95 % interval": INTERVAL_OF_PREDICTORS})
    return render_page(
        title=title,
        lead=f"A population of {count(summary['zoo_members'])} trained networks: {lead}",
        facts=_facts(summary),
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


def _missing(candidates: Mapping[str, Section | str]) -> list[str]:
    """Why there are no sections that others have."""
    return [f"There is no section “{name}”: {why}." for name, why in candidates.items() if isinstance(why, str)]


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
        facts=_facts(summary),
        sections=_sections(view),
        figures=own,
        data=data,
        scripts=("report.js", "latent.js"),
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
        "search": sections.search(analysis, {**view.metrics, **analysis.study_metrics}, sections.trials_note(analysis)),
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
        *_inputs(summary),
        summary["intervals"],
        *LIMITS,
        *(LIMITS_OF_TRIALS if any(result.trial is not None for result in analysis.results) else ()),
        *_canonicalization(summary),
        *_left_out(summary),
        *_diverged(summary),
    )
    return [
        *(section for section in candidates.values() if isinstance(section, Section)),
        Section(anchor="glossary", heading="Glossary", blocks=(glossary(view.metrics.values(), own=DERIVED),)),
        Section(anchor="limits", heading="Limits", blocks=(Bullets((*limits, *_missing(candidates))),)),
        reproduce(summary),
    ]


def reproduce(summary: Mapping[str, Any]) -> Section:
    """The commands that make it again, and by which versions it was made."""
    versions = installed_versions(LIBRARIES)
    return Section(
        anchor="reproduce",
        heading="How to reproduce",
        short="Reproduce",
        blocks=(Code(commands(summary)), *([Text(versions, "note")] if versions else [])),
    )


def _lead(summary: Mapping[str, Any], made_on: datetime.date) -> str:
    text = (
        f"A population of {count(summary['zoo_members'])} trained networks, compressed by classical and learned"
        " codecs; how many bits each needs, and how much of every network's behavior survives."
    )
    return f"{text} {made_on:%-d %B %Y}."


def _facts(summary: Mapping[str, Any]) -> list[Fact]:
    zoo = [
        ("Zoo", summary["zoo"].rpartition("-")[0], f"digest {summary['zoo_digest'][:16]}"),
        ("Networks", count(summary["zoo_members"]), _weights_each(summary)),
        ("Data set", summary["dataset"], ""),
    ]
    measured_on = f"{count(summary['test_members'])} networks"
    if summary["kind"] == "predictors":
        own = [
            ("Predicted", ", ".join(summary["targets"]), ""),
            ("Measured on", measured_on, "all held out, one snapshot each"),
        ]
    elif summary["kind"] == "encoders":
        own = [
            ("Read from embeddings", f"{count(len(summary['targets']))} columns", "of the zoo"),
            (
                "Measured on",
                measured_on,
                "all held out; their last snapshots, and all" if summary["snapshots"][1:] else "all held out",
            ),
        ]
    elif summary["kind"] == "hypernetworks":
        return [
            Fact(name=name, value=value, detail=detail)
            for name, value, detail in (
                *zoo,
                ("Trained on", counted(summary["training_tasks"], "task"), ""),
                ("Measured on", counted(len(summary["tasks"]), "task"), "all held out"),
            )
        ]
    elif summary["kind"] == "data sets":
        return [
            Fact(name=name, value=value, detail=detail)
            for name, value, detail in (
                *zoo,
                ("Measured on", counted(summary["test_members"], "set"), f"of {summary['set_size']} examples each"),
            )
        ]
    elif summary["kind"] == "aggregators":
        return [
            Fact(name=name, value=value, detail=detail)
            for name, value, detail in (
                *zoo,
                ("Trained", counted(summary["test_members"], "network"), f"{summary['horizon']} steps each"),
                ("Sets", f"{count(summary['set_size'])} examples", "a set of its own for each network"),
            )
        ]
    elif summary["kind"] == "generators":
        own = [("Measured", f"{count(summary['test_members'])} networks", "made by each generator")]
    else:
        own = _measured_facts(summary)
    fitted = [("Fitted on", f"{count(summary['training_snapshots'])} snapshots", "of training networks")]
    if summary["study"]:
        name = summary["study"].rpartition("-")[0]
        fitted.append(("Search", counted(summary["trials"], "trial"), f"study {name}"))
    return [Fact(name=name, value=value, detail=detail) for name, value, detail in [*zoo, *own, *fitted]]


def _weights_each(summary: Mapping[str, Any]) -> str:
    if summary["kind"] != "codecs":
        counts = sorted(summary["parameters"])
        several = f" to {count(counts[-1])} weights, {len(counts)} layouts" if len(counts) > 1 else " weights each"
        return f"{count(counts[0])}{several}"
    layout = "" if summary["layout"] is None else f", layout {summary['layout']}"
    return f"{count(summary['parameters'])} weights each{layout}"


def _measured_facts(summary: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """How good the networks are that codecs were measured on."""
    written = percent if summary["score"] == "accuracy_original" else significant
    mean, spread, low, high = (written(summary[f"score_{name}"]) for name in ("mean", "sd", "min", "max"))
    facts = [
        (
            f"{summary['score_label'].capitalize()}, mean ± SD",
            f"{mean.removesuffix(' %')} ± {spread}",
            f"from {low} to {high}",
        )
    ]
    if summary["pairwise_agreement"] is not None:
        facts.append(("Pairwise agreement", percent(summary["pairwise_agreement"]), "of two test networks"))
    groups = f"of {counted(summary['test_groups'], 'group')} by minibatch order, " if summary["grouped"] else ""
    return [
        *facts,
        (
            "Measured on",
            f"{count(summary['test_members'])} networks",
            f"{groups}and {count(summary['test_examples'])} examples, all held out",
        ),
    ]


def _inputs(summary: Mapping[str, Any]) -> list[str]:
    """On which inputs fidelity was measured."""
    others = "; ".join(f"{in_words(name)[1]}" for name in summary["inputs"])
    measured = f", and on others that nothing was fitted to: {others}" if others else ""
    return [
        f"Fidelity is measured on held-out examples of the networks' own data set{measured}. Elsewhere it is not"
        " tested, and usually lower."
    ]


def _canonicalization(summary: Mapping[str, Any]) -> list[str]:
    kept = summary["canonicalization"]
    name = summary["quality"]
    written = percent if name == "agreement" else significant
    others = [value for key, value in kept.items() if key.startswith(f"{name}_") and not key.endswith("_p5")]
    shifted = f" ({', '.join(map(written, others))} on other inputs)" if others else ""
    return [
        "Before coding, for all codecs alike, weights on inputs that are zero in every training example are set to zero"
        f" and hidden units are aligned with those of the first training snapshot. The {name} of the untouched networks"
        f" with these is {written(kept[name])}{shifted}; figures here are relative to the networks after that step."
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
    """What is said of codecs and evaluators that do not suit these networks."""
    names = summary["codecs_left_out"]
    do = "it does" if len(names) == 1 else "they do"
    said = [f"Not measured, for {do} not know such networks: {', '.join(names)}."] if names else []
    if summary["recipe"].get("kind") == "imported":
        said.append("Not measured on untrained networks: how imported networks were initialized is not known.")
    return said + [f"Not measured: {name}, which {why}." for name, why in summary["evaluators_left_out"].items()]
