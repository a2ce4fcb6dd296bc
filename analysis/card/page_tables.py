"""The card's tables, as plain data for the template."""

from __future__ import annotations

from collections.abc import Sequence

from analysis.card.distributions import Distribution
from analysis.card.hyperparameters import HyperParameter
from analysis.card.panels import activations
from analysis.card.record import EpochFacts
from analysis.card.splits import SplitFacts, TaskFacts
from analysis.card.weights import LayoutFacts
from analysis.pages.numbers import count, counted, significant
from analysis.pages.tables import Cell, Column, Row, Table, absent, count_cell

# Values of a choice that are written out.
MOST_VALUES = 8


def hyper_parameter_table(varying: Sequence[HyperParameter], members: int) -> Table:
    """What varies among so many members, and how."""
    columns = (
        _words("name"),
        Column(title="meaning", number=False, sentences=True),
        _number("values"),
        Column(title="distribution", number=False, sentences=True),
        Column(title="explains", unit="% of variance"),
    )
    return _table(
        "What varies among members",
        columns,
        [
            (
                Cell(text=entry.name),
                Cell(text=entry.meaning or "–"),
                count_cell(entry.distinct),
                Cell(text=_values(entry, members)),
                absent()
                if entry.explained is None
                else Cell(text=f"{100 * entry.explained:.1f}", sort=entry.explained),
            )
            for entry in varying
        ],
    )


def epoch_table(epochs: Sequence[EpochFacts]) -> Table:
    """A row for each epoch."""
    shares = ("train_accuracy", "validation_accuracy", "test_accuracy", "generalization_gap")
    losses = ("train_loss", "test_loss")
    columns = (
        *map(_number, ("epoch", "snapshots", "diverged")),
        *map(_percentages, shares),
        *(Column(title=name, unit="nats, median") for name in losses),
    )
    return _table(
        "Snapshots by epoch",
        columns,
        [
            (
                *map(count_cell, (facts.epoch, facts.snapshots, facts.diverged)),
                *(_percent_cell(facts.metrics[name]) for name in shares),
                *(_median_cell(facts.metrics[name]) for name in losses),
            )
            for facts in epochs
        ],
    )


def split_table(splits: Sequence[SplitFacts]) -> Table:
    """A row for each split."""
    columns = (_words("split"), _number("members"), Column(title="share", unit="%"), _percentages("test_accuracy"))
    return _table(
        "Splits",
        columns,
        [
            (
                Cell(text=facts.split),
                Cell(text=count(facts.members)),
                Cell(text=f"{100 * facts.share:.1f}"),
                _percent_cell(facts.test_accuracy),
            )
            for facts in splits
        ],
        sortable=False,
    )


def task_table(tasks: Sequence[TaskFacts]) -> Table:
    """A row for each task."""
    columns = (
        *map(_words, ("task", "split")),
        _number("members"),
        *map(_percentages, ("train_accuracy", "test_accuracy")),
    )
    return _table(
        "Tasks",
        columns,
        [
            (
                Cell(text=facts.task or "all classes"),
                Cell(text=facts.split),
                count_cell(facts.members),
                _percent_cell(facts.train_accuracy),
                _percent_cell(facts.test_accuracy),
            )
            for facts in tasks
        ],
    )


def layout_table(layouts: Sequence[LayoutFacts]) -> Table:
    """A row for each layout."""
    return _table(
        "Parameter layouts",
        (*map(_words, ("layers", "activations")), *map(_number, ("weights", "members", "measured"))),
        [
            (
                Cell(text=layout.label),
                Cell(text=activations(layout)),
                *map(count_cell, (layout.parameters, layout.members, layout.measured)),
            )
            for layout in layouts
        ],
    )


def _table(
    caption: str, columns: tuple[Column, ...], rows: Sequence[tuple[Cell, ...]], *, sortable: bool = True
) -> Table:
    return Table(caption=caption, columns=columns, rows=tuple(Row(cells=row) for row in rows), sortable=sortable)


def _words(title: str) -> Column:
    return Column(title=title, number=False)


def _number(title: str) -> Column:
    return Column(title=title)


def _percentages(title: str) -> Column:
    return Column(title=title, unit="%, mean ± SD")


def _values(entry: HyperParameter, members: int) -> str:
    """The values of a hyper-parameter in a line."""
    unknown = f"; {count(entry.unknown)} unknown" if entry.unknown else ""
    if entry.kind == "seed":
        return f"{counted(entry.distinct, 'seed')}{unknown}"
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


def _percent_cell(values: Distribution) -> Cell:
    if values.mean is None or values.sd is None:
        return absent()
    return Cell(text=f"{100 * values.mean:.1f} ± {100 * values.sd:.1f}".replace("-", "\u2212"), sort=values.mean)


def _median_cell(values: Distribution) -> Cell:
    return absent() if values.median is None else Cell(text=significant(values.median), sort=values.median)
