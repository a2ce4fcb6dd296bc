"""The variational estimate of the Fisher information: how much noise the filters of a probe bear.

Each weight w of a filter gets normal noise of the filter's own variance σ². For each task the variances minimize

    E[cross-entropy of the noisy network] + β KL(N(w, σ²) ‖ N(w, λ²))

with λ² the mean squared weight of the layer. To second order in the noise the minimum is at β / σ² = F + β / λ², so
that β / σ² estimates the Fisher information F, biased towards that of the prior where there is little to be told
(Achille et al., 2019, section 2, "Robust Fisher computation"). The noise is added to the outputs of layers, which has
the same distribution and less variance (the local reparametrization of Kingma et al., 2015). Unlike in the authors'
program λ² is fixed, so that all tasks have the same prior, and the probe stays as it is.

Shape letters: T tasks, B examples of a step and task, D features, C classes, F filters.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from trainables.adam import Adam
from trainables.tasks.config import Task2VecConfig
from trainables.tasks.fisher import HeadedTask
from trainables.tasks.probe import Filters, ProbeNetwork, hooked

IMAGES_AT_ONCE = 256
# Of the prior's variance, at the start.
FIRST_SHARE = 0.05


def variational_fisher(
    probe: ProbeNetwork, tasks: Sequence[HeadedTask], config: Task2VecConfig, generator: torch.Generator
) -> Tensor:
    """β / σ² of each filter for tasks of equally many classes: ``[T, F]``."""
    together = max(1, IMAGES_AT_ONCE // config.step_examples)
    parts = [tasks[start : start + together] for start in range(0, len(tasks), together)]
    return torch.cat([_fitted(probe, part, config, generator) for part in parts])


def _fitted(
    probe: ProbeNetwork, tasks: Sequence[HeadedTask], config: Task2VecConfig, generator: torch.Generator
) -> Tensor:
    weight_TCD = torch.stack([task.weight_CD for task in tasks])
    bias_TC = torch.stack([task.bias_C for task in tasks])
    weights_F = torch.cat(
        [torch.full((len(layer.weight),), layer.weight[0].numel()) for layer in probe.filters.values()]
    )
    # log(σ² / λ²): 0 is the prior.
    log_share_TF = torch.full((len(tasks), len(probe.filter_scales)), math.log(FIRST_SHARE), requires_grad=True)
    optimizer = Adam([log_share_TF], lr=config.step_size)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, config.steps)
    for _ in range(config.steps):
        drawn = [
            (task, torch.multinomial(task.shares_N, config.step_examples, replacement=True, generator=generator))
            for task in tasks
        ]
        inputs = torch.cat([probe.inputs(task.examples.select(task.rows_N[places])) for task, places in drawn])
        labels_TB = torch.stack([task.labels_N[places] for task, places in drawn])
        deviation_TF = (log_share_TF.exp() * probe.filter_scales).sqrt()
        features = noisy_features(probe, inputs, deviation_TF.repeat_interleave(config.step_examples, 0), generator)
        logits_TBC = features.unflatten(0, labels_TB.shape) @ weight_TCD.transpose(1, 2) + bias_TC[:, None]
        loss = F.cross_entropy(logits_TBC.flatten(0, 1), labels_TB.flatten(), reduction="sum") / config.step_examples
        divergence = (weights_F / 2 * (log_share_TF.exp() - log_share_TF - 1)).sum()
        optimizer.zero_grad(set_to_none=True)
        (loss + config.prior * divergence).backward()
        optimizer.step()
        schedule.step()
    return config.prior / (log_share_TF.detach().exp() * probe.filter_scales)


def noisy_features(probe: ProbeNetwork, inputs: Tensor, deviation_BF: Tensor, generator: torch.Generator) -> Tensor:
    """Features ``[B, D]`` of a probe whose weights have normal noise, drawn anew for each example and place.

    Args:
        probe: The network.
        inputs: ``[B, *input_shape]``.
        deviation_BF: Standard deviation of the noise of each filter's weights, for each example.
        generator: Draws the noise.
    """
    parts = deviation_BF.split(list(probe.counts.values()), dim=1)
    deviation_of = dict(zip(probe.counts, parts, strict=True))

    def add_noise(name: str, layer: Filters, x: Tensor, output: Tensor) -> Tensor:
        deviation = deviation_of[name].reshape(*deviation_of[name].shape, *(1 for _ in output.shape[2:]))
        return output + deviation * _input_norms(layer, x) * torch.randn(output.shape, generator=generator)

    with hooked(probe.filters, add_noise):
        features: Tensor = probe.module(inputs)
    return features


def _input_norms(layer: Filters, x: Tensor) -> Tensor:
    """Root of the summed squares of what a filter reads, at each place: ``[B, filters or 1, ...]``."""
    # Never exactly 0, where the root has no gradient.
    squares = x.square() + 1e-12
    if isinstance(layer, nn.Linear):
        return squares.sum(1, keepdim=True).sqrt()
    groups = layer.groups
    summed = squares.unflatten(1, (groups, -1)).sum(2)
    ones = torch.ones(groups, 1, *layer.kernel_size)
    found = F.conv2d(summed, ones, None, layer.stride, layer.padding, layer.dilation, groups).clamp_min(1e-12).sqrt()
    return found if groups == 1 else found.repeat_interleave(layer.out_channels // groups, dim=1)
