"""The seam of encoders: what one is, and how it is judged by what a simple readout finds in its embeddings.

Shape letters: M members, E width of an embedding.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Protocol, runtime_checkable

import numpy as np

from trainables.encoders.metrics import PROBE_ACCURACY, PROBE_R2, PROBE_SCORE
from trainables.readouts.columns import CHOSEN, known, targets_of
from trainables.readouts.metrics import ACCURACY, R2
from trainables.readouts.readout import Readouts, judged
from trainables.trainable import FitData
from zoo.data.examples import Dataset
from zoo.population import Population

# What every zoo knows of its networks and nobody chose.
MEASURED = ("test_accuracy", "generalization_gap", "epoch")


@runtime_checkable
class Encoder(Protocol):
    """Makes vectors of networks: what a fit of this kind leaves behind."""

    def embed(self, population: Population) -> np.ndarray:
        """A vector for each network, floating point ``[M, E]``; NaN for features that a network does not have.

        Raises:
            ValueError: The networks are of a layout that this encoder cannot take, or a weight is not finite.
        """
        ...

    def to_files(self) -> dict[str, bytes]:
        """See :class:`trainables.trainable.Artifact`."""
        ...


@runtime_checkable
class LooksAtInputs(Encoder, Protocol):
    """An encoder that applies networks to inputs, and can take those of another data set."""

    def on_inputs_of(self, dataset: Dataset, networks: Sequence[Population]) -> Encoder:
        """The encoder for networks of another data set; nothing is fitted anew.

        Args:
            dataset: Theirs; its labels are not read.
            networks: Some of them, one population for each layout; nothing that is known of them is read.
        """
        ...


def differing(column: Callable[[str], np.ndarray]) -> tuple[str, ...]:
    """The columns that there is something to tell of: what was measured, and every choice in which networks differ.

    Args:
        column: Gives a column of the networks by its name; raises ``ValueError`` or ``KeyError`` where it is not known.
    """
    found = []
    for name in (*MEASURED, *CHOSEN, "activation"):
        try:
            column_M = column(name)
        except (ValueError, KeyError):
            continue
        if len(np.unique(column_M[known(column_M)])) > 1:
            found.append(name)
    return tuple(found)


def probe(encoder: Encoder, data: FitData) -> dict[str, float]:
    """What linear readouts of embeddings, fitted on training members, tell of validation members.

    Of nine penalties that is taken which is best on the same validation members, for all encoders alike.

    Returns:
        ``probe_score`` (mean over all columns of R², at least 0, or of accuracy), and where there are such columns
        ``probe_r2`` (mean R² of numbers) and ``probe_accuracy`` (mean accuracy of categories).

    Raises:
        ValueError: The training networks do not differ in anything that is known of them, or there are no validation
            networks.
    """
    data.require_validation("on which embeddings are judged")
    names = differing(partial(targets_of, data.training))
    if not names:
        raise ValueError(
            "the training networks differ in nothing that the zoo knows of them, so that embeddings cannot be judged; "
            "take a zoo with measured accuracies"
        )
    training_ME, validation_ME = (
        np.concatenate([encoder.embed(population) for population in populations])
        for populations in (data.training, data.validation)
    )
    readouts = Readouts(training_ME.astype(np.float64), validation_ME.astype(np.float64))
    of_numbers: list[float] = []
    of_categories: list[float] = []
    for name in names:
        held_out_M = targets_of(data.validation, name)
        readout = readouts.fit(name, targets_of(data.training, name), held_out_M)
        found = judged(readout, readouts.validation_MF, held_out_M)
        if readout.categories:
            of_categories.append(found[ACCURACY.name])
        elif found:
            of_numbers.append(max(0.0, found[R2.name]))
    groups = {
        PROBE_SCORE.name: of_numbers + of_categories,
        PROBE_R2.name: of_numbers,
        PROBE_ACCURACY.name: of_categories,
    }
    return {name: float(np.mean(values)) for name, values in groups.items() if values}
