"""Stored inputs on which networks are looked at, and the class that training networks see in each.

Shape letters: M members, N examples, C outputs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

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
        sets: float32 ``[N, *input_shape]`` each.
        wanted: For "seen" and "unseen" the class of each, int64 ``[N]``; empty where that is not to be known.
        classes: How many classes there are; 0 where outputs are not logits of classes.
    """

    sets: Mapping[str, Tensor]
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
        seen = chosen["seen"].inputs
        noise = NOISE * seen.std(correction=0) * torch.randn(seen.shape, generator=generator)
        shuffled = seen.flatten()[torch.randperm(seen.numel(), generator=generator)].reshape(seen.shape)
        sets = {name: examples.inputs for name, examples in chosen.items()} | {
            "noisy": (seen + noise)[: -(-len(seen) // NOISY_SHARE)],
            "noise": shuffled[: -(-len(seen) // NOISE_SHARE)],
        }
        classes = training[0].architecture.classes if dataset.task.loss == "softmax" else 0
        wanted: dict[str, Tensor] = {}
        if classes > 1 and labels and dataset.task.outputs == classes:
            wanted = {name: examples.targets for name, examples in chosen.items()}
        elif classes > 1 and consensus and not labels:
            alike = [_some(population) for population in training if population.architecture.classes == classes]
            given = torch.cat([applied(population, torch.cat([sets["seen"], sets["unseen"]])) for population in alike])
            agreed = consensus_of(given).split([len(sets["seen"]), len(sets["unseen"])])
            wanted = dict(zip(("seen", "unseen"), agreed, strict=True))
        return cls(sets, wanted, classes)

    def adapted(self, shape: Sequence[int]) -> dict[str, Tensor] | None:
        """The inputs in another shape: of images, the mean over channels, resized; ``None`` for what is no image."""
        return _adapted(self.sets, tuple(shape))

    def tensors(self) -> dict[str, Tensor]:
        """Everything as tensors; :meth:`from_tensors` is the inverse."""
        found = {f"sets/{name}": x for name, x in self.sets.items()}
        found |= {f"wanted/{name}": wanted_N for name, wanted_N in self.wanted.items()}
        return found | {"classes": torch.tensor(self.classes)}

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, Tensor]) -> Inputs:
        """The inverse of :meth:`tensors`."""

        def under(prefix: str) -> dict[str, Tensor]:
            return {name.removeprefix(prefix): x for name, x in tensors.items() if name.startswith(prefix)}

        return cls(under("sets/"), under("wanted/"), int(tensors["classes"]))


def applied(population: Population, x: Tensor) -> Tensor:
    """``outputs_MNC`` of networks on inputs."""
    return outputs(population, Examples(x, torch.zeros(len(x), dtype=torch.int64)))


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


def _adapted(sets: Mapping[str, Tensor], shape: tuple[int, ...]) -> dict[str, Tensor] | None:
    own = tuple(next(iter(sets.values())).shape[1:])
    if own == shape:
        return dict(sets)
    if len(own) != 3 or len(shape) != 3:
        return None

    def resized(x: Tensor) -> Tensor:
        channels = x if own[0] == shape[0] else x.mean(1, keepdim=True).expand(-1, shape[0], -1, -1)
        if own[1:] == shape[1:]:
            return channels.contiguous()
        return F.interpolate(channels, size=shape[1:], mode="bilinear", antialias=True, align_corners=False)

    return {name: resized(x) for name, x in sets.items()}
