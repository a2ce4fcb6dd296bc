"""Contrastive loss of two views of the same networks.

Shape letters: B networks of a batch, V views of each, E width of an embedding.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def nt_xent(views_BVE: Tensor, temperature: float) -> Tensor:
    """Normalized temperature-scaled cross-entropy (Chen et al., arXiv 2002.05709, section 2.1), a scalar.

    The views of a network are to be nearer, by cosine, than any two views of different networks. Of more than two, the
    mean over all pairs (Khosla et al., arXiv 2004.11362, equation 2).
    """
    networks, views = views_BVE.shape[:2]
    directions = F.normalize(views_BVE.flatten(0, 1), dim=1)
    similarity = directions @ directions.T / temperature
    similarity.fill_diagonal_(-torch.inf)
    # Of each network's own [V, V] block all but the diagonal.
    own_BVV = similarity.unflatten(1, (networks, views)).unflatten(0, (networks, views))
    own_BVV = own_BVV.diagonal(dim1=0, dim2=2).movedim(2, 0)
    pairs = own_BVV[:, ~torch.eye(views, dtype=torch.bool, device=own_BVV.device)].mean()
    return similarity.logsumexp(dim=1).mean() - pairs


def projection_head(latent: int, width: int, output: int, layers: int) -> nn.Sequential:
    """What the contrastive loss looks through: hidden layers with batch norm, as published with the method."""
    parts: list[nn.Module] = []
    for number in range(layers):
        parts += [nn.Linear(latent if number == 0 else width, width), nn.BatchNorm1d(width), nn.ReLU()]
    return nn.Sequential(*parts, nn.Linear(width, output), nn.BatchNorm1d(output))
