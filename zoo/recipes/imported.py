"""Zoos that others trained: what stands in the place of a recipe."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from zoo.config import digest, from_json, require
from zoo.recipes.recipe import HELD_OUT


@dataclass(frozen=True, kw_only=True, slots=True)
class Imported:
    """Where an imported zoo is from; flat, stored as JSON in place of a recipe, identified by its digest.

    It has what a reader asks of a recipe. Nothing can be generated from it.

    Attributes:
        name: Name of the zoo.
        members: How many members; not part of the identity, which the content fixes.
        source_format: A name in ``zoo.exchange.importing.FORMATS``.
        source_sha256: Content hash of what was imported: names, hyper-parameters, metrics and weights.
        dataset: The data set as it is known here, a name in ``zoo.data.DATASETS`` or ``module:attribute``; empty
            where it is not known.
        source_dataset: What the source calls its data set; empty where it does not say.
        snapshot_epochs: Epochs of the snapshots, the same for all members.
        block_members: Members that lie in one split.
        shard_members: Members of a shard, at most.
    """

    kind: ClassVar[str] = "imported"
    held_out: ClassVar[int] = HELD_OUT

    name: str
    members: int
    source_format: str
    source_sha256: str
    snapshot_epochs: tuple[int, ...]
    dataset: str = ""
    source_dataset: str = ""
    block_members: int = 1
    shard_members: int = 64

    def __post_init__(self) -> None:
        for field in ("members", "block_members", "shard_members"):
            value = getattr(self, field)
            require(type(value) is int and value > 0, self, field, "a whole number, 1 or more")
        require(
            isinstance(self.snapshot_epochs, tuple)
            and len(self.snapshot_epochs) > 0
            and all(type(epoch) is int and epoch >= 0 for epoch in self.snapshot_epochs)
            and tuple(sorted(set(self.snapshot_epochs))) == self.snapshot_epochs
            and self.snapshot_epochs[-1] > 0,
            self,
            "snapshot_epochs",
            "increasing, from 0 or more, the last 1 or more (0 is the initialization)",
        )

    def to_json(self) -> dict[str, Any]:
        """The record as JSON values, with its kind."""
        values = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        return {"kind": self.kind, **values, "snapshot_epochs": list(self.snapshot_epochs)}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Imported:
        """The inverse of :meth:`to_json`.

        Raises:
            ValueError: A key is unknown or missing, or a value is not allowed.
        """
        return from_json(cls, {key: entry for key, entry in value.items() if key != "kind"})

    def identity(self) -> dict[str, object]:
        """The record without the number of members."""
        value: dict[str, object] = self.to_json()
        del value["members"]
        return value

    def digest(self, dataset_sha256: str) -> str:
        """Identity of the zoo, given the content hash of its data set (empty where that is not known)."""
        return digest({"recipe": self.identity(), "dataset_sha256": dataset_sha256})
