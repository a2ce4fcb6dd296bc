"""Writes a zoo as the Small CNN Zoo is published, so that the predictors that read it run on other zoos unchanged.

What the files are is told by their reader, :mod:`zoo.exchange.foreign.small_cnn_zoo`. Beside them lie
``permutation.csv``, an order of all rows without a header, by which public predictors divide networks, and
``architecture.json``, for ``zooscale import``. Of a member's block, whose networks have seen the same, all rows follow
one another in that order. Shape letters: M snapshots, P parameters.
"""

from __future__ import annotations

import csv
import json
import logging
import math
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.lib.format import open_memmap

from zoo.architecture import Architecture, Conv, Linear, Residual
from zoo.config import to_json
from zoo.exchange.foreign.keras_tensors import KerasVariable, flattened_images, to_keras
from zoo.exchange.foreign.published_fields import KERAS_INITIALIZATIONS, OWN_FIELDS, PLAIN_STD, with_activation
from zoo.exchange.foreign.small_cnn_zoo import (
    ARCHITECTURE,
    LAYOUT,
    LAYOUT_COLUMNS,
    METRICS,
    METRICS_FILES,
    WEIGHTS,
    WHOLE,
)
from zoo.generation.build import Progress
from zoo.storage.rows import booleans
from zoo.storage.zoo import Zoo

logger = logging.getLogger(__name__)

PERMUTATION = "permutation.csv"
# Snapshots read at a time.
ROWS = 4096
# What the format calls a member's fields; l2reg, w_init and init_std follow from several.
FIELDS = {
    "config.random_seed": "seed",
    "config.optimizer": "optimizer",
    "config.learning_rate": "learning_rate",
    "config.dropout": "dropout",
    "config.train_fraction": "training_fraction",
}


def write_small_cnn_zoo(zoo: Zoo, target: Path, progress: Progress | None = None) -> None:
    """Writes all snapshots that have not diverged into a folder, which exists.

    Of a member's initialization, the format says a kind and for the plain distributions a standard deviation; where
    it has no word for it, the columns are empty. Fields that it does not have, or not exactly, are told by their names
    here (``config.init_scale``), which the public predictors do not look at and ``zooscale import`` does.

    Args:
        zoo: What to write.
        target: Where.
        progress: Called with (snapshots done, of how many).

    Raises:
        ValueError: The format cannot say what the networks are, or the zoo has none of its metrics.
        ZooError: A shard is missing or damaged.
    """
    base = _architecture(zoo)
    table = zoo.snapshots
    if lacking := [name for name in METRICS if name not in table.column_names]:
        raise ValueError(
            f"the small-cnn-zoo format has losses and accuracies; zoo {zoo.name} lacks {lacking[0]}: its task is "
            "another. Export it as parquet"
        )
    rows = np.flatnonzero(~booleans(table["diverged"]))
    if left_out := len(table) - len(rows):
        logger.warning("%d snapshots of zoo %s diverged and are left out", left_out, zoo.name)
    if not len(rows):
        raise ValueError(f"all snapshots of zoo {zoo.name} have diverged; there is nothing to export")
    frame = zoo.members.iloc[rows].reset_index(drop=True)
    _metrics(zoo, frame).to_csv(target / METRICS_FILES[0], index=False)
    variables = list(_variables(base))
    with (target / LAYOUT).open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow([*LAYOUT_COLUMNS, "size"])
        for variable, _, _ in variables:
            size = math.prod(variable.shape)
            writer.writerow([variable.name, variable.start, variable.start + size, str(variable.shape), size])
    names = {name: variable.name for variable, name, _ in variables}
    (target / ARCHITECTURE).write_text(json.dumps(to_json(base) | {"names": names}) + "\n")
    _permutation(zoo, frame).to_csv(target / PERMUTATION, index=False, header=False)
    gather_P = np.concatenate([gather for _, _, gather in variables])
    weights_MP = open_memmap(target / WEIGHTS, mode="w+", dtype=np.float32, shape=(len(rows), base.parameters))
    for start in range(0, len(rows), ROWS):
        chosen = rows[start : start + ROWS]
        weights_MP[start : start + len(chosen)] = zoo.weights(chosen)[:, gather_P]
        if progress is not None:
            progress(start + len(chosen), len(rows))
    weights_MP.flush()


