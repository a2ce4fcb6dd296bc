"""How long rows of an analysis take on this machine, as they were measured before, or from a few networks."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace

from analysis.codec_plan import CodecPlan
from analysis.evaluators.evaluator import Subject
from analysis.measuring.evaluating import measure
from analysis.measuring.rows import Row
from analysis.plan import Plan
from cluster.estimates import remember_s, remembered_s
from zoo.config import digest
from zoo.threads import one_thread

# Evaluation is tried on so many networks. What fitting and coding takes for each weight of a network, and a row of
# predictors, until they were measured.
FEW_MEMBERS, FIRST_CODE_S, FIRST_PREDICTOR_S = 32, 2e-6, 2.0


def analysis_s(plan: Plan, rows: Sequence[Row]) -> tuple[float, bool]:
    """What some rows of an analysis take on one core, and whether that is a guess.

    It is none where rows of these names were measured on this machine for such networks. Else evaluation is tried on
    a few networks here and now, and what codecs take is guessed: it differs a hundredfold between them.
    """
    members, seconds, unknown = len(plan.members), 0.0, 0
    for row in rows:
        known = remembered_s(_row_of(plan, row.name), math.nan)
        unknown += math.isnan(known)
        seconds += 0.0 if math.isnan(known) else known * members
    if unknown and isinstance(plan, CodecPlan):
        few = replace(plan.setup, members=plan.members[:FEW_MEMBERS]).original
        with one_thread():  # as in an analysis
            for _ in range(2):  # the first time the kernel is loaded, draws are made, and originals are applied
                started = time.process_time()
                measure(plan.setup.evaluation, [Subject(few.population)], few)
        each = (time.process_time() - started) / len(few) + FIRST_CODE_S * plan.setup.architecture.parameters
        seconds += unknown * members * each
    elif unknown:
        seconds += unknown * FIRST_PREDICTOR_S
    return seconds, unknown > 0


def remembered_rows_s(plan: Plan, rows: Sequence[Row]) -> float | None:
    """What some rows take on one core, where rows of all their names were measured on this machine before."""
    each = [remembered_s(_row_of(plan, row.name), math.nan) for row in rows]
    return None if any(map(math.isnan, each)) else sum(each) * len(plan.members)


def remember_rows(plan: Plan, seconds: Mapping[str, Sequence[float]]) -> None:
    """Notes what rows of an analysis took, by their names."""
    for name, each in seconds.items():
        remember_s(_row_of(plan, name), sum(each) / len(each) / len(plan.members))


def _row_of(plan: Plan, name: str) -> str:
    """Under what the time of a row is remembered: for networks of one layout, applied to so many examples."""
    if not isinstance(plan, CodecPlan):
        return f"row of predictors {name!r}, for each network"
    layout, examples = digest(plan.setup.architecture.layout)[:8], len(plan.setup.evaluation.test)
    return f"row of {name!r} on layout {layout} and {examples} examples, for each network"
