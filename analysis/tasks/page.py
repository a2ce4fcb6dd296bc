"""The page of task embeddings: which tasks are near each other, how hard they are.

Shape letters: T tasks.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Iterator, Mapping

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from scipy.cluster.hierarchy import leaves_list, linkage
from scipy.spatial.distance import squareform

from analysis.pages.figures import LEGEND_ABOVE, PALETTE, PERCENT, base_layout, heat_map
from analysis.pages.glossary import glossary
from analysis.pages.numbers import count, counted, percent
from analysis.pages.page import Block, Chart, Code, Fact, Section, Text, render_page
from analysis.pages.tables import Cell, Table, metric_cell, table_of
from analysis.statistics.intervals import Interval
from analysis.tasks.distances import symmetric_distance
from analysis.tasks.relations import RELATION_METRICS, with_difficulty, with_taxonomy
from trainables.tasks.embeddings import TaskEmbeddings
from zoo.metric import Metric, by_name

DISTANCE = Metric(
    name="task_distance",
    label="distance",
    direction="min",
    description="1 − cosine of the shares that two tasks have in the Fisher information of each filter; 0 for tasks"
    " that need the same filters.",
)
# Of more tasks a heat map cannot be read.
MOST_IN_HEAT_MAP = 120
NEAREST = 3
MADE_OF = (
    "A task is embedded as the Fisher information of the filters of one fixed probe network, with a head fitted to the"
    " task: how much each filter's weights matter for telling the task's classes apart (Task2Vec, arXiv 1902.03545)."
)
ABOUT_ERRORS = (
    "Error of the head on test images, classes weighing the same. The norm is made of training images alone; it grows"
    " with how unsure the head is of them."
)


def render(
    embeddings: TaskEmbeddings,
    errors_T: np.ndarray,
    groups: Mapping[str, str] | None = None,
    command: str = "",
    made_on: datetime.date | None = None,
) -> str:
    """Writes a page of task embeddings as one self-contained HTML file.

    Args:
        embeddings: Of two tasks or more.
        errors_T: Test error of each task's head.
        groups: For names of tasks, what each belongs to; by default its data set.
        command: What makes the page again.
        made_on: The date that the page bears; today where ``None``.

    Raises:
        ValueError: There are fewer than two tasks.
    """
    if len(embeddings) < 2:
        raise ValueError("a page compares tasks; embed two or more")
    made_on = made_on or datetime.datetime.now(datetime.UTC).date()
    of_task = [(groups or {}).get(task.name, task.dataset) for task in embeddings.tasks]
    distances_TT = symmetric_distance(embeddings.values_TE)
    agreements = _agreements(embeddings, distances_TT, errors_T, of_task)
    datasets = list(dict.fromkeys(task.dataset for task in embeddings.tasks))
    near, agreement = tuple(_near(embeddings, distances_TT, of_task)), tuple(_agreement(agreements))
    hard = (_difficulty(embeddings, errors_T, of_task), Text(ABOUT_ERRORS, "note"))
    words = glossary([DISTANCE, *RELATION_METRICS], ["task"])
    sections = (
        Section(anchor="near", heading="Which tasks are near", blocks=near),
        Section(anchor="hard", heading="How hard they are", blocks=hard),
        Section(anchor="tasks", heading="Tasks", blocks=(_table(embeddings, distances_TT, errors_T),)),
        Section(anchor="agreement", heading="What distances agree with", blocks=agreement),
        *([Section(anchor="reproduce", heading="Make it again", blocks=(Code(command),))] if command else []),
        Section(anchor="glossary", heading="Glossary", blocks=(words,)),
    )
    config, filters = embeddings.config, embeddings.values_TE.shape[1]
    return render_page(
        title=f"Tasks of {', '.join(datasets)}",
        lead=f"{counted(len(embeddings), 'task')} as vectors: which need the same features, which are hard."
        f" {made_on:%-d %B %Y}.",
        facts=[
            Fact(name="Tasks", value=count(len(embeddings)), detail=counted(len(datasets), "data set")),
            Fact(name="Probe network", value=embeddings.probe[0], detail=f"sha256 {embeddings.probe[1][:16]}"),
            Fact(name="Filters", value=count(filters), detail=counted(len(embeddings.layers), "layer")),
            Fact(name="Fisher information", value=config.estimate, detail=f"prior {config.prior:g}"),
        ],
        sections=sections,
    )


def _near(embeddings: TaskEmbeddings, distances_TT: np.ndarray, groups: list[str]) -> Iterator[Block]:
    yield Text(MADE_OF)
    yield Chart(
        name="map",
        figure=_map(embeddings, distances_TT, groups),
        label="Tasks as points, near where their embeddings are",
        caption="Each point is a task; distances on the map are as near as two dimensions allow to those of the"
        " embeddings (classical scaling).",
    )
    if len(embeddings) <= MOST_IN_HEAT_MAP:
        order = leaves_list(linkage(squareform(distances_TT, checks=False), method="average", optimal_ordering=True))
        names = [embeddings.names[row] for row in order]
        table = pd.DataFrame(distances_TT[np.ix_(order, order)], index=names, columns=names)
        figure = heat_map(table, DISTANCE, "%{y} and %{x}: %{z:.3f}", 180 + 14 * max(len(names), 20))
        figure.update_traces(zmin=0, zmax=float(distances_TT.max()) or 1.0, reversescale=True)
        yield Chart(
            name="distances",
            figure=figure,
            label="Distances of each two tasks",
            caption="Symmetric distance of each two tasks, in an order that puts near ones side by side.",
        )


def _map(embeddings: TaskEmbeddings, distances_TT: np.ndarray, groups: list[str]) -> go.Figure:
    """Classical multidimensional scaling to two dimensions."""
    squares_TT = distances_TT**2
    centered = squares_TT - squares_TT.mean(0) - squares_TT.mean(1)[:, None] + squares_TT.mean()
    lengths, axes = np.linalg.eigh(-centered / 2)
    points_T2 = (axes * np.sqrt(lengths.clip(min=0)))[:, [-1, -2]]
    figure = go.Figure(layout=base_layout(480))
    for number, group in enumerate(dict.fromkeys(groups)):
        rows = [row for row, other in enumerate(groups) if other == group]
        figure.add_scatter(
            x=points_T2[rows, 0].tolist(),
            y=points_T2[rows, 1].tolist(),
            text=[embeddings.names[row] for row in rows],
            mode="markers",
            marker={"size": 9, "color": PALETTE[number % len(PALETTE)]},
            name=group,
            hovertemplate="%{text}<extra></extra>",
        )
    figure.update_layout(LEGEND_ABOVE)
    return figure.update_xaxes(title_text="first coordinate").update_yaxes(
        title_text="second coordinate", scaleanchor="x"
    )


def _difficulty(embeddings: TaskEmbeddings, errors_T: np.ndarray, groups: list[str]) -> Chart:
    figure = go.Figure(layout=base_layout(420))
    for number, group in enumerate(dict.fromkeys(groups)):
        rows = [row for row, other in enumerate(groups) if other == group]
        figure.add_scatter(
            x=embeddings.norms[rows].tolist(),
            y=errors_T[rows].tolist(),
            text=[embeddings.names[row] for row in rows],
            mode="markers",
            marker={"size": 8, "color": PALETTE[number % len(PALETTE)]},
            name=group,
            hovertemplate="%{text}: norm %{x:.3g}, error %{y:.1%}<extra></extra>",
        )
    figure.update_layout(LEGEND_ABOVE)
    figure.update_xaxes(title_text="norm of the embedding", type="log")
    figure.update_yaxes(title_text="test error", tickformat=PERCENT, rangemode="tozero")
    return Chart(name="difficulty", figure=figure, label="Norm of each embedding against the error of the task's head")


def _table(embeddings: TaskEmbeddings, distances_TT: np.ndarray, errors_T: np.ndarray) -> Table:
    others_TT = distances_TT + np.diag(np.full(len(distances_TT), np.inf))
    nearest = others_TT.argsort(1)[:, : min(NEAREST, len(distances_TT) - 1)]
    columns: dict[str, Iterable[Cell | str | float]] = {
        "task": list(embeddings.names),
        "classes": [task.classes for task in embeddings.tasks],
        "images": [task.examples for task in embeddings.tasks],
        "norm": [float(norm) for norm in embeddings.norms],
        "test error": [percent(error) for error in errors_T],
        "nearest tasks": [", ".join(embeddings.names[row] for row in rows) for rows in nearest],
    }
    return table_of("Tasks with their nearest others", columns, sentences=("nearest tasks",))


def _agreements(
    embeddings: TaskEmbeddings, distances_TT: np.ndarray, errors_T: np.ndarray, groups: list[str]
) -> dict[str, Interval]:
    found = {RELATION_METRICS[-1].name: with_difficulty(embeddings.norms, errors_T)}
    if 1 < len(set(groups)) < len(groups):
        found |= with_taxonomy(distances_TT, groups)
    return found


def _agreement(found: Mapping[str, Interval]) -> Iterator[Block]:
    declared = by_name(RELATION_METRICS)
    cells = [metric_cell(declared[name], one.estimate, one.low, one.high) for name, one in found.items()]
    columns: dict[str, Iterable[Cell | str | float]] = {
        "": [declared[name].label for name in found],
        "measured": cells,
        "meaning": [declared[name].description for name in found],
    }
    yield table_of("Agreement of distances and norms", columns, sentences=("meaning",), sortable=False)
    yield Text("Intervals are of 95 %, over tasks.", "note")
