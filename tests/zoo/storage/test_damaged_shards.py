"""Shards as others write them, and shards of which a bit has changed: right weights or an error, never wrong ones."""

import io
import json
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch

from zoo.storage.errors import ZooError
from zoo.storage.shards import METADATA_PREFIX, _serialize, checksums, read_shard
from zoo.storage.zoo import Zoo


def rewritten(zoo, encode):
    """The zoo with its second shard as ``encode(table)`` writes it."""
    manifest = Path(zoo.uri, "manifest-0001.json")
    value = json.loads(manifest.read_text())
    file = Path(zoo.uri, "shards", value["shards"][1]["name"])
    data = encode(read_shard(file.read_bytes(), "")[1])
    file.write_bytes(data)
    value["shards"][1] |= {"size_bytes": len(data), **checksums(data, pq.read_metadata(io.BytesIO(data)))}
    manifest.write_text(json.dumps(value))
    return Zoo.open(zoo.uri)


BY_PLANES = {"column_encoding": {"weights.list.element": "BYTE_STREAM_SPLIT"}, "use_dictionary": ["split"]}


@pytest.mark.parametrize(
    "options",
    [
        {"compression": "snappy", "use_dictionary": ["split"]},
        {"compression": "snappy", **BY_PLANES},
        {"compression": "zstd", "data_page_version": "2.0", **BY_PLANES},
        {"compression": "zstd", "data_page_size": 500, "write_batch_size": 16, **BY_PLANES},
    ],
)
def test_zoos_written_otherwise_are_read_all_the_same(small_zoo, zoo_copy, options):
    def with_options(table):
        buffer = io.BytesIO()
        pq.write_table(table, buffer, row_group_size=7, **options)
        return buffer.getvalue()

    zoo = rewritten(zoo_copy, with_options)
    for members in (None, [16], [19, 30]):
        there, here = zoo.population(members=members), small_zoo.population(members=members)
        assert torch.equal(there.weights_MP, here.weights_MP)
        assert there.members == here.members


def test_any_rows_in_any_order(small_zoo, zoo_copy):
    reader = rewritten(zoo_copy, lambda table: _serialize(table, 9))._reader
    assert [reader.footer(shard).num_row_groups for shard in (0, 1)] == [1, 6]
    whole_MP = small_zoo.population(epochs=[0, 1, 2], include_diverged=True).weights_MP.numpy()
    generator = np.random.default_rng(0)
    every = np.arange(192)
    for rows in (every, every[::-1], every[::3], generator.permutation(192), generator.integers(0, 192, 50)):
        assert np.array_equal(reader.weights(rows).view(np.uint32), whole_MP[rows].view(np.uint32))
    assert len(reader.weights(every[:0])) == 0
    for group in range(6):
        start = 48 + 9 * group
        assert np.array_equal(reader.row_group(1, group), whole_MP[start : min(start + 9, 96)])


def test_there_are_no_rows_before_the_first_or_beyond_the_last(small_zoo):
    for row in (-1, 192):
        with pytest.raises(IndexError, match=f"rows go from {row} to {row}; allowed: 0 to 191"):
            small_zoo._reader.weights(np.array([row]))


def test_a_flipped_bit_anywhere_is_found_or_does_no_harm(zoo_copy):
    """Every bit of page headers, footers and the places between them; of the pages some."""
    entry = zoo_copy.manifest.shards[1]
    file = Path(zoo_copy.uri, "shards", entry.name)
    whole, rows = file.read_bytes(), np.arange(entry.rows) + entry.rows
    expected = zoo_copy._reader.weights(rows)
    chunk = zoo_copy._reader.footer(1).row_group(0).column(zoo_copy._reader.footer(1).num_columns - 1)
    header = range(chunk.data_page_offset, chunk.data_page_offset + 64)
    end = chunk.data_page_offset + chunk.total_compressed_size
    pages = range(header.stop, end, 5003)
    footer = [*range(end, len(whole), 97), *range(len(whole) - 8, len(whole))]
    places = [(place, bit) for place in (*header, *pages, *footer) for bit in range(8)]
    for place, bit in places:
        spoiled = bytearray(whole)
        spoiled[place] ^= 1 << bit
        file.write_bytes(spoiled)
        with pytest.raises(ZooError, match="corrupted or truncated"):
            Zoo.open(zoo_copy.uri)._reader.weights(rows)
    for place in range(0, chunk.data_page_offset, 997):
        spoiled = bytearray(whole)
        spoiled[place] ^= 1
        file.write_bytes(spoiled)
        assert np.array_equal(Zoo.open(zoo_copy.uri)._reader.weights(rows), expected), "other columns"


@pytest.mark.parametrize("keep", [0, 1, 100, 0.5, 0.999])
def test_truncated_shards_are_found(zoo_copy, keep):
    entry = zoo_copy.manifest.shards[1]
    file = Path(zoo_copy.uri, "shards", entry.name)
    whole = file.read_bytes()
    file.write_bytes(whole[: keep if isinstance(keep, int) else int(keep * len(whole))])
    with pytest.raises(ZooError, match=f"{entry.name} is corrupted or truncated"):
        Zoo.open(zoo_copy.uri)._reader.weights(np.array([entry.rows]))


def test_what_a_shard_says_about_itself(small_zoo):
    header = small_zoo.header(2)
    assert header.digest == small_zoo.digest
    assert header.members == range(32, 48)
    metadata = pq.read_schema(Path(small_zoo.uri, "shards", small_zoo.manifest.shards[2].name)).metadata
    assert json.loads(metadata[f"{METADATA_PREFIX}environment".encode()]) == header.environment
