"""Finding stores and zoos by what the user calls them."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from zoo.storage.store import Store
    from zoo.storage.zoo import Zoo

REPORTS, REPORT_FILE, CARD_FILE = "reports", "report.html", "card.html"


def existing_store(uri: str) -> Store:
    """A store to read from.

    Raises:
        ValueError: A local folder that does not exist.
    """
    from zoo.storage.store import Store

    store = Store(uri)
    if store.is_local and not store.exists(""):
        raise ValueError(
            f"there is no store {store.uri}; name one with --store, or make one with `zooscale generate RECIPE`"
        )
    return store


def open_zoo(zoo: str, store_uri: str) -> Zoo:
    """A zoo by its URI, or by its name (or the beginning of it) in a store.

    Raises:
        ZooError: There is none; the message lists those there are.
        ValueError: The store does not exist.
    """
    from zoo.storage.zoo import Zoo

    return Zoo.open(zoo) if "/" in zoo else Zoo.open(zoo, store=existing_store(store_uri))
