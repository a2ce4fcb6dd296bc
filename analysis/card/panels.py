"""The words beside the card's charts and tables, as plain data for the template."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

from analysis.card.record import Card, RecipeField
from analysis.card.splits import SharedFacts
from analysis.card.weights import LayoutFacts
from analysis.card.words import attribute_words
from analysis.pages.numbers import count, counted, size
from analysis.pages.page import Fact
from zoo.population import Member
from zoo.recipes import Axis


@dataclass(frozen=True, kw_only=True, slots=True)
class LayoutPanel:
    """What the page says of one layout beside its charts."""

    number: int
    label: str
    members: str
    measured: str
    activations: str
    distance: str
    has_distances: bool


def header_facts(card: Card) -> list[Fact]:
    """The facts at the head of the page."""
    identity, last = card.identity, card.epochs[-1].metrics["test_accuracy"]
    diverged = sum(facts.diverged for facts in card.epochs)
    parameters = sorted(identity.parameters)
    facts = [
        ("Networks", count(identity.members), counted(len(card.layouts), "parameter layout")),
        (
            "Weights each",
            count(parameters[0]) if len(parameters) == 1 else f"{count(parameters[0])} – {count(parameters[-1])}",
            card.layouts[0].label if len(card.layouts) == 1 else "see layouts",
        ),
        ("Data set", card.provenance.dataset or "not known", _images(card)),
        (
            "Snapshots",
            count(identity.snapshots),
            f"epochs {_listed([facts.epoch for facts in card.epochs])}; {count(diverged)} diverged",
        ),
        (
            "Test accuracy, mean ± SD",
            "not known" if last.mean is None else f"{100 * last.mean:.1f} ± {100 * (last.sd or 0):.1f} %",
            ""
            if last.minimum is None
            else f"from {100 * last.minimum:.1f} to {100 * (last.maximum or 0):.1f} %, last epoch",
        ),
    ]
    for entry in (card.behavior.agreement if card.behavior else ())[-1:]:
        if entry.agreement.mean is not None:
            what = "one snapshot a member" if entry.snapshots == "one" else "last snapshots"
            facts.append(("Pairwise agreement", f"{100 * entry.agreement.mean:.1f} %", what))
    facts.append(("On storage", size(identity.size_bytes), counted(identity.shards, "shard")))
    facts.append(("Made", identity.created[:10], f"digest {identity.digest[:16]}"))
    return [Fact(name=name, value=value, detail=detail) for name, value, detail in facts]


def shared_sentences(shared: Sequence[SharedFacts]) -> list[str]:
    """What members share, and whether it keeps to one split."""
    found = []
    for facts in shared:
        if facts.largest == 1:
            found.append(f"No two members have the same {facts.what}.")
            continue
        place = (
            "each lies in one split"
            if not facts.across
            else f"{count(facts.across)} of them {'lie' if facts.across > 1 else 'lies'} in more than one split"
        )
        found.append(
            f"Members with the same {facts.what}: {counted(facts.groups, 'group')}, at most {count(facts.largest)}"
            f" members in one; {place}."
        )
    return found


def layout_panel(number: int, layout: LayoutFacts) -> LayoutPanel:
    """The words beside the charts of a layout."""
    text = ""
    facts = layout.distances
    if facts is not None and facts.raw.mean is not None:
        text = (
            f"{count(facts.pairs)} pairs of {count(facts.members)} members lie {facts.raw.mean:.3f} apart on average as"
            " they are stored"
        )
        aligned = facts.aligned.mean if facts.aligned else None
        text += f", {aligned:.3f} when aligned." if aligned is not None else f"; not aligned: {facts.unaligned}."
    return LayoutPanel(
        number=number,
        label=layout.label,
        members=count(layout.members),
        measured=count(layout.measured),
        activations=activations(layout),
        distance=text,
        has_distances=facts is not None,
    )


def activations(layout: LayoutFacts) -> str:
    """The activation functions of a layout's architectures."""
    used: dict[str, None] = {}
    for architecture in layout.architectures:
        used |= dict.fromkeys(_functions(architecture["layers"]))
    return ", ".join(used) or "none"


def recipe_rows(fields: Sequence[RecipeField]) -> list[tuple[str, str, str]]:
    """Name, value and meaning of each field of the recipe, and of each of its axes."""
    rows = []
    for field in fields:
        if field.name == "axes":
            meanings = attribute_words(Member)
            rows += [
                (name, str(Axis.from_json(axis)), meanings.get(name, "Of the architecture."))
                for name, axis in field.value.items()
            ]
        else:
            rows.append((field.name, _plain(field.value), field.meaning))
    return rows


def _functions(layers: Sequence[dict]) -> list[str]:
    found: list[str] = []
    for layer in layers:
        if layer["kind"] == "activate":
            found.append(layer["function"])
        for part in layer.values():
            if isinstance(part, list):
                found += _functions(part)
    return found


def _plain(value: object) -> str:
    if isinstance(value, list | tuple):
        return ", ".join(_plain(entry) for entry in value) or "(none)"
    return value if isinstance(value, str) and value else json.dumps(value)


def _images(card: Card) -> str:
    images = card.provenance.images
    if not images:
        return "not here: nothing measured on images" if card.provenance.dataset else ""
    return f"{' / '.join(count(number) for number in images.values())} {' / '.join(images)} images"


def _listed(epochs: Sequence[int]) -> str:
    if len(epochs) <= 8:
        return ", ".join(map(str, epochs))
    return f"{', '.join(map(str, epochs[:4]))} … {epochs[-1]} ({len(epochs)})"
