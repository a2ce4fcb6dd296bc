"""The report's opening: who wins, by how much, and what a codec that sends nothing would have scored."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from analysis.controls import ZERO_RATE
from analysis.headlines import Headline
from analysis.measurement import CodecResult
from analysis.pages.numbers import significant, usable
from analysis.rates import FLOAT_BITS
from analysis.report.figures import label
from analysis.report.glossary import METRICS, NOT_REACHED
from analysis.report.rate_figures import ACCURACY_SHIFT, AGREEMENT, Loss

FUNCTION_METRIC = "function-metric"
LEARNED_SIDE, METRIC_SIDE, CLASSICAL_SIDE = "best autoencoder", "function-metric codec", "best conventional codec"


@dataclass(frozen=True, kw_only=True, slots=True)
class Contender:
    """One side of the comparison at a stated quality.

    Attributes:
        side: What it stands for ("best autoencoder").
        codec: Name of the best codec on that side.
        rate: Its ``code_bits_per_weight`` at that quality; ``None`` if it does not reach it.
        nearest: The side's result that comes closest, if none reaches it.
    """

    side: str
    codec: str
    rate: float | None
    nearest: CodecResult | None


@dataclass(frozen=True, kw_only=True, slots=True)
class CardRow:
    """A line of a card: a name, what qualifies it, a value."""

    name: str
    value: str
    detail: str = ""
    best: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Card:
    """A small table of headline figures."""

    title: str
    rows: tuple[CardRow, ...]


def side_of(result: CodecResult) -> str | None:
    """The side for which a result competes; controls compete for none."""
    if result.family == "control":
        return None
    if result.family == "learned":
        return LEARNED_SIDE
    return METRIC_SIDE if result.codec == FUNCTION_METRIC else CLASSICAL_SIDE


def contenders(results: Sequence[CodecResult], headlines: Sequence[Headline], axis: Loss) -> list[Contender]:
    """The best codec of each side at the axis's target quality, the winner first."""
    found = []
    for side in (LEARNED_SIDE, METRIC_SIDE, CLASSICAL_SIDE):
        rows = [r for r in results if side_of(r) == side and usable(getattr(r, axis.metric))]
        if not rows:
            continue
        rates = {h.codec: _rate(h, axis) for h in headlines if h.codec in {r.codec for r in rows}}
        reached = {codec: rate for codec, rate in rates.items() if rate is not None}
        if reached:
            codec = min(reached, key=lambda name: reached[name])
            found.append(Contender(side=side, codec=codec, rate=reached[codec], nearest=None))
        else:
            nearest = min(rows, key=lambda r: axis.lost(getattr(r, axis.metric)))
            found.append(Contender(side=side, codec=nearest.codec, rate=None, nearest=nearest))
    return sorted(found, key=lambda c: math.inf if c.rate is None else c.rate)


def _rate(headline: Headline, axis: Loss) -> float | None:
    rate = headline.rate_at_97 if axis is AGREEMENT else headline.rate_at_1pp
    return rate if usable(rate) else None


def zero_rate_controls(results: Sequence[CodecResult]) -> list[CodecResult]:
    """Controls that send nothing about a network, best agreement first."""
    rows = [r for r in results if r.codec in ZERO_RATE and usable(r.agreement)]
    return sorted(rows, key=lambda r: -r.agreement)


def sentences(results: Sequence[CodecResult], headlines: Sequence[Headline]) -> list[str]:
    """Says in words what was found, the losers included."""
    said = [
        _comparison("At 97 % agreement", contenders(results, headlines, AGREEMENT), AGREEMENT),
        _comparison("At a mean |Δaccuracy| of 1 pp", contenders(results, headlines, ACCURACY_SHIFT), ACCURACY_SHIFT),
        _break_even(headlines),
    ]
    controls = zero_rate_controls(results)
    if controls:
        best = controls[0]
        said.append(
            f"For no bits at all, the best zero-rate control ({best.codec}) already agrees on "
            f"{_shown(best, 'agreement')} of the images and moves accuracy by {_shown(best, 'accuracy_shift_pp')} "
            "on average: only what exceeds that is owed to the payload."
        )
    if any(r.family == "learned" and r.fits == 1 for r in results):
        said.append(
            "Autoencoders were fitted once, with one seed: their intervals leave out how much seeds differ, and a "
            "small difference between two trials may be chance. `zooscale search` with `--seeds 3` fits the best again."
        )
    return [sentence for sentence in said if sentence]


