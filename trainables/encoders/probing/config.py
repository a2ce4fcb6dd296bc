"""Configuration of probing; free of torch."""

from __future__ import annotations

from dataclasses import dataclass

from trainables.encoders.config import SupervisedConfig
from zoo.config import require

PROBES = ("images", "noise", "generator")
HIDDEN = ("none", "moments", "profiles", "both")


@dataclass(frozen=True, kw_only=True, slots=True)
class ProbingConfig(SupervisedConfig):
    """Learned inputs and what networks make of them.

    Attributes:
        probes: Where learned inputs begin: at training "images" (examples of any kind), at "noise", or as what a deep
            linear "generator" makes of a learned code for each.
        count: How many there are.
        code: Numbers in a code of the generator.
        channels: Channels of the generator at full size; it has up to eight times as many before.
        hidden: What is read of hidden layers: "none", "moments" of each layer's units for each probe, "profiles" of
            each unit over all probes, or "both".
        units: Width of the network that reads profiles.
        width: Of the readout network's hidden layers.
        layers: Hidden layers of the readout network.
    """

    probes: str = "images"
    count: int = 32
    code: int = 32
    channels: int = 16
    hidden: str = "profiles"
    units: int = 64
    width: int = 256
    layers: int = 2
    epochs: int = 30

    def __post_init__(self) -> None:
        SupervisedConfig.__post_init__(self)
        require(self.probes in PROBES, self, "probes", ", ".join(PROBES))
        require(self.hidden in HIDDEN, self, "hidden", ", ".join(HIDDEN))
        for name in ("count", "code", "channels", "units", "width", "layers"):
            require(getattr(self, name) >= 1, self, name, "1 or more")
