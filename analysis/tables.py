"""Writes an analysis as tables: Parquet and CSV for other programs, JSON with everything."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import pandas as pd

from analysis.compression.rates import amortization
from analysis.measuring.results import Result
from zoo.storage.store import Store

if TYPE_CHECKING:
    from analysis.record import Analysis

TABLES = "tables"


def results_frame(results: Sequence[Result]) -> pd.DataFrame:
    """One row a result with its rates, where it has any, at every N; without what there is for each member."""
    rows = []
    for result in results:
        sent = "code_bits_per_weight" in result.metrics
        rates = amortization(result.rate, result.shared_bytes, result.parameters) if sent else {}
        rows.append(result.row() | rates)
    frame = pd.DataFrame(rows)
    return frame.astype({"trial": "Int64"}) if rows else frame


def members_frame(results: Sequence[Result], members: pd.DataFrame | None) -> pd.DataFrame:
    """One row a result and member: what is known of the member, and what was measured of it under that result."""
    if members is None:
        return pd.DataFrame()
    parts = [
        pd.DataFrame({"name": result.name, "setting": result.setting, "trial": result.trial} | dict(members.items()))
        .assign(**result.values)
        .astype({"trial": "Int64"})
        for result in results
        if result.members == len(members)
    ]
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame()


def write_tables(analysis: Analysis, store: Store, name: str) -> list[str]:
    """Writes ``<store>/tables/<name>/``: results, members and headlines as Parquet and CSV, all of it as JSON.

    A table without rows has no file; one that an earlier analysis left under its name is deleted.

    Returns:
        The full addresses of what was written.
    """
    frames = {
        "results": results_frame(analysis.results),
        "random_networks": results_frame(analysis.random_results),
        "noisy_storage": results_frame(analysis.noisy_results),
        "latents": results_frame(analysis.latent_results),
        "members": members_frame(analysis.results, analysis.members),
        "headlines": pd.DataFrame([headline.row() for headline in analysis.headlines]),
    }
    for file in (f"{key}.{kind}" for key, frame in frames.items() if not len(frame) for kind in ("parquet", "csv")):
        if store.exists(path := f"{TABLES}/{name}/{file}"):
            store.delete(path)
    files = {f"{key}.parquet": frame.to_parquet(index=False) for key, frame in frames.items() if len(frame)}
    files |= {f"{key}.csv": frame.to_csv(index=False).encode() for key, frame in frames.items() if len(frame)}
    files["analysis.json"] = json.dumps(_plain(analysis.to_json()), indent=1, allow_nan=False).encode()
    paths = [f"{TABLES}/{name}/{file}" for file in files]
    for path, data in zip(paths, files.values(), strict=True):
        store.put(path, data)
    return [store.join(path) for path in paths]


def _plain(value: Any) -> Any:
    """JSON has no infinities: they become ``null``."""
    if isinstance(value, dict):
        return {key: _plain(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(entry) for entry in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
