"""What ``--figures`` asks for: a page's charts and tables as files, once the page is there."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from cluster.display import say
from zoo.words import counted

if TYPE_CHECKING:
    from zoo.storage.store import Store


def page_files(folder: Path | None) -> Callable[[Store, str], None]:
    """A function that writes charts and tables of a page in a store into a folder; without a folder it does nothing.

    That there is a browser and a folder is found out now, before the work that makes the page.

    Raises:
        analysis.pages.files.NoBrowserError: There is no browser to draw charts with.
        OSError: The folder cannot be made.
    """
    if folder is None:
        return lambda store, path: None  # noqa: ARG005
    from analysis.pages.files import browser, write_page_files

    folder.mkdir(parents=True, exist_ok=True)
    with browser():
        pass

    def write(store: Store, path: str) -> None:
        files = write_page_files(store.read(path).decode(), folder)
        charts, tables = counted(len(files.charts) // 2, "chart"), counted(len(files.tables) // 2, "table")
        say(f"figures {folder}: {charts} as SVG and PNG, {tables} as CSV and LaTeX")

    return write
