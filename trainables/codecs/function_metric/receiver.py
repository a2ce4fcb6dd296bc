"""The receiver's half of the function-metric codec: from bytes to symbols to weights.

Shape letters: M members, T tokens of a layer, K entries of a token, E step exponents of a network.
"""

from __future__ import annotations

import json
import struct
from dataclasses import dataclass

import numpy as np
from safetensors.numpy import load, save

from trainables.codecs.codec import read_header, with_header
from trainables.codecs.entropy import Decoder, Encoder, TableColumns
from trainables.codecs.function_metric.ordering import from_streams, sorted_symbols, stream_shapes, streams
from trainables.codecs.function_metric.transform import Symbols, Transform
from zoo.architecture import Architecture
from zoo.config import canonical_json


@dataclass(frozen=True)
class Receiver:
    """All that must be known to decode a payload.

    Attributes:
        transform: How symbols become weights.
        exponents: Distribution of the step exponents.
        layers: For each layer the distributions of its streams, as in the module ``ordering``.
    """

    transform: Transform
    exponents: TableColumns
    layers: tuple[tuple[TableColumns, ...], ...]

    @classmethod
    def fit(cls, transform: Transform, symbols: Symbols) -> Receiver:
        """Takes the distributions from training symbols."""
        layers = [
            tuple(TableColumns.fit(stream) for stream in streams(transform, index, layer))
            for index, layer in enumerate(sorted_symbols(transform, symbols).layers)
        ]
        return cls(transform, TableColumns.fit(symbols.exponents_ME), tuple(layers))

    def encode(self, symbols: Symbols) -> bytes:
        """The payload; hidden units are sorted."""
        encoder = Encoder()
        encoder.add(self.exponents, symbols.exponents_ME)
        for index, layer in enumerate(sorted_symbols(self.transform, symbols).layers):
            for table, stream in zip(self.layers[index], streams(self.transform, index, layer), strict=True):
                encoder.add(table, stream)
        return with_header(len(symbols.exponents_ME), encoder.finish())

    def decode(self, payload: bytes) -> Symbols:
        """The inverse of :meth:`encode`: sorted symbols."""
        members, body = read_header(payload)
        decoder = Decoder(body)
        exponents_ME = decoder.read(self.exponents, members)
        layers = []
        for index, shapes in stream_shapes(self.transform, members):
            read = [decoder.read(table, rows) for table, (rows, _) in zip(self.layers[index], shapes, strict=True)]
            layers.append(from_streams(self.transform, index, read, members))
        return Symbols(exponents_ME, tuple(layers))

    def to_bytes(self) -> bytes:
        """Everything as one safetensors file."""
        tables = {"exponents": self.exponents} | {
            f"{index}.{part}": table for index, parts in enumerate(self.layers) for part, table in enumerate(parts)
        }
        arrays = {name: np.frombuffer(table.to_bytes(), dtype=np.uint8) for name, table in tables.items()}
        settings = {
            "architecture": self.transform.architecture,
            "step": self.transform.step,
            "softmax": self.transform.softmax,
            "columns": {name: len(table.low) for name, table in tables.items()},
        }
        # One entry: safetensors does not keep the order of several.
        return save({**self.transform.stored, **arrays}, metadata={"receiver": canonical_json(settings)})

    @classmethod
    def from_bytes(cls, stored: bytes) -> Receiver:
        """The inverse of :meth:`to_bytes`."""
        (header_size,) = struct.unpack_from("<Q", stored)
        settings = json.loads(json.loads(stored[8 : 8 + header_size])["__metadata__"]["receiver"])
        arrays = load(stored)
        tables = {
            name: TableColumns.from_bytes(arrays.pop(name).tobytes(), columns)
            for name, columns in sorted(settings["columns"].items())
        }
        architecture = Architecture.from_json(settings["architecture"])
        exponents = tables.pop("exponents")
        transform = Transform(architecture, settings["step"], settings["softmax"], arrays)
        layers: list[tuple[TableColumns, ...]] = [() for _ in transform.layers]
        for name, table in tables.items():
            layers[int(name.partition(".")[0])] += (table,)
        return cls(transform, exponents, tuple(layers))
