"""A trial: one autoencoder, fitted epoch by epoch in a Tune actor, validated at the end."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from ray import tune

from trainables.autoencoders.config import AutoencoderConfig
from trainables.autoencoders.fit import AutoencoderFit, DivergedError
from trainables.autoencoders.learned_codec import LearnedCodec
from zoo.config import from_json
from zoo.data.examples import Examples
from zoo.population import Population
from zoo.storage.store import Store
from zoo.storage.zoo import Zoo
from zoo.views import without_dead_inputs

# Keys of a trial dict that are no fields of the configuration.
NUMBER, FOLDER = "trial", "folder"
# Keys of a result: the metrics of the validation, or why there are none.
VALIDATED, FAILURE = "validated", "failure"


@dataclass(frozen=True)
class TrialData:
    """What all trials of a study share; it lies once in Ray's object store.

    Attributes:
        store: Where models go.
        training: Training members.
        validation: Validation members.
        training_images: Training images.
        validation_images: Validation images.
    """

    store: Store
    training: Population
    validation: Population
    training_images: Examples
    validation_images: Examples

    @classmethod
    def of(cls, zoo: Zoo, store: Store, validation_members: int) -> TrialData:
        """Reads it from a zoo; weights on dead inputs are zeroed as in the analysis."""
        images = zoo.dataset()
        validation = zoo.population("validation", epochs="one", limit=validation_members)
        return cls(
            store=store,
            training=without_dead_inputs(zoo.population("train"), images.train),
            validation=without_dead_inputs(validation, images.train),
            training_images=images.train,
            validation_images=images.validation,
        )


def trial_config(trial: Mapping[str, Any]) -> AutoencoderConfig:
    """The configuration in a trial dict."""
    return from_json(AutoencoderConfig, {k: v for k, v in trial.items() if k not in (NUMBER, FOLDER)})


def store_codec(store: Store, folder: str, codec: LearnedCodec) -> None:
    """Stores a model; one that lies there already is of a fit that nobody recorded, and is replaced."""
    for name, content in codec.to_files().items():
        store.put(f"{folder}/{name}", content)


class AutoencoderTrial(tune.Trainable):
    """Drives an ``AutoencoderFit``: a step is an epoch; the actor is used for trial after trial."""

    def setup(self, config: dict[str, Any], data: TrialData | None = None) -> None:
        """Begins a trial.

        Args:
            config: The trial dict.
            data: Given by ``tune.with_parameters``.
        """
        if data is None:
            raise ValueError("an AutoencoderTrial needs its data: wrap it by tune.with_parameters(…, data=…)")
        torch.set_num_threads(1)  # trials run side by side, one CPU each
        self.data = data
        self._begin(config)

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Begins the next trial in the same actor."""
        self._begin(new_config)
        return True

    def _begin(self, config: dict[str, Any]) -> None:
        self.trial = config
        self.fit: AutoencoderFit | None = None

    def _fit(self) -> AutoencoderFit:
        if self.fit is None:
            self.fit = AutoencoderFit(trial_config(self.trial), self.data.training, self.data.training_images)
        return self.fit

    def step(self) -> dict[str, Any]:
        """One epoch; after the last one the model is validated and stored.

        Returns:
            The epoch's losses; at the end ``validated`` too, or ``failure`` where the fit diverged
            or is not possible on this zoo.
        """
        try:
            fit = self._fit()
            result: dict[str, Any] = dict(fit.step())
            if fit.epoch >= fit.config.epochs:
                validated = fit.validate(self.data.validation, self.data.validation_images)
                store_codec(self.data.store, self.trial[FOLDER], fit.codec())
                result |= {**validated, VALIDATED: validated, "done": True}
        except (DivergedError, ValueError) as error:  # diverged, or a configuration that does not suit the zoo
            return {FAILURE: str(error), "done": True}
        return result

    def save_checkpoint(self, checkpoint_dir: str) -> None:
        """Writes the state of the fit: safetensors and JSON."""
        if self.fit is None:
            return  # it could not be begun, and has said so in its result
        for name, content in self.fit.state().items():
            Path(checkpoint_dir, name).write_bytes(content)

    def load_checkpoint(self, checkpoint_dir: str) -> None:  # type: ignore[override]
        """Continues from a state that :meth:`save_checkpoint` wrote."""
        files = {
            path.name: path.read_bytes() for path in Path(checkpoint_dir).iterdir() if not path.name.startswith(".")
        }
        self._fit().load_state(files)
