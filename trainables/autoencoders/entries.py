"""The autoencoder families, a line or two each; free of torch."""

from __future__ import annotations

from functools import partial
from typing import Any

from trainables.autoencoders.config import (
    NetworkAutoencoderConfig,
    NeuronAutoencoderConfig,
    TransformerAutoencoderConfig,
)
from trainables.metrics import CODEC_METRICS
from trainables.trainable import Reference, Trainable, call


def autoencoder(name: str, family: Reference, config: type[Any], *, description: str) -> Trainable:
    """A registry entry for a family of autoencoders.

    Args:
        name: Its name.
        family: Its subclass of ``trainables.autoencoders.autoencoder.Autoencoder``; or ``module:Class``.
        config: ``trainables.autoencoders.config.AutoencoderConfig``, or a subclass with fields of its own.
        description: One sentence.
    """
    return Trainable(
        name=name,
        kind="autoencoder",
        config=config,
        metrics=CODEC_METRICS,
        begin=partial(call, "trainables.autoencoders.fit:begin", family),
        load=partial(call, "trainables.autoencoders.learned_codec:load_codec", family, config),
        check=partial(call, "trainables.autoencoders.receiver:known_before", family),
        encode_steps="refine_steps",
        description=description,
    )


AUTOENCODERS: dict[str, Trainable] = {
    family.name: family
    for family in (
        autoencoder(
            "neuron-autoencoder",
            "trainables.autoencoders.neuron:NeuronAutoencoder",
            NeuronAutoencoderConfig,
            description="A latent for each neuron; the neurons of a layer share encoder and decoder.",
        ),
        autoencoder(
            "network-autoencoder",
            "trainables.autoencoders.network:NetworkAutoencoder",
            NetworkAutoencoderConfig,
            description="One latent for all weights of a network.",
        ),
        autoencoder(
            "transformer-autoencoder",
            "trainables.autoencoders.transformer:TransformerAutoencoder",
            TransformerAutoencoderConfig,
            description="One latent for all weights of a network, by attention among neurons: a hyper-representation "
            "that compresses.",
        ),
    )
}
