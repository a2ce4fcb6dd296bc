"""The few figures by which codecs are compared, and the Pareto front over all of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from analysis.compression.rates import Point, bd_rate, break_even_models, point_at_quality
from analysis.measuring.results import Result, declared
from trainables.pareto import pareto_rows
from zoo.metric import Metric

ANCHOR = "uniform"


@dataclass(frozen=True, kw_only=True, slots=True)
class Target:
    """A quality at which codecs are compared by their rate.

    Attributes:
        metric: Name of a metric.
        value: What it is to reach.
        words: How it is said: "97 % agreement".
    """

    metric: str
    value: float
    words: str


# Where networks choose classes the first two are measured, where they predict values the last one.
TARGETS = (
    Target(metric="agreement", value=0.97, words="97 % agreement"),
    Target(metric="accuracy_shift_pp", value=1.0, words="1 pp mean |Δaccuracy|"),
    Target(metric="output_r2", value=0.99, words="an output R² of 0.99"),
)
# What a Bjøntegaard difference is taken at equal values of.
DISTORTIONS = ("kl", "output_error")


@dataclass(frozen=True, kw_only=True, slots=True)
class Headline:
    """What is said of one codec.

    Attributes:
        codec: Its name.
        family: "classical" or "learned".
        rates: For each target, by its words, the ``code_bits_per_weight`` there; ``None`` where not reached. Between
            settings of a classical codec it is interpolated; of learned codecs it is that of the cheapest one that
            is good enough.
        shared_bytes: What is shared at the first target that is reached, else the least of its settings.
        break_even_at: At which target N* is taken; ``None`` at none.
        break_even_models: N*: how many models it takes to beat the best codec without a shared part, at equal
            quality; ``None`` where it never does, where no such codec gets there, or where it shares nothing itself.
        rivals: How many codecs without a shared part were measured.
        rival: The best of them at that quality; ``None`` where none reaches it.
        bd_rate: Bjøntegaard difference in rate to uniform quantization at equal distortion, per cent.
    """

    codec: str
    family: str
    rates: Mapping[str, float | None]
    shared_bytes: float
    break_even_at: str | None
    break_even_models: float | None
    rivals: int
    rival: str | None
    bd_rate: float | None

    def row(self) -> dict[str, Any]:
        """A flat row of a table, with a column for the rate at each target."""
        others = {name: value for name, value in asdict(self).items() if name != "rates"}
        return {**others, **{f"rate at {words}": rate for words, rate in self.rates.items()}}


def targets(results: Sequence[Result]) -> list[Target]:
    """The qualities at which these results can be compared."""
    return [target for target in TARGETS if any(target.metric in result.metrics for result in results)]


def quality_metric(results: Sequence[Result]) -> Metric:
    """The metric that says first how good a reconstruction is: agreement, or R² of outputs.

    Raises:
        ValueError: No result has one.
    """
    for target in targets(results):
        return declared(results)[target.metric]
    raise ValueError(f"no result has any of the metrics {', '.join(target.metric for target in TARGETS)}")


def headlines(results: Sequence[Result]) -> list[Headline]:
    """One headline for each codec that is no control, in order of appearance."""
    curves: dict[str, list[Result]] = {}
    for result in results:
        if result.family != "control":
            curves.setdefault(result.name, []).append(result)
    anchor = curves.get(ANCHOR, [])
    rivals = {codec: rows for codec, rows in curves.items() if all(row.shared_bytes == 0 for row in rows)}
    found = []
    for codec, rows in curves.items():
        at = {target: _at(rows, target) for target in targets(results)}
        target = next((target for target, point in at.items() if point is not None), None)
        reached, break_even, rival = at[target] if target else None, None, None
        if target is not None and reached is not None and reached.shared_bytes > 0:
            points = {name: _at(others, target) for name, others in rivals.items()}
            rates = {name: point.rate for name, point in points.items() if point is not None}
            if rates:
                rival = min(rates, key=lambda name: rates[name])
                break_even = break_even_models(reached.rate, reached.shared_bytes, rows[0].parameters, rates[rival])
        found.append(
            Headline(
                codec=codec,
                family=rows[0].family,
                rates={target.words: point.rate if point else None for target, point in at.items()},
                shared_bytes=reached.shared_bytes if reached else min(row.shared_bytes for row in rows),
                break_even_at=target.words if target and reached and reached.shared_bytes > 0 else None,
                break_even_models=break_even,
                rivals=len(rivals),
                rival=rival,
                bd_rate=bd_rate(*_distortion_curve(rows), *_distortion_curve(anchor)),
            )
        )
    return found


def _at(rows: Sequence[Result], target: Target) -> Point | None:
    """Where a codec's curve first reaches a target."""
    measured = [(row, row.metrics[target.metric]) for row in rows if target.metric in row.metrics]
    if not measured:
        return None
    sign = 1 if measured[0][1].metric.direction == "max" else -1
    points = [Point(rate=row.rate, quality=sign * m.estimate, shared_bytes=row.shared_bytes) for row, m in measured]
    return point_at_quality(points, sign * target.value, between=rows[0].family != "learned")


def pareto(results: Sequence[Result]) -> list[Result]:
    """The results that no other beats in both ``code_bits_per_weight`` and quality, controls included."""
    if not targets(results):
        return []
    name = quality_metric(results).name
    measured = [result for result in results if result.value(name) is not None]
    rows = pareto_rows([r.rate for r in measured], [r.metrics[name].estimate for r in measured])
    return [measured[row] for row in rows]


def _distortion_curve(rows: Sequence[Result]) -> tuple[list[float], list[float]]:
    name = next((name for name in DISTORTIONS if all(name in row.metrics for row in rows)), None)
    if name is None:
        return [], []
    return [row.rate for row in rows], [row.metrics[name].estimate for row in rows]
