"""Neural functionals of the package ``nfn``: a published equivariant network, a baseline on the same networks.

Zhou et al., "Permutation Equivariant Neural Functionals" (NeurIPS 2023, arXiv 2302.14040): NFN-HNP, whose inputs and
outputs keep their names. Their own layers (https://pypi.org/project/nfn, MIT) are used, and needed: what is here
hands weights over.

Shape letters: B networks of a batch, P parameters.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from types import ModuleType
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from trainables.encoders.graph.config import FunctionalConfig
from trainables.encoders.graph.structure import network_graph
from trainables.encoders.layouts import require_layout
from trainables.encoders.supervised import NetworkModule
from trainables.trainable import FitData
from zoo.architecture import Architecture, Conv, Linear
from zoo.population import Population

SMALLEST_SCALE = 1e-6


def package() -> ModuleType:
    """The package.

    Raises:
        ValueError: It is not installed.
    """
    try:
        import nfn.common
        import nfn.layers
    except ImportError as error:
        raise ValueError(
            "the encoder nfn needs the packages nfn and einops, which are not installed; pip install 'zooscale[nfn]', "
            "or take neural-graph"
        ) from error
    found: ModuleType = nfn
    return found


def check(config: FunctionalConfig, architectures: Sequence[Architecture]) -> Mapping[str, float]:  # noqa: ARG001
    """See ``trainables.trainable.Trainable.check``.

    Raises:
        ValueError: The package is not installed, or these are no networks for it.
    """
    package()
    for architecture in architectures:
        require_chain(architecture)
    return {}


def require_chain(architecture: Architecture) -> None:
    """Raises a ``ValueError`` unless layers with biases follow each other and read the units of the one before."""
    names = [place.name for place in architecture.placed if isinstance(place.layer, Linear | Conv)]
    wanted = [f"{name}.{tensor}" for name in names for tensor in ("weight", "bias")]
    edges = network_graph(architecture).edges
    read = [max(edge.blocks) for edge in edges[1:]]
    if len(names) < 2 or [spec.name for spec in architecture.layout] != wanted or max(read) > 1:
        raise ValueError(
            f"nfn takes chains of two or more linear layers and convolutions with biases, images averaged before the "
            f"first linear layer; {architecture.summary} is none: take neural-graph"
        )


class NeuralFunctional(NetworkModule):
    """NFN-HNP, mean pooling and two linear layers, for networks of one layout.

    Args:
        config: Sizes.
        facts: The architecture.
    """

    config: FunctionalConfig
    config_type: ClassVar = FunctionalConfig
    scale_P: Tensor

    def __init__(self, config: FunctionalConfig, facts: Mapping[str, Any]) -> None:
        super().__init__(config, facts)
        nfn = package()
        self.features_type = nfn.common.WeightSpaceFeatures
        self.architecture = Architecture.from_json(facts["architecture"])
        self.register_buffer("scale_P", torch.ones(self.architecture.parameters))
        layers = nfn.layers
        spec = nfn.common.network_spec_from_wsfeat(self.features(torch.zeros(1, self.architecture.parameters)))
        widths = (1, *(config.channels for _ in range(config.blocks)))
        stages: list[nn.Module] = []
        for before, after in pairwise(widths):
            stages += [layers.HNPLinear(spec, before, after), layers.TupleOp(nn.ReLU())]
        pooled = config.channels * layers.HNPPool.get_num_outs(spec)
        self.functional = nn.Sequential(*stages, layers.HNPPool(spec), nn.Flatten())
        self.to_latent = nn.Sequential(
            nn.Linear(pooled, config.width), nn.ReLU(), nn.Linear(config.width, config.latent)
        )

    @classmethod
    def facts_of(cls, config: FunctionalConfig, data: FitData) -> dict[str, Any]:
        training, _ = data.one_layout("nfn")
        check(config, training.architectures)
        return {"architecture": training.architecture.to_json()}

    def initialize(self, data: FitData) -> None:
        """Weights are divided by the root mean square of their tensor over the training networks."""
        for spec in self.architecture.layout:
            size = data.training[0].weights_MP[:, spec.span].square().mean().sqrt()
            self.scale_P[spec.span] = size.clamp_min(SMALLEST_SCALE)

    def require(self, population: Population) -> None:
        require_layout(population, self.architecture)

    def forward(self, batch: Population) -> Tensor:
        embedding: Tensor = self.to_latent(self.functional(self.features(batch.weights_MP / self.scale_P)))
        return embedding

    def features(self, weights_BP: Tensor) -> Any:
        """Weights and biases as the package takes them, with one channel."""
        tensors = [tensor.unsqueeze(1) for tensor in self.architecture.tensors(weights_BP).values()]
        return self.features_type(tensors[::2], tensors[1::2])
