"""What a codec costs and what it keeps: real bytes, and behavior on held-out members and images.

Shape letters: M members, P parameters, N images, S fits of one setting that differ in their seed.
"""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from analysis.behavior import Reference
from analysis.intervals import Bootstrap
from trainables.codecs.codec import Codec
from zoo.population import Population

BLOCK = 64
# Members coded one by one; codecs that start afresh for each payload would take minutes on all of them.
SINGLES = 16


@dataclass(frozen=True, kw_only=True, slots=True)
class CodecResult:
    """One row of the table, the same for every codec and control.

    Attributes:
        codec: Name of the codec.
        family: "classical", "control" or "learned".
        setting: What tells this row from the codec's others.
        trial: Number of the trial that a learned codec comes from.
        fits: Number of fits (seeds) averaged.
        members: Members measured.
        parameters: P.
        images: Images measured on.
        payload_bytes: Bytes of all payloads, in blocks of 64 members.
        shared_bytes: What the receiver must already hold.
        code_bits_per_weight: Payload bits a weight, in blocks of 64 members.
        code_bits_per_weight_single: The same with one payload a member (on a fixed sample of members).
        code_bits_per_weight_all: The same with one payload for all members.
        accuracy_original: Mean accuracy of the originals, 0 to 1.
        accuracy_reconstructed: Mean accuracy of the reconstructions, 0 to 1.
        accuracy_drop_pp: Mean of original minus reconstructed accuracy, percentage points, signed.
        accuracy_shift_pp: Mean over members of its absolute value.
        agreement: Share of images on which original and reconstruction predict the same class.
        agreement_p5: The 5th percentile of it over members.
        agreement_shifted: The same on images rolled by one pixel.
        excess_agreement: Agreement above that of the best zero-rate control; ``None`` until that is known.
        kl: Kullback–Leibler divergence from original to reconstruction in nats, mean over images and members.
        kl_p95: The 95th percentile over members of its mean over images.
        accuracy_r2: R² of reconstructed against original accuracy about the identity line; ``None`` where all
            originals are equally accurate.
        weight_mse: Mean squared error of a weight; a codec that returns an equal function in other weights (units
            reordered, scales moved between layers) is charged for it here and nowhere else.
        relative_l2: Mean over members of ‖error‖ / ‖weights‖.
        encode_s: Seconds to encode one member (in blocks of 64).
        decode_s: Seconds to decode one member.
        agreement_low: Lower end of the 95 % interval; likewise ``*_low`` and ``*_high`` below.
        accuracy_original_M: Accuracy of each original.
        accuracy_reconstructed_M: Accuracy of each reconstruction, averaged over fits.
        agreement_M: Agreement of each member, averaged over fits.
    """

    codec: str
    family: str
    setting: str
    trial: int | None
    fits: int
    members: int
    parameters: int
    images: int
    payload_bytes: float
    shared_bytes: float
    code_bits_per_weight: float
    code_bits_per_weight_single: float
    code_bits_per_weight_all: float
    accuracy_original: float
    accuracy_reconstructed: float
    accuracy_drop_pp: float
    accuracy_shift_pp: float
    agreement: float
    agreement_p5: float
    agreement_shifted: float
    excess_agreement: float | None
    kl: float
    kl_p95: float
    accuracy_r2: float | None
    weight_mse: float
    relative_l2: float
    encode_s: float
    decode_s: float
    agreement_low: float
    agreement_high: float
    accuracy_drop_pp_low: float
    accuracy_drop_pp_high: float
    accuracy_shift_pp_low: float
    accuracy_shift_pp_high: float
    kl_low: float
    kl_high: float
    accuracy_original_M: tuple[float, ...]
    accuracy_reconstructed_M: tuple[float, ...]
    agreement_M: tuple[float, ...]

    def row(self) -> dict[str, Any]:
        """The row without what there is for each member."""
        return {
            field.name: getattr(self, field.name) for field in dataclasses.fields(self) if not field.name.endswith("_M")
        }


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
    encode_s = decode_s = 0.0
    payload_bytes, parts = 0, []
    for start in range(0, members, BLOCK):
        block = population.select(range(start, min(start + BLOCK, members)))
        begin = time.perf_counter()
        payload = codec.compress(block)
        middle = time.perf_counter()
        weights_MP = codec.decompress(payload)
        decode_s += time.perf_counter() - middle
        encode_s += middle - begin
        if weights_MP.shape != block.weights_MP.shape or not torch.isfinite(weights_MP).all():
            raise ValueError(
                f"codec {codec.name!r} returned weights {tuple(weights_MP.shape)} of which "
                f"{int((~torch.isfinite(weights_MP)).sum())} are not finite; "
                f"expected {tuple(block.weights_MP.shape)}, all finite"
            )
        payload_bytes += len(payload)
        parts.append(weights_MP)
    sample = np.unique(np.linspace(0, members - 1, min(SINGLES, members)).round().astype(int)).tolist()
    single_bytes = sum(len(codec.compress(population.select([row]))) for row in sample)
    all_bytes = payload_bytes if members <= BLOCK else len(codec.compress(population))
    return Coded(
        weights_MP=torch.cat(parts),
        payload_bytes=payload_bytes,
        bits_single=8 * single_bytes / (len(sample) * parameters),
        bits_all=8 * all_bytes / (members * parameters),
        encode_s=encode_s / members,
        decode_s=decode_s / members,
    )


