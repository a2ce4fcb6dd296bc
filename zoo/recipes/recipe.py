"""A recipe: what generates a zoo, as data."""

from __future__ import annotations

import inspect
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np

from zoo.architecture import ARCHITECTURES, Architecture, normalizing
from zoo.architecture.activations import ACTIVATIONS
from zoo.config import digest, lookup, require, to_json
from zoo.data.class_tasks import parse_task
from zoo.data.examples import Dataset
from zoo.population import Member
from zoo.recipes.drawing import Shape, Shard, draw_member, draw_shard

Design = Literal["random", "grid"]
# For each tuple of choices, the field of a member that they are for.
CHOICES = {
    "initializations": "initialization",
    "optimizers": "optimizer",
    "learning_rate_choices": "learning_rate",
    "weight_decays": "weight_decay",
    "dropouts": "dropout",
    "training_fractions": "training_fraction",
    "tasks": "task",
}
# For each field that takes the place of another where it is given: that other, and what it must then be.
INSTEAD_OF = {
    "learning_rate_choices": ("learning_rates", (1e-3, 1e-3)),
    "weight_decay_range": ("weight_decays", (0.0,)),
    "dropout_range": ("dropouts", (0.0,)),
    "depths": ("hidden", ()),
}
COUNTS = (
    "members", "batch_size", "epochs", "block_members", "shard_members", "window_members", "evaluation_examples",
)  # fmt: skip
TUPLES = ("hidden", "depths", "widths", "kernels", "activations", "snapshot_epochs", "scaled_initializations", *CHOICES)
OPTIONAL = ("hidden", "depths", "widths", "kernels", "scaled_initializations", "learning_rate_choices")
POSITIVE = "(low, high), 0 < low <= high, finite"


