"""The diagonal of the Fisher information of a probe's weights, averaged over each filter, for many tasks at once.

The labels of the Fisher information are those that the network itself predicts: with p = softmax(W h + b) for features
h, the gradient of log p(y) by h is w_y - Σ p_c w_c. It is taken back through the probe to the output of each layer,
example by example; with the layer's input this gives the gradient by each weight, which is squared and averaged over
the weights of a filter and over examples (Achille et al., 2019, section 2).

Shape letters: T tasks, N examples of a task, B pairs of a task and an example, K gradients of a pair, D features, C
classes, F filters of the probe; of one layer: G groups of channels, O filters of a group, W weights of a filter, L
places in an image.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from trainables.tasks.probe import Filters, ProbeNetwork, hooked
from zoo.data.examples import Examples

PAIRS_AT_ONCE = 64


@dataclass(frozen=True)
class HeadedTask:
    """The examples that were drawn for a task, and the head that was fitted to them.

    Attributes:
        examples: What they were drawn from.
        rows_N: Which they are.
        labels_N: Their labels in the task.
        shares_N: What each example counts; they sum to 1.
        weight_CD: The head's weights of features.
        bias_C: What the head adds.
    """

    examples: Examples
    rows_N: Tensor
    labels_N: Tensor
    shares_N: Tensor
    weight_CD: Tensor
    bias_C: Tensor


@dataclass(frozen=True)
class DrawnLabels:
    """Labels are drawn from the prediction, ``count`` for each example, in place of an exact expectation."""

    count: int
    generator: torch.Generator


def task_fisher(probe: ProbeNetwork, tasks: Sequence[HeadedTask], drawn: DrawnLabels | None = None) -> Tensor:
    """The Fisher information of tasks of equally many classes, averaged over the weights of each filter: ``[T, F]``."""
    total_TF = torch.zeros(len(tasks), len(probe.filter_scales))
    for chosen in _batches(tasks):
        task_B = torch.cat([torch.full((len(places),), number) for number, places in chosen])
        parts = [(tasks[number], places) for number, places in chosen]
        inputs = torch.cat([probe.inputs(task.examples.select(task.rows_N[places])) for task, places in parts])
        weight_BCD = torch.cat([task.weight_CD.expand(len(places), -1, -1) for task, places in parts])
        bias_BC = torch.cat([task.bias_C.expand(len(places), -1) for task, places in parts])
        share_B = torch.cat([task.shares_N[places] for task, places in parts])
        of_labels = partial(label_gradients, weight_BCD=weight_BCD, bias_BC=bias_BC, drawn=drawn)
        total_TF.index_add_(0, task_B, filter_squares(probe, inputs, of_labels) * share_B[:, None])
    return total_TF


def _batches(tasks: Sequence[HeadedTask]) -> Iterator[list[tuple[int, Tensor]]]:
    """All pairs of a task and an example, some at a time: numbers of tasks, each with places among its examples."""
    chosen: list[tuple[int, Tensor]] = []
    free = PAIRS_AT_ONCE
    for number, task in enumerate(tasks):
        places = torch.arange(len(task.rows_N))
        while len(places):
            chosen.append((number, places[:free]))
            places, free = places[free:], free - len(chosen[-1][1])
            if not free:
                yield chosen
                chosen, free = [], PAIRS_AT_ONCE
    if chosen:
        yield chosen


def label_gradients(
    features_BD: Tensor, weight_BCD: Tensor, bias_BC: Tensor, drawn: DrawnLabels | None = None
) -> Tensor:
    """Gradients by features whose squares, summed over K, make up the Fisher information: ``[B, K, D]``.

    Exact, each class has one, weighted by the root of its probability. Those of two classes are parallel: they become
    one.
    """
    p_BC = (torch.einsum("bd,bcd->bc", features_BD, weight_BCD) + bias_BC).softmax(1)
    if drawn is None and p_BC.shape[1] == 2:
        return (p_BC.prod(1).sqrt()[:, None] * (weight_BCD[:, 1] - weight_BCD[:, 0]))[:, None]
    away_BCD = weight_BCD - torch.einsum("bc,bcd->bd", p_BC, weight_BCD)[:, None]
    if drawn is None:
        return p_BC.sqrt()[:, :, None] * away_BCD
    labels_BK = torch.multinomial(p_BC, drawn.count, replacement=True, generator=drawn.generator)
    return away_BCD[torch.arange(len(p_BC))[:, None], labels_BK] / drawn.count**0.5


def filter_squares(probe: ProbeNetwork, inputs: Tensor, gradients_of: Callable[[Tensor], Tensor]) -> Tensor:
    """Squared gradients of each example, summed over K and averaged over the weights of each filter: ``[B, F]``.

    Args:
        probe: The network.
        inputs: ``[B, *input_shape]``.
        gradients_of: Gradients by features, ``[B, K, D]`` of ``[B, D]``.
    """
    seen: dict[str, tuple[Tensor, Tensor]] = {}

    def keep(name: str, _: Filters, x: Tensor, output: Tensor) -> None:
        seen[name] = (x.detach(), output)

    with torch.enable_grad(), hooked(probe.filters, keep):
        features_BD = probe.module(inputs.clone().requires_grad_())
    gradients_BKD = gradients_of(features_BD.detach())
    patches = [_patches(probe.filters[name], x) for name, (x, _) in seen.items()]
    outputs = [output for _, output in seen.values()]
    squares_BF = torch.zeros(len(inputs), len(probe.filter_scales))
    for gradient_BD in gradients_BKD.unbind(1):
        backward = torch.autograd.grad(features_BD, outputs, gradient_BD, retain_graph=True)
        squares_BF += torch.cat(list(_mean_squares(patches, backward)), dim=1)
    return squares_BF


def _mean_squares(patches: Sequence[Tensor], backward: Sequence[Tensor]) -> Iterator[Tensor]:
    """For each layer, mean squared gradients ``[B, filters]`` from its patches and the gradient by its output."""
    for patches_BGWL, gradient in zip(patches, backward, strict=True):
        batch, groups, _, places = patches_BGWL.shape
        gradient_BGOL = gradient.reshape(batch, groups, -1, places)
        yield (gradient_BGOL @ patches_BGWL.transpose(2, 3)).square().mean(3).flatten(1)


def _patches(layer: Filters, x: Tensor) -> Tensor:
    """What each weight of a filter is multiplied by at each place: ``[B, G, W, L]``."""
    if isinstance(layer, nn.Linear):
        return x.flatten(1)[:, None, :, None]
    # Not a word such as "same": none of torchvision's networks nor of ours has one.
    padding = cast(tuple[int, ...], layer.padding)
    columns = F.unfold(x, layer.kernel_size, layer.dilation, padding, layer.stride)
    return columns.unflatten(1, (layer.groups, -1))
