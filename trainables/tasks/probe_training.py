"""Training of a probe network: a small residual net on the classes of one data set."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from trainables.adam import AdamW
from trainables.tasks.config import ProbeConfig
from trainables.tasks.probe import TrainedProbe
from trainables.trainable import DivergedError
from zoo.architecture import normalizing, resnet
from zoo.data.class_tasks import parse_task, select
from zoo.data.examples import Dataset
from zoo.population import Member
from zoo.population.initialization import initial_weights

# Pixels by which images are shifted at most.
SHIFT = 3


def train_probe(
    dataset: Dataset, config: ProbeConfig | None = None, progress: Callable[[int, float], None] | None = None
) -> TrainedProbe:
    """Trains a probe network on the training images of a data set.

    Args:
        dataset: One of images with classes.
        config: How.
        progress: Called after each epoch with their number and the mean loss.

    Raises:
        ValueError: The data set has no classes, lacks those of ``config.task``, or its examples are no images.
        DivergedError: The loss is not finite.
    """
    config = config or ProbeConfig()
    task = dataset.task.of_classes(parse_task(config.task))
    examples = select(config.task, dataset.train)
    if not task.has_classes or len(dataset.input_shape) != 3:
        raise ValueError(f"data set {dataset.name!r} has no images with classes; a probe network is trained on such")
    inputs = examples.inputs
    architecture = normalizing(
        resnet(dataset.input_shape, config.channels, task.outputs), float(inputs.mean()), float(inputs.std())
    )
    start_MP = initial_weights(architecture, [Member(id=0, seed=config.seed, initialization="kaiming_uniform")])
    module = architecture.to_module(start_MP[0]).train()
    generator = torch.Generator().manual_seed(config.seed)
    optimizer = AdamW(module.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay)
    steps = max(1, len(inputs) // config.batch_size)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, config.epochs * steps)
    for epoch in range(1, config.epochs + 1):
        total = 0.0
        order = torch.randperm(len(inputs), generator=generator)
        for rows in order[: steps * config.batch_size].chunk(steps):
            batch = _augmented(inputs[rows], generator) if config.augment else inputs[rows]
            loss = F.cross_entropy(module(batch), examples.targets[rows])
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
            schedule.step()
            total += float(loss.detach())
        if not torch.isfinite(torch.tensor(total)):
            raise DivergedError(
                f"the probe's loss is {total} in epoch {epoch}; lower learning_rate ({config.learning_rate})"
            )
        if progress is not None:
            progress(epoch, total / steps)
    classes = f" ({len(parse_task(config.task))} classes)" if config.task else ""
    name = f"resnet {'-'.join(map(str, config.channels))} on {dataset.name}{classes}"
    return TrainedProbe(name, architecture, architecture.from_module(module))


def _augmented(images: Tensor, generator: torch.Generator) -> Tensor:
    """Images mirrored with probability one half and shifted by up to ``SHIFT`` pixels, each by itself."""
    count, _, height, width = images.shape
    mirrored = torch.rand(count, generator=generator) < 0.5
    images = torch.where(mirrored[:, None, None, None], images.flip(3), images)
    padded = F.pad(images, (SHIFT,) * 4)
    down, right = torch.randint(2 * SHIFT + 1, (2, count), generator=generator)
    rows = (down[:, None] + torch.arange(height))[:, None, :, None]
    columns = (right[:, None] + torch.arange(width))[:, None, None, :]
    channels = torch.arange(images.shape[1])[None, :, None, None]
    return padded[torch.arange(count)[:, None, None, None], channels, rows, columns]
