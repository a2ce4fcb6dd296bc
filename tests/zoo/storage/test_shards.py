import collections
import dataclasses
import io
import itertools
import json

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.dataset
import pyarrow.parquet as pq
import pytest
import torch

from zoo.architecture import Architecture, mlp
from zoo.config import digest
from zoo.population import Member, single_architecture
from zoo.recipes import RECIPES
from zoo.storage.errors import ZooError
from zoo.storage.rows import (
    METRIC_COLUMNS,
    OPTIONAL_COLUMNS,
    booleans,
    content_hash,
    hash_number,
    integers,
    members_of,
    rows_at,
    schema_fault,
    shard_schema,
    split_of,
    sum_hashes,
    weights_of,
    weights_type,
)
from zoo.storage.shards import ShardContents, encode_shard, read_header, read_shard, row_group_rows

ARCHITECTURE = mlp((1, 8, 8), (16,), 10)
DATASET_SHA256 = "ab" * 32


def shard_bytes(small_recipe, *, first=0, end=4, seed=0, spoil=None, **more):
    """A shard with random weights; ``spoil(weights_MP, metrics)`` may plant what it likes."""
    members = [member for i in range(first, end) for member in [small_recipe.member(i)] * 3]
    generator = torch.Generator().manual_seed(seed)
    weights_MP = torch.randn(len(members), ARCHITECTURE.parameters, generator=generator)
    metrics = {name: np.linspace(0.1, 0.9, len(members)) for name in METRIC_COLUMNS}
    metrics["test_accuracy"] = metrics["test_accuracy"] / 2
    if spoil:
        spoil(weights_MP, metrics)
    contents = ShardContents(
        recipe=small_recipe,
        dataset_sha256=DATASET_SHA256,
        members=range(first, end),
        population=single_architecture(ARCHITECTURE, weights_MP, members, [0, 1, 2] * (end - first)),
        steps=[0, 31, 62] * (end - first),
        metrics=metrics,
    )
    return encode_shard(dataclasses.replace(contents, **more)), weights_MP, members


@pytest.mark.parametrize("varied", [(), ("weight_noise",), tuple(sorted(OPTIONAL_COLUMNS))])
def test_write_read_round_trip_is_exact(small_recipe, varied):
    axes = {name: [1, 2] if name == "adversarial_steps" else [0.1, 0.2] for name in varied}
    small_recipe = dataclasses.replace(small_recipe, axes={**small_recipe.axes, **axes})
    data, weights_MP, members = shard_bytes(small_recipe)
    header, table = read_shard(data, "here")
    assert list(members_of(table)) == members
    assert schema_fault(table.schema, ARCHITECTURE.parameters) == ""
    assert np.array_equal(weights_of(table["weights"]), weights_MP.numpy())
    expected = shard_schema(ARCHITECTURE.parameters, optional=varied)
    assert table.schema.equals(expected, check_metadata=False)
    frame = table.to_pandas()
    for field in dataclasses.fields(Member):
        column = "member" if field.name == "id" else field.name
        if column in OPTIONAL_COLUMNS and column not in varied:
            assert column not in frame
            continue
        assert frame[column].tolist() == [getattr(member, field.name) for member in members]
    assert frame.epoch.tolist() == [0, 1, 2] * 4
    assert frame.step.tolist() == [0, 31, 62] * 4
    assert set(frame.dataset) == {"digits"}
    assert set(frame.activation) == {"relu"}
    assert frame.split.tolist() == [split_of(member.id, small_recipe.block_members) for member in members]
    assert np.allclose(frame.generalization_gap, frame.train_accuracy - frame.test_accuracy)
    assert not frame.diverged.any()
    assert header.members == range(4)
    assert header.architecture == ARCHITECTURE
    assert header.digest == small_recipe.digest(DATASET_SHA256)


