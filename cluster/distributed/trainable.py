"""A trial on Ray Tune: any fit, epoch by epoch in an actor, validated and stored at the end."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from ray import tune

from trainables.registry import find_trainable
from trainables.study_files import StudyFolder
from trainables.trainable import DivergedError, Fit, FitData
from trainables.trials import finish

# Keys of a trial dict: number, name of the trainable, its configuration.
NUMBER, TRAINABLE, CONFIG = "number", "trainable", "config"
# Keys of a result: what an epoch says of itself, the metrics of the validation, or why there are none.
FIT, VALIDATED, FAILURE = "fit", "validated", "failure"


@dataclass(frozen=True)
class TrialData:
    """What all trials of a study share; it lies once in Ray's object store.

    Attributes:
        folder: Where artifacts go.
        data: What the fits see.
    """

    folder: StudyFolder
    data: FitData


class FitTrial(tune.Trainable):
    """Drives a :class:`trainables.trainable.Fit`: a step is an epoch; the actor is used for trial after trial."""

    def setup(self, config: dict[str, Any], data: TrialData | None = None) -> None:
        """Begins a trial.

        Args:
            config: The trial dict.
            data: Given by ``tune.with_parameters``.
        """
        if data is None:
            raise ValueError("a FitTrial needs its data: wrap it by tune.with_parameters(…, data=…)")
        torch.set_num_threads(1)  # trials run side by side, one CPU each
        self.data = data
        self._begin(config)

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Begins the next trial in the same actor."""
        self._begin(new_config)
        return True

    def _begin(self, config: dict[str, Any]) -> None:
        self.trial = config
        self.trainable = find_trainable(config[TRAINABLE])
        self.configuration = self.trainable.configuration(config[CONFIG])
        self.fit: Fit | None = None

    def _fit(self) -> Fit:
        if self.fit is None:
            self.fit = self.trainable.fit(self.configuration, self.data.data)
        return self.fit

    def step(self) -> dict[str, Any]:
        """One epoch; after the last one the fit is validated and its artifact stored.

        Returns:
            What the epoch says; at the end ``validated`` too, or ``failure`` where the fit diverged or is not
            possible on this zoo.
        """
        try:
            fit = self._fit()
            result: dict[str, Any] = {FIT: fit.train_epoch(), "epoch": fit.epoch}
            if fit.epoch >= fit.epochs:
                validated = finish(self.trainable, self.configuration, fit, self.data.folder, self.trial[NUMBER])
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
