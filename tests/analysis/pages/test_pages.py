"""The frame and blocks that all pages share: everything escaped, every chart inside, tables that keep their order."""

import json
import math
import re
from pathlib import Path

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import pytest
from markupsafe import Markup

from analysis.pages.figures import Outline, base_layout, histograms
from analysis.pages.glossary import WORDS, Entry, glossary
from analysis.pages.numbers import axis_title, counted, percent, plain, shown, shown_unit, significant, size, with_unit
from analysis.pages.page import Bullets, Chart, Code, Fact, Grid, Heading, Section, Text, render_page
from analysis.pages.tables import (
    Cell,
    Column,
    Row,
    Table,
    absent,
    badge,
    code,
    metric_cell,
    metric_column,
    number_cell,
    prose_table,
)
from zoo.metric import Metric

EVIL = "</script><img src=x onerror=alert(1)> & <b>"
AGREEMENT = Metric(name="agreement", label="agreement", unit="share", direction="max", description="Same class.")
SHIFT = Metric(name="accuracy_shift_pp", label="accuracy shift", unit="pp", direction="min", description="Mean |Δ|.")
KL = Metric(name="kl", label="divergence", unit="nats", direction="min", description="Of probabilities.")
R2 = Metric(name="test_r2", label="R²", direction="max", description="Share of variance explained.")


def figure():
    return go.Figure(go.Scatter(x=[1, 2], y=[3, 4]), layout=base_layout(200))


def page(*blocks, **options):
    sections = [Section(anchor="one", heading="A heading", short="Short", blocks=blocks)]
    return render_page(title="T", lead="L", facts=[Fact(name="F", value="1")], sections=sections, **options)


def markup(text):
    return re.sub(r"<(script|style).*?</\1>", "", text, flags=re.DOTALL)


def test_every_kind_of_block_is_on_the_page():
    table = Table(caption="C", columns=(Column(title="a_b"),), rows=(Row(cells=(Cell(text="cell"),), anchor="here"),))
    text = markup(
        page(
            Text("plain"),
            Text("aside", "note"),
            Heading("within"),
            Bullets(("first", "second")),
            Code("x = 1"),
            Grid((Chart(name="left", figure=figure(), label="drawn", caption="how to read"), Text("right"))),
            table,
            glossary([KL], ["member"]),
            Markup("<output>own</output>"),
        )
    )
    for part in (
        "<h2>A heading</h2>", '<a href="#one">Short</a>', "<p>plain</p>", '<p class="note">aside</p>',
        "<h3>within</h3>", "<li>second</li>", "<pre>x = 1</pre>", 'data-figure="left"', 'aria-label="drawn"',
        "<figcaption>how to read</figcaption>", "<p>right</p>", 'id="here"', "a_b", "<output>own</output>",
        '<dt>divergence <span class="muted">(nats)</span> <code>kl</code></dt><dd>Of probabilities.</dd>',
        WORDS["member"],
    ):  # fmt: skip
        assert part in text


def test_what_stands_between_backticks_is_code_in_every_block():
    said = "run ``zooscale search`` with `--seeds 3` & see"
    table = prose_table("c", ["a"], [[said]])
    text = markup(page(Text(said), Bullets((said,)), Heading(said), table, glossary([], [], {"term": said})))
    assert text.count("<code>zooscale search</code> with <code>--seeds 3</code> &amp; see") == 5
    assert "`" not in text


def test_text_is_escaped_in_every_block():
    table = Table(
        caption=EVIL, columns=(Column(title=EVIL, unit=EVIL),), rows=(Row(cells=(Cell(text=EVIL, interval=EVIL),)),)
    )
    blocks = (Text(EVIL), Heading(EVIL), Bullets((EVIL,)), Code(EVIL), table, prose_table(EVIL, [EVIL], [[EVIL]]))
    chart = Chart(name="c", figure=go.Figure(layout={"title": {"text": EVIL}}), label=EVIL, caption=EVIL)
    text = page(*blocks, chart, data={"said": EVIL})
    assert EVIL not in text
    assert "<img" not in markup(text)
    (data,) = re.findall(r'id="page-data">(.*?)</script>', text)
    assert json.loads(data)["said"] == EVIL


def test_two_charts_of_one_name_are_refused():
    chart = Chart(name="twice", figure=figure(), label="l")
    with pytest.raises(ValueError, match="something else on the page are called 'twice'"):
        page(chart, Grid((chart,)))
    with pytest.raises(ValueError, match="something else on the page are called 'one'"):
        page(Chart(name="one", figure=figure(), label="l"))


