"""Decodes the weights column of a row group straight into the array where the weights are wanted.

Arrow needs twice as long: it reads the nesting level of every value to find out where rows begin, which a list of fixed
size without nulls says by itself, and copies the values twice more. What it reads here is what
:func:`zoo.storage.shards.encode_shard` writes: data pages of version 1 in zstd, levels in front of the values, values
by byte planes (https://parquet.apache.org/docs/file-format/). Shape letters: N values.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

Content = bytes | memoryview

# Of parquet.thrift: fields of PageHeader, and fields and values of what is in them.
TYPE, UNCOMPRESSED_SIZE, COMPRESSED_SIZE, CRC, DATA_PAGE_HEADER = 1, 2, 3, 4, 5
VALUES, ENCODING = 1, 2
DATA_PAGE, BYTE_STREAM_SPLIT = 0, 9
# Of Thrift's compact protocol: types of fields, and bits of the longest integer.
TRUE, FALSE, INTEGERS, BINARY, STRUCT = 1, 2, (4, 5, 6), 8, 12
INTEGER_BITS = 64
# How what zstd compressed begins.
ZSTD = b"\x28\xb5\x2f\xfd"
# Levels of both kinds take less than two bytes a value, and so many bytes at most that there are few of.
LEVEL_BYTES, MORE_BYTES = 2, 64


@dataclass(frozen=True, slots=True)
class Page:
    """One data page.

    Attributes:
        values: Number of its values.
        size: Its size when decompressed.
        crc: Checksum of the compressed content; ``None`` where there is none.
        content: The compressed content.
    """

    values: int
    size: int
    crc: int | None
    content: Content


def is_decodable(chunk: pq.ColumnChunkMetaData) -> bool:
    """Whether a column chunk is as shards are written, as far as its footer says; :func:`is_zstd` is the rest.

    Of its codec it is not asked: where a damaged footer names one that does not exist, pyarrow ends the process.
    """
    return (
        chunk.physical_type == "FLOAT"
        and set(chunk.encodings) == {"RLE", "BYTE_STREAM_SPLIT"}
        and not chunk.has_dictionary_page
    )


def is_zstd(content: Content) -> bool:
    """Whether a column chunk begins with a data page of version 1 in zstd; content that is damaged may not."""
    try:
        page, _ = _page(memoryview(content).cast("B"), 0)
    except OSError:
        return False
    return page.content[: len(ZSTD)] == ZSTD


def decode(content: Content, values: int, first: int, values_N: np.ndarray) -> None:
    """Decodes some of the values of a column chunk, in pages that hold any of them.

    Page headers have no checksum, so all are read: their numbers of values must add up.

    Args:
        content: The column chunk: its pages one after the other.
        values: How many values it has.
        first: The first value wanted.
        values_N: Where the values go, float32 without gaps; as many as it holds are wanted.

    Raises:
        OSError: The content is damaged, or not written as shards are.
        ValueError: It does not have all that are wanted.
    """
    end, start = first + len(values_N), 0
    if not 0 <= first <= end <= values:
        raise ValueError(f"values {first} to {end - 1} are wanted; there are 0 to {values - 1}")
    bytes_N4 = values_N.view(np.uint8).reshape(-1, 4)
    for page in _pages(memoryview(content).cast("B"), values):
        begin, stop = max(first, start), min(end, start + page.values)
        if begin < stop:
            planes_4N = _planes(page)[:, begin - start : stop - start]
            for place, plane_N in enumerate(planes_4N):
                bytes_N4[begin - first : stop - first, place] = plane_N
        start += page.values


def _pages(content: memoryview, values: int) -> list[Page]:
    """All pages of a column chunk of so many values."""
    pages, at = [], 0
    while at < len(content):
        page, at = _page(content, at)
        pages.append(page)
    found = sum(page.values for page in pages)
    if found != values:
        raise OSError(f"page headers of the weights are damaged: they have {found} values, not {values}")
    return pages


def _planes(page: Page) -> np.ndarray:
    """The values of a page as bytes ``[4, N]``: the lowest byte of each, then the next one of each."""
    if page.crc is not None and page.crc != zlib.crc32(page.content):
        raise OSError("a page of the weights does not have its checksum")
    data = pa.Codec("zstd").decompress(page.content, page.size)
    levels = memoryview(data)
    for _ in ("repetition", "definition"):
        levels = levels[4 + int.from_bytes(levels[:4], "little") :]
    if len(levels) != 4 * page.values:
        raise OSError(f"a page of the weights has {len(levels)} bytes for {page.values} values: some are null")
    return np.frombuffer(levels, np.uint8).reshape(4, -1)


def _page(content: memoryview, at: int) -> tuple[Page, int]:
    """The page that begins at a place, and where the next one does."""
    try:
        header, at = _struct(content, at)
        data_page = header[DATA_PAGE_HEADER]
        values, size, end = data_page[VALUES], header[UNCOMPRESSED_SIZE], at + header[COMPRESSED_SIZE]
        if header[TYPE] != DATA_PAGE or data_page[ENCODING] != BYTE_STREAM_SPLIT:
            raise ValueError(f"type {header[TYPE]}, encoding {data_page[ENCODING]}")
        most = (4 + LEVEL_BYTES) * values + MORE_BYTES
        if not (values > 0 and 0 < size <= most and at < end <= len(content)):
            raise ValueError(f"{values} values in {size} bytes, compressed bytes {at} to {end} of {len(content)}")
        crc = header.get(CRC)
        return Page(values, size, None if crc is None else crc & 0xFFFFFFFF, content[at:end]), end
    except (IndexError, KeyError, RecursionError, TypeError, ValueError) as error:
        raise OSError(f"a page header of the weights is damaged: {error!r}") from error


def _struct(data: memoryview, at: int) -> tuple[dict[int, Any], int]:
    """The Thrift struct that begins at a place: its fields by number, and where it ends."""
    fields: dict[int, Any] = {}
    number = 0
    while head := data[at]:
        at += 1
        kind, step = head & 15, head >> 4
        if not step:
            raise ValueError("fields out of order")
        number += step
        if kind in (TRUE, FALSE):
            fields[number] = kind == TRUE
        elif kind in INTEGERS:
            folded, at = _varint(data, at)
            fields[number] = (folded >> 1) ^ -(folded & 1)
        elif kind == BINARY:
            length, at = _varint(data, at)
            at += length
        elif kind == STRUCT:
            fields[number], at = _struct(data, at)
        else:
            raise ValueError(f"field {number} has type {kind}")
    return fields, at + 1


def _varint(data: memoryview, at: int) -> tuple[int, int]:
    """The integer that begins at a place, seven bits a byte, and where it ends."""
    value = 0
    for shift in range(0, INTEGER_BITS, 7):
        byte = data[at]
        value |= (byte & 127) << shift
        at += 1
        if byte < 128:
            return value, at
    raise ValueError(f"an integer of more than {INTEGER_BITS} bits")