def measure(
    codecs: Codec | Sequence[Codec],
    reference: Reference,
    *,
    family: str,
    setting: str = "",
    name: str | None = None,
    trial: int | None = None,
    bootstrap: Bootstrap | None = None,
    groups_M: np.ndarray | None = None,
) -> CodecResult:
    """Measures one setting of a codec.

    Args:
        codecs: The codec, or several fits of it that differ in their seed alone: their figures are averaged,
            and intervals take their spread into account.
        reference: Held-out members and images.
        family: "classical", "control" or "learned".
        setting: What tells this row from the codec's others.
        name: Name in the table; the codec's own where ``None``.
        trial: Number of the trial the codec comes from.
        bootstrap: How intervals are drawn.
        groups_M: Members that are resampled together; see :meth:`Bootstrap.interval`.

    Raises:
        ValueError: No codec was given, or one decodes to something that is no network of this layout.
    """
    fits = list(codecs) if isinstance(codecs, Sequence) else [codecs]
    if not fits:
        raise ValueError("there is no codec to measure; give at least one fit")
    name = fits[0].name if name is None else name
    population, bootstrap = reference.population, bootstrap or Bootstrap()
    coded = [code(fit, population) for fit in fits]
    behaviors = [reference.behavior(part.weights_MP, f"codec {name!r} ({setting})") for part in coded]
    agree_SMN, correct_SMN, kl_SMN, shifted_SMN = (
        np.stack([getattr(behavior, field) for behavior in behaviors])
        for field in ("agree_MN", "correct_MN", "kl_MN", "agree_shifted_MN")
    )
    lost_SMN = reference.correct_MN.astype(np.int8) - correct_SMN.astype(np.int8)
    intervals = {
        "agreement": bootstrap.interval(agree_SMN, groups_M=groups_M),
        "kl": bootstrap.interval(kl_SMN, groups_M=groups_M),
        "accuracy_drop_pp": bootstrap.interval(100.0 * lost_SMN, groups_M=groups_M),
        "accuracy_shift_pp": bootstrap.interval(100.0 * lost_SMN, absolute=True, groups_M=groups_M),
    }
    original_M = reference.correct_MN.mean(1, dtype=np.float64)
    reconstructed_SM = correct_SMN.mean(2, dtype=np.float64)
    agreement_SM = agree_SMN.mean(2, dtype=np.float64)
    payload_bytes = float(np.mean([part.payload_bytes for part in coded]))
    return CodecResult(
        codec=name,
        family=family,
        setting=setting,
        trial=trial,
        fits=len(fits),
        members=len(population),
        parameters=population.parameters,
        images=len(reference.images),
        payload_bytes=payload_bytes,
        shared_bytes=float(np.mean([fit.shared_bytes for fit in fits])),
        code_bits_per_weight=8 * payload_bytes / (len(population) * population.parameters),
        code_bits_per_weight_single=_mean(coded, "bits_single"),
        code_bits_per_weight_all=_mean(coded, "bits_all"),
        accuracy_original=float(original_M.mean()),
        accuracy_reconstructed=float(reconstructed_SM.mean()),
        agreement_p5=float(np.quantile(agreement_SM, 0.05, axis=1).mean()),
        agreement_shifted=float(shifted_SMN.mean(dtype=np.float64)),
        excess_agreement=None,
        kl_p95=float(np.quantile(kl_SMN.mean(2, dtype=np.float64), 0.95, axis=1).mean()),
        accuracy_r2=_identity_r2(original_M, reconstructed_SM),
        **_weight_errors(population.weights_MP, [part.weights_MP for part in coded]),
        encode_s=_mean(coded, "encode_s"),
        decode_s=_mean(coded, "decode_s"),
        **{metric: interval.estimate for metric, interval in intervals.items()},
        **{f"{metric}_low": interval.low for metric, interval in intervals.items()},
        **{f"{metric}_high": interval.high for metric, interval in intervals.items()},
        accuracy_original_M=tuple(original_M.tolist()),
        accuracy_reconstructed_M=tuple(reconstructed_SM.mean(0).tolist()),
        agreement_M=tuple(agreement_SM.mean(0).tolist()),
    )


def _mean(coded: Sequence[Coded], field: str) -> float:
    return math.fsum(getattr(part, field) for part in coded) / len(coded)


def _weight_errors(weights_MP: Tensor, decoded: Sequence[Tensor]) -> Mapping[str, float]:
    """``weight_mse`` and ``relative_l2``, averaged over fits."""
    mse, relative = [], []
    for decoded_MP in decoded:
        error_MP = decoded_MP.double() - weights_MP.double()
        mse.append(float(error_MP.square().mean()))
        norm_M = weights_MP.double().norm(dim=1).clamp_min(torch.finfo(torch.float64).tiny)
        relative.append(float((error_MP.norm(dim=1) / norm_M).mean()))
    return {"weight_mse": float(np.mean(mse)), "relative_l2": float(np.mean(relative))}


def _identity_r2(original_M: np.ndarray, reconstructed_SM: np.ndarray) -> float | None:
    """1 - Σ(reconstructed - original)² / Σ(original - mean)², averaged over fits."""
    spread = float(((original_M - original_M.mean()) ** 2).sum())
    if spread == 0:
        return None
    return float((1 - ((reconstructed_SM - original_M) ** 2).sum(1) / spread).mean())
