"""Trainables of a user's own, for tests: named as ``example_trainables:NAME``."""

from trainables.autoencoders.config import NetworkAutoencoderConfig
from trainables.autoencoders.entries import autoencoder
from trainables.autoencoders.network import NetworkAutoencoder


class ShiftedAutoencoder(NetworkAutoencoder):
    """A family with nothing of its own but its name."""


SHIFTED = autoencoder("shifted", ShiftedAutoencoder, NetworkAutoencoderConfig, description="A family for tests.")
