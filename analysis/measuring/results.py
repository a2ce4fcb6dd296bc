"""One row of what was measured, the same for codecs, controls and predictors: who it is, and a mapping of metrics."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from analysis.statistics.intervals import Bootstrap, Interval
from trainables.metrics import CODE_BITS_PER_WEIGHT, SHARED_BYTES
from zoo.metric import Metric

BLOCK = 64
SIZES = (
    CODE_BITS_PER_WEIGHT,
    SHARED_BYTES,
    Metric(
        name="code_bits_per_weight_single",
        label="code bits per weight, one by one",
        unit="bits/weight",
        direction="min",
        description="code_bits_per_weight when every member has a payload of its own (on a fixed sample of members).",
    ),
    Metric(
        name="code_bits_per_weight_all",
        label="code bits per weight, all together",
        unit="bits/weight",
        direction="min",
        description="code_bits_per_weight when all measured members share one payload.",
    ),
    Metric(
        name="payload_bytes",
        label="payload bytes",
        unit="bytes",
        direction="min",
        description=f"Size of all payloads, in blocks of {BLOCK} members, as they would be sent.",
    ),
    Metric(
        name="encode_s",
        label="time to encode",
        unit="s",
        direction="min",
        description=f"Time to encode one member, in blocks of {BLOCK}.",
    ),
    Metric(
        name="encode_steps",
        label="steps to encode",
        direction="min",
        description="Steps in which a network's own code is improved when it is encoded; 0 where it is encoded in one "
        "pass.",
    ),
    Metric(
        name="decode_s", label="time to decode", unit="s", direction="min", description="Time to decode one member."
    ),
)
SIZE = {metric.name: metric for metric in SIZES}


@dataclass(frozen=True, kw_only=True, slots=True)
class Measured:
    """What a metric came to.

    Attributes:
        metric: Which.
        estimate: Its value.
        low: Lower end of the 95 % interval; ``None`` where there is no interval: of percentiles and sizes, and where
            all members are of one group.
        high: Upper end.
    """

    metric: Metric
    estimate: float
    low: float | None = None
    high: float | None = None

    @classmethod
    def of(cls, metric: Metric, interval: Interval) -> Measured:
        """A metric's estimate with its interval."""
        return cls(metric=metric, estimate=interval.estimate, low=interval.low, high=interval.high)

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> Measured:
        """The inverse of ``dataclasses.asdict``."""
        return cls(**{**record, "metric": Metric(**record["metric"])})

    @property
    def ends(self) -> tuple[float, float]:
        """The interval; the estimate twice where there is none."""
        return Interval(self.estimate, self.low, self.high).ends


@dataclass(frozen=True, kw_only=True, slots=True)
class Question:
    """What is predicted, of which networks.

    Attributes:
        target: The column.
        snapshots: Which snapshots of networks.
        fitted_on: What the readout was fitted to: a zoo, or a part of it.
        told_of: The zoo, or the part, whose test networks it is measured on.
        labelled: How many networks of that one predictions were calibrated with.
        readout: "linear" or "boosting"; empty of what is not a readout of embeddings.
    """

    target: str
    snapshots: str
    fitted_on: str
    told_of: str
    labelled: int = 0
    readout: str = ""


