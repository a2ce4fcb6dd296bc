"""``generate``: a zoo by its recipe, of which only what is missing is trained."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cluster import options
from cluster.display import human_bytes, human_seconds
from cluster.verb import Planned, Result

if TYPE_CHECKING:
    from zoo.generation.build import GenerationPlan
    from zoo.recipes import Recipe
    from zoo.storage.store import Store
    from zoo.storage.zoo import Zoo


@dataclass(frozen=True, kw_only=True)
class ZooFacts:
    """What identifies a zoo; ``parameters`` are those of each layout."""

    zoo: str
    uri: str
    digest: str
    content_sha256: str
    members: int
    snapshots: int
    parameters: tuple[int, ...]

    @classmethod
    def of(cls, zoo: Zoo) -> ZooFacts:
        """The facts of a zoo that is there."""
        members = zoo.recipe.members
        return cls(
            zoo=zoo.name,
            uri=zoo.uri,
            digest=zoo.digest,
            content_sha256=zoo.content_sha256,
            members=members,
            snapshots=members * len(zoo.recipe.snapshot_epochs),
            parameters=tuple(zoo.parameter_counts),
        )


@dataclass(frozen=True, kw_only=True)
class Generated(ZooFacts, Result):
    """A zoo, and what was done for it now."""

    trained_members: int
    seconds: float

    @property
    def text(self) -> str:
        low, high = min(self.parameters), max(self.parameters)
        several = f" to {high:,} (in {len(self.parameters)} layouts)" if len(self.parameters) > 1 else ""
        trained = f"{self.trained_members:,} members trained in {human_seconds(self.seconds)}"
        return (
            f"zoo {self.zoo}: {self.members:,} members, {self.snapshots:,} snapshots of {low:,}{several} parameters; "
            f"{trained if self.trained_members else 'nothing was missing'}\n{self.uri}\ncontent {self.content_sha256}"
        )


@dataclass(frozen=True, kw_only=True)
class GenerationEstimate(Result):
    """What ``generate`` would do: ``workers`` is the number of Ray's, or 1 for this process."""

    zoo: str
    uri: str
    members: int
    missing_members: int
    missing_shards: int
    snapshots: int
    parameters: tuple[int, ...]
    bytes: int
    seconds: float
    ray: bool
    workers: int
    recipe: dict[str, Any]
    shards: tuple[str, ...]

    @property
    def text(self) -> str:
        if not self.missing_members:
            return f"zoo {self.zoo} is complete; nothing would be trained"
        place = f"with {self.workers} workers on Ray" if self.ray else "in this process"
        would = (
            f"would train {self.missing_members:,} of {self.members:,} members ({self.missing_shards} shards) of "
            f"{self.zoo} {place}: about {human_bytes(self.bytes)} in {self.uri}, about "
            f"{human_seconds(self.seconds)}"
        )
        description, expected = self.recipe["description"], self.recipe["expected"]
        return "\n".join(filter(None, (would, description, expected and f"expected: {expected}")))


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
        from cluster.estimates import count_members, duration, generation_bytes, member_s
        from zoo.storage.manifest import shard_name
        from zoo.storage.store import Store

        store = Store(self.store)
        plan = self.generation(store)
        missing = count_members(plan.missing)
        shard_s = member_s(plan) * missing / len(plan.missing) if missing else 0.0
        ray, workers, seconds = duration([len(plan.missing)], shard_s, self.workers)
        of_shard = [plan.recipe.member_architecture(shard.start, plan.data) for shard in plan.missing or plan.shards]
        counts = {architecture.layout: architecture.parameters for architecture in of_shard}
        return GenerationEstimate(
            zoo=plan.name,
            uri=store.join("zoos", plan.name),
            members=plan.recipe.members,
            missing_members=missing,
            missing_shards=len(plan.missing),
            snapshots=missing * len(plan.recipe.snapshot_epochs),
            parameters=tuple(counts.values()),
            bytes=generation_bytes(plan),
            seconds=round(seconds, 3),
            ray=ray,
            workers=workers,
            recipe=plan.recipe.to_json(),
            shards=tuple(map(shard_name, plan.missing)),
        )

    def run(self) -> Generated:
        """Trains what is missing and commits the zoo."""
        from cluster.distributed.generation import generate
        from cluster.estimates import count_members
        from zoo.storage.store import Store

        store = Store(self.store)
        plan = self.generation(store)
        started = time.monotonic()
        zoo = generate(plan, store, workers=self.workers)
        return Generated(
            **vars(ZooFacts.of(zoo)),
            trained_members=count_members(plan.missing),
            seconds=round(time.monotonic() - started, 2),
        )

    def generation(self, store: Store) -> GenerationPlan:
        """What there is and what is missing."""
        from zoo.generation.build import plan_generation

        named = {"members": self.members, "dataset": self.dataset, "epochs": self.epochs, "seed": self.seed}
        return plan_generation(chosen_recipe(self.recipe, named, self.settings), store, self.members)


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
