"""Configurations of neural graphs and neural functionals; free of torch."""

from __future__ import annotations

from dataclasses import dataclass

from trainables.encoders.config import SupervisedConfig
from zoo.config import require

MESSAGES = ("mean", "root", "sum")


@dataclass(frozen=True, kw_only=True, slots=True)
class GraphConfig(SupervisedConfig):
    """Neural graphs: hidden units are nodes, weights and kernels are edges.

    Of the sizes tried, the defaults did best on validation members of digits-mlp-diverse (1 400 training members);
    larger networks and longer fits learn training members by heart.

    Attributes:
        width: Of a node's vector.
        edge_width: Of an edge's vector; most of the time goes into edges.
        blocks: Rounds of messages.
        modes: Of a kernel, or of a flattened image, so many frequencies in each direction are read.
        messages: Messages to a unit are summed and divided by how many there are ("mean", which holds best for networks
            of other widths), by the root of that ("root"), or not ("sum").
        gauge: Undo the scale of hidden units where the activation function is homogeneous (ReLU).
        told_activation: Tell the encoder each network's activation functions; else it has only the weights.
        dropout: Of what layers give to the embedding.
        noise: Deviation of the noise on weights in training, in root mean squares of the tensor.
    """

    width: int = 32
    edge_width: int = 16
    blocks: int = 2
    epochs: int = 10
    modes: int = 8
    messages: str = "mean"
    gauge: bool = False
    told_activation: bool = False
    dropout: float = 0.0
    noise: float = 0.0

    def __post_init__(self) -> None:
        # Slots make a class anew, which `super()` without arguments does not find.
        SupervisedConfig.__post_init__(self)
        for name in ("width", "edge_width", "modes"):
            require(getattr(self, name) >= 1, self, name, "1 or more")
        require(1 <= self.blocks <= 12, self, "blocks", "1 to 12")
        require(self.messages in MESSAGES, self, "messages", ", ".join(MESSAGES))
        require(0 <= self.dropout < 1, self, "dropout", "0 to less than 1")
        require(self.noise >= 0, self, "noise", "0 or more")


@dataclass(frozen=True, kw_only=True, slots=True)
class FunctionalConfig(SupervisedConfig):
    """NFN-HNP, the layers of the package nfn.

    Attributes:
        channels: Of every weight in the equivariant layers.
        blocks: Equivariant layers.
        width: Hidden width of the network behind them.
    """

    channels: int = 16
    blocks: int = 3
    width: int = 256

    def __post_init__(self) -> None:
        SupervisedConfig.__post_init__(self)
        for name in ("channels", "width"):
            require(getattr(self, name) >= 1, self, name, "1 or more")
        require(1 <= self.blocks <= 12, self, "blocks", "1 to 12")
