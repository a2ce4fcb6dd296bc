"""Configuration of the encoder by weights and behavior; free of torch."""

from __future__ import annotations

from dataclasses import dataclass

from zoo.config import require

PARTS = ("statistics", "behavior")


@dataclass(frozen=True, kw_only=True, slots=True)
class WeightsAndBehaviorConfig:
    """Which features networks are embedded by, and whether by what a head makes of them.

    Attributes:
        statistics: Distributions, norms, spectra and balance of weights.
        behavior: Outputs and hidden units on stored inputs.
        inputs: How many training and how many validation examples are stored.
        consensus: Whether behavior tells of agreement with the class that the best of the training networks see in
            each input; these are found by their agreement alone, without labels.
        labels: Take the labels of the stored inputs in place of the consensus. The task is then known, not told from
            weights: report such results apart.
        adapt: Whether networks of another data set are looked at on inputs of that one, where these are given, with the
            consensus of such networks and without labels; else on the stored inputs too.
        activation_known: Networks are applied with their own activation. Otherwise with each that training networks
            have, so that the embedding does not depend on it and can be asked for it.
        head: Embed by what perceptrons, fitted across folds to all columns in which training networks differ, make of
            the features, beside agreement as it is; else by the features themselves.
        width: Hidden units of the perceptrons' layers.
        passes: Of perceptrons over the training snapshots.
        learning_rate: Their largest step size.
        graph_passes: Of neural graphs over the training snapshots, beside the perceptrons of a head; 0 for none.
        seed: Of the choice of inputs, and of all that the head draws.
    """

    statistics: bool = True
    behavior: bool = True
    inputs: int = 512
    consensus: bool = True
    labels: bool = False
    adapt: bool = True
    activation_known: bool = True
    head: bool = True
    width: int = 128
    passes: int = 30
    learning_rate: float = 3e-3
    graph_passes: int = 40
    seed: int = 0

    def __post_init__(self) -> None:
        parts = [name for name in PARTS if getattr(self, name)]
        require(bool(parts), self, PARTS[0], f"true for at least one of {', '.join(PARTS)}")
        require(1 <= self.inputs <= 100_000, self, "inputs", "1 to 100,000")
        require(self.consensus or not self.labels, self, "labels", "false where consensus is false")
        for name in ("width", "passes"):
            require(getattr(self, name) >= 1, self, name, "1 or more")
        require(self.graph_passes >= 0, self, "graph_passes", "0 or more")
        require(self.learning_rate > 0, self, "learning_rate", "more than 0")
        require(0 <= self.seed < 2**32, self, "seed", "0 to 2^32 - 1")
