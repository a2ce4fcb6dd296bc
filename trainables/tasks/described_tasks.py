"""Descriptions of the tasks that networks solve: what is known of a network without looking at it.

Shape letters: M members, D width of a description.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from safetensors.numpy import load, save

from trainables.tasks.descriptions import Describer, fitted_describer, stored_describer
from trainables.tasks.task_examples import TaskExamples, tasks_of
from trainables.trainable import FitData
from zoo.data.class_tasks import parse_task
from zoo.data.examples import Dataset
from zoo.population import Population

NAME_FILE, VALUES_FILE = "described_tasks.json", "described_tasks.safetensors"


@dataclass(frozen=True)
class DescribedTasks:
    """Descriptions of tasks by their names, from all labeled training examples of each.

    Attributes:
        name: "class-means" or "task2vec".
        describer: What describes further tasks.
        values: By the name of each task its description, float32 ``[D]``.
    """

    name: str
    describer: Describer
    values: Mapping[str, np.ndarray]

    @classmethod
    def fit(cls, name: str, data: FitData) -> DescribedTasks:
        """Describes the tasks of training and validation members; a probe network learns from the former alone.

        Raises:
            ValueError: A member has no task, or descriptions of the tasks have no common width.
        """
        populations = (*data.training, *data.validation)
        lacking = sum(len(population) for population in populations if not population.members)
        lacking += sum(not member.task for population in populations for member in population.members)
        if lacking:
            raise ValueError(
                f"describe is {name!r}, but {lacking:,} of {sum(map(len, populations)):,} networks have no task of "
                "their own; take a zoo whose members tell some classes apart, as digits-tasks, or leave describe empty"
            )
        tasks = tasks_of(data.training)
        counts = sorted({len(parse_task(task)) for task in tasks_of(populations)})
        if name == "class-means" and len(counts) > 1:
            raise ValueError(
                f"describe is 'class-means', which are as many as a task has classes, and tasks of this zoo have "
                f"{' or '.join(map(str, counts))}; take task2vec"
            )
        examples = TaskExamples(tasks, data.dataset.train, objects=data.dataset.objects)
        key = ("described tasks", name, tasks_of(populations))
        if key not in data.shared:
            described = cls(name, fitted_describer(name, examples, data.shared), {})
            data.shared[key] = described.on(data.dataset, populations)
        found: DescribedTasks = data.shared[key]
        return found

    def on(self, dataset: Dataset, populations: Sequence[Population]) -> DescribedTasks:
        """The same, which knows the tasks of further networks too; nothing is fitted, and no network is looked at.

        Args:
            dataset: What they were trained on; its training examples describe the tasks.
            populations: The networks.
        """
        further = [task for task in tasks_of(populations) if task not in self.values]
        if not further:
            return self
        described_TD = self.describer.describe(TaskExamples(further, dataset.train, objects=dataset.objects))
        return replace(self, values={**self.values, **dict(zip(further, described_TD.numpy(), strict=True))})

    def of(self, population: Population) -> np.ndarray:
        """The description of each network's task: float32 ``[M, D]``.

        Raises:
            ValueError: Tasks of networks are not known, or not described.
        """
        lacking = [task for task in tasks_of([population]) if task not in self.values]
        if lacking or not all(member.task for member in population.members) or not population.members:
            raise ValueError(
                f"{', '.join(lacking[:4]) or 'what networks have to tell apart'} is not among the {len(self.values)} "
                "tasks that are described; have those of these networks described first, by for_tasks_of"
            )
        return np.stack([self.values[member.task] for member in population.members])

    def to_files(self) -> dict[str, bytes]:
        """All of it as safetensors and JSON."""
        return {
            NAME_FILE: json.dumps({"describe": self.name}).encode(),
            VALUES_FILE: save({task: np.ascontiguousarray(value_D) for task, value_D in self.values.items()}),
            **self.describer.to_files(),
        }

    @classmethod
    def from_files(cls, files: Mapping[str, bytes]) -> DescribedTasks | None:
        """The inverse of :meth:`to_files`; ``None`` where no tasks were described."""
        if NAME_FILE not in files:
            return None
        name = str(json.loads(files[NAME_FILE])["describe"])
        describer = stored_describer(name, files)
        if describer is None:
            raise ValueError(f"{NAME_FILE} does not say what describes tasks")
        return cls(name, describer, load(files[VALUES_FILE]))
