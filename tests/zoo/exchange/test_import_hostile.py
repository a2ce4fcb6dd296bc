"""Folders that hold what never ends or is far larger than it looks: refused at once, in one sentence."""

import gzip
import json
import os
import shutil
import signal
import time
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from published_layouts import tune_config, write_checkpoint_tree, write_small_cnn_zoo

from zoo.exchange.exporting import export_zoo
from zoo.exchange.importing import open_source, store_source
from zoo.generation.build import generate_zoo
from zoo.recipes import Recipe
from zoo.storage.errors import ZooError
from zoo.storage.store import Store


@pytest.fixture(autouse=True)
def _nothing_hangs() -> Iterator[None]:
    def stop(*_: object) -> None:
        raise TimeoutError("the import does not end")

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(30)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


@pytest.fixture(scope="module")
def sources(tmp_path_factory) -> Path:
    """A good source of each format."""
    root = tmp_path_factory.mktemp("sources")
    (root / "states").mkdir()
    torch.save({"1.weight": torch.zeros(2, 4), "1.bias": torch.zeros(2)}, root / "states/net.pt")
    (root / "states/networks.csv").write_text("file,epoch\nnet.pt,1\n")
    (root / "states/architecture.json").write_text(
        json.dumps({"builder": "mlp", "input_shape": [4], "hidden": [], "classes": 2})
    )
    write_checkpoint_tree(root / "tree", [tune_config(0)], [1])
    write_small_cnn_zoo(root / "small")
    axes = {"hidden": (2,)}
    recipe = Recipe(name="own", dataset="digits", members=4, epochs=1, snapshot_epochs=(1,), axes=axes)
    zoo = generate_zoo(recipe, Store(root / "copy"))
    export_zoo(zoo, root / "parquet", "parquet")
    return root


@pytest.fixture
def source(sources, tmp_path) -> Callable[[str], Path]:
    """A copy of a good source."""

    def copied(name: str) -> Path:
        return Path(shutil.copytree(sources / name, tmp_path / name))

    return copied


def take(root: Path, store: Path) -> None:
    store_source(open_source(root), Store(store))


def refused(root: Path, store: Path, words: str) -> str:
    """The one sentence by which an import is refused; it takes no time, and nothing is stored."""
    start = time.process_time()
    with pytest.raises((ValueError, ZooError), match=words) as caught:
        take(root, store)
    assert time.process_time() - start < 5
    assert not Store(store).list()
    assert len(str(caught.value)) < 2000
    return str(caught.value)


FILES = [
    ("states", "net.pt"), ("states", "networks.csv"), ("states", "architecture.json"), ("tree", "*/params.json"),
    ("tree", "*/result.json"), ("tree", "*/checkpoint_*/checkpoints"), ("small", "weights.npy"),
    ("small", "metrics.csv.gz"), ("small", "layout.csv"), ("parquet", "zoo.json"), ("parquet", "data/*.parquet"),
    ("copy", "zoos/*/manifest-0001.json"), ("copy", "zoos/*/shards/*.parquet"),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "pattern"), FILES)
@pytest.mark.parametrize(
    ("put", "words"),
    [
        (os.mkfifo, "is a pipe; only regular files"),
        (lambda path: path.symlink_to("/dev/zero"), "is a device; only regular files"),
    ],
)
def test_only_regular_files_are_opened(source, tmp_path, kind, pattern, put, words):
    root = source(kind)
    path = next(root.glob(pattern))
    path.unlink()
    put(path)
    refused(root, tmp_path / "store", words)


@pytest.mark.parametrize(("kind", "pattern"), [file for file in FILES if file[0] != "copy"])
def test_links_are_followed_to_other_folders(source, tmp_path, kind, pattern):
    root = source(kind)
    path = next(root.glob(pattern))
    (tmp_path / "elsewhere").mkdir()
    away = tmp_path / "elsewhere" / path.name
    path.rename(away)
    path.symlink_to(away)
    take(root, tmp_path / "store")
    path.unlink()
    path.symlink_to(path)
    refused(root, tmp_path / "store2", f"{path.name} (is missing|cannot be read)|of no format")


def test_a_table_that_unpacks_to_gigabytes(source, tmp_path):
    root = source("small")
    with gzip.open(root / "metrics.csv.gz", "wb", compresslevel=1) as file:
        for _ in range(64):
            file.write(b"\n" * (1 << 20))
    refused(root, tmp_path / "store", "metrics.csv.gz has more than 311,296 bytes when it is unpacked")


def test_a_table_far_larger_than_its_networks_need(source, tmp_path):
    root = source("states")
    with (root / "networks.csv").open("wb") as file:
        file.truncate(1 << 40)
    refused(root, tmp_path / "store", r"networks.csv has 1,099,511,627,776 bytes.*at most 32,768")


