"""The card's tables and the words beside its charts, as plain data for the template."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

from analysis.card.distributions import Distribution
from analysis.card.hyperparameters import HyperParameter
from analysis.card.record import Card, EpochFacts, RecipeField
from analysis.card.splits import SharedFacts, SplitFacts, TaskFacts
from analysis.card.weights import LayoutFacts
from analysis.report.glossary import count, significant
from analysis.report.tables import Cell, Column, Row, Table, absent

# Values of a choice that are written out.
MOST_VALUES = 8
UNITS = ("B", "kB", "MB", "GB", "TB")


@dataclass(frozen=True, kw_only=True, slots=True)
class LayoutPanel:
    """What the page says of one layout beside its charts."""

    number: int
    label: str
    members: str
    measured: str
    activations: str
    distance: str
    has_distances: bool


def header_facts(card: Card) -> list[dict[str, str]]:
    """The facts at the head of the page."""
    identity, last = card.identity, card.epochs[-1].metrics["test_accuracy"]
    diverged = sum(facts.diverged for facts in card.epochs)
    parameters = sorted(identity.parameters)
    facts = [
        ("Networks", count(identity.members), f"{_counted(len(card.layouts), 'parameter layout')}"),
        (
            "Weights each",
            count(parameters[0]) if len(parameters) == 1 else f"{count(parameters[0])} – {count(parameters[-1])}",
            card.layouts[0].label if len(card.layouts) == 1 else "see layouts",
        ),
        ("Data set", card.provenance.dataset or "not known", _images(card)),
        (
            "Snapshots",
            count(identity.snapshots),
            f"epochs {_listed([facts.epoch for facts in card.epochs])}; {count(diverged)} diverged",
        ),
        (
            "Test accuracy, mean ± SD",
            "not known" if last.mean is None else f"{100 * last.mean:.1f} ± {100 * (last.sd or 0):.1f} %",
            ""
            if last.minimum is None
            else f"from {100 * last.minimum:.1f} to {100 * (last.maximum or 0):.1f} %, last epoch",
        ),
    ]
    for entry in (card.behaviour.agreement if card.behaviour else ())[-1:]:
        if entry.agreement.mean is not None:
            what = "one snapshot a member" if entry.snapshots == "one" else "last snapshots"
            facts.append(("Pairwise agreement", f"{100 * entry.agreement.mean:.1f} %", what))
    facts.append(("On storage", _bytes(identity.size_bytes), f"{_counted(identity.shards, 'shard')}"))
    facts.append(("Made", identity.created[:10], f"digest {identity.digest[:16]}"))
    return [{"name": name, "value": value, "detail": detail} for name, value, detail in facts]


def hyper_parameter_table(varying: Sequence[HyperParameter], members: int) -> Table:
    """What varies among so many members, and how."""
    rows = [
        Row(
            cells=(
                Cell(text=entry.name),
                Cell(text=entry.meaning or "–"),
                _count_cell(entry.distinct),
                Cell(text=_values(entry, members)),
                absent()
                if entry.explained is None
                else Cell(text=f"{100 * entry.explained:.1f}", sort=entry.explained),
            )
        )
        for entry in varying
    ]
    return Table(
        caption="What varies among members",
        columns=(
            Column(title="name", number=False),
            Column(title="meaning", number=False),
            Column(title="values"),
            Column(title="distribution", number=False),
            Column(title="explains", unit="% of variance"),
        ),
        rows=tuple(rows),
    )


def epoch_table(epochs: Sequence[EpochFacts]) -> Table:
    """A row for each epoch."""
    columns = ["train_accuracy", "validation_accuracy", "test_accuracy", "generalisation_gap"]
    losses = ["train_loss", "test_loss"]
    return Table(
        caption="Snapshots by epoch",
        columns=(
            Column(title="epoch"),
            Column(title="snapshots"),
            Column(title="diverged"),
            *(Column(title=name, unit="%, mean ± SD") for name in columns),
            *(Column(title=name, unit="nats, median") for name in losses),
        ),
        rows=tuple(
            Row(
                cells=(
                    _count_cell(facts.epoch),
                    _count_cell(facts.snapshots),
                    _count_cell(facts.diverged),
                    *(_percent_cell(facts.metrics[name]) for name in columns),
                    *(_median_cell(facts.metrics[name]) for name in losses),
                )
            )
            for facts in epochs
        ),
    )


def split_table(splits: Sequence[SplitFacts]) -> Table:
    """A row for each split."""
    return Table(
        caption="Splits",
        sortable=False,
        columns=(
            Column(title="split", number=False),
            Column(title="members"),
            Column(title="share", unit="%"),
            Column(title="test_accuracy", unit="%, mean ± SD"),
        ),
        rows=tuple(
            Row(
                cells=(
                    Cell(text=facts.split),
                    Cell(text=count(facts.members)),
                    Cell(text=f"{100 * facts.share:.1f}"),
                    _percent_cell(facts.test_accuracy),
                )
            )
            for facts in splits
        ),
    )


def shared_sentences(shared: Sequence[SharedFacts]) -> list[str]:
    """What members share, and whether it keeps to one split."""
    found = []
    for facts in shared:
        if facts.largest == 1:
            found.append(f"No two members have the same {facts.what}.")
            continue
        place = (
            "each lies in one split"
            if not facts.across
            else f"{count(facts.across)} of them {'lie' if facts.across > 1 else 'lies'} in more than one split"
        )
        found.append(
            f"Members with the same {facts.what}: {_counted(facts.groups, 'group')}, at most {count(facts.largest)}"
            f" members in one; {place}."
        )
    return found


def task_table(tasks: Sequence[TaskFacts]) -> Table:
    """A row for each task."""
    return Table(
        caption="Tasks",
        columns=(
            Column(title="task", number=False),
            Column(title="split", number=False),
            Column(title="members"),
            Column(title="train_accuracy", unit="%, mean ± SD"),
            Column(title="test_accuracy", unit="%, mean ± SD"),
        ),
        rows=tuple(
            Row(
                cells=(
                    Cell(text=facts.task or "all classes"),
                    Cell(text=facts.split),
                    _count_cell(facts.members),
                    _percent_cell(facts.train_accuracy),
                    _percent_cell(facts.test_accuracy),
                )
            )
            for facts in tasks
        ),
    )


def layout_table(layouts: Sequence[LayoutFacts]) -> Table:
    """A row for each layout."""
    return Table(
        caption="Parameter layouts",
        columns=(
            Column(title="layers", number=False),
            Column(title="activations", number=False),
            Column(title="weights"),
            Column(title="members"),
            Column(title="measured"),
        ),
        rows=tuple(
            Row(
                cells=(
                    Cell(text=layout.label),
                    Cell(text=activations(layout)),
                    _count_cell(layout.parameters),
                    _count_cell(layout.members),
                    _count_cell(layout.measured),
                )
            )
            for layout in layouts
        ),
    )


def layout_panel(number: int, layout: LayoutFacts) -> LayoutPanel:
    """The words beside the charts of a layout."""
    text = ""
    facts = layout.distances
    if facts is not None and facts.raw.mean is not None:
        text = (
            f"{count(facts.pairs)} pairs of {count(facts.members)} members lie {facts.raw.mean:.3f} apart on average as"
            " they are stored"
        )
        aligned = facts.aligned.mean if facts.aligned else None
        text += f", {aligned:.3f} when aligned." if aligned is not None else f"; not aligned: {facts.unaligned}."
    return LayoutPanel(
        number=number,
        label=layout.label,
        members=count(layout.members),
        measured=count(layout.measured),
        activations=activations(layout),
        distance=text,
        has_distances=facts is not None,
    )


def activations(layout: LayoutFacts) -> str:
    """The activation functions of a layout's architectures."""
    used: dict[str, None] = {}
    for architecture in layout.architectures:
        used |= dict.fromkeys(_functions(architecture["layers"]))
    return ", ".join(used) or "none"


