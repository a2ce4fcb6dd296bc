"""What a codec costs, in real bytes, and what it keeps, by the evaluators.

Shape letters: M members, P parameters.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from analysis.evaluators.evaluator import Subject
from analysis.measuring.evaluated import Evaluated, Made
from analysis.measuring.evaluation import Evaluation
from analysis.measuring.results import BLOCK, sizes
from trainables.codecs.codec import Codec
from trainables.codecs.payloads import compressor, decompress
from zoo.population import Population

# Members coded one by one; codecs that start afresh for each payload would take minutes on all of them.
SINGLES = 16


@dataclass(frozen=True, kw_only=True)
class Coded:
    """What coding the members gave.

    Attributes:
        weights_MP: Reconstructions, from payloads of 64 members.
        payload_bytes: Size of those payloads.
        bits_single: Bits a weight with one payload a member.
        bits_all: Bits a weight with one payload for all.
        encode_s: Seconds a member.
        decode_s: Seconds a member.
    """

    weights_MP: Tensor
    payload_bytes: int
    bits_single: float
    bits_all: float
    encode_s: float
    decode_s: float


def code(codec: Codec, population: Population) -> Coded:
    """Compresses and decompresses a population, in blocks of 64 members in the order given."""
    members, parameters = population.weights_MP.shape
    begin = time.perf_counter()
    compressed = compressor(codec, population)
    encode_s, decode_s = time.perf_counter() - begin, 0.0
    payload_bytes, parts = 0, []
    for start in range(0, members, BLOCK):
        rows = list(range(start, min(start + BLOCK, members)))
        begin = time.perf_counter()
        payload = compressed(rows)
        middle = time.perf_counter()
        weights_MP, _ = decompress(codec, payload, len(population.architectures))
        decode_s += time.perf_counter() - middle
        encode_s += middle - begin
        if weights_MP.shape != (len(rows), parameters) or not torch.isfinite(weights_MP).all():
            raise ValueError(
                f"codec {codec.name!r} returned weights {tuple(weights_MP.shape)} of which "
                f"{int((~torch.isfinite(weights_MP)).sum())} are not finite; "
                f"expected {(len(rows), parameters)}, all finite"
            )
        payload_bytes += len(payload)
        parts.append(weights_MP)
    sample = np.unique(np.linspace(0, members - 1, min(SINGLES, members)).round().astype(int)).tolist()
    single_bytes = sum(len(compressed([row])) for row in sample)
    all_bytes = payload_bytes if members <= BLOCK else len(compressed(list(range(members))))
    return Coded(
        weights_MP=torch.cat(parts),
        payload_bytes=payload_bytes,
        bits_single=8 * single_bytes / (len(sample) * parameters),
        bits_all=8 * all_bytes / (members * parameters),
        encode_s=encode_s / members,
        decode_s=decode_s / members,
    )


def coded(codecs: Sequence[Codec], population: Population, *, encode_steps: int = 0, trial: int | None = None) -> Made:
    """Reconstructions by one codec, or by several fits of it that differ in their seed, and what their code takes.

    Args:
        codecs: The fits: their figures are averaged.
        population: Held-out members.
        encode_steps: In how many steps the code of each network is improved.
        trial: Number of the trial that the codec comes from, where only the codec tells.

    Raises:
        ValueError: No codec was given, or one decodes to something that is no network of this layout.
    """
    if not codecs:
        raise ValueError("there is no codec to measure; give at least one fit")
    found = [code(fit, population) for fit in codecs]
    payload_bytes = float(np.mean([part.payload_bytes for part in found]))
    return Made(
        populations=tuple(population.with_weights(part.weights_MP) for part in found),
        sizes=sizes(
            code_bits_per_weight=8 * payload_bytes / (len(population) * population.parameters),
            shared_bytes=float(np.mean([fit.shared_bytes for fit in codecs])),
            code_bits_per_weight_single=_mean(found, "bits_single"),
            code_bits_per_weight_all=_mean(found, "bits_all"),
            payload_bytes=payload_bytes,
            encode_s=_mean(found, "encode_s"),
            encode_steps=encode_steps,
            decode_s=_mean(found, "decode_s"),
        ),
        trial=trial,
    )


def evaluated_codec(
    make: Callable[[Population], Made],
    original: Callable[[], Subject],
    evaluation: Evaluation,
    *,
    name: str,
    setting: str,
    family: str,
    trial: int | None = None,
) -> Evaluated:
    """How one setting of a codec is measured.

    Args:
        make: Gives the reconstructions of held-out members.
        original: Those.
        evaluation: What reconstructions are measured by.
        name: In the table.
        setting: What tells this row from the codec's others.
        family: "classical", "control" or "learned".
        trial: Number of the trial that the codec comes from.
    """
    called: dict[str, Any] = {"name": name, "setting": setting, "family": family, "trial": trial}
    return Evaluated(
        name=f"codec {name!r} ({setting})",
        make=lambda: make(original().population),
        evaluation=lambda: evaluation,
        original=original,
        finish=lambda made, found: found.result(made, evaluation, **called),
        like=lambda: original().population,
        with_details=True,
    )


def _mean(coded: Sequence[Coded], field: str) -> float:
    return math.fsum(getattr(part, field) for part in coded) / len(coded)
