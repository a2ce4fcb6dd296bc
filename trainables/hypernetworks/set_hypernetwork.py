"""A data set becomes a network: fitted to weights of networks that memorise sets, or through what it writes itself.

End to end, random sets of training examples are read, many a step; the networks written for them are judged on the sets
and on other examples of the same tasks, and the gradient passes through them. Otherwise each of the zoo's networks is
the answer to the subset that it was trained on.

Shape letters: T sets, B examples of each, P parameters.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence

import torch
from safetensors.torch import load as load_tensors
from safetensors.torch import save
from torch import Tensor

from trainables.autoencoders.coordinates import Coordinates
from trainables.gradient_fit import GradientFit
from trainables.hypernetworks.labeled_sets import LabeledSets, drawn_sets, load_alike, scrambled, sets_of
from trainables.hypernetworks.metrics import SET_ACCURACY, UNSEEN_ACCURACY
from trainables.hypernetworks.set_config import DatasetHypernetworkConfig
from trainables.hypernetworks.set_network import SetNetwork, check_architecture
from trainables.hypernetworks.set_targets import as_autoencoder, coordinates_of, last_snapshots, subsets, targets
from trainables.tasks.task_examples import task_loss
from trainables.trainable import FitData
from zoo.architecture import Architecture
from zoo.config import from_json, to_json
from zoo.data.class_tasks import parse_task, select
from zoo.data.examples import Examples
from zoo.data.task import Task
from zoo.population import Population
from zoo.population.population import single_architecture

MODEL_FILE, CONFIG_FILE = "model.safetensors", "config.json"
COORDINATES = "coordinates."
# Validation sets, and at most so many other examples on which each is judged.
JUDGED, JUDGED_ON = 32, 500


class DatasetHypernetworkFit(GradientFit):
    """Fits a network that reads sets.

    Args:
        config: Its configuration.
        data: Training examples are what sets are drawn of. With a ``weight_loss`` the networks of training members
            are what is to be written, each for its own subset.

    Raises:
        ValueError: Examples are too few, or networks are none that can be written.
    """

    module: SetNetwork

    def __init__(self, config: DatasetHypernetworkConfig, data: FitData) -> None:
        training, _ = data.one_layout("a hypernetwork of data sets")
        name = training.members[0].task if training.members else ""
        self.task = data.dataset.task.of_classes(parse_task(name))
        self.train, self.held_out = (select(name, part) for part in (data.dataset.train, data.dataset.validation))
        self.sources = [self.train, *(load_alike(name, data.dataset).train for name in config.others)]
        self.networks = training.select(last_snapshots(training))
        self.rows_MB = subsets(self.networks, data.dataset.train) if config.weight_loss else None
        coordinates = coordinates_of(config, self.networks, data.dataset.train)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(config.seed)
            module = SetNetwork(config, training.architecture, coordinates)
        self.targets_MP = None
        if config.weight_loss:
            self.targets_MP = targets(module, self.networks)
            module.base_P.data = self.targets_MP.mean(0)
        self.judged = self.drawn(self.held_out, JUDGED, torch.Generator().manual_seed(config.seed), config, JUDGED_ON)
        super().__init__(config, module, [len(self.networks)])

    def drawn(
        self, examples: Examples, count: int, generator: torch.Generator, config: DatasetHypernetworkConfig, most: int
    ) -> LabeledSets:
        """Random sets as configured, with at most so many queries."""
        others = len(examples) - config.set_size
        if config.classes:
            others = int(examples.targets.bincount().sort().values[: config.classes].sum()) - config.set_size
        return drawn_sets(
            examples,
            self.task.outputs,
            count=count,
            size=config.set_size,
            queries=max(1, min(others, most)),
            generator=generator,
            permute=config.permute,
            classes=config.classes,
        )

    def batches(self, generator: torch.Generator) -> Iterator[tuple[int, Tensor]]:
        """Networks of each step of an epoch, of which only a ``weight_loss`` makes use."""
        for _ in range(self.config.steps):
            yield 0, torch.randint(len(self.networks), (self.config.task_batch,), generator=generator)

    def losses(self, population: int, rows_B: Tensor, generator: torch.Generator) -> Mapping[str, Tensor]:  # noqa: ARG002
        """``loss``, and its parts: ``query_loss``, ``support_loss`` and ``weight_loss``, as far as they count."""
        config, module = self.config, self.module
        if self.rows_MB is None:
            source = int(torch.randint(len(self.sources), (), generator=generator)) if len(self.sources) > 1 else 0
            sets = self.drawn(self.sources[source], config.task_batch, generator, config, config.queries)
            if config.scrambled:
                sets = scrambled(sets, config.scrambled, generator)
        else:
            own_TB = self.rows_MB[rows_B]
            others_TQ = torch.randint(len(self.train), (len(own_TB), config.queries), generator=generator)
            rows_TN = torch.cat([own_TB, others_TQ], dim=1)
            sets = sets_of(self.train, rows_TN, self.train.targets[rows_TN], own_TB.shape[1])
        weights_TP = module(sets.inputs, sets.labels_TB)
        parts = {}
        if config.query_loss:
            parts["query_loss"] = self._loss(weights_TP, sets.queries, sets.query_labels_TQ)
        if config.support_loss:
            parts["support_loss"] = self._loss(weights_TP, sets.inputs, sets.labels_TB)
        if self.targets_MP is not None:
            error_TP = module.coordinates_at(weights_TP) - self.targets_MP[rows_B]
            parts["weight_loss"] = error_TP.square().mean() / self.targets_MP.var(0).mean()
        return {"loss": torch.stack([getattr(config, name) * part for name, part in parts.items()]).sum(), **parts}

    def _loss(self, weights_TP: Tensor, inputs: Tensor, labels_TB: Tensor) -> Tensor:
        return task_loss(self.task, self.module.architecture.logits(weights_TP, inputs), labels_TB).mean()

    def artifact(self) -> DatasetHypernetwork:
        """See :class:`trainables.trainable.Fit`."""
        self.require_finite()
        return DatasetHypernetwork(self.module, self.task)

    @torch.no_grad()
    def validate(self) -> dict[str, float]:
        """Accuracy of networks written for sets of validation examples: on the sets, and on others."""
        self.require_finite()
        sets, architecture = self.judged, self.module.architecture
        weights_TP = self.module(sets.inputs, sets.labels_TB)
        return {
            SET_ACCURACY.name: _accuracy(architecture, weights_TP, sets.inputs, sets.labels_TB),
            UNSEEN_ACCURACY.name: _accuracy(architecture, weights_TP, sets.queries, sets.query_labels_TQ),
        }


class DatasetHypernetwork:
    """A fitted reader of sets, frozen.

    Args:
        module: What was fitted.
        task: What the networks are for.
    """

    def __init__(self, module: SetNetwork, task: Task) -> None:
        self.module = module.eval().requires_grad_(False)
        self.task = task

    @property
    def architecture(self) -> Architecture:
        """Of the networks."""
        return self.module.architecture

    @torch.no_grad()
    def make(self, sets: Sequence[Examples]) -> Population:
        """A network for each set of labeled examples, in one pass.

        Raises:
            ValueError: A set is empty or not of the size that it was fitted to where that matters, its inputs have
                another shape, or a label is none that the networks tell apart.
        """
        for number, examples in enumerate(sets):
            self._check(examples, f"set {number}" if len(sets) > 1 else "the set")
        weights = [self.module(each.inputs.unsqueeze(0), each.targets.unsqueeze(0))[0] for each in sets]
        if not weights:
            raise ValueError("there are no sets; give one or more")
        return single_architecture(self.architecture, torch.stack(weights))

    @torch.no_grad()
    def weights(self, sets: LabeledSets) -> Tensor:
        """``weights_TP`` of networks for sets of one size, all in one pass."""
        weights_TP: Tensor = self.module(sets.inputs, sets.labels_TB)
        return weights_TP

    def _check(self, examples: Examples, what: str) -> None:
        shape, classes, config = tuple(examples.values.shape[1:]), self.architecture.classes, self.module.config
        if shape != tuple(self.architecture.input_shape):
            raise ValueError(
                f"{what} has examples of shape {shape}; the networks read {tuple(self.architecture.input_shape)}"
            )
        if not len(examples):
            raise ValueError(f"{what} is empty; give one labeled example or more")
        if config.embedding == "slots" and len(examples) != config.set_size:
            raise ValueError(
                f"{what} has {len(examples)} examples; a branch for each place was fitted, for {config.set_size}: give "
                "so many, or fit with --set embedding=shared"
            )
        self.task.check(examples.targets, f"{what} (networks with {classes} classes)")

    def to_files(self) -> dict[str, bytes]:
        """See :class:`trainables.trainable.Artifact`."""
        facts = {"config": self.module.config, "architecture": self.architecture.to_json(), "task": self.task}
        tensors = {name: tensor.contiguous() for name, tensor in self.module.state_dict().items()}
        if self.module.coordinates is not None:
            own = self.module.coordinates.tensors()
            tensors |= {COORDINATES + name: tensor.contiguous() for name, tensor in own.items()}
        return {MODEL_FILE: save(tensors), CONFIG_FILE: json.dumps(to_json(facts), indent=2).encode()}

    @classmethod
    def from_files(cls, files: Mapping[str, bytes]) -> DatasetHypernetwork:
        """The inverse of :meth:`to_files`."""
        facts, tensors = json.loads(files[CONFIG_FILE]), load_tensors(files[MODEL_FILE])
        config = from_json(DatasetHypernetworkConfig, facts["config"])
        architecture = Architecture.from_json(facts["architecture"])
        own = {name.removeprefix(COORDINATES): t for name, t in tensors.items() if name.startswith(COORDINATES)}
        coordinates = Coordinates.from_tensors(as_autoencoder(config), architecture, own) if own else None
        module = SetNetwork(config, architecture, coordinates)
        module.load_state_dict({name: t for name, t in tensors.items() if not name.startswith(COORDINATES)})
        return cls(module, from_json(Task, facts["task"]))


def check(config: DatasetHypernetworkConfig, architectures: Sequence[Architecture]) -> dict[str, float]:
    """Refuses networks that cannot be written, before anything is fitted; see ``Trainable.check``."""
    for architecture in architectures:
        check_architecture(config, architecture)
    return {}


def _accuracy(architecture: Architecture, weights_TP: Tensor, inputs: Tensor, labels_TB: Tensor) -> float:
    return float((architecture.logits(weights_TP, inputs).argmax(2) == labels_TB).float().mean())
