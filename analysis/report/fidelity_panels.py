"""What the report's scatter of original against reconstructed accuracy offers for choice."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from analysis.controls import ZERO_RATE
from analysis.headlines import quality_metric
from analysis.pages.numbers import with_unit
from analysis.report.figures import Style, label
from analysis.results import Result

SUMMARY = ("code_bits_per_weight", "agreement", "output_r2", "accuracy_shift_pp", "accuracy_r2")


def fidelity_data(results: Sequence[Result], style: Mapping[str, Style], score: str) -> dict[str, Any]:
    """Score of every member under every result; originals that are the same for many are listed once.

    Args:
        results: What can be chosen.
        style: How codecs look.
        score: "accuracy" or "loss".

    Returns:
        ``originals``: lists of M scores; ``results``: for each result the number of its list of originals, its M
        reconstructed scores, its color and a line of text.
    """
    places: dict[tuple[float, ...], int] = {}
    rows = [
        {
            "original": places.setdefault(result.values[f"{score}_original"], len(places)),
            "reconstructed": _rounded(result.values[f"{score}_reconstructed"]),
            "color": style[result.codec].color,
            "summary": _in_words(result),
        }
        for result in results
    ]
    return {"originals": [_rounded(values) for values in places], "results": rows}


def _rounded(values: Sequence[float]) -> list[float]:
    return [round(value, 5) for value in values]


def _in_words(result: Result) -> str:
    found = [result.metrics[name] for name in SUMMARY if name in result.metrics]
    return " · ".join(f"{one.metric.name} {with_unit(one.metric, one.estimate)}" for one in found)


def option_groups(results: Sequence[Result]) -> list[dict[str, Any]]:
    """The results by codec, controls last, as groups of a drop-down list."""
    groups: dict[str, list[dict[str, Any]]] = {}
    order = sorted(range(len(results)), key=lambda index: results[index].family == "control")
    for index in order:
        groups.setdefault(results[index].codec, []).append({"index": index, "text": label(results[index])})
    return [{"name": codec, "options": options} for codec, options in groups.items()]


def panels(results: Sequence[Result]) -> list[dict[str, Any]]:
    """The charts side by side and what they show at first: the best learned codec, and the best constant."""
    rows = range(len(results))
    name = quality_metric(results).name
    quality = [results[row].metrics[name].estimate for row in rows]
    codecs = [row for row in rows if results[row].family != "control"]
    learned = [row for row in codecs if results[row].family == "learned"]
    constant = [row for row in rows if results[row].codec in ZERO_RATE]
    first = max(learned or codecs or rows, key=lambda row: quality[row])
    second = max(constant, key=lambda row: quality[row]) if constant else None
    chosen = [first] if second in (None, first) else [first, second]
    return [
        {"id": f"fidelity-{number}", "label": text, "selected": row}
        for number, (row, text) in enumerate(zip(chosen, ("Codec", "Compared with"), strict=False))
    ]
