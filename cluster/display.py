"""What the user sees: while a verb runs a live line, or a plain line now and then in a log; then its result."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

# Progress goes to stderr, so that stdout carries results alone.
CONSOLE = Console(stderr=True, highlight=False)
LOG_INTERVAL_S = 10.0


class Task:
    """One bar: how much is done, how fast, how long it still takes."""

    def __init__(self, progress: Progress, description: str, total: int, unit: str, done: int) -> None:
        self._progress, self._description, self._total, self._unit = progress, description, total, unit
        self._before, self._logged = done, time.monotonic()
        # The rate is that since the first piece of work was done: Ray takes its time to start.
        self._first: tuple[int, float] | None = None
        self._id = progress.add_task(description, total=total, completed=done, note="")

    def update(self, done: int, note: str = "", total: int | None = None) -> None:
        """Shows that ``done`` of the total is finished.

        Args:
            done: Finished so far, with what was there before.
            note: Further words behind the bar.
            total: A new total.
        """
        now = time.monotonic()
        self._total = self._total if total is None else total
        if self._first is None and done > self._before:
            self._first = (done, now)
        words = [f"{done:,}/{self._total:,} {self._unit}", *([note] if note else [])]
        if self._first is not None and done > self._first[0]:
            rate = (done - self._first[0]) / max(now - self._first[1], 1e-9)
            words.insert(1, f"{rate:.3g}/s" if rate >= 1 else f"{1 / rate:.3g} s each")
            words.append(f"{human_seconds((self._total - done) / rate)} left")
        text = " · ".join(words)
        self._progress.update(self._id, completed=done, total=self._total, note=text)
        if not CONSOLE.is_terminal and now - self._logged >= LOG_INTERVAL_S:
            self._logged = now
            say(f"{self._description}: {text}")


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


def human_bytes(count: float) -> str:
    """``1536`` as ``1.5 KiB``."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if count < 1024:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1024
    return f"{count:.1f} TiB"


def human_seconds(seconds: float) -> str:
    """``150`` as ``2 min 30 s``."""
    if seconds < 120:
        return f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s"
