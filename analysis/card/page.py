"""The card as a page: one HTML file that holds everything it shows and opens without a network."""

from __future__ import annotations

import datetime
import re
from collections.abc import Iterator, Mapping
from typing import Any

import pandas as pd
import plotly.graph_objects as go
from markupsafe import Markup

from analysis.card.panels import PANELS, SNAPSHOTS
from analysis.card.record import Card
from analysis.card.usage import snippets
from analysis.card.verdicts import TONES, mean_of
from analysis.card.weights import MOST_ENTRIES
from analysis.pages.glossary import glossary
from analysis.pages.numbers import count, counted, percent, plain, shown_unit, significant, size, with_unit
from analysis.pages.page import (
    Block,
    Bullets,
    Chart,
    Code,
    Fact,
    Grid,
    Heading,
    Section,
    Text,
    installed_versions,
    render_page,
)  # fmt: skip
from analysis.pages.tables import Cell, Table, badge, code, metric_cell, prose_table, spread_cell, table_of
from zoo.metric import Metric
from zoo.recipes import Axis

# Values of a choice that are written out.
MOST_VALUES = 8
LIBRARIES = ("zooscale", "torch", "numpy", "plotly")
WORDS = ("member", "snapshot", "shard", "manifest", "recipe", "axis", "block", "split", "layout", "task")
EXPLAINS = (
    "“Explains” is the share of the variance of the last snapshots' test scores that lies between values, one"
    " hyper-parameter at a time and corrected for the number of values (ε²). What is drawn for a whole block or shard"
    " has fewer independent draws than members, and its share is less certain."
)
ABOUT_WEIGHTS = (
    "Distance is ‖a − b‖ / √((‖a‖² + ‖b‖²) / 2): 0 for equal weights, √2 (dotted) for weights that have nothing in"
    " common. Aligned: one member's hidden units are put into the order that fits the other's best, which changes no"
    f" output (weight matching; for several hidden layers a local optimum). Of a tensor with more than"
    f" {count(MOST_ENTRIES)} entries in all members measured, as many are drawn at random."
)


def render(card: Card, *, made_on: datetime.date | None = None) -> str:
    """Writes a card as one self-contained HTML file.

    Args:
        card: The card.
        made_on: The date that the page bears; today where ``None``.

    Returns:
        The text of the file, some 5 MB: plotly.js, data, styles and scripts are inside it.
    """
    made_on = made_on or datetime.datetime.now(datetime.UTC).date()
    about, layouts = card.about, card.layouts
    shape = layouts["label"][0] if len(layouts) == 1 else f"{count(len(layouts))} parameter layouts"
    made = f"trained{' elsewhere' if about['imported'] else ''}{' on ' if about['dataset'] else ''}{about['dataset']}"
    made += ", imported" * about["imported"]
    if about["generated"]:
        made = f"made by a generator or a hypernetwork for {about['dataset']}, not trained"
    return render_page(
        title=f"Model zoo {about['zoo'].rpartition('-')[0]}",
        lead=f"{count(about['members'])} networks ({shape}), {made}: what they are, how they differ, what they are good"
        f" for. Card of {made_on:%-d %B %Y}.",
        facts=[Fact(name=name, value=value, detail=detail) for name, value, detail in _facts(card)],
        sections=[
            Section(anchor=anchor, heading=heading, short=short, blocks=blocks)
            for anchor, (heading, short, make) in SECTIONS.items()
            if (blocks := tuple(make(card)))
        ],
    )


def _facts(card: Card) -> Iterator[tuple[str, str, str]]:
    """The figures at the head: name, value, detail."""
    about, layouts, epochs = card.about, card.layouts, card.epochs["epoch"].tolist()
    yield "Networks", count(about["members"]), counted(len(layouts), "parameter layout")
    ends = dict.fromkeys((layouts["parameters"].min(), layouts["parameters"].max()))
    yield "Weights each", " – ".join(map(count, ends)), layouts["label"][0] if len(layouts) == 1 else "see layouts"
    sizes, missing = about["dataset_sizes"], "not here: nothing measured on examples" * bool(about["dataset"])
    listed = f"{' / '.join(map(count, sizes.values()))} {' / '.join(sizes)} examples"
    yield "Data set", about["dataset"] or "not known", listed if sizes else missing
    told = ", ".join(map(str, epochs))
    if len(epochs) > MOST_VALUES:
        told = f"{', '.join(map(str, epochs[:4]))} … {epochs[-1]} ({len(epochs)})"
    yield "Snapshots", count(about["snapshots"]), f"epochs {told}; {count(card.epochs['diverged'].sum())} diverged"
    reached, detail, last = "not known", "", card.groups(card.test, "epoch").iloc[-1]
    if last["count"]:
        low, high = (with_unit(card.score, last[name]) for name in ("minimum", "maximum"))
        reached, detail = _spread(card.score, last), f"from {low} to {high}, last epoch"
    yield f"Test {card.score.label}, mean ± SD", reached, detail
    for row in card.distribution(card.similarity, "snapshots").tail(1).itertuples():
        mean = with_unit(card.metrics[card.similarity], row.mean)
        yield f"Pairwise {card.similarity}", mean, SNAPSHOTS[row.value]
    yield "On storage", size(about["size_bytes"]), counted(about["shards"], "shard")
    yield "Made", about["created"][:10], f"digest {about['digest'][:16]}"


