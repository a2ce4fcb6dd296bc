"""What a codec costs and keeps on validation members: the metrics that studies optimize.

Shape letters: M members, P parameters.
"""

from __future__ import annotations

from collections.abc import Callable

import torch

from trainables.codecs.codec import Codec
from trainables.codecs.payloads import compress, decompress
from trainables.fidelity import measure, summary
from trainables.trainable import DivergedError, FitData
from zoo.population import Population

# Members coded together when a rate is stated.
BLOCK_MEMBERS = 64


def validate_codec(
    codec: Codec, data: FitData, prepare: Callable[[Population], Population] | None = None
) -> dict[str, float]:
    """Rate from real bytes in blocks of 64 members, and fidelity, on validation members and validation examples.

    Args:
        codec: The codec.
        data: Its validation members may be of several layouts where the codec knows them.
        prepare: Puts networks into the form, equal in function, that weight errors are counted against.

    Raises:
        DivergedError: A reconstruction is not finite.
    """
    payload_bytes, squared_error, weights = 0, 0.0, 0
    found = []
    for population in data.validation:
        parts = []
        for rows in torch.arange(len(population)).split(BLOCK_MEMBERS):
            payload = compress(codec, population.select(rows))
            payload_bytes += len(payload)
            parts.append(decompress(codec, payload, len(population.architectures))[0])
        decoded_MP = torch.cat(parts)
        if not torch.isfinite(decoded_MP).all():
            raise DivergedError("reconstructed weights are not finite; lower learning_rate, or set gain to true")
        prepared = population if prepare is None else prepare(population)
        squared_error += float((decoded_MP - prepared.weights_MP).square().sum(dtype=torch.float64))
        weights += population.weights_MP.numel()
        found.append(measure(population, decoded_MP, data.dataset.validation, data.dataset.task))
    return {
        "code_bits_per_weight": 8 * payload_bytes / weights,
        "shared_bytes": float(codec.shared_bytes),
        **summary(found),
        "weight_mse": squared_error / weights,
    }