@pytest.mark.parametrize("name", ["net.pt", "net.safetensors"])
def test_a_network_of_terabytes(source, tmp_path, name):
    root = source("states")
    (root / "networks.csv").write_text(f"file,epoch\n{name},1\n")
    with (root / name).open("wb") as file:
        file.truncate(1 << 40)
    refused(root, tmp_path / "store", r"bytes, a file like it has at most")


def test_a_compressed_archive_of_tensors(source, tmp_path):
    root = source("states")
    torch.save({"1.weight": torch.zeros(1 << 20)}, tmp_path / "large.pt")
    with zipfile.ZipFile(tmp_path / "large.pt") as old, zipfile.ZipFile(root / "net.pt", "w", 8) as new:
        for entry in old.infolist():
            new.writestr(entry.filename, old.read(entry))
    refused(root, tmp_path / "store", r"net.pt is a compressed archive of 4,19\d,\d\d\d bytes")


def test_one_number_that_stands_for_many(source, tmp_path):
    root = source("states")
    torch.save({"1.weight": torch.zeros(1, dtype=torch.float16).expand(1 << 40)}, root / "net.pt")
    refused(root, tmp_path / "store", r"1.weight has 1,099,511,627,776 entries")


def layers_within(depth: int) -> dict[str, object]:
    layer: dict[str, object] = {"kind": "activate", "function": "relu"}
    for _ in range(depth):
        layer = {"kind": "residual", "body": [layer]}
    return {"input_shape": [4], "layers": [layer, {"kind": "linear", "features": 2}]}


@pytest.mark.parametrize("text", ["[" * 1_000_000, '{"a":' * 200_000, json.dumps(layers_within(200))])
@pytest.mark.parametrize(
    ("kind", "pattern"),
    [
        ("states", "architecture.json"), ("tree", "*/params.json"), ("tree", "*/result.json"), ("parquet", "zoo.json"),
        ("copy", "zoos/*/manifest-0001.json"),
    ],
)  # fmt: skip
def test_json_that_is_nested_deeply(source, tmp_path, kind, pattern, text):
    root = source(kind)
    next(root.glob(pattern)).write_text(text)
    refused(root, tmp_path / "store", "nested deeper than 64 levels|a file like it has at most")


def test_layers_within_layers_are_read(source, tmp_path):
    root = source("states")
    (root / "architecture.json").write_text(json.dumps(layers_within(20)))
    torch.save({"1.weight": torch.zeros(2, 4), "1.bias": torch.zeros(2)}, root / "net.pt")
    take(root, tmp_path / "store")


MLP = {"builder": "mlp", "input_shape": [4], "classes": 2}
CONV = {"kind": "conv", "channels": 1, "kernel": 1}
END = [{"kind": "flatten"}, {"kind": "linear", "features": 2}]


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (MLP | {"hidden": [10**12]}, "7,000,000,000,002 parameters; allowed"),
        (MLP | {"hidden": [1] * 60_000}, "120,002 layers; allowed: up to 1,000"),
        (MLP | {"hidden": [1] * 600}, "1,202 layers; allowed: up to 1,000"),
        (MLP | {"input_shape": [10**4] * 5}, "parameters; allowed"),
        ({"input_shape": [1, 8, 8], "layers": [{"kind": "flatten"}] * 5000 + END}, "5,002 layers; allowed"),
        (
            {
                "input_shape": [1, 8, 8],
                "layers": [CONV | {"padding": 10**6}, {"kind": "max_pool", "size": 10**6}, *END],
            },
            "values in one layer for one example",
        ),
        ({"input_shape": [1, 4000, 4000], "layers": [CONV | {"channels": 2**20}] * 2 + END}, "allowed"),
        (MLP | {"hidden": [2**2000]}, "parameters; allowed"),
        (MLP | {"hidden": [True]}, "features is True"),
        (MLP | {"classes": 1e300}, "features is 1e[+]300"),
    ],
)
def test_absurd_architectures(source, tmp_path, value, words):
    root = source("states")
    (root / "architecture.json").write_text(json.dumps(value))
    refused(root, tmp_path / "store", words)


def test_an_absurd_architecture_of_a_tree(source, tmp_path):
    root = source("tree")
    path = next(root.glob("*/params.json"))
    sizes = {"model::i_dim": 784, "model::h_dim": [10**9], "model::o_dim": 10, "model::use_bias": True}
    path.write_text(json.dumps(tune_config(0) | {"model::type": "MLP"} | sizes))
    refused(root, tmp_path / "store", "795,000,000,010 parameters; allowed: up to 67,108,864")


def test_weights_that_are_not_there(source, tmp_path):
    root = source("small")
    shape = np.lib.format.header_data_from_array_1_0(np.zeros((18, 4970), np.float32)) | {"shape": (18, 1 << 34)}
    with (root / "weights.npy").open("wb") as file:
        np.lib.format.write_array_header_1_0(file, shape)
        file.truncate(file.tell() + 4 * 18 * (1 << 34))
    refused(root, tmp_path / "store", r"weights.npy has shape \(18, 17179869184\)")
