"""What lies between two networks: on the straight line between their latents, and between their weights.

Between weights the second network's hidden units are matched with the first one's (Ainsworth, Hayase and Srinivasa,
"Git Re-Basin", ICLR 2023, section 4), or are as they lie in the zoo.

Shape letters: R pairs of members, T places along the way, N examples, P parameters.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from analysis.evaluators.evaluator import EvaluationData, Subject
from analysis.statistics.groups import evenly_spaced
from trainables.autoencoders.autoencoder import Latent
from trainables.autoencoders.receiver import Receiver
from zoo.population import Population
from zoo.views import align

PLACES = tuple(np.linspace(0, 1, 11).round(2).tolist())
MOST_PAIRS = 32
Way = Callable[[float], Tensor]
"""The weights ``[R, P]`` of all pairs at a place between 0 and 1."""


def pairs_of(population: Population) -> Tensor:
    """Pairs of members of one architecture and class task, no member in two of them: rows, int64 ``[R, 2]``."""
    tasks = [member.task for member in population.members] or [""] * len(population)
    groups: dict[tuple[int, str], list[int]] = {}
    for row, (architecture, task) in enumerate(zip(population.architecture_M.tolist(), tasks, strict=True)):
        groups.setdefault((architecture, task), []).append(row)
    pairs = [(rows[place], rows[place + len(rows) // 2]) for rows in groups.values() for place in range(len(rows) // 2)]
    chosen = [pairs[place] for place in evenly_spaced(len(pairs), MOST_PAIRS)]
    return torch.tensor(chosen, dtype=torch.int64).reshape(-1, 2)


def weight_way(population: Population, pairs_R2: Tensor, *, matched: bool) -> Way:
    """Straight from the weights of one to those of the other."""
    first_RP, second_RP = (population.weights_MP[rows] for rows in pairs_R2.unbind(1))
    if matched:
        second_RP = torch.cat(
            [
                align(second_P.unsqueeze(0), population.architecture, first_P).weights_MP
                for first_P, second_P in zip(first_RP, second_RP, strict=True)
            ]
        )
    return lambda place: torch.lerp(first_RP, second_RP, place)


def latent_way(receiver: Receiver, latent: Latent, pairs_R2: Tensor) -> Way:
    """What is decoded straight from one latent to the other; a network's size goes along, as its logarithm."""
    first, second = (latent.select(rows.tolist()) for rows in pairs_R2.unbind(1))

    @torch.no_grad()
    def weights(place: float) -> Tensor:
        gain_R = torch.lerp(first.gain_M.double(), second.gain_M.double(), place)
        return receiver.weights(torch.lerp(first.values_MZ, second.values_MZ, place), gain_R)

    return weights


def accuracy_along(way: Way, population: Population, data: EvaluationData) -> np.ndarray:
    """Accuracy of the networks of all pairs at all ``PLACES``: ``[R, T]``.

    Args:
        way: Gives their weights.
        population: The first member of each pair: architecture and class task are both members'.
        data: Test examples of a task with classes.
    """
    targets, part_RN = data.targets(population), data.part(population)
    along = []
    for place in PLACES:
        right_RN = (Subject(population.with_weights(way(place)), "the way").predicted(data) == targets).double()
        if part_RN is None:
            along.append(right_RN.mean(1))
        else:
            along.append((right_RN * part_RN).sum(1) / part_RN.sum(1))
    return torch.stack(along, dim=1).numpy()


def barriers(accuracy_RT: np.ndarray) -> np.ndarray:
    """How far accuracy falls below the straight line between both ends, at most, in percentage points: ``[R]``.

    Frankle et al., "Linear Mode Connectivity and the Lottery Ticket Hypothesis" (ICML 2020, section 2), of accuracy.
    """
    straight_RT = accuracy_RT[:, :1] + (accuracy_RT[:, -1:] - accuracy_RT[:, :1]) * np.array(PLACES)
    return 100 * (straight_RT - accuracy_RT).max(1)
