"""Training in the SIMD kernel, and what its tests compare it with."""

from typing import Any

import torch
from reference_training import train_one

from zoo.architecture import Architecture
from zoo.data.examples import Examples
from zoo.data.task import Task
from zoo.population import Member
from zoo.population.initialization import initial_weights
from zoo.training.backend import BACKENDS, BackendType, choose_backend
from zoo.training.train import train_population

CPU = torch.device("cpu")


def random_images(count: int, shape: tuple[int, int, int], classes: int = 10) -> Examples:
    generator = torch.Generator().manual_seed(7)
    pixels = torch.randint(0, 256, (count, *shape), dtype=torch.uint8, generator=generator)
    return Examples(pixels, torch.randint(0, classes, (count,), generator=generator), 1 / 255)


def trained(architecture, members, data, epochs=1, **options):
    weights = torch.empty(len(members), architecture.parameters)
    for snapshot in train_population(
        architecture, members, data, epochs=epochs, snapshot_epochs=[epochs], backend="lanes", **options
    ):
        weights[list(snapshot.rows)] = snapshot.weights_MP
    return weights


def assert_parity(architecture, members, data, epochs=1, checked=None, median=1e-6, worst=1e-5):
    """Compares members, all or some, with the per-model reference."""
    weights = trained(architecture, members, data, epochs)
    start = initial_weights(architecture, members)
    for row in range(len(members)) if checked is None else checked:
        *_, (_, expected) = train_one(architecture, members[row], start[row], data, epochs)
        difference = (weights[row] - expected).abs()
        assert difference.median() <= median, members[row]
        assert difference.max() <= worst, members[row]
        assert not torch.equal(expected, start[row])


def chosen_backend(
    architecture: Architecture, device: str | torch.device = "cpu", name: str = "auto", **member: Any
) -> tuple[str, BackendType]:
    """What trains a network on bytes of images to tell classes apart."""
    images = random_images(4, architecture.input_shape, architecture.classes)
    task = Task("softmax", architecture.classes)
    return choose_backend(architecture, [Member(id=0, seed=0, **member)], task, images, torch.device(device), name)


def obstacle_of(name: str, architecture: Architecture, device: str | torch.device = "cpu", **member: Any) -> str | None:
    """Why a backend cannot do that."""
    images = random_images(4, architecture.input_shape, architecture.classes)
    task = Task("softmax", architecture.classes)
    kind = BACKENDS[name]
    return kind.obstacle(architecture, [Member(id=0, seed=0, **member)], task, images, torch.device(device))
