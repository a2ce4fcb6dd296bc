"""Configuration of the set-based encoder; free of torch."""

from __future__ import annotations

from dataclasses import dataclass

from trainables.encoders.config import SupervisedConfig
from zoo.config import require


@dataclass(frozen=True, kw_only=True, slots=True)
class SneConfig(SupervisedConfig):
    """Sets of weights within chunks, of chunks within layers, of layers within networks.

    Attributes:
        chunk: Weights of a chunk; the last of a tensor is padded. A convolution's kernel is one, whatever its size.
        element_width: Of a weight in the sets within chunks, where nearly all time goes.
        width: Of a chunk and of a layer.
        heads: Attention heads of sets of chunks and of layers; they divide ``width``. Within chunks there is one.
        blocks: Set attention blocks in a row wherever a set is mapped to a set; 2 as published.
        invariance: ν: weight of the squared distance between embeddings of a network and of the same one with its
            hidden units in another order. 0 takes half the time.
    """

    chunk: int = 32
    element_width: int = 8
    width: int = 32
    heads: int = 4
    blocks: int = 2
    invariance: float = 0.1

    def __post_init__(self) -> None:
        # A dataclass with slots is made anew, so that super() without arguments would mean another class.
        SupervisedConfig.__post_init__(self)
        for name in ("chunk", "element_width", "width", "heads"):
            require(getattr(self, name) >= 1, self, name, "1 or more")
        require(self.width % self.heads == 0, self, "heads", f"a divisor of width, which is {self.width}")
        require(1 <= self.blocks <= 4, self, "blocks", "1 to 4")
        require(self.invariance >= 0, self, "invariance", "0 or more")
