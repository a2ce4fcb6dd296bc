"""The registry of codecs: how each is fitted, and the settings that draw its curve."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from analysis import controls
from trainables.codecs.classical.kmeans import KMeans
from trainables.codecs.classical.lossless import ByteSplitZstd
from trainables.codecs.classical.pca import Pca
from trainables.codecs.classical.pruning import Pruning
from trainables.codecs.classical.scalar import Float16, Uniform
from trainables.codecs.classical.sz3 import Sz3
from trainables.codecs.codec import Codec
from trainables.codecs.function_metric.codec import MetricCodec
from trainables.codecs.function_metric.config import FunctionMetricConfig
from zoo.config import lookup
from zoo.data.examples import Examples
from zoo.population import Population

Setting = Mapping[str, Any]


@dataclass(frozen=True, kw_only=True, slots=True)
class CodecFamily:
    """A codec and the settings at which it is measured.

    Attributes:
        fit: ``fit(training, images, **setting) -> Codec``: training members and training images.
        settings: Keyword arguments of ``fit``, by increasing rate.
        family: "classical" or "control".
        mlp_only: Whether it knows nothing but multilayer perceptrons.
    """

    fit: Callable[..., Codec]
    settings: tuple[Setting, ...] = ({},)
    family: str = "classical"
    mlp_only: bool = False

    def codec(self, training: Population, images: Examples | None, setting: Setting) -> Codec:
        """Fits the codec at one setting."""
        return self.fit(training, images, **setting)


def _grid(name: str, *values: float) -> tuple[Setting, ...]:
    return tuple({name: value} for value in values)


def _function_metric(training: Population, images: Examples, **setting: Any) -> Codec:
    return MetricCodec.fit(FunctionMetricConfig(**setting), training, images)


CODECS: dict[str, CodecFamily] = {
    "function-metric": CodecFamily(
        fit=_function_metric, settings=_grid("step", 0.1, 0.065, 0.04, 0.025, 0.015, 0.009, 0.004), mlp_only=True
    ),
    "uniform": CodecFamily(fit=Uniform.fit, settings=_grid("step", 5.0, 3.5, 2.5, 1.7, 1.1, 0.6, 0.3, 0.12, 0.03)),
    "kmeans": CodecFamily(fit=KMeans.fit, settings=_grid("clusters", 2, 3, 4, 6, 10, 24, 64, 256)),
    "sz3": CodecFamily(fit=Sz3.fit, settings=_grid("bound", 2.5, 1.6, 1.0, 0.6, 0.35, 0.15, 0.05, 0.015)),
    "pruning": CodecFamily(fit=Pruning.fit, settings=_grid("keep", 0.025, 0.05, 0.1, 0.2, 0.45)),
    "pruning+uniform": CodecFamily(
        fit=Pruning.fit,
        settings=tuple(
            {"keep": keep, "step": step}
            for keep, step in ((0.07, 1.0), (0.15, 1.0), (0.3, 0.8), (0.5, 0.5), (0.7, 0.3), (0.9, 0.1))
        ),
    ),
    "pca": CodecFamily(
        fit=Pca.fit,
        settings=tuple(
            {"components": components, "step": step}
            for components, step in ((32, 0.5), (128, 0.5), (512, 0.7), (1024, 0.6), (1024, 0.2))
        ),
    ),
    "float16": CodecFamily(fit=Float16.fit),
    "zstd": CodecFamily(fit=ByteSplitZstd.fit),
    "mean weights": CodecFamily(fit=controls.fit_mean_weights, family="control"),
    "constant member": CodecFamily(fit=controls.fit_constant_member, family="control"),
    "random network": CodecFamily(fit=controls.fit_random_network, family="control"),
    "index": CodecFamily(fit=controls.Index.fit, settings=({"known": 4000},), family="control"),
}


def find_codec(name: str) -> CodecFamily:
    """A codec by its name in ``CODECS``, or the user's own by ``module:attribute``.

    Raises:
        ValueError: There is no such codec; the message lists the known ones.
    """
    family = lookup(CODECS, name, "codec")
    if not isinstance(family, CodecFamily):
        raise ValueError(f"codec {name!r} is a {type(family).__name__}; it must be an analysis.codecs.CodecFamily")
    return family


def setting_name(setting: Setting) -> str:
    """A setting as written in tables: ``step=0.5``."""
    return ", ".join(
        f"{name}={value:g}" if isinstance(value, float) else f"{name}={value}" for name, value in setting.items()
    )