def _comparison(opening: str, sides: Sequence[Contender], axis: Loss) -> str:
    if not sides:
        return ""
    reached = [(side, side.rate) for side in sides if side.rate is not None]
    missed = [_missed(side, axis) for side in sides if side.rate is None]
    if not reached:
        return " ".join([f"{opening}: {NOT_REACHED} by any codec.", *missed])
    winner, least = reached[0]
    text = (
        f"{opening} the {_named(winner)} needs the fewest bits: {significant(least)} per weight, "
        f"{significant(FLOAT_BITS / least)} times fewer than 32-bit floats."
    )
    for other, rate in reached[1:]:
        text += f" The {_named(other)} needs {significant(rate)}, {significant(rate / least)} times as many."
    return " ".join([text, *missed])


def _missed(side: Contender, axis: Loss) -> str:
    nearest = side.nearest
    if nearest is None:
        return ""
    reach = "agrees on" if axis is AGREEMENT else "moves accuracy by"
    return (
        f"The {side.side} does not reach it: the nearest, {label(nearest)}, {reach} {_shown(nearest, axis.metric)}"
        f" at {significant(nearest.code_bits_per_weight)} bits."
    )


def _named(side: Contender) -> str:
    return side.side if side.codec in side.side else f"{side.side} ({side.codec})"


def _shown(result: CodecResult, metric: str) -> str:
    unit = METRICS[metric].unit
    return f"{METRICS[metric].format(getattr(result, metric))} {unit}".strip()


def _break_even(headlines: Sequence[Headline]) -> str:
    learned = [h for h in headlines if h.family == "learned" and h.shared_bytes and h.break_even_at and h.rivals]
    if not learned:
        return ""
    first = min(learned, key=lambda h: math.inf if h.break_even_models is None else h.break_even_models)
    opening = f"With its {_size(first.shared_bytes)} decoder counted, the {first.codec}"
    if first.rival is None:
        return f"No codec that shares nothing gets to {first.break_even_at}, so there is no N* for the {first.codec}."
    if first.break_even_models is None:
        return f"{opening} never beats {first.rival}, the best codec that shares nothing, however many networks use it."
    return (
        f"These rates leave out what the receiver holds already. {opening} beats {first.rival}, the best codec that "
        f"shares nothing, from N* = {significant(first.break_even_models, 2)} networks (at {first.break_even_at})."
    )


def _size(number: float) -> str:
    return f"{significant(number / 1000)} kB"


def cards(results: Sequence[CodecResult], headlines: Sequence[Headline]) -> list[Card]:
    """The headline figures as small tables: both target qualities, and the controls."""
    made = [
        _rate_card("Bits per weight at 97 % agreement", contenders(results, headlines, AGREEMENT)),
        _rate_card("Bits per weight at 1 pp mean |Δaccuracy|", contenders(results, headlines, ACCURACY_SHIFT)),
        Card(
            title="Agreement of the zero-rate controls",
            rows=tuple(
                CardRow(
                    name=r.codec,
                    value=_shown(r, "agreement"),
                    detail=f"mean |Δaccuracy| {_shown(r, 'accuracy_shift_pp')}",
                )
                for r in zero_rate_controls(results)
            ),
        ),
    ]
    return [card for card in made if card.rows]


def _rate_card(title: str, sides: Sequence[Contender]) -> Card:
    return Card(
        title=title,
        rows=tuple(
            CardRow(
                name=side.side.capitalize(),
                value=NOT_REACHED if side.rate is None else significant(side.rate),
                detail="" if side.codec in side.side else side.codec,
                best=rank == 0 and side.rate is not None,
            )
            for rank, side in enumerate(sides)
        ),
    )
