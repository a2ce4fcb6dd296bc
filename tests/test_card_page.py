"""The card's page and verb: self-contained, legible on light and dark ground, its snippets run."""

import dataclasses
import datetime
import json
import re
import shlex
import shutil

import pytest
import torch

from analysis.card.distributions import Distribution
from analysis.card.facts import make_card
from analysis.card.page import render
from analysis.card.usage import citation, duckdb_snippet, pandas_snippet, python_snippet, regenerate_snippet
from cluster.card import run_card
from cluster.cli import run
from zoo.storage.store import Store
from zoo.storage.zoo import Zoo

CHROMIUM = shutil.which("chromium")
MADE_ON = datetime.date(2026, 11, 20)
EVIL = "</script><script>alert(1)</script><img src=x onerror=alert(2)>"
CHARTS = [
    "accuracy", "final", "loss", "gap", "frequencies", "explained", "effects", "classes", "calibration", "agreement",
    "matrix", "values-0", "norms-0", "histograms-0", "distances-0",
]  # fmt: skip


@pytest.fixture(scope="module")
def card(small_zoo):
    return make_card(small_zoo, members=24, images=100)


@pytest.fixture(scope="module")
def page(card):
    return render(card, made_on=MADE_ON)


@pytest.fixture
def in_store(small_zoo, tmp_path, monkeypatch):
    """The current folder is one whose ./store holds the zoo."""
    shutil.copytree(small_zoo.store.uri, tmp_path / "store")
    monkeypatch.chdir(tmp_path)


def test_is_one_file_that_asks_for_nothing_else(page):
    markup = re.sub(r"<script.*?</script>", "", page, flags=re.DOTALL)
    links = re.findall(r'\b(?:href|src|srcset|action)="([^"]*)"', markup)
    assert links
    assert [link for link in links if not link.startswith("#") and link != "data:,"] == []
    assert {link[1:] for link in links if link.startswith("#")} <= set(re.findall(r'id="([^"]+)"', markup))
    assert "connect-src" not in markup
    assert "default-src 'none'" in markup
    (style,) = re.findall(r"<style>(.*?)</style>", page, re.DOTALL)
    assert "url(" not in style
    assert "@import" not in style


def test_has_every_chart_and_the_same_text_each_time(page, card):
    assert sorted(re.findall(r'class="chart" data-figure="([^"]+)"', page)) == sorted(CHARTS)
    assert render(card, made_on=MADE_ON) == page


def test_says_where_the_zoo_is_from_and_what_was_sampled(page, small_zoo):
    text = re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", re.sub(r"<script.*?</script>", "", page, flags=re.DOTALL)))
    for fact in (
        small_zoo.digest, small_zoo.content_sha256, small_zoo.manifest.dataset_sha256, "20 November 2026",
        "measured on 24 members drawn at random (seed 0)", "at most 100 test images", "Epochs at whose end",
    ):  # fmt: skip
        assert fact in text


def test_text_is_shown_and_never_run(card):
    varying = (dataclasses.replace(card.varying[0], name=EVIL, meaning=EVIL), *card.varying[1:])
    page = render(dataclasses.replace(card, varying=varying, limits=(EVIL,)), made_on=MADE_ON)
    assert EVIL not in page
    assert "<img" not in re.sub(r"<script.*?</script>", "", page, flags=re.DOTALL)


def test_a_card_with_hardly_anything_is_a_page(card):
    epochs = tuple(
        dataclasses.replace(
            facts,
            metrics={name: Distribution(count=0, missing=facts.snapshots) for name in facts.metrics},
        )
        for facts in card.epochs[:1]
    )
    histograms = {
        name: dataclasses.replace(shown, counts=tuple(0 for _ in shown.counts))
        for name, shown in card.final.histograms.items()
    }
    bare = dataclasses.replace(
        card,
        epochs=epochs,
        final=dataclasses.replace(card.final, histograms=histograms, chance_accuracy=None, chance_share=None),
        varying=(),
        behaviour=None,
        unmeasured="the data set is not here",
        layouts=tuple(dataclasses.replace(layout, tensors=(), distances=None) for layout in card.layouts),
    )
    page = render(bare, made_on=MADE_ON)
    assert "the data set is not here" in page
    assert "data-figure" not in re.sub(r"<script.*?</script>", "", page, flags=re.DOTALL)


def test_python_snippet_runs(card, in_store):
    names = {}
    exec(python_snippet(card), names)
    assert len(names["table"]) == 192
    assert names["weights_MP"].shape[1] == 1210
    with torch.no_grad():
        logits = names["module"](names["images"][:3])
    expected = names["population"].logits(names["images"][:3])[0]
    torch.testing.assert_close(logits, expected)


def test_pandas_snippet_runs(card, in_store, small_zoo):
    names = {}
    exec(pandas_snippet(card), names)
    assert len(names["table"]) == 192
    test = small_zoo.population("test", epochs="last", include_diverged=True)
    assert len(names["weights"]) == len(test)
    assert sorted(float(weights.sum()) for weights in names["weights"]) == pytest.approx(
        sorted(test.weights_MP.sum(1).tolist()), abs=1e-3
    )


def test_duckdb_snippet_runs(card, in_store, small_zoo):
    duckdb = pytest.importorskip("duckdb")
    rows = duckdb.sql(duckdb_snippet(card)).fetchall()
    frame = small_zoo.members
    last = frame[(frame["epoch"] == 2) & ~frame["diverged"]]
    assert sum(row[1] for row in rows) == len(last)
    assert max(row[2] for row in rows) == pytest.approx(rows[0][2])


