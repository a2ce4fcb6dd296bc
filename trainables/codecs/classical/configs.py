"""The settings of the classical codecs; free of torch."""

from __future__ import annotations

from dataclasses import dataclass

from zoo.config import require


@dataclass(frozen=True, kw_only=True, slots=True)
class LosslessConfig:
    """There is nothing to set."""


@dataclass(frozen=True, kw_only=True, slots=True)
class UniformConfig:
    """See ``trainables.codecs.classical.scalar.Uniform``.

    Attributes:
        step: Width of a cell, relative to the mean magnitude of the member's largest tensor.
    """

    step: float = 1.1

    def __post_init__(self) -> None:
        require(self.step > 0, self, "step", "more than 0")


@dataclass(frozen=True, kw_only=True, slots=True)
class KMeansConfig:
    """See ``trainables.codecs.classical.kmeans.KMeans``.

    Attributes:
        clusters: Largest number of codebook entries of a tensor.
    """

    clusters: int = 10

    def __post_init__(self) -> None:
        require(type(self.clusters) is int and 2 <= self.clusters <= 256, self, "clusters", "2 to 256")


@dataclass(frozen=True, kw_only=True, slots=True)
class Sz3Config:
    """See ``trainables.codecs.classical.sz3.Sz3``.

    Attributes:
        bound: Largest error of a weight, relative to its member's mean magnitude.
    """

    bound: float = 0.6

    def __post_init__(self) -> None:
        require(self.bound > 0, self, "bound", "more than 0")


@dataclass(frozen=True, kw_only=True, slots=True)
class PruningConfig:
    """See ``trainables.codecs.classical.pruning.Pruning``.

    Attributes:
        keep: Share of the weights that is kept.
        step: Width of a quantization cell relative to the mean magnitude of the member's kept weights, entropy
            coded; kept weights are float16 where ``None``.
    """

    keep: float = 0.3
    step: float | None = None

    def __post_init__(self) -> None:
        require(0 < self.keep <= 1, self, "keep", "0 < keep <= 1")
        require(self.step is None or self.step > 0, self, "step", "more than 0, or None for float16")


@dataclass(frozen=True, kw_only=True, slots=True)
class PcaConfig:
    """See ``trainables.codecs.classical.pca.Pca``.

    Attributes:
        components: Largest number of components; fewer where there are fewer training members or weights.
        step: Width of a cell, relative to the root mean square of the training members' deviation from their mean.
    """

    components: int = 512
    step: float = 0.5

    def __post_init__(self) -> None:
        require(type(self.components) is int and self.components >= 1, self, "components", "1 or more")
        require(self.step > 0, self, "step", "more than 0")
