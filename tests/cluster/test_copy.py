"""Copies of zoos, studies and reports between stores: whole, checked, to be continued."""

import json

import pytest
from object_storage import BUCKET, Rclone, needs_rclone, use
from stored_study import add_study

from cluster.cli import run
from zoo.storage.store import Store
from zoo.storage.verify import verify
from zoo.storage.zoo import Zoo

LOGS, RECORD = "live/tensorboard/trial-0000/events", "studies/search-12345678/study.json"


@pytest.fixture
def store(zoo_copy):
    """A store with a zoo and a study on it, which has its journal and logs as searches leave them."""
    add_study(zoo_copy.store, "search-12345678", zoo_copy.name)
    for file in (LOGS, "live/journal.log", "live/lock"):
        zoo_copy.store.put(f"studies/search-12345678/{file}", file.encode())
    return zoo_copy.store


def told(capsys, *arguments):
    """What a command that succeeds prints as JSON."""
    assert run([*arguments, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def copied(source, target):
    """Paths of what two stores have alike."""
    return [path for path in source.list() if target.exists(path) and target.read(path) == source.read(path)]


def test_a_zoo_is_copied_with_the_studies_on_it(capsys, store, zoo_copy, tmp_path):
    target = Store(tmp_path / "a place with spaces")
    arguments = ["copy", "small", "--with-studies", "--to", target.uri, "--store", store.uri]
    planned = told(capsys, *arguments, "--dry-run")
    assert target.list() == []
    result = told(capsys, *arguments)
    assert result == {key: planned[key] for key in result} | {"copied": True}
    assert result["copies"] == [f"zoos/{zoo_copy.name}", "studies/search-12345678"]
    assert (result["files"], result["bytes"]) == (len(target.list()), sum(target.sizes().values()))
    zoo = Zoo.open("small", store=target)
    assert verify(zoo) == []
    assert zoo.manifest == zoo_copy.manifest
    left = [path for path in store.list() if path not in copied(store, target)]
    assert left == [f"studies/search-12345678/live/{file}" for file in ("journal.log", "lock")]
    assert told(capsys, *arguments)["copied"], "once more changes nothing"
    assert run(arguments) == 0
    assert "10 files" in capsys.readouterr().out


def test_what_was_measured_of_a_zoo_goes_with_it(capsys, store, zoo_copy, tmp_path):
    target = Store(tmp_path / "target")
    rows = [f"rows/{zoo_copy.name}/{number}.json" for number in range(3)]
    for path in rows:
        store.put(path, b"a row measured here")
    target.put(rows[1], b"the same row, measured there in other seconds")
    planned = told(capsys, "copy", "small", "--to", target.uri, "--store", store.uri, "--dry-run")
    assert planned["files"] == len(store.list(f"zoos/{zoo_copy.name}")) + 2
    assert told(capsys, "copy", "small", "--to", target.uri, "--store", store.uri)["files"] == planned["files"]
    assert [target.read(path) == store.read(path) for path in rows] == [True, False, True]


def test_an_interrupted_copy_looks_unfinished_and_goes_on(capsys, store, zoo_copy, tmp_path, monkeypatch):
    target, put_new, written = Store(tmp_path / "target"), Store.put_new, []

    def dies_before(path):
        def put(self, name, data):
            if name == path:
                raise KeyboardInterrupt
            written.append(name)
            return put_new(self, name, data)

        return put

    for name, last in ((f"zoos/{zoo_copy.name}", f"zoos/{zoo_copy.name}/manifest-0001.json"), ("search", RECORD)):
        monkeypatch.setattr(Store, "put_new", dies_before(last))
        assert run(["copy", name, "--to", target.uri, "--store", store.uri]) == 130
        assert not target.exists(last)
        first = len(written)
        monkeypatch.setattr(Store, "put_new", dies_before(None))
        assert told(capsys, "copy", name, "--to", target.uri, "--store", store.uri)["copied"]
        assert target.read(last) == store.read(last)
    assert written[4] == f"zoos/{zoo_copy.name}/manifest-0001.json", "shards that are there are not sent again"
    assert first == len(written) - 5


def test_what_is_there_with_other_content_stays(capsys, store, zoo_copy, tmp_path):
    target = Store(tmp_path / "a b")
    target.put("studies/search-12345678/trials.parquet", b"others")
    assert run(["copy", "search", "--to", target.uri, "--store", store.uri]) == 2
    said = capsys.readouterr().err
    assert "trials.parquet is there already with other content" in said
    assert f"`zooscale rm studies/search-12345678 --store '{target.uri}'` removes" in said
    assert target.read("studies/search-12345678/trials.parquet") == b"others"
    assert not target.exists(RECORD)
    shard = f"zoos/{zoo_copy.name}/shards/{zoo_copy.manifest.shards[1].name}"
    target.put(shard, b"others")
    assert run(["copy", "small", "--to", target.uri, "--store", store.uri]) == 2
    assert "is there already with other content" in capsys.readouterr().err
    assert target.read(shard) == b"others"


def test_a_damaged_or_unfinished_source_is_not_copied(capsys, store, zoo_copy, tmp_path):
    target = str(tmp_path / "target")
    store.put(f"zoos/{zoo_copy.name}/shards/{zoo_copy.manifest.shards[2].name}", b"damaged")
    assert run(["copy", "small", "--to", target, "--store", store.uri]) == 2
    assert "is damaged; `zooscale verify" in capsys.readouterr().err
    store.delete(f"zoos/{zoo_copy.name}/manifest-0001.json")
    store.delete(RECORD)
    for name, words in (("small", "unfinished"), ("studies/search", "has no results yet")):
        assert run(["copy", name, "--to", target, "--store", store.uri, "--dry-run"]) == 2
        assert words in capsys.readouterr().err


@needs_rclone
def test_there_and_back_over_object_storage(capsys, store, zoo_copy, tmp_path, monkeypatch):
    server = Rclone(tmp_path / "data")
    use(monkeypatch, server.url)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    remote, back = Store(f"s3://{BUCKET}/store"), Store(tmp_path / "back")
    for path in ("reports/page/report.html", "tables/page/results.csv"):
        store.put(path, b"page")
    for source, target in ((store, remote), (remote, back)):
        for name in (["small", "--with-studies"], ["reports/page"]):
            assert told(capsys, "copy", *name, "--to", target.uri, "--store", source.uri)["target"] == target.uri
    assert verify(Zoo.open("small", store=remote)) == []
    assert remote.exists("studies/search-12345678/tensorboard/trial-0000/events"), "where dashboards look there"
    assert copied(back, store) == back.list()
    assert back.read("reports/page/report.html") == back.read("tables/page/results.csv") == b"page"
    assert back.exists(f"studies/search-12345678/{LOGS}")
    server.kill()
    assert run(["list", "--store", back.uri, "--json"]) == 0
    assert [zoo["zoo"] for zoo in json.loads(capsys.readouterr().out)["zoos"]] == [zoo_copy.name]
