"""The look of all charts; their text and grid follow the ground that a page stands on, see ``page.js``."""

from __future__ import annotations

from typing import Any

INK, MUTED, GRID = "#1b2430", "#5d6b7b", "#e9edf1"
FONT = 'Inter, "Segoe UI", Roboto, "Helvetica Neue", Arial, "Liberation Sans", "DejaVu Sans", sans-serif'


def base_layout(height: int) -> dict[str, Any]:
    """Fonts, colors and margins of every chart; height in pixels."""
    axis = {
        "gridcolor": GRID, "linecolor": "#aab4bf", "zeroline": False, "ticks": "outside", "ticklen": 4,
        "tickcolor": "#aab4bf", "automargin": True, "title": {"font": {"size": 13.5}, "standoff": 10},
    }  # fmt: skip
    return {
        "template": "none",
        "height": height,
        "font": {"family": FONT, "size": 13, "color": INK},
        "paper_bgcolor": "#ffffff",
        "plot_bgcolor": "#ffffff",
        "margin": {"l": 64, "r": 16, "t": 26, "b": 56},
        "hovermode": "closest",
        "separators": ".\u202f",
        "hoverlabel": {
            "align": "left",
            "bgcolor": "#ffffff",
            "bordercolor": "#aab4bf",
            "font": {"size": 12.5, "color": INK},
        },
        "legend": {"x": 1.01, "y": 1, "font": {"size": 12.5}, "itemsizing": "trace", "tracegroupgap": 4},
        "xaxis": axis,
        "yaxis": axis,
    }
