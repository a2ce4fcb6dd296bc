"""``card``: a data sheet of a zoo, as a page and as JSON."""

from __future__ import annotations

import json
import time
from typing import Any

from analysis.card.facts import IMAGES, MEMBERS, make_card
from analysis.card.page import render
from analysis.card.record import Card
from cluster.display import say
from cluster.verbs.inventory import CARD_FILE, REPORTS, open_zoo
from zoo.storage.store import Store

CARD_JSON = "card.json"


def run_card(
    zoo_name: str,
    store_uri: str,
    *,
    members: int | None = None,
    images: int | None = None,
    seed: int | None = None,
) -> dict[str, Any]:
    """The verb ``card``.

    Args:
        zoo_name: A zoo of the store, or its URI.
        store_uri: The store where a name is looked for. The card goes to the store that the zoo is in.
        members: How many members are sampled for what needs weights.
        images: How many test images they are applied to, at most.
        seed: Of the sample.

    Returns:
        What is printed as JSON, and ``text`` for people.
    """
    zoo = open_zoo(zoo_name, store_uri)
    started = time.monotonic()
    card = make_card(
        zoo,
        members=MEMBERS if members is None else members,
        images=IMAGES if images is None else images,
        seed=seed or 0,
        progress=lambda step: say(f"card {zoo.name}: {step}"),
    )
    page, facts = write_card(card, zoo.store)
    return {
        "zoo": zoo.name,
        "card": page,
        "json": facts,
        "seconds": round(time.monotonic() - started, 2),
        "sample": card.to_json()["sample"],
        "uses": card.to_json()["uses"],
        "limits": list(card.limits),
        "text": summary(card, page, facts),
    }


def write_card(card: Card, store: Store) -> tuple[str, str]:
    """Stores page and JSON of a card; returns where they are."""
    folder = f"{REPORTS}/card-{card.identity.name}"
    store.put(f"{folder}/{CARD_JSON}", (json.dumps(card.to_json(), indent=1, allow_nan=False) + "\n").encode())
    store.put(f"{folder}/{CARD_FILE}", render(card).encode())
    return store.join(folder, CARD_FILE), store.join(folder, CARD_JSON)


def summary(card: Card, page: str, facts: str) -> str:
    """The verdicts and limits of a card in a few lines."""
    width = max(len(use.purpose) for use in card.uses)
    lines = [f"{use.purpose:{width}}  {use.verdict:10}  {use.reason}" for use in card.uses]
    limits = [f"- {limit}" for limit in card.limits]
    return "\n".join([*lines, "", "known limits", *limits, "", f"page  {page}", f"JSON  {facts}"])
