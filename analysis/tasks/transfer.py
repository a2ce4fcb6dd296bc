"""Networks of source tasks as feature extractors for target tasks with few labels.

Shape letters: S sources, T targets.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from trainables.tasks.config import Task2VecConfig
from trainables.tasks.embedding import Features, drawn_examples
from trainables.tasks.embeddings import TaskEmbeddings
from trainables.tasks.heads import fit_head
from trainables.tasks.probe import ProbeNetwork
from zoo.data.class_tasks import parse_task, task_labels
from zoo.data.examples import Dataset

# Few labels need more than the embeddings' own.
PENALTY = 1e-2


def transfer_errors(
    sources: Sequence[ProbeNetwork],
    targets: Sequence[tuple[Dataset, str]],
    labels: int,
    draws: Sequence[int] = (0,),
) -> np.ndarray:
    """Test error on each target of a linear head on the features of each source: ``[S, T]``.

    Args:
        sources: Networks without their heads.
        targets: Each a data set and which of its classes are told apart.
        labels: Labeled training images of each class.
        draws: Seeds of the draws of these images, over which errors are averaged; all sources get the same images.
    """
    errors_ST = np.zeros((len(sources), len(targets)))
    for row, source in enumerate(sources):
        features = Features(source)
        for column, (dataset, task) in enumerate(targets):
            classes = dataset.task.of_classes(parse_task(task)).outputs
            test = held_out_features(features, dataset, task)
            config = Task2VecConfig(examples=labels * classes)
            for seed in draws:
                rows_N, labels_N = drawn_examples(dataset, task, dataset.train, replace(config, seed=seed))
                head = fit_head(features(dataset.train, rows_N), labels_N, classes, PENALTY)
                errors_ST[row, column] += head.error(*test) / len(draws)
    return errors_ST


def held_out_errors(probe: ProbeNetwork, datasets: Sequence[Dataset], embeddings: TaskEmbeddings) -> np.ndarray:
    """Share of each task's test images that its head misclassifies, classes weighing the same: ``[T]``.

    Raises:
        ValueError: The embeddings are of another probe network, or of a data set that is not given.
    """
    if embeddings.probe[1] != probe.sha256:
        raise ValueError(f"the tasks are embedded in {embeddings.probe[0]!r}, not in {probe.name!r}")
    by_name = {dataset.name: dataset for dataset in datasets}
    if lacking := {task.dataset for task in embeddings.tasks} - set(by_name):
        raise ValueError(f"data sets {', '.join(sorted(lacking))} of the tasks are not given")
    features = Features(probe)
    return np.array(
        [
            head.error(*held_out_features(features, by_name[task.dataset], task.task))
            for task, head in zip(embeddings.tasks, embeddings.heads, strict=True)
        ]
    )


def held_out_features(features: Features, dataset: Dataset, task: str) -> tuple[np.ndarray, np.ndarray]:
    """Features of a task's test images, and their labels in it."""
    labels = task_labels(task, dataset.test.targets)
    rows = (labels >= 0).nonzero().flatten()
    return features(dataset.test, rows), labels[rows].numpy()
