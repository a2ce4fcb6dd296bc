"""The report's opening: who wins, by how much, and what a codec that sends nothing would have scored."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from analysis.compression.codec_rows import LEARNED
from analysis.compression.controls import ZERO_RATE
from analysis.compression.headlines import Headline, Target, quality_metric, targets
from analysis.compression.rates import FLOAT_BITS
from analysis.measuring.results import Result
from analysis.pages.numbers import count, significant, with_unit
from analysis.report.figures import label
from analysis.report.glossary import NOT_REACHED
from analysis.report.rate_figures import AXES

FUNCTION_METRIC = "function-metric"
REACH = {"agreement": "agrees on", "accuracy_shift_pp": "moves accuracy by", "output_r2": "keeps an output R² of"}
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
    nearest: Result | None


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


def side_of(result: Result) -> str | None:
    """The side for which a result competes; controls compete for none."""
    if result.family == "control":
        return None
    if result.name.startswith(FUNCTION_METRIC):
        return METRIC_SIDE
    return LEARNED_SIDE if result.name == LEARNED else CLASSICAL_SIDE


def contenders(results: Sequence[Result], headlines: Sequence[Headline], target: Target) -> list[Contender]:
    """The best codec of each side at a target quality, the winner first."""
    found = []
    for side in (LEARNED_SIDE, METRIC_SIDE, CLASSICAL_SIDE):
        rows = [r for r in results if side_of(r) == side and r.value(target.metric) is not None]
        if not rows:
            continue
        rates = {h.codec: h.rates.get(target.words) for h in headlines if h.codec in {r.name for r in rows}}
        reached = {codec: rate for codec, rate in rates.items() if rate is not None}
        if reached:
            codec = min(reached, key=lambda name: reached[name])
            found.append(Contender(side=side, codec=codec, rate=reached[codec], nearest=None))
        else:
            nearest = min(rows, key=lambda r: AXES[target.metric].lost(r.metrics[target.metric].estimate))
            found.append(Contender(side=side, codec=nearest.name, rate=None, nearest=nearest))
    return sorted(found, key=lambda c: math.inf if c.rate is None else c.rate)


def zero_rate_controls(results: Sequence[Result]) -> list[Result]:
    """Controls that send nothing about a network, the best first."""
    rows = [r for r in results if r.name in ZERO_RATE]
    return sorted(rows, key=lambda r: -r.metrics[quality_metric(rows).name].estimate)


def sentences(results: Sequence[Result], headlines: Sequence[Headline]) -> list[str]:
    """Says in words what was found, the losers included."""
    said = [
        *(
            _comparison(f"At {target.words}", contenders(results, headlines, target), target)
            for target in targets(results)
        ),
        _break_even(headlines),
    ]
    controls = zero_rate_controls(results)
    if controls:
        said.append(_said_of_best_control(controls[0]))
    if any(r.name == LEARNED and r.fits == 1 for r in results):
        said.append(
            "Autoencoders were fitted once, with one seed: their intervals leave out how much seeds differ, and a "
            "small difference between two trials may be chance. `zooscale search` with `--seeds 3` fits the best again."
        )
    return [sentence for sentence in said if sentence]


def _said_of_best_control(best: Result) -> str:
    opening = f"For no bits at all, the best zero-rate control ({best.name}) already"
    if "agreement" in best.metrics:
        kept = (
            f"agrees on {_shown(best, 'agreement')} of the images and moves accuracy by "
            f"{_shown(best, 'accuracy_shift_pp')} on average"
        )
    else:
        kept = f"keeps an output R² of {_shown(best, 'output_r2')}"
    return f"{opening} {kept}: only what exceeds that is owed to the payload."


def _comparison(opening: str, sides: Sequence[Contender], target: Target) -> str:
    if not sides:
        return ""
    reached = [(side, side.rate) for side in sides if side.rate is not None]
    missed = [_missed(side, target) for side in sides if side.rate is None]
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


def _missed(side: Contender, target: Target) -> str:
    nearest = side.nearest
    if nearest is None:
        return ""
    return (
        f"The {side.side} does not reach it: the nearest, {label(nearest)}, {REACH[target.metric]} "
        f"{_shown(nearest, target.metric)} at {significant(nearest.rate)} bits."
    )


def _named(side: Contender) -> str:
    return side.side if side.codec in side.side else f"{side.side} ({side.codec})"


def _shown(result: Result, metric: str) -> str:
    measured = result.metrics[metric]
    return with_unit(measured.metric, measured.estimate)


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
        f"shares nothing, from N* = {count(math.ceil(first.break_even_models))} networks (at {first.break_even_at})."
    )


def _size(number: float) -> str:
    return f"{significant(number / 1000)} kB"


def cards(results: Sequence[Result], headlines: Sequence[Headline]) -> list[Card]:
    """The headline figures as small tables: target qualities, and the controls."""
    controls = zero_rate_controls(results)
    made = [
        *(
            _rate_card(f"Bits per weight at {target.words}", contenders(results, headlines, target))
            for target in targets(results)
        ),
        Card(
            title=f"{quality_metric(results).label.capitalize()} of the zero-rate controls",
            rows=tuple(
                CardRow(
                    name=r.name,
                    value=_shown(r, quality_metric(results).name),
                    detail=f"mean |Δaccuracy| {_shown(r, 'accuracy_shift_pp')}"
                    if "accuracy_shift_pp" in r.metrics
                    else f"relative error {_shown(r, 'output_error')}",
                )
                for r in controls
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
