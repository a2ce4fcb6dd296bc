"""What is known of a task before anything is fitted to it, as a vector.

From this a hypernetwork computes its z, and predictors know it beside weights.

By the mean image of each of its classes, or by Task2Vec (Achille et al., arXiv 1902.03545): the Fisher information of
the filters of a probe network. Tasks that count are described by the class that they ask about, as one against the rest
of the objects that scenes are composed of.

Shape letters: T tasks, B examples of a class, D width of a description, F numbers of a small image.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from trainables.tasks.config import ProbeConfig, Task2VecConfig
from trainables.tasks.embedding import embed_tasks
from trainables.tasks.probe import TrainedProbe
from trainables.tasks.probe_training import train_probe
from trainables.tasks.task_examples import TaskExamples
from zoo.data.class_tasks import REST, parse_task
from zoo.data.examples import Dataset, Examples
from zoo.data.task import Task

# Images are described at no more than so many pixels a side.
SMALL = 8
# A probe network is small, and sees so many examples at most: it is trained within a fit.
PROBE = ProbeConfig(channels=(8, 16, 32), epochs=10)
PROBE_EXAMPLES = 4000
# Examples of a task, half of each class, on which the Fisher information is measured.
EMBEDDED = Task2VecConfig(examples=256)


class Describer(ABC):
    """Describes tasks by vectors of one width, from all of their labeled examples."""

    @abstractmethod
    def describe(self, examples: TaskExamples) -> Tensor:
        """A vector of each task: ``[T, D]``."""

    def to_files(self) -> dict[str, bytes]:
        """What it needs."""
        return {}


class ClassMeans(Describer):
    """The mean of each class's examples, images at ``SMALL`` pixels a side, in the order of the task's labels.

    Attributes:
        embed: What is made of examples ``[N, F]`` before, if not themselves are averaged.
    """

    embed: Callable[[Tensor], Tensor] | None = None

    def _embedded(self, examples: Examples) -> Tensor:
        rows_NF = small(examples)
        return rows_NF if self.embed is None else self.embed(rows_NF)

    def describe(self, examples: TaskExamples) -> Tensor:
        """See :class:`Describer`."""
        known = examples.describing
        # Classes occur in many tasks, and those of all examples would be read again and again.
        means: dict[bytes, Tensor] = {}
        described = []
        for rows, targets in zip(known.rows, known.targets, strict=True):
            parts = []
            for label in range(int(targets.max()) + 1):
                own = rows[targets == label]
                key = own.numpy().tobytes()
                if key not in means:
                    means[key] = self._embedded(known.examples.select(own)).mean(0)
                parts.append(means[key])
            described.append(torch.cat(parts))
        return torch.stack(described)

    def drawn(self, examples: TaskExamples, tasks: Sequence[int], count: int, generator: torch.Generator) -> Tensor:
        """The same of some tasks, by so many examples of each class, drawn with replacement."""
        known, chosen = examples.describing, []
        for task in tasks:
            rows, targets = known.rows[task], known.targets[task]
            for label in range(int(targets.max()) + 1):
                own = rows[targets == label]
                chosen.append(own[torch.randint(len(own), (count,), generator=generator)])
        embedded_NE = self._embedded(known.examples.select(torch.cat(chosen)))
        return embedded_NE.unflatten(0, (len(tasks), -1, count)).mean(2).flatten(1)


class Task2Vec(Describer):
    """Logarithms of the Fisher information of a probe network's filters; the order of labels is not in them.

    Args:
        probe: The probe network.
    """

    def __init__(self, probe: TrainedProbe) -> None:
        self.probe = probe

    def describe(self, examples: TaskExamples) -> Tensor:
        """See :class:`Describer`."""
        known = examples.describing
        part = known.examples.select(torch.cat(known.rows).unique())
        dataset = _dataset(part)
        found = embed_tasks(self.probe.network, [(dataset, task) for task in dict.fromkeys(known.tasks)], EMBEDDED)
        log_TD = torch.from_numpy(found.values_TE / found.prior_E).log()
        row_of = {task.task: row for row, task in enumerate(found.tasks)}
        return log_TD[[row_of[task] for task in known.tasks]]

    def to_files(self) -> dict[str, bytes]:
        """The probe network."""
        return self.probe.to_files()


def fitted_describer(name: str, examples: TaskExamples, shared: dict[Any, Any]) -> Describer:
    """What describes tasks, fitted to training tasks if it has something to be fitted.

    Args:
        name: "class-means" or "task2vec".
        examples: Of the training tasks. A probe network is trained on their classes alone.
        shared: Of fits to the same data, so that they train one probe network.
    """
    if name == "class-means":
        return ClassMeans()
    known = examples.describing
    classes = sorted({label for task in known.tasks for label in parse_task(task) if label != REST})
    key = ("probe", tuple(classes), len(known.examples))
    if key not in shared:
        dataset = _dataset(known.examples.first(PROBE_EXAMPLES))
        shared[key] = train_probe(dataset, replace(PROBE, task="-".join(map(str, classes))))
    return Task2Vec(shared[key])


def stored_describer(name: str, files: Mapping[str, bytes]) -> Describer | None:
    """The inverse of :meth:`Describer.to_files`; ``None`` where tasks are not described."""
    if not name:
        return None
    return ClassMeans() if name == "class-means" else Task2Vec(TrainedProbe.from_files(files))


def small(examples: Examples) -> Tensor:
    """Inputs as rows of few numbers: ``[N, F]``."""
    inputs = examples.inputs
    if inputs.ndim == 4 and max(inputs.shape[2:]) > SMALL:
        inputs = F.adaptive_avg_pool2d(inputs, SMALL)
    return inputs.flatten(1)


def _dataset(examples: Examples) -> Dataset:
    """A data set of these examples alone; what is not trained on is not looked at."""
    task = Task("softmax", int(examples.targets.max()) + 1)
    return Dataset("described", task, train=examples, validation=examples, test=examples)
