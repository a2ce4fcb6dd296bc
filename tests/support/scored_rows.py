"""Results with given replicates, of which a mean or a lead is known by hand."""

import dataclasses

import numpy as np

from analysis.measuring.results import Measured, Question, Result
from analysis.statistics.intervals import Interval
from trainables.readouts.metrics import ACCURACY, KENDALL_TAU, R2
from zoo.metric import Metric

REPLICATES = 400
METRICS: dict[str, Metric] = {metric.name: metric for metric in (R2, ACCURACY, KENDALL_TAU)}


def scored(name, target, value, *, metric="r2", noise=None, family="learned", **changes):
    """A result of an encoder, whose replicates are its value and the noise."""
    noise = np.zeros(REPLICATES) if noise is None else noise
    question = Question(
        target=target, snapshots="last snapshots", fitted_on="zoo", told_of=changes.pop("told_of", "zoo"), labelled=0
    )
    row = Result(
        name=name,
        family=family,
        setting=target,
        trial=None if family == "control" else 0,
        fits=1,
        members=100,
        groups=50,
        parameters=10,
        examples=0,
        metrics={metric: Measured.of(METRICS[metric], Interval(value, value - 0.1, value + 0.1))},
        question=question,
        replicates={metric: tuple((value + noise).tolist())},
        fits_spread={metric: 0.0},
    )
    return dataclasses.replace(row, **changes)
