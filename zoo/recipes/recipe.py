"""A recipe: what generates a zoo, as data."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, get_type_hints

from zoo.architecture import ARCHITECTURES, Architecture, normalizing
from zoo.config import digest, from_json, lookup, to_json
from zoo.data.class_tasks import parse_task
from zoo.data.examples import Dataset
from zoo.population import Member
from zoo.recipes.axis import LEVELS, Axis, Design, Level, as_axis
from zoo.recipes.checks import BUILT_WITH, MEMBER_FIELDS, check_axes, check_common, check_data
from zoo.recipes.drawing import Shard, draw_member, draw_shard

# What is said of a recipe, and how many members it makes by default: not part of what it is.
NOT_IDENTITY = ("members", "description", "cost", "expected")
# Members of a block are trained together, on one order of one set of examples, so they share these unless their axis
# says otherwise.
OF_BLOCKS = ("optimizer", "training_fraction", "order_seed", "subset_seed", "subset_size", "subset_index", "task")
# Each member and each block has its own, unless an axis says otherwise.
ANY_SEED = Axis(range=(0, 2**63 - 1), scale="whole")
SEEDS = {
    "seed": dataclasses.replace(ANY_SEED, level="member"),
    "order_seed": dataclasses.replace(ANY_SEED, level="block"),
    "subset_seed": dataclasses.replace(ANY_SEED, level="block"),
}


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
            arguments ``input_shape``, ``hidden``, ``classes``, and any that axes give it.
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
        shard_members: Members of a shard, or at most so many in a mixed zoo; a multiple of ``block_members``.
        window_members: In a mixed zoo, the members of each window of so many are numbered so that those of one
            architecture fill shards. The larger it is against the number of architectures, the fuller these are, and
            the faster is training.
        evaluation_examples: Training images on which training loss and accuracy are measured.
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
    shard_members: int = 64
    window_members: int = 1024
    evaluation_examples: int = 10_000
    description: str = ""
    cost: float | None = None
    expected: str = ""

    def __post_init__(self) -> None:
        check_common(self)
        axes = {name: _with_level(name, as_axis(self.axes[name])) for name in sorted(self.axes)}
        object.__setattr__(self, "axes", axes)
        check_axes(self)

    def __hash__(self) -> int:
        return hash((self.name, self.dataset, self.seed, tuple(self.axes)))

    @cached_property
    def architecture_axes(self) -> dict[str, Axis]:
        """The axes over arguments of the architecture."""
        return {name: axis for name, axis in self.axes.items() if name not in MEMBER_FIELDS}

    @cached_property
    def member_axes(self) -> dict[str, Axis]:
        """The axes over fields of members, seeds among them."""
        return SEEDS | {name: axis for name, axis in self.axes.items() if name in MEMBER_FIELDS}

    @cached_property
    def mixed(self) -> bool:
        """Whether an architecture is drawn for each member."""
        return any(axis.level == "member" for axis in self.architecture_axes.values())

    @cached_property
    def factors(self) -> dict[str, dict[str, int]]:
        """In a grid: by level, for each axis that has choices, how many."""
        counts = {
            name: max((variant.count for variant in axis.variants), default=1) for name, axis in self.axes.items()
        }
        return {
            level: {name: counts[name] for name, axis in self.axes.items() if axis.level == level and counts[name] > 1}
            for level in LEVELS
        }

    @cached_property
    def _defaults(self) -> dict[str, Any]:
        """What fields of members and arguments of the architecture are without an axis, where that is known."""
        found = {each.name: each.default for each in dataclasses.fields(Member) if each.name not in SEEDS}
        if self.architecture in ARCHITECTURES:
            arguments = inspect.signature(self.builder).parameters.values()
            found |= {each.name: each.default for each in arguments if each.default is not each.empty}
        return found

    @property
    def builder(self) -> Callable[..., Architecture]:
        """The function that builds architectures."""
        build: Callable[..., Architecture] = lookup(ARCHITECTURES, self.architecture, "architecture")
        return build

    @property
    def kinds(self) -> dict[str, Any]:
        """For each field that there can be an axis over, the type of its values."""
        members, arguments = get_type_hints(Member), get_type_hints(self.builder)
        given = (name for name in inspect.signature(self.builder).parameters if name not in BUILT_WITH)
        return {name: arguments.get(name, str) for name in given} | {name: members[name] for name in MEMBER_FIELDS}

    def values_of(self, name: str) -> tuple[Any, ...]:
        """What decides whether all values of a field are allowed: its choices, both ends of its ranges, its default."""
        if name not in self.axes:
            return (self._defaults[name],)
        return tuple(value for variant in self.axes[name].variants for value in variant.values)

    def check_data(self, data: Dataset) -> None:
        """Finds out before training whether all members can be trained on a data set.

        Raises:
            ValueError: The data set lacks a class of a task, has not enough examples for the subsets, or its examples
                do not fit an architecture.
        """
        check_data(self, data)

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
        return self.build(dict(self.shard(member).arguments), data)

    def build(self, arguments: Mapping[str, Any], data: Dataset) -> Architecture:
        """The architecture with these arguments for examples of a data set and the classes of the recipe's tasks."""
        task = data.task.of_classes(parse_task(self.values_of("task")[0]))
        built_with = {"hidden": (), **arguments, "input_shape": data.input_shape, "classes": task.outputs}
        architecture = self.builder(**built_with)
        return normalizing(architecture, *self.normalize) if self.normalize else architecture

    def member(self, index: int) -> Member:
        """Member ``index``: a function of the recipe and the index alone."""
        return draw_member(self, index)


def _with_level(name: str, axis: Axis) -> Axis:
    """The axis with the level that suits its field, unless it has one; a constant has none."""
    suited: Level = "shard" if name not in MEMBER_FIELDS else "block" if name in OF_BLOCKS else "member"
    return dataclasses.replace(axis, level="" if axis.constant else axis.level or suited)
