"""The report's maps of embeddings: points colored by a column that the reader chooses, and ways of training."""

from __future__ import annotations

from typing import Any

import numpy as np
import plotly.graph_objects as go

from analysis.pages.figures import BLUE, GRAY, ORANGE, PALETTE, PURPLE, base_layout
from analysis.pages.page import Block, Section, Text, filled
from analysis.record import LatentMaps
from analysis.report.sections import ASSETS
from trainables.readouts.columns import is_numeric
from zoo.words import counted

FIGURE = "latent"
FIRST_COLUMN = "test_accuracy"
# Categories beyond this number share the last color.
CATEGORIES = len(PALETTE)
# Both ends stand out on light and dark ground.
SCALE = [[0, BLUE], [0.5, PURPLE], [1, ORANGE]]


def section(maps: LatentMaps) -> Section:
    """The maps of encoders, one at a time."""
    return Section(anchor="maps", heading="Where networks lie", blocks=blocks(maps, "Encoder", "embedding"))


def blocks(maps: LatentMaps, chosen: str, what: str) -> tuple[Block, ...]:
    """The maps, one at a time.

    Args:
        maps: The maps.
        chosen: What there is a choice of: "Encoder".
        what: What is drawn of each network: "embedding".
    """
    columns = [name for name in maps.columns if name == FIRST_COLUMN]
    columns += [name for name in maps.columns if name != FIRST_COLUMN]
    large = f" Left out: {counted(maps.large, 'snapshot')} with very large weights." if maps.large else ""
    return (
        Text(
            "Every point is a snapshot of a held-out network, at the first two principal components of its"
            f" standardized {what}. Lines follow some networks through training, from the first snapshot to the"
            " last, which has a ring. What lies apart here is apart; what lies together need not be alike."
            f"{large}"
        ),
        filled(
            ASSETS,
            "latent.html.j2",
            maps=[each.name for each in maps.maps],
            columns=columns,
            figure=FIGURE,
            chosen=chosen,
            what=what,
        ),
    )


def figure() -> go.Figure:
    """An empty map, which the page fills with the chosen one."""
    drawn = go.Figure(layout=base_layout(height=520))
    drawn.add_scatter(
        x=[], y=[], mode="markers", name="snapshots", meta={"role": "points"}, hovertemplate="%{text}<extra></extra>",
        marker={"size": 6, "opacity": 0.75, "colorscale": SCALE, "colorbar": {"thickness": 12, "outlinewidth": 0}},
    )  # fmt: skip
    drawn.add_scatter(
        x=[], y=[], mode="lines", name="training", meta={"role": "paths"}, hoverinfo="skip",
        line={"color": GRAY, "width": 1.4}, connectgaps=False,
    )  # fmt: skip
    drawn.add_scatter(
        x=[], y=[], mode="markers", name="last snapshot", meta={"role": "ends"}, hoverinfo="skip",
        marker={"size": 11, "symbol": "circle-open", "color": GRAY, "line": {"width": 2}},
    )  # fmt: skip
    return drawn.update_layout(showlegend=False)


def data(maps: LatentMaps) -> dict[str, Any]:
    """What the page fills the map with: places of each map, values of each column, rows of each path."""
    return {
        "maps": [
            {"x": _rounded(each.places_M2[:, 0]), "y": _rounded(each.places_M2[:, 1]), "axes": each.axes}
            for each in maps.maps
        ],
        "columns": {name: _column(values_M) for name, values_M in maps.columns.items()},
        "paths": [rows.tolist() for rows in maps.paths],
        "palette": PALETTE,
    }


def _column(values_M: np.ndarray) -> dict[str, Any]:
    """A number for each snapshot, ``None`` where unknown; for names their places among the most frequent."""
    if is_numeric(values_M):
        return {"values": [value if np.isfinite(value) else None for value in _rounded(values_M)], "names": None}
    names, counts = np.unique(values_M, return_counts=True)
    order = names[np.argsort(-counts, kind="stable")].tolist()
    place = {name: min(number, CATEGORIES - 1) for number, name in enumerate(order)}
    shown = order if len(order) <= CATEGORIES else [*order[: CATEGORIES - 1], "others"]
    return {"values": [place[name] for name in values_M.tolist()], "names": shown}


def _rounded(values: np.ndarray) -> list[float]:
    return [float(f"{value:.4g}") for value in values]
