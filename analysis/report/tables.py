"""The report's tables."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import pandas as pd
from markupsafe import Markup, escape

from analysis.compression.headlines import ANCHOR, Headline
from analysis.compression.rates import AMORTIZED_OVER, total_bits_per_weight
from analysis.measuring.results import Result, declared
from analysis.pages.numbers import count, shown, significant
from analysis.pages.tables import Cell, Column, Row, Table, absent, metric_cell, metric_column, number_cell
from analysis.report.figures import style
from analysis.report.glossary import NOT_REACHED
from trainables.metrics import CODE_BITS_PER_WEIGHT
from trainables.readouts.metrics import R2
from trainables.study_files import COMPLETE, StudyRecord
from zoo.metric import Metric

# Characters of a trial's value, which may be an error's message.
LONGEST_TEXT = 60
# What matters first: a narrow window shows the first columns alone.
PARETO_METRICS = (
    "code_bits_per_weight", "agreement", "accuracy_shift_pp", "accuracy_drop_pp", "kl", "output_r2", "output_error",
    "shared_bytes",
)  # fmt: skip
INFEASIBLE = "infeasible"
UNTRAINED_METRICS = ("code_bits_per_weight", "agreement", "kl", "output_r2", "output_error", "relative_l2")


def result_cell(result: Result, name: str) -> Cell:
    """A metric of a result, with its 95 % interval if it has one."""
    measured = result.metrics.get(name)
    return (
        absent() if measured is None else metric_cell(measured.metric, measured.estimate, measured.low, measured.high)
    )


def codec_cell(result: Result, linked: frozenset[str]) -> Cell:
    """A codec's name with its color; below it, its setting and its trial, linked to the trial's row if there is one."""
    told = [escape(result.setting)] if result.setting else []
    if result.trial is not None:
        anchor = trial_anchor(result.trial, result.study)
        trial = Markup('<a href="#{}">trial {}</a>') if anchor in linked else Markup("trial {1}")
        told.append(trial.format(anchor, result.trial))
    return Cell(
        text=result.name, color=style(result.name, result.family).color, interval=Markup(" · ").join(told) or None
    )


def results_table(results: Sequence[Result], linked: frozenset[str]) -> Table:
    """Every metric of every result."""
    return _measured("All results", results, linked)


def pareto_table(results: Sequence[Result], linked: frozenset[str]) -> Table:
    """The results on the Pareto front, linked to their trials."""
    return _measured("Pareto front", results, linked, PARETO_METRICS)


def predictors_table(results: Sequence[Result], linked: frozenset[str]) -> Table:
    """Every metric of every predictor."""
    return _measured("Predictors", results, linked, head="predictor")


def untrained_table(results: Sequence[Result], linked: frozenset[str]) -> Table:
    """Codecs on networks as they were before training."""
    return _measured("Codecs on untrained networks", results, linked, UNTRAINED_METRICS)


def chosen_table(caption: str, results: Sequence[Result], linked: frozenset[str], names: Sequence[str]) -> Table:
    """Some metrics of codecs, in the order of their names."""
    return _measured(caption, results, linked, names)


def _measured(
    caption: str,
    results: Sequence[Result],
    linked: frozenset[str],
    names: Sequence[str] | None = None,
    head: str = "codec",
) -> Table:
    """A row for each result, with those metrics that were measured."""
    known = declared(results)
    metrics = [
        known[name] for name in (dict.fromkeys([*PARETO_METRICS, *known]) if names is None else names) if name in known
    ]
    return Table(
        caption=caption,
        columns=(
            Column(title=head, number=False),
            *(metric_column(metric) for metric in metrics),
        ),
        rows=tuple(
            Row(
                cells=(
                    codec_cell(result, linked),
                    *(result_cell(result, metric.name) for metric in metrics),
                )
            )
            for result in results
        ),
    )


def means_table(found: Mapping[str, Any]) -> Table:
    """Means over columns, and how far the first is ahead; see :func:`analysis.reading.column_means.column_means`."""
    rows = []
    for each in found["means"]:
        first = each["name"] == found["first"]
        ends = [absent() if first else metric_cell(R2, *(each[f"lead{end}"] for end in ("", "_low", "_high")))]
        words = [", ".join(each.get(name, ())).replace("_", " ") or "–" for name in ("ahead", "behind")]
        mean = metric_cell(R2, *(each[f"mean{end}"] for end in ("", "_low", "_high")))
        rows.append(Row(cells=(Cell(text=each["name"]), mean, *ends, *(Cell(text=text) for text in words))))
    first = found["first"]
    titles = (
        Column(title="told by", number=False),
        Column(title="mean"),
        Column(title=f"lead of {first}"),
        Column(title="it is ahead in", number=False, sentences=True),
        Column(title="behind in", number=False, sentences=True),
    )
    told = found["columns"]
    of = told[0].replace("_", " ") if len(told) == 1 else f"Mean over {len(told)} columns"
    caption = f"{of}, {found['snapshots']}"
    return Table(caption=caption, columns=titles, rows=tuple(rows))


def trial_anchor(trial: int, study: str | None) -> str:
    """Under which a row of :func:`trials_table` can be linked to.

    Args:
        trial: Number of the trial.
        study: Name of its study where there are several.
    """
    return f"trial-{trial}" if study is None else f"trial-{trial}-of-{study}"


def trial_anchors(studies: Sequence[StudyRecord]) -> frozenset[str]:
    """Those of all trials of studies."""
    several = len(studies) > 1
    return frozenset(
        trial_anchor(int(trial), study.name if several else None)
        for study in studies
        for trial in study.trials["trial"]
    )


def breaks_limits(trials: pd.DataFrame) -> pd.Series:
    """Which trials have ended but break a limit of their study."""
    state, feasible = trials["state"].str.lower(), trials.get("feasible", pd.Series(data=True, index=trials.index))
    return (state == INFEASIBLE) | ((state == COMPLETE) & ~feasible.fillna(value=False).astype(bool))


def trials_table(
    trials: pd.DataFrame, metrics: Mapping[str, Metric], study: str | None = None
) -> tuple[Table, tuple[tuple[str, str], ...]]:
    """The trials of a search.

    Args:
        trials: One row per trial with the columns ``trial`` and ``state``, every parameter and every objective.
        metrics: Those that a search measures, by name.
        study: Name of the study where there are several.

    Returns:
        The table, objectives before parameters, whose rows can be linked to, and what is the same in all trials as
        pairs of name and value: those columns are left out, and so are empty ones.
    """
    broken = breaks_limits(trials).tolist()
    trials = trials.assign(state=trials["state"].str.lower().mask(broken, INFEASIBLE))
    # A missing value makes a column of whole numbers one of floats; this undoes it.
    trials = trials.drop(columns="feasible", errors="ignore").dropna(axis="columns", how="all").convert_dtypes()
    first = [name for name in ("trial", "state", *metrics) if name in trials]
    others = [str(name) for name in trials.columns if name not in first]
    constant = {name for name in others if len(trials) > 1 and trials[name].astype(str).nunique(dropna=False) == 1}
    shown = [*first, *(name for name in others if name not in constant)]
    numeric = {name for name in shown if pd.api.types.is_numeric_dtype(trials[name]) and trials[name].dtype != bool}
    rows = tuple(
        Row(
            cells=tuple(_value_cell(record[name], metrics.get(name)) for name in shown),
            anchor=trial_anchor(int(record["trial"]), study),
            faint=record["state"] == INFEASIBLE,
        )
        for record in trials.to_dict("records")
    )
    columns = tuple(
        replace(metric_column(metrics[name]), number=name in numeric)
        if name in metrics
        else Column(title=name, number=name in numeric)
        for name in shown
    )
    return (
        Table(caption="Trials" if study is None else f"Trials of {study}", columns=columns, rows=rows),
        tuple((name, _value_cell(trials[name].iloc[0], metrics.get(name)).text) for name in others if name in constant),
    )


def _value_cell(value: Any, metric: Metric | None) -> Cell:
    if value is None or value is pd.NA or (isinstance(value, float) and math.isnan(value)):
        return absent()
    if metric is not None or isinstance(value, float):
        text = significant(value) if metric is None else shown(metric, value)
        return Cell(text=text, sort=str(value))
    text = str(value)
    return Cell(text=text if len(text) <= LONGEST_TEXT else f"{text[: LONGEST_TEXT - 1]}…")


def headline_table(headlines: Sequence[Headline], distortion: str) -> Table:
    """What is said of each codec: its rates at the targets, against uniform quantization, its shared part."""
    targets = list(headlines[0].rates) if headlines else []
    return Table(
        caption="Codecs compared",
        columns=(
            Column(title="codec", number=False),
            *(Column(title=CODE_BITS_PER_WEIGHT.label, unit=f"at {words}") for words in targets),
            Column(title="BD-rate", unit=f"% against {ANCHOR}, at equal {distortion}"),
            Column(title="shared", unit="bytes"),
            Column(title="N*", unit="networks"),
        ),
        rows=tuple(
            Row(
                cells=(
                    Cell(text=h.codec, color=style(h.codec, h.family).color),
                    *(number_cell(h.rates[words], NOT_REACHED) for words in targets),
                    number_cell(h.bd_rate),
                    Cell(text=count(h.shared_bytes), sort=h.shared_bytes),
                    break_even_cell(h, told=h.break_even_at != targets[0]),
                )
            )
            for h in headlines
        ),
    )


def break_even_cell(headline: Headline, *, told: bool = False) -> Cell:
    """N*, or why there is none; told at which target, where it is not the first."""
    if headline.shared_bytes == 0:
        return absent("shares nothing")
    if headline.break_even_at is None:
        return absent(NOT_REACHED)
    if not headline.rivals:
        return absent("no rival measured")
    if headline.rival is None:
        return absent("no rival gets there")
    if headline.break_even_models is None:
        return absent("never")
    models = math.ceil(headline.break_even_models)
    return Cell(text=count(models), sort=models, interval=f"at {headline.break_even_at}" if told else None)


def amortization_table(headlines: Sequence[Headline], target: str, parameters: int) -> Table:
    """Total bits per weight at a target, named by its words, for each stated N, and the break-even N* there."""

    def total(headline: Headline, models: float) -> Cell:
        rate = headline.rates[target]
        if rate is None:
            return absent(NOT_REACHED)
        return number_cell(total_bits_per_weight(rate, headline.shared_bytes, parameters, models))

    return Table(
        caption=f"Total bits per weight at {target}",
        columns=(
            Column(title="codec", number=False),
            *(Column(title=f"N = {count(models)}", unit="bits") for models in AMORTIZED_OVER),
            Column(title="N*", unit="networks"),
        ),
        rows=tuple(
            Row(
                cells=(
                    Cell(text=h.codec, color=style(h.codec, h.family).color),
                    *(total(h, models) for models in AMORTIZED_OVER),
                    break_even_cell(h) if h.break_even_at in (None, target) else absent(NOT_REACHED),
                )
            )
            for h in headlines
        ),
    )
