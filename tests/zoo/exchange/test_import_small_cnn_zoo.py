"""Import of the Small CNN Zoo: weights.npy, metrics.csv.gz, layout.csv."""

import gzip
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from published_layouts import keras_forward, write_small_cnn_zoo

from zoo.exchange.importing import open_source, store_source
from zoo.storage.store import Store
from zoo.storage.verify import verify
from zoo.storage.zoo import Zoo


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[tuple[str, int], dict[str, np.ndarray]]]:
    root = tmp_path_factory.mktemp("source") / "MNIST small"
    return root, write_small_cnn_zoo(root)


@pytest.fixture(scope="module")
def zoo(source, tmp_path_factory) -> Zoo:
    return store_source(open_source(source[0]), Store(tmp_path_factory.mktemp("store")))


def test_kernels_are_turned_so_that_the_functions_are_those_of_keras(source, zoo):
    images = np.random.default_rng(1).normal(size=(4, 28, 28, 1)).astype(np.float32)
    x = torch.from_numpy(images.transpose(0, 3, 1, 2).copy()) / 2 + 0.5  # pixels from 0 to 1, not from -1 to 1
    table = zoo.members
    seen = 0
    for population in zoo.populations(epochs=[0, 1, 86]):
        logits = population.logits(x).numpy()
        for row, (member, epoch) in enumerate(zip(population.members, population.epochs, strict=True)):
            told = json.loads(table[table.member == member.id].imported.iloc[0])
            expected = keras_forward(source[1][told["modeldir"], epoch], images, told["config.activation"])
            np.testing.assert_allclose(logits[row], expected, rtol=1e-4, atol=1e-4)
            seen += 1
    assert seen == 18


def test_it_is_a_zoo_like_any_other(zoo):
    assert verify(zoo) == []
    assert zoo.name.startswith("mnist-small-")
    assert zoo.recipe.source_dataset == "mnist"
    assert zoo.recipe.snapshot_epochs == (0, 1, 86)
    assert zoo.parameters == 4970
    assert {architecture.input_shape for architecture in zoo.architectures} == {(1, 28, 28)}


def test_known_hyper_parameters_become_columns(zoo):
    table = zoo.members[zoo.members.epoch == 86].reset_index()
    told = table.imported.map(json.loads)
    assert list(table.learning_rate) == [line["config.learning_rate"] for line in told]
    assert list(table.training_fraction) == [line["config.train_fraction"] for line in told]
    assert list(table.activation) == [line["config.activation"] for line in told]
    assert list(table.optimizer) == [line["config.optimizer"] for line in told]
    assert (table.weight_decay == 2e-4).all()  # the gradient of l2 · w² is 2 · l2 · w
    names = {"glorot_normal": "xavier_normal", "RandomNormal": "normal", "TruncatedNormal": "truncated_normal"}
    assert list(table.initialization) == [names[line["config.w_init"]] for line in told]
    plain = table[table.initialization == "normal"]
    np.testing.assert_allclose(plain.init_scale, 0.2)  # standard deviation 0.02, in units of 0.1
    assert (table[table.initialization == "xavier_normal"].init_scale == 1).all()
    assert table.batch_size.isna().all()
    assert told[0]["config.b_init"] == "zeros"
    assert "test_accuracy" not in told[0]


def test_metrics_are_the_source_s(source, zoo):
    table = zoo.members
    for row in table.itertuples():
        number = int(json.loads(row.imported)["modeldir"].split("/")[3])
        assert row.test_accuracy == 0.1 + row.epoch / 1000 + number / 100
        assert row.train_loss == 2.2 - row.epoch / 100
    assert table.validation_accuracy.isna().all()
    assert not table.diverged.any()


def test_a_network_that_stopped_early_is_left_out(tmp_path):
    write_small_cnn_zoo(tmp_path / "zoo")
    weights = np.load(tmp_path / "zoo/weights.npy")
    with gzip.open(tmp_path / "zoo/metrics.csv.gz", "rt") as file:
        lines = file.readlines()
    np.save(tmp_path / "zoo/weights.npy", weights[:-1])
    with gzip.open(tmp_path / "zoo/metrics.csv.gz", "wt") as file:
        file.writelines(lines[:-1])
    source = open_source(tmp_path / "zoo")
    assert source.members == 5
    assert "/some/where/5/workdir" in source.left_out[0]


def change_line(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def change_metrics(path: Path, old: str, new: str) -> None:
    with gzip.open(path, "rt") as file:
        text = file.read()
    assert old in text
    with gzip.open(path, "wt") as file:
        file.write(text.replace(old, new))


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda root: (root / "metrics.csv.gz").unlink(), "metrics.csv.gz is missing"),
        (lambda root: (root / "metrics.csv.gz").write_bytes(b"no gzip"), "metrics.csv.gz cannot be read"),
        (lambda root: change_metrics(root / "metrics.csv.gz", "modeldir", "dir"), "lacks the column modeldir"),
        (lambda root: change_metrics(root / "metrics.csv.gz", "tanh", "selu"), "unknown activation 'selu'"),
        (lambda root: change_metrics(root / "metrics.csv.gz", ",mnist,", ",toy,"), "'toy'.*--architecture"),
        (lambda root: change_metrics(root / "metrics.csv.gz", "/1/", "/0/"), "two rows of metrics for epoch 0"),
        (lambda root: (root / "weights.npy").write_bytes(b"\x93NUMPY"), "weights.npy cannot be read"),
        (lambda root: np.save(root / "weights.npy", np.zeros((17, 4970))), r"shape \(17, 4970\).*18 rows"),
        (lambda root: np.save(root / "weights.npy", np.zeros((18, 4970), int)), "holds int64"),
        (
            lambda root: np.save(root / "weights.npy", np.array([{"a": 1}]), allow_pickle=True),
            "weights.npy cannot be read",
        ),
        (
            lambda root: change_line(root / "layout.csv", "conv2d/kernel:0,16,160", "conv2d/kernel:0,15,159"),
            "kernel:0 starts at 15, the one before ends at 16",
        ),
        (
            lambda root: (root / "layout.csv").write_text("varname,start_idx,end_idx,shape\n"),
            "describes no variables",
        ),
        (lambda root: change_metrics(root / "metrics.csv.gz", ",0.236,", ",high,"), r"no number.*high"),
        (lambda root: change_line(root / "layout.csv", "varname", "name"), "lacks the column varname"),
        (lambda root: change_line(root / "layout.csv", '"(3, 3, 1, 16)"', '"(3, 3, 1, 15)"'), "layout.csv.*its end"),
        (lambda root: change_line(root / "layout.csv", '"(3, 3, 1, 16)"', '"(3, 3, 16)"'), "has 3 axes"),
        (lambda root: change_line(root / "layout.csv", "dense/kernel", "dense/weird"), "layout.csv.*architecture"),
        (lambda root: np.save(root / "weights.npy", np.full((18, 4970), np.nan)), "not finite.*--include-diverged"),
    ],
)
def test_damage_is_refused_and_nothing_is_stored(tmp_path, damage, words):
    write_small_cnn_zoo(tmp_path / "zoo")
    damage(tmp_path / "zoo")
    store = Store(tmp_path / "store")
    with pytest.raises(ValueError, match=words):
        store_source(open_source(tmp_path / "zoo", format_name="small-cnn-zoo"), store)
    assert store.list() == []
