"""Tables of a page as plain data: what stands in a cell, by what it sorts, where it links to."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from numbers import Integral
from typing import ClassVar, Literal, SupportsInt

from markupsafe import Markup

from analysis.pages.numbers import NOT_MEASURED, count, shown, shown_unit, significant, usable
from zoo.metric import Metric

TALL_ROWS = 24
Tone = Literal["good", "care", "bad", "unknown"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Cell:
    """One cell.

    Attributes:
        text: What is shown; ``Markup`` stands as it is, all else is escaped.
        sort: What it sorts by, if not its text; the empty string sorts last.
        color: Color of a dot before the text.
        href: Where the text links to.
        interval: A second, smaller line.
        absent: Whether the text stands for a missing value.
    """

    text: str
    sort: float | str | None = None
    color: str | None = None
    href: str | None = None
    interval: str | None = None
    absent: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Column:
    """A heading; numbers are set flush right, sentences break into lines."""

    title: str
    unit: str = ""
    number: bool = True
    sentences: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """A row, and the name under which it can be linked to; a faint one does not count."""

    cells: tuple[Cell, ...]
    anchor: str | None = None
    faint: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Table:
    """A table with its description for those who do not see it.

    Attributes:
        caption: What it holds, for those who do not see it.
        columns: Its headings.
        rows: Its rows.
        sortable: Whether a click on a heading sorts it.
        prose: Whether its cells hold sentences, which break into lines; it has no heading where its columns have no
            titles.
    """

    kind: ClassVar[str] = "table"

    caption: str
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    sortable: bool = True
    prose: bool = False

    @property
    def tall(self) -> bool:
        """Whether it scrolls in a box of its own under a fixed heading."""
        return len(self.rows) > TALL_ROWS


def table_of(
    caption: str,
    columns: Mapping[str, Iterable[Cell | str | float]],
    units: Mapping[str, str] | None = None,
    *,
    sentences: Collection[str] = (),
    sortable: bool = True,
) -> Table:
    """A table of columns under their titles.

    Args:
        caption: What it holds, for those who do not see it.
        columns: For each title its cells: text, a whole number, any other number, or a cell.
        units: Units of columns.
        sentences: Titles of columns whose cells break into lines.
        sortable: Whether a click on a heading sorts it.
    """
    cells = {title: [_cell(value) for value in values] for title, values in columns.items()}
    headings = (
        Column(
            title=title,
            unit=(units or {}).get(title, ""),
            number=any(cell.sort is not None for cell in made),
            sentences=title in sentences,
        )
        for title, made in cells.items()
    )
    rows = (Row(cells=row) for row in zip(*cells.values(), strict=True))
    return Table(caption=caption, columns=tuple(headings), rows=tuple(rows), sortable=sortable)


def _cell(value: Cell | str | float) -> Cell:
    if isinstance(value, Cell):
        return value
    if isinstance(value, str):
        return Cell(text=value)
    return count_cell(value) if isinstance(value, Integral) else number_cell(value)


def prose_table(caption: str, titles: Sequence[str], rows: Sequence[Sequence[str]]) -> Table:
    """A table of sentences; without titles where these are empty."""
    return Table(
        caption=caption,
        columns=tuple(Column(title=title, number=False) for title in titles),
        rows=tuple(Row(cells=tuple(Cell(text=text) for text in row)) for row in rows),
        sortable=False,
        prose=True,
    )


def code(text: str) -> Markup:
    """A text as code."""
    return Markup("<code>{}</code>").format(text)


def badge(text: str, tone: Tone) -> Markup:
    """A text in a rounded frame whose color says how good it is."""
    return Markup('<span class="badge {}">{}</span>').format(tone, text)


def absent(text: str = NOT_MEASURED) -> Cell:
    """A cell without a value; it sorts last."""
    return Cell(text=text, sort="", absent=True)


def number_cell(value: float | None, missing: str = NOT_MEASURED) -> Cell:
    """A number with three significant digits."""
    if value is None or math.isnan(value):
        return absent(missing)
    return Cell(text=significant(value), sort=str(value) if math.isfinite(value) else "Infinity")


def count_cell(number: SupportsInt) -> Cell:
    """A whole number."""
    return Cell(text=count(int(number)), sort=int(number))


def spread_cell(metric: Metric, mean: float, sd: float) -> Cell:
    """Mean and standard deviation of a metric."""
    return Cell(text=f"{shown(metric, mean)} ± {shown(metric, sd)}", sort=mean) if usable(mean) else absent()


def metric_column(metric: Metric) -> Column:
    """The heading of a metric: its label and the unit in which it is shown."""
    return Column(title=metric.label, unit=shown_unit(metric))


def metric_cell(metric: Metric, value: float | None, low: float | None = None, high: float | None = None) -> Cell:
    """A value of a metric, with its 95 % interval if it has one."""
    if not usable(value):
        return absent()
    interval = f"{shown(metric, low)} … {shown(metric, high)}" if usable(low) and usable(high) else None
    return Cell(text=shown(metric, value), sort=value, interval=interval)
