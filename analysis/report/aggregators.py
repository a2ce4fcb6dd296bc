"""The report's sections about learned gradients: held-out trainings, and what weight examples are given."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import plotly.graph_objects as go

from analysis.held_out_tasks.aggregation import LEARNING_RATES, RULE_WORDS
from analysis.held_out_tasks.scenarios import MAIN
from analysis.measuring.results import Measured, Result
from analysis.pages.figures import BLUE, GRAY, LEGEND_ABOVE, ORANGE, PALETTE, base_layout, error_bars
from analysis.pages.numbers import shown, with_unit
from analysis.pages.page import Bullets, Chart, Grid, Heading, Section, Text
from analysis.pages.tables import Cell, Column, Row, Table, absent, metric_cell
from analysis.record import Analysis
from analysis.report.figures import error_bars_of
from trainables.aggregators.metrics import AGGREGATED_ACCURACY, GAINS

OPTIMIZER_WORDS = {"sgd": "SGD", "adam": "Adam"}
LIMITS = (
    "Of each rule the learning rate was chosen on validation networks, from the same ones for all that have the same"
    f" optimizer ({'; '.join(f'{OPTIMIZER_WORDS[name]}: {len(rates)}' for name, rates in LEARNING_RATES.items())}), for"
    " each training anew. Intervals do not cover that choice, nor which trial was the best.",
    "Networks are trained for a stated number of steps at a constant learning rate; no rule stops early by looking at"
    " examples with right labels.",
    "The learned gradient was fitted on the training examples of the same data set, whose right labels it was judged"
    " by. It sees losses and gradients alone, never which example or class it is; other data sets (--inputs) show what"
    " is left elsewhere.",
)


def findings(analysis: Analysis) -> Section:
    """What is gained over other rules in each training, and the accuracies of all rules."""
    results, scenarios = analysis.results, analysis.summary["scenarios"]
    noise = ", ".join(f"{100 * share:g}" for share in analysis.summary["label_noise"])
    return Section(
        anchor="findings",
        heading="Held-out trainings",
        blocks=(
            Text(
                "Networks that no fit has seen are trained from their initialization, each on"
                f" {analysis.summary['set_size']} examples for {analysis.summary['horizon']} steps; a fifth of the"
                " labels is wrong unless said otherwise, and none where there are outliers. The learned"
                f" gradient was fitted on sets with {noise} % wrong labels."
            ),
            Bullets(tuple(_said(results, optimizer) for optimizer in LEARNING_RATES)),
            Grid(tuple(gains(results, scenarios, optimizer) for optimizer in LEARNING_RATES)),
            *(
                block
                for optimizer in LEARNING_RATES
                for block in (
                    Heading(f"Accuracy with {OPTIMIZER_WORDS[optimizer]}"),
                    table(results, scenarios, optimizer),
                )
            ),
        ),
    )


def named(result: Result) -> str:
    """What a row is called."""
    return result.name if result.trial is None else f"{result.name}, trial {result.trial}"


def place(result: Result) -> tuple[str, str]:
    """The training and the optimizer that a row is of."""
    scenario, optimizer = result.setting.split(", ")[:2]
    return scenario, optimizer


def gains(results: Sequence[Result], scenarios: Sequence[str], optimizer: str) -> Chart:
    """What the best trial's aggregator gains over other rules, a row of dots for each training."""
    best = next(result.trial for result in results if result.trial is not None)
    own = {place(result): result for result in results if result.trial == best}
    figure = go.Figure(layout=base_layout(130 + 50 * len(scenarios)))
    for number, (other, metric) in enumerate(GAINS.items()):
        rows = [
            (line, scenario, found[metric.name])
            for line, scenario in enumerate(scenarios)
            if metric.name in (found := own[scenario, optimizer].metrics)
        ]
        offset = (number - (len(GAINS) - 1) / 2) * 0.8 / len(GAINS)
        figure.add_scatter(
            x=[measured.estimate for _, _, measured in rows],
            y=[-line - offset for line, _, _ in rows],
            error_x=error_bars_of([measured for _, _, measured in rows], thickness=1.5, width=3),
            mode="markers",
            marker={"size": 8, "color": PALETTE[number]},
            name=f"over {other}",
            text=[scenario for _, scenario, _ in rows],
            hovertemplate="%{text}: %{x:.2f} pp<extra>" + f"over {other}</extra>",
        )
    figure.add_vline(x=0, line={"color": GRAY, "width": 1, "dash": "dot"})
    figure.update_xaxes(title_text="accuracy gained, percentage points")
    figure.update_yaxes(tickvals=[-index for index in range(len(scenarios))], ticktext=list(scenarios), showgrid=False)
    figure.update_layout(**LEGEND_ABOVE)
    called = OPTIMIZER_WORDS[optimizer]
    return Chart(
        name=f"gains-{optimizer}",
        figure=figure,
        label=f"What the learned gradient gains over other rules with {called}",
        caption=f"With {called}: accuracy of networks trained by the learned gradient less that of the same networks"
        " trained by another rule; bars are 95 % intervals over networks and fits.",
    )


