"""The report's section about noisy memory: what networks read back from it keep, against the cells they take."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

import plotly.graph_objects as go

from analysis.compression.codec_rows import LEARNED
from analysis.compression.rates import FLOAT_BITS
from analysis.measuring.results import Result, declared
from analysis.noisy_storage.channel import CellChannel
from analysis.noisy_storage.mapping import DIGITAL_BITS_PER_CELL, MAPPINGS
from analysis.noisy_storage.rows import BIT_ERROR_RATE, CELL_NOISE, CELLS_PER_WEIGHT, LOST_SHARE, WRITES
from analysis.noisy_storage.symbols import SYMBOLS
from analysis.pages.figures import PALETTE, axis_of, base_layout
from analysis.pages.page import Block, Chart, Heading, Section, Text
from analysis.pages.tables import Cell, Column, Row, Table, metric_cell, metric_column
from analysis.record import Analysis
from analysis.report.figures import error_bars_of, style

# What networks keep, the first that was measured.
KEPT = ("accuracy_reconstructed", "agreement", "output_r2")
COLUMNS = ("accuracy_reconstructed", "accuracy_drop_pp", "agreement", "output_r2")
# The digital side: half floats, and entropy-coded weights of codecs that know nothing but the layout, or the function.
DIGITAL = ("float16", "uniform", "function-metric", LEARNED)


def noisy_storage(analysis: Analysis) -> Section | str:
    """Accuracy against cells for each weight, analog and digital; why not, where it was not measured."""
    analog = [result for result in analysis.noisy_results if is_analog(result.name)]
    if not analog:
        return "networks were not read back from noisy memory (analyze --cells 1,2,4)"
    flips = [result for result in analysis.noisy_results if not is_analog(result.name)]
    digital = [result for result in analysis.results if result.name in DIGITAL]
    quality = next(name for name in KEPT if name in analog[0].metrics)
    published = [result for result in analog if "noise=" not in result.setting]
    label = declared(analog)[quality].label
    bits = CellChannel().information_bits()
    blocks: list[Block] = [
        Text(
            "Each weight is a level that one analog cell holds, or the mean of several; what is read has noise that"
            " depends on the level, as measured of phase-change memory. Signs, and which scale a weight is written on,"
            f" can be stored without errors, at {DIGITAL_BITS_PER_CELL:g} bits in a cell. Digital storage is the"
            " payload of a codec in such cells, without a code against errors or what is shared; 32-bit floats would"
            f" take {FLOAT_BITS / DIGITAL_BITS_PER_CELL:g} cells. No digital use of the analog cells holds"
            f" more than {bits:.2f} bits in one if all levels are written equally often. Means of {WRITES} writings."
            + " Symbols in cells are those of a codec, or of a study's autoencoders; what is read is not rounded."
            * any(result.name not in MAPPINGS for result in analog)
            + "".join(
                f" {escape(name)} has no symbols that cells could hold: {escape(why)}."
                for name, why in analysis.summary["symbols_left_out"].items()
            )
        ),
        Chart(
            name="noisy-cells",
            figure=against_cells(published, digital, quality),
            label=f"Chart of {label} against cells per weight, analog and digital",
            caption=f"{label.capitalize()} against memory cells for each weight; left is cheaper. Squares are digital.",
        ),
        Chart(
            name="noise",
            figure=against_noise(analog, quality),
            label=f"Chart of {label} against the noise of a number's cells",
            caption="The same against the noise that remains in a number, in deviations of the published cell: so many"
            " cells divide it by the square root of their number.",
        ),
        cells_table(published, digital),
    ]
    if flips:
        blocks += [
            Heading("Flipped bits in payloads"),
            Text(
                "A payload of entropy-coded symbols is one network; one wrong bit and it is refused by its checksum."
                " A Reed-Solomon code corrects half as many wrong bytes in a word of 255 as it has check bytes there."
            ),
            _table("Networks from payloads with flipped bits", flips, (BIT_ERROR_RATE.name, LOST_SHARE.name)),
        ]
    return Section(anchor="noisy-storage", heading="Noisy storage", blocks=tuple(blocks))


def is_analog(name: str) -> bool:
    """Whether rows of this name are of numbers in analog cells."""
    return name in MAPPINGS or name.endswith(SYMBOLS)


def digital_cells(result: Result) -> float:
    """Cells for each weight that a codec's payload takes without errors."""
    return result.rate / DIGITAL_BITS_PER_CELL


