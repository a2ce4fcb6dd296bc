"""Embeddings of tasks: what they are, how they are kept, how a zoo's members get them.

Shape letters: T tasks, E width of an embedding (filters of the probe), M members, K columns.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from safetensors.numpy import load, save

from trainables.tasks.config import Task2VecConfig
from trainables.tasks.heads import Head
from zoo.config import canonical_json, from_json, to_json
from zoo.population import Population
from zoo.storage.store import Store

FACTS_FILE, TENSORS_FILE = "tasks.json", "embeddings.safetensors"
COLUMN = "task2vec"


@dataclass(frozen=True, kw_only=True, slots=True)
class EmbeddedTask:
    """What is known of a task.

    Attributes:
        dataset: Name of its data set.
        task: Which classes, as in ``zoo.data.class_tasks``; empty for all.
        classes: How many it tells apart.
        examples: How many training images were drawn for it.
        validation_error: Share of its validation images that the head misclassifies, classes weighing the same.
    """

    dataset: str
    task: str
    classes: int
    examples: int
    validation_error: float

    @property
    def name(self) -> str:
        """``data set:classes``, or the data set alone where all of its classes are told apart."""
        return f"{self.dataset}:{self.task}" if self.task else self.dataset


@dataclass(frozen=True)
class TaskEmbeddings:
    """Embeddings of tasks in one probe network.

    Attributes:
        tasks: What they are.
        values_TE: The embeddings, float32: the Fisher information of each filter and that of the prior.
        prior_E: The embedding of a task that tells nothing ("trivial" in the paper): that of the prior alone.
        heads: The classifier of each task on the probe's features.
        layers: How many filters each layer of the probe has, in the order of E.
        probe: Name and hash of the probe network.
        config: How they were made.
    """

    tasks: tuple[EmbeddedTask, ...]
    values_TE: np.ndarray
    prior_E: np.ndarray
    heads: tuple[Head, ...]
    layers: Mapping[str, int]
    probe: tuple[str, str]
    config: Task2VecConfig

    def __len__(self) -> int:
        return len(self.tasks)

    @property
    def names(self) -> tuple[str, ...]:
        """Of the tasks."""
        return tuple(task.name for task in self.tasks)

    @property
    def norms(self) -> np.ndarray:
        """The norm of each embedding, without the prior: how hard the task is. ``[T]``."""
        norms: np.ndarray = np.linalg.norm((self.values_TE - self.prior_E).clip(min=0), axis=1)
        return norms

    def select(self, rows: Sequence[int]) -> TaskEmbeddings:
        """Some of the tasks, in the given order."""
        chosen = tuple(self.tasks[row] for row in rows)
        return replace(
            self, tasks=chosen, values_TE=self.values_TE[list(rows)], heads=tuple(self.heads[row] for row in rows)
        )

    def coordinates(self, count: int) -> np.ndarray:
        """Principal components of the logarithms, each of variance 1: a short vector for each task, ``[T, count]``.

        Raises:
            ValueError: There are fewer tasks or filters than that.
        """
        most = min(len(self) - 1, self.values_TE.shape[1])
        if not 1 <= count <= most:
            raise ValueError(f"count is {count}; allowed: 1 to {most} for {len(self)} tasks")
        logarithms_TE = np.log(self.values_TE / self.prior_E).astype(np.float64)
        left, lengths, _ = np.linalg.svd(logarithms_TE - logarithms_TE.mean(0), full_matrices=False)
        signs = np.sign(left[np.abs(left).argmax(0), np.arange(left.shape[1])])
        kept = lengths[:count] > lengths[0] * 1e-6
        coordinates: np.ndarray = left[:, :count] * signs[:count] * kept * len(self) ** 0.5
        return coordinates.astype(np.float32)

    def join(self, population: Population, dataset: str, count: int) -> Population:
        """The population with columns ``task2vec_0`` …: coordinates of each member's task.

        Args:
            population: Members that have tasks.
            dataset: The data set that they were trained on.
            count: How many columns; see :meth:`coordinates`.

        Raises:
            ValueError: A member's task is not among those embedded.
        """
        row_of = {(task.dataset, task.task): row for row, task in enumerate(self.tasks)}
        asked = [(dataset, member.task) for member in population.members]
        lacking = [f"{dataset}:{task}" for dataset, task in dict.fromkeys(asked) if (dataset, task) not in row_of]
        if lacking or not asked:
            raise ValueError(
                f"tasks {', '.join(lacking[:4])} of the members are not embedded; embed them, of data set {dataset!r}"
                if asked
                else "nothing is known of how these networks were trained, so that their tasks are not known"
            )
        values_MK = self.coordinates(count)[[row_of[task] for task in asked]]
        columns = {f"{COLUMN}_{index}": values_MK[:, index] for index in range(count)}
        return replace(population, columns={**population.columns, **columns})

    def to_files(self) -> dict[str, bytes]:
        """As safetensors and JSON."""
        tensors = {"values_TE": self.values_TE, "prior_E": self.prior_E}
        for row, head in enumerate(self.heads):
            tensors |= {f"heads.{row}.weight_CD": head.weight_CD, f"heads.{row}.bias_C": head.bias_C}
        facts = {name: getattr(self, name) for name in ("tasks", "layers", "probe", "config")}
        return {
            TENSORS_FILE: save({name: np.ascontiguousarray(tensor) for name, tensor in tensors.items()}),
            FACTS_FILE: (json.dumps(to_json(facts), indent=1) + "\n").encode(),
        }

    @classmethod
    def from_files(cls, files: Mapping[str, bytes]) -> TaskEmbeddings:
        """The inverse of :meth:`to_files`."""
        tensors, facts = load(files[TENSORS_FILE]), json.loads(files[FACTS_FILE])
        return cls(
            tasks=tuple(from_json(EmbeddedTask, task) for task in facts["tasks"]),
            values_TE=tensors["values_TE"],
            prior_E=tensors["prior_E"],
            heads=tuple(
                Head(tensors[f"heads.{row}.weight_CD"], tensors[f"heads.{row}.bias_C"])
                for row in range(len(facts["tasks"]))
            ),
            layers=facts["layers"],
            probe=(facts["probe"][0], facts["probe"][1]),
            config=from_json(Task2VecConfig, facts["config"]),
        )

    @classmethod
    def open(cls, folder: str) -> TaskEmbeddings:
        """Reads what ``zooscale tasks`` has written into a folder, a path or a URI.

        Raises:
            FileNotFoundError: There are no embeddings.
        """
        store = Store(folder)
        return cls.from_files({file: store.read(file) for file in (FACTS_FILE, TENSORS_FILE)})


def joined(parts: Sequence[TaskEmbeddings]) -> TaskEmbeddings:
    """Embeddings in the same probe network, made in the same way, one after the other.

    Raises:
        ValueError: They are of different probe networks or configurations.
    """
    first = parts[0]
    for part in parts[1:]:
        if canonical_json([part.probe, part.config]) != canonical_json([first.probe, first.config]):
            raise ValueError(
                f"embeddings of {part.probe[0]!r} and {first.probe[0]!r}, or made in different ways, cannot be "
                "compared; embed all tasks in one probe network with one configuration"
            )
    return replace(
        first,
        tasks=tuple(task for part in parts for task in part.tasks),
        values_TE=np.concatenate([part.values_TE for part in parts]),
        heads=tuple(head for part in parts for head in part.heads),
    )
