"""Distances of task embeddings (Achille et al., "Task2Vec", ICCV 2019, section 3).

Shape letters: A and B tasks, E width of an embedding.
"""

from __future__ import annotations

import numpy as np

# What the paper takes off for the complexity of a source.
COMPLEXITY_WEIGHT = 0.15


def symmetric_distance(values_AE: np.ndarray, values_BE: np.ndarray | None = None) -> np.ndarray:
    """1 - cosine of a / (a + b) and b / (a + b), filter by filter: ``[A, B]``, from 0 to 1.

    A filter counts by how the two tasks share it, not by how much information it has; embeddings that differ by a
    factor, such as of a task and a harder one that needs the same filters, have distance 0.

    Args:
        values_AE: Embeddings, positive.
        values_BE: Others; the same by default.

    Raises:
        ValueError: An embedding is not positive or not finite, or they are not of equal width.
    """
    values_BE = values_AE if values_BE is None else values_BE
    for values in (values_AE, values_BE):
        if values.ndim != 2 or values.shape[1] != values_AE.shape[1]:
            raise ValueError(
                f"embeddings have shapes {values_AE.shape} and {values_BE.shape}; expected [tasks, width] of one width"
            )
    for values in (values_AE, values_BE):
        if not (np.isfinite(values) & (values > 0)).all():
            raise ValueError("embeddings hold values that are not positive and finite; leave out those tasks first")
    distances_AB = np.empty((len(values_AE), len(values_BE)))
    others_BE = values_BE.astype(np.float64)
    for row, value_E in enumerate(values_AE.astype(np.float64)):
        first_BE = value_E / (value_E + others_BE)
        second_BE = 1 - first_BE
        lengths_B = np.linalg.norm(first_BE, axis=1) * np.linalg.norm(second_BE, axis=1)
        # Orthogonal where every filter is of one task alone, to the last bit.
        cosine_B = (first_BE * second_BE).sum(1) / np.maximum(lengths_B, np.finfo(float).tiny)
        distances_AB[row] = 1 - cosine_B
    return distances_AB.clip(0, 1)


def asymmetric_distance(
    sources_AE: np.ndarray, targets_BE: np.ndarray, prior_E: np.ndarray, weight: float = COMPLEXITY_WEIGHT
) -> np.ndarray:
    """How far a source is from a target, less what speaks for a complex source: ``[A, B]``, may be below 0.

    Networks of complex tasks have features for many others, so that a source is nearer the further it is from the task
    that tells nothing.

    Args:
        sources_AE: Embeddings of tasks that networks were trained for.
        targets_BE: Embeddings of tasks that features are wanted for.
        prior_E: The embedding of the task that tells nothing.
        weight: α, how much the complexity of a source counts.
    """
    complexity_A1 = symmetric_distance(sources_AE, prior_E[None])
    return symmetric_distance(sources_AE, targets_BE) - weight * complexity_A1
