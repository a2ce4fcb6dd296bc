"""Configuration of hypernetworks that read a labeled data set; free of torch."""

from __future__ import annotations

from dataclasses import dataclass

from trainables.hypernetworks.config import HEADS, VIEWS
from zoo.config import require

EMBEDDINGS = ("shared", "slots")
ATTENTIONS = ("full", "induced", "none")
OUTPUT_LAYERS = ("pooled", "classes", "ridge")
OFF, ALL_CLASSES = 0.0, 0


@dataclass(frozen=True, kw_only=True, slots=True)
class DatasetHypernetworkConfig:
    """A network that reads a set of labeled examples and writes the weights of a network for them.

    Attributes:
        set_size: Examples of a set.
        queries: Other examples of the same task on which a made network is judged in training.
        weight_loss: Weight of the squared error to the weights of the zoo's networks, each made of the subset that it
            was trained on; relative to their variance. Sets are then those subsets, else random ones.
        support_loss: Weight of the made networks' loss on the set itself.
        query_loss: Weight of their loss on the queries.
        permute: Whether labels of each set are permuted at random, so that no one network serves all sets.
        scrambled: Share of the sets whose inputs are put into another order at random, each set's own.
        datasets: Names of other data sets of which sets are drawn too, with commas: a step takes one of all at random.
        classes: So many classes occur in a set, drawn at random for each; 0 for all.
        embedding: "shared" (one network for all examples) or "slots" (one layer for each place in the set, which
            fixes its size and order).
        width: Width of embeddings.
        attention: Across examples: "full", "induced" (through ``induced`` learned points) or "none".
        blocks: Attention blocks.
        heads: Heads of each.
        induced: Learned points.
        head: What maps the mean of embeddings to weights; see :class:`HypernetworkConfig`.
        rank: Directions of a low-rank head.
        chunk: Weights of a piece of a chunked head.
        span: Whether units of the first layer are also given a weighted sum of the set's inputs, as gradient descent
            gives them.
        regressed: Whether a network is made by regression on its set alone where this tells the labels of examples that
            are left out better than what was learned, for inputs unlike those trained on: its first layer of the
            directions of ridge regression (two for each class but one) and, if there are more units, of the examples
            that are hardest for it; its last layer by ridge regression on these. It changes nothing in training.
        output_layer: What makes the last layer: "pooled" (the head, as all others), "classes" (each class's row of the
            mean embedding and the mean hidden values of its examples) or "ridge" (ridge regression on the hidden values
            of the set, its strength learned). The last two give a permuted network for permuted labels.
        view: Coordinates in which weights are made: "fan_in" (scaled by the inputs of a unit, around one network that
            is learned), or around the mean of the zoo's networks in one of their views.
        canonical: How hidden units of the zoo's networks are ordered where they are read: "given", "sorted" or
            "aligned".
        task_batch: Sets a step.
        steps: Steps an epoch.
        epochs: Epochs.
        learning_rate: Adam's step size at the start; it falls to zero along a half cosine.
        seed: Seed of everything random.
    """

    set_size: int = 100
    queries: int = 100
    weight_loss: float = OFF
    support_loss: float = OFF
    query_loss: float = 1.0
    permute: bool = True
    scrambled: float = 0.0
    datasets: str = ""
    classes: int = ALL_CLASSES
    embedding: str = "shared"
    width: int = 64
    attention: str = "full"
    blocks: int = 1
    heads: int = 4
    induced: int = 16
    head: str = "low-rank"
    rank: int = 32
    chunk: int = 256
    span: bool = False
    regressed: bool = False
    output_layer: str = "ridge"
    view: str = "fan_in"
    canonical: str = "aligned"
    task_batch: int = 16
    steps: int = 100
    epochs: int = 10
    learning_rate: float = 1e-3
    seed: int = 0

    def __post_init__(self) -> None:
        for name, allowed in (
            ("embedding", EMBEDDINGS),
            ("attention", ATTENTIONS),
            ("head", HEADS),
            ("output_layer", OUTPUT_LAYERS),
            ("view", VIEWS),
            ("canonical", ("given", "sorted", "aligned")),
        ):
            require(getattr(self, name) in allowed, self, name, ", ".join(allowed))
        counts = "set_size queries width blocks heads induced rank chunk task_batch steps epochs"
        for name in counts.split():
            require(getattr(self, name) >= 1, self, name, "1 or more")
        require(self.task_batch >= 2, self, "task_batch", "2 or more, since embeddings are compared between sets")
        require(self.width % self.heads == 0, self, "width", f"a multiple of heads, which is {self.heads}")
        for name in ("weight_loss", "support_loss", "query_loss"):
            require(getattr(self, name) >= 0, self, name, "0 or more")
        losses = self.weight_loss + self.support_loss + self.query_loss
        require(losses > 0, self, "query_loss", "more than 0 where weight_loss and support_loss are 0")
        require(not (self.permute and self.weight_loss), self, "permute", "false where there is a weight_loss")
        require(0 <= self.scrambled <= 1, self, "scrambled", "0 to 1")
        for name in ("scrambled", "datasets"):
            value = getattr(self, name)
            require(not (value and self.weight_loss), self, name, "none where there is a weight_loss")
        require(self.classes == ALL_CLASSES or self.classes >= 2, self, "classes", "0 (all), or 2 or more")
        require(not (self.classes and self.weight_loss), self, "classes", "0 where there is a weight_loss")
        require(self.learning_rate > 0, self, "learning_rate", "more than 0")
        require(0 <= self.seed < 2**32, self, "seed", "0 to 2^32 - 1")

    @property
    def others(self) -> tuple[str, ...]:
        """Names of the other data sets."""
        return tuple(name.strip() for name in self.datasets.split(",") if name.strip())

    @property
    def batch_size(self) -> int:
        """Sets a step, as ``trainables.gradient_fit`` calls it."""
        return self.task_batch