def _architecture(zoo: Zoo) -> Architecture:
    """The architecture of all members but for their activation, if the format can say it.

    Raises:
        ValueError: It cannot.
    """
    base = zoo.architectures[0]
    for architecture in zoo.architectures:
        if with_activation(architecture, base.activation) != base or "," in architecture.activation:
            raise ValueError(
                f"the small-cnn-zoo format has one architecture for all networks, whose activation alone may differ; "
                f"those of zoo {zoo.name} differ in more. Export it as parquet"
            )
    for place in base.placed:
        if isinstance(place.layer, Residual) or (
            place.layer.slots(place.shape) and not isinstance(place.layer, Conv | Linear)
        ):
            raise ValueError(
                f"the small-cnn-zoo format has convolutions and dense layers one after the other; zoo {zoo.name} has "
                f"a layer of kind {place.layer.kind!r}. Export it as parquet"
            )
    return base


def _variables(architecture: Architecture) -> Iterator[tuple[KerasVariable, str, np.ndarray]]:
    """Every tensor as a variable of Keras, its name here, and for each of its columns the entry of a flat network."""
    images = flattened_images(architecture)
    specs = {spec.name: spec for spec in architecture.layout}
    entries_P = np.arange(architecture.parameters)
    counts: Counter[str] = Counter()
    start = 0
    for number, layer in enumerate(architecture.layers):
        if not isinstance(layer, Conv | Linear):
            continue
        kind = "conv2d" if isinstance(layer, Conv) else "dense"
        module = f"sequential/{kind}_{counts[kind]}" if counts[kind] else f"sequential/{kind}"
        counts[kind] += 1
        for leaf, name in (("bias", f"{number}.bias"), ("kernel", f"{number}.weight")):
            if name in specs:
                entries = to_keras(entries_P[specs[name].span].reshape(specs[name].shape), images.get(name))
                yield KerasVariable(f"{module}/{leaf}:0", start, entries.shape), name, entries.reshape(-1)
                start += entries.size


def _metrics(zoo: Zoo, frame: pd.DataFrame) -> pd.DataFrame:
    """The table of metrics, a row a snapshot in the order of the weights."""
    words = [_initialization(kind, scale) for kind, scale in zip(frame.initialization, frame.init_scale, strict=True)]
    columns: dict[str, Any] = {theirs: frame[ours] for theirs, ours in FIELDS.items()}
    columns |= {
        "config.activation": frame.activation,
        "config.dataset": zoo.recipe.dataset or getattr(zoo.recipe, "source_dataset", "") or "unknown",
        "config.dnn_architecture": "cnn",
        "config.epochs": zoo.recipe.snapshot_epochs[-1],
        "config.init_std": [std for _, std in words],
        # Keras adds l2reg · ‖w‖² to the loss, whose gradient is twice that of weight decay.
        "config.l2reg": frame.weight_decay / 2,
        "config.w_init": [word for word, _ in words],
    }
    ours = {f"config.{name}": frame[name] for name in ("member", *OWN_FIELDS) if name in frame}
    places = {
        "modeldir": [f"{zoo.name}/{member:07d}" for member in frame.member],
        "step": frame.epoch,
        **{name: frame[name] for name in METRICS},
    }
    table = pd.DataFrame(columns | ours | places)
    # Where some are not known, pandas has made floats of them.
    return table.astype(dict.fromkeys(WHOLE & set(table), "Int64"))


def _initialization(kind: str | None, scale: float) -> tuple[str | None, float | None]:
    """The format's word for an initialization, and its standard deviation where that is told."""
    for word, (name, fixed) in KERAS_INITIALIZATIONS.items():
        if name == kind and fixed == scale:
            return word, None
        if name == kind and fixed is None:
            return word, scale * PLAIN_STD
    return None, None


def _permutation(zoo: Zoo, frame: pd.DataFrame) -> pd.Series:
    """An order of all rows: blocks of members at random, the same for equal names, what is in a block as it is."""
    block = frame.member // zoo.recipe.block_members
    place = np.random.Generator(np.random.Philox(key=int(zoo.digest[:16], 16))).permutation(int(block.max()) + 1)
    return pd.Series(np.argsort(place[block], kind="stable"))
