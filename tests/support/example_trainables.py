"""Trainables of a user's own, for tests: named as ``example_trainables:NAME``."""

import dataclasses

from trainables.autoencoders.config import NetworkAutoencoderConfig
from trainables.autoencoders.entries import autoencoder
from trainables.autoencoders.network import NetworkAutoencoder


class ShiftedAutoencoder(NetworkAutoencoder):
    """A family with nothing of its own but its name."""


SHIFTED = dataclasses.replace(
    autoencoder("shifted", ShiftedAutoencoder, NetworkAutoencoderConfig, description="A family for tests."),
    presets={"tiny": {"latent": 2, "encoder_width": 4, "decoder_width": 4, "epochs": 1}},
)
