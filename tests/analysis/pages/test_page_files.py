"""Charts and tables of a page as files."""

import sys
import xml.etree.ElementTree as ET

import pandas as pd
import plotly.graph_objects as go
import pytest

from analysis.pages import files
from analysis.pages.figures import base_layout
from analysis.pages.files import NoBrowserError, write_page_files
from analysis.pages.page import Chart, Fact, Section, render_page
from analysis.pages.tables import Cell, Column, Row, Table
from cluster.page_files import page_files
from tests.support.browser_pages import CHROMIUM
from zoo.storage.store import Store


def page():
    figure = go.Figure(go.Scatter(x=[1, 2], y=[3, 4]), layout=base_layout(200)).update_xaxes(title_text="bits")
    rows = (
        Row(cells=(Cell(text="a_b & 50 %"), Cell(text="0.82", sort=0.8168, interval="−0.7 … 0.9"))),
        Row(cells=(Cell(text="other"), Cell(text="–", sort="", absent=True))),
    )
    table = Table(caption="What is told", columns=(Column(title="name"), Column(title="τ_b", unit="share")), rows=rows)
    blocks = (Chart(name="drawn", figure=figure, label="a line"), table, table)
    section = Section(anchor="findings", heading="Findings", blocks=blocks)
    return render_page(title="T", lead="L", facts=[Fact(name="F", value="1")], sections=[section])


@pytest.mark.skipif(CHROMIUM is None, reason="no chromium on PATH: apt-get install chromium")
def test_charts_are_drawn_and_tables_keep_their_numbers(tmp_path):
    written = write_page_files(page(), tmp_path / "new" / "folder")
    assert [file.name for file in written.charts] == ["drawn.svg", "drawn.png"]
    svg = ET.fromstring(written.charts[0].read_text())
    assert "bits" in "".join(svg.itertext())
    assert written.charts[1].read_bytes().startswith(b"\x89PNG")
    names = [file.name for file in written.tables]
    assert names == [f"findings-what-is-told{number}.{ending}" for number in ("", "-2") for ending in ("csv", "tex")]
    table = pd.read_csv(written.tables[0])
    assert list(table.columns) == ["name", "τ_b (share)", "τ_b (share), interval"]
    assert table["τ_b (share)"].tolist() == ["0.8168", "–"]
    assert table["name"].tolist() == ["a_b & 50 %", "other"]
    latex = written.tables[1].read_text()
    assert r"a\_b \& 50 \% & 0.82 $-$0.7 to 0.9 \\" in latex
    assert r"\caption{What is told}" in latex


def test_without_a_browser_the_work_does_not_begin(tmp_path, monkeypatch):
    monkeypatch.setattr(files, "BROWSERS", ())
    monkeypatch.setenv("PLAYWRIGHT_BROWSERS_PATH", str(tmp_path / "none"))
    with pytest.raises(NoBrowserError, match="install Chromium or Chrome, or run `playwright install chromium`"):
        page_files(tmp_path / "figures")
    monkeypatch.setitem(sys.modules, "playwright.sync_api", None)
    with pytest.raises(NoBrowserError, match="pip install playwright"):
        page_files(tmp_path / "figures")
    assert page_files(None)(Store(tmp_path), "a page that nobody wants files of") is None
