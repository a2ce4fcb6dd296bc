"""The card as a page: one HTML file that holds everything it shows and opens without a network."""

from __future__ import annotations

import datetime
import re
from collections.abc import Iterator
from typing import Any

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
        facts=list(_facts(card)),
        sections=[
            Section(anchor=anchor, heading=heading, short=short, blocks=blocks)
            for anchor, (heading, short, make) in SECTIONS.items()
            if (blocks := tuple(make(card)))
        ],
    )


def _facts(card: Card) -> Iterator[Fact]:
    about, parameters, layouts = card.about, sorted(set(card.layouts["parameters"])), card.layouts
    yield Fact(name="Networks", value=count(about["members"]), detail=counted(len(layouts), "parameter layout"))
    weights = " – ".join(map(count, dict.fromkeys((parameters[0], parameters[-1]))))
    yield Fact(name="Weights each", value=weights, detail=layouts["label"][0] if len(layouts) == 1 else "see layouts")
    sizes, missing = about["dataset_sizes"], "not here: nothing measured on examples" if about["dataset"] else ""
    listed = f"{' / '.join(map(count, sizes.values()))} {' / '.join(sizes)} examples"
    yield Fact(name="Data set", value=about["dataset"] or "not known", detail=listed if sizes else missing)
    told, epochs, diverged = ", ".join(map(str, card.epochs["epoch"])), card.epochs["epoch"], card.epochs["diverged"]
    if len(epochs) > MOST_VALUES:
        told = f"{', '.join(map(str, epochs[:4]))} … {epochs.iloc[-1]} ({len(epochs)})"
    told = f"epochs {told}; {count(diverged.sum())} diverged"
    yield Fact(name="Snapshots", value=count(about["snapshots"]), detail=told)
    reached, detail, last = "not known", "", card.groups(card.test, "epoch").iloc[-1]
    if last["count"]:
        low, high = (with_unit(card.score, last[name]) for name in ("minimum", "maximum"))
        reached, detail = _spread(card.score, last), f"from {low} to {high}, last epoch"
    yield Fact(name=f"Test {card.score.label}, mean ± SD", value=reached, detail=detail)
    for row in card.distribution(card.similarity, "snapshots").tail(1).itertuples():
        mean = with_unit(card.metrics[card.similarity], row.mean)
        yield Fact(name=f"Pairwise {card.similarity}", value=mean, detail=SNAPSHOTS[row.value])
    yield Fact(name="On storage", value=size(about["size_bytes"]), detail=counted(about["shards"], "shard"))
    yield Fact(name="Made", value=about["created"][:10], detail=f"digest {about['digest'][:16]}")


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
    epochs = {name: card.epochs[name] for name in ("epoch", "snapshots", "diverged")}
    spread = [f"{split}_{card.score.name}" for split in ("test", "train", "validation")] + ["generalization_gap"]
    yield _spreads("Snapshots by epoch", card, epochs, spread, medians=("test_loss", "train_loss"))


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
        told = f"{SNAPSHOTS[row.value]}: the {card.similarity} of two of {members} members is"
        told += f" {with_unit(card.metrics[card.similarity], row.mean)} on average over {count(row.count)} pairs"
        accuracy = card.distribution("compared_accuracy", "snapshots").query(f"value == '{row.value}'")
        told += "".join(f"; their accuracy is {_spread(card.score, each)}" for _, each in accuracy.iterrows())
        yield Text(f"{told[:1].upper()}{told[1:]}.")
    yield from _charts(card, "similarity", pair=True)


def _weights(card: Card) -> Iterator[Block]:
    if len(card.layouts) > 1:
        yield Text(
            "Members have different parameter layouts. Those with the most members are described one by one below."
        )
        titles = {"label": "layers", "activations": "activations", "parameters": "weights"}
        titles |= {name: name for name in ("members", "measured")}
        yield table_of("Parameter layouts", {title: card.layouts[name] for name, title in titles.items()})
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
        columns = {name: card.tasks[name] for name in ("task", "split", "members")}
        yield _spreads("Tasks", card, columns, [f"train_{card.score.name}", card.test])


