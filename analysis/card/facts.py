"""The card of a zoo: computed from its table and from a sample of its weights.

Shape letters: M members.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from analysis.card.behavior import BehaviorFacts, behavior
from analysis.card.distributions import distribution, even_edges, evenly_spaced, histogram
from analysis.card.hyperparameters import hyper_parameters, imported_columns
from analysis.card.layouts import SECTIONS, sampled_layouts
from analysis.card.record import (
    SCHEMA_VERSION,
    Card,
    FinalFacts,
    Identity,
    Provenance,
    RecipeField,
    SampleFacts,
    TrainedFacts,
)
from analysis.card.splits import memorisation_facts, shared_facts, split_facts, task_facts
from analysis.card.table import ZooTable
from analysis.card.verdicts import Evidence, limits, uses
from analysis.card.weights import in_words
from analysis.card.words import attribute_words
from zoo.config import canonical_json, to_json
from zoo.data import Dataset
from zoo.data.class_tasks import task_labels
from zoo.storage.errors import ZooError
from zoo.storage.rows import SPLITS
from zoo.storage.zoo import Zoo

MEMBERS, IMAGES = 400, 2000
ACCURACIES, GAP = tuple(f"{split}_accuracy" for split in SPLITS), "generalization_gap"
ACCURACY_BINS = 50
# How far above guessing a member must be: two standard errors of an accuracy on the test images.
CHANCE_ERRORS = 2.0
# Shards that are asked what they were trained with.
SHARDS_ASKED = 12


def make_card(
    zoo: Zoo,
    *,
    members: int = MEMBERS,
    images: int = IMAGES,
    seed: int = 0,
    progress: Callable[[str], None] = lambda _: None,
) -> Card:
    """Computes the card of a zoo.

    What stands in the zoo's table is computed over all of it; what needs weights over a random sample of members.

    Args:
        zoo: The zoo.
        members: Members of the sample.
        images: Test images that it is applied to, at most.
        seed: Of the sample.
        progress: Told what comes next.

    Raises:
        ValueError: ``members`` or ``images`` is too small.
        ZooError: A shard is missing or damaged.
    """
    if members < 2:
        raise ValueError(f"members is {members}; allowed: 2 or more, as they are compared with each other")
    if images < 1:
        raise ValueError(f"images is {images}; allowed: 1 or more")
    progress("read the table")
    table = ZooTable.of(zoo)
    data, unmeasured = _dataset(zoo)
    sample = np.sort(np.random.default_rng(seed).choice(len(zoo), min(members, len(zoo)), replace=False))
    progress(f"read {len(sample)} of {len(zoo)} members")
    sampled = sampled_layouts(zoo, table, sample)
    found: BehaviorFacts | None = None
    if data is not None and sampled.last:
        progress("apply them to test images")
        found = behavior(sampled.last, sampled.one, data.test, data.classes, images)
    elif data is not None:
        unmeasured = "all members of the sample have diverged."
    varying, constant = hyper_parameters(table.last, _extra(zoo, table))
    final = _final(table, data)
    card = Card(
        schema_version=SCHEMA_VERSION,
        identity=_identity(zoo, table),
        provenance=_provenance(zoo, data),
        sample=SampleFacts(
            members=len(sample),
            read=sampled.members,
            of=len(zoo),
            seed=seed,
            images=images,
            sections=SECTIONS,
            layouts=len(sampled.layouts),
        ),
        varying=varying,
        constant=constant,
        epochs=table.epochs(),
        final=final,
        splits=split_facts(table.last),
        shared=shared_facts(table.last),
        tasks=task_facts(table.last),
        memorisation=memorisation_facts(table.last),
        behavior=found,
        unmeasured=unmeasured,
        layouts=sampled.layouts,
        uses=(),
        limits=(),
    )
    evidence = _evidence(card, table)
    return replace(card, uses=uses(evidence), limits=limits(evidence))


def _dataset(zoo: Zoo) -> tuple[Dataset | None, str]:
    """The data set, or why it is not to be had: then the card goes without what is measured on images."""
    try:
        return zoo.dataset(), ""
    except (ZooError, ValueError, OSError) as error:
        return None, " ".join(str(error).split()).rstrip(".") + "."


def _extra(zoo: Zoo, table: ZooTable) -> dict[str, Sequence[object]]:
    """What members may differ in that is no field of a member."""
    labels = [in_words(architecture) for architecture in zoo.architectures]
    of_member = [
        label for entry in zoo.manifest.shards for label in [labels[entry.architecture]] * (entry.end - entry.first)
    ]
    extra: dict[str, Sequence[object]] = {"architecture": of_member}
    if "imported" in table.last:
        extra |= imported_columns(table.last["imported"].tolist())
    return extra


def _identity(zoo: Zoo, table: ZooTable) -> Identity:
    manifest = zoo.manifest
    return Identity(
        name=zoo.name,
        address=f"zoos/{zoo.name}" if zoo.store.is_local else zoo.uri,
        digest=zoo.digest,
        content_sha256=zoo.content_sha256,
        created=manifest.created,
        members=len(zoo),
        snapshots=len(table.member_R),
        shards=len(manifest.shards),
        size_bytes=sum(entry.size_bytes for entry in manifest.shards),
        parameters=tuple(dict.fromkeys(architecture.parameters for architecture in zoo.architectures)),
    )


def _provenance(zoo: Zoo, data: Dataset | None) -> Provenance:
    recipe = zoo.recipe
    value = to_json(recipe)
    meanings = attribute_words(type(recipe))
    first = zoo.architectures[0]
    return Provenance(
        recipe=recipe.name,
        kind=str(value.get("kind", "recipe")),
        words=value.get("description", ""),
        fields=tuple(RecipeField(name=n, value=v, meaning=meanings.get(n, "")) for n, v in value.items()),
        dataset=recipe.dataset,
        dataset_sha256=zoo.manifest.dataset_sha256,
        images={split: len(getattr(data, split)) for split in SPLITS} if data else {},
        classes=data.classes if data else first.classes,
        input_shape=tuple(first.input_shape),
        environment=zoo.manifest.environment,
        trained=_trained(zoo),
    )


def _trained(zoo: Zoo) -> tuple[TrainedFacts, ...]:
    """The environments that some shards, evenly spaced, say they were trained in."""
    found: dict[str, tuple[Mapping[str, Any], int]] = {}
    for place in evenly_spaced(len(zoo.manifest.shards), SHARDS_ASKED):
        environment = zoo.header(place).environment
        key = canonical_json(environment)
        found[key] = (environment, found[key][1] + 1 if key in found else 1)
    return tuple(TrainedFacts(environment=environment, shards=shards) for environment, shards in found.values())


def _final(table: ZooTable, data: Dataset | None) -> FinalFacts:
    accuracy_M = table.last["test_accuracy"].to_numpy(dtype=np.float64)
    histograms = {}
    accuracies = even_edges(table.last[list(ACCURACIES)].to_numpy(dtype=np.float64), ACCURACY_BINS)
    for name in (*ACCURACIES, GAP):
        values = table.last[name].to_numpy(dtype=np.float64)
        histograms[name] = histogram(values, even_edges(values, ACCURACY_BINS) if name == GAP else accuracies)
    guess_M = _guessing(table, data)
    finite_M = np.isfinite(accuracy_M)
    return FinalFacts(
        members=int((~table.diverged_R[table.last_M]).sum()),
        histograms=histograms,
        chance_accuracy=None if guess_M is None else float(guess_M.max()),
        chance_share=float((accuracy_M <= guess_M)[finite_M].mean())
        if guess_M is not None and finite_M.any()
        else None,
    )


def _guessing(table: ZooTable, data: Dataset | None) -> np.ndarray | None:
    """Test accuracy that always naming the commonest class of a member's task reaches, plus two standard errors."""
    if data is None:
        return None
    tasks = table.last["task"].fillna("").tolist() if "task" in table.last else [""] * len(table.last)
    guesses = {}
    for task in dict.fromkeys(tasks):
        labels = task_labels(task, data.test.targets)
        labels = labels[labels >= 0]
        share = float(torch.bincount(labels).max()) / len(labels)
        guesses[task] = share + CHANCE_ERRORS * math.sqrt(share * (1 - share) / len(labels))
    return np.array([guesses[task] for task in tasks])


def _evidence(card: Card, table: ZooTable) -> Evidence:
    trained = (table.epoch_R > 0) & ~table.diverged_R
    accuracies = table.metrics["test_accuracy"][trained]
    return Evidence(
        members=card.identity.members,
        imported=card.provenance.kind == "imported",
        epochs=tuple(facts.epoch for facts in card.epochs),
        diverged=sum(facts.diverged for facts in card.epochs),
        snapshots=card.identity.snapshots,
        chance_accuracy=card.final.chance_accuracy,
        chance_share=card.final.chance_share,
        accuracy_sd=distribution(accuracies).sd,
        varying=card.varying,
        splits=card.splits,
        shared=card.shared,
        tasks=card.tasks,
        memorisation=card.memorisation,
        behavior=card.behavior,
        unmeasured=card.unmeasured,
        layouts=card.layouts,
    )
