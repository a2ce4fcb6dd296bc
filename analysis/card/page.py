"""The card as a page: one HTML file that holds everything it shows and opens without a network."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import plotly.graph_objects as go

from analysis.card import charts
from analysis.card.page_tables import epoch_table, hyper_parameter_table, layout_table, split_table, task_table
from analysis.card.panels import header_facts, layout_panel, recipe_rows, shared_sentences
from analysis.card.record import Card
from analysis.card.usage import citation, duckdb_snippet, pandas_snippet, python_snippet, regenerate_snippet
from analysis.card.verdicts import DIVERSE_AGREEMENT
from analysis.card.weights import MOST_ENTRIES
from analysis.pages.numbers import count
from analysis.pages.page import installed_versions, render_page

ASSETS = Path(__file__).with_name("assets")
SNAPSHOTS = {"last": "Last snapshots", "one": "One snapshot a member, its epoch drawn"}
LIBRARIES = ("zooscale", "torch", "numpy", "plotly")


def render(card: Card, *, made_on: datetime.date | None = None) -> str:
    """Writes a card as one self-contained HTML file.

    Args:
        card: The card.
        made_on: The date that the page bears; today where ``None``.

    Returns:
        The text of the file, some 5 MB: plotly.js, data, styles and scripts are inside it.
    """
    made_on = made_on or datetime.datetime.now(datetime.UTC).date()
    figures = _figures(card)
    return render_page(
        title=f"Model zoo {card.identity.name.rpartition('-')[0]}",
        lead=_lead(card, made_on),
        facts=header_facts(card),
        template="card.html.j2",
        context=_context(card, set(figures)),
        figures=figures,
        assets=ASSETS,
    )


def _figures(card: Card) -> dict[str, go.Figure]:
    """All charts that the card has something to show in, by the names that the template uses."""
    known = card.epochs[-1].metrics["test_accuracy"].count > 0
    makers: dict[str, tuple[bool, Callable[[], go.Figure]]] = {
        "accuracy": (known and len(card.epochs) > 1, lambda: charts.over_epochs(card.epochs, "accuracy")),
        "loss": (
            len(card.epochs) > 1 and any(facts.metrics["test_loss"].count for facts in card.epochs),
            lambda: charts.over_epochs(card.epochs, "loss"),
        ),
        "final": (known, lambda: charts.final_accuracy(card.final)),
        "gap": (
            sum(card.final.histograms["generalization_gap"].counts) > 0,
            lambda: charts.members_by(
                card.final.histograms["generalization_gap"], "generalization gap (training − test accuracy)", zero=True
            ),
        ),
        "frequencies": (_chosen(card), lambda: charts.frequencies(card.varying)),
        "effects": (_chosen(card) and known, lambda: charts.effects(card.varying)),
        "explained": (
            any(entry.explained is not None for entry in card.varying),
            lambda: charts.explained(card.varying),
        ),
        "tasks": (len(card.tasks) > 0, lambda: charts.task_accuracy(card.tasks)),
    }
    figures = {name: make() for name, (shown, make) in makers.items() if shown}
    if card.behavior is not None:
        facts = card.behavior
        figures["classes"] = charts.class_accuracy(facts)
        figures["calibration"] = charts.members_by(facts.calibration_histogram, "expected calibration error")
        if facts.agreement and facts.agreement[0].pairs:
            figures["agreement"] = charts.agreement(facts.agreement)
            if facts.agreement[-1].matrix:
                figures["matrix"] = charts.agreement_matrix(facts.agreement[-1])
    for number, layout in enumerate(card.layouts):
        if layout.tensors:
            figures[f"values-{number}"] = charts.tensor_values(layout)
            figures[f"histograms-{number}"] = charts.tensor_histograms(layout)
            figures[f"norms-{number}"] = charts.norms(layout)
        if layout.distances:
            figures[f"distances-{number}"] = charts.distances(layout.distances)
    return figures


def _context(card: Card, shown: set[str]) -> dict[str, Any]:
    measured = [layout_panel(number, layout) for number, layout in enumerate(card.layouts) if layout.tensors]
    return {
        "contents": _contents(card),
        "shown": shown,
        "uses": card.uses,
        "limits": card.limits,
        "sample": _how_measured(card),
        "varying": hyper_parameter_table(card.varying, card.identity.members),
        "constant": {name: _text(value) for name, value in card.constant.items()},
        "epochs": epoch_table(card.epochs),
        "several_epochs": len(card.epochs) > 1,
        "behavior": card.behavior,
        "agreement_words": _agreement_words(card),
        "matrix_words": _matrix_words(card),
        "diverse": f"{100 * DIVERSE_AGREEMENT:.0f} %",
        "unmeasured": card.unmeasured,
        "layouts": measured,
        "most_entries": count(MOST_ENTRIES),
        "layout_table": layout_table(card.layouts) if len(card.layouts) > 1 else None,
        "splits": split_table(card.splits),
        "shared": shared_sentences(card.shared),
        "tasks": task_table(card.tasks) if card.tasks else None,
        "memorisation": card.memorisation,
        "recipe": recipe_rows(card.provenance.fields),
        "provenance": card.provenance,
        "identity": card.identity,
        "environments": _environments(card),
        "snippets": [
            ("Python", python_snippet(card)),
            ("DuckDB", duckdb_snippet(card)),
            ("pandas", pandas_snippet(card)),
        ],
        "regenerate": regenerate_snippet(card),
        "citation": citation(card),
        "versions": installed_versions(LIBRARIES),
        "percent": lambda share: "–" if share is None else f"{100 * share:.1f} %",
        "count": count,
    }


def _how_measured(card: Card) -> str:
    images = card.behavior.images if card.behavior else card.sample.images
    return (
        f"Counts, accuracies and losses are those of all {count(card.identity.snapshots)} snapshots. Calibration,"
        f" accuracy by class, agreement, weights and distances are measured on {_sampled(card)} and at most"
        f" {count(images)} test images (of each task); the distances shown are of some of their pairs."
    )


def _sampled(card: Card) -> str:
    sample = card.sample
    drawn = f"{count(sample.members)} members drawn at random (seed {sample.seed})"
    if sample.read < sample.members:
        return f"{count(sample.read)} of {drawn}, for their weights are large,"
    return drawn if sample.members < sample.of else f"all {count(sample.of)} members"


def _chosen(card: Card) -> bool:
    """Whether anything but seeds varies."""
    return any(entry.kind != "seed" for entry in card.varying)


def _lead(card: Card, made_on: datetime.date) -> str:
    provenance, layouts = card.provenance, card.layouts
    shape = layouts[0].label if len(layouts) == 1 else f"{count(len(layouts))} parameter layouts"
    on = f" on {provenance.dataset}" if provenance.dataset else ""
    made = "imported" if provenance.kind == "imported" else "trained"
    return (
        f"{count(card.identity.members)} networks ({shape}), {made}{on}: what they are, how they differ, what they are"
        f" good for. Card of {made_on:%-d %B %Y}."
    )


def _contents(card: Card) -> list[tuple[str, str]]:
    return [
        ("uses", "What it is good for"),
        ("varies", "What varies"),
        ("training", "Accuracy and loss"),
        *([("behavior", "Behavior")] if card.behavior else []),
        ("weights", "Weights"),
        ("splits", "Splits"),
        *([("tasks", "Tasks")] if card.tasks else []),
        ("provenance", "Provenance"),
        ("reading", "Read, regenerate, cite"),
    ]


def _agreement_words(card: Card) -> list[str]:
    """A sentence on each measure of agreement."""
    found = []
    for facts in card.behavior.agreement if card.behavior else ():
        mean, sd = facts.agreement.mean, facts.accuracy.sd
        if mean is None or sd is None or facts.accuracy.mean is None:
            continue
        found.append(
            f"{SNAPSHOTS[facts.snapshots]}: two of {count(facts.members)} members agree on {100 * mean:.1f} % of the"
            f" images on average over {count(facts.pairs)} pairs; their accuracy is {100 * facts.accuracy.mean:.1f} ±"
            f" {100 * sd:.1f} %."
        )
    return found


def _matrix_words(card: Card) -> str:
    facts = card.behavior.agreement[-1] if card.behavior and card.behavior.agreement else None
    if facts is None:
        return ""
    return f"{SNAPSHOTS[facts.snapshots]}, of {count(len(facts.matrix_members))} members by rising accuracy."


def _environments(card: Card) -> list[tuple[str, list[tuple[str, str]]]]:
    """What the shards that were looked at were trained with, as names and values."""
    trained = card.provenance.trained
    asked = sum(facts.shards for facts in trained)
    looked_at = f"{asked} shards" if asked == card.identity.shards else f"{asked} shards looked at"
    return [
        (
            "Trained with" if facts.shards == card.identity.shards else f"{facts.shards} of {looked_at} trained with",
            [(name.replace("_", " "), _text(value)) for name, value in facts.environment.items() if value],
        )
        for facts in trained
    ]


def _text(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {_text(entry)}" for name, entry in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(_text(entry) for entry in value) or "none"
    if isinstance(value, float):
        return f"{value:g}"
    return str(value) or "(none)"