@dataclass(frozen=True, kw_only=True, slots=True)
class Recipe:
    """What generates a zoo; flat, stored as JSON, identified by its digest.

    A tuple of names or numbers is a set of equally likely choices. A range is (lowest, highest), drawn
    log-uniformly where nothing else is said. The activation is chosen for each shard, or with the shape of the
    network for each member where there are several shapes; optimizer, training fraction, task, fixed seed and
    minibatch order for each block of ``block_members``; everything else for each member. Activations of shards, tasks
    and fixed seeds are gone through in rounds, each in its own random order, so that any number of members has all of
    them alike. Member i is the same whatever the number of members.

    Attributes:
        name: Name of the recipe.
        dataset: A name in ``zoo.data.DATASETS`` or ``module:attribute``.
        members: How many members by default; not part of the identity.
        architecture: A name in ``zoo.architecture.ARCHITECTURES`` or ``module:attribute`` of a function with the
            signature of ``zoo.architecture.mlp``.
        hidden: Widths of the hidden layers.
        depths: Choices of the number of hidden layers, in place of ``hidden``: a zoo of several layouts.
        widths: Choices of the width of each of them.
        kernels: Choices of the size of the convolutions, for architectures that take a ``kernel``.
        window_members: With ``depths`` or ``kernels``, shape and activation are drawn for each member on its own, and
            the members of each window of so many are numbered so that those of one architecture fill shards. The
            larger it is against the number of architectures, the fuller these are, and the faster is training.
        normalize: Mean and standard deviation by which the network normalizes its inputs, which are pixels from 0 to
            1: a ``Rescale`` before its first layer. Empty for none.
        bias: Whether layers have biases.
        activations: Choices of activation.
        initializations: Choices of initial distribution.
        init_scales: Range of the factor on initial weights.
        scaled_initializations: The distributions that have this factor; all where empty.
        optimizers: Choices of optimizer.
        learning_rates: Range for adaptive optimizers; 10 times that for momentum, 100 times for SGD.
        learning_rate_choices: Choices in place of the range.
        scale_learning_rates: Whether momentum and SGD have those larger steps.
        weight_decays: Choices of weight decay.
        weight_decay_range: Range in place of the choices.
        dropouts: Choices of dropout probability.
        dropout_range: Range in place of the choices, drawn uniformly.
        training_fractions: Choices of the share of training images.
        tasks: What members are to tell apart, as in ``zoo.data.class_tasks``; members of a task lie in one split.
        subset_size: If not 0, each block is trained on exactly so many images that no other block of its task has.
        fixed_seeds: If not 0, there are only so many seeds: each fixes initialization, dropout, minibatch order and
            training subset of the blocks that have it. Otherwise each member and each block has its own.
        design: "random": choices are drawn independently. "grid": every combination of activation, optimizer,
            training fraction, fixed seed, initialization, learning rate, weight decay and dropout occurs equally
            often (as long as there are choices), in rounds of random order.
        batch_size: Examples a step.
        epochs: Length of training.
        snapshot_epochs: Epochs at whose end weights are stored; 0 is the initialization.
        seed: Seed of everything.
        block_members: Members that share one minibatch order and training subset, and lie in one split.
        shard_members: Members of a shard, or at most so many where there are several shapes; a multiple of
            ``block_members``.
        evaluation_examples: Training images on which training loss and accuracy are measured.
    """

    name: str
    dataset: str
    members: int
    architecture: str = "mlp"
    hidden: tuple[int, ...] = (16,)
    depths: tuple[int, ...] = ()
    widths: tuple[int, ...] = ()
    kernels: tuple[int, ...] = ()
    window_members: int = 1024
    normalize: tuple[float, float] | tuple[()] = ()
    bias: bool = True
    activations: tuple[str, ...] = ("relu",)
    initializations: tuple[str, ...] = ("kaiming_uniform",)
    init_scales: tuple[float, float] = (1.0, 1.0)
    scaled_initializations: tuple[str, ...] = ()
    optimizers: tuple[str, ...] = ("adam",)
    learning_rates: tuple[float, float] = (1e-3, 1e-3)
    learning_rate_choices: tuple[float, ...] = ()
    scale_learning_rates: bool = True
    weight_decays: tuple[float, ...] = (0.0,)
    weight_decay_range: tuple[float, float] | tuple[()] = ()
    dropouts: tuple[float, ...] = (0.0,)
    dropout_range: tuple[float, float] | tuple[()] = ()
    training_fractions: tuple[float, ...] = (1.0,)
    tasks: tuple[str, ...] = ("",)
    subset_size: int = 0
    fixed_seeds: int = 0
    design: Design = "random"
    batch_size: int = 64
    epochs: int = 25
    snapshot_epochs: tuple[int, ...] = (0, 1, 2, 5, 10, 25)
    seed: int = 0
    block_members: int = 16
    shard_members: int = 64
    evaluation_examples: int = 10_000

    def __post_init__(self) -> None:
        self._check_kinds()
        self._check_choices()
        for field, (other, default) in INSTEAD_OF.items():
            allowed = f"{default!r} where {field} is given, which takes its place"
            require(not getattr(self, field) or getattr(self, other) == default, self, other, allowed)
        allowed = "choices where depths is given, and () where it is not"
        require(bool(self.depths) == bool(self.widths), self, "widths", allowed)
        if self.architecture in ARCHITECTURES:  # one of the user's own is imported where it is needed, no earlier
            self._check_kernels()
        random = "random with depths or kernels, which are drawn for each member"
        require(not self.has_shapes or self.design == "random", self, "design", random)
        sizes = {len(parse_task(task)) for task in self.tasks}
        require(len(sizes) == 1, self, "tasks", "tasks of equally many classes")
        if self.subset_size:
            require(
                self.training_fractions == (1.0,), self, "training_fractions", "(1.0,) where there is a subset_size"
            )
            require(not self.fixed_seeds, self, "fixed_seeds", "0 where there is a subset_size")
        multiple = f"a multiple of block_members ({self.block_members})"
        require(self.shard_members % self.block_members == 0, self, "shard_members", multiple)
        if self.fixed_seeds and self.design == "grid":
            combinations = math.prod(self.grid_sizes)
            allowed = (
                f"up to {combinations}, the combinations of the grid: with fixed seeds more would be the same again"
            )
            require(self.members <= combinations, self, "members", allowed)
            allowed = f"a divisor of {self.member_combinations}, the combinations within a block"
            require(self.member_combinations % self.block_members == 0, self, "block_members", allowed)
        require(
            all(type(epoch) is int and epoch >= 0 for epoch in self.snapshot_epochs)
            and tuple(sorted(set(self.snapshot_epochs))) == self.snapshot_epochs
            and self.snapshot_epochs[-1] == self.epochs,
            self,
            "snapshot_epochs",
            f"increasing, from 0 or more to epochs ({self.epochs})",
        )

    def _check_kinds(self) -> None:
        """Raises where a field is of the wrong type or out of range by itself."""
        for field in TUPLES:
            require(isinstance(getattr(self, field), tuple), self, field, "a tuple (in JSON a list)")
            require(field in OPTIONAL or len(getattr(self, field)) > 0, self, field, "at least one choice")
        for field in COUNTS:
            value = getattr(self, field)
            require(type(value) is int and value > 0, self, field, "a whole number, 1 or more")
        for field in ("subset_size", "fixed_seeds"):
            value = getattr(self, field)
            require(type(value) is int and value >= 0, self, field, "a whole number, 0 or more")
        for field in ("bias", "scale_learning_rates"):
            require(type(getattr(self, field)) is bool, self, field, "true or false")
        require(type(self.seed) is int and 0 <= self.seed < 2**63, self, "seed", "a whole number, 0 to 2**63 - 1")
        require(self.design in get_args(Design), self, "design", ", ".join(get_args(Design)))
        if self.normalize != ():
            allowed = "(mean, standard deviation), finite, the second above 0; or nothing"
            require(isinstance(self.normalize, tuple) and len(self.normalize) == 2, self, "normalize", allowed)
            values = list(self.normalize)
            numbers = all(type(value) in (int, float) and abs(value) < math.inf for value in values)
            require(numbers and values[1] > 0, self, "normalize", allowed)
        for field in ("init_scales", "learning_rates", "weight_decay_range", "dropout_range"):
            low_high = getattr(self, field)
            if low_high == () and field in INSTEAD_OF:
                continue
            allowed = "(low, high), 0 <= low <= high < 1" if field == "dropout_range" else POSITIVE
            require(isinstance(low_high, tuple) and len(low_high) == 2, self, field, allowed)
            require(all(type(value) in (int, float) for value in low_high), self, field, allowed)
            if field == "dropout_range":
                require(0 <= low_high[0] <= low_high[1] < 1, self, field, allowed)
            else:
                require(0 < low_high[0] <= low_high[1] < math.inf, self, field, allowed)

    def _check_choices(self) -> None:
        """Raises where one of several choices is not allowed."""
        for field, least in {"hidden": 1, "depths": 0, "widths": 1, "kernels": 1}.items():
            allowed = f"whole numbers, {least} or more"
            require(all(type(value) is int and value >= least for value in getattr(self, field)), self, field, allowed)
        known = f"of {', '.join(ACTIVATIONS)}"
        require(all(name in ACTIVATIONS for name in self.activations), self, "activations", known)
        for field, member_field in CHOICES.items():
            for choice in getattr(self, field):
                try:
                    Member(id=0, seed=0, **{member_field: choice})
                except (AttributeError, TypeError, ValueError) as error:
                    raise ValueError(f"Recipe.{field} is {getattr(self, field)!r}: {error}") from error
        unscaled = f"of initializations ({', '.join(self.initializations)})"
        scaled = set(self.scaled_initializations)
        require(scaled <= set(self.initializations), self, "scaled_initializations", unscaled)

    def _check_kernels(self) -> None:
        """Raises where kernels are given to an architecture that takes none."""
        if self.kernels:
            build = lookup(ARCHITECTURES, self.architecture, "architecture")
            allowed = f"() for architecture {self.architecture!r}, which takes no kernel"
            require("kernel" in inspect.signature(build).parameters, self, "kernels", allowed)

    def check_data(self, data: Dataset) -> None:
        """Finds out before training whether all members can be trained on a data set.

        Raises:
            ValueError: The data set lacks a class of a task, has not enough images for the subsets, or its images do
                not fit an architecture.
        """
        self._check_kernels()
        for task in filter(None, self.tasks):
            if any(label >= data.classes for label in parse_task(task)):
                raise ValueError(
                    f"Recipe.tasks has {task!r}; allowed: classes 0 to {data.classes - 1}, as {data.name!r} has"
                )
        limit = self.members_limit(data)
        if limit is not None and self.members > limit:
            raise ValueError(
                f"Recipe.members is {self.members}; allowed: up to {limit}, since the training images of {data.name!r} "
                f"have no more disjoint subsets of {self.subset_size} for blocks of {self.block_members}"
            )
        for shape in dict.fromkeys(shard.shape for shard in self.shards(0, self.members)):
            self._architecture(shape, data)

    def members_limit(self, data: Dataset) -> int | None:
        """How many members there can be, each block with a subset of its own; ``None`` where nothing limits them."""
        if not self.subset_size:
            return None
        examples = len(data.train)
        if any(self.tasks):
            counts = np.bincount(data.train.targets.numpy(), minlength=data.classes)
            examples = min(int(counts[list(parse_task(task))].sum()) for task in self.tasks)
        return examples // self.subset_size * self.block_members

    def identity(self) -> dict[str, object]:
        """The recipe as JSON without the number of members, which an extension changes."""
        value: dict[str, object] = to_json(self)
        del value["members"]
        # These came later; zoos of recipes that do without them keep their identity.
        if not self.has_shapes:
            del value["window_members"]
        if not self.normalize:
            del value["normalize"]
        return value

    @property
    def has_shapes(self) -> bool:
        """Whether members differ in more of their architecture than the activation."""
        return bool(self.depths or self.kernels)

    def digest(self, dataset_sha256: str) -> str:
        """Identity of the zoo that the recipe makes of a data set with this content hash."""
        return digest({"recipe": self.identity(), "dataset_sha256": dataset_sha256})

    @property
    def grid_sizes(self) -> tuple[int, int, int]:
        """In a grid: combinations for each shard, for each block within one of them, for each member within those."""
        blocks = len(self.optimizers) * len(self.training_fractions) * max(1, self.fixed_seeds)
        return len(self.activations), blocks, self.member_combinations

    @property
    def member_combinations(self) -> int:
        """In a grid: combinations of what is chosen for each member."""
        rates = max(1, len(self.learning_rate_choices))
        return len(self.initializations) * rates * len(self.weight_decays) * len(self.dropouts)

    def shard(self, member: int) -> Shard:
        """The shard that a member lies in, whole whatever the number of members."""
        return draw_shard(self, member)

    def shards(self, first: int, end: int) -> Iterator[Shard]:
        """The shards that members ``first`` to ``end - 1`` lie in, each whole."""
        while first < end:
            shard = self.shard(first)
            yield shard
            first = shard.end

    def member_architecture(self, member: int, data: Dataset) -> Architecture:
        """The architecture of a member, and of all others in its shard.

        Raises:
            ValueError: The images do not fit it, or the architecture does not exist.
        """
        return self._architecture(self.shard(member).shape, data)

    def _architecture(self, shape: Shape, data: Dataset) -> Architecture:
        """The architecture of a shape for images of a data set and the classes of the recipe's tasks."""
        build = lookup(ARCHITECTURES, self.architecture, "architecture")
        classes = data.task.of_classes(parse_task(self.tasks[0])).outputs
        architecture: Architecture = build(
            data.input_shape,
            shape.hidden,
            classes,
            activation=shape.activation,
            bias=self.bias,
            **({} if shape.kernel is None else {"kernel": shape.kernel}),
        )
        return normalizing(architecture, *self.normalize) if self.normalize else architecture

    def member(self, index: int) -> Member:
        """Member ``index``: a function of the recipe and the index alone."""
        return draw_member(self, index)
