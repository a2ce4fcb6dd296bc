"""The card of a zoo as a record: its parts, and its JSON."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from analysis.card.behavior import BehaviorFacts
from analysis.card.distributions import Distribution, Histogram
from analysis.card.hyperparameters import HyperParameter
from analysis.card.splits import MemorisationFacts, SharedFacts, SplitFacts, TaskFacts
from analysis.card.verdicts import Use
from analysis.card.weights import LayoutFacts
from zoo.config import to_json

SCHEMA_VERSION = 1


@dataclass(frozen=True, kw_only=True, slots=True)
class Identity:
    """Which zoo it is.

    Attributes:
        name: ``<recipe>-<digest8>``.
        address: URI of the zoo where it is remote; relative to the store where it is a local folder.
        digest: Digest of the recipe on its data set.
        content_sha256: Hash over ids, specs and weights of all snapshots.
        created: When it was committed, ISO 8601 in UTC.
        members: Number of members.
        snapshots: Number of snapshots.
        shards: Number of files.
        size_bytes: Their size.
        parameters: Length of the weight vector of each layout.
    """

    name: str
    address: str
    digest: str
    content_sha256: str
    created: str
    members: int
    snapshots: int
    shards: int
    size_bytes: int
    parameters: tuple[int, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class RecipeField:
    """A field of the recipe, its value, and what it means."""

    name: str
    value: Any
    meaning: str


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainedFacts:
    """An environment and how many of the shards that were looked at were trained in it."""

    environment: Mapping[str, Any]
    shards: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Provenance:
    """Where it comes from.

    Attributes:
        recipe: Name of the recipe.
        kind: "recipe", or "imported".
        words: What the recipe says of itself.
        fields: The recipe in full.
        dataset: Name of the data set; empty where it is not known.
        dataset_sha256: Its content hash; empty where it is not known.
        images: Images of each split; empty where the data set is not here.
        classes: Number of classes.
        input_shape: Shape of one image.
        environment: Library versions and CPU of the process that committed the zoo.
        trained: The same, with the backend, of those that trained some of its shards.
    """

    recipe: str
    kind: str
    words: str
    fields: tuple[RecipeField, ...]
    dataset: str
    dataset_sha256: str
    images: Mapping[str, int]
    classes: int
    input_shape: tuple[int, ...]
    environment: Mapping[str, Any]
    trained: tuple[TrainedFacts, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class EpochFacts:
    """All snapshots of one epoch; those that diverged count in ``diverged`` alone."""

    epoch: int
    snapshots: int
    diverged: int
    metrics: Mapping[str, Distribution]


@dataclass(frozen=True, kw_only=True, slots=True)
class FinalFacts:
    """Last snapshots of all members that have not diverged.

    Attributes:
        members: How many.
        histograms: Of each accuracy, and of the generalization gap.
        chance_accuracy: What guessing reaches, with two standard errors; of several tasks, the highest.
        chance_share: Share of members that reach no more, each in its own task.
    """

    members: int
    histograms: Mapping[str, Histogram]
    chance_accuracy: float | None
    chance_share: float | None


@dataclass(frozen=True, kw_only=True, slots=True)
class SampleFacts:
    """What was measured on a part of the zoo: a random sample of members, the first test images.

    Attributes:
        members: Members drawn.
        read: How many of them were read; fewer where their weights are large.
        of: Members of the zoo.
        seed: Of the draw.
        images: Test images, at most.
        sections: Layouts with a section of their own.
        layouts: Layouts of the zoo.
    """

    members: int
    read: int
    of: int
    seed: int
    images: int
    sections: int
    layouts: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Card:
    """The card of a zoo. Its JSON has these fields by these names; ``schema_version`` changes with them."""

    schema_version: int
    identity: Identity
    provenance: Provenance
    sample: SampleFacts
    varying: tuple[HyperParameter, ...]
    constant: Mapping[str, Any]
    epochs: tuple[EpochFacts, ...]
    final: FinalFacts
    splits: tuple[SplitFacts, ...]
    shared: tuple[SharedFacts, ...]
    tasks: tuple[TaskFacts, ...]
    memorisation: MemorisationFacts | None
    behavior: BehaviorFacts | None
    unmeasured: str
    layouts: tuple[LayoutFacts, ...]
    uses: tuple[Use, ...]
    limits: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """The card as plain JSON values."""
        return {name: to_json(getattr(self, name)) for name in self.__dataclass_fields__}
