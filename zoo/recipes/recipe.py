"""A recipe: what generates a zoo, as data."""

from __future__ import annotations

import dataclasses
import inspect
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from typing import Any, get_args, get_type_hints

from zoo.architecture import ARCHITECTURES, Architecture, normalizing
from zoo.config import digest, from_json, lookup, require, to_json
from zoo.data.class_tasks import parse_task, task_labels
from zoo.data.examples import Dataset
from zoo.population import Member
from zoo.population.distributions import find_initialization
from zoo.population.optimizers import find_optimizer
from zoo.recipes.axis import Axis, Design, as_axis
from zoo.recipes.checks import check_axes, check_members, check_names, refuse
from zoo.recipes.drawing import MEMBER_FIELDS, SEEDS, Drawing, Shard, with_level

# What is said of a recipe, and how many members it makes by default: not part of what it is.
NOT_IDENTITY = ("members", "description", "cost", "expected")
# Whole numbers and the most that each can be; larger windows would take minutes to be drawn.
COUNTS = {
    "members": 10**9,
    "batch_size": 10**9,
    "epochs": 10**9,
    "block_members": 10**9,
    "shard_members": 10**9,
    "window_members": 2**16,
    "evaluation_examples": 10**9,
}
# Percent of validation and test together.
HELD_OUT = 30
# A worker holds two shards in memory.
MOST_SHARD_BYTES = 2 * 2**30
# Members whose architectures are tried before training: every choice occurs among far fewer.
TRIED_MEMBERS = 2**14
# What the function that builds an architecture is given besides its axes.
BUILT_WITH = ("input_shape", "classes")


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """What generates a zoo; stored as JSON, identified by its digest.

    What differs between members are its axes: fields of ``zoo.population.Member``, or arguments of the function that
    builds their architecture. Fields without an axis have their default. A value is drawn for each shard, for each
    block or for each member, as the axis says; by default for a shard where it is an argument of the architecture
    (members of a shard have one), for a block where members are trained together by it, else for each member. An
    architecture drawn for each member makes a mixed zoo.

    Member i is the same whatever the number of members, and the draws of one field do not depend on other fields.

    Attributes:
        name: Name of the recipe.
        dataset: A name in ``zoo.data.DATASETS`` or ``module:attribute``.
        members: How many members by default; not part of the identity.
        architecture: A name in ``zoo.architecture.ARCHITECTURES`` or ``module:attribute`` of a function with the
            arguments ``input_shape``, ``classes`` (the number of outputs), and any that axes give it.
        axes: For each field that has one, its :class:`Axis`. A list is short for its choices, any other value for a
            constant.
        design: "random": choices come in rounds of random order, independently for each axis. "grid": every
            combination of all choices occurs equally often, in rounds of random order. Ranges are drawn independently
            in either.
        normalize: Mean and standard deviation by which the network normalizes its inputs, which are pixels from 0 to
            1: a ``Rescale`` before its first layer. Empty for none.
        batch_size: Examples a step.
        epochs: Length of training.
        snapshot_epochs: Epochs at whose end weights are stored; 0 is the initialization.
        seed: Seed of everything.
        block_members: Members that share one minibatch order and training subset, and lie in one split.
        held_out: Percent of the blocks, or of the tasks where members have any, that are held out: half of them lie in
            the validation split and half in the test split.
        shard_members: Members of a shard, or at most so many in a mixed zoo; a multiple of ``block_members``. Which
            combination of a grid a member has depends on it too, beyond the first shard.
        window_members: In a mixed zoo, the members of each window of so many are numbered so that those of one
            architecture fill shards. The larger it is against the number of architectures, the fuller these are, and
            the faster is training.
        evaluation_examples: On how many, at most, of the training examples that a member sees its training metrics
            are measured.
        description: What the zoo is, in a sentence or two.
        cost: Seconds of one core for a member and epoch, with evaluation; ``None`` where that was not measured.
        expected: What its members reach, and of how many that was measured; empty where it was not.
    """

    name: str
    dataset: str
    members: int = 1000
    architecture: str = "mlp"
    axes: Mapping[str, Any] = field(default_factory=dict)
    design: Design = "random"
    normalize: tuple[float, float] | tuple[()] = ()
    batch_size: int = 64
    epochs: int = 25
    snapshot_epochs: tuple[int, ...] = (0, 1, 2, 5, 10, 25)
    seed: int = 0
    block_members: int = 16
    held_out: int = HELD_OUT
    shard_members: int = 64
    window_members: int = 1024
    evaluation_examples: int = 10_000
    description: str = ""
    cost: float | None = None
    expected: str = ""

    def __post_init__(self) -> None:
        self._check_common()
        require(isinstance(self.axes, Mapping), self, "axes", "a mapping from fields to axes")
        axes = {name: with_level(name, as_axis(self.axes[name])) for name in sorted(self.axes)}
        object.__setattr__(self, "axes", axes)
        check_axes(self.drawing)
        check_members(self.drawing, self.members)
        if self.architecture in ARCHITECTURES:  # one of the user's own is imported where it is needed, no earlier
            check_names(self.drawing, self.architecture, self._arguments)

    def _check_common(self) -> None:
        """Raises where something that is common to all members is not allowed."""
        for name, most in COUNTS.items():
            value = getattr(self, name)
            require(type(value) is int and 0 < value <= most, self, name, f"a whole number, 1 to {most:,}")
        require(type(self.seed) is int and 0 <= self.seed < 2**63, self, "seed", "a whole number, 0 to 2**63 - 1")
        require(type(self.held_out) is int and 2 <= self.held_out <= 98, self, "held_out", "a whole number, 2 to 98")
        require(self.design in get_args(Design), self, "design", ", ".join(get_args(Design)))
        if self.normalize != ():
            allowed = "(mean, standard deviation), finite, the second above 0; or nothing"
            require(isinstance(self.normalize, tuple) and len(self.normalize) == 2, self, "normalize", allowed)
            values = list(self.normalize)
            numbers = all(type(value) in (int, float) and abs(value) < math.inf for value in values)
            require(numbers and values[1] > 0, self, "normalize", allowed)
        multiple = f"a multiple of block_members ({self.block_members})"
        require(self.shard_members % self.block_members == 0, self, "shard_members", multiple)
        epochs = self.snapshot_epochs
        require(
            isinstance(epochs, tuple)
            and all(type(epoch) is int and epoch >= 0 for epoch in epochs)
            and tuple(sorted(set(epochs))) == epochs
            and epochs[-1:] == (self.epochs,),
            self,
            "snapshot_epochs",
            f"increasing, from 0 or more to epochs ({self.epochs})",
        )
        for name in ("description", "expected"):
            require(isinstance(getattr(self, name), str), self, name, "a text")
        measured = type(self.cost) in (int, float) and 0 < (self.cost or 0) < math.inf
        require(self.cost is None or measured, self, "cost", "a number above 0, or nothing")

    @cached_property
    def drawing(self) -> Drawing:
        """How members are drawn."""
        return Drawing(
            axes=self.axes,
            design=self.design,
            seed=self.seed,
            block_members=self.block_members,
            shard_members=self.shard_members,
            window_members=self.window_members,
        )

    @cached_property
    def _defaults(self) -> dict[str, Any]:
        """What fields of members and arguments of the architecture are without an axis, where that is known."""
        found = {each.name: each.default for each in dataclasses.fields(Member) if each.name not in SEEDS}
        return (self._arguments if self.architecture in ARCHITECTURES else {}) | found

    @property
    def _builder(self) -> Callable[..., Architecture]:
        """The function that builds architectures."""
        build: Callable[..., Architecture] = lookup(ARCHITECTURES, self.architecture, "architecture")
        return build

    @cached_property
    def _arguments(self) -> dict[str, Any]:
        """What axes can give to the function that builds architectures, with its defaults.

        Where it has none, ``inspect.Parameter.empty``; ``hidden`` is () by default, whatever the function says.
        """
        parameters = inspect.signature(self._builder).parameters.values()
        found = {each.name: each.default for each in parameters if each.name not in BUILT_WITH}
        return found | ({"hidden": ()} if "hidden" in found else {})

    @property
    def kinds(self) -> dict[str, Any]:
        """For each field that there can be an axis over, the type of its values."""
        members, arguments = get_type_hints(Member), get_type_hints(self._builder)
        return {name: arguments.get(name, str) for name in self._arguments} | {
            name: members[name] for name in MEMBER_FIELDS
        }

    def values_of(self, name: str) -> tuple[Any, ...]:
        """What decides whether all values of a field are allowed: its choices, both ends of its ranges, its default."""
        return self.axes[name].all_values if name in self.axes else (self._defaults[name],)

    def check_data(self, data: Dataset) -> None:
        """Finds out before training whether all members can be trained on a data set.

        Raises:
            ValueError: The data set lacks a class of a task or has too few examples for the subsets, its examples do
                not fit an architecture, or something of the user's own is not found.
        """
        check_names(self.drawing, self.architecture, self._arguments)
        for name in self.values_of("optimizer"):
            find_optimizer(name)
        for name in self.values_of("initialization"):
            find_initialization(name)
        for task in filter(None, self.values_of("task")):
            if any(label >= data.labels for label in parse_task(task)):
                refuse("task", f"has {task!r}", f"classes 0 to {data.labels - 1}, as {data.name!r} has")
        size, highest = max(self.values_of("subset_size")), max(self.values_of("subset_index"))
        most = min(_examples_of(data, task) for task in self.values_of("task")) // size if size else math.inf
        if highest >= most:
            allowed = f"0 to {most - 1}" if most else "no subset"
            why = f"since the training examples of {data.name!r} have {most} disjoint subsets of {size}"
            refuse("subset_index", f"has {highest}", f"{allowed}, {why}")
        for arguments in dict.fromkeys(shard.arguments for shard in self.shards(0, min(self.members, TRIED_MEMBERS))):
            self._build(arguments, data)

    def identity(self) -> dict[str, object]:
        """The recipe as JSON without what is only said of it, and without what has its default."""
        defaults = {each.name: each.default for each in dataclasses.fields(self)}
        value = {
            name: entry
            for name, entry in self.to_json().items()
            if name not in NOT_IDENTITY and getattr(self, name) != defaults[name]
        }
        blank = {name: as_axis(default) for name, default in self._defaults.items()}
        return {**value, "axes": {name: axis.to_json() for name, axis in self.axes.items() if axis != blank.get(name)}}

    def to_json(self) -> dict[str, Any]:
        """All fields as JSON values."""
        return {each.name: to_json(getattr(self, each.name)) for each in dataclasses.fields(self)}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Recipe:
        """The inverse of :meth:`to_json`; fields that have their default may lack.

        Raises:
            ValueError: A key is unknown, or a value is not allowed.
        """
        axes = value.get("axes", {})
        if not isinstance(axes, Mapping):
            raise ValueError(f"Recipe.axes is {axes!r}; allowed: an object with an axis for each field")
        return from_json(cls, {**value, "axes": {name: Axis.from_json(axis) for name, axis in axes.items()}})

    def digest(self, dataset_sha256: str) -> str:
        """Identity of the zoo that the recipe makes of a data set with this content hash."""
        return digest({"recipe": self.identity(), "dataset_sha256": dataset_sha256})

    def shard(self, member: int) -> Shard:
        """The shard that a member lies in, whole whatever the number of members."""
        return self.drawing.shard(member)

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
        return self._build(self.shard(member).arguments, data)

    def _build(self, arguments: tuple[tuple[str, Any], ...], data: Dataset) -> Architecture:
        """The architecture with these arguments for examples of a data set and the classes of the recipe's tasks."""
        outputs = data.task.of_classes(parse_task(self.values_of("task")[0])).outputs
        hidden = {"hidden": ()} if "hidden" in self._arguments else {}
        given = {"input_shape": data.input_shape, "classes": outputs, **hidden, **dict(arguments)}
        architecture = _built(self._builder, tuple(given.items()), self.normalize)
        size = 4 * self.shard_members * len(self.snapshot_epochs) * architecture.parameters
        if size > MOST_SHARD_BYTES:
            raise ValueError(
                f"a shard takes {size / 2**30:,.1f} GiB: {self.shard_members:,} members with "
                f"{len(self.snapshot_epochs):,} snapshots of {architecture.parameters:,} parameters "
                f"({architecture.summary}); allowed: up to {MOST_SHARD_BYTES / 2**30:g} GiB. Make the networks "
                "smaller, or shard_members, or the number of snapshot_epochs"
            )
        return architecture

    def member(self, index: int) -> Member:
        """Member ``index``: a function of the recipe and the index alone."""
        return Member(id=index, batch_size=self.batch_size, **self.drawing.member(index))


@lru_cache(maxsize=256)
def _built(
    build: Callable[..., Architecture], arguments: tuple[tuple[str, Any], ...], normalize: tuple[float, ...]
) -> Architecture:
    """What a function builds of these arguments, once: shards ask again and again."""
    architecture = build(**dict(arguments))
    return normalizing(architecture, *normalize) if normalize else architecture


def _examples_of(data: Dataset, task: str) -> int:
    """How many training examples a task has."""
    if not task:
        return len(data.train)
    return int((task_labels(task, data.train.targets) >= 0).sum())
