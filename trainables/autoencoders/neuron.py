"""Autoencoders of neurons: a latent for each neuron or output channel, one encoder and decoder for each layer."""

from __future__ import annotations

from torch import Tensor

from trainables.autoencoders.rows import RowAutoencoder
from zoo.architecture import Architecture
from zoo.views.tokens import neuron_indices


class NeuronAutoencoder(RowAutoencoder):
    """A block is a layer, a row is a neuron: its incoming weights, its bias and what follows of its batch norm."""

    @staticmethod
    def block_indices(architecture: Architecture) -> list[Tensor]:
        """See :class:`Autoencoder`."""
        return neuron_indices(architecture)
