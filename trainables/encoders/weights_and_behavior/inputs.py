"""Stored inputs on which networks are looked at, and the class that training networks see in each.

Shape letters: M members, N examples, C outputs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor

from trainables.encoders.weights_and_behavior.columns import under
from zoo.data.examples import Dataset, Examples
from zoo.evaluation import outputs
from zoo.population import Population

# The examples with noise on them, and noise alone: how many for each example.
NOISY_SHARE, NOISE_SHARE = 2, 4
NOISE = 0.3
CONSENSUS_ROUNDS = 3
CONSENSUS_SHARE = 4
CONSENSUS_MEMBERS = 512


@dataclass(frozen=True)
class Inputs:
    """Inputs by name.

    "seen" are training examples, "unseen" validation examples, "noisy" some of the seen ones with noise, "noise" their
    values in random order.

    Attributes:
        sets: ``[N, *input_shape]`` each, as a data set's ``Examples`` hold them: images as bytes.
        scale: What one step of a byte is worth.
        wanted: For "seen" and "unseen" the class of each, int64 ``[N]``; empty where that is not to be known.
        classes: How many classes there are; 0 where outputs are not logits of classes.
    """

    sets: Mapping[str, Tensor]
    scale: float
    wanted: Mapping[str, Tensor]
    classes: int

    @classmethod
    def of(
        cls, dataset: Dataset, training: Sequence[Population], count: int, seed: int, *, consensus: bool, labels: bool
    ) -> Inputs:
        """Draws inputs.

        Args:
            dataset: Where from.
            training: Networks whose consensus is taken; those with the outputs of the first population count.
            count: How many of "seen" and of "unseen".
            seed: Of the draw.
            consensus: Whether there are to be classes.
            labels: Whether the classes are the labels, not the consensus.
        """
        generator = torch.Generator().manual_seed(seed)
        chosen = {
            name: examples.select(torch.randperm(len(examples), generator=generator)[:count])
            for name, examples in (("seen", dataset.train), ("unseen", dataset.validation))
        }
        seen = chosen["seen"].values
        numbers = seen.float()
        noise = NOISE * numbers.std(correction=0) * torch.randn(seen.shape, generator=generator)
        shuffled = seen.flatten()[torch.randperm(seen.numel(), generator=generator)].reshape(seen.shape)
        sets = {name: examples.values for name, examples in chosen.items()} | {
            "noisy": like(numbers + noise, seen)[: -(-len(seen) // NOISY_SHARE)],
            "noise": shuffled[: -(-len(seen) // NOISE_SHARE)],
        }
        inputs = cls(sets, dataset.train.scale, {}, 0)
        classes = training[0].architecture.classes if dataset.task.loss == "softmax" else 0
        wanted: dict[str, Tensor] = {}
        if classes > 1 and labels and dataset.task.outputs == classes:
            wanted = {name: examples.targets for name, examples in chosen.items()}
        elif classes > 1 and consensus and not labels:
            alike = [_some(population) for population in training if population.architecture.classes == classes]
            both = inputs.examples(torch.cat([sets["seen"], sets["unseen"]]))
            given = torch.cat([outputs(population, both) for population in alike])
            agreed = consensus_of(given).split([len(sets["seen"]), len(sets["unseen"])])
            wanted = dict(zip(("seen", "unseen"), agreed, strict=True))
        return replace(inputs, wanted=wanted, classes=classes)

    def adapted(self, shape: Sequence[int]) -> dict[str, Tensor] | None:
        """The sets in another shape: of images, the mean over channels, resized; ``None`` for what is no image."""
        own, wanted = tuple(self.sets["seen"].shape[1:]), tuple(shape)
        if own == wanted:
            return dict(self.sets)
        if len(own) != 3 or len(wanted) != 3:
            return None
        return {name: like(_resized(values.float(), wanted), values) for name, values in self.sets.items()}

    def examples(self, values: Tensor) -> Examples:
        """Values of a set, or of several, as examples without targets."""
        return Examples(values, torch.zeros(len(values), dtype=torch.int64), self.scale)

    def tensors(self) -> dict[str, Tensor]:
        """Everything as tensors; :meth:`from_tensors` is the inverse."""
        found = {f"sets/{name}": x for name, x in self.sets.items()}
        found |= {f"wanted/{name}": wanted_N for name, wanted_N in self.wanted.items()}
        return found | {"classes": torch.tensor(self.classes), "scale": torch.tensor(self.scale, dtype=torch.float64)}

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, Tensor]) -> Inputs:
        """The inverse of :meth:`tensors`."""
        sets, wanted = under("sets/", tensors), under("wanted/", tensors)
        return cls(sets, float(tensors["scale"]), wanted, int(tensors["classes"]))


def like(numbers: Tensor, values: Tensor) -> Tensor:
    """Numbers as bytes where the values are."""
    return numbers if values.dtype != torch.uint8 else numbers.round().clamp(0, 255).to(torch.uint8)


def consensus_of(outputs_MNC: Tensor) -> Tensor:
    """The class of each input ``[N]`` by the mean probabilities of the networks that agree with it most.

    It begins with all networks and goes on three times with the quarter that agrees most with the outcome so far: bad
    networks err each in its own way, good ones agree.
    """
    probability_MNC = torch.nan_to_num(outputs_MNC).softmax(2)
    chosen_MN = probability_MNC.argmax(2)
    agreed_N = probability_MNC.mean(0).argmax(1)
    for _ in range(CONSENSUS_ROUNDS):
        agreement_M = (chosen_MN == agreed_N).float().mean(1)
        best = agreement_M.topk(-(-len(agreement_M) // CONSENSUS_SHARE)).indices
        agreed_N = probability_MNC[best].mean(0).argmax(1)
    return agreed_N


def _some(population: Population) -> Population:
    """At most so many networks, the last snapshots first where epochs are known."""
    late = torch.argsort(torch.tensor(population.epochs or (0,) * len(population)), descending=True, stable=True)
    return population.select(late[:CONSENSUS_MEMBERS])


def _resized(x: Tensor, shape: tuple[int, ...]) -> Tensor:
    """Images of another size or number of channels."""
    x = x if x.shape[1] == shape[0] else x.mean(1, keepdim=True).expand(-1, shape[0], -1, -1)
    if x.shape[2:] == shape[1:]:
        return x.contiguous()
    return F.interpolate(x, size=shape[1:], mode="bilinear", antialias=True, align_corners=False)
