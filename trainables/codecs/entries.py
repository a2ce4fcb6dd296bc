"""The codecs in closed form, a line or two each; free of torch."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import partial
from typing import Any

from trainables.codecs.classical.configs import (
    KMeansConfig,
    LosslessConfig,
    PcaConfig,
    PruningConfig,
    Sz3Config,
    UniformConfig,
)
from trainables.codecs.function_metric.config import FunctionMetricConfig
from trainables.metrics import CODEC_METRICS
from trainables.trainable import Reference, Trainable, call

# Of a codec that does not say that it has symbols for cells.
UNSAID = "it has no method numbers()"


def closed_form_codec(
    name: str,
    codec: Reference,
    config: type[Any] = LosslessConfig,
    *,
    curve: Iterable[Mapping[str, Any]] = ({},),
    check: Reference | None = None,
    encode_steps: str = "",
    no_symbols: str = UNSAID,
    description: str,
) -> Trainable:
    """A registry entry for a codec that is fitted in closed form.

    Args:
        name: Its name.
        codec: Its class, with the methods of ``trainables.codecs.fitting.CodecType``; or ``module:Class``.
        config: Its settings.
        curve: See ``Trainable``.
        check: See ``Trainable``; for codecs that know some networks only.
        encode_steps: See ``Trainable``.
        no_symbols: See ``Trainable``.
        description: One sentence.
    """
    return Trainable(
        name=name,
        kind="codec",
        config=config,
        metrics=CODEC_METRICS,
        begin=partial(call, "trainables.codecs.fitting:begin", codec),
        load=partial(call, "trainables.codecs.fitting:load_codec", codec),
        check=check,
        curve=tuple(curve),
        encode_steps=encode_steps,
        no_symbols=no_symbols,
        description=description,
    )


def _grid(name: str, *values: float) -> list[dict[str, float]]:
    return [{name: value} for value in values]


def _grid_of_two(names: tuple[str, str], *pairs: tuple[float, float]) -> list[dict[str, float]]:
    return [dict(zip(names, pair, strict=True)) for pair in pairs]


CODECS: dict[str, Trainable] = {
    codec.name: codec
    for codec in (
        closed_form_codec(
            "function-metric",
            "trainables.codecs.function_metric.codec:MetricCodec",
            FunctionMetricConfig,
            curve=_grid("step", 0.1, 0.065, 0.04, 0.025, 0.015, 0.009, 0.004),
            check="trainables.codecs.function_metric.codec:check",
            encode_steps="distill_steps",
            no_symbols="",
            description="Transform coding in the metric of the function, with error feedback.",
        ),
        closed_form_codec(
            "uniform",
            "trainables.codecs.classical.scalar:Uniform",
            UniformConfig,
            curve=_grid("step", 5.0, 3.5, 2.5, 1.7, 1.1, 0.6, 0.3, 0.12, 0.03),
            no_symbols="",
            description="A uniform grid and an entropy coder.",
        ),
        closed_form_codec(
            "kmeans",
            "trainables.codecs.classical.kmeans:KMeans",
            KMeansConfig,
            curve=_grid("clusters", 2, 3, 4, 6, 10, 24, 64, 256),
            no_symbols="",
            description="k-means codebooks and an entropy coder.",
        ),
        closed_form_codec(
            "sz3",
            "trainables.codecs.classical.sz3:Sz3",
            Sz3Config,
            curve=_grid("bound", 2.5, 1.6, 1.0, 0.6, 0.35, 0.15, 0.05, 0.015),
            no_symbols="its library gives a stream of bytes, and does not hand out the whole numbers in it",
            description="SZ3, an error-bounded compressor of scientific data.",
        ),
        closed_form_codec(
            "pruning",
            "trainables.codecs.classical.pruning:Pruning",
            PruningConfig,
            curve=_grid("keep", 0.025, 0.05, 0.1, 0.2, 0.45),
            no_symbols="",
            description="The largest weights as float16, the others zero.",
        ),
        closed_form_codec(
            "pruning+uniform",
            "trainables.codecs.classical.pruning:Pruning",
            PruningConfig,
            curve=_grid_of_two(
                ("keep", "step"), (0.07, 1.0), (0.15, 1.0), (0.3, 0.8), (0.5, 0.5), (0.7, 0.3), (0.9, 0.1)
            ),
            no_symbols="",
            description="The largest weights on a uniform grid, the others zero.",
        ),
        closed_form_codec(
            "pca",
            "trainables.codecs.classical.pca:Pca",
            PcaConfig,
            curve=_grid_of_two(("components", "step"), (32, 0.5), (128, 0.5), (512, 0.7), (1024, 0.6), (1024, 0.2)),
            no_symbols="",
            description="Principal components over members, quantized and entropy coded.",
        ),
        closed_form_codec(
            "float16",
            "trainables.codecs.classical.scalar:Float16",
            no_symbols="",
            description="Weights as half-precision numbers.",
        ),
        closed_form_codec(
            "zstd",
            "trainables.codecs.classical.lossless:ByteSplitZstd",
            no_symbols="its bytes are codes of a general-purpose compressor, of which nearly right ones are wrong",
            description="Lossless: bytes of equal significance together, then zstandard.",
        ),
    )
}
