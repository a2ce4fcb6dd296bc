"""The report's sections about encoders: what readouts of their embeddings tell, of the same zoo and of others."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from markupsafe import Markup

from analysis.measuring.results import Question, Result
from analysis.pages.numbers import count, counted
from analysis.pages.page import Bullets, Grid, Heading, Section, Text, filled
from analysis.pages.tables import Cell, Column, Row, Table, absent, metric_cell
from analysis.reading.calibration import DRAWS
from analysis.reading.column_means import best_first, called
from analysis.reading.prediction import HYPERPARAMETERS
from analysis.reading.scopes import EVERY, LAST, LATER, TOGETHER
from analysis.reading.zoo_matrix import ZooMatrix
from analysis.record import Analysis
from analysis.report.predictors import BASELINES, main_metric
from analysis.report.scatter_panels import option_groups, panels
from analysis.report.sections import ASSETS
from analysis.report.tables import means_table
from analysis.report.zoo_matrices import heat_maps
from zoo.storage.rows import SPLITS

MAIN = "test_accuracy"
LIMITS = (
    "Encoders were chosen on validation networks, and so was each readout's penalty; figures are of test networks."
    " Intervals do not cover which trials were the best.",
    "A linear readout does not see what an embedding holds in another form; --boosting adds gradient boosting, of the"
    " 48 largest principal components where an embedding is wider.",
)


def own(analysis: Analysis) -> list[Result]:
    """Results on the networks of the zoo that encoders and readouts were fitted to."""
    return [result for result in analysis.results if _places(result) == (analysis.summary["zoo"],) * 2]


def elsewhere(analysis: Analysis) -> list[Result]:
    """Results on other zoos."""
    zoo, others = analysis.summary["zoo"], analysis.summary["on"]
    return [r for r in analysis.results if _places(r)[0] == zoo and _places(r)[1] in others]


def across(analysis: Analysis) -> list[Result]:
    """Results on groups of the zoo's layouts."""
    zoos = (analysis.summary["zoo"], *analysis.summary["on"], TOGETHER)
    return [result for result in analysis.results if _places(result)[1] not in zoos]


def findings(analysis: Analysis) -> Section:
    """For each choice of snapshots a table of all columns by all encoders."""
    results = own(analysis)
    blocks: list[Text | Heading | Table] = [
        Text(
            "Each number says how well a column of the zoo is read from embeddings of held-out networks, by a linear"
            " readout or, where a column says so, by gradient boosting: R² of numbers (0 for the mean, 1 if exact),"
            " accuracy of categories in %. The number behind an encoder is that of its trial. All encoders see the same"
            " networks, splits and rule of selection; the best on average stands first, baselines last. A value is bold"
            " where no other is better. Means are over the columns that all encoders tell, with R² at least 0; leads"
            " are on the same networks. It is ahead in the columns where the interval of its lead excludes 0,"
            " uncorrected for the number of columns."
        )
    ]
    for snapshots in dict.fromkeys(_asked(result).snapshots for result in results):
        blocks.append(Heading(snapshots.capitalize()))
        if snapshots == LATER:
            blocks.append(Text("Readouts were fitted to the first half of the epochs and are measured on the others."))
        if snapshots == EVERY:
            networks, known = analysis.summary["untrained"]
            blocks.append(
                Text(
                    "Published tables often count untrained networks among the snapshots. Readouts were fitted to those"
                    f" of training networks too, encoders to none. Of {counted(networks, 'untrained test network')},"
                    f" {count(known)} begin at the very weights of a training or validation network."
                )
            )
        chosen = [result for result in results if _asked(result).snapshots == snapshots]
        blocks.append(told_table(chosen, f"What embeddings of {snapshots} tell", _target))
        blocks += [means_table(found) for found in analysis.summary["means"] if found["snapshots"] == snapshots]
    return Section(anchor="findings", heading="What embeddings tell", blocks=tuple(blocks))


