"""The card of a zoo: computed from its table and from a sample of its weights."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from analysis.card.behavior import AGREEMENT, CALIBRATION_ERROR, CLASS_ACCURACY, CONCORDANCE, describe_behavior
from analysis.card.members import Snapshots
from analysis.card.record import Card, Findings
from analysis.card.verdicts import limits, uses
from analysis.card.weights import DISTANCE, ENTRY, NORM, SECTIONS, sampled_layouts
from analysis.statistics.groups import evenly_spaced
from zoo.config import attribute_words, canonical_json, to_json
from zoo.data import Dataset
from zoo.exchange.generated import GENERATED
from zoo.population import Member
from zoo.storage.errors import ZooError
from zoo.storage.rows import SPLITS
from zoo.storage.zoo import Zoo

MEMBERS, EXAMPLES = 400, 2000
# Shards that are asked what they were made with.
SHARDS_ASKED = 12


def make_card(
    zoo: Zoo,
    *,
    members: int = MEMBERS,
    examples: int = EXAMPLES,
    seed: int = 0,
    progress: Callable[[str], None] = lambda _: None,
) -> Card:
    """Computes the card of a zoo.

    What stands in the zoo's table is computed over all of it; what needs weights over a random sample of members.

    Args:
        zoo: The zoo.
        members: Members of the sample.
        examples: Test examples that it is applied to, at most.
        seed: Of the sample.
        progress: Told what comes next.

    Raises:
        ValueError: ``members`` or ``examples`` is too small.
        ZooError: A shard is missing or damaged.
    """
    if members < 2:
        raise ValueError(f"members is {members}; allowed: 2 or more, as they are compared with each other")
    if examples < 1:
        raise ValueError(f"examples is {examples}; allowed: 1 or more")
    progress("read the table")
    data, absent = _dataset(zoo)
    snapshots, findings = Snapshots.of(zoo, data), Findings()
    snapshots.describe(findings)
    sample = np.sort(np.random.default_rng(seed).choice(len(zoo), min(members, len(zoo)), replace=False))
    findings.sample |= {"members": len(sample), "measured": 0, "compared": {}, "seed": seed}
    findings.sample |= {"examples": examples, "examples_used": 0, "sections": SECTIONS}
    progress(f"read {len(sample)} of {len(zoo)} members")
    last, one = sampled_layouts(zoo, sample, findings)
    if data is not None and last:
        progress("apply them to test examples")
        describe_behavior({"last": last, "one": one}, data, examples, findings)
    elif data is not None:
        absent = "all members of the sample have diverged"
    tables = findings.tables()
    ours = (AGREEMENT, CONCORDANCE, CLASS_ACCURACY, CALIBRATION_ERROR, ENTRY, NORM, DISTANCE)
    measured = {metric.name: metric for metric in ours if metric.name in set(tables["distributions"]["metric"])}
    card = Card(
        about={**_about(zoo, data), **snapshots.chance(data), "sample": findings.sample},
        score=snapshots.score,
        metrics={**snapshots.metrics, **measured},
        absent=absent,
        **tables,
    )
    return replace(card, uses=uses(card), limits=limits(card))


def _dataset(zoo: Zoo) -> tuple[Dataset | None, str]:
    """The data set, or why it is not to be had: then the card goes without what is measured on examples."""
    try:
        return zoo.dataset(), ""
    except (ZooError, ValueError, OSError) as error:
        return None, " ".join(str(error).split()).rstrip(".")


def _about(zoo: Zoo, data: Dataset | None) -> dict[str, Any]:
    """Which zoo it is, and where it comes from."""
    manifest, recipe, first = zoo.manifest, zoo.recipe, zoo.architectures[0]
    value, of_recipe, of_members = to_json(recipe), attribute_words(type(recipe)), attribute_words(Member)
    return {
        "zoo": zoo.name,
        # A local store may lie anywhere: the card says where in it the zoo is.
        "address": f"zoos/{zoo.name}" if zoo.store.is_local else zoo.uri,
        "digest": zoo.digest,
        "content_sha256": zoo.content_sha256,
        "created": manifest.created,
        "members": len(zoo),
        "snapshots": sum(entry.rows for entry in manifest.shards),
        "shards": len(manifest.shards),
        "size_bytes": sum(entry.size_bytes for entry in manifest.shards),
        "recipe": value,
        "recipe_meanings": {name: of_recipe.get(name, "") for name in value},
        "axis_meanings": {name: of_members.get(name, "Of the architecture.") for name in value.get("axes", {})},
        "imported": value.get("kind") == "imported",
        "generated": value.get("source_format") == GENERATED,
        "description": value.get("description", ""),
        "dataset": recipe.dataset,
        "dataset_sha256": manifest.dataset_sha256,
        "dataset_sizes": {split: len(getattr(data, split)) for split in SPLITS} if data else {},
        "loss": data.task.loss if data else "",
        "outputs": data.task.outputs if data else first.classes,
        "input_shape": list(first.input_shape),
        "environment": manifest.environment,
        "made_with": _made_with(zoo),
    }


def _made_with(zoo: Zoo) -> list[dict[str, Any]]:
    """The environments that some shards, evenly spaced, say they were made in, each with the number of shards."""
    found: dict[str, dict[str, Any]] = {}
    for place in evenly_spaced(len(zoo.manifest.shards), SHARDS_ASKED):
        environment = zoo.header(place).environment
        found.setdefault(canonical_json(environment), {"environment": environment, "shards": 0})["shards"] += 1
    return list(found.values())
