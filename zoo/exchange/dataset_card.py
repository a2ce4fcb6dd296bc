"""README files of exported zoos: for people, and the YAML that Hugging Face ``datasets`` reads."""

from __future__ import annotations

import json
from collections.abc import Mapping

from zoo.storage.zoo import Zoo

# Classes of size on the Hugging Face hub: the first bound that is larger counts.
SIZES = (
    (1_000, "n<1K"),
    (10_000, "1K<n<10K"),
    (100_000, "10K<n<100K"),
    (1_000_000, "100K<n<1M"),
    (10_000_000, "1M<n<10M"),
    (100_000_000, "10M<n<100M"),
)

EXAMPLE = """```python
import datasets, duckdb, pandas
datasets.load_dataset("FOLDER", split="train").with_format("torch")[:8]["weights"]
pandas.read_parquet("FOLDER/data", columns=["member", "epoch", "test_accuracy", "weights"])
duckdb.sql("select activation, avg(test_accuracy) from 'FOLDER/data/*.parquet' group by 1")
```
"""


def dataset_card(zoo: Zoo, rows: Mapping[str, int]) -> str:
    """The README of a Parquet set.

    Args:
        zoo: What is exported.
        rows: Snapshots of each split.
    """
    snapshots = sum(rows.values())
    size = next((name for bound, name in SIZES if snapshots < bound), "100M<n<1B")
    files = "".join(
        f"      - split: {split}\n        path: data/{split}-*.parquet\n" for split, count in rows.items() if count
    )
    return (
        "---\n"
        f"pretty_name: {json.dumps(zoo.name)}\n"
        "tags:\n  - model-zoo\n  - weight-space-learning\n"
        f"size_categories:\n  - {size}\n"
        f"configs:\n  - config_name: default\n    data_files:\n{files}"
        "---\n\n"
        f"{_about(zoo)}\n"
        "A row is one snapshot of one network: its hyper-parameters, its losses and accuracies, and `weights`, all\n"
        "parameters in one list of float32. Splits are by network, so that no network is in two of them.\n"
        "`architecture` is the row's index into `architectures` of `zoo.json`, which gives the layers; tensors follow\n"
        "each other in `weights` in the order of the layers, each layer's `weight` before its `bias`.\n\n"
        f"{EXAMPLE}\n"
        "`zooscale import FOLDER` makes the zoo of it again, with the same content hash.\n"
    )


def _about(zoo: Zoo) -> str:
    parameters = ", ".join(dict.fromkeys(f"{architecture.parameters:,}" for architecture in zoo.architectures))
    dataset = zoo.recipe.dataset or "a data set that is not known here"
    return (
        f"# {zoo.name}\n\n"
        f"{len(zoo):,} networks of {parameters} parameters, trained on {dataset}, with snapshots at epochs "
        f"{', '.join(map(str, zoo.recipe.snapshot_epochs))}. Content hash `{zoo.content_sha256}`.\n"
    )
