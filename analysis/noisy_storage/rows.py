"""Rows of networks read back from noisy cells, and from payloads with flipped bits, measured as codecs' are.

Shape letters: M members, P parameters.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from functools import cache, partial
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from analysis.compression.codecs import CODECS
from analysis.compression.setup import Setup
from analysis.measuring.evaluated import Evaluated, Made
from analysis.measuring.results import Measured, sizes
from analysis.measuring.rows import Row
from analysis.noisy_storage.bit_flips import PROTECTIONS, Protection, flipped
from analysis.noisy_storage.channel import CellChannel
from analysis.noisy_storage.mapping import DIGITAL_BITS_PER_CELL, MAPPINGS, read_back
from trainables.codecs.codec import Codec
from trainables.codecs.payloads import compressor, decompress
from zoo.metric import Metric

FAMILY = "noisy storage"
# Each network is written and read so many times; the spread is part of the intervals.
WRITES = 3
# Noisier cells, with one for each number: more cells of the published kind are like less noise.
NOISES = (2.0, 4.0, 8.0)
# Payloads whose bits flip, one a network: of a codec of numbers and of one of functions, at about equal agreement.
FLIPPED: Mapping[str, Mapping[str, Any]] = {"uniform": {"step": 0.6}, "function-metric": {"step": 0.02}}
BIT_ERROR_RATES = (1e-5, 1e-4, 1e-3, 1e-2)
CELLS_PER_WEIGHT = Metric(
    name="cells_per_weight",
    label="cells per weight",
    direction="min",
    description="Memory cells for each weight: analog ones, and those that hold digital bits, "
    f"{DIGITAL_BITS_PER_CELL:g} in each.",
)
CELL_NOISE = Metric(
    name="cell_noise",
    label="noise of a number's cells",
    direction="min",
    description="Deviation of the mean of the cells that hold a number, in deviations of the published phase-change "
    "cell.",
)
BIT_ERROR_RATE = Metric(
    name="bit_error_rate",
    label="share of bits that flip",
    # Not a "share": pages write those in percent with one decimal, and these lie below.
    unit="",
    direction="min",
    description="Probability with which each stored bit flips.",
)
LOST_SHARE = Metric(
    name="lost_share",
    label="networks lost",
    unit="share",
    direction="min",
    description="Share of the networks whose payload is not what it was, which its checksum tells; their weights "
    "are taken to be zero.",
)


class Cells(NamedTuple):
    """What holds a number.

    Attributes:
        number: How many analog cells.
        noise: Theirs, in that of the published cell.
    """

    number: int
    noise: float = 1.0

    @property
    def setting(self) -> str:
        """What tells rows apart."""
        return f"cells={self.number}" if self.noise == 1 else f"cells={self.number}, noise={self.noise:g}"

    @property
    def channel(self) -> CellChannel:
        """One of the cells."""
        return CellChannel(noise=self.noise)

    def given(self, cells_per_weight: float) -> dict[str, Measured]:
        """Sizes of networks that take so many of all cells for each weight."""
        return given((CELLS_PER_WEIGHT, cells_per_weight), (CELL_NOISE, self.noise / self.number**0.5))


NoisyNetworks = tuple[Tensor, Mapping[str, Measured]]
"""Weights ``[M, P]`` that were read, and the sizes of what they were stored in."""


def cells_of(numbers: Sequence[int]) -> list[Cells]:
    """So many cells each, and single ones that are noisier; none where there are no numbers.

    Raises:
        ValueError: A number is not a whole number above 0.
    """
    for number in numbers:
        if type(number) is not int or number < 1:
            raise ValueError(f"cells has {number!r}; allowed: whole numbers from 1 on, as in 1,2,4")
    if not numbers:
        return []
    return [*map(Cells, dict.fromkeys(numbers)), *(Cells(1, noise) for noise in NOISES)]


def noisy_rows(setup: Setup, cells: Sequence[Cells]) -> list[Row]:
    """Rows of every mapping with such cells for each weight, and of flipped bits; none without cells."""
    if not cells:
        return []
    rows = [_cell_row(setup, name, each) for name in MAPPINGS for each in cells]
    for codec, setting in FLIPPED.items():
        if CODECS[codec].obstacle(setup.architecture) is None:
            stored = cache(partial(_stored, setup, codec, setting))
            rows += [
                _flip_row(setup, codec, setting, stored, protection, rate)
                for protection in PROTECTIONS
                for rate in BIT_ERROR_RATES
            ]
    return rows


def _cell_row(setup: Setup, name: str, cells: Cells) -> Row:
    mapping, layout = MAPPINGS[name], setup.architecture.layout

    def read(write: int) -> NoisyNetworks:
        weights_MP = setup.original.population.weights_MP.numpy()
        found_MP = read_back(weights_MP, layout, mapping, cells.channel, cells.number, np.random.default_rng(write))
        return torch.from_numpy(found_MP), cells.given(mapping.cells_per_weight(layout, cells.number))

    content = {"mapping": dataclasses.asdict(mapping), "cells": cells}
    return noisy_row(setup, name, cells.setting, content, read)


Stored = tuple[Codec, list[bytes]]
"""A codec and the payloads of all members."""


def _stored(setup: Setup, name: str, setting: Mapping[str, Any]) -> Stored:
    codec = CODECS[name].codec(setup.fit_data, setting)
    population = setup.original.population
    compressed = compressor(codec, population)
    return codec, [compressed([row]) for row in range(len(population))]


def _flip_row(
    setup: Setup,
    codec: str,
    setting: Mapping[str, Any],
    stored: Callable[[], Stored],
    protection: Protection,
    rate: float,
) -> Row:
    content = {"codec": codec, "setting": dict(setting), "protection": protection.name, "bit_error_rate": rate}
    name = f"flipped bits of {codec}, {protection.name}"
    return noisy_row(setup, name, f"rate={rate:g}", content, partial(_flip, setup, stored, protection, rate))


def _flip(setup: Setup, stored: Callable[[], Stored], protection: Protection, rate: float, write: int) -> NoisyNetworks:
    """Every member's payload stored, read with flipped bits, and decoded."""
    population, generator = setup.original.population, np.random.default_rng(write)
    codec, payloads = stored()
    weights_MP, taken, lost = torch.zeros_like(population.weights_MP), 0, 0
    for row, payload in enumerate(payloads):
        kept = protection.protect(payload)
        taken += len(kept)
        if protection.correct(flipped(kept, rate, generator)) == payload:
            weights_MP[row] = decompress(codec, payload, len(population.architectures))[0][0]
        else:
            lost += 1
    bits_per_weight = 8 * taken / population.weights_MP.numel()
    return weights_MP, {
        **sizes(code_bits_per_weight=bits_per_weight, shared_bytes=codec.shared_bytes),
        **given(
            (CELLS_PER_WEIGHT, bits_per_weight / DIGITAL_BITS_PER_CELL),
            (BIT_ERROR_RATE, rate),
            (LOST_SHARE, lost / len(population)),
        ),
    }


