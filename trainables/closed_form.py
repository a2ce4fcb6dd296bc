"""Fits in closed form: one epoch does it all."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from trainables.trainable import Artifact, FitData, Reference, resolved
from zoo.config import canonical_json

PROGRESS_FILE = "progress.json"


class ClosedFormFit:
    """A :class:`trainables.trainable.Fit` made of three functions.

    Args:
        config: What to fit.
        data: What it sees.
        fit: ``(config, FitData) -> Artifact``.
        measure: ``(artifact, FitData) -> metrics``, on validation members and validation examples.
        load: ``(files) -> Artifact``, the inverse of the artifact's ``to_files``.
    """

    epochs = 1

    def __init__(
        self,
        config: Any,
        data: FitData,
        *,
        fit: Callable[[Any, FitData], Artifact],
        measure: Callable[[Any, FitData], dict[str, float]],
        load: Reference,
    ) -> None:
        self.config = config
        self.data = data
        self._fit, self._measure, self._load = fit, measure, load
        self._fitted: Artifact | None = None

    @property
    def epoch(self) -> int:
        """1 when it is fitted."""
        return int(self._fitted is not None)

    def train_epoch(self) -> dict[str, float]:
        """Fits it; there is nothing to say of the way there.

        Raises:
            RuntimeError: It is fitted already.
        """
        if self.epoch:
            raise RuntimeError("this fit is in closed form: its one epoch is done")
        self._fitted = self._fit(self.config, self.data)
        return {}

    def validate(self) -> dict[str, float]:
        """See :class:`trainables.trainable.Fit`."""
        return self._measure(self.artifact(), self.data)

    def state(self) -> dict[str, bytes]:
        """The artifact's files, if there is one, and the configuration."""
        files = {} if self._fitted is None else self._fitted.to_files()
        return {**files, PROGRESS_FILE: canonical_json({"config": self.config, "epoch": self.epoch}).encode()}

    def load_state(self, state: Mapping[str, bytes]) -> None:
        """See :class:`trainables.trainable.Fit`."""
        progress = json.loads(state[PROGRESS_FILE])
        require_same_config(progress["config"], self.config)
        files = {name: content for name, content in state.items() if name != PROGRESS_FILE}
        self._fitted = resolved(self._load)(files) if progress["epoch"] else None

    def artifact(self) -> Artifact:
        """What was fitted.

        Raises:
            RuntimeError: Nothing is yet.
        """
        if self._fitted is None:
            raise RuntimeError("nothing is fitted yet; call train_epoch() once")
        return self._fitted


class ClosedFormType(Protocol):
    """What the class of an artifact that is fitted in one go offers beside the artifact itself."""

    def fit(self, config: Any, data: FitData) -> Artifact:
        """The artifact for a configuration, from training members."""
        ...

    def from_files(self, files: Mapping[str, bytes]) -> Artifact:
        """The inverse of the artifact's ``to_files``."""
        ...


def begin(implementation: Reference, measure: Reference, config: Any, data: FitData) -> ClosedFormFit:
    """Begins a fit of an artifact's class.

    Args:
        implementation: A :class:`ClosedFormType`.
        measure: See :class:`ClosedFormFit`.
        config: What to fit.
        data: What it sees.
    """
    found: ClosedFormType = resolved(implementation)  # type: ignore[assignment]
    return ClosedFormFit(config, data, fit=found.fit, measure=resolved(measure), load=found.from_files)


def load(implementation: Reference, files: Mapping[str, bytes]) -> Artifact:
    """The artifact that a fit of its class, a :class:`ClosedFormType` or any with ``from_files``, has left."""
    found: ClosedFormType = resolved(implementation)  # type: ignore[assignment]
    return found.from_files(files)


def require_same_config(stored: Any, config: Any) -> None:
    """Raises a ``ValueError`` where a state is of another configuration than the fit that is to continue from it."""
    if canonical_json(stored) != canonical_json(config):
        raise ValueError(
            f"the state is of configuration {stored}; this fit has {config}: continue with the same configuration"
        )
