"""Latents of autoencoders in analog cells: few numbers a network, so that each can have many cells.

Shape letters: M members, P parameters, Z latent width of a network.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cache

import numpy as np
import torch
from torch import Tensor

from analysis.noisy_storage.channel import CellChannel
from analysis.noisy_storage.mapping import DIGITAL_BITS_PER_CELL, MAPPINGS, read_back
from analysis.noisy_storage.rows import CELLS_PER_WEIGHT, NoisyNetworks, given, noisy_row
from analysis.rows import Row, fits_content, trial_setting
from analysis.setup import Setup
from trainables.autoencoders.autoencoder import Latent
from trainables.autoencoders.learned_codec import LearnedCodec
from trainables.codecs.codec import Codec
from trainables.study_files import StudyRecord
from zoo.architecture.layout import TensorSpec

LATENTS = "latents in cells"
MAPPING = MAPPINGS["sign protection"]
# A network's size in quarter octaves, where it is told.
GAIN_BITS = 8


def latents_in_cells(
    study: StudyRecord, codecs: Mapping[int, Sequence[Codec]], setup: Setup, cells: Sequence[int]
) -> list[Row]:
    """A row for each trial of autoencoders with each number of cells for a number of the latent.

    The first fit of a trial is taken. Symbols are written, where the codec has any, and read without being rounded;
    signs are protected.
    """
    return [
        noisy_row(
            setup,
            LATENTS,
            f"{trial_setting(study.config(trial))}, cells={number}",
            {"latents": fits_content(study, trial, [fits[0]]), "cells": number},
            _reader(fits[0], setup, number),
            trial=trial,
        )
        for trial, fits in codecs.items()
        if isinstance(fits[0], LearnedCodec)
        for number in dict.fromkeys(cells)
    ]


def _reader(codec: LearnedCodec, setup: Setup, cells: int) -> Callable[[int], NoisyNetworks]:
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
        taken = MAPPING.cells_per_weight(layout, cells) * numbers + gain_bits / DIGITAL_BITS_PER_CELL
        return weights_MP, given((CELLS_PER_WEIGHT, taken / parameters))

    return read


@torch.no_grad()
def read_latents(codec: LearnedCodec, latent: Latent, cells: int, generator: np.random.Generator) -> Tensor:
    """Networks ``[M, P]`` decoded from latents that were read from so many cells for each of their numbers."""
    symbols, values_MZ = codec.receiver.symbols, latent.values_MZ
    # Refined latents are made to be rounded, and lose more where they are not.
    written_MZ = values_MZ.numpy() if symbols is None else symbols.of(values_MZ)
    read_MZ = torch.from_numpy(read_back(written_MZ, _layout(values_MZ), MAPPING, CellChannel(), cells, generator))
    return codec.receiver.weights(read_MZ if symbols is None else read_MZ * symbols.step_Z, latent.gain_M)


def _layout(values_MZ: Tensor) -> tuple[TensorSpec, ...]:
    """A latent as one tensor: its numbers share a scale."""
    return (TensorSpec("latent", (values_MZ.shape[1],), 0),)
