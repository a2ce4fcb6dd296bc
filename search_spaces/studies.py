"""Named studies: what is tried, what is measured, under which limit, and how long."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from search_spaces.spaces import find_space
from trainables.autoencoders.config import METRICS, AutoencoderConfig, Layers
from zoo.config import from_json, lookup, require

if TYPE_CHECKING:
    from optuna.trial import BaseTrial

SHARED_BYTES = "shared_bytes"
"""Name of the constraint in Optuna."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Study:
    """A multi-objective search for autoencoders; flat, stored as JSON.

    Attributes:
        name: Name of the study.
        space: A name in ``SPACES`` or ``module:attribute``.
        metrics: What is optimized: keys of ``AutoencoderFit.validate``.
        modes: "min" or "max" for each.
        shared_bytes_limit: Most bytes that a receiver may have to hold.
        trials: How many autoencoders to try.
        epochs: Length of each fit.
        settings: Fixed fields of ``AutoencoderConfig``; they win over the space.
        validation_members: How many validation members objectives are measured on.
    """

    name: str
    space: str
    metrics: tuple[str, ...] = ("code_bits_per_weight", "agreement")
    modes: tuple[str, ...] = ("min", "max")
    shared_bytes_limit: int = 1_000_000
    trials: int = 16
    epochs: int = 10
    settings: Mapping[str, Any] = field(default_factory=dict)
    validation_members: int = 256

    def __post_init__(self) -> None:
        known = 0 < len(self.metrics) == len(set(self.metrics)) and set(self.metrics) <= set(METRICS)
        require(known, self, "metrics", f"one or more of {', '.join(METRICS)}, each once")
        require(
            len(self.modes) == len(self.metrics) and set(self.modes) <= {"min", "max"},
            self,
            "modes",
            f"min or max for each of {self.metrics}",
        )
        for name in ("shared_bytes_limit", "trials", "epochs", "validation_members"):
            require(getattr(self, name) > 0, self, name, "1 or more")
        if ":" not in self.space:  # the user's own is imported only where it is used
            find_space(self.space)
        from_json(AutoencoderConfig, dict(self.settings))

    def bound_space(self, layers: Layers) -> Callable[[BaseTrial], dict[str, Any]]:
        """The space for a zoo, with the constraint on shared bytes told to each trial.

        The constraint follows from the configuration alone, so Optuna knows it before the trial runs.

        Args:
            layers: (neurons, incoming weights with the bias) of each layer of the zoo's networks, as
                ``trainables.autoencoders.autoencoder.layer_rows`` gives them.

        Returns:
            A function from a trial to the complete configuration, as ``OptunaSearch(space=…)`` takes it.
        """
        suggest = find_space(self.space)

        def space(trial: BaseTrial) -> dict[str, Any]:
            configuration = suggest(trial, {"epochs": self.epochs, **self.settings})
            shared_bytes = from_json(AutoencoderConfig, configuration).shared_bytes(layers)
            trial.set_constraint(SHARED_BYTES, shared_bytes - self.shared_bytes_limit)
            return configuration

        return space


DIGITS_AUTOENCODER = Study(
    name="digits-autoencoder", space="neuron-autoencoder", shared_bytes_limit=50_000, trials=16, epochs=5
)
"""The demo's: 10 to 15 s a trial on one core on 7 000 snapshots of 1 400 training members of ``digits-mlp-diverse``.

Expected on validation members: from 0.4 bits a weight at 81 % agreement over 0.95 at 89 % to 2 at 95 %.
"""

DIGITS_NETWORK_AUTOENCODER = Study(name="digits-network-autoencoder", space="network-autoencoder", trials=16, epochs=5)
"""One latent a network: needs 10 to 20 times the shared bytes of a latent a neuron for less agreement."""

MNIST_AUTOENCODER = Study(
    name="mnist-autoencoder", space="neuron-autoencoder", shared_bytes_limit=300_000, trials=32, epochs=20
)
"""MLPs 784-8-10 on MNIST."""

EVERYTHING = Study(name="everything", space="any-autoencoder", trials=200, epochs=20)
"""Every field of the configuration; for a cluster."""

STUDIES: dict[str, Study] = {
    "digits-autoencoder": DIGITS_AUTOENCODER,
    "digits-network-autoencoder": DIGITS_NETWORK_AUTOENCODER,
    "mnist-autoencoder": MNIST_AUTOENCODER,
    "everything": EVERYTHING,
}


def find_study(name: str) -> Study:
    """A study by its name in ``STUDIES``, or the user's own by ``module:attribute``.

    Raises:
        ValueError: There is no such study, or it is something else.
    """
    study = lookup(STUDIES, name, "study")
    if not isinstance(study, Study):
        raise ValueError(f"study {name!r} is a {type(study).__name__}; it must be a search_spaces.studies.Study")
    return study
