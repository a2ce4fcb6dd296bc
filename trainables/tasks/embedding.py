"""Embedding of tasks in the filters of a probe network.

Shape letters: T tasks, E width of an embedding (filters of the probe), N examples, D features.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from trainables.tasks.config import Task2VecConfig
from trainables.tasks.embeddings import EmbeddedTask, TaskEmbeddings
from trainables.tasks.fisher import DrawnLabels, HeadedTask, task_fisher
from trainables.tasks.heads import Head, class_weights, fit_head
from trainables.tasks.probe import ProbeNetwork
from trainables.tasks.variational import variational_fisher
from zoo.data.class_tasks import parse_task, task_labels
from zoo.data.examples import Dataset, Examples


def embed_tasks(
    probe: ProbeNetwork, tasks: Sequence[tuple[Dataset, str]], config: Task2VecConfig | None = None
) -> TaskEmbeddings:
    """Embeds tasks: fits a head to each, then measures the Fisher information of the probe's filters.

    Args:
        probe: The probe network; it is the same for all tasks whose embeddings are to be compared.
        tasks: Each a data set and which of its classes are told apart (``zoo.data.class_tasks``). Training images make
            the embedding, validation images tell the head's error; test images are not looked at.
        config: How; by default exactly.

    Raises:
        ValueError: There are no tasks, one is named twice, its data set is not one of images with classes, or lacks
            images of a class.
    """
    config = config or Task2VecConfig()
    if not tasks:
        raise ValueError("there are no tasks to embed; name at least one")
    embedded: list[EmbeddedTask] = []
    heads: list[Head] = []
    by_classes: dict[int, list[tuple[int, HeadedTask]]] = defaultdict(list)
    features = Features(probe)
    for row, (dataset, task) in enumerate(tasks):
        about, head, headed = _with_head(features, dataset, task, config)
        if about.name in {other.name for other in embedded}:
            raise ValueError(f"task {about.name} is named twice; name each once")
        embedded.append(about)
        heads.append(head)
        by_classes[about.classes].append((row, headed))
    prior_E = config.prior / probe.filter_scales
    values_TE = torch.empty(len(tasks), len(prior_E))
    generator = torch.Generator().manual_seed(config.seed)
    for group in by_classes.values():
        rows, of_group = [row for row, _ in group], [headed for _, headed in group]
        if config.estimate == "variational":
            values_TE[rows] = variational_fisher(probe, of_group, config, generator)
        else:
            drawn = DrawnLabels(config.samples, generator) if config.estimate == "monte-carlo" else None
            values_TE[rows] = task_fisher(probe, of_group, drawn) + prior_E
    return TaskEmbeddings(
        tasks=tuple(embedded),
        values_TE=values_TE.numpy(),
        prior_E=prior_E.numpy(),
        heads=tuple(heads),
        layers=probe.counts,
        probe=(probe.name, probe.sha256),
        config=config,
    )


class Features:
    """Features of examples in a probe network, each computed when it is first asked for."""

    def __init__(self, probe: ProbeNetwork) -> None:
        self.probe = probe
        self._known: dict[int, tuple[Examples, dict[int, np.ndarray]]] = {}

    def __call__(self, examples: Examples, rows: Tensor) -> np.ndarray:
        """Features of some of the examples, float32 ``[rows, D]``."""
        if id(examples) not in self._known:
            self._known[id(examples)] = examples, {}  # kept, so that no others get this id
        known = self._known[id(examples)][1]
        new = [row for row in dict.fromkeys(rows.tolist()) if row not in known]
        if new:
            known |= dict(zip(new, self.probe.features(examples.select(new)), strict=True))
        return np.stack([known[row] for row in rows.tolist()])


def _with_head(
    features: Features, dataset: Dataset, task: str, config: Task2VecConfig
) -> tuple[EmbeddedTask, Head, HeadedTask]:
    """A task's examples with the head that is fitted to them, and what is known of it."""
    classes = dataset.task.of_classes(parse_task(task)).outputs
    rows_N, labels_N = drawn_examples(dataset, task, dataset.train, config)
    held_out, held_out_labels = drawn_examples(dataset, task, dataset.validation, config)
    validation = features(dataset.validation, held_out), held_out_labels
    head = fit_head(features(dataset.train, rows_N), labels_N, classes, config.penalty)
    about = EmbeddedTask(
        dataset=dataset.name,
        task=task,
        classes=classes,
        examples=len(labels_N),
        validation_error=head.error(*validation),
    )
    headed = HeadedTask(
        examples=dataset.train,
        rows_N=rows_N,
        labels_N=torch.from_numpy(labels_N),
        shares_N=torch.from_numpy(class_weights(labels_N)).float(),
        weight_CD=torch.from_numpy(head.weight_CD).float(),
        bias_C=torch.from_numpy(head.bias_C).float(),
    )
    return about, head, headed


def drawn_examples(
    dataset: Dataset, task: str, examples: Examples, config: Task2VecConfig
) -> tuple[Tensor, np.ndarray]:
    """Rows of examples drawn for a task, equally many of each class as far as there are, and their labels in it.

    Of a class the same examples are drawn for every task that has it.

    Raises:
        ValueError: The data set has no classes or lacks one, or ``config.examples`` is less than the classes.
    """
    if not dataset.task.has_classes:
        raise ValueError(f"data set {dataset.name!r} has no classes, and without there is no task to embed")
    classes = dataset.task.of_classes(parse_task(task)).outputs
    if config.examples < classes:
        raise ValueError(f"Task2VecConfig.examples is {config.examples}; allowed: {classes} or more, one of each class")
    order = np.random.default_rng(config.seed).permutation(len(examples))
    labels_N = task_labels(task, examples.targets).numpy()[order]
    rows = []
    for label in range(classes):
        of_class = order[labels_N == label]
        if not len(of_class):
            raise ValueError(f"task {task!r} of data set {dataset.name!r}: there are no images of its class {label}")
        rows.append(of_class[: config.examples // classes])
    drawn = torch.from_numpy(np.concatenate(rows))
    return drawn, np.repeat(np.arange(classes), [len(of_class) for of_class in rows])
