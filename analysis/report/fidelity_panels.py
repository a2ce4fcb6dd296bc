"""What the report's scatter of original against reconstructed accuracy offers for choice."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from analysis.controls import ZERO_RATE
from analysis.measurement import CodecResult
from analysis.report.figures import Style, label
from analysis.report.glossary import METRICS


def fidelity_data(results: Sequence[CodecResult], style: Mapping[str, Style]) -> dict[str, Any]:
    """Accuracy of every member under every result; originals that are the same for many are listed once.

    Returns:
        ``originals``: lists of M accuracies; ``results``: for each result the number of its list of originals,
        its M reconstructed accuracies, its color and a line of text.
    """
    places: dict[tuple[float, ...], int] = {}
    rows = [
        {
            "original": places.setdefault(result.accuracy_original_M, len(places)),
            "reconstructed": _rounded(result.accuracy_reconstructed_M),
            "color": style[result.codec].color,
            "summary": _in_words(result),
        }
        for result in results
    ]
    return {"originals": [_rounded(values) for values in places], "results": rows}


def _rounded(values: Sequence[float]) -> list[float]:
    return [round(value, 5) for value in values]


def _in_words(result: CodecResult) -> str:
    parts = [
        f"{name} {METRICS[name].format(getattr(result, name))} {METRICS[name].unit}".rstrip()
        for name in ("code_bits_per_weight", "agreement", "accuracy_shift_pp", "accuracy_r2")
    ]
    return " · ".join(parts)


def option_groups(results: Sequence[CodecResult]) -> list[dict[str, Any]]:
    """The results by codec, controls last, as groups of a drop-down list."""
    groups: dict[str, list[dict[str, Any]]] = {}
    order = sorted(range(len(results)), key=lambda index: results[index].family == "control")
    for index in order:
        groups.setdefault(results[index].codec, []).append({"index": index, "text": label(results[index])})
    return [{"name": codec, "options": options} for codec, options in groups.items()]


def panels(results: Sequence[CodecResult]) -> list[dict[str, Any]]:
    """The charts side by side and what they show at first: the best learned codec, and the best constant."""
    rows = range(len(results))
    agreement = [results[row].agreement for row in rows]
    codecs = [row for row in rows if results[row].family != "control"]
    learned = [row for row in codecs if results[row].family == "learned"]
    constant = [row for row in rows if results[row].codec in ZERO_RATE]
    first = max(learned or codecs or rows, key=lambda row: agreement[row])
    second = max(constant, key=lambda row: agreement[row]) if constant else None
    chosen = [first] if second in (None, first) else [first, second]
    return [
        {"id": f"fidelity-{number}", "label": text, "selected": row}
        for number, (row, text) in enumerate(zip(chosen, ("Codec", "Compared with"), strict=False))
    ]
