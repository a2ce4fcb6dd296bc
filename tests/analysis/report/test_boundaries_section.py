"""The report's section about decision boundaries: which result is shown, what is drawn, and why things are absent."""

import dataclasses

import numpy as np
import pytest
from example_analysis import make_analysis, make_result

from analysis.analyze import analyze
from analysis.kept_rows import KeptRows, measure_rows
from analysis.measuring.results import Result
from analysis.pages.page import Chart, Grid, Text
from analysis.plan import plan_analysis
from analysis.report.boundaries import boundaries, gallery, gallery_blocks, plane_blocks, shown_result
from analysis.report.page import render
from analysis.statistics.intervals import Bootstrap
from zoo.storage.store import Store

OPTIONS = {"codecs": ["uniform"], "examples": 100, "bootstrap": Bootstrap(replicates=20)}


@pytest.fixture(scope="module")
def analysis(small_zoo):
    return analyze(small_zoo, evaluators=["boundaries"], **OPTIONS)


def charts(section):
    parts = [part for block in section.blocks for part in (block.blocks if isinstance(block, Grid) else (block,))]
    return {part.name: part for part in parts if isinstance(part, Chart)}


def test_planes_distances_and_gallery_are_in_the_report(analysis):
    section = boundaries(analysis, frozenset())
    drawn = charts(section)
    assert {"plane-typical-0", "plane-worst-1", "boundaries-by-rate", "boundaries-of-members", "flips-1"} <= set(drawn)
    views = drawn["plane-worst-0"].figure.layout.images
    assert len(views) == 2
    assert views[0].source != views[1].source
    members = analysis.members
    assert len(members) == analysis.summary["test_members"]
    row = next(
        view["row"]
        for view in shown_result([r for r in analysis.results if r.details]).details["boundaries"]["planes"]["views"]
        if view["why"] == "worst"
    )
    assert f"member {members['member'][row]} at epoch {members['epoch'][row]}" in drawn["plane-worst-0"].caption
    page = render(analysis)
    assert "Decision boundaries" in page
    assert "boundary moved, adversarial direction" in page


def test_what_was_drawn_is_kept_with_the_row(small_zoo, tmp_path):
    plan = plan_analysis(small_zoo, evaluators=["boundaries"], **OPTIONS)
    row, store = plan.rows[0], Store(tmp_path)
    (first,) = measure_rows([row], KeptRows(store, small_zoo.name))

    def measured_again():
        raise AssertionError("it was kept")

    row = dataclasses.replace(row, measure=measured_again)
    (kept,) = measure_rows([row], KeptRows(store, small_zoo.name))
    assert kept.details == first.details
    assert kept.details["boundaries"]["planes"]["views"]
    assert Result.from_record(first.to_record()).details == first.details


def test_the_learned_result_nearest_to_the_target_is_shown():
    results = [
        make_result("uniform", "classical", "", 2.0, 0.97),
        make_result("autoencoder", "learned", "a", 1.0, 0.91, trial=0),
        make_result("autoencoder", "learned", "b", 2.0, 0.96, trial=1),
    ]
    assert shown_result(results).setting == "b"
    assert shown_result(results[:1]).name == "uniform"


def test_is_absent_where_boundaries_were_not_measured():
    analysis = make_analysis()
    said = "decision boundaries were not measured (analyze --evaluators boundaries)"
    assert boundaries(analysis, frozenset()) == said
    analysis.summary["evaluators_left_out"] = {"boundaries": "is about classes, and the data set has none"}
    assert boundaries(analysis, frozenset()) == "these networks tell no classes apart"


def test_says_why_there_is_no_gallery_and_no_plane(analysis):
    (said,) = gallery_blocks({"absent": "inputs of shape (4,) are no images"}, analysis.results[0])
    assert said == Text("There is no gallery: inputs of shape (4,) are no images.")
    (said,) = plane_blocks({"absent": "inputs of shape (1,) have no two dimensions"}, analysis)
    assert said.text.startswith("There are no planes: inputs of shape (1,)")
    (said,) = gallery_blocks({"images": [], "untouched": 1.0, "shape": [1, 8, 8]}, analysis.results[0])
    assert said.text.startswith("On 100.0 % of the 100 test images no network changes its answer when ")


def test_images_stand_over_what_is_said_of_them(analysis):
    found = shown_result([r for r in analysis.results if r.details]).details["boundaries"]["flips"]
    images = found["images"][:4]
    figure = gallery(images, found["shape"])
    assert len(figure.layout.images) == len(figure.layout.annotations) == len(images)
    for picture, note, image in zip(figure.layout.images, figure.layout.annotations, images, strict=True):
        assert note.text.startswith(f"<b>{image['label']}</b> · no. {image['example']} · ")
        assert np.isclose(picture.x, note.x)
        assert picture.yanchor == "bottom"
        assert picture.y > note.y
        before, after = image["before"][0], image["after"][0]
        assert f"{before[0]} ({100 * before[1]:.0f} %) → {after[0]} ({100 * after[1]:.0f} %)" in note.text
