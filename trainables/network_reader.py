"""From networks to what is told of them: an encoder and a readout of its embeddings in one."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from trainables.encoders.encoder import Encoder
from trainables.readouts.columns import targets_of
from trainables.readouts.config import BoostingReadout, LinearReadout
from trainables.readouts.readout import Readout, Readouts
from trainables.registry import find_trainable
from trainables.trainable import FitData, run
from zoo.population import Population


@dataclass(frozen=True)
class NetworkReader:
    """Tells a column of networks from their weights.

    Attributes:
        encoder: Networks to vectors.
        readout: Vectors to the column.
    """

    encoder: Encoder
    readout: Readout

    def predict(self, population: Population) -> np.ndarray:
        """For each network a number, float64, or the name of a category: ``[M]``.

        Raises:
            ValueError: The encoder cannot take these networks; the message says why.
        """
        return self.readout.predict(self.encoder.embed(population).astype(np.float64))


def network_reader(
    encoder: str | Encoder,
    data: FitData,
    target: str = "test_accuracy",
    readout: LinearReadout | BoostingReadout | None = None,
) -> NetworkReader:
    """Fits what tells a column of networks from their weights.

    Args:
        encoder: An encoder, such as a study has left; or the name of one, which is fitted first, as its defaults say.
        data: Training and validation networks.
        target: The column.
        readout: Linear with the penalty that is best on validation networks where ``None``.

    Raises:
        ValueError: There is no such encoder or column, the column is the same for all training networks, or the
            encoder cannot take the networks.
    """
    if isinstance(encoder, str):
        entry = find_trainable(encoder)
        if entry.kind != "encoder":
            raise ValueError(f"trainable {encoder!r} is of kind {entry.kind}; name an encoder")
        encoder = run(entry.fit(entry.configuration({}), data)).artifact()  # type: ignore[assignment]
    if not isinstance(encoder, Encoder):
        raise TypeError(f"{encoder!r} is no encoder: it has no method embed")
    training_ME, validation_ME = (
        np.concatenate([encoder.embed(population) for population in part]).astype(np.float64)
        for part in (data.training, data.validation)
    )
    training_M, validation_M = (targets_of(part, target) for part in (data.training, data.validation))
    fitted = Readouts(training_ME, validation_ME).fit(target, training_M, validation_M, readout)
    return NetworkReader(encoder, fitted)
