"""Principal components without the covariance matrix.

Shape letters: M rows, D coordinates, Z components.
"""

from __future__ import annotations

import torch
from torch import Tensor

OVERSAMPLING = 16
ITERATIONS = 4


def principal_components(centered_MD: Tensor, count: int, seed: int) -> tuple[Tensor, Tensor]:
    """The first principal directions of centered rows and the rows' standard deviations along them.

    Subspace iteration from a random start (Halko, Martinsson and Tropp, "Finding structure with randomness",
    SIAM Review 2011, algorithm 4.4).

    Args:
        centered_MD: Rows of mean zero.
        count: Z.
        seed: Seed of the random start.

    Returns:
        (orthonormal ``directions_DZ``, ``deviation_Z`` in falling order).

    Raises:
        ValueError: There are fewer rows or coordinates than components, or a coordinate is not finite.
    """
    if not torch.isfinite(centered_MD).all():
        raise ValueError(
            "coordinates of the training networks are not finite: some weights are too large to be squared; train with "
            "lower learning rates"
        )
    rows, width = centered_MD.shape
    if count > min(rows, width):
        raise ValueError(
            f"{count} principal components need as many rows and coordinates; there are {rows} rows "
            f"of {width} coordinates: choose a smaller latent or a larger population"
        )
    generator = torch.Generator().manual_seed(seed)
    block = min(count + OVERSAMPLING, rows, width)
    basis_DK = torch.randn(width, block, generator=generator).to(centered_MD)
    for _ in range(ITERATIONS):
        basis_DK, _ = torch.linalg.qr(centered_MD.T @ (centered_MD @ basis_DK))
    _, singular_K, right_KK = torch.linalg.svd(centered_MD @ basis_DK, full_matrices=False)
    directions_DZ = basis_DK @ right_KK[:count].T
    # Fixed signs: the largest entry of each direction is positive.
    largest_1Z = directions_DZ.abs().argmax(0, keepdim=True)
    signs_1Z = torch.sign(torch.gather(directions_DZ, 0, largest_1Z))
    return directions_DZ * signs_1Z, singular_K[:count] / rows**0.5