def _uses(card: Card) -> Iterator[Block]:
    about, sample = card.about, card.about["sample"]
    drawn = f"{count(sample['members'])} members drawn at random (seed {sample['seed']})"
    if sample["read"] < sample["members"]:
        drawn = f"{count(sample['read'])} of {drawn}, for their weights are large,"
    elif sample["members"] == about["members"]:
        drawn = f"all {count(about['members'])} members"
    if about["description"]:
        yield Text(about["description"], "quotation")
    rows = [(row.purpose, badge(row.verdict, TONES[row.verdict]), row.reason) for row in card.uses.itertuples()]
    yield prose_table("Purposes", ("purpose", "verdict", "why"), rows)
    yield Heading("Known limits")
    yield Bullets(card.limits)
    yield Text(
        f"Counts, scores and losses are those of all {count(about['snapshots'])} snapshots. Calibration, accuracy by"
        f" class, agreement, weights and distances are measured on {drawn} and at most"
        f" {count(sample['examples_used'] or sample['examples'])} test examples (of each task); the distances shown are"
        " of some of their pairs. All that stands here stands in card.json beside this file as well.",
        "note",
    )


def _axes(card: Card) -> Iterator[Block]:
    varying, constant = card.axes.query("kind != 'constant'"), card.axes.query("kind == 'constant'")
    if len(varying):
        yield Text(EXPLAINS)
        columns = {
            "name": varying["name"],
            "explains": [metric_cell(EXPLAINED, share) for share in varying["explains"]],
            "values": varying["distinct"],
            "distribution": [_values(card, row) for row in varying.itertuples()],
            "meaning": varying["meaning"].replace("", "–"),
        }
        units = {"explains": "% of variance"}
        yield table_of("What varies among members", columns, units, sentences=("meaning", "distribution"))
    else:
        yield Text("Nothing: all members are trained alike.")
    if same := Markup(", ").join(code(f"{row.name} = {row.value}") for row in constant.itertuples()):
        yield Text(Markup("The same for all members: {}.").format(same), "note")
    yield from _charts(card, "axes")


def _training(card: Card) -> Iterator[Block]:
    yield from _charts(card, "training", pair=True)
    spread = [f"{split}_{card.score.name}" for split in ("test", "train", "validation")] + ["generalization_gap"]
    yield _spreads("Snapshots by epoch", card, card.epochs, spread, medians=("test_loss", "train_loss"))


def _behavior(card: Card) -> Iterator[Block]:
    if card.absent:
        yield Text(f"Nothing was measured on examples: {card.absent}.")
        return
    yield from _charts(card, "classes", pair=True)
    yield Heading("Agreement")
    yield Text(
        "How alike the outputs of two members are on test examples, right or wrong. Where they are much alike, another"
        " member is nearly as good as the right one, and figures about single networks mean little."
    )
    for row in card.distribution(card.similarity, "snapshots").itertuples():
        members = count(card.about["sample"]["compared"][row.value])
        told = f"{SNAPSHOTS[row.value].capitalize()}: the {card.similarity} of two of {members} members is"
        told += f" {with_unit(card.metrics[card.similarity], row.mean)} on average over {count(row.count)} pairs"
        accuracy = card.distribution("compared_accuracy", "snapshots").query(f"value == '{row.value}'")
        told += "".join(f"; their accuracy is {_spread(card.score, each)}" for _, each in accuracy.iterrows())
        yield Text(f"{told}.")
    yield from _charts(card, "similarity", pair=True)