def test_rows_of_a_table(small_recipe):
    _, table = read_shard(shard_bytes(small_recipe, end=60)[0], "here")
    generator = np.random.default_rng(0)
    for places in (np.arange(180), np.arange(7, 9), np.array([5]), np.arange(0, 180, 3), generator.permutation(180)):
        assert rows_at(table, places).equals(table.take(pa.array(places)))
    assert rows_at(table, np.arange(0)).equals(table.slice(0, 0))


def test_columns_as_arrays(small_recipe):
    def spoil(weights_MP, metrics):
        weights_MP[::7, 3] = float("nan")

    _, table = read_shard(shard_bytes(small_recipe, end=60, spoil=spoil)[0], "here")
    parts = pa.concat_tables([table.slice(3, 40), table.slice(101, 5), table.slice(0, 0), table.slice(50)])
    assert booleans(parts["diverged"]).tolist() == parts["diverged"].to_pylist()
    assert integers(parts["member"]).tolist() == parts["member"].to_pylist()
    assert not len(booleans(parts["diverged"].slice(0, 0)))
    assert not len(integers(parts["member"].slice(0, 0)))


def test_bytes_are_deterministic_and_depend_on_the_content(small_recipe):
    assert shard_bytes(small_recipe)[0] == shard_bytes(small_recipe)[0]
    assert shard_bytes(small_recipe)[0] != shard_bytes(small_recipe, seed=1)[0]


def test_member_count_of_the_recipe_does_not_enter_the_bytes(small_recipe):
    more = dataclasses.replace(small_recipe, members=1000)
    assert shard_bytes(small_recipe)[0] == shard_bytes(more)[0]


def test_physical_layout(small_recipe):
    data, _, _ = shard_bytes(small_recipe, end=200)
    file = pq.ParquetFile(io.BytesIO(data))
    assert file.schema_arrow.field("weights").type == weights_type(ARCHITECTURE.parameters)
    assert not file.schema_arrow.field("weights").type.value_field.nullable
    assert file.num_row_groups > 1
    rows = row_group_rows(ARCHITECTURE.parameters, 3)
    assert rows % 3 == 0, "a member lies in one row group"
    for group in range(file.num_row_groups):
        metadata = file.metadata.row_group(group)
        columns = {metadata.column(i).path_in_schema: metadata.column(i) for i in range(metadata.num_columns)}
        weights = columns["weights.list.element"]
        assert "BYTE_STREAM_SPLIT" in weights.encodings
        assert weights.dictionary_page_offset is None
        assert weights.compression == "ZSTD"
        assert weights.total_uncompressed_size < 1 << 19
        assert metadata.num_rows == rows or group == file.num_row_groups - 1
        assert columns["member"].statistics.has_min_max
        assert columns["member"].compression == "UNCOMPRESSED"
    assert len(data) < 0.95 * 4 * ARCHITECTURE.parameters * 600


def test_row_groups_hold_at_least_one_member_and_stay_small():
    assert row_group_rows(100, 8) * 4 * 100 <= 1 << 19
    assert row_group_rows(10_000_000, 6) == 6


def test_metadata_is_readable_json_for_any_reader(small_recipe):
    data, _, _ = shard_bytes(small_recipe)
    raw = pq.read_schema(io.BytesIO(data)).metadata
    assert Architecture.from_json(json.loads(raw[b"zooscale.architecture"])) == ARCHITECTURE
    assert json.loads(raw[b"zooscale.schema_version"]) == 3
    recipe = json.loads(raw[b"zooscale.recipe"])
    assert recipe["axes"]["learning_rate"] == small_recipe.axes["learning_rate"].to_json()
    assert digest({"recipe": recipe, "dataset_sha256": DATASET_SHA256}) == json.loads(raw[b"zooscale.digest"])
    environment = json.loads(raw[b"zooscale.environment"])
    assert environment["libraries"]["torch"] == torch.__version__
    assert set(environment) == {"python", "libraries", "backend", "machine", "cpu_capability", "cpu_flags"}


