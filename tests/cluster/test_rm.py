"""Removal of zoos, studies and reports: what is asked, what is refused, what is left."""

import io
import json
import sys
from pathlib import Path

import pytest
from object_storage import BUCKET, Rclone, needs_rclone, use
from stored_study import add_study

from cluster.cli import run
from cluster.distributed.journal import SearchFolder
from cluster.distributed.logs import LiveFolder
from zoo.storage.store import Store
from zoo.storage.verify import verify
from zoo.storage.zoo import Zoo


@pytest.fixture
def store(zoo_copy):
    """A store with a zoo, a study on it, and a report of both."""
    add_study(zoo_copy.store, "search-12345678", zoo_copy.name)
    row = f"rows/{zoo_copy.name}/0123.json"
    for path in ("reports/small-search/report.html", "tables/small-search/results.csv", row):
        zoo_copy.store.put(path, b"page")
    return zoo_copy.store


def told(capsys, *arguments):
    """What a command that succeeds prints as JSON."""
    assert run([*arguments, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def answering(monkeypatch, answer):
    """Somebody at the terminal."""
    terminal = io.StringIO(answer)
    terminal.isatty = lambda: True
    monkeypatch.setattr(sys, "stdin", terminal)


def test_a_study_goes_and_the_rest_stays(capsys, store, zoo_copy):
    result = told(capsys, "rm", "search", "--yes", "--store", store.uri)
    assert (result["removes"], result["removed"], result["files"]) == (["studies/search-12345678"], True, 4)
    assert store.folders("studies") == []
    assert verify(zoo_copy) == []
    assert store.exists("reports/small-search/report.html")


def test_a_dry_run_counts_and_removes_nothing(capsys, store):
    before = store.sizes()
    result = told(capsys, "rm", "search", "--dry-run", "--store", store.uri)
    assert result["removed"] is None
    assert result["bytes"] == sum(size for path, size in before.items() if path.startswith("studies/"))
    assert run(["rm", "search", "--dry-run", "--store", store.uri]) == 0
    assert "would remove studies/search-12345678 in" in capsys.readouterr().out
    assert store.sizes() == before


@pytest.mark.parametrize("options", [["--yes"], ["--dry-run"]])
def test_a_zoo_that_studies_need_stays_unless_they_go_too(capsys, store, zoo_copy, options):
    before = store.list()
    assert run(["rm", "small", *options, "--store", store.uri]) == 2
    said = capsys.readouterr().err
    assert f"1 study of {store.uri} cannot be analyzed or continued without zoo {zoo_copy.name}" in said
    assert "search-12345678. Give --with-studies" in said
    assert store.list() == before


def test_what_was_measured_of_a_zoo_is_counted(capsys, store, zoo_copy):
    sizes = [size for path, size in store.sizes().items() if path.startswith(("zoos/", "rows/", "studies/"))]
    result = told(capsys, "rm", "small", "--with-studies", "--dry-run", "--store", store.uri)
    assert (result["files"], result["bytes"]) == (len(sizes), sum(sizes))


def test_a_zoo_goes_with_its_studies_but_not_with_those_of_others(capsys, store, zoo_copy, monkeypatch):
    add_study(store, "other-12345678", "another-87654321")
    deleted, delete = [], Store.delete
    monkeypatch.setattr(Store, "delete", lambda self, path: deleted.append(path) or delete(self, path))
    result = told(capsys, "rm", "small", "--with-studies", "--yes", "--store", store.uri)
    assert result["removes"] == [f"zoos/{zoo_copy.name}", "studies/search-12345678"]
    assert store.folders("zoos") == store.folders("rows") == []
    assert store.folders("studies") == ["other-12345678"]
    assert deleted[0] == "studies/search-12345678/study.json", "what makes a study look whole goes first"
    assert deleted[4] == f"zoos/{zoo_copy.name}/manifest-0001.json", "and a zoo's manifest"


@pytest.mark.parametrize(("answer", "code"), [("y\n", 0), ("n\n", 1)])
def test_it_asks(capsys, store, monkeypatch, answer, code):
    answering(monkeypatch, answer)
    assert run(["rm", "search", "--store", store.uri, "--json"]) == code
    captured = capsys.readouterr()
    assert "Remove studies/search-12345678 in" in captured.err
    assert json.loads(captured.out)["removed"] is (code == 0)
    assert store.exists("studies/search-12345678/study.json") is (code != 0)


def test_with_nobody_to_ask_it_wants_yes(capsys, store):
    assert run(["rm", "search", "--store", store.uri]) == 2
    assert "4 files" in (said := capsys.readouterr().err)
    assert "give --yes" in said
    assert store.folders("studies") == ["search-12345678"]


@pytest.mark.parametrize("uri", [False, True])
def test_a_report_is_named_with_its_kind(capsys, store, uri):
    name = "reports/small-search"
    assert run(["rm", "small-search", "--yes", "--store", store.uri]) == 2
    assert "there is no zoo or study 'small-search' in" in capsys.readouterr().err
    arguments = [store.join(name)] if uri else [name, "--store", store.uri]
    assert told(capsys, "rm", *arguments, "--yes")["removes"] == [name]
    assert store.folders("reports") == store.folders("tables") == []


def test_names_that_are_of_nothing_or_of_several(capsys, store, zoo_copy):
    add_study(store, "small-87654321", zoo_copy.name)
    for name, words in {
        "small": f"'small' is the beginning of several names in {store.uri}: zoos/{zoo_copy.name}, studies/small-8765",
        "nothing": f"there is no zoo or study 'nothing' in {store.uri}; there are: zoos/{zoo_copy.name}",
        "studies/nothing": "there is no study 'nothing'",
        "reports/nothing": "there is no report 'nothing'",
        "": "'' is nothing that a store has",
        "data/digits": "'data/digits' is nothing that a store has; allowed: NAME, or KIND/NAME",
    }.items():
        assert run(["rm", name, "--yes", "--store", store.uri]) == 2
        assert words in capsys.readouterr().err
    assert told(capsys, "rm", "studies/small", "--dry-run", "--store", store.uri)["removes"] == [
        "studies/small-87654321"
    ]


def test_an_unfinished_zoo_is_removed(capsys, zoo_copy):
    Path(zoo_copy.uri, "manifest-0001.json").unlink()
    assert run(["verify", "small", "--store", zoo_copy.store.uri]) == 2
    assert f"`zooscale rm {zoo_copy.name} --store {zoo_copy.store.uri}` deletes it" in capsys.readouterr().err
    assert told(capsys, "rm", "small", "--yes", "--store", zoo_copy.store.uri)["files"] == 4
    assert not Path(zoo_copy.uri).exists()


@pytest.mark.parametrize("options", [["--yes"], ["--dry-run"]])
def test_what_a_search_is_at_stays(capsys, store, zoo_copy, options):
    """Also where the search has written nothing yet that says of which zoo it is."""
    first, other = (SearchFolder(store, name) for name in ("first-12345678", "other-12345678"))
    with first.open_journal(zoo_copy.name), other.open_journal("another-87654321"):
        before = store.list()
        for name in ("first-12345678", zoo_copy.name):
            assert run(["rm", name, "--with-studies", *options, "--store", store.uri]) == 2
            assert "a search of study first-12345678 is running; wait for it or end it" in capsys.readouterr().err
        assert store.list() == before
    assert run(["rm", "first-12345678", *options, "--store", store.uri]) == 0, "it has ended"


@needs_rclone
def test_on_object_storage_the_journal_on_this_machine_goes_too(capsys, small_zoo, tmp_path, monkeypatch):
    server = Rclone(tmp_path / "data")
    use(monkeypatch, server.url)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    store = Store(f"s3://{BUCKET}/store")
    for path in small_zoo.store.list():
        store.put_new(path, small_zoo.store.read(path))
    add_study(store, "search-12345678", small_zoo.name)
    live = LiveFolder(store, "search-12345678").live
    live.mkdir(parents=True)
    (live / "journal.log").write_text("of trials that are gone")
    result = told(capsys, "rm", "small", "--with-studies", "--yes", "--store", store.uri)
    assert (result["files"], store.list(), live.exists()) == (9, [], False)
    server.kill()
    assert Zoo.open(small_zoo.name, store=small_zoo.store).manifest == small_zoo.manifest
