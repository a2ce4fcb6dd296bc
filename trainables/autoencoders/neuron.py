"""Autoencoders of neurons: a latent for each neuron or output channel, one encoder and decoder for each layer."""

from __future__ import annotations

import torch
from torch import Tensor

from trainables.autoencoders.autoencoder import Autoencoder
from zoo.architecture import Architecture
from zoo.views.tokens import neuron_rows


class NeuronAutoencoder(Autoencoder):
    """A block is a layer, a row is a neuron: its incoming weights, its bias and what follows of its batch norm."""

    @staticmethod
    def block_indices(architecture: Architecture) -> list[Tensor]:
        """See :class:`Autoencoder`."""
        return [rows[0] for rows in neuron_rows(architecture, torch.arange(architecture.parameters)[None])]
