"""What the classical codecs have in common: the frame of a payload and the magnitude of each tensor.

Shape letters: M members, P parameters, T tensors.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Self

import numpy as np
import torch
from safetensors.numpy import load, save
from torch import Tensor

from trainables.codecs.codec import read_header, with_header
from zoo.architecture import TensorSpec
from zoo.config import to_json
from zoo.population import Population

# A scale is stored as a power of 2^(1/8): within 4.4 % of its value, from 2^-20 to 2^11.8.
SCALES_PER_OCTAVE, SCALE_BITS = 8, 8
LOWEST_OCTAVE = -20
ARRAYS_FILE, FACTS_FILE = "codec.safetensors", "codec.json"
LARGEST_FLOAT16 = float(np.finfo(np.float16).max)


@dataclass(frozen=True)
class WeightBlocks:
    """Frames payloads of one parameter layout; every classical codec extends it.

    Attributes:
        layout: The parameter layout.
    """

    layout: tuple[TensorSpec, ...]

    @property
    def parameters(self) -> int:
        """P."""
        return self.layout[-1].offset + self.layout[-1].size

    @property
    def shared_bytes(self) -> int:
        """Nothing but the program; codecs with tables of their own override this."""
        return 0

    def compress(self, population: Population) -> bytes:
        """Encodes all rows of a population as one payload.

        Raises:
            ValueError: The population is empty, of another layout, or holds non-finite weights.
        """
        weights_MP = self.checked(population)
        return with_header(len(weights_MP), self.encode(weights_MP))

    def checked(self, population: Population) -> np.ndarray:
        """The population's weights, if this codec can code them: float32 ``[M, P]``."""
        if not len(population):
            raise ValueError("the population is empty; a payload holds at least one member")
        if population.architecture.layout != self.layout:
            raise ValueError(
                f"the population has {population.parameters} parameters in another layout than the codec's "
                f"{self.parameters}; fit a codec on a population of its layout"
            )
        weights_MP = population.weights_MP.detach().cpu().float().contiguous().numpy()
        if not np.isfinite(weights_MP).all():
            raise ValueError("the population holds weights that are not finite; leave diverged members out")
        return weights_MP

    def decompress(self, payload: bytes) -> Tensor:
        """Decodes a payload into ``weights_MP`` float32.

        Raises:
            ValueError: The payload is corrupted or of another codec.
        """
        members, body = read_header(payload)
        weights_MP = self.decode(body, members)
        if weights_MP.shape != (members, self.parameters):
            raise ValueError(
                f"a payload of {len(payload)} bytes holds {weights_MP.size} weights; "
                f"expected {members} x {self.parameters}"
            )
        return torch.from_numpy(np.ascontiguousarray(weights_MP, dtype=np.float32))

    def to_files(self) -> dict[str, bytes]:
        """Its fields: arrays as safetensors, all else as JSON."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        arrays = {name: np.ascontiguousarray(value) for name, value in values.items() if isinstance(value, np.ndarray)}
        plain = {name: value for name, value in values.items() if name not in arrays}
        return {ARRAYS_FILE: save(arrays), FACTS_FILE: json.dumps(to_json(plain)).encode()}

    @classmethod
    def from_files(cls, files: Mapping[str, bytes]) -> Self:
        """The inverse of :meth:`to_files`."""
        facts = json.loads(files[FACTS_FILE])
        layout = tuple(
            TensorSpec(spec["name"], tuple(spec["shape"]), spec["offset"], spec["trainable"])
            for spec in facts["layout"]
        )
        return cls(**{**facts, "layout": layout, **load(files[ARRAYS_FILE])})

    def encode(self, weights_MP: np.ndarray) -> bytes:
        """The body of a payload: ``weights_MP`` float32, at least one row."""
        raise NotImplementedError

    def decode(self, body: bytes, members: int) -> np.ndarray:
        """The inverse of :meth:`encode`."""
        raise NotImplementedError


def tensor_of_parameter(layout: tuple[TensorSpec, ...]) -> np.ndarray:
    """For each parameter the number of its tensor, ``[P]``."""
    return np.repeat(np.arange(len(layout)), [spec.size for spec in layout])


def by_tensor(values_MP: np.ndarray, layout: tuple[TensorSpec, ...]) -> tuple[np.ndarray, ...]:
    """What there is for each parameter, tensor by tensor."""
    return tuple(values_MP[:, spec.span] for spec in layout)


def of_tensors(
    parts: Sequence[np.ndarray], layout: tuple[TensorSpec, ...], scale: np.ndarray | float = 1.0
) -> torch.Tensor:
    """The inverse of :func:`by_tensor`, times a scale: ``weights_MP`` float32."""
    values_MP = np.empty((len(parts[0]), layout[-1].offset + layout[-1].size))
    for part, spec in zip(parts, layout, strict=True):
        values_MP[:, spec.span] = part
    return torch.from_numpy((values_MP * scale).astype(np.float32))


def mean_magnitudes(weights_MP: np.ndarray, layout: tuple[TensorSpec, ...]) -> np.ndarray:
    """Mean absolute value of each tensor of each member, ``[M, T]``."""
    starts = [spec.offset for spec in layout]
    return np.add.reduceat(np.abs(weights_MP), starts, axis=1) / [spec.size for spec in layout]


def scale_codes(scales: np.ndarray) -> np.ndarray:
    """Scales as bytes, the nearest on a logarithmic grid; zero is stored as the smallest."""
    with np.errstate(divide="ignore"):
        octaves = np.log2(scales)
    return np.clip(np.rint((octaves - LOWEST_OCTAVE) * SCALES_PER_OCTAVE), 0, 255).astype(np.uint8)


def scales_of(codes: np.ndarray) -> np.ndarray:
    """The inverse of :func:`scale_codes`: float32 scales."""
    return np.exp2(codes.astype(np.float64) / SCALES_PER_OCTAVE + LOWEST_OCTAVE).astype(np.float32)


def halves(values: np.ndarray) -> np.ndarray:
    """The nearest numbers of float16; those beyond its range become its largest."""
    return np.clip(values, -LARGEST_FLOAT16, LARGEST_FLOAT16).astype("<f2")


def require_setting(condition: bool, name: str, value: object, allowed: str) -> None:
    """Raises a ``ValueError`` that names the setting, its value and what is allowed unless ``condition``."""
    if not condition:
        raise ValueError(f"{name} is {value!r}; allowed: {allowed}")


def take(body: bytes, size: int) -> tuple[bytes, bytes]:
    """Splits off the first ``size`` bytes.

    Raises:
        ValueError: There are fewer.
    """
    if len(body) < size:
        raise ValueError(f"a payload body of {len(body)} bytes ends before its first {size}; it is truncated")
    return body[:size], body[size:]
