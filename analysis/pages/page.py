"""A page: one HTML file that holds everything it shows and opens without a network.

It is a head with a few facts, a line of contents, and sections; a section is a list of blocks: text, charts, tables,
code, a glossary. What needs markup of its own is a block of ``Markup``, or a template that extends ``page.html.j2``.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any, ClassVar, Literal, TypeAlias

import plotly.graph_objects as go
import plotly.io
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from plotly.offline import get_plotlyjs

from analysis.pages.glossary import Glossary, marked, unbroken
from analysis.pages.tables import Table

ASSETS = Path(__file__).with_name("assets")
# Of a name; not in τ_max, a sign with its index.
BETWEEN_WORDS = re.compile(r"(?<=\w\w)_(?=\w\w)")


@dataclass(frozen=True, kw_only=True, slots=True)
class Fact:
    """One of the figures at the head of a page."""

    name: str
    value: str
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Text:
    """A paragraph; ``Markup`` stands as it is. A note is set smaller, a quotation apart."""

    kind: ClassVar[str] = "text"

    text: str
    style: Literal["", "note", "quotation"] = ""


@dataclass(frozen=True, slots=True)
class Heading:
    """A heading within a section."""

    kind: ClassVar[str] = "heading"

    text: str


@dataclass(frozen=True, slots=True)
class Bullets:
    """A list of sentences."""

    kind: ClassVar[str] = "bullets"

    items: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Code:
    """Lines to copy."""

    kind: ClassVar[str] = "code"

    text: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Chart:
    """A chart.

    Attributes:
        name: Its one name: the anchor that it is linked by, and the name of the files that it is saved as. Different
            from all others' and from the sections' anchors.
        figure: What is drawn.
        label: What it shows, for those who do not see it.
        caption: What it shows and how to read it.
        narrow: Whether half of the page's width is enough.
    """

    kind: ClassVar[str] = "chart"

    name: str
    figure: go.Figure
    label: str
    caption: str = ""
    narrow: bool = False


@dataclass(frozen=True, slots=True)
class Grid:
    """Blocks side by side, in a narrow window one below the other; small ones three in a row."""

    kind: ClassVar[str] = "grid"

    blocks: tuple[Block, ...]
    small: bool = False


Block: TypeAlias = "Text | Heading | Bullets | Code | Chart | Grid | Table | Glossary | Markup"


@dataclass(frozen=True, kw_only=True, slots=True)
class Section:
    """A part of a page.

    Attributes:
        anchor: Under which it can be linked to.
        heading: Its heading.
        blocks: What it holds, from top to bottom.
        short: Its name in the line of contents, where not the heading.
    """

    anchor: str
    heading: str
    blocks: tuple[Block, ...]
    short: str = ""


def render_page(
    *,
    title: str,
    lead: str,
    facts: Sequence[Fact],
    sections: Sequence[Section] = (),
    template: str = "page.html.j2",
    context: Mapping[str, Any] | None = None,
    figures: Mapping[str, go.Figure] | None = None,
    data: Mapping[str, Any] | None = None,
    scripts: Sequence[str] = (),
    assets: Path | None = None,
) -> str:
    """Writes a page; the text that comes back needs no other file and no network.

    Args:
        title: Its title.
        lead: What it is about, in a sentence or two.
        facts: What stands at its head.
        sections: Its parts.
        template: A template of the page's own that extends ``page.html.j2``.
        context: Variables of that template; ``contents``, pairs of anchor and name, is made of the sections if it is
            not among them.
        figures: Charts of that template, besides those of the sections.
        data: What the page's own scripts read beside ``figures``: plain JSON values without NaN.
        scripts: Names of the page's own scripts, run when ``page.js`` has been; see there.
        assets: The folder of the page's own template and scripts.

    Raises:
        ValueError: Two charts have the same name.
    """
    folders = [ASSETS] if assets is None else [assets, ASSETS]
    drawn, taken = {**(figures or {})}, {section.anchor for section in sections}
    for chart in _charts(block for section in sections for block in section.blocks):
        if chart.name in drawn or chart.name in taken:
            raise ValueError(f"a chart and something else on the page are called {chart.name!r}; rename one of them")
        drawn[chart.name] = chart.figure
    plain = {name: json.loads(plotly.io.to_json(figure)) for name, figure in drawn.items()}
    variables: dict[str, Any] = {
        "title": title,
        "lead": lead,
        "facts": facts,
        "sections": sections,
        "contents": [(section.anchor, section.short or section.heading) for section in sections],
        **(context or {}),
        # Our own text, not data: it must not be escaped.
        "css": Markup(_joined(folders, ["page.css"])),  # noqa: S704
        "javascript": Markup(_joined(folders, ["page.js", *scripts])),  # noqa: S704
        "plotly": Markup(get_plotlyjs()),  # noqa: S704
        "data": Markup(_embedded({"figures": plain, **(data or {})})),  # noqa: S704
    }
    return _templates(folders).get_template(template).render(variables)


def filled(assets: Path, template: str, **variables: Any) -> Markup:
    """A piece of a page that has markup of its own, from a template in a folder of the page's."""
    # The template has escaped its variables.
    return Markup(_templates([assets]).get_template(template).render(variables))  # noqa: S704


def _templates(folders: Sequence[Path]) -> Environment:
    environment = Environment(loader=FileSystemLoader(folders), autoescape=True, undefined=StrictUndefined)
    environment.filters |= {"breakable": _breakable, "marked": marked}
    return environment


def installed_versions(libraries: Sequence[str]) -> str:
    """The versions of those libraries that are installed, in a line."""
    installed = []
    for library in libraries:
        try:
            installed.append(f"{library} {metadata.version(library)}")
        except metadata.PackageNotFoundError:
            continue
    return ", ".join(installed)


def _charts(blocks: Iterator[Block]) -> Iterator[Chart]:
    for block in blocks:
        if isinstance(block, Chart):
            yield block
        elif isinstance(block, Grid):
            yield from _charts(iter(block.blocks))


def _joined(folders: Sequence[Path], names: Sequence[str]) -> str:
    """The text of several assets, each from the first folder that has it."""
    return "\n".join(
        next(folder / name for folder in folders if (folder / name).exists()).read_text(encoding="utf-8")
        for name in names
    )


def _breakable(name: str) -> Markup:
    """A metric's name that may be broken after its underscores, between words."""
    return unbroken(Markup("_<wbr>").join(BETWEEN_WORDS.split(name)))


def _embedded(value: Any) -> str:
    """JSON that can stand inside a script element whatever text it holds."""
    return json.dumps(value, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c")
