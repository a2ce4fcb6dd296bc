"""Networks whose weights are finite but far larger than others': what is to be done with them, in one place.

A network that began to diverge may have weights of any size. One of them is enough to decide by what the weights of all
networks are divided, or to make a loss infinite; and of what is squared in it there may be no number. Fits of encoders
and of readouts leave such networks out, and say so; embeddings are of bounded ones. What is to give weights back, such
as an autoencoder, refuses those that it cannot square.

Shape letters: M members, N networks of all populations.
"""

from __future__ import annotations

import logging
import operator
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from trainables.trainable import Fit, FitData, Reference, resolved
from zoo.population import Population
from zoo.words import counted

logger = logging.getLogger(__name__)

# Beyond this, products over a few layers and their squares are infinite in float32.
LARGEST_WEIGHT = 1e6
# So many times the largest weight of three quarters of the training networks, or so much itself where that is below 1,
# a fit takes. Zoos whose learning rates are drawn over several decades reach 30 times their median.
TIMES = 100.0
MOST = 0.75
# So many networks are named.
NAMED = 3
KEY = "without networks of very large weights"


def bounded(population: Population) -> Population:
    """Networks without weights beyond ± 1e6, which are moved there; the same object where there are none.

    Args:
        population: Networks, all finite.
    """
    if bool((largest_weights(population) <= LARGEST_WEIGHT).all()):
        return population
    return population.with_weights(population.weights_MP.clamp(-LARGEST_WEIGHT, LARGEST_WEIGHT))


def begin(inner: Reference, config: Any, data: FitData) -> Fit:
    """Begins a fit that sees :func:`without_large`.

    Args:
        inner: ``(config, FitData) -> Fit``.
        config: What to fit.
        data: What there is.
    """
    fit: Fit = resolved(inner)(config, without_large(data))
    return fit


def without_large(data: FitData) -> FitData:
    """What a fit is to see: neither in training nor in validation networks with a weight beyond :func:`limit_of`.

    Those that are left out are logged, once for all fits that share the data. Networks with weights that are NaN or
    infinite stay, to be refused.

    Returns:
        ``data`` itself where there are none.

    Raises:
        ValueError: No training network is left.
    """
    if KEY not in data.shared:
        data.shared[KEY] = _without_large(data)
    found: FitData | None = data.shared[KEY]
    return data if found is None else found


def _without_large(data: FitData) -> FitData | None:
    limit = limit_of(torch.cat([largest_weights(population) for population in data.training]))
    training, validation = (
        tuple(_within(limit, each, split) for each in of)
        for split, of in (("training", data.training), ("validation", data.validation))
    )
    if all(map(operator.is_, (*training, *validation), (*data.training, *data.validation))):
        return None
    kept = tuple(population for population in training if len(population))
    if not kept:
        raise ValueError(
            f"all training networks have weights beyond {limit:g}, which nothing can be fitted to: leave them out, or "
            "train networks with lower learning rates"
        )
    return replace(data, training=kept, validation=validation, shared={KEY: None})


def require_squares(population: Population) -> None:
    """Raises a ``ValueError`` where weights of a network are finite and their summed squares are not.

    Args:
        population: Training networks.
    """
    finite_M = torch.isfinite(population.weights_MP).all(1)
    rows = (finite_M & ~torch.isfinite(population.weights_MP.square().sum(1))).nonzero()[:, 0].tolist()
    if rows:
        raise ValueError(
            f"{len(rows)} of {len(population)} training networks have weights too large to be squared: "
            f"{_named(population, rows)}; leave them out, or train networks with lower learning rates"
        )


def limit_of(largest_N: Tensor) -> float:
    """The largest weight of networks that something is fitted to: 100 times that of three quarters of all networks.

    Counted as 1 where it is less, so that zoos of networks that decayed to nothing keep their others; 1e6 at most.

    Args:
        largest_N: :func:`largest_weights` of the training networks; those that are not finite do not count.
    """
    sizes_N = largest_N[torch.isfinite(largest_N)].sort().values
    of_most = float(sizes_N[int(MOST * (len(sizes_N) - 1))]) if len(sizes_N) else 0.0
    return min(LARGEST_WEIGHT, TIMES * max(1.0, of_most))


def largest_weights(population: Population) -> Tensor:
    """The size of each network's largest weight: ``[M]``."""
    least_M, most_M = population.weights_MP.aminmax(dim=1)
    return torch.maximum(-least_M, most_M)


def _within(limit: float, population: Population, split: str) -> Population:
    largest_M = largest_weights(population)
    large_M = torch.isfinite(largest_M) & (largest_M > limit)
    if not large_M.any():
        return population
    rows = large_M.nonzero()[:, 0].tolist()
    count, named = counted(len(rows), f"{split} network"), _named(population, rows)
    logger.warning("%s left out of fits, with weights beyond %.3g: %s", count, limit, named)
    return population.select(torch.nonzero(~large_M)[:, 0])


def _named(population: Population, rows: Sequence[int]) -> str:
    """The first of some networks, each with its largest weight."""
    largest = largest_weights(population.select(rows[:NAMED])).tolist()
    named = "; ".join(f"{_name(population, row)} with {size:.3g}" for row, size in zip(rows, largest, strict=False))
    return named + ("; …" if len(rows) > NAMED else "")


def _name(population: Population, row: int) -> str:
    member = f"member {population.members[row].id}" if population.members else f"row {row}"
    return f"{member}, epoch {population.epochs[row]}" if population.epochs else member
