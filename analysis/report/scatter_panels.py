"""What the report's scatters of members offer for choice: original against reconstructed, true against predicted."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from analysis.measuring.results import Result
from analysis.pages.numbers import with_unit
from analysis.report.figures import label, style

SUMMARY = (
    "code_bits_per_weight", "agreement", "output_r2", "accuracy_shift_pp", "accuracy_r2", "r2", "kendall_tau",
    "mean_absolute_error",
)  # fmt: skip


def scatter_data(results: Sequence[Result], names: tuple[str, str]) -> dict[str, Any]:
    """Two values of every member under every result; horizontal ones that are the same for many are listed once.

    Args:
        results: What can be chosen.
        names: The values, as the results name them: horizontal, vertical.

    Returns:
        ``originals``: lists of M values; ``results``: for each result the number of its list of originals, its M
        vertical values, its color and a line of text.
    """
    places: dict[tuple[float, ...], int] = {}
    rows = [
        {
            "original": places.setdefault(result.values[names[0]], len(places)),
            "reconstructed": _rounded(result.values[names[1]]),
            "color": style(result.name, result.family).color,
            "summary": _in_words(result),
        }
        for result in results
    ]
    return {"originals": [_rounded(values) for values in places], "results": rows}


def _rounded(values: Sequence[float]) -> list[float]:
    return [float(f"{value:.5g}") for value in values]


def _in_words(result: Result) -> str:
    found = [result.metrics[name] for name in SUMMARY if name in result.metrics]
    return " · ".join(f"{one.metric.label} {with_unit(one.metric, one.estimate)}" for one in found)


def option_groups(results: Sequence[Result]) -> list[dict[str, Any]]:
    """The results by codec, controls last, as groups of a drop-down list."""
    groups: dict[str, list[dict[str, Any]]] = {}
    order = sorted(range(len(results)), key=lambda index: results[index].family == "control")
    for index in order:
        groups.setdefault(results[index].name, []).append({"index": index, "text": label(results[index])})
    return [{"name": codec, "options": options} for codec, options in groups.items()]


def panels(results: Sequence[Result], metric: str, rivals: Sequence[str]) -> list[dict[str, Any]]:
    """The charts side by side and what they show at first: what a study found best, and the best control.

    Args:
        results: What can be chosen.
        metric: By which, the larger the better, they are compared.
        rivals: Names of the controls that the second chart can begin with.
    """
    rows = range(len(results))
    quality = [results[row].metrics[metric].estimate for row in rows]
    others = [row for row in rows if results[row].family != "control"]
    learned = [row for row in others if results[row].family == "learned"]
    controls = [row for row in rows if results[row].name in rivals]
    first = max(learned or others or rows, key=lambda row: quality[row])
    second = max(controls, key=lambda row: quality[row]) if controls else None
    chosen = [first] if second in (None, first) else [first, second]
    return [
        {"id": f"fidelity-{number}", "label": text, "selected": row}
        for number, (row, text) in enumerate(zip(chosen, ("Shown", "Compared with"), strict=False))
    ]