@dataclass(frozen=True, kw_only=True)
class Result:
    """One row.

    Attributes:
        name: Name of the codec, control or predictor.
        family: "classical", "control" or "learned": found by a study.
        setting: What tells this row from others of its name.
        trial: Number of the trial that it comes from.
        fits: Number of fits (seeds) averaged.
        members: Members measured.
        groups: Groups that they are of, by which intervals are drawn: members of one minibatch order.
        parameters: P; 0 where members differ in it.
        examples: Examples measured on; 0 where networks were not applied.
        metrics: What was measured: sizes, and what the evaluators gave; a metric that makes no sense here is absent.
        values: For each name the values of the members, averaged over examples and fits.
        question: What was predicted; ``None`` of codecs.
        details: Of some evaluators, by their names, what pictures are made of, as JSON values.
        refusal: Why nothing was measured; empty where it was.
        study: Name of the study that has the trial, where it is one of several.
        replicates: Of some metrics their values in each replicate of the bootstrap, by which two rows that were
            measured on the same members are compared.
        fits_spread: What the choice of fits contributes to the variance of those metrics.
    """

    name: str
    family: str
    setting: str
    trial: int | None
    fits: int
    members: int
    groups: int
    parameters: int
    examples: int
    metrics: Mapping[str, Measured]
    values: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    question: Question | None = None
    details: Mapping[str, Any] = field(default_factory=dict)
    refusal: str = ""
    study: str | None = None
    replicates: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    fits_spread: Mapping[str, float] = field(default_factory=dict)

    def value(self, name: str) -> float | None:
        """A metric's estimate; ``None`` where it was not measured, or is no number."""
        measured = self.metrics.get(name)
        return None if measured is None or not math.isfinite(measured.estimate) else measured.estimate

    @property
    def rate(self) -> float:
        """``code_bits_per_weight``."""
        return self.metrics["code_bits_per_weight"].estimate

    @property
    def shared_bytes(self) -> float:
        """``shared_bytes``."""
        return self.metrics["shared_bytes"].estimate

    def row(self) -> dict[str, Any]:
        """A flat row of a table: identity, and each metric with the ends of its interval."""
        row: dict[str, Any] = {
            name: getattr(self, name)
            for name in ("name", "family", "setting", "trial", "fits", "members", "groups", "parameters", "examples")
        }
        row |= {} if self.study is None else {"study": self.study}
        row |= {} if self.question is None else {**dataclasses.asdict(self.question), "refusal": self.refusal}
        for name, measured in self.metrics.items():
            row[name] = measured.estimate
            if measured.low is not None:
                row |= {f"{name}_low": measured.low, f"{name}_high": measured.high}
        return row

    def to_json(self) -> dict[str, Any]:
        """The row with what there is for each member, as plain values."""
        return {**self.row(), "values": {name: list(values) for name, values in self.values.items()}}

    def to_record(self) -> dict[str, Any]:
        """Everything as JSON values, its metrics' declarations among them."""
        return dataclasses.asdict(self)

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> Result:
        """The inverse of :meth:`to_record`."""
        metrics = {name: Measured.from_record(measured) for name, measured in record["metrics"].items()}
        question = None if record["question"] is None else Question(**record["question"])
        tuples = {of: {name: tuple(each) for name, each in record[of].items()} for of in ("values", "replicates")}
        return cls(**{**record, "metrics": metrics, "question": question, **tuples})


def sizes(**values: float) -> dict[str, Measured]:
    """Sizes by their names in ``SIZES``."""
    return {name: Measured(metric=SIZE[name], estimate=value) for name, value in values.items()}


def declared(results: Iterable[Result]) -> dict[str, Metric]:
    """Every metric of some results, in order of appearance."""
    return {name: measured.metric for result in results for name, measured in result.metrics.items()}


def sum_of_means(
    weighed: Sequence[tuple[float, Sequence[tuple[Result, str]]]],
    count: int,
    bootstrap: Bootstrap,
    *,
    least: float = -math.inf,
) -> Interval:
    """A weighed sum of means of scores that are at most 1 in size, on the same networks, with its interval.

    Args:
        weighed: For each mean its weight, and results with the metric of each that counts.
        count: What each mean is of so many; results that are not there count 0.
        bootstrap: How intervals are drawn.
        least: What is below counts as this.
    """
    every = [result for _, scores in weighed for result, _ in scores]
    estimate = sum(
        weight * max(result.metrics[name].estimate, least) / count
        for weight, scores in weighed
        for result, name in scores
    )
    groups = min((result.groups for result in every), default=1)
    if groups == 1:  # it has no replicates
        return Interval(estimate)
    spread, values_B = 0.0, np.zeros(1)
    for weight, scores in weighed:
        deviation = 0.0
        for result, name in scores:
            counted_B = np.maximum(result.replicates[name], least)
            # Scores share fits: their deviations add up.
            deviation += math.sqrt(result.fits_spread[name] * _counted_share(result.replicates[name], counted_B))
            values_B = values_B + weight * counted_B / count
        spread += (weight * deviation / count) ** 2
    # One fit tells nothing of others, but what several others tell of theirs still counts.
    fits = min((result.fits for result in every if result.fits > 1), default=1)
    ends = [(weight * max(least, -1.0), weight) for weight, _ in weighed]
    bounds = (sum(map(min, ends)), sum(map(max, ends)))
    return bootstrap.of_replicates(estimate, values_B, fits_spread=spread, fits=fits, groups=groups, bounds=bounds)


def _counted_share(values_B: Sequence[float], counted_B: np.ndarray) -> float:
    """How much of the variance of replicates is left where those below the least that counts are set to it."""
    whole = float(np.var(values_B))
    return float(np.var(counted_B)) / whole if whole else 1.0
