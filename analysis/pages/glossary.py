"""The words of the platform, each with its meaning; declared metrics join them on a page."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar

from analysis.pages.numbers import shown_unit
from zoo.metric import Metric, by_name

WORDS = {
    "model zoo, population": "Many trained networks of one recipe.",
    "member": "One network of a zoo.",
    "snapshot": "A member at one epoch.",
    "shard": "One Parquet file of snapshots.",
    "manifest": "The record that commits a zoo: its shards, their hashes, its recipe. Without one there is no zoo.",
    "recipe": "What generates a zoo: named axes, and what is common to all members.",
    "axis": "One hyper-parameter of a recipe with its choices or its range, drawn for a shard, a block or a member.",
    "split": "Training, validation or test members; all snapshots of a member are in one.",
    "task": "What members are trained to do on a data set: all classes, or one against another.",
    "trainable": "Something that can be fitted: an entry of the registry.",
    "kind of trainable": "What a trainable is: codec, autoencoder, predictor.",
    "family": "Autoencoders of one architecture.",
    "fit": "One fitting in progress.",
    "artifact": "What a fit leaves behind: safetensors and JSON.",
    "study": "A search for good settings of a trainable.",
    "trial": "One setting that a study tried.",
    "latent": "What an encoder makes of a network: continuous numbers.",
    "symbols": "Latents rounded to integers.",
    "payload": "Symbols as bytes, as they would be sent.",
    "reconstruction": "The weights that a decoder returns.",
    "subject": "What an evaluator looks at: a population, originals with their reconstructions, generated networks.",
    "agreement": "Share of test images on which two networks predict the same class, right or wrong.",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Glossary:
    """A block of a page: terms with their units and meanings."""

    kind: ClassVar[str] = "glossary"

    entries: tuple[tuple[str, str, str], ...]


def glossary(metrics: Iterable[Metric] = (), words: Iterable[str] = ()) -> Glossary:
    """The glossary of a page.

    Args:
        metrics: What it measures, as declared.
        words: Keys of :data:`WORDS` that it uses; a metric's own sentence takes the place of a word of its name.
    """
    declared = by_name(metrics)
    return Glossary(
        entries=(
            *((name, "", WORDS[name]) for name in words if name not in declared),
            *((metric.name, shown_unit(metric), metric.description) for metric in declared.values()),
        )
    )