def predicted(analysis: Analysis) -> list[Result]:
    """Results whose predictions of test accuracy are drawn: of last snapshots, by readouts of the zoo itself."""
    return [
        result
        for result in (*own(analysis), *elsewhere(analysis))
        if result.values and (_asked(result).target, _asked(result).snapshots) == (MAIN, LAST)
    ]


def predicted_against_true(drawn: Sequence[Result]) -> Section | str:
    """Predicted against true test accuracies."""
    if not drawn:
        return "test accuracy is not told of any networks"
    return Section(
        anchor="predicted",
        heading="Predicted against true test accuracy",
        blocks=(
            Text("Every point is the last snapshot of a held-out network; on the dashed line predictions are exact."),
            filled(
                ASSETS,
                "scatter.html.j2",
                panels=panels(drawn, "r2", (HYPERPARAMETERS,)),
                option_groups=option_groups(drawn),
                label="Scatter of true against predicted test accuracies",
            ),
        ),
    )


def other_zoos(analysis: Analysis) -> Section | str:
    """For each other zoo and choice of snapshots such a table, without and with labelled networks of that zoo."""
    results = elsewhere(analysis)
    if not analysis.summary["on"]:
        return "no other zoo was named with --on"
    blocks: list[Text | Heading | Table | Bullets] = [
        Text(
            f"Readouts were fitted to training networks of {analysis.summary['zoo']} and are measured on test networks"
            " of other zoos, which neither encoders nor readouts have seen. An encoder that applies networks to inputs"
            " takes those of the other zoo's data set, without their labels. With labelled networks predictions are"
            " brought to the other zoo's scale by a slope and an offset, fitted to so many of its training networks"
            f" ({DRAWS} draws of them); the training mean is then the mean of those."
        )
    ]
    for zoo, snapshots in dict.fromkeys((_places(result)[1], _asked(result).snapshots) for result in results):
        chosen = [r for r in results if (_places(r)[1], _asked(r).snapshots) == (zoo, snapshots)]
        caption = f"What embeddings tell of {zoo}, {snapshots}"
        blocks += [Heading(f"{zoo}, {snapshots}"), told_table(chosen, caption, _target_and_labelled)]
    if analysis.summary["not_told"]:
        blocks += [Text("Not told:"), Bullets(tuple(analysis.summary["not_told"]))]
    return Section(anchor="elsewhere", heading="Other zoos", blocks=tuple(blocks))


def data_sets(analysis: Analysis) -> Section | str:
    """Which data set a network was trained on, told from networks of all zoos together."""
    zoos = analysis.summary["together"]
    if not zoos:
        return "no zoo of another data set, with training and validation networks of its own, was named with --on"
    numbers = tuple(Column(title=f"{split} networks") for split in SPLITS)
    columns = (Column(title="zoo", number=False), Column(title="data set", number=False), *numbers)
    rows = tuple(
        Row(cells=tuple(Cell(text=text) for text in (zoo["zoo"], zoo["dataset"], *(count(zoo[s]) for s in SPLITS))))
        for zoo in zoos
    )
    results = [result for result in analysis.results if _places(result)[1] == TOGETHER]
    return Section(
        anchor="datasets",
        heading="Data sets",
        blocks=(
            Text(
                "Here readouts tell which data set a network was trained on. They were fitted to the last snapshots of"
                " the training networks of all these zoos together, and are measured on those of their test networks."
                " Every encoder is taken as it was fitted, with the inputs that it keeps from its own zoo, whichever"
                " zoo a network comes from: it is not told the answer by the inputs. Intervals take networks of two"
                " zoos that were trained alike, from the same seeds, as one. “Training mean” is always the data set"
                " that most training networks are of: chance. “Hyper-parameters” see no weight; where they tell more"
                " than chance, the zoos were trained by recipes that differ, and embeddings may tell recipes too."
            ),
            Table(caption="Zoos whose networks are told apart", columns=columns, rows=rows),
            told_table(results, "Which data set a network was trained on", _target),
        ),
    )


