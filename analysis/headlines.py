"""The few figures by which codecs are compared, and the Pareto front over all of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from analysis.measurement import CodecResult
from analysis.rates import Point, bd_rate, break_even_models, point_at_quality
from trainables.study_files import pareto_rows

TARGET_AGREEMENT = 0.97
TARGET_SHIFT_PP = 1.0
ANCHOR = "uniform"


@dataclass(frozen=True, kw_only=True, slots=True)
class Headline:
    """What is said of one codec.

    Attributes:
        codec: Its name.
        family: "classical" or "learned".
        rate_at_97: ``code_bits_per_weight`` at 97 % agreement; ``None`` where not reached. Between settings of a
            classical codec it is interpolated; of learned codecs it is that of the cheapest one that is good enough.
        rate_at_1pp: ``code_bits_per_weight`` at ``accuracy_shift_pp`` 1, likewise.
        shared_bytes: What is shared at 97 % agreement, else at 1 pp, else the least of its settings.
        break_even_at: At which of the two ("97 % agreement", "1 pp") N* is taken; ``None`` at neither.
        break_even_models: N*: how many models it takes to beat the best codec without a shared part, at equal
            quality; ``None`` where it never does, where no such codec gets there, or where it shares nothing itself.
        rivals: How many codecs without a shared part were measured.
        rival: The best of them at that quality; ``None`` where none reaches it.
        bd_rate: Bjøntegaard difference in rate to uniform quantization at equal KL divergence, per cent.
    """

    codec: str
    family: str
    rate_at_97: float | None
    rate_at_1pp: float | None
    shared_bytes: float
    break_even_at: str | None
    break_even_models: float | None
    rivals: int
    rival: str | None
    bd_rate: float | None


def headlines(results: Sequence[CodecResult]) -> list[Headline]:
    """One headline for each codec that is no control, in order of appearance."""
    curves: dict[str, list[CodecResult]] = {}
    for result in results:
        if result.family != "control":
            curves.setdefault(result.codec, []).append(result)
    anchor = curves.get(ANCHOR, [])
    rivals = {codec: rows for codec, rows in curves.items() if all(row.shared_bytes == 0 for row in rows)}
    found = []
    for codec, rows in curves.items():
        at_97, at_1pp = _at_97(rows), _at_1pp(rows)
        reached, break_even_at, break_even, rival = at_97 or at_1pp, None, None, None
        if reached is not None and reached.shared_bytes > 0:
            break_even_at = "97 % agreement" if at_97 else "1 pp"
            points = {name: (_at_97 if at_97 else _at_1pp)(others) for name, others in rivals.items()}
            rates = {name: point.rate for name, point in points.items() if point is not None}
            if rates:
                rival = min(rates, key=lambda name: rates[name])
                break_even = break_even_models(reached.rate, reached.shared_bytes, rows[0].parameters, rates[rival])
        found.append(
            Headline(
                codec=codec,
                family=rows[0].family,
                rate_at_97=at_97.rate if at_97 else None,
                rate_at_1pp=at_1pp.rate if at_1pp else None,
                shared_bytes=reached.shared_bytes if reached else min(row.shared_bytes for row in rows),
                break_even_at=break_even_at,
                break_even_models=break_even,
                rivals=len(rivals),
                rival=rival,
                bd_rate=bd_rate(*_kl_curve(rows), *_kl_curve(anchor)),
            )
        )
    return found


def _at_97(rows: Sequence[CodecResult]) -> Point | None:
    return point_at_quality(agreement_points(rows), TARGET_AGREEMENT, between=rows[0].family != "learned")


def _at_1pp(rows: Sequence[CodecResult]) -> Point | None:
    return point_at_quality(shift_points(rows), -TARGET_SHIFT_PP, between=rows[0].family != "learned")


def agreement_points(rows: Sequence[CodecResult]) -> list[Point]:
    """The curve of agreement over rate."""
    return [Point(rate=r.code_bits_per_weight, quality=r.agreement, shared_bytes=r.shared_bytes) for r in rows]


def shift_points(rows: Sequence[CodecResult]) -> list[Point]:
    """The curve of -``accuracy_shift_pp`` over rate."""
    return [Point(rate=r.code_bits_per_weight, quality=-r.accuracy_shift_pp, shared_bytes=r.shared_bytes) for r in rows]


def pareto(results: Sequence[CodecResult]) -> list[CodecResult]:
    """The results that no other beats in both ``code_bits_per_weight`` and agreement, controls included."""
    rows = pareto_rows([r.code_bits_per_weight for r in results], [r.agreement for r in results])
    return [results[row] for row in rows]


def _kl_curve(rows: Sequence[CodecResult]) -> tuple[list[float], list[float]]:
    return [row.code_bits_per_weight for row in rows], [row.kl for row in rows]
