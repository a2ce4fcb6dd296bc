"""Symbols of codecs in analog cells in place of weights, of autoencoders and of all codecs that have any.

Shape letters: M members, P parameters, K numbers of a group.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cache

import numpy as np

from analysis.compression.codec_rows import trial_setting
from analysis.compression.codecs import CodecFamily, Setting, setting_name
from analysis.compression.setup import Setup
from analysis.measuring.rows import Row, fits_content
from analysis.noisy_storage.mapping import DIGITAL_BITS_PER_CELL, MAPPINGS, read_back
from analysis.noisy_storage.rows import Cells, NoisyNetworks, noisy_row
from trainables.codecs.cells import InCells, Numbers, numbers_of
from trainables.codecs.codec import Codec
from trainables.study_files import StudyRecord
from zoo.architecture.layout import TensorSpec

# What rows are called: those of codecs by the codec before it.
LATENTS, SYMBOLS = "latents in cells", " in cells"
MAPPING = MAPPINGS["sign protection"]


def latents_in_cells(
    study: StudyRecord, codecs: Mapping[int, Sequence[Codec]], setup: Setup, cells: Sequence[Cells]
) -> list[Row]:
    """A row for each trial of a study with each kind of cells for a number of a latent, or for a symbol.

    The first fit of a trial is taken.
    """
    rows = []
    for trial, fits in codecs.items():
        if isinstance(fits[0], InCells):
            numbers = _numbers(lambda fits=fits: fits[0], setup)  # type: ignore[misc]
            setting, content = trial_setting(study.config(trial)), fits_content(study, trial, [fits[0]])
            rows += [_row(LATENTS, setting, {"latents": content}, numbers, setup, each, trial) for each in cells]
    return rows


def symbols_in_cells(families: Mapping[str, CodecFamily], setup: Setup, cells: Sequence[Cells]) -> list[Row]:
    """A row for each codec that has symbols with each kind of cells for a symbol, at one setting of its curve."""
    rows = []
    for name, family in families.items():
        if family.family == "classical" and not family.no_symbols:
            setting = setting_in_cells(family)
            numbers = _numbers(lambda family=family, setting=setting: family.codec(setup.fit_data, setting), setup)  # type: ignore[misc]
            content = {"codec": name, "setting": dict(setting)}
            rows += [_row(f"{name}{SYMBOLS}", setting_name(setting), content, numbers, setup, each) for each in cells]
    return rows


def setting_in_cells(family: CodecFamily) -> Setting:
    """The setting two thirds up a codec's curve."""
    return family.settings[2 * len(family.settings) // 3]


def _numbers(fit: Callable[[], Codec], setup: Setup) -> Callable[[], Numbers]:
    """Symbols of the test members, found once."""
    return cache(lambda: numbers_of(fit(), setup.original.population))


def _row(
    name: str,
    setting: str,
    content: Mapping[str, object],
    numbers: Callable[[], Numbers],
    setup: Setup,
    cells: Cells,
    trial: int | None = None,
) -> Row:
    """Symbols are written with their signs protected, and read without being rounded."""

    def read(write: int) -> NoisyNetworks:
        found, generator = numbers(), np.random.default_rng(write)
        layout = tuple(TensorSpec(str(place), group.shape[1:], 0) for place, group in enumerate(found.groups))
        groups = [
            read_back(group, (spec,), MAPPING, cells.channel, cells.number, generator)
            for group, spec in zip(found.groups, layout, strict=True)
        ]
        taken = MAPPING.cells_per_weight(layout, cells.number) * sum(spec.size for spec in layout)
        taken += found.protected_bits / DIGITAL_BITS_PER_CELL
        return found.weights(groups), cells.given(taken / setup.architecture.parameters)

    joined = ", ".join(filter(None, (setting, cells.setting)))
    return noisy_row(setup, name, joined, {**content, "cells": cells}, read, trial=trial)
