"""The report's sections about encoders: what linear readouts of their embeddings tell."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from markupsafe import Markup

from analysis.pages.page import Heading, Section, Text
from analysis.pages.tables import Cell, Column, Row, Table, absent, metric_cell
from analysis.record import Analysis
from analysis.report.predictors import BASELINES, main_metric
from analysis.results import Result

LIMITS = (
    "Held-out networks come from the same zoo as those the encoders were fitted to. Nothing is said about other"
    " architectures, zoos or data sets.",
    "Encoders were chosen on validation networks, and so was each readout's penalty; figures are of test networks."
    " Intervals do not cover which trials were the best.",
    "A readout is linear: what an embedding holds in another form is not seen.",
)


def targets_and_scopes(results: Sequence[Result]) -> list[tuple[str, str]]:
    """(column, choice of snapshots) of each result, in order."""
    return [(target, scope) for target, scope, *_ in (result.setting.split(", ") for result in results)]


def findings(analysis: Analysis) -> Section:
    """For each choice of snapshots a table of all columns by all encoders."""
    results = analysis.results
    blocks: list[Text | Heading | Table] = [
        Text(
            "Each number says how well a column of the zoo is read from embeddings of held-out networks by a linear"
            " readout: R² of numbers (0 for the mean, 1 if exact), accuracy of categories. All encoders see the same"
            " networks, splits and rule of selection. A value is bold where no other is better."
        )
    ]
    for scope in dict.fromkeys(scope for _, scope in targets_and_scopes(results)):
        blocks += [Heading(scope.capitalize()), told_table(results, scope)]
    return Section(anchor="findings", heading="What embeddings tell", blocks=tuple(blocks))


def told_table(results: Sequence[Result], scope: str) -> Table:
    """Columns of the zoo by encoders and baselines: R² or accuracy with its interval."""
    pairs = list(zip(targets_and_scopes(results), results, strict=True))
    own = {(target, called(result)): result for (target, where), result in pairs if where == scope}
    names = list(dict.fromkeys(name for _, name in own))
    rows = []
    for target in dict.fromkeys(target for target, _ in own):
        found = [own.get((target, name)) for name in names]
        metric = main_metric([result for result in found if result is not None])
        best = max(result.metrics[metric].estimate for result in found if result is not None)
        head = Cell(text=f"{target.replace('_', ' ')} ({'R²' if metric == 'r2' else metric})")
        rows.append(Row(cells=(head, *(_cell(result, metric, best) for result in found))))
    columns = (Column(title="told", number=False), *(Column(title=name) for name in names))
    return Table(caption=f"What embeddings of {scope} tell", columns=columns, rows=tuple(rows))


def called(result: Result) -> str:
    """The name of an encoder with its trial, or of a baseline."""
    return result.name if result.trial is None else f"{result.name} {result.trial}"


def compared_with() -> Section:
    """What the baselines are."""
    lines = tuple(Text(f"{name}: {text}.") for name, text in BASELINES.items())
    return Section(anchor="baselines", heading="What encoders are compared with", blocks=lines)


def _cell(result: Result | None, metric: str, best: float) -> Cell:
    if result is None:
        return absent()
    measured = result.metrics[metric]
    cell = metric_cell(measured.metric, measured.estimate, measured.low, measured.high)
    return cell if measured.estimate < best else replace(cell, text=Markup("<b>{}</b>").format(cell.text))
