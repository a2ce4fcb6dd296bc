"""``generate``: a zoo by its recipe, of which only what is missing is trained."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cluster import options
from cluster.display import human_bytes, human_seconds, say
from cluster.stores import lack_of_space
from cluster.verb import FAILED, Planned, Result
from zoo.words import counted

if TYPE_CHECKING:
    from zoo.generation.build import GenerationPlan
    from zoo.recipes import Recipe
    from zoo.storage.store import Store


# Of larger zoos a dry run plans the first members alone, and the others are as those are.
PLANNED_MEMBERS = 2**16
# Where fewer members of a shard are trained together, a dry run says what would make training faster.
FEW_TOGETHER = 4


@dataclass(frozen=True, kw_only=True)
class Generated(Result):
    """A zoo, and what was done for it now; ``parameters`` are those of each layout."""

    zoo: str
    uri: str
    digest: str
    content_sha256: str
    members: int
    snapshots: int
    parameters: tuple[int, ...]
    trained_members: int
    seconds: float

    @property
    def text(self) -> str:
        low, high = min(self.parameters), max(self.parameters)
        several = f" to {high:,} (in {len(self.parameters)} layouts)" if len(self.parameters) > 1 else ""
        trained = f"{counted(self.trained_members, 'member')} trained in {human_seconds(self.seconds)}"
        return (
            f"zoo {self.zoo}: {counted(self.members, 'member')}, {counted(self.snapshots, 'snapshot')} of {low:,}"
            f"{several} parameters; {trained if self.trained_members else 'nothing was missing'}\n{self.uri}\n"
            f"content {self.content_sha256}"
        )


@dataclass(frozen=True, kw_only=True)
class GenerationEstimate(Result):
    """What ``generate`` would do.

    Attributes:
        seconds: How long it would take.
        together: How many members are trained together, on average.
        ray: Whether on Ray, else in this process.
        workers: How many of Ray's, or 1 for this process.
        obstacle: What is in its way; empty where nothing is.
    """

    zoo: str
    uri: str
    members: int
    missing_members: int
    missing_shards: int
    snapshots: int
    parameters: tuple[int, ...]
    bytes: int
    seconds: float
    together: float
    ray: bool
    workers: int
    obstacle: str
    recipe: dict[str, Any]

    @property
    def text(self) -> str:
        if not self.missing_members:
            return f"zoo {self.zoo} is complete; nothing would be trained"
        place = f"with {counted(self.workers, 'worker')} on Ray" if self.ray else "in this process"
        would = (
            f"would train {self.missing_members:,} of {counted(self.members, 'member')} "
            f"({counted(self.missing_shards, 'shard')}) of {self.zoo} {place}: about {human_bytes(self.bytes)} in "
            f"{self.uri}, about {human_seconds(self.seconds)}"
        )
        description, expected = self.recipe["description"], self.recipe["expected"]
        refused = self.obstacle and f"but the run would be refused: {self.obstacle}"
        size = self.recipe["shard_members"]
        slow = self.together < min(FEW_TOGETHER, size) and (
            f"only {self.together:.1f} of the {size} members of a shard are trained together, those with the same"
            " optimizer and number of examples; more of them, as with a larger --set shard_members=…, are much faster"
        )
        return "\n".join(filter(None, (would, refused, slow, description, expected and f"expected: {expected}")))

    @property
    def exit_code(self) -> int:
        return FAILED if self.obstacle else 0


@dataclass(frozen=True, kw_only=True, slots=True)
class Generate(Planned):
    """Train a zoo of networks into the store. Only what is missing is trained."""

    recipe: options.Recipe
    store: options.Store = "./store"
    members: options.Members = None
    workers: options.Workers = None
    dataset: Annotated[str | None, typer.Option(help="A data set's name, or module:attribute.")] = None
    epochs: options.Epochs = None
    seed: options.Seed = None
    settings: options.Settings = ()

    def plan(self) -> GenerationEstimate:
        """Trains a few steps here and now to tell how long it takes."""
        from cluster.estimates import duration, generation_bytes, member_s, members_together, some_architectures
        from zoo.storage.store import Store

        store = Store(self.store)
        plan = self.checked(store)
        missing, shards = plan.missing_members, plan.missing_shards
        shard_s = member_s(plan) * missing / shards if shards else 0.0
        ray, workers, seconds = duration([shards], shard_s, self.workers, store)
        return GenerationEstimate(
            zoo=plan.name,
            uri=store.join("zoos", plan.name),
            members=plan.recipe.members,
            missing_members=missing,
            missing_shards=shards,
            snapshots=missing * len(plan.recipe.snapshot_epochs),
            parameters=tuple({each.layout: each.parameters for each in some_architectures(plan)}.values()),
            bytes=generation_bytes(plan),
            seconds=round(seconds, 3),
            together=round(members_together(plan), 1) if missing else 0.0,
            ray=ray,
            workers=workers,
            obstacle=lack_of_space(store, f"zoos/{plan.name}", generation_bytes(plan)),
            recipe=plan.recipe.to_json(),
        )

    def run(self) -> Generated:
        """Trains what is missing and commits the zoo."""
        from cluster.distributed.generation import generate
        from cluster.estimates import generation_bytes
        from zoo.generation.build import plan_generation
        from zoo.storage.store import Store

        store = Store(self.store)
        plan = self.checked(store)
        if obstacle := lack_of_space(store, f"zoos/{plan.name}", generation_bytes(plan)):
            raise ValueError(obstacle)
        if plan.unplanned:
            say(f"generate {plan.name}: planning {counted(plan.recipe.members, 'member')}")
            plan = plan_generation(plan.recipe, store)
        started = time.monotonic()
        zoo = generate(plan, store, workers=self.workers)
        return Generated(
            zoo=zoo.name,
            uri=zoo.uri,
            digest=zoo.digest,
            content_sha256=zoo.content_sha256,
            members=len(zoo),
            snapshots=len(zoo) * len(zoo.recipe.snapshot_epochs),
            parameters=tuple(zoo.parameter_counts),
            trained_members=plan.missing_members,
            seconds=round(time.monotonic() - started, 2),
        )

    def checked(self, store: Store) -> GenerationPlan:
        """What there is and what is missing; of large zoos, the shards of the first members alone.

        Raises:
            ValueError: There is no such recipe, or a change to it is not allowed.
            ZooError: The store cannot be written.
        """
        from zoo.generation.build import plan_generation

        named = {"members": self.members, "dataset": self.dataset, "epochs": self.epochs, "seed": self.seed}
        recipe = chosen_recipe(self.recipe, named, self.settings)
        plan = plan_generation(recipe, store, self.members, at_most=PLANNED_MEMBERS)
        if plan.missing_members:
            store.check_writable(f"zoos/{plan.name}")
        return plan


def chosen_recipe(name: str, named: Mapping[str, Any], settings: Sequence[str]) -> Recipe:
    """A recipe with the user's changes.

    Args:
        name: A name in ``RECIPES`` or ``module:attribute``.
        named: Fields with an option of their own; ``None`` changes nothing. Another number of epochs also cuts the
            snapshots that lie beyond it and ends with one.
        settings: ``field=value`` for any field of the recipe or any that members can differ in.

    Raises:
        ValueError: Unknown recipe or field, or a value that is not allowed.
    """
    from cluster.settings import changed, parse_recipe_settings
    from zoo.recipes import find_recipe

    recipe = find_recipe(name)
    values = parse_recipe_settings(settings, recipe)
    epochs = values.get("epochs", named.get("epochs"))
    if epochs is not None and "snapshot_epochs" not in values:
        kept = (epoch for epoch in recipe.snapshot_epochs if epoch < epochs)
        values["snapshot_epochs"] = (*kept, epochs)
    found = changed(recipe, named, values)
    if found.identity() != recipe.identity():  # what is said of the one is not true of the other
        found = replace(found, description="", cost=None, expected="")
    return found
