"""How much of what networks do survives in their reconstructions.

Shape letters: M members, N examples, C outputs.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from trainables.behavior import divergence
from zoo.data.class_tasks import select
from zoo.data.examples import Examples
from zoo.data.task import Task
from zoo.evaluation import apply
from zoo.population import Population

# Outputs that hardly vary over examples cannot be told from a constant.
SMALLEST_VARIANCE = 1e-12


def measure(original: Population, reconstructed_MP: Tensor, examples: Examples, task: Task) -> dict[str, Tensor]:
    """Compares networks with their reconstructions, each on the examples of its own class task where it has one.

    Args:
        original: The networks.
        reconstructed_MP: Their reconstructions' weights.
        examples: What both are applied to.
        task: The data set's task: says whether outputs are logits of classes.

    Returns:
        Paired measurements, float64 ``[M]`` each: ``accuracy_original``, ``accuracy_reconstructed``, ``agreement``
        and ``kl`` where there are classes, else ``output_error`` and ``output_r2``.
    """
    names = (
        ("accuracy_original", "accuracy_reconstructed", "agreement", "kl")
        if task.has_classes
        else ("output_error", "output_r2")
    )
    found = {name: torch.empty(len(original), dtype=torch.float64) for name in names}
    for class_task, rows in task_groups(original):
        own, members = select(class_task, examples), original.select(rows)
        compare = _classes if task.has_classes else _values
        for values, name in zip(compare(members, reconstructed_MP[rows], own), names, strict=True):
            found[name][rows] = values
    return found


def summary(parts: Sequence[dict[str, Tensor]]) -> dict[str, float]:
    """Means over the members of all parts, under the names of ``trainables.metrics``."""
    joined = {name: torch.cat([part[name] for part in parts]) for name in parts[0]}
    if "agreement" not in joined:
        return {name: float(values.mean()) for name, values in joined.items()}
    difference_M = 100 * (joined["accuracy_original"] - joined["accuracy_reconstructed"])
    return {
        "agreement": float(joined["agreement"].mean()),
        "accuracy_drop_pp": float(difference_M.mean()),
        "accuracy_shift_pp": float(difference_M.abs().mean()),
        "kl": float(joined["kl"].mean()),
    }


def _classes(original: Population, reconstructed_MP: Tensor, examples: Examples) -> Tensor:
    """Accuracies of both, agreement, KL divergence: ``[4, M]``."""
    sums = torch.zeros(4, len(original), dtype=torch.float64)
    for rows, span, before_MNC, after_MNC in _side_by_side(original, reconstructed_MP, examples):
        labels, before_MN, after_MN = examples.targets[span], before_MNC.argmax(-1), after_MNC.argmax(-1)
        parts = (before_MN == labels, after_MN == labels, before_MN == after_MN, divergence(before_MNC, after_MNC))
        sums[:, rows] += torch.stack([part.double().sum(1) for part in parts])
    return sums / len(examples)


def _values(original: Population, reconstructed_MP: Tensor, examples: Examples) -> Tensor:
    """Relative output error and R² of outputs: ``[2, M]``."""
    outputs = original.architecture.classes
    error_M = torch.zeros(len(original), dtype=torch.float64)
    sums_MC, squares_MC = torch.zeros(2, len(original), outputs, dtype=torch.float64)
    for rows, _, before_MNC, after_MNC in _side_by_side(original, reconstructed_MP, examples):
        before_MNC = before_MNC.double()
        error_M[rows] += (after_MNC - before_MNC).square().sum((1, 2))
        sums_MC[rows] += before_MNC.sum(1)
        squares_MC[rows] += before_MNC.square().sum(1)
    spread_M = (squares_MC - sums_MC.square() / len(examples)).sum(1)
    share_M = error_M / spread_M.clamp_min(SMALLEST_VARIANCE * len(examples))
    return torch.stack([share_M.sqrt(), 1 - share_M])


def _side_by_side(
    original: Population, reconstructed_MP: Tensor, examples: Examples
) -> Iterator[tuple[Tensor, slice, Tensor, Tensor]]:
    """Applies both to the same examples, in pieces of bounded memory: yields rows, examples, and both outputs."""
    both = zip(apply(original, examples), apply(original, examples, reconstructed_MP), strict=True)
    for (rows, span, before_MNC), (_, _, after_MNC) in both:
        yield rows, span, before_MNC, after_MNC


def task_groups(population: Population) -> Iterator[tuple[str, Tensor]]:
    """Yields each class task that occurs with the rows that have it (int64); "" for the whole data set."""
    tasks = [member.task for member in population.members] or [""] * len(population)
    for task in dict.fromkeys(tasks):
        yield task, torch.tensor([row for row, own in enumerate(tasks) if own == task])
