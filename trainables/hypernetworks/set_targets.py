"""The networks of a zoo as answers to the subsets that they were trained on.

Shape letters: M networks, P parameters, B examples of a subset.
"""

from __future__ import annotations

import torch
from torch import Tensor

from trainables.autoencoders.config import AutoencoderConfig
from trainables.autoencoders.coordinates import Coordinates
from trainables.hypernetworks.set_config import DatasetHypernetworkConfig
from trainables.hypernetworks.set_network import SetNetwork
from zoo.data.examples import Examples
from zoo.population import Population
from zoo.training.grouping import training_examples
from zoo.views import align, canonicalize


def last_snapshots(population: Population) -> list[int]:
    """Rows of each member's last snapshot; all rows where nothing is known of members."""
    rows: dict[int, int] = {}
    for row, member in enumerate(population.members):
        if member.id not in rows or population.epochs[row] >= population.epochs[rows[member.id]]:
            rows[member.id] = row
    return list(rows.values()) or list(range(len(population)))


def subsets(networks: Population, train: Examples) -> Tensor:
    """Rows of the training examples of each network's subset: int64 ``[M, B]``.

    Raises:
        ValueError: A network was not trained on a subset, or subsets differ in size.
    """
    sizes = sorted({member.subset_size for member in networks.members})
    if len(sizes) != 1 or sizes == [0]:
        raise ValueError(
            "weight_loss needs networks that were each trained on a subset, all of one size; this zoo's have "
            f"{', '.join(map(str, sizes))} examples (0: no subset): take a zoo such as mnist-memorise-1, or "
            "--set weight_loss=0"
        )
    return torch.stack([torch.from_numpy(training_examples(member, train)) for member in networks.members])


def coordinates_of(config: DatasetHypernetworkConfig, networks: Population, train: Examples) -> Coordinates | None:
    """The coordinates in which weights are made; ``None`` where they are scaled by the inputs of a unit alone."""
    if config.view == "fan_in":
        return None
    return Coordinates.fit(as_autoencoder(config), networks, train)


def as_autoencoder(config: DatasetHypernetworkConfig) -> AutoencoderConfig:
    """What coordinates are to know of the configuration."""
    return AutoencoderConfig(view=config.view, canonical=config.canonical, gain=False)


def targets(module: SetNetwork, networks: Population) -> Tensor:
    """The networks, their hidden units in order, in the coordinates in which weights are made: ``[M, P]``."""
    if module.coordinates is not None:
        return module.coordinates.forward(networks)[0]
    weights_MP = networks.weights_MP
    if module.config.canonical == "sorted":
        weights_MP = canonicalize(weights_MP, networks.architecture)
    elif module.config.canonical == "aligned":
        weights_MP = align(weights_MP, networks.architecture, weights_MP[0]).weights_MP
    return module.coordinates_at(weights_MP)