def test_commands_are_those_of_this_zoo(card, small_zoo):
    lines = regenerate_snippet(card).splitlines()
    assert lines[-1] == f"zooscale card {small_zoo.name} --members 24 --images 100 --seed 0"
    assert shlex.split(lines[-2]) == ["zooscale", "verify", small_zoo.name]
    assert card.identity.content_sha256 in citation(card)


def test_verb_writes_page_and_json_and_list_shows_it(capsys, in_store, small_zoo):
    assert run(["card", "small", "--members", "4", "--images", "20", "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    store = Store("store")
    folder = f"reports/card-{small_zoo.name}"
    assert result["card"] == store.join(folder, "card.html")
    value = json.loads(store.read(f"{folder}/card.json"))
    assert value["sample"] == {"members": 4, "of": 64, "seed": 0, "images": 20, "sections": 8, "layouts": 1}
    assert value["uses"] == result["uses"]
    assert store.read(f"{folder}/card.html").startswith(b"<!DOCTYPE html>")
    assert run(["list"]) == 0
    assert result["card"] in capsys.readouterr().out
    # A second card takes the place of the first.
    assert run(["card", Zoo.open("small").uri, "--members", "5", "--images", "20", "--seed", "1"]) == 0
    text = capsys.readouterr().out
    assert "known limits" in text
    assert result["card"] in text
    assert json.loads(store.read(f"{folder}/card.json"))["sample"]["seed"] == 1


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["nothing"], "it has small-"),
        (["small", "--members", "1"], "greater than or equal to 2"),
        (["small", "--images", "0"], "greater than or equal to 1"),
        (["small", "--store", "/nowhere/at/all"], "there is no store"),
        (["/nowhere/zoos/small"], "there is no zoo"),
    ],
)
def test_bad_input_is_named_in_one_line(arguments, words, capsys, small_zoo):
    store = [] if "--store" in arguments else ["--store", small_zoo.store.uri]
    assert run(["card", *arguments, *store]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert words in captured.err.splitlines()[-1]
    assert not small_zoo.store.exists("reports")


def test_a_damaged_shard_is_named(zoo_copy):
    path = next(path for path in zoo_copy.store.list("") if path.endswith(".parquet"))
    zoo_copy.store.delete(path)
    with pytest.raises(Exception, match="is missing"):
        run_card(zoo_copy.name, zoo_copy.store.uri, members=4, images=10)
    assert not zoo_copy.store.exists("reports")


@pytest.fixture(scope="module")
def shown(page, tmp_path_factory):
    """The page in a browser on a light desktop; what it asked for and complained about is in its ``noted``."""
    if CHROMIUM is None:
        pytest.skip("no chromium on PATH: apt-get install chromium")
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    file = tmp_path_factory.mktemp("card") / "card.html"
    file.write_text(page, encoding="utf-8")
    with sync_api.sync_playwright() as playwright:
        options = ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"]
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=options)
        shown = browser.new_page(viewport={"width": 1280, "height": 800}, color_scheme="light")
        shown.noted = []
        shown.on("request", lambda r: r.url.startswith(("file:", "data:")) or shown.noted.append(r.url))
        shown.on("console", lambda message: shown.noted.append(message.text))
        shown.on("pageerror", lambda error: shown.noted.append(str(error)))
        shown.goto(file.as_uri())
        shown.wait_for_selector("body[data-ready=true]", timeout=30_000)
        yield shown
        browser.close()


def until(shown, condition):
    """Waits for what is drawn after some time (the page's policy forbids ``wait_for_function``)."""
    for _ in range(100):
        if shown.evaluate(condition):
            return
        shown.wait_for_timeout(100)
    raise AssertionError(condition)


def grounds(shown):
    """Brightness, 0 to 255, of the page and of the text in its charts."""
    paper, *inks = shown.evaluate(
        "() => [getComputedStyle(document.body).backgroundColor,"
        " ...[...document.querySelectorAll('.xtick text, .ytick text')].map((text) => getComputedStyle(text).fill)]"
    )
    return [sum(map(int, re.findall(r"\d+", colour)[:3])) / 3 for colour in (paper, *dict.fromkeys(inks))]


def test_every_chart_is_drawn_in_silence(shown):
    drawn = (
        "(all) => all.filter((chart) => chart.querySelector('svg .trace, svg .heatmaplayer image'))"
        ".map((chart) => chart.dataset.figure)"
    )
    assert sorted(shown.locator("[data-figure]").evaluate_all(drawn)) == sorted(CHARTS)
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


def test_is_legible_on_light_and_dark_ground_and_on_paper(shown, tmp_path):
    paper, ink = grounds(shown)
    assert paper == 255
    assert ink < 60
    shown.emulate_media(color_scheme="dark")
    until(shown, "() => getComputedStyle(document.querySelector('.xtick text')).fill !== 'rgb(27, 36, 48)'")
    paper, ink = grounds(shown)
    assert paper < 40
    assert ink > 200
    assert shown.pdf(format="A4").startswith(b"%PDF")
    shown.emulate_media(color_scheme="light")
    until(shown, "() => getComputedStyle(document.querySelector('.xtick text')).fill === 'rgb(27, 36, 48)'")
    assert grounds(shown)[0] == 255


def test_fits_a_narrow_window(shown):
    shown.set_viewport_size({"width": 420, "height": 800})
    until(shown, "document.documentElement.scrollWidth <= 420")
    shown.set_viewport_size({"width": 1280, "height": 800})