def _provenance(card: Card) -> Iterator[Block]:
    about = card.about
    known = (about["dataset"] or "not known", code(about["dataset_sha256"]), counted(about["outputs"], "output"))
    rows: list[tuple[str, str]] = [
        ("Zoo", code(about["zoo"])),
        ("Digest", Markup("{} (recipe on its data set)").format(code(about["digest"]))),
        ("Content", Markup("{} (ids, specs and weights of all snapshots)").format(code(about["content_sha256"]))),
        ("Data set", Markup("{} {}, {}, input {}").format(*known, "×".join(map(str, about["input_shape"])))),
        ("Committed", about["created"]),
    ]
    # What an imported zoo was trained with nobody told.
    how = "Made with" if about["generated"] else "Imported with" if about["imported"] else "Trained with"
    asked, every = sum(entry["shards"] for entry in about["made_with"]), about["shards"]
    for entry in about["made_with"]:
        values = [f"{key.replace('_', ' ')}: {plain(value)}" for key, value in entry["environment"].items() if value]
        if entry["shards"] < every:
            values.append(f"so say {entry['shards']} of the {counted(asked, 'shard')} looked at")
        rows.append((how, Markup("<br>").join(values)))
    yield prose_table("Which zoo it is", ("", ""), rows)
    from_where = "What made it" if about["generated"] else "Where it was imported from"
    yield Heading(from_where if about["imported"] else f"Recipe {about['recipe']['name']}")
    fields = [
        (code(name), plain(value), about["recipe_meanings"][name])
        for name, value in about["recipe"].items()
        if name not in ("axes", "description")
    ]
    for name, axis in about["recipe"].get("axes", {}).items():
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


def _charts(card: Card, place: str, layout: int = -1, *, pair: bool = False, narrow: bool = False) -> Iterator[Block]:
    """The charts of a place, then why some are missing."""
    blocks: list[Block] = []
    missing = []
    for panel in PANELS[place]:
        figure = panel.draw(card) if layout < 0 else panel.draw(card, layout)
        name = panel.name if layout < 0 else f"{panel.name}-{layout}"
        if isinstance(figure, go.Figure):
            blocks.append(Chart(name=name, figure=figure, label=panel.title, caption=panel.caption, narrow=narrow))
        elif isinstance(figure, str):
            missing.append(f"{panel.title}: {figure}.")
        else:
            small = (
                Chart(
                    name=f"{name}-{number}-{_slug(title)}", figure=one, label=f"{panel.title}: {title}", caption=title
                )
                for number, (title, one) in enumerate(figure.items(), 1)
            )
            blocks += [Text(panel.caption, "note"), Grid(tuple(small), small=True)]
    yield from [Grid(tuple(blocks))] if pair and blocks else blocks
    if missing:
        yield Text(f"Not shown: {' '.join(missing)}", "note")


def _slug(text: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")


def _spreads(
    caption: str,
    card: Card,
    columns: dict[str, Any],
    means: list[str],
    medians: tuple[str, ...] = (),
    sort: bool = True,
) -> Table:
    """A table with means and deviations of metrics, and medians of others, for each group in its first column."""
    by, units, made = next(iter(columns)), dict[str, str](), dict[str, Any]()
    for name in [name for name in dict.fromkeys([*means, *medians]) if name in card.metrics]:
        metric = card.metrics[name]
        title = metric.label
        units[title] = f"{shown_unit(metric)}, {'mean ± SD' if name in means else 'median'}".lstrip(", ")
        groups = card.distribution(name, by).set_index("value").reindex(list(columns[by]))
        made[title] = [
            spread_cell(metric, row.mean, row.sd) if name in means else metric_cell(metric, row.median)
            for row in groups.itertuples()
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
