"""``card``: a data sheet of a zoo, as a page and as JSON."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cluster import options
from cluster.display import say
from cluster.page_files import page_files
from cluster.stores import CARD_FILE, REPORTS, open_zoo
from cluster.verb import Result, Verb

if TYPE_CHECKING:
    from analysis.card.record import Card as ZooCard
    from zoo.storage.store import Store

CARD_JSON = "card.json"


@dataclass(frozen=True, kw_only=True)
class CardWritten(Result):
    """Where a card is, page and JSON, and what it says."""

    zoo: str
    card: str
    json: str
    seconds: float
    sample: dict[str, Any]
    uses: list[dict[str, Any]]
    limits: tuple[str, ...]

    @property
    def text(self) -> str:
        width = max(len(use["purpose"]) for use in self.uses)
        lines = [f"{use['purpose']:{width}}  {use['verdict']:10}  {use['reason']}" for use in self.uses]
        limits = [f"- {limit}" for limit in self.limits]
        return "\n".join([*lines, "", "known limits", *limits, "", f"page  {self.card}", f"JSON  {self.json}"])


@dataclass(frozen=True, kw_only=True, slots=True)
class Card(Verb):
    """Write a zoo's data sheet: card.html and card.json beside it in the store."""

    zoo: options.Zoo
    store: options.Store = "./store"
    members: Annotated[int, typer.Option(min=2, help="Networks sampled for what needs weights.")] = 400
    examples: Annotated[int, typer.Option(min=1, help="Test examples that they are applied to, at most.")] = 2000
    seed: options.Seed = None
    figures: options.Figures = None

    def run(self) -> CardWritten:
        """Measures and writes the card, in the store that the zoo is in."""
        from analysis.card.facts import make_card

        zoo = open_zoo(self.zoo, self.store)
        zoo.store.check_writable(REPORTS)
        write, started = page_files(self.figures), time.monotonic()
        card = make_card(
            zoo,
            members=self.members,
            examples=self.examples,
            seed=self.seed or 0,
            progress=lambda step: say(f"card {zoo.name}: {step}"),
        )
        page, facts = write_card(card, zoo.store)
        write(zoo.store, f"{card_folder(card)}/{CARD_FILE}")
        return CardWritten(
            zoo=zoo.name,
            card=page,
            json=facts,
            seconds=round(time.monotonic() - started, 2),
            sample=dict(card.about["sample"]),
            uses=card.uses.to_dict("records"),
            limits=card.limits,
        )


def card_folder(card: ZooCard) -> str:
    """Where a card lies in a store."""
    return f"{REPORTS}/card-{card.about['zoo']}"


def write_card(card: ZooCard, store: Store) -> tuple[str, str]:
    """Stores page and JSON of a card; returns where they are."""
    from analysis.card.page import render

    folder = card_folder(card)
    store.put(f"{folder}/{CARD_JSON}", (json.dumps(card.to_json(), indent=1, allow_nan=False) + "\n").encode())
    store.put(f"{folder}/{CARD_FILE}", render(card).encode())
    return store.join(folder, CARD_FILE), store.join(folder, CARD_JSON)
