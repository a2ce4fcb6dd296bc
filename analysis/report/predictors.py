"""The report's sections about predictors: what weights tell of a network."""

from __future__ import annotations

from collections.abc import Sequence

from markupsafe import Markup

from analysis.measuring.results import Measured, Result
from analysis.pages.numbers import count, counted, shown, with_unit
from analysis.pages.page import Heading, Section, Text, filled
from analysis.reading.held_out import PREDICTED, TRUE
from analysis.reading.prediction import CONSTANT, HYPERPARAMETERS, MEASURED
from analysis.record import Analysis
from analysis.report.scatter_panels import option_groups, panels
from analysis.report.sections import ASSETS
from analysis.report.tables import means_table, predictors_table, trial_anchors
from analysis.statistics.intervals import FEW_GROUPS

PAIR = (TRUE, PREDICTED)
LEADS = "On the same networks; R² counts at least 0. Names end with the number of a trial."
LIMITS = (
    "Held-out networks come from the same zoo as those the predictors were fitted to. Nothing is said about other"
    " architectures, zoos or data sets.",
    "Predictors were chosen on validation networks and are measured here on test networks, one snapshot each; the"
    " targets are what the zoo has on record.",
    "Intervals do not cover which trials were the best.",
    "Statistics of a tensor do not see in which order its units stand, nor how layers fit together.",
)
BASELINES = {
    CONSTANT: "always the mean target of the training networks, or their most frequent category",
    HYPERPARAMETERS: "gradient boosting on how a network was trained, its epoch and its size; it never sees a weight",
    MEASURED: "the same score of the network itself on labelled validation examples, where it is known: what is told"
    " better is told better than by applying the network to as many examples",
}


def main_metric(results: Sequence[Result]) -> str:
    """By which predictors are compared first: R², or accuracy where categories are predicted."""
    return "r2" if any("r2" in result.metrics for result in results) else "accuracy"


def findings(analysis: Analysis) -> Section:
    """How much is predicted, and how much of it the hyper-parameters tell without weights."""
    results = analysis.results
    said = [text for target in analysis.summary["targets"] for text in _said(results, target)]
    if analysis.summary["test_groups"] < FEW_GROUPS:
        said.append(analysis.summary["intervals"])
    return Section(
        anchor="findings",
        heading="Findings",
        blocks=(
            filled(ASSETS, "findings.html.j2", findings=said, cards=()),
            predictors_table(results, trial_anchors(analysis.studies)),
            *(
                block
                for found in analysis.summary["means"]
                for block in (Heading(f"How far {found['first']} is ahead"), Text(LEADS), means_table(found))
            ),
        ),
    )


def what_weights_tell(analysis: Analysis) -> Section | str:
    """Predicted against true targets."""
    drawn = [result for result in analysis.results if result.values]
    if not drawn:
        return "its targets are categories"
    return Section(
        anchor="weights",
        heading="What weights tell",
        blocks=(
            Text(
                "Every point is one held-out network. On the dashed line its target is predicted exactly; a predictor"
                " that knows nothing draws a horizontal line at the mean."
            ),
            filled(
                ASSETS,
                "scatter.html.j2",
                panels=panels(drawn, main_metric(drawn), (HYPERPARAMETERS,)),
                option_groups=option_groups(drawn),
                label="Scatter of true against predicted targets",
            ),
            Heading("What predictors are compared with"),
            Text(
                Markup(" ").join(Markup("<b>{}</b>: {}.").format(name, text) for name, text in BASELINES.items()),
                "note",
            ),
        ),
    )


def trials_note(trials: int, measured: int, each: str) -> str:
    """What is said of a search with so many trials, of which so many were measured, the best of ``each`` at least."""
    return (
        f"{counted(trials, 'trial')} on validation networks; figures in"
        " this table are the search's own. Measured anew, on networks that the search never saw:"
        f" {count(measured)}, its Pareto front and the best of each {each}."
    )


def _said(results: Sequence[Result], target: str) -> list[str]:
    own = [result for result in results if result.setting.partition(",")[0] == target]
    metric = main_metric(own)
    known = next(result for result in own if result.name == HYPERPARAMETERS)
    # Of each study the best on validation networks comes first.
    first = {result.study: result for result in reversed(own) if result.family == "learned"}
    return [text for best in reversed(first.values()) for text in _said_of(best, known, target, metric)]


def _said_of(best: Result, known: Result, target: str, metric: str) -> list[str]:
    """What a study's best predictor tells, beside hyper-parameters."""
    seen = "From its weights and its task" if "describe=" in best.setting else "From its weights alone"
    seen = "From its task alone" if "statistics=none" in best.setting else seen
    of_study = "" if best.study is None else f" in {best.study}"
    said = [
        f"{seen}, {best.name}, the best on validation networks{of_study}, predicts {target} of a"
        f" held-out network with {_with_interval(best.metrics[metric])}; hyper-parameters, which never see a weight,"
        f" with {_with_interval(known.metrics[metric])}."
    ]
    if metric == "r2":
        tau, share = best.metrics["kendall_tau"], best.metrics["kendall_tau_share"]
        error, others = best.metrics["mean_absolute_error"], known.metrics["kendall_tau"]
        said.append(
            f"Its order of the networks has {_with_interval(tau)}, {shown(share.metric, share.estimate)} of what ties"
            f" allow (hyper-parameters: {shown(others.metric, others.estimate)}); its mean absolute error is"
            f" {shown(error.metric, error.estimate)}."
        )
    return said


def _with_interval(measured: Measured) -> str:
    text = f"{measured.metric.label} {with_unit(measured.metric, measured.estimate)}"
    if measured.low is None:
        return text
    return f"{text} [{shown(measured.metric, measured.low)}, {shown(measured.metric, measured.high)}]"
