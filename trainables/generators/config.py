"""Configurations of generators; free of torch."""

from __future__ import annotations

from dataclasses import dataclass

from trainables.autoencoders.config import ORDERS
from zoo.config import require

SNAPSHOTS = ("last", "all")


@dataclass(frozen=True, kw_only=True, slots=True)
class GeneratorConfig:
    """What generators have in common; each adds its own fields.

    Attributes:
        view: The coordinates in which networks are made: a name in
            ``trainables.autoencoders.coordinates.AFFINE_VIEWS`` or ``module:attribute``.
        canonical: How hidden units are ordered before: "given", "sorted" (by size) or "aligned" (by weight matching to
            the first training member).
        snapshots: Which snapshots of the training members are fitted to: the "last" of each, or "all".
        best: Share of these that is kept, those of highest validation accuracy (or lowest validation loss).
        seed: Seed of everything random.
    """

    view: str = "standardized"
    canonical: str = "aligned"
    snapshots: str = "last"
    best: float = 1.0
    seed: int = 0

    def __post_init__(self) -> None:
        require(self.canonical in ORDERS, self, "canonical", ", ".join(ORDERS))
        require(self.snapshots in SNAPSHOTS, self, "snapshots", ", ".join(SNAPSHOTS))
        require(0 < self.best <= 1, self, "best", "more than 0, at most 1")
        require(0 <= self.seed < 2**32, self, "seed", "0 to 2^32 - 1")


@dataclass(frozen=True, kw_only=True, slots=True)
class NoiseConfig(GeneratorConfig):
    """Training networks with noise: what a generator must be better than.

    Attributes:
        noise: Deviation of the noise, in standard deviations that each coordinate has over training networks.
    """

    noise: float = 0.1

    def __post_init__(self) -> None:
        GeneratorConfig.__post_init__(self)
        require(self.noise >= 0, self, "noise", "0 or more")


@dataclass(frozen=True, kw_only=True, slots=True)
class MeanConfig(GeneratorConfig):
    """Means of some training networks: what a generator must be better than.

    Attributes:
        networks: Of how many.
    """

    networks: int = 3

    def __post_init__(self) -> None:
        GeneratorConfig.__post_init__(self)
        require(self.networks >= 1, self, "networks", "1 or more")


@dataclass(frozen=True, kw_only=True, slots=True)
class DensityConfig(GeneratorConfig):
    """Kernel density of each principal component of training networks, components independent of each other.

    Attributes:
        components: How many; the rest stays at the mean. At most the training networks less one.
        bandwidth: Of the kernels, in Scott's.
    """

    components: int = 64
    bandwidth: float = 1.0

    def __post_init__(self) -> None:
        GeneratorConfig.__post_init__(self)
        require(self.components >= 1, self, "components", "1 or more")
        require(self.bandwidth >= 0, self, "bandwidth", "0 or more")