def test_other_readers(small_recipe, tmp_path):
    data, weights_MP, _ = shard_bytes(small_recipe)
    (tmp_path / "shard.parquet").write_bytes(data)
    frame = pd.read_parquet(tmp_path / "shard.parquet")
    assert np.array_equal(np.stack(frame["weights"]), weights_MP.numpy())
    scanned = pyarrow.dataset.dataset(tmp_path, format="parquet").to_table(
        columns=["epoch"], filter=pyarrow.dataset.field("member") == 2
    )
    assert scanned["epoch"].to_pylist() == [0, 1, 2]


def test_snapshots_that_are_not_finite_are_marked(small_recipe):
    def spoil(weights_MP, metrics):
        weights_MP[1, 7] = float("nan")
        weights_MP[2, 7] = float("inf")
        metrics["validation_loss"][4] = float("nan")

    data, _, _ = shard_bytes(small_recipe, spoil=spoil)
    _, table = read_shard(data, "here")
    assert np.flatnonzero(table["diverged"].to_numpy()).tolist() == [1, 2, 4]
    assert np.isnan(table["validation_loss"].to_numpy()[4])
    assert np.isnan(weights_of(table["weights"])[1, 7])


@pytest.mark.parametrize("keep", [0, 3, 100, 0.5, 0.999])
def test_truncated_shard_is_named(small_recipe, keep):
    data, _, _ = shard_bytes(small_recipe)
    cut = data[: keep if isinstance(keep, int) else int(keep * len(data))]
    with pytest.raises(ZooError, match=r"store/shard-x is corrupted or truncated .*zooscale verify"):
        read_shard(cut, "store/shard-x")


