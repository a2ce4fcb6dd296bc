"""The card's page and verb: one file, complete; its snippets run."""

import dataclasses
import datetime
import json
import re
import shlex
import shutil

import pytest
import torch
from card_checks import CHARTS

from analysis.card.facts import make_card
from analysis.card.page import render
from analysis.card.usage import snippets
from analysis.card.verdicts import varying
from cluster.cli import run
from cluster.verbs.card import Card
from zoo.storage.store import Store
from zoo.storage.zoo import Zoo

MADE_ON = datetime.date(2026, 11, 20)
EVIL = "</script><script>alert(1)</script><img src=x onerror=alert(2)>"


@pytest.fixture(scope="module")
def card(small_zoo):
    return make_card(small_zoo, members=24, examples=100)


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
    charts = re.findall(r'class="chart" id="([^"]+)" data-figure="\1"', page)
    of_axes = {name.split("-", 2)[2] for name in charts if name.startswith(("effects-", "numbers-"))}
    assert of_axes == {name.replace("_", "-") for name in varying(card, tasks=True)}
    assert {name for name in charts if not name.startswith(("effects-", "numbers-"))} == set(CHARTS)
    assert render(card, made_on=MADE_ON) == page


def test_says_where_the_zoo_is_from_and_what_was_sampled(page, small_zoo):
    text = re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", re.sub(r"<script.*?</script>", "", page, flags=re.DOTALL)))
    for fact in (
        small_zoo.digest, small_zoo.content_sha256, small_zoo.manifest.dataset_sha256, "20 November 2026",
        "measured on 24 members drawn at random (seed 0)", "at most 100 test examples", "Epochs at whose end",
    ):  # fmt: skip
        assert fact in text


def test_says_so_where_only_some_shards_were_looked_at(page, small_zoo, monkeypatch):
    assert ">Trained with<" in page
    monkeypatch.setattr("analysis.card.facts.SHARDS_ASKED", 2)
    assert "so say 2 of the 2 shards looked at" in render(make_card(small_zoo, members=4, examples=10))


def test_every_metric_and_word_of_the_page_is_in_its_glossary(page, card):
    listed = page[page.index('id="glossary"') :].replace("<wbr>", "")
    assert {"snapshot", "shard", "explained variance"} < set(re.findall(r"<dt>([^<]+?)(?: <|</dt>)", listed))
    terms = re.findall(r"<dt>[^\n]*<code>(\w+)</code></dt>", listed)
    measured = {name for name in card.distributions["metric"] if name in card.metrics}
    assert {name for name in measured if not name.startswith(("train_", "validation_"))} <= set(terms)


def test_text_is_shown_and_never_run(card):
    axes = card.axes.assign(name=[EVIL, *card.axes["name"][1:]], meaning=EVIL)
    page = render(dataclasses.replace(card, axes=axes, limits=(EVIL,)), made_on=MADE_ON)
    assert EVIL not in page
    assert "<img" not in re.sub(r"<script.*?</script>", "", page, flags=re.DOTALL)


def test_a_card_with_hardly_anything_is_a_page(card):
    tables = {name: getattr(card, name)[:0] for name in ("histograms", "axes", "tensors", "shared", "matrix")}
    nothing = card.distributions.assign(missing=64, count=0, mean=float("nan"))
    bare = dataclasses.replace(
        card,
        distributions=nothing,
        epochs=card.epochs[:1],
        layouts=card.layouts.assign(measured=0),
        absent="the data set is not here",
        **tables,
    )
    page = render(bare, made_on=MADE_ON)
    assert "the data set is not here" in page
    assert "Nothing: all members are trained alike." in page
    assert "data-figure" not in re.sub(r"<script.*?</script>", "", page, flags=re.DOTALL)


def test_panels_that_there_are_none_of_say_why(card):
    page = render(dataclasses.replace(card, epochs=card.epochs[-1:], matrix=card.matrix[:0]), made_on=MADE_ON)
    assert "Not shown: Scores over epochs: there are snapshots of one epoch only." in page
    assert "Not shown: Matrix of members: fewer than two members were measured." in page


def test_python_snippet_runs(card, in_store):
    names = {}
    exec(snippets(card)["Python"], names)
    assert len(names["table"]) == 192
    assert names["weights_MP"].shape[1] == 1210
    with torch.no_grad():
        logits = names["module"](names["inputs"][:3])
    expected = names["population"].logits(names["inputs"][:3])[0]
    torch.testing.assert_close(logits, expected)


def test_pandas_snippet_runs(card, in_store, small_zoo):
    names = {}
    exec(snippets(card)["pandas"], names)
    assert len(names["table"]) == 192
    test = small_zoo.population("test", epochs="last", include_diverged=True)
    assert len(names["weights"]) == len(test)
    assert sorted(float(weights.sum()) for weights in names["weights"]) == pytest.approx(
        sorted(test.weights_MP.sum(1).tolist()), abs=1e-3
    )


def test_duckdb_snippet_runs(card, in_store, small_zoo):
    duckdb = pytest.importorskip("duckdb")
    rows = duckdb.sql(snippets(card)["DuckDB"]).fetchall()
    frame = small_zoo.members
    last = frame[(frame["epoch"] == 2) & ~frame["diverged"]]
    assert sum(row[1] for row in rows) == len(last)
    assert max(row[2] for row in rows) == pytest.approx(rows[0][2])


def test_commands_are_those_of_this_zoo(card, small_zoo):
    lines = snippets(card)["Regenerate"].splitlines()
    assert lines[-1] == f"zooscale card {small_zoo.name} --members 24 --examples 100 --seed 0"
    assert shlex.split(lines[-2]) == ["zooscale", "verify", small_zoo.name]
    assert card.about["content_sha256"] in snippets(card)["Cite"]


def test_verb_writes_page_and_json_and_list_shows_it(capsys, in_store, small_zoo):
    assert run(["card", "small", "--members", "4", "--examples", "20", "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    store = Store("store")
    folder = f"reports/card-{small_zoo.name}"
    assert result["card"] == store.join(folder, "card.html")
    value = json.loads(store.read(f"{folder}/card.json"))
    assert value["about"]["sample"] == result["sample"]
    assert (result["sample"]["members"], result["sample"]["read"], result["sample"]["examples"]) == (4, 4, 20)
    assert [list(use.values()) for use in result["uses"]] == value["uses"]["data"]
    assert store.read(f"{folder}/card.html").startswith(b"<!DOCTYPE html>")
    assert run(["list"]) == 0
    assert result["card"] in capsys.readouterr().out
    # A second card takes the place of the first.
    assert run(["card", Zoo.open("small").uri, "--members", "5", "--examples", "20", "--seed", "1"]) == 0
    text = capsys.readouterr().out
    assert "known limits" in text
    assert result["card"] in text
    assert json.loads(store.read(f"{folder}/card.json"))["about"]["sample"]["seed"] == 1


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["nothing"], "it has small-"),
        (["small", "--members", "1"], "--members is '1'; allowed: a whole number, 2 or more"),
        (["small", "--examples", "0"], "--examples is '0'; allowed: a whole number, 1 or more"),
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
        Card(zoo=zoo_copy.name, store=zoo_copy.store.uri, members=4, examples=10).run()
    assert not zoo_copy.store.exists("reports")
