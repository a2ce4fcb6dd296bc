"""Configurations of generators; free of torch."""

from __future__ import annotations

from dataclasses import dataclass

from trainables.autoencoders.config import ORDERS, NetworkAutoencoderConfig
from zoo.config import require

SNAPSHOTS = ("last", "all")
PATHS = ("linear", "diffusion")
PREDICTED = ("network", "velocity")
SOLVERS = ("runge-kutta", "euler")
DENSITIES = ("kernel", "prior")
ENCODED = ("network", "neuron")
NOISES = ("proportional", "leveled")


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
    """Networks with noise; by themselves, training networks with noise: what a generator must be better than.

    Attributes:
        noise: Deviation of the noise on what is made, in standard deviations that coordinates have over training
            networks; it leads out of their affine hull.
        noise_kind: How it is shared out over coordinates: "proportional" to each one's deviation; or "leveled": as much
            in sum, but the same in all, and in those that deviate less all of their deviation (reverse water-filling).
            In the view "input_basis" that is the noise that changes weights most for what it does to outputs.
    """

    noise: float = 0.1
    noise_kind: str = "proportional"

    def __post_init__(self) -> None:
        GeneratorConfig.__post_init__(self)
        require(self.noise >= 0, self, "noise", "0 or more")
        require(self.noise_kind in NOISES, self, "noise_kind", ", ".join(NOISES))
        require(self.noise_kind != "leveled" or self.noise <= 1, self, "noise", "at most 1 where noise_kind is leveled")


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
class TaskAloneConfig(NoiseConfig):
    """One network that is trained on the task alone, with noise: what a generator must be better than.

    Attributes:
        steps: Of training.
        networks: With different noise, of which the loss is in a step.
        task_examples: How many examples it is of.
        learning_rate: Adam's, of coordinates in units of their deviation over training networks.
    """

    noise: float = 0.2
    steps: int = 500
    networks: int = 8
    task_examples: int = 64
    learning_rate: float = 1e-2

    def __post_init__(self) -> None:
        NoiseConfig.__post_init__(self)
        for name in ("steps", "networks", "task_examples"):
            require(getattr(self, name) >= 1, self, name, "1 or more")
        require(self.learning_rate > 0, self, "learning_rate", "more than 0")


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


@dataclass(frozen=True, kw_only=True, slots=True)
class FlowConfig(NoiseConfig):
    """A flow from noise to networks, learned by matching its velocity; a task loss is of networks with their noise.

    Attributes:
        path: Between noise and network: "linear" (rectified flow), or "diffusion" (sine and cosine, which keeps the
            variance: the probability flow of a diffusion).
        predicted: What the module gives: the "network" at the path's end, from which the velocity follows, or the
            "velocity" itself. The former needs no more width than networks have dimensions in common.
        components: Principal components in which the flow lives; 0 for all coordinates. What is made of components lies
            in the affine hull of the training networks.
        conditions: Columns that can be wanted of generated networks, with commas; none where empty.
        dropped: Share of training steps in which conditions are left out, so that networks can be made without.
        guidance: How far what is wanted is exaggerated (classifier-free guidance, arXiv 2207.12598); 1 for not.
        jitter: Deviation of noise on training networks' coordinates, which have deviations of about 1.
        width: Of the hidden layers.
        depth: How many residual blocks.
        dropout: In the blocks.
        task_loss: Weight of the loss on training examples of networks that the flow makes, one for each of a batch;
            0 for none. What is learned by it holds for the solver and steps it was learned with: take few of "euler".
        task_examples: How many examples that loss is of, in a step.
        source: Deviation of the noise at which the flow starts.
        solver: How networks are made: "runge-kutta" (fourth order, four evaluations a step) or "euler" (one).
        integration_steps: Of the solver.
        learning_rate: Adam's step size at the start; it falls to zero along a half cosine.
        weight_decay: Of Adam, decoupled.
        batch_size: Networks a step.
        repeats: How often each network is drawn in an epoch, each time with other noise.
        epochs: Passes over the training networks.
    """

    path: str = "linear"
    predicted: str = "network"
    components: int = 0
    conditions: str = ""
    dropped: float = 0.1
    guidance: float = 1.0
    jitter: float = 0.0
    width: int = 256
    depth: int = 2
    dropout: float = 0.0
    task_loss: float = 0.0
    task_examples: int = 64
    noise: float = 0.0
    source: float = 1.0
    solver: str = "runge-kutta"
    integration_steps: int = 20
    learning_rate: float = 1e-3
    weight_decay: float = 0.0
    batch_size: int = 64
    repeats: int = 8
    epochs: int = 50

    def __post_init__(self) -> None:
        NoiseConfig.__post_init__(self)
        require(self.path in PATHS, self, "path", ", ".join(PATHS))
        require(self.predicted in PREDICTED, self, "predicted", ", ".join(PREDICTED))
        require(self.solver in SOLVERS, self, "solver", ", ".join(SOLVERS))
        for name in ("components", "guidance", "jitter", "weight_decay", "task_loss"):
            require(getattr(self, name) >= 0, self, name, "0 or more")
        for name in ("width", "depth", "task_examples", "integration_steps", "batch_size", "repeats", "epochs"):
            require(getattr(self, name) >= 1, self, name, "1 or more")
        for name in ("dropped", "dropout"):
            require(0 <= getattr(self, name) < 1, self, name, "0 to less than 1")
        for name in ("source", "learning_rate"):
            require(getattr(self, name) > 0, self, name, "more than 0")


@dataclass(frozen=True, kw_only=True, slots=True)
class LatentDensityConfig(NetworkAutoencoderConfig):
    """Latents of an autoencoder, drawn and decoded; the autoencoder's fields and these.

    Attributes:
        encoded: What has a latent: the whole "network", or each "neuron".
        snapshots: As for other generators.
        best: As for other generators.
        density: From what latents are drawn: a "kernel" density of each dimension of training networks' latents, or the
            "prior" of the normal bottleneck.
        bandwidth: Of the kernels, in Scott's.
    """

    snapshots: str = "last"
    best: float = 1.0
    encoded: str = "network"
    density: str = "kernel"
    bandwidth: float = 1.0
    gain: bool = False
    latent: int = 64
    bottleneck: str = "gaussian"
    epochs: int = 40

    def __post_init__(self) -> None:
        NetworkAutoencoderConfig.__post_init__(self)
        require(self.snapshots in SNAPSHOTS, self, "snapshots", ", ".join(SNAPSHOTS))
        require(0 < self.best <= 1, self, "best", "more than 0, at most 1")
        require(self.encoded in ENCODED, self, "encoded", ", ".join(ENCODED))
        require(self.density in DENSITIES, self, "density", ", ".join(DENSITIES))
        require(self.bandwidth >= 0, self, "bandwidth", "0 or more")
        require(not self.gain, self, "gain", "false: networks are made in one size")