def test_flipped_bit_in_the_weights_is_found(small_recipe):
    data, _, _ = shard_bytes(small_recipe)
    spoiled = bytearray(data)
    spoiled[len(data) // 2] ^= 1
    with pytest.raises(ZooError, match=r"store/shard-x is corrupted"):
        read_shard(bytes(spoiled), "store/shard-x")


def test_files_that_are_no_shards():
    buffer = io.BytesIO()
    pq.write_table(pa.table({"a": [1]}), buffer)
    with pytest.raises(ZooError, match="is no shard of a zoo"):
        read_shard(buffer.getvalue(), "here")


def test_other_schema_version_says_so(small_recipe):
    schema = read_shard(shard_bytes(small_recipe)[0], "here")[1].schema
    other = schema.with_metadata(schema.metadata | {b"zooscale.schema_version": b"99"})
    with pytest.raises(ZooError, match="here has schema version 99; this release reads 3"):
        read_header(other, "here")


def test_content_hash_covers_ids_specs_and_weights_and_nothing_else(small_recipe):
    recipe = dataclasses.replace(small_recipe, axes={**small_recipe.axes, "training_fraction": 1.0})
    _, table = read_shard(shard_bytes(recipe)[0], "here")
    base = content_hash(table, ARCHITECTURE)

    def changed(column, value):
        values = table[column].to_pylist()
        values[5] = value
        index = table.schema.get_field_index(column)
        return content_hash(
            table.set_column(index, column, pa.array(values, table.schema.field(index).type)), ARCHITECTURE
        )

    changes = {"member": 99, "epoch": 9, "step": 9, "seed": 1, "dropout": 0.4, "dataset": "x", "task": "1-2"}
    for column, value in {**changes, "subset_size": 7, "imported": "{}"}.items():
        assert changed(column, value) != base, column
    assert changed("weights", [0.0] * ARCHITECTURE.parameters) != base
    assert content_hash(table, mlp((1, 8, 8), (16,), 10, activation="tanh")) != base
    for column in ("test_loss", "train_accuracy"):
        assert changed(column, 0.123) == base, column


def test_content_hashes_add_up_however_rows_are_divided(small_recipe):
    _, table = read_shard(shard_bytes(small_recipe)[0], "here")
    whole = content_hash(table, ARCHITECTURE)
    for cut in (1, 6, 11):
        assert sum_hashes([content_hash(table[:cut], ARCHITECTURE), content_hash(table[cut:], ARCHITECTURE)]) == whole
    assert sum_hashes(["f" * 64, f"{1:064x}"]) == "0" * 64


def test_splits_are_fixed_and_have_their_shares():
    splits = [split_of(block, 1) for block in range(26)]
    assert [block for block in range(26) if splits[block] == "validation"] == [3, 7, 18, 23]
    assert [block for block in range(26) if splits[block] == "test"] == [1, 6, 17, 24]
    shares = pd.Series([split_of(block, 1) for block in range(10_000)]).value_counts(normalize=True)
    assert shares["train"] == pytest.approx(0.70, abs=0.015)
    assert shares["validation"] == pytest.approx(0.15, abs=0.015)
    assert shares["test"] == pytest.approx(0.15, abs=0.015)
    assert hash_number("split", 3) != hash_number("epoch", 3)


@pytest.mark.parametrize("recipe", RECIPES.values(), ids=RECIPES)
def test_members_that_share_images_and_order_are_in_one_split(recipe):
    splits = {}
    for member in map(recipe.member, range(320)):
        shared = (member.order_seed, member.subset_seed, member.subset_index)
        splits.setdefault(shared, set()).add(split_of(member.id, recipe.block_members, member.task))
    if "seed" in recipe.axes:  # of a few seeds, what there is of them is by design in all splits
        assert len(splits) <= recipe.axes["seed"].count
    else:
        assert len(splits) == 320 // recipe.block_members
        assert all(len(found) == 1 for found in splits.values())


def test_tasks_go_by_their_classes():
    pairs = list(itertools.combinations(range(10), 2))
    splits = [split_of(7, 4, f"{a}-{b}") for a, b in pairs]
    assert collections.Counter(splits) == {"train": 31, "validation": 7, "test": 7}
    assert splits == [split_of(123, 16, f"{b}-{a}") for a, b in pairs]


def test_recipes_hold_out_as_much_as_they_say():
    pairs = [f"{label}-99" for label in range(99)]
    fewer, more = ([split_of(0, 1, task, held_out) for task in pairs] for held_out in (30, 52))
    assert fewer == [split_of(0, 1, task) for task in pairs]
    assert collections.Counter(more)["test"] >= 20
    assert all(other != "train" for split, other in zip(fewer, more, strict=True) if split != "train")
    recipe = RECIPES["cifar100-against-last"]
    assert recipe.held_out == 52
    with pytest.raises(ValueError, match="held_out is 100; allowed: a whole number, 2 to 98"):
        dataclasses.replace(recipe, held_out=100)


def test_what_is_not_known_of_an_imported_member_is_null(small_recipe):
    def spoil(weights_MP, metrics):
        weights_MP[4, 0] = float("nan")
        for name in METRIC_COLUMNS:
            metrics[name][[1, 4]] = float("nan")

    told = [f'{{"lr": {row}}}' for row in range(12)]
    unknown = [frozenset({"seed", "optimizer"})] * 12
    environment = {"python": "of another time"}
    data, _, members = shard_bytes(
        small_recipe, spoil=spoil, imported=told, unknown=unknown, environment=environment, steps=[None] * 12
    )
    header, table = read_shard(data, "here")
    assert table["imported"].to_pylist() == told
    for column in ("seed", "optimizer", "step"):
        assert table[column].null_count == 12
    assert table["learning_rate"].to_pylist() == [member.learning_rate for member in members]
    assert np.flatnonzero(table["diverged"].to_numpy()).tolist() == [4], "of weights, not of metrics nobody knows"
    assert header.environment == environment
    read = list(members_of(table))
    assert [member.learning_rate for member in read] == [member.learning_rate for member in members]
    assert {(member.seed, member.optimizer) for member in read} == {(0, "adam")}


def test_subsets_are_stored_per_member(small_recipe):
    subsets = [np.arange(row, row + 3, dtype=np.int32) for row in range(12)]
    _, table = read_shard(shard_bytes(small_recipe, subsets=subsets)[0], "here")
    assert table["subset"].to_pylist() == [subset.tolist() for subset in subsets]
    _, table = read_shard(shard_bytes(small_recipe)[0], "here")
    assert table["subset"].to_pylist() == [[]] * 12