def _weights(card: Card) -> Iterator[Block]:
    if len(card.layouts) > 1:
        yield Text(
            "Members have different parameter layouts. Those with the most members are described one by one below."
        )
        columns = card.layouts[["label", "activations", "parameters", "members", "measured"]]
        titles = {"label": "layers", "parameters": "weights"}
        yield table_of("Parameter layouts", dict(columns.rename(columns=titles).items()))
    yield Text(ABOUT_WEIGHTS, "note")
    for row in card.layouts.query("measured > 0").itertuples():
        told = f"{count(row.members)} members, activations {row.activations};"
        told += f" {count(row.measured)} of them measured here."
        apart = card.distribution("distance", "alignment", row.layout)
        for first in apart.head(1).itertuples():
            aligned = f", {mean_of(apart):.3f} when aligned" if len(apart) > 1 else ""
            told += f" {count(first.count)} pairs of {count(row.compared)} members lie {first.mean:.3f} apart on"
            told += f" average as they are stored{aligned}." + f" Not aligned: {row.unaligned}." * bool(row.unaligned)
        yield Heading(row.label)
        yield Text(told)
        yield from _charts(card, "tensors", row.layout, pair=True)
        yield from _charts(card, "distances", row.layout, narrow=True)


def _splits(card: Card) -> Iterator[Block]:
    yield Text("All snapshots of a member are in one split. Fit on train, choose on validation, report on test.")
    groups = card.groups(card.test, "split")
    shares = [Cell(text=percent(share), sort=share) for share in groups["members"] / card.about["members"]]
    columns = {"split": groups["value"], "members": groups["members"], "share": shares}
    yield _spreads("Splits", card, columns, [card.test], sort=False)
    yield Bullets(tuple(_shared(row) for row in card.shared.itertuples()))
    if len(card.subsets):
        yield Heading("Memorized and held-out scores")
    for row in card.subsets.itertuples():
        known, held_out = (
            with_unit(card.score, mean_of(card.distribution(name, "subset_size").query(f"value == {row.size}")))
            for name in (f"train_{card.score.name}", card.test)
        )
        yield Text(
            f"{count(row.members)} members are trained on {count(row.subsets)} small subsets ({row.size} examples). On"
            f" the examples that they were trained on they reach {known} on average, on held-out examples {held_out};"
            f" {percent(row.complete)} of them know at least 99 % of their examples."
        )


def _tasks(card: Card) -> Iterator[Block]:
    if len(card.tasks):
        yield from _charts(card, "tasks", narrow=True)
        columns = card.tasks[["task", "split", "members"]]
        yield _spreads("Tasks", card, columns, [f"train_{card.score.name}", card.test])


def _provenance(card: Card) -> Iterator[Block]:
    about, recipe = card.about, card.about["recipe"]
    data = (about["dataset"] or "not known", code(about["dataset_sha256"]), counted(about["outputs"], "output"))
    rows: list[tuple[str, str]] = [
        ("Zoo", code(about["zoo"])),
        ("Digest", Markup("{} (recipe on its data set)").format(code(about["digest"]))),
        ("Content", Markup("{} (ids, specs and weights of all snapshots)").format(code(about["content_sha256"]))),
        ("Data set", Markup("{} {}, {}, input {}").format(*data, "×".join(map(str, about["input_shape"])))),
        ("Committed", about["created"]),
    ]
    how, origin = "Trained with", f"Recipe {recipe['name']}"
    if about["imported"]:  # what it was trained with nobody told
        how, origin = "Imported with", "Where it was imported from"
    if about["generated"]:
        how, origin = "Made with", "What made it"
    asked = counted(sum(entry["shards"] for entry in about["made_with"]), "shard")
    for entry in about["made_with"]:
        values = [f"{key.replace('_', ' ')}: {plain(value)}" for key, value in entry["environment"].items() if value]
        values += [f"so say {entry['shards']} of the {asked} looked at"] * (entry["shards"] < about["shards"])
        rows.append((how, Markup("<br>").join(values)))
    yield prose_table("Which zoo it is", ("", ""), rows)
    yield Heading(origin)
    meanings = about["recipe_meanings"]
    told = {name: plain(value) for name, value in recipe.items() if name not in ("axes", "description")}
    fields = [(code(name), value, meanings[name]) for name, value in told.items()]
    for name, axis in recipe.get("axes", {}).items():
        fields.append((code(name), str(Axis.from_json(axis)), f"Axis. {about['axis_meanings'][name]}"))
    yield prose_table("Recipe", ("field", "value", "meaning"), fields)


def _reading(card: Card) -> Iterator[Block]:
    for name, snippet in snippets(card).items():
        yield Heading(name)
        yield Code(snippet)
    yield Text(f"This card was made with {installed_versions(LIBRARIES)}.", "note")


