"""The card of a zoo: computed from its table and from a sample of its weights.

Shape letters: M members.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import torch

from analysis.card.behavior import AGREEMENT, CALIBRATION_ERROR, CLASS_ACCURACY, CONCORDANCE, Behavior, behavior
from analysis.card.describe import Findings, evenly_spaced
from analysis.card.members import Snapshots, axes, shared_table, subsets_table, tasks_table
from analysis.card.record import Card
from analysis.card.verdicts import limits, uses
from analysis.card.weights import DISTANCE, ENTRY, NORM, SECTIONS, sampled_layouts
from zoo.config import attribute_words, canonical_json, to_json
from zoo.data import Dataset
from zoo.data.class_tasks import task_labels
from zoo.exchange.generated import GENERATED
from zoo.population import Member
from zoo.storage.errors import ZooError
from zoo.storage.rows import SPLITS
from zoo.storage.zoo import Zoo

MEMBERS, EXAMPLES = 400, 2000
# How far above guessing a member must be: two standard errors of an accuracy on the test examples.
CHANCE_ERRORS = 2.0
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
    labels = [zoo.architectures[number].summary for number in zoo.architecture_of_shard]
    sizes = [entry.end - entry.first for entry in zoo.manifest.shards]
    snapshots, findings = Snapshots.of(zoo, data, {"architecture": np.repeat(labels, sizes).tolist()}), Findings()
    sample = np.sort(np.random.default_rng(seed).choice(len(zoo), min(members, len(zoo)), replace=False))
    snapshots.describe(findings)
    varying = axes(snapshots, findings)
    progress(f"read {len(sample)} of {len(zoo)} members")
    sampled, found = sampled_layouts(zoo, sample, findings), Behavior()
    if data is not None and sampled.last:
        progress("apply them to test examples")
        found = behavior(sampled.last, sampled.one, data, examples, findings)
    elif data is not None:
        absent = "all members of the sample have diverged"
    drawn = {
        "members": len(sample),
        "read": sum(row["read"] for row in sampled.layouts),
        "measured": found.members,
        "compared": found.compared,
        "seed": seed,
        "examples": examples,
        "examples_used": found.examples,
        "sections": SECTIONS,
    }
    distributions = findings.distributions
    ours = (AGREEMENT, CONCORDANCE, CLASS_ACCURACY, CALIBRATION_ERROR, ENTRY, NORM, DISTANCE)
    measured = {metric.name: metric for metric in ours if metric.name in set(distributions["metric"])}
    card = Card(
        about={**_about(zoo, data), **_chance(snapshots, data), "sample": drawn},
        score=snapshots.score,
        metrics={**snapshots.metrics, **measured},
        absent=absent,
        distributions=distributions,
        histograms=findings.histograms,
        axes=varying,
        epochs=snapshots.epochs(),
        layouts=pd.DataFrame(sampled.layouts),
        tensors=pd.DataFrame(sampled.tensors, columns=["layout", "tensor", "shape", "trainable"]),
        tasks=tasks_table(snapshots),
        shared=shared_table(snapshots),
        subsets=subsets_table(snapshots),
        matrix=pd.DataFrame(found.matrix),
    )
    return replace(card, uses=uses(card), limits=tuple(limits(card)))


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


def _chance(snapshots: Snapshots, data: Dataset | None) -> dict[str, Any]:
    """What guessing reaches (of several tasks, the highest), and the share of members that reach no more.

    Guessing is the commonest class of a member's task, with two standard errors, or for R² the mean target.
    """
    guess_of: dict[str, float] = {}
    for task in dict.fromkeys(snapshots.tasks) if data else ():
        if data is not None and data.task.has_classes:
            labels = task_labels(task, data.test.targets)
            labels = labels[labels >= 0]
            share = float(torch.bincount(labels).max()) / len(labels)
            guess_of[task] = share + CHANCE_ERRORS * math.sqrt(share * (1 - share) / len(labels))
        elif snapshots.score.name == "r2":
            guess_of[task] = 0.0
    score_M = snapshots.last[snapshots.test].to_numpy(dtype=np.float64)
    finite_M = np.isfinite(score_M)
    if not guess_of or not finite_M.any():
        return {"chance_score": max(guess_of.values(), default=None), "chance_share": None}
    guess_M = np.array([guess_of[task] for task in snapshots.tasks])
    return {"chance_score": float(guess_M.max()), "chance_share": float((score_M <= guess_M)[finite_M].mean())}
