"""What single networks lose when they are reconstructed, beside what is known of them; and pictures of it.

Shape letters: M members.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from analysis.evaluators.errors import DROP
from analysis.measuring.results import Result
from analysis.pages.distributions import described_each
from analysis.pages.figures import BLUE, DOTTED, GRAY, axis_of, base_layout, lying_boxes
from analysis.report.figures import error_bars_of
from analysis.statistics.groups import group_numbers
from analysis.statistics.intervals import Bootstrap, Interval
from trainables.readouts.columns import is_numeric
from trainables.readouts.scores import kendall_tau
from zoo.metric import Metric

# What networks lose, the first that was measured.
LOST = ("kl", "output_error")
# Columns that tell members apart, not how they were trained.
NOT_TRAINED = ("member", "order_seed")
# Fewer members of a category are not drawn, nor columns of more categories.
FEWEST, MOST_CATEGORIES = 3, 12
EPOCH, NORM = "epoch", "weight_norm"


@dataclass(frozen=True)
class Errors:
    """One result's errors beside what is known of its members.

    Attributes:
        result: The result.
        members: What is known of each member, one a row.
        score: "accuracy" or "loss", where it was measured.
        bootstrap: How intervals are drawn.
        grouped: Whether members of one minibatch order are resampled together.
    """

    result: Result
    members: pd.DataFrame
    score: str | None
    bootstrap: Bootstrap
    grouped: bool

    @cached_property
    def lost(self) -> Metric:
        """What networks lose."""
        return next(self.result.metrics[name].metric for name in LOST if name in self.result.values)

    @cached_property
    def losses(self) -> np.ndarray:
        """What each member loses: ``[M]``."""
        return np.array(self.result.values[self.lost.name])

    @cached_property
    def columns(self) -> dict[str, np.ndarray]:
        """What errors are set against: the original's score, and each column of the members by its name."""
        found = {name: self.members[name].to_numpy() for name in self.members if name not in NOT_TRAINED}
        if self.score is None:
            return found
        return {f"original {self.score}": np.array(self.result.values[f"{self.score}_original"])} | found

    @cached_property
    def numeric(self) -> dict[str, np.ndarray]:
        """Those columns that are numbers and differ."""
        return {name: v.astype(float) for name, v in self.columns.items() if is_numeric(v) and len(np.unique(v)) > 1}

    @cached_property
    def categories(self) -> dict[str, np.ndarray]:
        """Those that are names, a few of them, at least two of which have enough members."""
        named = {name: values.astype(str) for name, values in self.columns.items() if not is_numeric(values)}
        counts = {name: np.unique(values, return_counts=True)[1] for name, values in named.items()}
        few = {name: (of >= FEWEST).sum() > 1 and len(of) <= MOST_CATEGORIES for name, of in counts.items()}
        return {name: values for name, values in named.items() if few[name]}

    @cached_property
    def with_intervals(self) -> str:
        """How captions of figures with intervals end; there are none where all members are of one group."""
        groups = len(np.unique(self._groups))
        return ", with 95 % intervals." if groups > 1 else "."

    @cached_property
    def _groups(self) -> np.ndarray:
        return group_numbers(self.members["order_seed"].tolist(), self.grouped)

    def series(self, metric: Metric) -> dict[str, np.ndarray]:
        """Values of each member for each layer or class, by what these are called: ``[M]``."""
        start = f"{metric.name} "
        found = {n.removeprefix(start): np.array(v) for n, v in self.result.values.items() if n.startswith(start)}
        return {name: found[name] for name in sorted(found, key=lambda name: int(name.split()[0]))}

    def intervals(self, metric: Metric) -> dict[str, Interval]:
        """Of a series' layers or classes means over those members that have a value, with intervals."""
        found = self.series(metric)
        bounds = (-np.inf, np.inf) if metric is DROP else (0.0, 1.0 if metric.unit == "share" else np.inf)
        return self._intervals(
            lambda rows_M: {name: _mean(values_M, rows_M) for name, values_M in found.items()},
            dict.fromkeys(found, bounds),
        )

    def correlations(self) -> dict[str, Interval]:
        """Rank correlation of what is lost with each numeric column."""
        return self._intervals(
            lambda rows_M: {name: kendall_tau(self.losses[rows_M], v[rows_M]) for name, v in self.numeric.items()},
            dict.fromkeys(self.numeric, (-1.0, 1.0)),
        )

    def _intervals(
        self,
        statistics: Callable[[np.ndarray], Mapping[str, float]],
        bounds: Mapping[str, tuple[float, float]],
    ) -> dict[str, Interval]:
        return self.bootstrap.of_statistics(
            lambda _fit, rows_M: statistics(rows_M), len(self.members), groups_M=self._groups, bounds=bounds
        )


