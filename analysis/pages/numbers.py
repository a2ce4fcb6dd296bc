"""Numbers as pages write them, and metrics in the unit in which they are shown."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeGuard

import numpy as np

from zoo import words
from zoo.metric import Metric

NOT_MEASURED, THIN_SPACE = "–", "\u202f"
BYTE_UNITS = ("B", "kB", "MB", "GB", "TB")


@dataclass(frozen=True, slots=True)
class _Shown:
    """How values of a unit are written: their unit on the page, a factor, and digits after the point.

    ``digits`` is ``None`` where three significant digits are written instead.
    """

    unit: str
    factor: float = 1.0
    digits: int | None = None


_SHOWN = {
    "share": _Shown("%", 100, 1),
    "pp": _Shown("pp", 1, 2),
    "bytes": _Shown("bytes", 1, 0),
    "bits/weight": _Shown("bits"),
}


def usable(value: float | None) -> TypeGuard[float]:
    """Whether a value was measured and is a number."""
    return value is not None and math.isfinite(value)


def shown_unit(metric: Metric) -> str:
    """The unit in which a page shows a metric: "%" for a share."""
    return _shown(metric).unit


def shown(metric: Metric, value: float | None) -> str:
    """Writes a value of a metric in :func:`shown_unit`; a dash if it was not measured."""
    if value is None or math.isnan(value):
        return NOT_MEASURED
    form = _shown(metric)
    scaled = value * form.factor
    return significant(scaled) if form.digits is None else grouped(f"{scaled:z,.{form.digits}f}")


def with_unit(metric: Metric, value: float | None) -> str:
    """The same followed by the unit: ``97.1 %``."""
    text = shown(metric, value)
    return text if text == NOT_MEASURED else f"{text} {shown_unit(metric)}".rstrip()


def axis_title(metric: Metric) -> str:
    """Label and unit, as written on an axis whose ticks are in that unit."""
    unit = shown_unit(metric)
    return f"{metric.label} ({unit})" if unit else metric.label


def _shown(metric: Metric) -> _Shown:
    return _SHOWN.get(metric.unit) or _Shown(metric.unit)


def grouped(text: str) -> str:
    """Uses thin spaces between thousands and a real minus sign."""
    return text.replace(",", THIN_SPACE).replace("-", "\u2212")


def count(number: float) -> str:
    """Writes a whole number with thousands apart; ∞ for infinity."""
    return "∞" if math.isinf(number) else grouped(f"{number:,.0f}")


def counted(number: int, what: str) -> str:
    """A number of things: ``1 seed``, ``2 seeds``."""
    return words.counted(number, what).replace(",", THIN_SPACE)


def percent(share: float | None, digits: int = 1) -> str:
    """A share in percent, with its sign; a dash where it is not known."""
    return grouped(f"{100 * share:.{digits}f} %") if usable(share) else NOT_MEASURED


def significant(value: float, digits: int = 3) -> str:
    """Writes a number with a fixed number of significant digits and with an exponent only below 0.0001.

    Args:
        value: The number; infinities are written as ∞.
        digits: Significant digits, at least 1.
    """
    if math.isinf(value):
        return "∞" if value > 0 else "\u2212∞"
    if value == 0:
        return "0"
    exponent = math.floor(math.log10(abs(float(f"{value:.{digits - 1}e}"))))
    if exponent < -4:
        return grouped(f"{value / 10**exponent:.{digits - 1}f}e{exponent}")
    return grouped(f"{round(value, digits - 1 - exponent):,.{max(digits - 1 - exponent, 0)}f}")


def size(number: float) -> str:
    """A number of bytes in the unit that keeps it short: ``865.3 kB``."""
    for unit in BYTE_UNITS[:-1]:
        if number < 1000:
            return f"{number:.0f} {unit}" if unit == "B" else f"{number:.1f} {unit}"
        number /= 1000
    return f"{number:.1f} {BYTE_UNITS[-1]}"


def plain(value: Any) -> str:
    """A JSON value, or a number of numpy's, in a line."""
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {plain(entry)}" for name, entry in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(map(plain, value)) or "(none)"
    if value is None or isinstance(value, bool):
        return "none" if value is None else str(value).lower()
    return f"{value:g}" if isinstance(value, float) else str(value) or "(none)"
