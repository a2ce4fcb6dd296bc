"""The page about encoders in a browser: wide and narrow, light and dark, and its map of embeddings."""

import dataclasses

import pytest
from browser_pages import CRAMPED, FAINT, resize
from browser_pages import browser as open_browser
from encoder_study import write_encoders

from analysis.analyze import analyze
from analysis.report.page import render
from analysis.statistics.intervals import Bootstrap
from zoo.generation.build import generate_zoo
from zoo.recipes import RECIPES
from zoo.storage.store import Store

POINTS = """() => {
    const trace = document.getElementById("latent").data.find((each) => each.meta.role === "points");
    return { color: trace.marker.color, count: trace.x.length, scale: trace.marker.showscale };
}"""


@pytest.fixture(scope="module")
def report(tmp_path_factory, small_zoo):
    store = Store(tmp_path_factory.mktemp("mixed"))
    recipe = dataclasses.replace(RECIPES["digits-mlp-mixed"], members=96, epochs=1, snapshot_epochs=(0, 1))
    mixed = generate_zoo(recipe, store)
    studies = [write_encoders(store, zoo, {"weight-statistics": 1}) for zoo in (small_zoo, mixed)]
    found = analyze(
        small_zoo, studies[0], on=[mixed], studies_on=[studies[1:]], bootstrap=Bootstrap(replicates=10), members=8
    )
    path = tmp_path_factory.mktemp("page") / "report.html"
    path.write_text(render(found), encoding="utf-8")
    return path


@pytest.mark.slow
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_everything_is_legible_on_paper_and_phone(report, scheme):
    with open_browser() as browser:
        page = browser.new_page(viewport={"width": 1400, "height": 900}, color_scheme=scheme)
        complaints = []
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.goto(report.as_uri())
        page.wait_for_selector("body[data-ready=true]", timeout=100_000)
        for width in (1400, 390):
            resize(page, width)
            assert page.evaluate(CRAMPED) == []
            # Values in cells stand on the cells' own color, not on the page's.
            faint = [text for text in page.evaluate(FAINT) if not text.startswith("text ")]
            assert faint == []
            assert page.evaluate("document.documentElement.scrollWidth") <= width
        before = page.evaluate(POINTS)
        page.select_option("#map-column", "optimizer")
        after = page.evaluate(POINTS)
        assert before["count"] == after["count"] == 16  # two snapshots of eight networks
        assert before["scale"]
        assert not after["scale"]
        assert before["color"] != after["color"]
        assert page.inner_text("#map-legend").strip()
        assert complaints == []
