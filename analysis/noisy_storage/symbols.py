"""Symbols of codecs in analog cells in place of weights: of autoencoders, and of the function-metric transform.

Few numbers a network, so that each can have many cells. Symbols of codecs that round weights one by one are weights on
a grid, and rows of weights in cells are theirs.

Shape letters: M members, P parameters, Z numbers of a network.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cache, partial
from typing import cast

import numpy as np
import torch
from torch import Tensor

from analysis.codecs import CODECS
from analysis.noisy_storage.mapping import DIGITAL_BITS_PER_CELL, MAPPINGS, read_back
from analysis.noisy_storage.rows import Cells, NoisyNetworks, noisy_row
from analysis.rows import Row, fits_content, trial_setting
from analysis.setup import Setup
from trainables.autoencoders.autoencoder import Latent
from trainables.autoencoders.learned_codec import LearnedCodec
from trainables.codecs.codec import Codec
from trainables.codecs.function_metric.codec import MetricCodec
from trainables.codecs.function_metric.transform import Symbols
from trainables.study_files import StudyRecord
from zoo.architecture.layout import TensorSpec

LATENTS, SYMBOLS = "latents in cells", "function-metric in cells"
SETTING = {"step": 0.015}
MAPPING = MAPPINGS["sign protection"]
# A network's size in quarter octaves, or the exponent of a step, where it is told.
GAIN_BITS = 8


def latents_in_cells(
    study: StudyRecord, codecs: Mapping[int, Sequence[Codec]], setup: Setup, cells: Sequence[Cells]
) -> list[Row]:
    """A row for each trial of autoencoders with each kind of cells for a number of the latent.

    The first fit of a trial is taken. Symbols are written, where the codec has any, and read without being rounded;
    signs are protected.
    """
    return [
        noisy_row(
            setup,
            LATENTS,
            f"{trial_setting(study.config(trial))}, {each.setting}",
            {"latents": fits_content(study, trial, [fits[0]]), "cells": each},
            _reader(fits[0], setup, each),
            trial=trial,
        )
        for trial, fits in codecs.items()
        if isinstance(fits[0], LearnedCodec)
        for each in cells
    ]


def symbols_in_cells(setup: Setup, cells: Sequence[Cells]) -> list[Row]:
    """A row of the function-metric codec with each kind of cells for a symbol; signs and exponents are protected."""
    if not cells:
        return []
    entry = CODECS["function-metric"]
    if entry.obstacle(setup.architecture) is not None:
        return []

    @cache
    def stored() -> tuple[MetricCodec, Symbols]:
        codec = cast(MetricCodec, entry.codec(setup.fit_data, SETTING))
        return codec, codec.symbols(setup.original.population)

    def read(each: Cells, write: int) -> NoisyNetworks:
        codec, symbols = stored()
        members = len(symbols.exponents_ME)
        rows = [layer.reshape(members, -1) for layer in symbols.layers]
        layout = tuple(TensorSpec(str(place), (row.shape[1],), 0) for place, row in enumerate(rows))
        generator = np.random.default_rng(write)
        layers = [
            read_back(row, (spec,), MAPPING, each.channel, each.number, generator).reshape(layer.shape)
            for row, spec, layer in zip(rows, layout, symbols.layers, strict=True)
        ]
        weights_MP = codec.receiver.transform.weights(Symbols(symbols.exponents_ME, tuple(layers)))
        numbers, exponents = sum(spec.size for spec in layout), symbols.exponents_ME.shape[1]
        taken = MAPPING.cells_per_weight(layout, each.number) * numbers + exponents * GAIN_BITS / DIGITAL_BITS_PER_CELL
        return weights_MP, each.given(taken / setup.architecture.parameters)

    return [
        noisy_row(
            setup, SYMBOLS, f"step={SETTING['step']:g}, {each.setting}", {"symbols": SETTING, "cells": each},
            partial(read, each),
        )
        for each in cells
    ]  # fmt: skip


def _reader(codec: LearnedCodec, setup: Setup, cells: Cells) -> Callable[[int], NoisyNetworks]:
    """What writes and reads every member's latent; latents are found once."""

    @cache
    def latent() -> Latent:
        return codec.symbols(setup.original.population)

    def read(write: int) -> NoisyNetworks:
        parameters = setup.architecture.parameters
        weights_MP = read_latents(codec, latent(), cells, np.random.default_rng(write))
        layout = _layout(latent().values_MZ)
        numbers = layout[0].size
        gain_bits = 0 if codec.receiver.gain_prior is None else GAIN_BITS
        taken = MAPPING.cells_per_weight(layout, cells.number) * numbers + gain_bits / DIGITAL_BITS_PER_CELL
        return weights_MP, cells.given(taken / parameters)

    return read


@torch.no_grad()
def read_latents(codec: LearnedCodec, latent: Latent, cells: Cells, generator: np.random.Generator) -> Tensor:
    """Networks ``[M, P]`` decoded from latents that were read from such cells for each of their numbers."""
    symbols, values_MZ = codec.receiver.symbols, latent.values_MZ
    # Refined latents are made to be rounded, and lose more where they are not.
    written_MZ = values_MZ.numpy() if symbols is None else symbols.of(values_MZ)
    found_MZ = read_back(written_MZ, _layout(values_MZ), MAPPING, cells.channel, cells.number, generator)
    read_MZ = torch.from_numpy(found_MZ)
    return codec.receiver.weights(read_MZ if symbols is None else read_MZ * symbols.step_Z, latent.gain_M)


def _layout(values_MZ: Tensor) -> tuple[TensorSpec, ...]:
    """A latent as one tensor: its numbers share a scale."""
    return (TensorSpec("latent", (values_MZ.shape[1],), 0),)
