"""What the user sees: while a verb runs a live line, or a plain line now and then in a log; then its result."""

from __future__ import annotations

import json
import shutil
import sys
import textwrap
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

# Progress goes to stderr, so that stdout carries results alone.
CONSOLE = Console(stderr=True, highlight=False)
LOG_INTERVAL_S = 10.0
# Columns narrower than this are not wrapped.
NARROWEST = 24


class Task:
    """One bar: how much is done, how fast, how long it still takes."""

    def __init__(self, progress: Progress, description: str, total: int, unit: str, done: int) -> None:
        self._progress, self._description, self._total, self._unit = progress, description, total, unit
        self._logged = time.monotonic()
        self._changes = 0
        # What was done when it began and at the last change. The rate counts from the beginning, though Ray takes its
        # time to start: from the first piece on it would leave out most of the time where workers end theirs together.
        self._first = self._last = (float(done), self._logged)
        self._id = progress.add_task(description, total=total, completed=done, note="")

    def update(self, done: int, note: str = "", total: int | None = None, *, under_way: float = 0.0) -> None:
        """Shows that ``done`` of the total is finished.

        Args:
            done: Finished so far, with what was there before.
            note: Further words behind the bar.
            total: A new total.
            under_way: How much of what is not finished is done, for pieces that take long: it counts for the bar,
                a percentage and the rate.
        """
        now = time.monotonic()
        self._total = self._total if total is None else total
        so_far = done + under_way
        if so_far > self._last[0]:
            self._last, self._changes = (so_far, now), self._changes + 1
        words = [f"{done:,}/{self._total:,} {self._unit}", *([note] if note else [])]
        if under_way:
            words.insert(1, f"{100 * so_far / self._total:.0f} %")
        if self._changes:
            each_s = max(self._last[1] - self._first[1], 1e-9) / (self._last[0] - self._first[0])
            words.insert(2 if under_way else 1, f"{1 / each_s:.3g}/s" if each_s <= 1 else f"{each_s:.3g} s each")
            # None left of work that is not done says that the next report is overdue, so nothing is told.
            words += [f"{human_seconds(left_s)} left"] if (left_s := self._left_s(now, each_s)) >= 1 else []
        text = " · ".join(words)
        self._progress.update(self._id, completed=so_far, total=self._total, note=text)
        if not CONSOLE.is_terminal and now - self._logged >= LOG_INTERVAL_S:
            self._logged = now
            say(f"{self._description}: {text}")

    def _left_s(self, now: float, each_s: float) -> float:
        """How long it still takes: less and less while nothing is reported, until the next report is overdue."""
        between_s = (self._last[1] - self._first[1]) / self._changes
        return max((self._total - self._last[0]) * each_s - min(now - self._last[1], between_s), 0.0)


@contextmanager
def live(description: str, total: int, unit: str, done: int = 0) -> Iterator[Task]:
    """Shows a progress bar for as long as the block runs."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(bar_width=24),
        TextColumn("{task.fields[note]}"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=CONSOLE, transient=True, disable=not CONSOLE.is_terminal) as progress:
        yield Task(progress, description, total, unit, done)


def say(text: str) -> None:
    """Prints a line about what goes on."""
    CONSOLE.print(text, markup=False, soft_wrap=True)


def show(result: str | Mapping[str, object]) -> None:
    """Prints a result on stdout: text as it is, a mapping as JSON."""
    text = result if isinstance(result, str) else json.dumps(result, indent=2)
    if text:
        sys.stdout.write(text.rstrip() + "\n")
        sys.stdout.flush()


def columns(rows: Sequence[Sequence[str]]) -> str:
    """Lines whose words stand below each other; on a terminal, those of the last column are wrapped."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)][:-1]
    indent = sum(widths) + 2 * len(widths)
    room = shutil.get_terminal_size().columns - indent if sys.stdout.isatty() else 0
    lines = []
    for *words, last in rows:
        wrapped = textwrap.wrap(last, room) if room >= NARROWEST else [last]
        first = "".join(f"{word:{width}}  " for word, width in zip(words, widths, strict=True))
        lines.append((first + f"\n{'':{indent}}".join(wrapped)).rstrip())
    return "\n".join(lines)


def human_number(value: float, digits: int = 4) -> str:
    """``0.64021`` as ``0.6402``, ``35590.4`` as ``35,590``: what is not small has no fraction, nor a power of ten."""
    return f"{value:,.0f}" if 1000 <= abs(value) < 1e15 else f"{value:.{digits}g}"


def human_bytes(count: float) -> str:
    """``1536`` as ``1.5 KiB``."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if count < 1024:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1024
    return f"{count:,.1f} TiB"


def human_seconds(seconds: float) -> str:
    """``150`` as ``2 min 30 s``."""
    if seconds < 120:
        return f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours >= 48:
        return f"{hours / 24:,.0f} days"
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s"