def _glossary(card: Card) -> Iterator[Block]:
    likewise = ("train_", "validation_")
    yield glossary([*(m for m in card.metrics.values() if not m.name.startswith(likewise)), EXPLAINED], WORDS)


# By their anchors: heading, its short form, what they hold.
SECTIONS = {
    "uses": ("What it is good for", "", _uses),
    "varies": ("What varies among members", "What varies", _axes),
    "training": ("Scores and losses", "", _training),
    "behavior": ("Behavior", "", _behavior),
    "weights": ("Weights", "", _weights),
    "splits": ("Splits", "", _splits),
    "tasks": ("Tasks", "", _tasks),
    "provenance": ("Provenance", "", _provenance),
    "reading": ("Read, regenerate, cite", "", _reading),
    "glossary": ("Glossary", "", _glossary),
}
EXPLAINED = Metric(
    name="explains",
    label="explained variance",
    unit="share",
    description="Share of the variance of test scores between the values of one hyper-parameter, corrected for their"
    " number (ε²).",
)


def _charts(card: Card, place: str, *layout: int, pair: bool = False, narrow: bool = False) -> Iterator[Block]:
    """The charts of a place, then why some are missing."""
    blocks, missing = list[Block](), list[str]()
    for panel in PANELS[place]:
        figure, name = panel.draw(card, *layout), "-".join([panel.name, *map(str, layout)])
        if isinstance(figure, go.Figure):
            blocks.append(Chart(name=name, figure=figure, label=panel.title, caption=panel.caption, narrow=narrow))
        elif isinstance(figure, str):
            missing.append(f"{panel.title}: {figure}.")
        else:
            small = []
            for number, (title, one) in enumerate(figure.items(), 1):
                called = f"{name}-{number}-{_slug(title)}"
                small.append(Chart(name=called, figure=one, label=f"{panel.title}: {title}", caption=title))
            blocks += [Text(panel.caption, "note"), Grid(tuple(small), small=True)]
    yield from [Grid(tuple(blocks))] if pair and blocks else blocks
    if missing:
        yield Text(f"Not shown: {' '.join(missing)}", "note")


def _slug(text: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")


def _spreads(
    caption: str,
    card: Card,
    columns: Mapping[str, Any] | pd.DataFrame,
    means: list[str],
    medians: tuple[str, ...] = (),
    sort: bool = True,
) -> Table:
    """A table with means and deviations of metrics, and medians of others, for each group in its first column."""
    by, units, made = next(iter(columns)), dict[str, str](), dict[str, Any]()
    for name in [name for name in dict.fromkeys([*means, *medians]) if name in card.metrics]:
        metric = card.metrics[name]
        units[metric.label] = f"{shown_unit(metric)}, {'mean ± SD' if name in means else 'median'}".lstrip(", ")
        made[metric.label] = [
            spread_cell(metric, row.mean, row.sd) if name in means else metric_cell(metric, row.median)
            for row in card.distribution(name, by).set_index("value").reindex(list(columns[by])).itertuples()
        ]
    return table_of(caption, {by: columns[by], **made, **columns}, units, sortable=sort)


def _values(card: Card, axis: Any) -> str:
    """The values of an axis in a line."""
    unknown = f"; {count(axis.unknown)} unknown" if axis.unknown else ""
    if axis.kind in ("seed", "name"):
        return f"{counted(axis.distinct, axis.kind)}{unknown}"
    for row in card.distribution(axis.name).itertuples():
        scale = ", spread over decades" if axis.logarithmic else ""
        low, middle, high = map(significant, (row.minimum, row.median, row.maximum))
        return f"from {low} to {high}, median {middle}{scale}{unknown}"
    levels, members = card.groups(card.test, f"axis {axis.name}"), card.about["members"]
    listed = [f"{row.value} ({percent(row.members / members, 0)})" for row in levels.head(MOST_VALUES).itertuples()]
    more = axis.distinct + bool(axis.unknown) - len(listed)
    return " · ".join(listed) + (f" · {more} more" if more else "")


def _shared(row: Any) -> str:
    if row.largest == 1:
        return f"No two members have the same {row.what}."
    place = "each lies in one split"
    if row.across:
        place = f"{count(row.across)} of them {'lie' if row.across > 1 else 'lies'} in more than one split"
    groups = counted(row.groups, "group")
    return f"Members with the same {row.what}: {groups}, at most {count(row.largest)} members in one; {place}."


def _spread(metric: Metric, row: Any) -> str:
    return f"{spread_cell(metric, row['mean'], row['sd']).text} {shown_unit(metric)}".rstrip()
