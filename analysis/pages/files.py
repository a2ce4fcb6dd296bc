"""What a page shows, as files for a paper: each chart as SVG and PNG, each table as CSV and LaTeX.

A browser without a window opens the page and draws its charts, since plotly.js draws nowhere else.
"""

from __future__ import annotations

import base64
import os
import re
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

import pandas as pd

if TYPE_CHECKING:
    from playwright.sync_api import Browser

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
# Of the window, in pixels; charts take what a page of this width gives them.
WIDTH = 1000
# Signs that LaTeX knows in formulas only.
SIGNS = {
    "−": "$-$",
    "–": "--",
    "…": "to",
    "²": "$^2$",
    "×": r"$\times$",
    "≥": r"$\geq$",
    "≤": r"$\leq$",
    "τ": r"$\tau$",
    "Δ": r"$\Delta$",
    "ε": r"$\varepsilon$",
    "λ": r"$\lambda$",
    "ρ": r"$\rho$",
}
TIMEOUT_MS = 60_000
TABLES = """() => [...document.querySelectorAll("table")].filter((table) => table.tHead).map((table) => ({
    section: table.closest("section")?.id ?? "",
    caption: table.parentElement.getAttribute("aria-label") ?? "",
    columns: [...table.tHead.rows[0].cells].map((cell) => ({
        title: (cell.querySelector("button") ?? cell.childNodes[0])?.textContent.trim() ?? "",
        unit: cell.querySelector(".unit")?.textContent.trim() ?? "",
    })),
    rows: [...table.tBodies[0].rows].map((row) => [...row.cells].map((cell) => {
        const interval = cell.querySelector(".interval")?.textContent.trim() ?? "";
        const text = cell.textContent.trim();
        const own = interval ? text.slice(0, -interval.length).trim() : text;
        return { text: own, interval, value: cell.dataset.value ?? "" };
    })),
}))"""


class NoBrowserError(RuntimeError):
    """There is no browser to draw charts with; the message says what to install."""


@dataclass(frozen=True)
class PageFiles:
    """The files that were written: of charts two each, and of tables."""

    charts: tuple[Path, ...]
    tables: tuple[Path, ...]


@contextmanager
def browser() -> Iterator[Browser]:
    """A browser without a window: one that is installed, or playwright's own.

    Raises:
        NoBrowserError: There is none, or playwright is not installed.
    """
    try:
        from playwright.sync_api import Error, sync_playwright
    except ImportError as error:
        raise NoBrowserError(
            "charts are drawn by a browser, for which playwright is needed: pip install playwright"
        ) from error
    installed = next(filter(None, map(shutil.which, BROWSERS)), None)
    # Root, as in containers, has no sandbox; the page is ours and opens nothing.
    arguments = ["--disable-gpu", *(["--no-sandbox"] if os.geteuid() == 0 else [])]
    with sync_playwright() as playwright:
        try:
            found = playwright.chromium.launch(executable_path=installed, args=arguments)
        except Error as error:
            raise NoBrowserError(
                "charts are drawn by a browser, and none starts: install Chromium or Chrome, or run "
                f"`playwright install chromium` ({str(error).strip().splitlines()[0]})"
            ) from error
        try:
            yield found
        finally:
            found.close()


def write_page_files(page_html: str, folder: Path) -> PageFiles:
    """Writes charts and tables of a page into a folder, which is made; files of the same names are replaced.

    Tables as CSV have numbers in full and intervals in columns of their own; as LaTeX they are as the page shows them.

    Args:
        page_html: The text of a page of :func:`analysis.pages.page.render_page`.
        folder: Where to.

    Raises:
        NoBrowserError: There is no browser.
        OSError: The folder cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    charts = []
    with browser() as opened:
        page = opened.new_page(viewport={"width": WIDTH, "height": 800}, color_scheme="light")
        page.set_default_timeout(TIMEOUT_MS)
        page.set_content(page_html)
        page.locator("body[data-ready=true]").wait_for(state="attached")
        page.evaluate("() => page.drawn.then(() => null)")
        for name in page.evaluate("() => [...document.querySelectorAll('[data-figure]')].map((chart) => chart.id)"):
            for ending in ("svg", "png"):
                file = folder / f"{name}.{ending}"
                file.write_bytes(
                    _decoded(page.evaluate("([name, format]) => page.image(name, format)", [name, ending]))
                )
                charts.append(file)
        tables = page.evaluate(TABLES)
    return PageFiles(
        tuple(charts), tuple(file for name, table in _named(tables) for file in _write(table, folder / name))
    )


def _decoded(url: str) -> bytes:
    """What a data URL holds."""
    head, _, body = url.partition(",")
    return base64.b64decode(body) if head.endswith("base64") else unquote(body).encode()


def _named(tables: Sequence[Mapping[str, Any]]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Tables by the section that they are in and what they hold, each name once."""
    taken: set[str] = set()
    for table in tables:
        words = re.sub(r"[^a-z0-9]+", "-", f"{table['section']} {table['caption']}".lower()).strip("-")[:60].strip("-")
        name, number = words, 2
        while name in taken:
            name, number = f"{words}-{number}", number + 1
        taken.add(name)
        yield name, table


def _write(table: Mapping[str, Any], stem: Path) -> tuple[Path, Path]:
    exact: dict[str, list[Any]] = {}
    shown: dict[str, list[str]] = {}
    for place, column in enumerate(table["columns"]):
        cells = [row[place] for row in table["rows"]]
        title = f"{column['title']} ({column['unit']})" if column["unit"] else column["title"]
        exact[title] = [_number(cell) for cell in cells]
        shown[title] = [f"{cell['text']} {cell['interval']}".strip() for cell in cells]
        if any(cell["interval"] for cell in cells):
            exact[f"{title}, interval"] = [cell["interval"] for cell in cells]
    files = stem.with_suffix(".csv"), stem.with_suffix(".tex")
    pd.DataFrame(exact).to_csv(files[0], index=False)
    latex = pd.DataFrame(shown).to_latex(index=False, escape=True, caption=table["caption"])
    for sign, formula in SIGNS.items():
        latex = latex.replace(sign, formula)
    files[1].write_text(latex, encoding="utf-8")
    return files


def _number(cell: Mapping[str, str]) -> float | str:
    """By what a cell is sorted where that is a number, else its text."""
    try:
        return float(cell["value"])
    except ValueError:
        return cell["text"]
