"""Controls: codecs that know nothing of the network they code, or nothing but its likeness to known ones.

A decoder that always emits one good network has a high accuracy at zero bits, so a codec is only as good as its
lead over these.

Shape letters: M members, K known networks, P parameters, N images, C classes.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import one_hot

from analysis.statistics.groups import evenly_spaced
from trainables.autoencoders.learned_codec import LearnedCodec
from trainables.codecs.classical.blocks import LARGEST_FLOAT16, WeightBlocks, require_setting, take
from trainables.codecs.codec import with_header
from zoo.architecture import Architecture
from zoo.data.class_tasks import task_labels
from zoo.data.examples import Examples
from zoo.evaluation import outputs
from zoo.population import Population, single_architecture
from zoo.population.initialization import initial_weights

ZERO_RATE = ("mean weights", "constant member", "mean latent", "random network")
CANDIDATES, CANDIDATE_IMAGES = 600, 500
INDEX_IMAGES = 100
LATENTS = 1000


@dataclass(frozen=True, kw_only=True, eq=False)
class Constant(WeightBlocks):
    """Zero rate: every network is decoded to the same weights, which the receiver holds as float16.

    Attributes:
        weights_P: Those weights, float32.
    """

    weights_P: np.ndarray
    name: str

    @classmethod
    def of(cls, population: Population, weights_P: Tensor, name: str) -> Constant:
        """A constant for networks of the population's layout."""
        half_P = weights_P.clamp(-LARGEST_FLOAT16, LARGEST_FLOAT16).half().float().numpy()
        return cls(population.architecture.layout, weights_P=half_P, name=name)

    @property
    def shared_bytes(self) -> int:
        """The weights as float16."""
        return 2 * self.weights_P.size

    def encode(self, weights_MP: np.ndarray) -> bytes:  # noqa: ARG002
        """Nothing is sent but the number of members."""
        return b""

    def decode(self, body: bytes, members: int) -> np.ndarray:
        """See :class:`WeightBlocks`."""
        if body:
            raise ValueError(f"the payload of a constant has {len(body)} bytes of body; expected none")
        return np.tile(self.weights_P, (members, 1))


def fit_mean_weights(training: Population, images: Examples | None = None) -> Constant:  # noqa: ARG001
    """The mean of the training members' weights."""
    return Constant.of(training, training.weights_MP.double().mean(0).float(), "mean weights")


@torch.no_grad()
def fit_constant_member(training: Population, images: Examples | None = None) -> Constant:
    """The training member that agrees most with all of them when it stands in for each, on training images.

    A network is decoded into the architecture of the one it stands in for, so a candidate is tried in all of them.
    """
    if images is None:
        raise ValueError("the best constant member is chosen by its outputs; give training images")
    candidates, examples = training.select(evenly_spaced(len(training), CANDIDATES)), images.first(CANDIDATE_IMAGES)
    likeness_K = torch.zeros(len(candidates))
    for architecture, rows in candidates.groups():
        outputs_KNC = outputs(single_architecture(architecture, candidates.weights_MP), examples)
        if examples.targets.dtype == torch.int64:
            likeness_K += _common_predictions(outputs_KNC, outputs_KNC[rows], _parts(candidates.select(rows), examples))
        else:
            likeness_K += _common_outputs(outputs_KNC, outputs_KNC[rows])
    return Constant.of(training, candidates.weights_MP[int(likeness_K.argmax())], "constant member")


def _common_predictions(candidates_KNC: Tensor, members_MNC: Tensor, part_MN: Tensor) -> Tensor:
    """How many predictions each candidate has in common with all members, on the examples of their tasks: ``[K]``."""
    classes = candidates_KNC.shape[2]
    votes_NC = (one_hot(members_MNC.argmax(-1), classes) * part_MN.unsqueeze(2)).sum(0)
    return (one_hot(candidates_KNC.argmax(-1), classes) * votes_NC).sum((1, 2)).float()


def _common_outputs(candidates_KNC: Tensor, members_MNC: Tensor) -> Tensor:
    """Minus the sum over members of the squared distance of outputs, but for what all candidates share: ``[K]``."""
    return -len(members_MNC) * (candidates_KNC - members_MNC.mean(0)).square().sum((1, 2))


def _parts(population: Population, examples: Examples) -> Tensor:
    """Which examples are part of each member's class task, bool ``[M, N]``."""
    return torch.stack([task_labels(member.task, examples.targets) >= 0 for member in population.members])