def test_tables_of_sentences_have_a_heading_only_if_there_is_one():
    rows = [[code("name"), badge("suited", "good")]]
    with_heading, without = (markup(page(prose_table("c", titles, rows))) for titles in (["a", "b"], ["", ""]))
    assert "<thead>" in with_heading
    assert "<thead>" not in without
    assert "<code>name</code>" in without
    assert '<span class="badge good">suited</span>' in without


@pytest.mark.parametrize(
    ("metric", "value", "text"),
    [
        (AGREEMENT, 0.9713, "97.1 %"),
        (SHIFT, -0.333, "\u22120.33 pp"),
        (KL, 0.00123, "0.00123 nats"),
        (R2, 0.98765, "0.988"),
        (R2, None, "–"),
        (R2, math.nan, "–"),
    ],
)
def test_metrics_are_written_in_their_unit(metric, value, text):
    assert with_unit(metric, value) == text
    assert text.startswith(shown(metric, value))


def test_headings_and_axes_name_the_unit():
    assert (metric_column(KL).title, metric_column(KL).unit) == ("divergence", "nats")
    assert axis_title(KL) == "divergence (nats)"
    assert axis_title(R2) == "R²"
    assert shown_unit(SHIFT) == "pp"


def test_cells_sort_by_value_and_absent_ones_last():
    assert metric_cell(AGREEMENT, 0.5, 0.4, 0.6) == Cell(text="50.0", sort=0.5, interval="40.0 … 60.0")
    assert metric_cell(KL, math.nan) == absent()
    assert number_cell(math.inf).sort == "Infinity"
    assert absent().sort == ""


def test_a_metric_takes_the_place_of_a_word_of_its_name():
    entries = glossary([AGREEMENT], ["agreement", "member"], {"N*": "Break-even."}).entries
    assert entries == (
        Entry(term="member", meaning=WORDS["member"]),
        Entry(term="agreement", meaning="Same class.", unit="%", name="agreement"),
        Entry(term="N*", meaning="Break-even."),
    )


def test_numbers_in_words():
    assert [significant(value) for value in (0, 1234.6, 0.000012345, -math.inf)] == [
        "0",
        "1\u202f230",
        "1.23e\u22125",
        "\u2212∞",
    ]
    assert (size(999), size(865_300), size(2e13)) == ("999 B", "865.3 kB", "20.0 TB")
    assert (counted(1, "seed"), counted(2000, "seed")) == ("1 seed", "2\u202f000 seeds")
    assert (percent(0.12345), percent(None)) == ("12.3 %", "–")


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ({"a": [1, 0.5], "b": None}, "a 1, 0.5, b none"),
        (np.int64(7897428540732987069), "7897428540732987069"),
        (np.float64(32), "32"),
        (True, "true"),
        ([], "(none)"),
        ("", "(none)"),
    ],
)
def test_plain_values_in_a_line(value, text):
    assert plain(value) == text


def test_histograms_of_nothing_are_no_figure():
    nothing = pd.DataFrame({"low": [], "high": [], "count": []})
    some = pd.DataFrame({"low": [0.0, 1], "high": [1.0, 2], "count": [3, 4]})
    assert histograms([Outline("none", nothing)], KL, pixels=300) is None
    assert histograms([Outline("some", some)], None, pixels=300) is None
    drawn = histograms([Outline("none", nothing), Outline("some", some)], KL, mark=0.5, pixels=300)
    assert [trace.name for trace in drawn.data] == ["some"]
    assert drawn.layout.xaxis.title.text == "divergence (nats)"


def test_no_line_ends_within_bars():
    table = Table(
        caption="C",
        columns=(Column(title="mean |Δloss|", unit="at 1 pp |Δ|"),),
        rows=(Row(cells=(Cell(text="5 < |x| & y"),)),),
    )
    text = markup(page(Text("The `|a|` of |Δaccuracy|, a | b"), table))
    assert re.findall(r'<span class="whole">(.*?)</span>', text) == ["|a|", "|Δaccuracy|", "|Δloss|", "|Δ|", "|x|"]


def test_the_words_are_those_of_the_documentation():
    lines = (Path(__file__).parents[3] / "docs" / "glossary.md").read_text().splitlines()
    rows = [line.strip("| ").split(" | ") for line in lines if line.startswith("| ")][1:]
    assert dict(rows) == WORDS
