"""A learned gradient: a small network that weighs the examples of a minibatch, fitted through steps of training.

Shape letters: T inner networks, V validation members, P parameters.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence

import torch
from safetensors.torch import load as load_tensors
from safetensors.torch import save
from torch import Tensor

from trainables.aggregators.config import AggregatorConfig
from trainables.aggregators.corruption import Corruption, corrupted_sets
from trainables.aggregators.gradients import ExampleGradients, GradientSource, Rule
from trainables.aggregators.metrics import AGGREGATED_ACCURACY, GAIN_OVER_MEAN_PP
from trainables.aggregators.network import WeighingNetwork
from trainables.aggregators.rules import mean
from trainables.aggregators.training import accuracies
from trainables.aggregators.unrolled import InnerNetworks
from trainables.gradient_fit import GradientFit
from trainables.trainable import FitData
from zoo.architecture import Architecture
from zoo.config import from_json, to_json
from zoo.data.task import Task
from zoo.population import Member, Population

MODEL_FILE, CONFIG_FILE = "model.safetensors", "config.json"
# What validation members are trained on, and how many of them at most, of each architecture.
VALIDATION = Corruption(label_noise=0.2)
VALIDATED, ARCHITECTURES = 8, 2
VALIDATION_RATES: dict[str, tuple[float, ...]] = {"sgd": (0.1, 0.3, 1.0, 3.0), "adam": (1e-3, 3e-3, 1e-2, 3e-2)}


class AggregatorFit(GradientFit):
    """Fits the weighing network; of the zoo it takes data set, architectures and initializations, not the weights.

    An epoch trains inner populations from their initialization, one for each optimizer and batch size, in turns.

    Args:
        config: Its configuration.
        data: Inner networks start as its training members do. Half of the training examples are for sets to train on,
            the other half is what networks are judged on.

    Raises:
        ValueError: There are too few examples for sets of that size.
    """

    module: WeighingNetwork

    def __init__(self, config: AggregatorConfig, data: FitData) -> None:
        self.data, self.task = data, data.dataset.task
        train = data.dataset.train
        half = len(train) // 2
        if config.set_size > half:
            raise ValueError(
                f"AggregatorConfig.set_size is {config.set_size}; allowed: 1 to {half}, half of the training examples "
                f"of {data.dataset.name}"
            )
        self.examples, self.queries = train.select(slice(half)), train.select(slice(half, None))
        self.populations = [(optimizer, batch) for optimizer in config.optimizers for batch in config.batch_sizes]
        self.inner: dict[int, InnerNetworks] = {}
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(config.seed)
            module = WeighingNetwork(config.width)
        super().__init__(config, module, [len(population) for population in data.training])

    def batches(self, generator: torch.Generator) -> Iterator[tuple[int, Tensor]]:  # noqa: ARG002
        """Numbers of inner populations, in turns; their networks begin with the epoch."""
        self.inner.clear()
        for step in range(self.config.steps):
            yield step % len(self.populations), torch.arange(self.config.task_batch)

    def losses(self, population: int, rows_B: Tensor, generator: torch.Generator) -> Mapping[str, Tensor]:  # noqa: ARG002
        """``log_loss``: the mean over inner networks and the steps of an unroll."""
        if population not in self.inner:
            self.inner[population] = self._begun(population, generator)
        return {"log_loss": self.inner[population].unroll(self._rule, generator)}

    def _rule(self, gradients: ExampleGradients) -> Tensor:
        return gradients.weighted(self.module(gradients))

    def _begun(self, population: int, generator: torch.Generator) -> InnerNetworks:
        """Inner networks of the architecture of a training member that is drawn."""
        place = int(torch.randint(sum(self.sizes), (1,), generator=generator))
        for training in self.data.training:
            if place < len(training):
                break
            place -= len(training)
        index = int(training.architecture_M[place])
        rows = (training.architecture_M == index).nonzero().flatten().tolist()
        optimizer, batch = self.populations[population]
        return InnerNetworks(
            self.config,
            training.architectures[index],
            [training.members[row] for row in rows],
            self.examples,
            self.queries,
            self.task,
            optimizer=optimizer,
            batch=batch,
            generator=generator,
        )

    def artifact(self) -> Aggregator:
        """See :class:`trainables.trainable.Fit`."""
        self.require_finite()
        return Aggregator(self.module, self.config)

    def validate(self) -> dict[str, float]:
        """On validation members and validation examples, a fifth of the labels that they are trained on wrong."""
        if not sum(len(population) for population in self.data.validation):
            return {}
        accuracy = self._validated(self.artifact())
        config = self.config
        key = ("trained by the mean", config.optimizers, config.batch_sizes, config.set_size, config.horizon)
        if key not in self.data.shared:
            self.data.shared[key] = self._validated(mean)
        return {
            AGGREGATED_ACCURACY.name: accuracy,
            GAIN_OVER_MEAN_PP.name: 100 * (accuracy - self.data.shared[key]),
        }

    def _validated(self, rule: Rule) -> float:
        """The mean accuracy over optimizers, batch sizes and members, each at the best of some learning rates."""
        dataset, found = self.data.dataset, []
        for architecture, members in _validation_members(self.data.validation):
            sets = corrupted_sets(
                dataset.train,
                self.task.outputs,
                [VALIDATION] * len(members),
                self.config.set_size,
                torch.Generator().manual_seed(0),
            )
            for optimizer, batch in self.populations:
                accuracy_RV = accuracies(
                    rule,
                    architecture,
                    self.task,
                    members,
                    sets,
                    dataset.validation,
                    rates=VALIDATION_RATES[optimizer],
                    optimizer=optimizer,
                    batch=batch,
                    steps=self.config.horizon,
                )
                found.append(accuracy_RV.mean(1).max())
        return float(torch.stack(found).mean())


def _validation_members(populations: Sequence[Population]) -> Iterator[tuple[Architecture, list[Member]]]:
    """Some members of some architectures."""
    groups = [
        (architecture, [population.members[row] for row in rows[:VALIDATED].tolist()])
        for population in populations
        for architecture, rows in population.groups()
    ]
    yield from groups[:ARCHITECTURES]


class Aggregator:
    """A fitted weighing network, frozen: a rule from gradients of examples to an update.

    Args:
        module: What was fitted.
        config: Its configuration.
    """

    def __init__(self, module: WeighingNetwork, config: AggregatorConfig) -> None:
        self.module, self.config = module.eval(), config

    @torch.no_grad()
    def weights(self, gradients: ExampleGradients) -> tuple[Tensor, ...]:
        """The weights of examples for the neurons of each layer, ``[M, H, B]`` each; they sum to 1 over examples."""
        found: tuple[Tensor, ...] = self.module(gradients)
        return found

    def __call__(self, gradients: ExampleGradients) -> Tensor:
        """The update in place of the mean gradient: ``[M, P]``."""
        return gradients.weighted(self.weights(gradients))

    def to_files(self) -> dict[str, bytes]:
        """See :class:`trainables.trainable.Artifact`."""
        tensors = {name: tensor.contiguous() for name, tensor in self.module.state_dict().items()}
        facts = to_json({"config": self.config})
        return {MODEL_FILE: save(tensors), CONFIG_FILE: json.dumps(facts, indent=2).encode()}

    @classmethod
    def from_files(cls, files: Mapping[str, bytes]) -> Aggregator:
        """The inverse of :meth:`to_files`."""
        config = from_json(AggregatorConfig, json.loads(files[CONFIG_FILE])["config"])
        module = WeighingNetwork(config.width)
        module.load_state_dict(load_tensors(files[MODEL_FILE]))
        return cls(module, config)


def check(config: AggregatorConfig, architectures: Sequence[Architecture]) -> dict[str, float]:  # noqa: ARG001
    """Raises a ``ValueError`` where examples of a minibatch have no gradients of their own; nothing is told else."""
    for architecture in architectures:
        GradientSource(architecture, Task("softmax", architecture.classes))
    return {}