def given(*values: tuple[Metric, float]) -> dict[str, Measured]:
    """Sizes by their metrics' names."""
    return {metric.name: Measured(metric=metric, estimate=value) for metric, value in values}


def noisy_row(
    setup: Setup,
    name: str,
    setting: str,
    content: Mapping[str, Any],
    read: Callable[[int], NoisyNetworks],
    *,
    trial: int | None = None,
) -> Row:
    """A row of networks read back ``WRITES`` times.

    Args:
        setup: What is measured.
        name: In tables.
        setting: What tells it from others of its name.
        content: What decides what is read.
        read: One writing, by its seed.
        trial: Of a study, where an autoencoder is its.
    """

    def make() -> Made:
        population, found = setup.original.population, [read(write) for write in range(WRITES)]
        own = {
            key: dataclasses.replace(one, estimate=float(np.mean([given[key].estimate for _, given in found])))
            for key, one in found[0][1].items()
        }
        return Made(populations=tuple(population.with_weights(weights_MP) for weights_MP, _ in found), sizes=own)

    evaluation = dataclasses.replace(setup.evaluation, others=())
    called: dict[str, Any] = {"name": name, "setting": setting, "family": FAMILY, "trial": trial}
    cut = Evaluated(
        name=name,
        make=make,
        evaluation=lambda: evaluation,
        original=lambda: setup.original,
        finish=lambda made, found: found.result(made, evaluation, **called),
        like=lambda: setup.original.population,
    )
    return Row.of(cut, **called, content=content)