def other_layouts(analysis: Analysis) -> Section | str:
    """For each column a table of who was fitted to which group of layouts and is measured on which."""
    results = across(analysis)
    if not results:
        return "the zoo has one layout, or groups of layouts with too few networks"
    blocks: list[Text | Heading | Table | Grid] = [
        Text(
            "Readouts were fitted to last snapshots of one group of layouts and are measured on another. The encoders"
            " were fitted to all groups: one that learns from labels has seen those of training networks of every"
            " group, and is measured fairly only between zoos."
        )
    ]
    for target in dict.fromkeys(_asked(result).target for result in results):
        chosen = [result for result in results if _asked(result).target == target]
        caption = f"{target.replace('_', ' ')} by groups of layouts"
        blocks += [Heading(target.replace("_", " ").capitalize()), told_table(chosen, caption, _groups_and_labelled)]
        groups = list(dict.fromkeys(_places(result)[1] for result in chosen))
        matrix = ZooMatrix.of(chosen, groups, target)
        blocks.append(heat_maps(matrix, f"layouts-{target.replace('_', '-')}"))
    return Section(anchor="layouts", heading="Other layouts", blocks=tuple(blocks))


def told_table(results: Sequence[Result], caption: str, said: Callable[[Result], str]) -> Table:
    """What is asked, by encoders, best first, and baselines: R² or accuracy with its interval, or why there is none.

    Args:
        results: The results, one of each encoder for what is asked.
        caption: What the table holds.
        said: What a result is about, in words.
    """
    metrics = {
        target: main_metric([result for result in results if _asked(result).target == target])
        for target in dict.fromkeys(_asked(result).target for result in results)
    }
    found = {(said(result), called(result)): result for result in results}
    names = best_first(list(found.values()))
    rows = []
    for about in dict.fromkeys(about for about, _ in found):
        of_row = [found.get((about, name)) for name in names]
        metric = metrics[next(_asked(result).target for result in of_row if result is not None)]
        best = max((r.metrics[metric].estimate for r in of_row if r is not None and r.metrics), default=0.0)
        head = Cell(text=f"{about} ({'R²' if metric == 'r2' else f'{metric}, %'})")
        rows.append(Row(cells=(head, *(_cell(result, metric, best) for result in of_row))))
    columns = (Column(title="what is told", number=False), *(Column(title=name) for name in names))
    return Table(caption=caption, columns=columns, rows=tuple(rows))


def compared_with() -> Section:
    """What the baselines are."""
    lines = tuple(Text(f"{name}: {text}.") for name, text in BASELINES.items())
    return Section(anchor="baselines", heading="What encoders are compared with", blocks=lines)


def _asked(result: Result) -> Question:
    if result.question is None:
        raise TypeError(f"row {result.name!r} is not of a prediction")
    return result.question


def _places(result: Result) -> tuple[str, str]:
    return _asked(result).fitted_on, _asked(result).told_of


def _target(result: Result) -> str:
    return _asked(result).target.replace("_", " ")


def _target_and_labelled(result: Result) -> str:
    return f"{_target(result)}{_labelled(result)}"


def _groups_and_labelled(result: Result) -> str:
    fitted_on, told_of = _places(result)
    return f"{fitted_on} → {told_of}{_labelled(result)}"


def _labelled(result: Result) -> str:
    labelled = _asked(result).labelled
    return f", {counted(labelled, 'labelled network')}" if labelled else ""


def _cell(result: Result | None, metric: str, best: float) -> Cell:
    if result is None:
        return absent()
    if result.refusal:
        return absent(result.refusal)
    measured = result.metrics[metric]
    cell = metric_cell(measured.metric, measured.estimate, measured.low, measured.high)
    return cell if measured.estimate < best else replace(cell, text=Markup("<b>{}</b>").format(cell.text))
