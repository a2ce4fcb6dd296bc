"""A study in a store as far as those see it who list, copy and remove."""

from __future__ import annotations

import json

from zoo.storage.store import Store

FILES = ("checkpoints/trial-0000/artifact.json", "journal-0001.log", "trials.parquet")


def add_study(store: Store, name: str, zoo: str) -> None:
    """Stores one with a single trial on a zoo of that name."""
    for file in FILES:
        store.put(f"studies/{name}/{file}", b"0123456789")
    facts = {"zoo": {"name": zoo}, "study": {"trials": 1}, "trials_completed": 1, "trials_failed": 0}
    store.put(f"studies/{name}/study.json", json.dumps(facts).encode())
