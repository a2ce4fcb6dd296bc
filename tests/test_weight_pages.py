import io
import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from zoo.storage.shards import _serialise, read_shard
from zoo.storage.weight_pages import decode, is_decodable
from zoo.storage.zoo import Zoo


def a_column(rows, parameters, **options):
    """A file with one row group of random weights, some of them not finite: its weights, chunk and content."""
    generator = np.random.default_rng(rows * parameters)
    weights_MP = generator.standard_normal((rows, parameters), dtype=np.float32)
    weights_MP.flat[:3] = np.nan, -np.inf, -0.0
    column = pa.FixedSizeListArray.from_arrays(pa.array(weights_MP.reshape(-1)), parameters)
    return weights_MP, *written(column, **options)


def written(column, **options):
    settings = {"compression": "zstd", "use_dictionary": False, "write_page_checksum": True}
    settings["column_encoding"] = {"weights.list.element": "BYTE_STREAM_SPLIT"}
    buffer = io.BytesIO()
    pq.write_table(pa.table({"weights": column}), buffer, **settings | options)
    chunk = pq.ParquetFile(buffer).metadata.row_group(0).column(0)
    start = chunk.data_page_offset
    return chunk, buffer.getvalue()[start : start + chunk.total_compressed_size]


def decoded(content, first, values):
    values_N = np.empty(values, dtype=np.float32)
    decode(content, first, values_N)
    return values_N.view(np.uint32)


@pytest.mark.parametrize(("rows", "parameters"), [(1, 3), (3, 1), (41, 7), (200, 64), (9, 4970)])
@pytest.mark.parametrize(
    "options", [{}, {"data_page_size": 500, "write_batch_size": 16}, {"write_page_checksum": False}]
)
def test_values_are_those_that_were_written_to_the_last_bit(rows, parameters, options):
    weights_MP, chunk, content = a_column(rows, parameters, **options)
    assert is_decodable(chunk)
    expected = weights_MP.reshape(-1).view(np.uint32)
    assert np.array_equal(decoded(content, 0, len(expected)), expected)
    for first, end in [(0, 1), (len(expected) - 1, len(expected)), (len(expected) // 3, 2 * len(expected) // 3)]:
        assert np.array_equal(decoded(memoryview(content), first, end - first), expected[first:end])


def test_pages_that_hold_nothing_wanted_are_not_looked_into():
    weights_MP, _, content = a_column(200, 64, data_page_size=500, write_batch_size=64)
    spoiled = bytearray(content)
    spoiled[-1] ^= 1
    assert np.array_equal(decoded(bytes(spoiled), 0, 640), weights_MP.reshape(-1)[:640].view(np.uint32))
    with pytest.raises(OSError, match="does not have its checksum"):
        decoded(bytes(spoiled), 0, weights_MP.size)


def test_a_flipped_bit_is_found_or_does_no_harm():
    weights_MP, _, content = a_column(20, 5)
    expected = weights_MP.reshape(-1).view(np.uint32)
    found = 0
    for bit in range(8 * len(content)):
        spoiled = bytearray(content)
        spoiled[bit // 8] ^= 1 << bit % 8
        try:
            assert np.array_equal(decoded(bytes(spoiled), 0, len(expected)), expected), bit
        except OSError:
            found += 1
    assert found > 7.9 * len(content) - 8 * 32, "all but some of the page header, which has no checksum"


@pytest.mark.parametrize("keep", [0, 1, 20, 0.5, 0.999])
def test_truncated_content_is_found(keep):
    weights_MP, _, content = a_column(20, 5)
    with pytest.raises(OSError, match="damaged"):
        decoded(content[: keep if isinstance(keep, int) else int(keep * len(content))], 0, weights_MP.size)


def test_more_values_than_there_are():
    weights_MP, _, content = a_column(20, 5)
    with pytest.raises(OSError, match="damaged"):
        decoded(content, 1, weights_MP.size)


@pytest.mark.parametrize("values", [[[1.0, None], [3.0, 4.0]], [None, [3.0, 4.0]]])
def test_weights_that_are_null_are_refused(values):
    _, content = written(pa.array(values, pa.list_(pa.float32(), 2)))
    with pytest.raises(OSError, match="some are null"):
        decoded(content, 0, 3)


OTHERWISE = [
    {"compression": "snappy"},
    {"column_encoding": None},
    {"column_encoding": None, "use_dictionary": True},
]


@pytest.mark.parametrize("options", OTHERWISE)
def test_what_shards_are_not_written_like(options):
    assert not is_decodable(a_column(20, 5, **options)[1])


def test_pages_of_version_2_are_refused():
    _, _, content = a_column(20, 5, data_page_version="2.0")
    with pytest.raises(OSError, match="damaged"):
        decoded(content, 0, 100)


def rewritten(zoo, encode):
    """The zoo with its second shard as ``encode(table)`` writes it."""
    manifest = Path(zoo.uri, "manifest-0001.json")
    value = json.loads(manifest.read_text())
    entry = value["shards"][1]
    file = Path(zoo.uri, "shards", entry["name"])
    data = encode(read_shard(file.read_bytes(), "")[1])
    entry["size_bytes"] = file.write_bytes(data)
    manifest.write_text(json.dumps(value))
    return Zoo.open(zoo.uri)


def with_other_settings(table):
    buffer = io.BytesIO()
    pq.write_table(table, buffer, row_group_size=7, compression="snappy")
    return buffer.getvalue()


def test_zoos_written_otherwise_are_read_all_the_same(small_zoo, zoo_copy):
    zoo = rewritten(zoo_copy, with_other_settings)
    for members in (None, [16], [19, 30]):
        there, here = zoo.population(members=members), small_zoo.population(members=members)
        assert torch.equal(there.weights_MP, here.weights_MP)
        assert there.members == here.members


def test_any_rows_in_any_order_are_those_that_arrow_reads(zoo_copy, monkeypatch):
    reader = rewritten(zoo_copy, lambda table: _serialise(table, 9))._reader
    assert [reader.footer(shard).num_row_groups for shard in (0, 1)] == [1, 6]
    generator = np.random.default_rng(0)
    every = np.arange(192)
    for rows in (every, every[::-1], every[::3], generator.permutation(192), generator.integers(0, 192, 50), every[:0]):
        fast = reader.weights(rows)
        with monkeypatch.context() as patch:
            patch.setattr("zoo.storage.shard_reader.is_decodable", lambda _chunk: False)
            slow = reader.weights(rows)
        assert np.array_equal(fast.view(np.uint32), slow.view(np.uint32))
        assert len(fast) == len(rows)
