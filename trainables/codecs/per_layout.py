"""A zoo of several parameter layouts: a codec for each, behind one face."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from torch import Tensor

from trainables.codecs.cells import Numbers, numbers_of
from trainables.codecs.codec import Codec
from zoo.architecture import Architecture
from zoo.config import to_json
from zoo.population import Population

LAYOUTS_FILE = "layouts.json"


@dataclass(frozen=True)
class PerLayout:
    """Hands each population to the codec of its layout, whose number is a payload's first byte.

    Attributes:
        architectures: One of each layout.
        codecs: For each layout its codec.
    """

    architectures: tuple[Architecture, ...]
    codecs: tuple[Codec, ...]

    def __post_init__(self) -> None:
        if len(self.codecs) > 256:
            raise ValueError(f"there are {len(self.codecs)} layouts; allowed: at most 256. Take a part of the zoo")

    @property
    def name(self) -> str:
        """That of its codecs."""
        return self.codecs[0].name

    @property
    def shared_bytes(self) -> int:
        """Of all of them: the receiver must be able to read any payload."""
        return sum(codec.shared_bytes for codec in self.codecs)

    def compress(self, population: Population) -> bytes:
        """See :class:`trainables.codecs.codec.Codec`.

        Raises:
            ValueError: The population is of none of the layouts, empty, or not finite.
        """
        number = self._number(population)
        return bytes([number]) + self.codecs[number].compress(population)

    def _number(self, population: Population) -> int:
        for number, architecture in enumerate(self.architectures):
            if architecture.layout == population.architecture.layout:
                return number
        raise ValueError(
            f"the population has {population.parameters} parameters in another layout than any of the codec's "
            f"{len(self.codecs)}; fit a codec on a zoo with its layout"
        )

    def numbers(self, population: Population) -> Numbers:
        """See :class:`trainables.codecs.cells.InCells`."""
        return numbers_of(self.codecs[self._number(population)], population)

    def decompress(self, payload: bytes) -> Tensor:
        """See :class:`trainables.codecs.codec.Codec`.

        Raises:
            ValueError: The payload is corrupted or truncated.
        """
        if not payload or payload[0] >= len(self.codecs):
            raise ValueError(
                f"a payload of {len(payload)} bytes names no layout of the codec; it is corrupted or truncated"
            )
        return self.codecs[payload[0]].decompress(payload[1:])

    def to_files(self) -> dict[str, bytes]:
        """The files of each codec behind its number, and the layouts."""
        files = {
            f"{number}-{name}": content
            for number, codec in enumerate(self.codecs)
            for name, content in codec.to_files().items()
        }
        return {**files, LAYOUTS_FILE: json.dumps(to_json(self.architectures)).encode()}

    @staticmethod
    def left(files: Mapping[str, bytes]) -> bool:
        """Whether the files are of a codec for several layouts."""
        return LAYOUTS_FILE in files

    @classmethod
    def from_files(cls, files: Mapping[str, bytes], load: Callable[[Mapping[str, bytes]], Codec]) -> PerLayout:
        """The inverse of :meth:`to_files`, given what loads one codec."""
        architectures = tuple(Architecture.from_json(value) for value in json.loads(files[LAYOUTS_FILE]))
        codecs = []
        for number in range(len(architectures)):
            prefix = f"{number}-"
            own = {name.removeprefix(prefix): content for name, content in files.items() if name.startswith(prefix)}
            codecs.append(load(own))
        return cls(architectures, tuple(codecs))
