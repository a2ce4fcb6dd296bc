"""Shards go to storage while the next ones train."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from patience import PATIENCE_S

from zoo.generation import writer as writing
from zoo.generation.build import generate_zoo
from zoo.generation.shard_training import train_shard
from zoo.generation.writer import ShardWriter
from zoo.storage.errors import ZooError
from zoo.storage.manifest import shard_name
from zoo.storage.shards import describe_shard, read_shard
from zoo.storage.store import Store
from zoo.storage.verify import verify


@pytest.fixture(scope="module")
def contents(small_recipe, small_zoo):
    data = small_zoo.dataset()
    return [train_shard(small_recipe, data, range(first, first + 16)) for first in (0, 16, 32)]


def paths(store):
    return [path.rpartition("/")[2] for path in store.list()]


def test_shards_are_stored_and_told_of(contents, small_zoo, tmp_path):
    store, told = Store(tmp_path), []
    with ShardWriter(store, "zoo", lambda *what: told.append(what)) as writer:
        for shard in [*contents, contents[0]]:
            writer.write(shard)
    assert [members for members, _ in told] == [shard.members for shard in [*contents, contents[0]]]
    for shard, (_, file), entry in zip(contents, told, small_zoo.manifest.shards, strict=False):
        data = store.read(f"zoos/zoo/shards/{shard_name(shard.members)}")
        header, _ = read_shard(data, "")
        assert header.content_sha256 == entry.content_sha256
        assert file == describe_shard(data, "")
        assert {name: getattr(entry, name) for name in ("rows", "size_bytes", "sha256", "content_sha256")} == {
            name: getattr(file, name) for name in ("rows", "size_bytes", "sha256", "content_sha256")
        }
    assert told[-1][1] is None, "nothing is known of a shard that was there already"


def test_nothing_is_known_of_a_shard_where_another_writer_may_replace_it(contents, tmp_path, monkeypatch):
    monkeypatch.setattr(Store, "exclusive", False)
    told = []
    with ShardWriter(Store(tmp_path), "zoo", lambda *what: told.append(what)) as writer:
        writer.write(contents[0])
    assert told == [(contents[0].members, None)]


def test_training_goes_on_while_a_shard_is_stored(contents, tmp_path, monkeypatch):
    """And no further than one shard: the second waits for the first."""
    go, original = threading.Event(), Store.put_new
    monkeypatch.setattr(Store, "put_new", lambda *a: go.wait(PATIENCE_S) and original(*a))
    store = Store(tmp_path)
    with ShardWriter(store, "zoo") as writer:
        writer.write(contents[0])
        assert paths(store) == [], "write() has returned before the shard was stored"
        second = threading.Thread(target=writer.write, args=(contents[1],))
        second.start()
        second.join(0.2)
        assert second.is_alive(), "a second shard is not taken meanwhile"
        go.set()
        second.join(PATIENCE_S)
    assert len(paths(store)) == 2


def test_failure_reaches_the_training_thread(contents, tmp_path):
    (tmp_path / "zoos").write_text("in the way")
    trained = []

    def train(number):
        with ShardWriter(Store(tmp_path), "zoo") as writer:
            for shard in contents[:number]:
                trained.append(shard.members)
                writer.write(shard)

    with pytest.raises(ZooError, match="cannot write"):
        train(3)
    assert len(trained) == 2, "the next write tells of it"
    with pytest.raises(ZooError, match="cannot write"):
        train(1)


def test_failure_of_training_waits_for_the_upload_but_not_for_ever(contents, tmp_path, monkeypatch):
    store, original = Store(tmp_path), Store.put_new

    def fail(shard):
        with ShardWriter(store, "zoo") as writer:
            writer.write(shard)
            raise RuntimeError("training")

    monkeypatch.setattr(Store, "put_new", lambda *a: time.sleep(0.2) or original(*a))
    with pytest.raises(RuntimeError, match="training"):
        fail(contents[0])
    assert paths(store) == ["shard-0000000-0000016.parquet"]
    go, uploaded = threading.Event(), []
    monkeypatch.setattr(Store, "put_new", lambda *_: uploaded.append(go.wait(PATIENCE_S)))
    monkeypatch.setattr(writing, "GRACE_S", 0.1)
    with pytest.raises(RuntimeError, match="training"):
        fail(contents[1])
    assert not uploaded
    go.set()


def test_two_writers_on_one_zoo_at_once_make_one(small_recipe, small_zoo, tmp_path):
    with ThreadPoolExecutor(2) as pool:
        zoos = list(pool.map(lambda _: generate_zoo(small_recipe, Store(tmp_path)), range(2)))
    assert [zoo.content_sha256 for zoo in zoos] == [small_zoo.content_sha256] * 2
    assert len(list(tmp_path.rglob("*.parquet"))) == 4
    assert [path.name for path in tmp_path.rglob("manifest-*")] == ["manifest-0001.json"]
    assert verify(zoos[0]) == []
