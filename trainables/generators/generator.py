"""The seam of generators: what one is, what it is fitted to, and how it is judged on validation examples.

Shape letters: M networks, P parameters.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor

from trainables.autoencoders.config import AutoencoderConfig
from trainables.autoencoders.coordinates import Coordinates
from trainables.generators.config import GeneratorConfig, LatentDensityConfig
from trainables.generators.metrics import GENERATED_ACCURACY, GENERATED_LOSS, NOVELTY
from trainables.trainable import FitData
from zoo.data.class_tasks import parse_task, select
from zoo.data.task import Task
from zoo.evaluation import evaluate
from zoo.population import Population
from zoo.views import align

# Networks that validation generates, and training networks that novelty compares with: distances of so many are told
# to a few per cent.
JUDGED, COMPARED = 64, 512


@runtime_checkable
class NetworkGenerator(Protocol):
    """Makes networks: what a fit of this kind leaves behind."""

    def generate(self, count: int, *, seed: int = 0, wanted: Mapping[str, float | str] | None = None) -> Population:
        """So many networks; the same for the same seed.

        Args:
            count: How many.
            seed: Of what is drawn.
            wanted: Values of columns that the networks are to have, where the generator was fitted with these.

        Raises:
            ValueError: It was not fitted with a wanted column.
        """
        ...

    def to_files(self) -> dict[str, bytes]:
        """See :class:`trainables.trainable.Artifact`."""
        ...


def fitted_networks(config: GeneratorConfig | LatentDensityConfig, data: FitData) -> Population:
    """The training networks that a generator is fitted to, as its configuration says; all are finite.

    Raises:
        ValueError: The zoo has several layouts, or fewer than two networks are left.
    """
    training, _ = data.one_layout("a generator")
    kept_M = torch.isfinite(training.weights_MP).all(1)
    if config.snapshots == "last" and training.epochs:
        last: dict[int, int] = {}
        for row, (member, epoch) in enumerate(zip(training.members, training.epochs, strict=True)):
            if member.id not in last or epoch > training.epochs[last[member.id]]:
                last[member.id] = row
        is_last_M = torch.zeros(len(training), dtype=torch.bool)
        is_last_M[list(last.values())] = True
        kept_M &= is_last_M
    chosen = training.select(kept_M.nonzero().flatten())
    if config.best < 1:
        chosen = chosen.select(_best(chosen)[: max(2, round(config.best * len(chosen)))])
    if len(chosen) < 2:
        raise ValueError(f"a generator needs 2 or more finite training networks; there are {len(chosen)}")
    return chosen


def _best(population: Population) -> Tensor:
    """Rows by falling validation accuracy, or by rising validation loss where there is none."""
    if "validation_accuracy" in population.columns:
        return torch.from_numpy(population.columns["validation_accuracy"].copy()).argsort(descending=True)
    return torch.from_numpy(population.column("validation_loss").copy()).argsort()


def coordinates_of(config: GeneratorConfig, training: Population, data: FitData) -> Coordinates:
    """Weights ⇄ coordinates of size about 1 in which networks are made."""
    return Coordinates.fit(as_autoencoder(config), training, data.dataset.train)


def as_autoencoder(config: GeneratorConfig) -> AutoencoderConfig:
    """What coordinates are to know of a generator's configuration."""
    return AutoencoderConfig(view=config.view, canonical=config.canonical, gain=False)


def require_nothing_wanted(wanted: Mapping[str, float | str] | None) -> None:
    """Raises a ``ValueError`` where something is wanted of a generator that makes networks without conditions."""
    if wanted:
        raise ValueError(
            f"{', '.join(wanted)} is wanted, but this generator was fitted without conditions; take one that has them"
        )


def task_of(training: Population, data: FitData) -> tuple[str, Task]:
    """The name of the class task that all networks have, that of the first, and what it asks for."""
    name = training.members[0].task if training.members else ""
    return name, data.dataset.task.of_classes(parse_task(name))


def validate(generator: NetworkGenerator, data: FitData) -> dict[str, float]:
    """The metrics, of networks on validation examples."""
    training, _ = data.one_layout("a generator")
    generated = generator.generate(JUDGED, seed=0)
    name, task = task_of(training, data)
    found = evaluate(generated, select(name, data.dataset.validation), task)
    metrics = {GENERATED_LOSS.name: float(found["loss"].mean())}
    if task.has_classes:
        metrics[GENERATED_ACCURACY.name] = float(found["accuracy"].mean())
    finite = training.select(torch.isfinite(training.weights_MP).all(1).nonzero().flatten())
    return metrics | {NOVELTY.name: novelty(generated, finite)}


def novelty(generated: Population, training: Population) -> float:
    """See :data:`trainables.generators.metrics.NOVELTY`; of one snapshot of each of some training members, the last."""
    rows: dict[int, int] = {member.id: row for row, member in enumerate(training.members)}
    one_each = list(rows.values()) or list(range(len(training)))
    weights_KP = training.weights_MP[one_each[:COMPARED]]
    reference_P = weights_KP[0]
    aligned_KP, aligned_MP = (
        align(weights, training.architecture, reference_P).weights_MP.double()
        for weights in (weights_KP, generated.weights_MP)
    )
    among_KK = torch.cdist(aligned_KP, aligned_KP).fill_diagonal_(torch.inf)
    usual = float(among_KK.min(1).values.median())
    return float(torch.cdist(aligned_MP, aligned_KP).min(1).values.median()) / usual if usual else 0.0