def against_cells(analog: Sequence[Result], digital: Sequence[Result], quality: str) -> go.Figure:
    """A line for each mapping, and one for each codec."""
    figure = go.Figure()
    for number, name in enumerate(dict.fromkeys(result.name for result in [*analog, *digital])):
        own = [(result.metrics[CELLS_PER_WEIGHT.name].estimate, result) for result in analog if result.name == name]
        own += [(digital_cells(result), result) for result in digital if result.name == name]
        figure.add_trace(_line(name, own, quality, number))
    return _laid_out(figure, analog[0], quality, f"{CELLS_PER_WEIGHT.label} (log scale)")


def against_noise(analog: Sequence[Result], quality: str) -> go.Figure:
    """A line for each mapping."""
    figure = go.Figure()
    for number, name in enumerate(dict.fromkeys(result.name for result in analog)):
        own = [(result.metrics[CELL_NOISE.name].estimate, result) for result in analog if result.name == name]
        figure.add_trace(_line(name, own, quality, number))
    return _laid_out(figure, analog[0], quality, f"{CELL_NOISE.label} (log scale)")


def cells_table(analog: Sequence[Result], digital: Sequence[Result]) -> Table:
    """Analog and digital rows, by name."""
    return _table("Networks read back from analog and digital cells", [*analog, *digital], (CELLS_PER_WEIGHT.name,))


def _table(caption: str, results: Sequence[Result], first: Sequence[str]) -> Table:
    metrics = declared(results)
    names = [*first, *(name for name in COLUMNS if name in metrics)]
    return Table(
        caption=caption,
        columns=(
            Column(title="stored as", number=False),
            Column(title="setting", number=False),
            *(metric_column(metrics[name]) for name in names),
        ),
        rows=tuple(
            Row(
                cells=(
                    Cell(text=result.name, color=style(result.name, result.family).color)
                    if result.name in DIGITAL
                    else Cell(text=result.name),
                    Cell(text=result.setting),
                    *(_cell(result, name) for name in names),
                )
            )
            for result in results
        ),
    )


def _cell(result: Result, name: str) -> Cell:
    if name == CELLS_PER_WEIGHT.name and name not in result.metrics:
        return metric_cell(CELLS_PER_WEIGHT, digital_cells(result))
    measured = result.metrics[name]
    return metric_cell(measured.metric, measured.estimate, measured.low, measured.high)


def _line(name: str, points: Sequence[tuple[float, Result]], quality: str, number: int) -> go.Scatter:
    points = sorted(points, key=lambda point: point[0])
    measured = [result.metrics[quality] for _, result in points]
    analog = is_analog(name)
    color = PALETTE[number % len(PALETTE)] if analog else style(name, points[0][1].family).color
    return go.Scatter(
        x=[place for place, _ in points],
        y=[one.estimate for one in measured],
        error_y=error_bars_of(measured),
        name=escape(name if analog else f"{name}, digital"),
        # Trials are autoencoders of their own, not settings of one.
        mode="markers" if points[0][1].trial is not None else "lines+markers",
        line={"width": 1.6, "color": color, "dash": "dot" if analog and number >= len(PALETTE) else "solid"},
        marker={"size": 7.5, "symbol": "circle" if analog else "square", "color": color},
        text=[escape(f"{name} · {result.setting}") for _, result in points],
        hovertemplate="%{text}<br>%{x:.3g}, %{y:.4g}<extra></extra>",
    )


def _laid_out(figure: go.Figure, result: Result, quality: str, title: str) -> go.Figure:
    figure.update_layout(base_layout(height=430))
    figure.update_xaxes(type="log", title_text=title)
    figure.update_yaxes(axis_of(result.metrics[quality].metric))
    return figure
