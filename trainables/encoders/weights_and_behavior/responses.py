"""What networks do on stored inputs: how sure they are, how they spread classes, how their hidden units respond.

Accuracy shows in what networks do better than in how they are made, and needs no label: sure and even predictions that
agree with other networks' are right (Unterthiner et al. use weights alone; probing is as old as Kofinas et al.,
"Graph Neural Networks for Learning Equivariant Representations of Neural Networks", ICLR 2024, section 4, and Kahana
et al., "Deep Linear Probe Generators for Weight Space Learning", ICLR 2025). Every feature is the same whatever the
order of hidden units.

Shape letters: M members, N examples, C outputs, U units of a layer, S positions.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from trainables.encoders.weights_and_behavior.columns import TINY, Columns, quantiles, spectrum, summary
from zoo.architecture import Architecture

SHARES = (0.05, 0.25, 0.5, 0.75, 0.95)
# Below this an input's predicted class counts as ruled out; without a floor one input would decide about a mean.
LEAST_PROBABILITY = 1e-6
# Networks whose activations explode are compared by this much.
LARGEST = 1e4


def bounded(values: Tensor) -> Tensor:
    """Values without NaN, none beyond ± 10 000."""
    return torch.nan_to_num(values, nan=0.0, posinf=LARGEST, neginf=-LARGEST).clamp(-LARGEST, LARGEST)


def output_columns(name: str, outputs_MNC: Tensor, *, softmax: bool) -> Columns:
    """Features of outputs on one set of inputs.

    Args:
        name: Of the inputs.
        outputs_MNC: The outputs.
        softmax: Whether they are logits of classes; else only their size and spectrum count.
    """
    if softmax:
        outputs_MNC = outputs_MNC - outputs_MNC.mean(2, keepdim=True)
    mean_MC = outputs_MNC.mean(1)
    varying_MNC = outputs_MNC - mean_MC[:, None]
    classes = outputs_MNC.shape[2]
    found = spectrum(f"{name} outputs", varying_MNC / math.sqrt(varying_MNC.shape[1]), points=min(classes, 8))
    found[f"{name} constant part"] = (mean_MC.square().mean(1) + TINY).log() / 2
    if not softmax or classes < 2:
        return found
    probability_MNC = outputs_MNC.softmax(2)
    entropy_MN = -(probability_MNC * (probability_MNC + TINY).log()).sum(2) / math.log(classes)
    top_MN2 = probability_MNC.topk(2, dim=2).values
    found |= summary(f"{name} confidence", top_MN2[..., 0], SHARES)
    found |= summary(f"{name} margin", top_MN2[..., 0] - top_MN2[..., 1], SHARES)
    found |= summary(f"{name} entropy", entropy_MN, SHARES)
    chosen_MC = F.one_hot(probability_MNC.argmax(2), classes).float().mean(1)
    for what, share_MC in (("chosen", chosen_MC), ("probable", probability_MNC.mean(1))):
        found[f"{name} {what} balance"] = -(share_MC * (share_MC + TINY).log()).sum(1) / math.log(classes)
        found[f"{name} {what} most"] = share_MC.amax(1)
        found[f"{name} {what} least"] = share_MC.amin(1)
    return found


def change_columns(name: str, outputs_MNC: Tensor, changed_MNC: Tensor) -> Columns:
    """How predictions change when the inputs are changed a little."""
    log_MNC, other_MNC = outputs_MNC.log_softmax(2), changed_MNC.log_softmax(2)
    divergence_MN = (log_MNC.exp() * (log_MNC - other_MNC)).sum(2).clamp_min(0)
    same_M = (log_MNC.argmax(2) == other_MNC.argmax(2)).float().mean(1)
    return {
        f"{name} same": same_M,
        f"{name} divergence": (divergence_MN.mean(1) + 1e-6).log(),
        f"{name} divergence median": (quantiles(divergence_MN, (0.5,))[:, 0] + 1e-6).log(),
    }


def agreement_columns(name: str, outputs_MNC: Tensor, wanted_N: Tensor) -> Columns:
    """How predictions agree with one class for each input: overall, and in the best and worst told classes."""
    log_MNC = outputs_MNC.log_softmax(2)
    index_MN1 = wanted_N.expand(len(outputs_MNC), -1).unsqueeze(2)
    wanted_MN = log_MNC.gather(2, index_MN1)[..., 0]
    others_MN = log_MNC.scatter(2, index_MN1, -torch.inf).amax(2)
    right_MN = (wanted_MN > others_MN).float()
    classes = outputs_MNC.shape[2]
    member_NC = F.one_hot(wanted_N, classes).float()
    occurring = member_NC.sum(0) > 0
    by_class_MC = (right_MN @ member_NC)[:, occurring] / member_NC.sum(0)[occurring]
    loss_M = -wanted_MN.clamp_min(math.log(LEAST_PROBABILITY)).mean(1)
    found = {
        f"{name} agreement": right_MN.mean(1),
        f"{name} wanted probability": wanted_MN.exp().mean(1),
        f"{name} wanted loss": loss_M,
        f"{name} wanted log loss": (loss_M + 1e-6).log(),
    }
    margin_MN = (wanted_MN - others_MN).clamp(-20, 20)
    for share, values_M in zip(SHARES, quantiles(margin_MN, SHARES).unbind(1), strict=True):
        found[f"{name} wanted margin {100 * share:g} %"] = values_M
    return found | summary(f"{name} classes", by_class_MC)


def hidden_columns(architecture: Architecture, weights_MP: Tensor, x: Tensor) -> Columns:
    """Features of what each activation gives on inputs: how many units live, how they vary, how many directions."""
    found: Columns = {}
    last = len(architecture.activations) - 1

    def note(number: int, given: Tensor) -> Tensor:
        found.update(_units("hidden last" if number == last else f"hidden {number}", bounded(given)))
        return given

    architecture.logits(weights_MP, x, after_activation=note)
    return found


def _units(name: str, given: Tensor) -> Columns:
    """Of one activation: ``[M, N, U]`` or ``[M, N, U, height, width]``."""
    values_MUK = given.transpose(1, 2).flatten(2)
    mean_MU = values_MUK.mean(2)
    centered_MUK = values_MUK - mean_MU[..., None]
    variance_MU = centered_MUK.square().mean(2)
    size_MU = (variance_MU + TINY).sqrt()
    largest_M1 = size_MU.amax(1, keepdim=True).clamp_min(1e-6)
    found = spectrum(f"{name} responses", centered_MUK / math.sqrt(values_MUK.shape[2]))
    found |= summary(f"{name} deviation", size_MU.log())
    found |= summary(f"{name} mean", mean_MU / largest_M1)
    return found | {
        f"{name} alive": (size_MU > 0.01 * largest_M1).float().mean(1),
        f"{name} positive": (values_MUK > 0).float().mean((1, 2)),
        f"{name} size": (values_MUK.square().mean((1, 2)) + TINY).log() / 2,
        f"{name} kurtosis": (
            centered_MUK.pow(4).mean((1, 2)) / variance_MU.mean(1).square().clamp_min(TINY) + TINY
        ).log(),
    }
