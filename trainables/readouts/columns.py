"""What readouts tell: columns of populations, as numbers or as categories.

Shape letters: M members, K outputs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields

import numpy as np

from zoo.population import Member, Population

# How members are trained, without what only tells them apart.
CHOSEN = tuple(
    field.name
    for field in fields(Member)
    if field.name not in ("id", "seed", "order_seed", "subset_seed", "subset_index")
)


def is_numeric(target_M: np.ndarray) -> bool:
    """Whether a column is regressed; else it is classified."""
    return bool(np.issubdtype(target_M.dtype, np.number))


def target_of(population: Population, target: str) -> np.ndarray:
    """A column of a population as it is predicted: numbers, or categories as text.

    Raises:
        ValueError: There is no such column; the message lists those there are.
    """
    column_M = population.column(target)
    return column_M.astype(np.float64) if is_numeric(column_M) else column_M.astype(str)


def targets_of(populations: Sequence[Population], target: str) -> np.ndarray:
    """:func:`target_of` of several populations, one after the other."""
    return np.concatenate([target_of(population, target) for population in populations])


def strata_of(population: Population) -> np.ndarray:
    """A text that members of equal hyper-parameters, activation, epoch and size have in common: ``[M]``."""
    chosen = [population.column(name) for name in (*CHOSEN, "epoch", "activation")]
    return np.array([repr((population.parameters, *values)) for values in zip(*chosen, strict=True)])


def known(target_M: np.ndarray) -> np.ndarray:
    """Which targets are known, finite numbers and names that are not empty: bool ``[M]``."""
    return np.isfinite(target_M) if is_numeric(target_M) else np.asarray(target_M != "")


def categories_of(target_M: np.ndarray) -> tuple[str, ...]:
    """The categories of a column, in order, without what is not known; empty where it is a number."""
    return () if is_numeric(target_M) else tuple(np.unique(target_M[known(target_M)]).tolist())


def decided(outputs_MK: np.ndarray, categories: Sequence[str]) -> np.ndarray:
    """Numbers, or the names of the categories with the largest output; of two categories one output's sign decides."""
    if not categories:
        return outputs_MK[:, 0]
    number_M = outputs_MK.argmax(1) if outputs_MK.shape[1] > 1 else (outputs_MK[:, 0] > 0).astype(int)
    return np.array(categories)[number_M]