def recipe_rows(fields: Sequence[RecipeField]) -> list[tuple[str, str, str]]:
    """Name, value and meaning of each field of the recipe."""
    return [(field.name, _plain(field.value), field.meaning) for field in fields]


def _functions(layers: Sequence[dict]) -> list[str]:
    found: list[str] = []
    for layer in layers:
        if layer["kind"] == "activate":
            found.append(layer["function"])
        for part in layer.values():
            if isinstance(part, list):
                found += _functions(part)
    return found


def _plain(value: object) -> str:
    if isinstance(value, list | tuple):
        return ", ".join(_plain(entry) for entry in value) or "(none)"
    return value if isinstance(value, str) and value else json.dumps(value)


def _values(entry: HyperParameter, members: int) -> str:
    """The values of a hyper-parameter in a line."""
    unknown = f"; {count(entry.unknown)} unknown" if entry.unknown else ""
    if entry.kind == "seed":
        return f"{_counted(entry.distinct, 'seed')}{unknown}"
    if entry.values is not None and entry.values.minimum is not None:
        spread = [
            significant(value)
            for value in (entry.values.minimum, entry.values.median, entry.values.maximum)
            if value is not None
        ]
        scale = ", spread over decades" if entry.logarithmic else ""
        return f"from {spread[0]} to {spread[2]}, median {spread[1]}{scale}{unknown}"
    shown = [f"{level.value} ({100 * level.members / members:.0f} %)" for level in entry.levels[:MOST_VALUES]]
    more = len(entry.levels) - len(shown) + entry.other_levels
    return " · ".join(shown) + (f" · {more} more" if more else "")


def _count_cell(number: int) -> Cell:
    return Cell(text=count(number), sort=number)


def _percent_cell(values: Distribution) -> Cell:
    if values.mean is None or values.sd is None:
        return absent()
    return Cell(text=f"{100 * values.mean:.1f} ± {100 * values.sd:.1f}".replace("-", "\u2212"), sort=values.mean)


def _median_cell(values: Distribution) -> Cell:
    return absent() if values.median is None else Cell(text=significant(values.median), sort=values.median)


def _images(card: Card) -> str:
    images = card.provenance.images
    if not images:
        return "not here: nothing measured on images" if card.provenance.dataset else ""
    return f"{' / '.join(count(number) for number in images.values())} {' / '.join(images)} images"


def _listed(epochs: Sequence[int]) -> str:
    if len(epochs) <= 8:
        return ", ".join(map(str, epochs))
    return f"{', '.join(map(str, epochs[:4]))} … {epochs[-1]} ({len(epochs)})"


def _counted(number: int, what: str) -> str:
    return f"{count(number)} {what}{'s' * (number != 1)}"


def _bytes(number: float) -> str:
    for unit in UNITS[:-1]:
        if number < 1000:
            return f"{number:.0f} {unit}" if unit == "B" else f"{number:.1f} {unit}"
        number /= 1000
    return f"{number:.1f} {UNITS[-1]}"
