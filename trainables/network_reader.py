"""From networks to what is told of them: an encoder and a readout of its embeddings in one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from trainables.encoders.encoder import Encoder, differing
from trainables.fit_data import as_fits_see
from trainables.large_weights import without_large
from trainables.readouts.columns import targets_of
from trainables.readouts.config import BoostingReadout, LinearReadout
from trainables.readouts.readout import Readout, Readouts, judged
from trainables.registry import find_trainable
from trainables.trainable import FitData, run
from zoo.data.examples import Dataset
from zoo.population import Population


@dataclass(frozen=True)
class NetworkReader:
    """Tells a column of networks from their weights.

    Attributes:
        encoder: Networks to vectors.
        readout: Vectors to the column.
        dataset: Of the networks that both were fitted to. Others are read as those were seen, without weights on
            inputs that never occur, which training leaves as they began.
        validation: What it is worth on the validation networks: "r2", "kendall_tau" and so on of a number, "accuracy"
            of a category. The penalty of a linear readout was chosen there, so that other networks are told a little
            worse.
    """

    encoder: Encoder
    readout: Readout
    dataset: Dataset
    validation: Mapping[str, float]

    def predict(self, population: Population) -> np.ndarray:
        """For each network a number, float64, or the name of a category: ``[M]``.

        Raises:
            ValueError: The encoder cannot take these networks; the message says why.
        """
        return self.readout.predict(_embedded(self.encoder, population, self.dataset))


def predict_all(readers: Sequence[NetworkReader], population: Population) -> dict[str, np.ndarray]:
    """By its target what each of :func:`network_readers` tells of networks, which are embedded once: ``[M]`` each.

    Raises:
        ValueError: The encoder cannot take these networks; the message says why.
    """
    embedded_ME = _embedded(readers[0].encoder, population, readers[0].dataset)
    return {reader.readout.target: reader.readout.predict(embedded_ME) for reader in readers}


def network_reader(
    encoder: str | Encoder,
    data: FitData,
    target: str = "test_accuracy",
    readout: LinearReadout | BoostingReadout | None = None,
) -> NetworkReader:
    """The reader of one column; for arguments and errors see :func:`network_readers`."""
    return network_readers(encoder, data, [target], readout)[0]


def network_readers(
    encoder: str | Encoder,
    data: FitData,
    targets: Sequence[str] | None = None,
    readout: LinearReadout | BoostingReadout | None = None,
) -> tuple[NetworkReader, ...]:
    """Fits what tells columns of networks from their weights, with one encoder.

    Args:
        encoder: An encoder, such as a study has left; or the name of one, which is fitted first, as its defaults say.
        data: Training and validation networks.
        targets: The columns; all in which training networks differ where ``None``.
        readout: Linear with the penalty that is best on validation networks where ``None``.

    Raises:
        ValueError: There is no such encoder or column, the column is the same for all training networks, the encoder
            cannot take the networks, or there are no validation networks.
        TypeError: What is given as an encoder is none.
    """
    data.require_validation("on which a readout chooses its penalty")
    data = without_large(data)
    if isinstance(encoder, str):
        entry = find_trainable(encoder)
        if entry.kind != "encoder":
            raise ValueError(f"trainable {encoder!r} is of kind {entry.kind}; name an encoder")
        encoder = run(entry.fit(entry.configuration({}), data)).artifact()  # type: ignore[assignment]
    if not isinstance(encoder, Encoder):
        raise TypeError(f"{encoder!r} is no encoder: it has no method embed")
    training_ME, validation_ME = (
        np.concatenate([_embedded(encoder, population, data.dataset) for population in part])
        for part in (data.training, data.validation)
    )
    readouts, found = Readouts(training_ME, validation_ME), list[NetworkReader]()
    for target in differing(partial(targets_of, data.training)) if targets is None else targets:
        training_M, true_M = (targets_of(part, target) for part in (data.training, data.validation))
        fitted = readouts.fit(target, training_M, true_M, readout)
        found.append(NetworkReader(encoder, fitted, data.dataset, judged(fitted, validation_ME, true_M)))
    return tuple(found)


def _embedded(encoder: Encoder, population: Population, dataset: Dataset) -> np.ndarray:
    """Embeddings of networks as fits to a data set see them: float64 ``[M, E]``."""
    return encoder.embed(as_fits_see(population, dataset)).astype(np.float64)
