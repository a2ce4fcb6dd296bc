"""Autoencoders of whole networks: one latent for all weights."""

from __future__ import annotations

import torch
from torch import Tensor

from trainables.autoencoders.rows import RowAutoencoder
from zoo.architecture import Architecture


class NetworkAutoencoder(RowAutoencoder):
    """There is one block, whose only row is the flat vector of all weights."""

    @staticmethod
    def block_indices(architecture: Architecture) -> list[Tensor]:
        """See :class:`Autoencoder`."""
        return [torch.arange(architecture.parameters)[None]]
