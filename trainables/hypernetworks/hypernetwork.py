"""SuperNet: one generator for many tasks; a task that it was not trained on is solved by its vector z alone.

The generator is trained end to end through the networks that it makes, on many tasks a step; then it is frozen, and
for a held-out task z is fitted to its labeled examples.

Shape letters: T tasks, P parameters, Z width of z.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import replace

import torch
from safetensors.torch import load as load_tensors
from safetensors.torch import save
from torch import Tensor

from trainables.autoencoders.config import AutoencoderConfig
from trainables.autoencoders.coordinates import Coordinates
from trainables.gradient_fit import GradientFit
from trainables.hypernetworks.adaptation import Adapted, AdaptedVector, VectorPrior, adapt, task_accuracies
from trainables.hypernetworks.config import HypernetworkConfig
from trainables.hypernetworks.metrics import ADAPTED_ACCURACY, FITTED_ACCURACY, START_ACCURACY
from trainables.hypernetworks.supernet import Embedding, SuperNet
from trainables.tasks.descriptions import ClassMeans, Describer, fitted_describer, small, stored_describer
from trainables.tasks.task_examples import TaskExamples, task_loss, tasks_of
from trainables.trainable import FitData
from zoo.architecture import Architecture
from zoo.config import from_json, to_json
from zoo.data.task import Task
from zoo.population import Population
from zoo.population.population import single_architecture

MODEL_FILE, CONFIG_FILE = "model.safetensors", "config.json"
COORDINATES = "coordinates."
# Examples on which the nearest training task is found.
COMPARED = 64
# Examples by whose mean and deviation others are seen where they are embedded.
EMBEDDED_EXAMPLES = 4000


class HypernetworkFit(GradientFit):
    """Fits a generator to the training tasks of a zoo of tasks.

    Its networks' weights are not looked at, but for what measures how weights act, where that is asked for.

    Args:
        config: Its configuration.
        data: Of a zoo whose members have class tasks: those of training members are trained on, those of validation
            members are held out.
    """

    module: SuperNet

    def __init__(self, config: HypernetworkConfig, data: FitData) -> None:
        training, validation = data.one_layout("a hypernetwork")
        tasks, held_out = tasks_of([training]), tasks_of([validation])
        self.data, self.held_out = data, held_out
        self.task = data.dataset.task.of_classes(range(training.architecture.classes))
        self.examples = TaskExamples(tasks, data.dataset.train, objects=data.dataset.objects).shifted(config.shift)
        self.describer = fitted_describer(config.describe, self.examples, data.shared) if config.describe else None
        embedding = None
        if config.embedded and isinstance(self.describer, ClassMeans):
            examples_NF = small(self.examples.describing.examples.first(EMBEDDED_EXAMPLES))
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(config.seed)
                embedding = self.describer.embed = Embedding(examples_NF.shape[1], config.embedded)
            embedding.know(examples_NF)
        described_TD = self.describer.describe(self.examples) if self.describer else torch.zeros(len(tasks), 0)
        coordinates = None
        if config.view != "fan_in":
            finite = training.select(torch.isfinite(training.weights_MP).all(1).nonzero().flatten())
            coordinates = Coordinates.fit(_as_autoencoder(config), finite, data.dataset.train)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(config.seed)
            module = SuperNet(config, training.architecture, tasks, described_TD.shape[1], embedding, coordinates)
        if self.describer:
            module.know(described_TD)
        super().__init__(config, module, [len(tasks)], config.weight_decay)

    def batches(self, generator: torch.Generator) -> Iterator[tuple[int, Tensor]]:
        """Tasks of each step of an epoch: all of them in a random order, again and again."""
        count = min(self.config.task_batch, len(self.module.tasks))
        waiting = torch.zeros(0, dtype=torch.int64)
        for _ in range(self.config.steps):
            while len(waiting) < count:
                waiting = torch.cat([waiting, torch.randperm(len(self.module.tasks), generator=generator)])
            yield 0, waiting[:count]
            waiting = waiting[count:]

    def losses(self, population: int, rows_B: Tensor, generator: torch.Generator) -> Mapping[str, Tensor]:  # noqa: ARG002
        """``loss``: the mean over tasks."""
        module = self.module
        inputs, labels_TB = self.examples.drawn(rows_B.tolist(), self.config.examples, generator)
        weights_TP = module.generator(self._vectors(rows_B, generator))
        return {"loss": task_loss(self.task, module.architecture.logits(weights_TP, inputs), labels_TB).mean()}

    def _vectors(self, rows_B: Tensor, generator: torch.Generator) -> Tensor:
        if not (isinstance(self.describer, ClassMeans) and self.config.described_by):
            return self.module.trained_vectors[rows_B]
        drawn_TD = self.describer.drawn(self.examples, rows_B.tolist(), self.config.described_by, generator)
        return self.module.computed(drawn_TD)

    def artifact(self) -> Hypernetwork:
        """See :class:`trainables.trainable.Fit`."""
        self.require_finite()
        if self.module.embedding is not None and self.describer is not None:
            with torch.no_grad():
                self.module.know(self.describer.describe(self.examples))
        return Hypernetwork(self.module, self.task, self.describer)

    def validate(self) -> dict[str, float]:
        """Accuracy on validation examples: of training tasks, and of validation tasks with z alone."""
        made, dataset = self.artifact(), self.data.dataset
        fitted = TaskExamples(self.module.tasks, dataset.validation)
        found = {FITTED_ACCURACY.name: made.accuracy(made.trained_vectors, fitted)}
        if self.held_out:
            examples = TaskExamples(self.held_out, dataset.train, objects=dataset.objects)
            judged = TaskExamples(self.held_out, dataset.validation)
            found[ADAPTED_ACCURACY.name] = made.accuracy(made.vectors(examples, seed=self.config.seed), judged)
            found[START_ACCURACY.name] = made.accuracy(made.start(examples, self.config.seed), judged)
        return found


class Hypernetwork:
    """A fitted generator, frozen.

    Args:
        module: What was fitted.
        task: What the networks are trained for.
        describer: What describes tasks, if z is computed from that.
    """

    def __init__(self, module: SuperNet, task: Task, describer: Describer | None = None) -> None:
        self.module = module.eval().requires_grad_(False)
        self.task, self.describer = task, describer

    @property
    def architecture(self) -> Architecture:
        """Of the networks."""
        return self.module.architecture

    @property
    def tasks(self) -> tuple[str, ...]:
        """Names of the training tasks."""
        return self.module.tasks

    @property
    def trained_vectors(self) -> Tensor:
        """Vectors of the training tasks: ``[T, Z]``."""
        return self.module.trained_vectors.detach()

    @torch.no_grad()
    def make(self, z_TZ: Tensor) -> Population:
        """A network of each vector.

        Raises:
            ValueError: The vectors have another width than the generator reads.
        """
        if z_TZ.ndim != 2 or z_TZ.shape[1] != self.module.config.z:
            raise ValueError(f"z has shape {tuple(z_TZ.shape)}; expected [tasks, {self.module.config.z}]")
        return single_architecture(self.architecture, self.module.generator(z_TZ))

    def vectors(
        self,
        examples: TaskExamples,
        *,
        steps: int | None = None,
        prior: float | None = None,
        seed: int = 0,
    ) -> Tensor:
        """Vectors of tasks, fitted to their labeled examples while the generator stays as it is.

        Args:
            examples: The labeled examples of each task.
            steps: As the configuration says where ``None``; likewise the prior.
            prior: Its strength.
            seed: Of the examples drawn.

        Returns:
            ``z_TZ``.
        """
        config = self.module.config
        strength = config.adapt_prior if prior is None else prior
        adapted = self.adapted(examples, strength, seed)
        self.adapt(
            adapted,
            examples,
            steps=config.adapt_steps if steps is None else steps,
            learning_rate=config.adapt_learning_rate,
            batch=config.examples,
            seed=seed,
        )
        return adapted.numbers[0].detach()

    def adapt(
        self, adapted: Adapted, examples: TaskExamples, *, steps: int, learning_rate: float, batch: int, seed: int
    ) -> None:
        """Fits numbers of tasks, z or others, as the generator was fitted: for its task, to images moved as its were.

        The arguments are those of :func:`trainables.hypernetworks.adaptation.adapt`.
        """
        moving = examples.shifted(self.module.config.shift)
        adapt(
            adapted,
            self.architecture,
            self.task,
            moving,
            steps=steps,
            learning_rate=learning_rate,
            batch=batch,
            seed=seed,
        )

    def adapted(self, examples: TaskExamples, prior: float, seed: int = 0) -> AdaptedVector:
        """Vectors of tasks that start as the configuration says, to be fitted under a prior of this strength.

        The prior is that of training tasks' vectors; where tasks are described, about what the description says.
        """
        start_TZ, expected = self.start(examples, seed), VectorPrior.of(self.trained_vectors, prior)
        if self.describer is not None:
            expected = replace(expected, mean=start_TZ)
        return AdaptedVector(self.module.generator, start_TZ, expected)

    @torch.no_grad()
    def start(self, examples: TaskExamples, seed: int = 0) -> Tensor:
        """Where z starts for tasks that were not trained on, as the configuration says: ``[T, Z]``."""
        if self.describer is not None:
            return self.described(examples)
        if self.module.config.start == "mean":
            return self.trained_vectors.mean(0).expand(len(examples), -1)
        return self.nearest(examples, seed)

    @torch.no_grad()
    def described(self, examples: TaskExamples) -> Tensor:
        """Vectors of tasks computed from their descriptions, with no step of adaptation: ``[T, Z]``.

        Raises:
            ValueError: The generator was fitted to tasks without descriptions.
        """
        if self.describer is None:
            raise ValueError(
                "this hypernetwork computes no vector from a description; fit one with --set describe=class-means or "
                "--set describe=task2vec"
            )
        return self.module.computed(self.describer.describe(examples))

    @torch.no_grad()
    def nearest(self, examples: TaskExamples, seed: int = 0) -> Tensor:
        """The training tasks' vectors whose networks have the smallest loss on examples of each task: ``[T, Z]``."""
        generator = torch.Generator().manual_seed(seed)
        moving = examples.shifted(self.module.config.shift)
        inputs, labels_TB = moving.drawn(range(len(examples)), COMPARED, generator)
        weights_TP = self.module.generator(self.trained_vectors)
        nearest = []
        for own_inputs, own_labels in zip(inputs, labels_TB, strict=True):
            outputs_TBC = self.architecture.logits(weights_TP, own_inputs)
            nearest.append(int(task_loss(self.task, outputs_TBC, own_labels.expand(len(weights_TP), -1)).argmin()))
        return self.trained_vectors[nearest]

    def accuracy(self, z_TZ: Tensor, examples: TaskExamples) -> float:
        """The mean over tasks of the accuracy of the networks that these vectors make."""
        return float(task_accuracies(self.architecture, self.task, self.make(z_TZ).weights_MP, examples).mean())

    def to_files(self) -> dict[str, bytes]:
        """See :class:`trainables.trainable.Artifact`."""
        facts = {
            "config": self.module.config,
            "architecture": self.architecture.to_json(),
            "tasks": self.tasks,
            "task": self.task,
            "described": self.module.description_TD.shape[1] if self.describer else 0,
            "example": len(self.module.embedding.center_F) if self.module.embedding else 0,
        }
        tensors = {name: tensor.contiguous() for name, tensor in self.module.state_dict().items()}
        if (coordinates := self.module.generator.coordinates) is not None:
            tensors |= {COORDINATES + name: tensor.contiguous() for name, tensor in coordinates.tensors().items()}
        files = {MODEL_FILE: save(tensors), CONFIG_FILE: json.dumps(to_json(facts), indent=2).encode()}
        return files | (self.describer.to_files() if self.describer else {})

    @classmethod
    def from_files(cls, files: Mapping[str, bytes]) -> Hypernetwork:
        """The inverse of :meth:`to_files`."""
        facts = json.loads(files[CONFIG_FILE])
        config = from_json(HypernetworkConfig, facts["config"])
        architecture = Architecture.from_json(facts["architecture"])
        tensors = load_tensors(files[MODEL_FILE])
        own = {name.removeprefix(COORDINATES): t for name, t in tensors.items() if name.startswith(COORDINATES)}
        coordinates = Coordinates.from_tensors(_as_autoencoder(config), architecture, own) if own else None
        embedding = Embedding(facts["example"], config.embedded) if config.embedded else None
        module = SuperNet(config, architecture, facts["tasks"], facts["described"], embedding, coordinates)
        module.load_state_dict({name: t for name, t in tensors.items() if not name.startswith(COORDINATES)})
        describer = stored_describer(config.describe, files)
        if isinstance(describer, ClassMeans):
            describer.embed = embedding
        return cls(module, from_json(Task, facts["task"]), describer)


def _as_autoencoder(config: HypernetworkConfig) -> AutoencoderConfig:
    """What coordinates are to know of the configuration."""
    return AutoencoderConfig(view=config.view, canonical="given", gain=False)
