"""The card's page in a browser: every chart drawn, legible on light and dark ground, in a narrow window."""

import re

import pytest
from browser_pages import CRAMPED, FAINT, browser, resize, until
from card_checks import CHARTS

from analysis.card.facts import make_card
from analysis.card.page import render

# Colors of all charts' text.
DARK_INK, LIGHT_INK = "rgb(27, 36, 48)", "rgb(207, 215, 224)"


@pytest.fixture(scope="module")
def shown(small_zoo, tmp_path_factory):
    """The page in a browser on a light desktop; what it asked for and complained about is in its ``noted``."""
    file = tmp_path_factory.mktemp("card") / "card.html"
    file.write_text(render(make_card(small_zoo, members=24, examples=100)), encoding="utf-8")
    with browser() as opened:
        shown = opened.new_page(viewport={"width": 1280, "height": 800}, color_scheme="light")
        shown.noted = []
        shown.on("request", lambda r: r.url.startswith(("file:", "data:")) or shown.noted.append(r.url))
        shown.on("console", lambda message: shown.noted.append(message.text))
        shown.on("pageerror", lambda error: shown.noted.append(str(error)))
        shown.goto(file.as_uri())
        shown.wait_for_selector("body[data-ready=true]", timeout=100_000)
        yield shown


def grounds(shown):
    """Brightness, 0 to 255, of the page and of the text in its charts."""
    paper, *inks = shown.evaluate(
        "() => [getComputedStyle(document.body).backgroundColor,"
        " ...[...document.querySelectorAll('.xtick text, .ytick text')].map((text) => getComputedStyle(text).fill)]"
    )
    return [sum(map(int, re.findall(r"\d+", color)[:3])) / 3 for color in (paper, *dict.fromkeys(inks))]


def written_in(color):
    """The condition that all charts have text of one color."""
    return (
        "() => [...document.querySelectorAll('.xtick text, .ytick text')]"
        f".every((text) => getComputedStyle(text).fill === '{color}')"
    )


def test_every_chart_is_drawn_in_silence(shown):
    drawn = (
        "(all) => all.filter((chart) => chart.querySelector('svg .trace, svg .heatmaplayer image'))"
        ".map((chart) => chart.dataset.figure)"
    )
    everything = shown.locator("[data-figure]").evaluate_all("(all) => all.map((chart) => chart.id)")
    assert shown.locator("[data-figure]").evaluate_all(drawn) == everything
    assert set(CHARTS) < set(everything)
    assert shown.evaluate("document.documentElement.scrollWidth") <= 1280
    assert shown.noted == []


def test_labels_do_not_lie_on_each_other(shown):
    overlaps = shown.evaluate(
        """() => {
            const found = [];
            for (const chart of document.querySelectorAll("[data-figure]")) {
                for (const kind of [".yaxislayer-above text", ".legendtext", ".annotation-text"]) {
                    const boxes = [...chart.querySelectorAll(kind)].map((text) => text.getBoundingClientRect());
                    /* A line's box is taller than its letters. */
                    const lie = (a, b) =>
                        a.left < b.right && b.left < a.right && a.top < b.bottom - 3 && b.top < a.bottom - 3;
                    if (boxes.some((a, i) => boxes.slice(0, i).some((b) => lie(a, b)))) {
                        found.push([chart.dataset.figure, kind]);
                    }
                }
            }
            return found;
        }"""
    )
    assert overlaps == []


def test_is_legible_on_light_and_dark_ground_and_on_paper(shown):
    paper, ink = grounds(shown)
    assert paper == 255
    assert ink < 60
    assert shown.evaluate(FAINT) == []
    shown.emulate_media(color_scheme="dark")
    until(shown, written_in(LIGHT_INK))
    paper, ink = grounds(shown)
    assert paper < 40
    assert ink > 200
    assert shown.evaluate(FAINT) == []
    # Paper is white whatever the desktop is.
    shown.evaluate("() => { window.dispatchEvent(new Event('beforeprint')); }")
    until(shown, written_in(DARK_INK))
    shown.evaluate("() => { window.dispatchEvent(new Event('afterprint')); }")
    until(shown, written_in(LIGHT_INK))
    assert grounds(shown) == [paper, ink]


def test_fits_a_narrow_window(shown):
    resize(shown, 390)
    assert shown.evaluate("document.documentElement.scrollWidth") <= 390
    until(shown, f"() => ({CRAMPED})().length === 0")
    resize(shown, 1280)
    assert shown.evaluate("document.documentElement.scrollWidth") <= 1280
