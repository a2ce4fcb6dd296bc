"""Contrastive loss of two views of the same networks.

Shape letters: B networks of a batch, E width of an embedding.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def nt_xent(one_BE: Tensor, other_BE: Tensor, temperature: float) -> Tensor:
    """Normalized temperature-scaled cross-entropy (Chen et al., arXiv 2002.05709, section 2.1), a scalar.

    The two views of a network are to be nearer, by cosine, than any two views of different networks.
    """
    batch = len(one_BE)
    views = F.normalize(torch.cat([one_BE, other_BE]), dim=1)
    similarity = views @ views.T / temperature
    similarity.fill_diagonal_(-torch.inf)
    return F.cross_entropy(similarity, torch.arange(2 * batch, device=views.device).roll(batch))


def projection_head(latent: int, width: int, output: int, layers: int) -> nn.Sequential:
    """What the contrastive loss looks through: hidden layers with batch norm, as published with the method."""
    parts: list[nn.Module] = []
    for number in range(layers):
        parts += [nn.Linear(latent if number == 0 else width, width), nn.BatchNorm1d(width), nn.ReLU()]
    return nn.Sequential(*parts, nn.Linear(width, output), nn.BatchNorm1d(output))