def scatter(errors: Errors, name: str) -> go.Figure:
    """What each member loses against a column."""
    figure = go.Figure(layout=base_layout(height=300))
    said = [f"member {member}, epoch {epoch}" for member, epoch in errors.members[["member", EPOCH]].to_numpy()]
    figure.add_scatter(
        x=errors.numeric[name], y=errors.losses, mode="markers", marker={"size": 5, "color": BLUE, "opacity": 0.65},
        text=said, hovertemplate="%{text}<br>%{x:.4g}, %{y:.3g}<extra></extra>",
    )  # fmt: skip
    positive = bool((errors.losses > 0).all())
    figure.update_yaxes(**axis_of(errors.lost), type="log" if positive else "linear", exponentformat="power")
    return figure.update_xaxes(title_text=in_words(name)).update_layout(showlegend=False)


def correlations(errors: Errors) -> go.Figure:
    """A bar for each numeric column, the strongest above."""
    found = dict(sorted(errors.correlations().items(), key=lambda item: abs(item[1].estimate)))
    figure = go.Figure(layout=base_layout(height=120 + 30 * len(found)))
    estimates = [one.estimate for one in found.values()]
    figure.add_bar(
        x=estimates, y=[in_words(name) for name in found], orientation="h", marker={"color": BLUE},
        error_x=error_bars_of([*found.values()], thickness=1.2, width=3) | {"color": GRAY},
    )  # fmt: skip
    figure.update_xaxes(title_text="Kendall's τ_b", range=[-1, 1]).update_yaxes(gridcolor="rgba(0,0,0,0)")
    figure.add_vline(x=0, line=DOTTED)
    return figure.update_layout(showlegend=False)


def by_category(errors: Errors) -> go.Figure | None:
    """A box for each category of each column; ``None`` where each is of too few networks."""
    values = {
        f"{in_words(name)}: {category}": errors.losses[values_M == category]
        for name, values_M in errors.categories.items()
        for category in np.unique(values_M)
        if (values_M == category).sum() >= FEWEST
    }
    if not values:
        return None
    figure = lying_boxes(list(values), described_each(values.values()), ("p5", "p95"))
    return figure.update_xaxes(**axis_of(errors.lost))


def by_class(metric: Metric, intervals: Mapping[str, Interval]) -> go.Figure:
    """A point with its interval for each class."""
    figure = go.Figure(layout=base_layout(height=320)).update_layout(showlegend=False)
    bars = error_bars_of([*intervals.values()], thickness=1.2, width=3)
    figure.add_scatter(
        x=list(intervals), y=[one.estimate for one in intervals.values()], mode="markers",
        marker={"size": 8, "color": BLUE}, error_y=bars | {"color": BLUE},
    )  # fmt: skip
    figure.update_xaxes(title_text="class", type="category").update_yaxes(**axis_of(metric))
    return figure.add_hline(y=0, line=DOTTED) if metric is DROP else figure


def in_words(column: str) -> str:
    """A column's name on a page."""
    return column.replace("_", " ")


def _mean(values_M: np.ndarray, rows_M: np.ndarray) -> float:
    """The mean of those rows that are known; of all that are, where these are not."""
    known_M = np.isfinite(values_M)
    chosen = rows_M[known_M[rows_M]]
    return float((values_M[chosen] if len(chosen) else values_M[known_M]).mean())
