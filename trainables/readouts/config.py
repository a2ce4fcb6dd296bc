"""Settings of readouts; free of torch."""

from __future__ import annotations

from dataclasses import dataclass

from zoo.config import require


@dataclass(frozen=True, kw_only=True, slots=True)
class LinearReadout:
    """Ridge regression of numbers, softmax regression of categories, on standardized features.

    Features are followed to a quarter of the training networks' range beyond it, of numbers to once that range where
    validation networks are told clearly better so; values further off count as that.

    Attributes:
        penalty: Weight of the squared coefficients; 0 for the one of 1e3 … 1e-5 that is best on validation members
            (of categories the search from the largest ends after three in a row that are no better), and 1 where the
            target is known of none of these.
    """

    penalty: float = 0.0

    def __post_init__(self) -> None:
        require(self.penalty >= 0, self, "penalty", "0 or more")


@dataclass(frozen=True, kw_only=True, slots=True)
class BoostingReadout:
    """Gradient boosting of trees.

    Attributes:
        iterations: How many trees follow each other.
        learning_rate: Share of each tree's prediction that is added.
        leaves: Most leaves of a tree.
        leaf_members: Fewest networks in a leaf.
        l2: Penalty on the values of leaves.
        components: Trees see so many principal components of the standardized features where these are more; 0 for
            the features themselves, however many.
        seed: Of the choice of the networks that features are binned by, where there are very many.
    """

    iterations: int = 200
    learning_rate: float = 0.1
    leaves: int = 31
    leaf_members: int = 20
    l2: float = 0.0
    components: int = 0
    seed: int = 0

    def __post_init__(self) -> None:
        require(self.components >= 0, self, "components", "0 or more")
        require(1 <= self.iterations <= 100_000, self, "iterations", "1 to 100,000")
        require(0 < self.learning_rate <= 1, self, "learning_rate", "more than 0, at most 1")
        require(self.leaves >= 2, self, "leaves", "2 or more")
        require(self.leaf_members >= 1, self, "leaf_members", "1 or more")
        require(self.l2 >= 0, self, "l2", "0 or more")
