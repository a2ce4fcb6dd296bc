"""Shards with random damage, in a zoo and in one that is yet to be committed: the right rows or one clear error."""

import io
import random
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from zoo.generation.build import generate_zoo, plan_generation
from zoo.generation.commit import commit
from zoo.storage.errors import ZooError
from zoo.storage.shards import read_shard
from zoo.storage.store import Store
from zoo.storage.verify import verify
from zoo.storage.zoo import Zoo


@pytest.fixture(scope="module")
def recipe(small_recipe):
    """Six networks of three shards, so small that hundreds of damages take seconds."""
    return replace(small_recipe, members=6, shard_members=2, epochs=1, snapshot_epochs=(0, 1), evaluation_examples=10)


@pytest.fixture(scope="module")
def tiny_zoo(recipe, tmp_path_factory):
    return generate_zoo(recipe, Store(tmp_path_factory.mktemp("tiny")))


def damaged(whole, footer_bytes, chance):
    """The bytes of a shard of which some are changed, more often in its footer than elsewhere."""
    data = bytearray(whole)
    first = chance.choice([0, len(data) - footer_bytes, len(data) - footer_bytes])
    at, other = chance.randrange(first, len(data)), chance.randrange(first, len(data))
    match chance.randrange(5):
        case 0:
            data[at] ^= 1 << chance.randrange(8)
        case 1:
            data[at] = chance.randrange(256)
        case 2:
            data[at], data[other] = data[other], data[at]
        case 3:
            data[at : at + 20] = bytes(len(data[at : at + 20]))
        case 4:
            del data[at : at + chance.randrange(1, 30)]
    return bytes(data)


def contents(zoo):
    """All that a zoo holds: its table, and its weights."""
    weights_MP = zoo.population(epochs=zoo.recipe.snapshot_epochs, include_diverged=True).weights_MP.numpy()
    return zoo.members, weights_MP


def same(one, other):
    return one[0].equals(other[0]) and np.array_equal(one[1].view(np.uint32), other[1].view(np.uint32))


def attack(zoo, recipe, numbers):
    """Damages the second shard in many ways, one after the other; returns how many were found at commit."""
    expected, store, found, said = contents(zoo), zoo.store, 0, set()
    entry, manifest = zoo.manifest.shards[1], Path(zoo.uri, "manifest-0001.json")
    file, record = Path(zoo.uri, "shards", entry.name), manifest.read_bytes()
    whole = file.read_bytes()
    plan = plan_generation(recipe, store)
    try:
        for number in numbers:
            data = damaged(whole, entry.footer_bytes, random.Random(number))
            if data == whole:
                continue
            file.write_bytes(data)
            assert verify(zoo), f"damage {number} is not found"
            try:
                assert same(contents(Zoo.open(zoo.uri)), expected), f"damage {number} gives other rows"
            except ZooError as error:
                said.add(str(error))
            manifest.unlink()  # as after a generation that was interrupted
            try:
                assert same(contents(commit(replace(plan, previous=None), store)), expected), (
                    f"damage {number} gives other rows in a zoo that is committed with it"
                )
            except ZooError as error:
                found += 1
                said.add(str(error))
            manifest.write_bytes(record)
    finally:
        file.write_bytes(whole)
        manifest.write_bytes(record)
    assert [words for words in said if entry.name not in words or "delete" not in words] == []
    return found


def test_random_damage_is_found_or_does_no_harm(tiny_zoo, recipe):
    assert attack(tiny_zoo, recipe, range(150)) > 100


@pytest.mark.slow
def test_much_random_damage_is_found_or_does_no_harm(tiny_zoo, recipe):
    assert attack(tiny_zoo, recipe, range(150, 1500)) > 1000


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (
            lambda table: table.rename_columns({"train_loss": "train_lass"}),
            r"lacking: train_loss \(double\); too many: train_lass",
        ),
        (lambda table: table.set_column(0, table.schema.field(0), table["member"].take([2, 1, 0, 3])), "content hash"),
    ],
)
def test_a_shard_with_other_columns_or_rows_is_not_committed(tiny_zoo, recipe, tmp_path, change, words):
    store, entry = Store(tmp_path), tiny_zoo.manifest.shards[1]
    for path in tiny_zoo.store.list(f"zoos/{tiny_zoo.name}/shards"):
        data = tiny_zoo.store.read(path)
        if path.endswith(entry.name):
            (_, table), buffer = read_shard(data, ""), io.BytesIO()
            pq.write_table(change(table).replace_schema_metadata(table.schema.metadata), buffer)
            data = buffer.getvalue()
        store.put_new(path, data)
    with pytest.raises(ZooError, match=rf"{entry.name} is damaged: .*{words}.*; delete it, and run"):
        commit(plan_generation(recipe, store), store)
    assert not store.exists(f"zoos/{tiny_zoo.name}/manifest-0001.json")
