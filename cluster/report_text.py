"""What an analysis has found, in the lines that a terminal shows: one function for each kind of report."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from zoo.words import counted

# What rows have that is no metric.
OF_ROWS = ("name", "family", "setting", "trial", "fits", "members", "groups", "parameters", "examples")


class Report(Protocol):
    """What lines are made of: see ``cluster.verbs.analyze.Report``."""

    @property
    def summary(self) -> Mapping[str, Any]:
        """Facts about the zoo and what was measured on it."""

    @property
    def headlines(self) -> Sequence[Mapping[str, Any]]:
        """Of codecs, an entry for each."""

    @property
    def predictors(self) -> Sequence[Mapping[str, Any]]:
        """Of other kinds, a row for each result."""


def lines_of(report: Report) -> list[str]:
    """The headline figures of a report."""
    of_kind = {
        "codecs": _of_codecs,
        "predictors": _of_predictors,
        "encoders": _of_encoders,
        "hypernetworks": _of_hypernetworks,
        "data sets": _of_sets,
        "generators": _of_generators,
        "aggregators": _of_aggregators,
        "groups": _of_groups,
    }
    return of_kind[report.summary["kind"]](report)


def _of_codecs(report: Report) -> list[str]:
    networks = counted(report.summary["test_members"], "held-out network")
    measured = f"{networks} on {counted(report.summary['test_examples'], 'test example')}"
    words = list(report.headlines[0]["rates"]) if report.headlines else []
    lines = [f"{measured}: {_score(report.summary)}", ""]
    lines += [f"{'bits per weight at':24}{''.join(f'{text:>24}' for text in words)}{'shared':>12}"]
    for headline in sorted(report.headlines, key=_by_rate):
        rates = "".join(f"{_rate(headline['rates'][text]):>24}" for text in words)
        lines.append(f"{headline['codec']:24}{rates}{_shared(headline['shared_bytes']):>12}")
    return lines


def _of_predictors(report: Report) -> list[str]:
    names = [name for name in ("r2", "kendall_tau", "mean_absolute_error", "accuracy") if name in report.predictors[0]]
    about = f"{report.summary['test_members']} held-out networks; {', '.join(report.summary['targets'])} from weights"
    lines = [about, "", f"{'':34}{''.join(f'{name:>22}' for name in names)}"]
    lines += [f"{_called(row):34}{''.join(f'{row[name]:>22.3f}' for name in names)}" for row in report.predictors]
    return lines + _leads(report)


def _of_generators(report: Report) -> list[str]:
    names = ("accuracy", "nearest_distance", "nearest_made", "outside_hull", "error_overlap")
    lines = [f"{report.summary['test_members']} networks made by each, without a step of training", ""]
    lines.append(f"{'':30}{''.join(f'{name:>18}' for name in names)}")
    for row in report.predictors:
        trial = "" if row["trial"] is None else f"trial {row['trial']}"
        called = ", ".join(filter(None, (row["name"], trial or row["setting"])))
        lines.append(f"{called:30}{''.join(f'{row[name]:>18.3f}' for name in names)}")
    return lines


def _of_hypernetworks(report: Report) -> list[str]:
    lines = [f"accuracy on {counted(len(report.summary['tasks']), 'held-out task')}", ""]
    lines.append(f"{'':38}{'budget':34}{'accuracy':>10}{'numbers':>10}")
    for row in report.predictors:
        spent = ", ".join(row["setting"].split(", ")[:2])
        lines.append(f"{_called(row):38}{spent:34}{row['task_accuracy']:>10.4f}{row['trainable_numbers']:>10,.0f}")
    return lines


def _of_sets(report: Report) -> list[str]:
    size = report.summary["set_size"]
    lines = [f"networks for {report.summary['test_members']} held-out sets of {size} examples: accuracy", ""]
    lines.append(f"{'':38}{'data, budget':28}{'other examples':>16}{'the set':>10}")
    for row in report.predictors:
        spent = ", ".join(row["setting"].split(", ")[: 2 if row["trial"] is None else 1])
        lines.append(f"{_called(row):38}{spent:28}{row['unseen_accuracy']:>16.4f}{row['set_accuracy']:>10.4f}")
    return lines


def _of_aggregators(report: Report) -> list[str]:
    lines = [f"accuracy of {report.summary['test_members']} held-out networks trained by each", ""]
    lines.append(f"{'':28}{'training':34}{'accuracy':>10}{'against the mean':>32}")
    for row in report.predictors:
        training, gain = ", ".join(row["setting"].split(", ")[:2]), ""
        if "gain_over_mean_pp" in row:
            low, high = (row[f"gain_over_mean_pp_{end}"] for end in ("low", "high"))
            gain = f"{row['gain_over_mean_pp']:+.2f} [{low:+.2f}, {high:+.2f}] pp"
        lines.append(f"{_called(row):28}{training:34}{row['aggregated_accuracy']:>10.4f}{gain:>32}")
    return lines


def _of_groups(report: Report) -> list[str]:
    """For each metric what groups have, then what they have by examples of other groups; gains are on the page."""
    lines = [f"{report.summary['test_members']} networks by {', '.join(report.summary['columns'])}"]
    for paired in (False, True):
        rows = [row for row in report.predictors if bool(row["setting"]) is paired]
        for name in [name for name in (rows[0] if rows else ()) if name not in OF_ROWS]:
            if name.endswith(("_low", "_high", "_gain_pp")):
                continue
            # What is a point in the name of an evaluator, such as pgd-0.1, is an underscore in that of its metric.
            lines += ["", re.sub(r"(?<=\d)_(?=\d)", ".", name).replace("_", " ")]
            for row in rows:
                called = f"{row['name']}, made on {row['setting']}" if paired else row["name"]
                ends = f" [{row[f'{name}_low']:.4f}, {row[f'{name}_high']:.4f}]" if f"{name}_low" in row else ""
                lines.append(f"  {called:78}{row[name]:>8.4f}{ends}")
    return lines


def _of_encoders(report: Report) -> list[str]:
    """For each choice of networks a table: columns of the zoo by what tells them, the best on average first."""
    told: dict[str, dict[str, dict[str, float | None]]] = {}
    categories = {row["target"] for row in report.predictors if "accuracy" in row}
    baselines = {row["name"] for row in report.predictors if row["family"] == "control"}
    for row in report.predictors:
        name, metric = ("accuracy", "accuracy") if row["target"] in categories else ("r2", "R²")
        called = row["name"] if row["trial"] is None else f"{row['name']} {row['trial']}"
        called += ", boosting" if row["readout"] == "boosting" else ""
        labelled = f", {row['labelled']} labelled" if row["labelled"] else ""
        places = list(dict.fromkeys([row["fitted_on"], row["told_of"]]))
        elsewhere = "" if places == [report.summary["zoo"]] else f", {' to '.join(places)}"
        of = told.setdefault(f"{row['snapshots']}{elsewhere}{labelled}", {})
        of.setdefault(f"{row['target']} ({metric})", {})[called] = None if row["refusal"] else row[name]
    lines = [f"{report.summary['test_members']} held-out networks; what readouts of each embedding tell"]
    for scope, rows in told.items():
        sums: dict[str, float] = {}
        for values in rows.values():
            for called, value in values.items():
                sums[called] = sums.get(called, 0.0) + max(0.0, value or 0.0)
        encoders = sorted((called for called in sums if called not in baselines), key=sums.__getitem__, reverse=True)
        columns = [*encoders, *(called for called in sums if called in baselines)]
        widths = {called: max(len(called) + 2, 8) for called in columns}
        lines += ["", scope, f"{'':34}{''.join(f'{called:>{width}}' for called, width in widths.items())}"]
        for target, values in rows.items():
            cells = (f"{_told(values, called):>{width}}" for called, width in widths.items())
            lines.append(f"{target:34}{''.join(cells)}")
    return lines + _leads(report)


def _told(values: Mapping[str, float | None], called: str) -> str:
    """What an encoder tells; – where it was not asked."""
    if called not in values:
        return "–"
    value = values[called]
    return "cannot" if value is None else f"{round(value, 3) + 0.0:.3f}"  # never -0.000


def _leads(report: Report) -> list[str]:
    """Means over columns, or the one column of predictors, and how far the first is ahead of each."""
    lines = []
    for means in report.summary["means"]:
        told = means["columns"]
        of = told[0] if len(told) == 1 else f"mean of {len(told)} columns"
        lines += ["", f"{of}, {means['snapshots']}, negative R² as 0; beside it, the lead of {means['first']}"]
        lines += [
            f"{each['name']:34}{_with_ends(each, 'mean')}{_with_ends(each, 'lead') if 'lead' in each else ''}"
            for each in means["means"]
        ]
    return lines


def _with_ends(row: Mapping[str, Any], name: str) -> str:
    """A value with its interval, where it has one."""
    ends = "" if row[f"{name}_low"] is None else f" [{row[f'{name}_low']:.3f}, {row[f'{name}_high']:.3f}]"
    return f"{row[name]:>10.3f}{ends:18}"


def _called(row: Mapping[str, Any]) -> str:
    """What a row is called: its trial beside its name where it has one."""
    return str(row["name"]) if row["trial"] is None else f"{row['name']}, trial {row['trial']}"


def _score(about: Mapping[str, Any]) -> str:
    """How good the networks are, and what a codec that sends nothing keeps."""
    if about["score"] == "accuracy_original":
        said = f"accuracy {100 * about['score_mean']:.1f} ± {100 * about['score_sd']:.1f} %"
    else:
        said = f"{about['score_label']} {about['score_mean']:.3g} ± {about['score_sd']:.3g}"
    if about["pairwise_agreement"] is not None:
        said += f"; two of them agree on {100 * about['pairwise_agreement']:.1f} %"
    if about["quality"] == "agreement":
        return f"{said}; at no bits at all, the best control agrees on {100 * about['zero_rate']:.1f} %"
    return f"{said}; at no bits at all, {about['quality']} of the best control is {about['zero_rate']:.3f}"


def _by_rate(headline: Mapping[str, Any]) -> tuple[bool, float]:
    rate = next(iter(headline["rates"].values()), None)
    return rate is None, rate or 0.0


def _shared(size: float) -> str:
    return f"{size / 1000:.1f} kB" if size else "–"


def _rate(value: float | None) -> str:
    return "not reached" if value is None else f"{value:.3g}"