def fit_random_network(training: Population, images: Examples | None = None) -> Constant:  # noqa: ARG001
    """An untrained network: freshly initialized like the first training member."""
    weights_MP = initial_weights(training.architecture, training.members[:1])
    return Constant.of(training, weights_MP[0], "random network")


@torch.no_grad()
def fit_mean_latent(codec: LearnedCodec, training: Population) -> Constant:
    """What a learned codec decodes the mean of the training members' latents to; of some, evenly spaced."""
    latent = codec.autoencoder.encode(training.select(evenly_spaced(len(training), LATENTS)))
    mean_1Z = latent.values_MZ.mean(0, keepdim=True)
    gain_1 = latent.gain_M.double().mean().round().long().reshape(1)
    return Constant.of(training, codec.receiver.weights(mean_1Z, gain_1)[0], "mean latent")


@dataclass(frozen=True, kw_only=True, eq=False)
class Index(WeightBlocks):
    """Sends the number of the most similar training member; the receiver holds them all as float16.

    Similar is what is similar on training images: least divergence from the network's outputs (least squared
    distance, where these are values and not logits) to those of the training member's weights in the network's own
    architecture.

    Attributes:
        known: The training members, weights rounded to float16.
        images: Training images.
        tables: What the known networks answer in each architecture met so far, ``[K, N·C]``: log-probabilities, or
            values.
    """

    known: Population
    images: Examples
    tables: dict[Architecture, Tensor] = field(default_factory=dict, repr=False)
    name: str = "index"

    @classmethod
    def fit(cls, training: Population, images: Examples | None = None, *, known: int) -> Index:
        """Keeps training members spread evenly over the population.

        Args:
            training: Training members.
            images: Training images.
            known: Largest number of members kept.
        """
        require_setting(known >= 1, "known", known, "1 or more")
        if images is None:
            raise ValueError("the nearest member is chosen by its outputs; give training images")
        kept = training.select(evenly_spaced(len(training), known))
        halves = kept.weights_MP.clamp(-LARGEST_FLOAT16, LARGEST_FLOAT16).half().float()
        return cls(training.architecture.layout, known=kept.with_weights(halves), images=images.first(INDEX_IMAGES))

    @property
    def shared_bytes(self) -> int:
        """The zoo itself."""
        return 2 * self.known.weights_MP.numel()

    @property
    def bits(self) -> int:
        """Bits of an index."""
        return max(1, math.ceil(math.log2(len(self.known))))

    def compress(self, population: Population) -> bytes:
        """Encodes indices; takes each network's architecture from the population, as every decoder of it does.

        Raises:
            ValueError: The population is empty, of another layout, or holds non-finite weights.
        """
        self.checked(population)
        nearest_M = torch.zeros(len(population), dtype=torch.int64)
        for architecture, rows in population.groups():
            nearest_M[rows] = self._nearest(architecture, population.weights_MP[rows])
        digits_MB = nearest_M.numpy()[:, None] >> np.arange(self.bits) & 1
        return with_header(len(population), np.packbits(digits_MB.astype(np.uint8)).tobytes())

    def decode(self, body: bytes, members: int) -> np.ndarray:
        """See :class:`WeightBlocks`."""
        packed, _ = take(body, math.ceil(members * self.bits / 8))
        digits = np.unpackbits(np.frombuffer(packed, dtype=np.uint8))[: members * self.bits]
        nearest_M = digits.reshape(members, self.bits).astype(np.int64) @ (1 << np.arange(self.bits))
        if nearest_M.max() >= len(self.known):
            raise ValueError(f"a payload names network {nearest_M.max()} of {len(self.known)}; it is corrupted")
        return self.known.weights_MP.numpy()[nearest_M]

    @torch.no_grad()
    def _nearest(self, architecture: Architecture, weights_MP: Tensor) -> Tensor:
        """For each network the known one that is most similar."""
        classes = self.images.targets.dtype == torch.int64
        if architecture not in self.tables:
            known_KNC = outputs(single_architecture(architecture, self.known.weights_MP), self.images)
            self.tables[architecture] = (known_KNC.log_softmax(-1) if classes else known_KNC).flatten(1)
        outputs_MNC = outputs(single_architecture(architecture, weights_MP), self.images)
        table_KF = self.tables[architecture]
        if classes:  # least divergence: largest Σ p·log q over images and classes
            return (outputs_MNC.softmax(-1).flatten(1) @ table_KF.T).argmax(dim=1)
        return (outputs_MNC.flatten(1) @ table_KF.T - table_KF.square().sum(1) / 2).argmax(dim=1)
