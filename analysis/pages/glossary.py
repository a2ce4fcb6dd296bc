"""The words of the platform, as ``docs/glossary.md`` lists them; declared metrics join them on a page."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import ClassVar

from markupsafe import Markup, escape

from analysis.pages.numbers import shown_unit
from zoo.metric import Metric, by_name

WORDS = {
    "model zoo, population": "many trained networks of one recipe; as data, their weights of one parameter "
    "layout with what is known of each",
    "member": "one network of a zoo",
    "snapshot": "a member at the end of one epoch: one row of the zoo",
    "shard": "one Parquet file of snapshots, all of one architecture",
    "manifest": "the commit record of a zoo: which shards it consists of, with their hashes; a zoo exists once it has "
    "one",
    "recipe": "what generates a zoo, as data",
    "axis": "one hyper-parameter of a recipe: its choices or range, drawn for each shard, block or member",
    "block": "members that share a minibatch order (and a training subset, where there is one); they lie in one split",
    "split": "train, validation or test; by member for networks, fixed for examples",
    "layout": "names, shapes and offsets of a network's tensors in its flat weight vector of length P",
    "task": "what a data set asks: its loss, its number of outputs and the metrics that judge it; a member's "
    "class task (`3-8`) is a part of the classes with labels of its own",
    "trainable": "a registry entry for what can be fitted: a codec, an autoencoder, an encoder, a "
    "predictor, a hypernetwork, a generator, an aggregator",
    "kind": "of a trainable: what its artifact is used for",
    "family": "of autoencoders: one of them, with its own configuration",
    "fit": "one fitting in progress",
    "artifact": "what a fit leaves behind: safetensors and JSON",
    "study, trial": "a search, and one configuration that it tries: Optuna's words",
    "latent": "what an encoder keeps of a network, continuous",
    "embedding": 'a vector that tells of a network: what a trainable of the kind "encoder" makes of its weights',
    "readout": "a simple map from embeddings, or other features, to a column of the zoo: linear, or boosted trees",
    "probe": "a readout that judges an encoder: fitted on training members, its penalty chosen on validation members",
    "hypernetwork": "a network that makes the weights of others: of a small vector, one for each task",
    "adaptation": "finding the few numbers (a hypernetwork's vector, a last layer, all weights) that make a "
    "network for a task",
    "generator": "makes new networks of what a population has in common",
    "aggregator": "makes one update of the gradients of a minibatch's examples, in place of their mean",
    "audit": "whether generated networks are new: their distance from training networks, outside their "
    "affine hull, other errors",
    "preset": "named settings of a trainable, such as those published with a method",
    "symbols": "the latent as integers",
    "payload": "the symbols as bytes",
    "shared bytes": "what a receiver must hold before the first payload: decoder, codebook, tables",
    "reconstruction": "the weights that a decoder returns",
    "agreement": "share of test images on which two networks predict the same class",
    "evaluator": "measures what networks do, alone or next to their originals",
    "subject": "what an evaluator looks at: a population, a reconstruction beside its original, generated networks",
    "control": "what a codec or a predictor has to beat: the mean network, the nearest training member, the training "
    "mean",
    "view": "coordinates of weights with an exact inverse",
    "function metric": "the metric in which a distance of weights is about a distance of outputs",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Entry:
    """A term and what it means; a metric also has a unit, and a name in tables and commands."""

    term: str
    meaning: str
    unit: str = ""
    name: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Glossary:
    """A block of a page: its terms."""

    kind: ClassVar[str] = "glossary"

    entries: tuple[Entry, ...]


def glossary(
    metrics: Iterable[Metric] = (), words: Iterable[str] = (), own: Mapping[str, str] | None = None
) -> Glossary:
    """The glossary of a page.

    Args:
        metrics: What it measures, as declared.
        words: Keys of :data:`WORDS` that it uses; a metric's own sentence takes the place of a word of its name.
        own: Further terms with their meanings.
    """
    declared = by_name(metrics)
    return Glossary(
        entries=(
            *(Entry(term=name, meaning=WORDS[name]) for name in words if name not in declared),
            *(
                Entry(term=metric.label, meaning=metric.description, unit=shown_unit(metric), name=metric.name)
                for metric in declared.values()
            ),
            *(Entry(term=term, meaning=meaning) for term, meaning in (own or {}).items()),
        )
    )


def marked(text: str) -> Markup:
    """A text in which what stands between backticks is code; ``Markup`` stays as it is."""
    if isinstance(text, Markup):
        return text
    coded = re.sub(r"(`+)(.+?)\1", r"<code>\2</code>", str(escape(text)))
    return unbroken(Markup(coded))  # noqa: S704 (it is escaped)


def unbroken(text: Markup) -> Markup:
    """A text in which no line ends within ``|Δaccuracy|``, as browsers have it after the first bar."""
    return Markup(re.sub(r"\|[^\s|<>&]+\|", r'<span class="whole">\g<0></span>', str(text)))  # noqa: S704 (it is markup)
