"""Weight noise and adversarial examples for one ``nn.Module``: what the fast ones are held to."""

from collections.abc import Callable
from statistics import NormalDist

import numpy as np
import torch
from reference_dropout import words
from torch import Tensor, nn

from zoo.population import Member
from zoo.streams import Purpose
from zoo.training.dropout import step_keys


def uniform(purpose: Purpose, member: Member, epoch: int, step: int, count: int) -> np.ndarray:
    """Draws between 0 and 1, float64: the middles of 2**24 equal parts."""
    keys_12 = step_keys(purpose, [member.seed], epoch, np.array([step]))[0]
    signed = words(keys_12, count)[0].view(np.int32).astype(np.int64)
    return ((signed >> 8) + 2**23 + 0.5) / 2**24


@torch.no_grad()
def add_weight_noise(module: nn.Module, member: Member, epoch: int, step: int) -> None:
    """Adds a step's noise to weights and biases of linear layers and convolutions, in place."""
    if not member.weight_noise:
        return
    layers = [part for part in module.modules() if isinstance(part, nn.Linear | nn.Conv2d)]
    neurons = sum(len(layer.weight) for layer in layers)
    entries = sum(value.numel() for layer in layers for value in layer.parameters())
    drawn = iter(uniform(Purpose.WEIGHT_NOISE, member, epoch, step, neurons + entries).tolist())
    chosen = [torch.tensor([next(drawn) < member.weight_noise_share for _ in layer.weight]) for layer in layers]
    for layer, has_noise in zip(layers, chosen, strict=True):
        for value in layer.parameters():
            gauss = torch.tensor([NormalDist().inv_cdf(next(drawn)) for _ in range(value.numel())]).view(value.shape)
            noise = member.weight_noise * value.square().mean().sqrt() * gauss
            value[has_noise] += noise[has_noise]


def attacked(
    module: nn.Module,
    member: Member,
    loss_of: Callable[[Tensor], Tensor],
    x: Tensor,
    limits: tuple[float, float],
    epoch: int,
    step: int,
) -> Tensor:
    """FGSM, or PGD from a random start; leaves running statistics as they are."""
    before = {name: value.clone() for name, value in module.named_buffers()}
    epsilon, steps = member.adversarial_epsilon, member.adversarial_steps
    moved = x
    if steps > 1:
        start = torch.from_numpy(uniform(Purpose.ATTACK, member, epoch, step, x.numel())).float().view(x.shape)
        moved = (x + epsilon * (2 * start - 1)).clamp(*limits)
    for _ in range(steps):
        moved = moved.detach().requires_grad_()
        (gradient,) = torch.autograd.grad(loss_of(moved), moved)
        moved = moved.detach() + (epsilon if steps == 1 else 2.5 * epsilon / steps) * gradient.sign()
        moved = torch.max(torch.min(moved, x + epsilon), x - epsilon).clamp(*limits)
    with torch.no_grad():
        for name, value in module.named_buffers():
            value.copy_(before[name])
    return moved.detach()
