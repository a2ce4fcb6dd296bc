import errno
import os
import pickle
import threading
import uuid
from pathlib import Path

import pytest

from zoo.storage.errors import ZooError
from zoo.storage.local import PARTIAL_SUFFIX
from zoo.storage.store import Store


@pytest.fixture(params=["local", "memory"])
def store(request, tmp_path):
    return Store(tmp_path / "store" if request.param == "local" else f"memory://{uuid.uuid4()}/store")


def test_put_new_creates_once_and_keeps_the_first(store):
    assert store.put_new("a/b/one.bin", b"first") is True
    assert store.put_new("a/b/one.bin", b"second") is False
    assert store.read("a/b/one.bin") == b"first"
    assert store.size("a/b/one.bin") == 5


def test_put_replaces(store):
    store.put("report.html", b"old")
    store.put("report.html", b"new")
    assert store.read("report.html") == b"new"


def test_list_is_sorted_recursive_and_relative(store):
    for path in ("z/2", "z/1/x", "zz/3", "top"):
        store.put_new(path, b"")
    assert store.list("z") == ["z/1/x", "z/2"]
    assert store.list() == ["top", "z/1/x", "z/2", "zz/3"]
    assert store.list("nothing") == []
    assert store.folders() == ["z", "zz"]
    assert store.folders("z") == ["1"]
    assert store.folders("nothing") == []


def test_delete_and_exists(store):
    store.put_new("a/one", b"1")
    store.put_new("a/b/two", b"2")
    assert store.exists("a/one")
    store.delete("a/one")
    assert not store.exists("a/one")
    assert store.list() == ["a/b/two"]
    with pytest.raises(FileNotFoundError):
        store.delete("a/one")


def test_deleting_the_last_file_of_a_local_folder_removes_the_folder(tmp_path):
    store = Store(tmp_path / "store")
    store.put_new("zoos/x/shards/one", b"1")
    store.delete("zoos/x/shards/one")
    assert store.folders() == []
    assert Path(store.uri).is_dir()


def test_missing_object_is_file_not_found(store):
    for read in (store.read, store.size):
        with pytest.raises(FileNotFoundError):
            read("nothing")


def test_full_uris_of_the_store_are_taken_and_others_refused(store):
    uri = store.join("reports", "x", "report.html")
    assert uri.startswith(store.uri + "/")
    store.put(uri, b"page")
    assert store.read("reports/x/report.html") == b"page"
    assert store.exists(uri)
    for outside in ("/etc/passwd", "../other", "a/../../b", store.uri + "x/y", "s3://elsewhere/x"):
        with pytest.raises(ValueError, match="not in store"):
            store.read(outside)


def test_a_local_store_has_one_address_however_it_is_named(tmp_path, monkeypatch):
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    for name in ("../there", "./../there/", f"file://{tmp_path}/there", str(tmp_path / "here" / ".." / "there")):
        assert Store(name).uri == str(tmp_path / "there")
    Store("../there").put_new("a/b", b"1")
    assert Store(tmp_path / "there").list() == Store("../there").list() == ["a/b"]


def test_pickled_store_is_the_same_store(store):
    store.put_new("x", b"1")
    assert pickle.loads(pickle.dumps(store)).read("x") == b"1"


def test_local_uri_is_absolute_and_home_is_expanded(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert Store("./here").uri == str(tmp_path / "here")
    assert Store("~/zoos").uri == str(tmp_path / "home/zoos")
    assert Store("./here").is_local
    assert not Store("memory://x").is_local


def test_one_of_many_concurrent_writers_wins(tmp_path):
    store = Store(tmp_path)
    barrier, won = threading.Barrier(8), []

    def write(number):
        barrier.wait()
        if store.put_new("race", bytes([number]) * 100_000):
            won.append(number)

    threads = [threading.Thread(target=write, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(won) == 1
    assert store.read("race") == bytes(won) * 100_000
    assert os.listdir(tmp_path) == ["race"]


def test_crash_while_writing_leaves_nothing_that_looks_finished(tmp_path, monkeypatch):
    class Killed(BaseException):
        pass

    def die(*_):
        raise Killed

    store = Store(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", die)
        with pytest.raises(Killed):
            store.put_new("zoo/shard", b"data")
    assert [name.endswith(PARTIAL_SUFFIX) for name in os.listdir(tmp_path / "zoo")] == [True]
    assert not store.exists("zoo/shard")
    assert store.list() == []
    assert store.put_new("zoo/shard", b"data")
    assert len(store.delete_partial("zoo")) == 1
    assert os.listdir(tmp_path / "zoo") == ["shard"]


def test_folder_that_another_process_finds_empty_and_removes(tmp_path, monkeypatch):
    original, removals = Path.mkdir, []

    def mkdir(self, *arguments, **options):
        original(self, *arguments, **options)
        if len(removals) < 3 and self.name == "zoo":
            removals.append(self.rmdir())

    monkeypatch.setattr(Path, "mkdir", mkdir)
    assert Store(tmp_path).put_new("zoo/shard", b"data")
    assert len(removals) == 3
    assert Store(tmp_path).read("zoo/shard") == b"data"


def test_two_find_out_at_once_whether_they_may_write(tmp_path, monkeypatch):
    original = Store.delete

    def late(self, path):
        monkeypatch.setattr(Store, "delete", original)
        self.check_writable("zoos/one")  # the other one, from beginning to end
        original(self, path)

    monkeypatch.setattr(Store, "delete", late)
    Store(tmp_path).check_writable("zoos/one")
    assert os.listdir(tmp_path) == [], "nothing is left of it"


def test_file_systems_without_hard_links(tmp_path, monkeypatch):
    def refuse(*_):
        raise OSError(errno.EPERM, "no links here")

    monkeypatch.setattr(os, "link", refuse)
    store = Store(tmp_path)
    assert store.put_new("x", b"first")
    assert not store.put_new("x", b"second")
    assert store.read("x") == b"first"
    assert os.listdir(tmp_path) == ["x"]


def test_unwritable_store_names_the_path_and_the_remedy(tmp_path):
    (tmp_path / "file").write_text("in the way")
    store = Store(tmp_path / "file")
    for put in (store.put, store.put_new):
        with pytest.raises(ZooError, match=r"cannot write .*file/x/y.*choose another store"):
            put("x/y", b"data")


def test_full_disk_leaves_nothing(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(ZooError, match="No space left"):
        Store(tmp_path).put_new("x", b"data")
    assert os.listdir(tmp_path) == []


def test_bad_store_uris():
    with pytest.raises(ValueError, match=r"Store\.uri is empty"):
        Store("")
    with pytest.raises(ZooError, match=r"cannot open store 'nosuch://x'.*fsspec URI"):
        Store("nosuch://x")
