"""Removal of zoos and of what no manifest lists, and that nothing half removed looks whole."""

from pathlib import Path

import pytest

from zoo.generation.build import generate_zoo
from zoo.storage.catalog import list_zoos
from zoo.storage.errors import ZooError
from zoo.storage.removal import remove_folder, remove_unfinished, remove_zoo
from zoo.storage.store import Store
from zoo.storage.verify import verify
from zoo.storage.zoo import Zoo


def test_removal_keeps_what_any_manifest_lists(small_recipe, tmp_path):
    store = Store(tmp_path)
    generate_zoo(small_recipe, store, members=16)
    zoo = generate_zoo(small_recipe, store, members=20)
    listed = store.list()
    extra = f"zoos/{zoo.name}/shards/shard-0000020-0000032.parquet"
    store.put_new(extra, b"left by an interrupted extension")
    assert remove_unfinished(store, zoo.name) == [store.join(extra)]
    assert store.list() == listed
    assert remove_unfinished(store, zoo.name) == []
    assert verify(Zoo.open(zoo.uri)) == []


def test_what_is_unfinished_as_a_whole_is_not_removed_in_part(zoo_copy):
    Path(zoo_copy.uri, "manifest-0001.json").unlink()
    with pytest.raises(ZooError, match=f"`zooscale rm {zoo_copy.name} --store {zoo_copy.store.uri}` deletes it"):
        remove_unfinished(zoo_copy.store, zoo_copy.name)
    assert len(zoo_copy.store.list()) == 4


def test_a_zoo_goes_with_all_that_was_left_beside_it(zoo_copy):
    Path(zoo_copy.uri, "shards", ".shard-0000064.x.partial").write_bytes(b"half")
    remove_zoo(zoo_copy.store, zoo_copy.name)
    assert not Path(zoo_copy.uri).exists()
    assert Path(zoo_copy.store.uri).is_dir()


def test_a_zoo_whose_removal_was_interrupted_is_whole_or_unfinished(small_recipe, tmp_path, monkeypatch):
    store, delete = Store(tmp_path), Store.delete
    generate_zoo(small_recipe, store, members=16)
    name = generate_zoo(small_recipe, store, members=20).name
    seen, states = [], []

    def watched(self, path):
        (listing,) = list_zoos(self)
        states.append(listing.complete)
        if listing.complete:
            assert verify(Zoo.open(name, store=self)) == []
            seen.append(len(Zoo.open(name, store=self)))
        delete(self, path)

    monkeypatch.setattr(Store, "delete", watched)
    remove_zoo(store, name)
    assert seen == [20, 20], "never the smaller zoo that it once was"
    assert states == [True, True, False, False]


def test_a_folder_goes_after_what_makes_it_look_whole(tmp_path, monkeypatch):
    store, deleted = Store(tmp_path), []
    for name in ("a", "b", "z"):
        store.put_new(f"studies/x/{name}", b"")
    monkeypatch.setattr(Store, "delete", lambda self, path: deleted.append(path))
    remove_folder(store, "studies/x", first=["studies/x/z"])
    assert deleted == ["studies/x/z", "studies/x/a", "studies/x/b"]
