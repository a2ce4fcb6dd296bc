"""Hyper-parameters as published zoos name them, and what they are here."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from zoo.architecture import (
    Activate,
    Architecture,
    Conv,
    Flatten,
    Layer,
    Linear,
    MaxPool,
    Shape,
    cnn_2464,
    mlp,
    normalizing,
)
from zoo.exchange.foreign.architectures import GivenArchitecture
from zoo.exchange.foreign.source import known_fields
from zoo.population import Member
from zoo.recipes.hyper_representations import NORMALIZATIONS

ACTIVATION_NAMES = {"leakyrelu": "leaky_relu"}
TUNE_INITIALIZATIONS = {
    "uniform": "unit_uniform",
    "normal": "unit_normal",
    "xavier_uniform": "xavier_uniform",
    "xavier_normal": "xavier_normal",
    "kaiming_uniform": "kaiming_uniform",
    "kaiming_normal": "kaiming_normal",
}
# The coefficient of this project's momentum optimizer.
MOMENTUM = 0.9
# The scale of the plain distributions at init_scale 1.
PLAIN_STD = 0.1


def tune_fields(config: Mapping[str, Any]) -> dict[str, Any]:
    """Fields of a ``Member`` from the ``params.json`` of the model-zoo data sets (Schürholt et al., 2021 and 2022).

    Their "uniform" is on [0, 1] and their "normal" has standard deviation 1. Where SGD has another momentum than 0.9,
    the optimizer has no name here.
    """
    optimizer = config.get("optim::optimizer")
    if optimizer == "sgd":
        momentum = config.get("optim::momentum", 0)
        optimizer = "sgd" if momentum == 0 else "momentum" if momentum == MOMENTUM else None
    elif optimizer == "rms_prop":
        optimizer = "rmsprop" if not config.get("optim::momentum", 0) else None
    initialization = TUNE_INITIALIZATIONS.get(str(config.get("model::init_type")))
    candidates = {
        "seed": config.get("seed"),
        "initialization": initialization,
        "init_scale": None if initialization is None else 1.0,
        "optimizer": optimizer,
        "learning_rate": config.get("optim::lr"),
        "weight_decay": config.get("optim::wd"),
        "dropout": config.get("model::dropout"),
        "batch_size": config.get("training::batchsize"),
    }
    return known_fields(candidates)


def tune_activation(config: Mapping[str, Any]) -> str | None:
    """The activation by its name here, ``None`` where the source does not say."""
    name = config.get("model::nlin")
    return None if name is None else ACTIVATION_NAMES.get(str(name), str(name))


def tune_architecture(
    config: Mapping[str, Any], input_shape: Shape | None = None, dataset: str | None = None
) -> Architecture:
    """The architecture that a ``params.json`` of the model-zoo data sets describes.

    Args:
        config: Its content.
        input_shape: Shape of an example, where it is known; otherwise that of the paper's images.
        dataset: The data set as it is named here, where it is known. Where its images were normalized for these
            networks, that is their first layer; otherwise they take what they were trained on.

    Raises:
        ValueError: It describes none that is known here.
    """
    kind, activation = config.get("model::type"), tune_activation(config)
    if kind not in list(TUNE_ARCHITECTURES) or activation is None:
        raise ValueError(
            f"model::type is {kind!r} and model::nlin {activation!r}; known are the types "
            f"{', '.join(TUNE_ARCHITECTURES)}. Give the architecture with --architecture FILE.json"
        )
    try:
        architecture = TUNE_ARCHITECTURES[kind](config, activation, input_shape)
    except KeyError as error:
        raise ValueError(f"{error} is missing; give the architecture with --architecture FILE.json") from error
    # Images of other data sets were also cropped or resized, and are none of those here; so were those of CIFAR-10 for
    # "CNN".
    return normalizing(architecture, *NORMALIZATIONS[dataset]) if dataset in NORMALIZATIONS else architecture


def given_architecture(given: GivenArchitecture, config: Mapping[str, Any], where: Path) -> Architecture:
    """The architecture that the user gives, with the activation that the source says."""
    activation = tune_activation(config)
    try:
        return given.architecture if activation is None else with_activation(given.architecture, activation)
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from error


def keras_fields(row: Mapping[str, Any]) -> dict[str, Any]:
    """Fields of a ``Member`` from the ``config.*`` columns of the Small CNN Zoo (Unterthiner et al., 2020).

    Keras adds ``l2reg · ‖w‖²`` to the loss, for which the weight decay is twice ``l2reg`` (there on kernels alone).
    Its He and Glorot normals are truncated at two standard deviations, with the same standard deviation as here. What
    ``zooscale export`` wrote names fields as they are here beside that.
    """
    initialization, scale = KERAS_INITIALIZATIONS.get(str(row.get("config.w_init")), (None, None))
    std = row.get("config.init_std")
    if scale is None and isinstance(std, float):
        scale = std / PLAIN_STD
    l2 = row.get("config.l2reg")
    candidates = {
        "seed": row.get("config.random_seed"),
        "initialization": initialization,
        "init_scale": scale if initialization is not None else None,
        "optimizer": row.get("config.optimizer"),
        "learning_rate": row.get("config.learning_rate"),
        "weight_decay": 2 * l2 if isinstance(l2, float) else None,
        "dropout": row.get("config.dropout"),
        "training_fraction": row.get("config.train_fraction"),
    }
    own = {name: row.get(f"config.{name}") for name in OWN_FIELDS}
    empty = [name for name, value in own.items() if value is None or (isinstance(value, float) and math.isnan(value))]
    return known_fields(candidates | {name: value for name, value in own.items() if name not in empty})


# Name here, and the scale: None where init_std says it.
KERAS_INITIALIZATIONS: dict[str, tuple[str, float | None]] = {
    "glorot_normal": ("xavier_normal", 1.0),
    "glorot_uniform": ("xavier_uniform", 1.0),
    "he_normal": ("kaiming_normal", 1.0),
    "he_uniform": ("kaiming_uniform", 1.0),
    "orthogonal": ("orthogonal", 1.0),
    "RandomNormal": ("normal", None),
    "TruncatedNormal": ("truncated_normal", None),
}


# Fields of a member that the format has no column for, or one that does not say them exactly.
OWN_FIELDS = tuple(
    field.name
    for field in dataclasses.fields(Member)
    if field.name not in ("id", "seed", "optimizer", "learning_rate", "dropout", "training_fraction")
)


def with_activation(architecture: Architecture, function: str) -> Architecture:
    """The same architecture with another activation throughout."""

    def changed(entry: Any) -> Any:
        if isinstance(entry, list):
            return [changed(part) for part in entry]
        if not isinstance(entry, dict):
            return entry
        if entry.get("kind") == Activate.kind:
            return {**entry, "function": function}
        return {key: changed(part) for key, part in entry.items()}

    return Architecture.from_json(changed(architecture.to_json()))


def _mlp(config: Mapping[str, Any], activation: str, input_shape: Shape | None) -> Architecture:
    inputs, hidden = config["model::i_dim"], config["model::h_dim"]
    widths = hidden if isinstance(hidden, list) else [hidden]
    # The constructor of the published MLP puts the input's width in front of this very list.
    widths = widths[1:] if len(widths) > 1 and widths[0] == inputs else widths
    shape = input_shape if input_shape is not None else (inputs,)
    return mlp(shape, tuple(widths), config["model::o_dim"], activation=activation, bias=config["model::use_bias"])


def _cnn(config: Mapping[str, Any], activation: str, input_shape: Shape | None) -> Architecture:
    shape = input_shape if input_shape is not None else (config["model::channels_in"], 28, 28)
    return cnn_2464(shape, (), 10, activation=activation)


def _cnn2(config: Mapping[str, Any], activation: str, input_shape: Shape | None) -> Architecture:
    shape = input_shape if input_shape is not None else (config["model::channels_in"], 28, 28)
    return _convolutional(shape, ((6, 5, 2), (9, 5, 2), (6, 2, 0)), activation)


def _cnn3(config: Mapping[str, Any], activation: str, input_shape: Shape | None) -> Architecture:
    shape = input_shape if input_shape is not None else (config["model::channels_in"], 32, 32)
    return _convolutional(shape, ((16, 3, 2), (32, 3, 2), (15, 3, 2)), activation)


def _convolutional(shape: Shape, blocks: tuple[tuple[int, int, int], ...], activation: str) -> Architecture:
    """Blocks of (channels, kernel, pool or 0), then 20 hidden units and 10 classes."""
    layers: list[Layer] = []
    for channels, kernel, pool in blocks:
        layers.append(Conv(channels=channels, kernel=kernel))
        if pool:
            layers.append(MaxPool(size=pool))
        layers.append(Activate(function=activation))
    layers += [Flatten(), Linear(features=20), Activate(function=activation), Linear(features=10)]
    return Architecture(tuple(shape), tuple(layers))


TUNE_ARCHITECTURES: dict[str, Callable[[Mapping[str, Any], str, Shape | None], Architecture]] = {
    "MLP": _mlp,
    "CNN": _cnn,
    "CNN2": _cnn2,
    "CNN3": _cnn3,
}
