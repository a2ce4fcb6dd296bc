"""What an encoder can take: refusals in one place."""

from __future__ import annotations

import torch

from zoo.architecture import Architecture
from zoo.population import Population


def require_layout(population: Population, architecture: Architecture) -> None:
    """Raises a ``ValueError`` where networks have another layout than an encoder was fitted on, or odd weights."""
    if population.architecture.layout != architecture.layout:
        raise ValueError(
            f"this encoder was fitted to networks of {architecture.parameters:,} parameters; these have "
            f"{population.parameters:,} or their layers differ: fit it to their zoo, or take an encoder for networks "
            "of any layout"
        )
    require_finite(population)


def require_finite(population: Population) -> None:
    """Raises a ``ValueError`` where networks have weights that are NaN or infinite."""
    odd_M = ~torch.isfinite(population.weights_MP).all(dim=1)
    if odd_M.any():
        raise ValueError(
            f"{int(odd_M.sum())} of {len(population)} networks have weights that are NaN or infinite, the first in "
            f"row {int(odd_M.nonzero()[0])}; leave them out"
        )
