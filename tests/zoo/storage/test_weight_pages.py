import contextlib
import io
import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from zoo.storage.errors import ZooError
from zoo.storage.shards import _serialize, read_shard
from zoo.storage.weight_pages import decode, is_decodable, is_zstd
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


def decoded(content, total, first, values):
    values_N = np.empty(values, dtype=np.float32)
    decode(content, total, first, values_N)
    return values_N.view(np.uint32)


@pytest.mark.parametrize(("rows", "parameters"), [(1, 3), (3, 1), (41, 7), (200, 64), (9, 4970)])
@pytest.mark.parametrize(
    "options", [{}, {"data_page_size": 500, "write_batch_size": 16}, {"write_page_checksum": False}]
)
def test_values_are_those_that_were_written_to_the_last_bit(rows, parameters, options):
    weights_MP, chunk, content = a_column(rows, parameters, **options)
    assert is_decodable(chunk)
    assert is_zstd(content)
    expected = weights_MP.reshape(-1).view(np.uint32)
    assert np.array_equal(decoded(content, len(expected), 0, len(expected)), expected)
    for first, end in [(0, 1), (len(expected) - 1, len(expected)), (len(expected) // 3, 2 * len(expected) // 3)]:
        part = decoded(memoryview(content), len(expected), first, end - first)
        assert np.array_equal(part, expected[first:end])


def test_pages_that_hold_nothing_wanted_are_not_looked_into():
    weights_MP, _, content = a_column(200, 64, data_page_size=500, write_batch_size=64)
    spoiled = bytearray(content)
    spoiled[-1] ^= 1
    first_N = decoded(bytes(spoiled), weights_MP.size, 0, 640)
    assert np.array_equal(first_N, weights_MP.reshape(-1)[:640].view(np.uint32))
    with pytest.raises(OSError, match="does not have its checksum"):
        decoded(bytes(spoiled), weights_MP.size, 0, weights_MP.size)


def test_a_flipped_bit_is_found_or_does_no_harm():
    weights_MP, _, content = a_column(20, 5)
    expected = weights_MP.reshape(-1).view(np.uint32)
    found = 0
    for bit in range(8 * len(content)):
        spoiled = bytearray(content)
        spoiled[bit // 8] ^= 1 << bit % 8
        try:
            assert np.array_equal(decoded(bytes(spoiled), len(expected), 0, len(expected)), expected), bit
        except OSError:
            found += 1
    assert found > 7.9 * len(content) - 8 * 32, "all but some of the page header, which has no checksum"


def test_a_flipped_bit_in_a_page_before_moves_no_values():
    weights_MP, _, content = a_column(40, 16, data_page_size=500, write_batch_size=16)
    expected = weights_MP.reshape(-1).view(np.uint32)[600:]
    for bit in range(8 * 40):
        spoiled = bytearray(content)
        spoiled[bit // 8] ^= 1 << bit % 8
        with contextlib.suppress(OSError):
            assert np.array_equal(decoded(bytes(spoiled), weights_MP.size, 600, 40), expected), bit


@pytest.mark.parametrize("header", [
    b"\x15" + b"\xff" * 1000,  # a type of 7 000 bits
    b"\x15\x00\x15" + b"\xfe" * 8 + b"\x01\x15\x64\x2c\x15\xc8\x01\x15\x12\x00\x00" + b"content" * 100,  # 2**55 bytes
])  # fmt: skip
def test_sizes_beyond_reason_take_neither_time_nor_memory(header):
    with pytest.raises(OSError, match=r"a page header of the weights is damaged: ValueError.*(64 bits|100 values in)"):
        decoded(header, 100, 0, 100)


@pytest.mark.parametrize("keep", [0, 1, 20, 0.5, 0.999])
def test_truncated_content_is_found(keep):
    weights_MP, _, content = a_column(20, 5)
    with pytest.raises(OSError, match="damaged"):
        decoded(
            content[: keep if isinstance(keep, int) else int(keep * len(content))], weights_MP.size, 0, weights_MP.size
        )


def test_more_values_than_there_are():
    _, _, content = a_column(20, 5)
    for first, count in ((1, 100), (-1, 100), (-1, 1), (100, 1)):
        with pytest.raises(ValueError, match=f"values {first} to .* are wanted; there are 0 to 99"):
            decoded(content, 100, first, count)
    with pytest.raises(OSError, match="they have 100 values, not 101"):
        decoded(content, 101, 0, 100)


@pytest.mark.parametrize("values", [[[1.0, None], [3.0, 4.0]], [None, [3.0, 4.0]]])
def test_weights_that_are_null_are_refused(values):
    chunk, content = written(pa.array(values, pa.list_(pa.float32(), 2)))
    with pytest.raises(OSError, match="some are null"):
        decoded(content, chunk.num_values, 0, 3)


OTHERWISE = [
    {"compression": "snappy"},
    {"column_encoding": None},
    {"column_encoding": None, "use_dictionary": True},
    {"data_page_version": "2.0"},
]


@pytest.mark.parametrize("options", OTHERWISE)
def test_what_shards_are_not_written_like(options):
    _, chunk, content = a_column(20, 5, **options)
    assert not (is_decodable(chunk) and is_zstd(content))


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


BY_PLANES = {"column_encoding": {"weights.list.element": "BYTE_STREAM_SPLIT"}, "use_dictionary": ["split"]}


@pytest.mark.parametrize(
    "options",
    [
        {"compression": "snappy"},
        {"compression": "snappy", **BY_PLANES},
        {"compression": "zstd", "data_page_version": "2.0", **BY_PLANES},
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


def test_any_rows_in_any_order_are_those_that_arrow_reads(zoo_copy, monkeypatch):
    reader = rewritten(zoo_copy, lambda table: _serialize(table, 9))._reader
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


def test_a_footer_with_a_flipped_bit_is_found_or_does_no_harm(zoo_copy):
    entry = zoo_copy.manifest.shards[1]
    file = Path(zoo_copy.uri, "shards", entry.name)
    whole, rows = file.read_bytes(), np.arange(entry.rows) + entry.rows
    expected = zoo_copy._reader.weights(rows)
    # Of the weights: codec, number of values, sizes and place; of the row group: number of rows; a column's name.
    chunk = whole.rindex(b"element\x15\x0c") + len("element")
    group = whole.index(bytes([0x16, 2 * entry.rows, 0x26]), chunk)
    name = whole.index(b"learning_rate", len(whole) - int.from_bytes(whole[-8:-4], "little"))
    found = 0
    for place in (*range(chunk, chunk + 16), group, group + 1, name):
        for bit in range(8):
            spoiled = bytearray(whole)
            spoiled[place] ^= 1 << bit
            file.write_bytes(spoiled)
            try:
                assert np.array_equal(Zoo.open(zoo_copy.uri)._reader.weights(rows), expected), (place, bit)
            except ZooError:
                found += 1
    assert found > 100


def test_there_are_no_rows_before_the_first_or_beyond_the_last(small_zoo):
    for row in (-1, 192):
        with pytest.raises(IndexError, match=f"rows go from {row} to {row}; allowed: 0 to 191"):
            small_zoo._reader.weights(np.array([row]))
