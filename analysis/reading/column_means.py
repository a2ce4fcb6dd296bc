"""The mean over all columns that are told, and how far the best encoder or predictor is ahead of each other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from analysis.measuring.results import Result, sum_of_means
from analysis.statistics.intervals import Bootstrap, Interval
from trainables.readouts.metrics import ACCURACY, R2

Scores = Mapping[str, Result]
"""Results of one encoder by column."""

# Of one column there is no mean; predictors have no more.
FEWEST_COLUMNS = 2


def called(result: Result) -> str:
    """The name of an encoder with its trial and its readout where that is not linear, or of a baseline."""
    name = result.name if result.trial is None else f"{result.name} {result.trial}"
    boosting = result.question is not None and result.question.readout == "boosting"
    return f"{name}, boosting" if boosting else name


def best_first(results: Sequence[Result]) -> list[str]:
    """Names of encoders, that with the largest sum over what is asked first; then baselines, in their order.

    R² counts at least 0, and what an encoder cannot tell is 0.

    Args:
        results: One of each encoder and baseline for each thing that is asked.
    """
    sums: dict[str, float] = {}
    for result in results:
        sums[called(result)] = sums.get(called(result), 0.0) + max(result.value(_metric(result)) or 0.0, 0.0)
    baselines = dict.fromkeys(called(result) for result in results if result.family == "control")
    return [*sorted(sums.keys() - baselines.keys(), key=lambda name: (-sums[name], name)), *baselines]


def column_means(
    results: Sequence[Result], zoo: str, bootstrap: Bootstrap, fewest: int = FEWEST_COLUMNS
) -> list[dict[str, Any]]:
    """Means of R² and accuracy over the columns that all encoders tell of a zoo's own networks.

    R² counts at least 0: what nobody tells should not outweigh what some tell. Leads are on the same networks; neither
    they nor the columns named are corrected for their number.

    Args:
        results: All results; those of other zoos and layouts are left out.
        zoo: Its name.
        bootstrap: How intervals are drawn.
        fewest: Of fewer columns nothing is said.

    Returns:
        For each choice of snapshots, as JSON values: ``snapshots``, ``columns``, the ``first`` encoder, and ``means``,
        the largest first, each with its ``name``, ``mean``, the ``lead`` of the first (both with ``_low`` and
        ``_high``, ``None`` where there is no interval), and the columns in which the first is ``ahead`` or ``behind``
        with an interval that excludes 0.
    """
    found = []
    own = [r for r in results if r.question is not None and r.question.fitted_on == r.question.told_of == zoo]
    for snapshots in dict.fromkeys(r.question.snapshots for r in own if r.question is not None):
        scores: dict[str, dict[str, Result]] = {}
        for result in own:
            if result.question is not None and result.question.snapshots == snapshots and result.metrics:
                scores.setdefault(called(result), {}).setdefault(result.question.target, result)
        learned = [of for of in scores.values() if next(iter(of.values())).family == "learned"]
        columns = [name for name in learned[0] if all(name in of for of in learned)] if learned else []
        if len(columns) < fewest:
            continue
        whole = {name: of for name, of in scores.items() if all(column in of for column in columns)}
        ranked = sorted(whole, key=lambda name: -_estimate(whole[name], columns))
        first = next(name for name in ranked if whole[name] in learned)
        found.append(
            {
                "snapshots": snapshots,
                "columns": columns,
                "first": first,
                "means": [
                    {"name": name, **_compared(whole[name], whole[first], columns, bootstrap)} for name in ranked
                ],
            }
        )
    return found


def _compared(scores: Scores, first: Scores, columns: Sequence[str], bootstrap: Bootstrap) -> dict[str, Any]:
    """A mean with its interval; the lead of the first, and the columns in which it is ahead or behind."""
    mean = _interval([(1.0, scores)], columns, bootstrap)
    told = _ends("mean", mean)
    if scores is first:
        return told
    told |= _ends("lead", _interval([(1.0, first), (-1.0, scores)], columns, bootstrap))
    leads = {name: _interval([(1.0, first), (-1.0, scores)], [name], bootstrap) for name in columns}
    told["ahead"] = [name for name, lead in leads.items() if lead.low is not None and lead.low > 0]
    told["behind"] = [name for name, lead in leads.items() if lead.high is not None and lead.high < 0]
    return told


def _interval(weighed: Sequence[tuple[float, Scores]], columns: Sequence[str], bootstrap: Bootstrap) -> Interval:
    """A weighed sum over encoders of their means, with its interval."""
    scores = [(weight, [(of[name], _metric(of[name])) for name in columns]) for weight, of in weighed]
    return sum_of_means(scores, len(columns), bootstrap, least=0.0)


def _estimate(scores: Scores, columns: Sequence[str]) -> float:
    return float(np.mean([max(scores[name].metrics[_metric(scores[name])].estimate, 0.0) for name in columns]))


def _metric(result: Result) -> str:
    """What counts: accuracy of categories, R² of numbers."""
    return ACCURACY.name if ACCURACY.name in result.metrics else R2.name


def _ends(name: str, interval: Interval) -> dict[str, Any]:
    return {name: interval.estimate, f"{name}_low": interval.low, f"{name}_high": interval.high}