def table(results: Sequence[Result], scenarios: Sequence[str], optimizer: str) -> Table:
    """Rules by trainings."""
    found = {(named(result), place(result)): result for result in results}
    rows = []
    for name in dict.fromkeys(map(named, results)):
        cells = (_cell(found.get((name, (scenario, optimizer)))) for scenario in scenarios)
        rows.append(Row(cells=(Cell(text=name), *cells)))
    columns = (Column(title="rule", number=False), *(Column(title=scenario) for scenario in scenarios))
    caption = f"Accuracy on test examples, trained with {OPTIMIZER_WORDS[optimizer]}"
    return Table(caption=caption, columns=columns, rows=tuple(rows))


def learned(summary: Mapping[str, Any]) -> Section:
    """What weight examples with right and with wrong labels are given, along training and by their loss."""
    weights = summary["weights"]
    last = weights["by_step"][-1]
    return Section(
        anchor="learned",
        heading="What it has learned",
        blocks=(
            Text(
                "The weight of an example in the update, the mean over neurons, where a fifth of the labels is wrong"
                " and Adam takes the update; 1 is what the mean gives to all. In the last tenth of training, examples"
                f" with right labels have {last['right'][0]:.2f} and those with wrong ones {last['wrong'][0]:.2f}."
            ),
            Grid((by_step(weights["by_step"]), by_loss(weights["by_loss"]))),
        ),
    )


def by_step(stretches: Sequence[Mapping[str, Any]]) -> Chart:
    """Weights of examples with right and wrong labels along training."""
    figure = go.Figure(layout=base_layout(380))
    steps = [told["step"] for told in stretches]
    for name, color in (("right", BLUE), ("wrong", ORANGE)):
        estimates, lows, highs = zip(*(told[name] for told in stretches), strict=True)
        figure.add_scatter(
            x=steps,
            y=estimates,
            error_y=error_bars(estimates, lows, highs, width=3),
            mode="lines+markers",
            line={"color": color, "width": 2},
            name=f"{name} labels",
        )
    figure.add_hline(y=1, line={"color": GRAY, "width": 1, "dash": "dot"})
    figure.update_xaxes(title_text="step of training")
    figure.update_yaxes(title_text="weight, times examples", rangemode="tozero")
    figure.update_layout(**LEGEND_ABOVE)
    caption = "Mean weight along training; bars are 95 % intervals over networks."
    return Chart(name="weights-by-step", figure=figure, label=caption, caption=caption)


def by_loss(bins: Sequence[Mapping[str, Any]]) -> Chart:
    """Weights against the loss in the last stretch of training, of hidden units and outputs."""
    figure = go.Figure(layout=base_layout(380))
    for label, color in (("right", BLUE), ("wrong", ORANGE)):
        own = [told for told in bins if told["label"] == label]
        for where, dash in (("hidden units", "solid"), ("outputs", "dot")):
            figure.add_scatter(
                x=[told["loss"] for told in own],
                y=[told[where] for told in own],
                mode="lines+markers",
                line={"color": color, "width": 2, "dash": dash},
                marker={"size": 6},
                name=f"{label} labels, {where}",
                text=[f"{told['examples']} examples" for told in own],
            )
    figure.add_hline(y=1, line={"color": GRAY, "width": 1, "dash": "dot"})
    figure.update_xaxes(title_text="loss of the example (nats), median of a tenth", type="log")
    figure.update_yaxes(title_text="weight, times examples", rangemode="tozero")
    figure.update_layout(**LEGEND_ABOVE)
    caption = "Weight against the example's loss, in the last tenth of training; each dot is a tenth of all examples."
    return Chart(name="weights-by-loss", figure=figure, label=caption, caption=caption)


def compared_with() -> Section:
    """What each rule is."""
    return Section(
        anchor="rules",
        heading="What is compared",
        short="Compared",
        blocks=(Bullets(tuple(f"{name}: {text}." for name, text in RULE_WORDS.items())),),
    )


def _said(results: Sequence[Result], optimizer: str) -> str:
    best = next(result for result in results if result.trial is not None and place(result) == (MAIN.name, optimizer))
    accuracy = best.metrics[AGGREGATED_ACCURACY.name]
    gained = "; ".join(_gained(other, best.metrics[metric.name]) for other, metric in GAINS.items())
    return (
        f"With {OPTIMIZER_WORDS[optimizer]} and {MAIN.name}: {with_unit(accuracy.metric, accuracy.estimate)}. {gained}."
    )


def _gained(other: str, measured: Measured) -> str:
    low, high = measured.ends
    interval = f"[{shown(measured.metric, low)}, {shown(measured.metric, high)}]"
    return f"{shown(measured.metric, measured.estimate)} pp {interval} over {other}"


def _cell(result: Result | None) -> Cell:
    if result is None:
        return absent()
    measured = result.metrics[AGGREGATED_ACCURACY.name]
    return metric_cell(measured.metric, measured.estimate, measured.low, measured.high)
