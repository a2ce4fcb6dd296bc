"""Export as the Small CNN Zoo is published, and the way back."""

import dataclasses
import json
import random
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from published_layouts import keras_forward

from zoo.exchange.exporting import export_zoo
from zoo.exchange.foreign.keras_tensors import from_channels_last, to_keras
from zoo.exchange.foreign.published_fields import KERAS_INITIALIZATIONS
from zoo.exchange.importing import open_source, store_source
from zoo.generation.build import generate_zoo
from zoo.population import Member
from zoo.recipes import RECIPES
from zoo.storage.store import Store
from zoo.storage.verify import verify
from zoo.storage.zoo import Zoo

LAYOUT = "small-cnn-zoo"
SMALL = {"members": 12, "block_members": 2, "shard_members": 4, "epochs": 2, "snapshot_epochs": (0, 2)}


@pytest.fixture(scope="module", params=["cnn-4970", "mlp"])
def zoo(request, small_zoo, tmp_path_factory) -> Zoo:
    if request.param == "mlp":
        return small_zoo
    recipe = replace(RECIPES["unterthiner-mnist"], dataset="enlarged_digits:enlarged", name="cnn", **SMALL)
    return generate_zoo(recipe, Store(tmp_path_factory.mktemp("cnn")))


@pytest.fixture(scope="module")
def exported(zoo, tmp_path_factory) -> Path:
    return export_zoo(zoo, tmp_path_factory.mktemp("export") / "out", LAYOUT)


def test_import_of_an_export_is_the_same_networks(zoo, exported, tmp_path):
    source = open_source(exported)
    assert source.format == LAYOUT
    back = store_source(source, Store(tmp_path))
    assert verify(back) == []
    assert back.recipe.snapshot_epochs == zoo.recipe.snapshot_epochs
    there = back.members
    there["member"] = there.imported.map(lambda text: int(json.loads(text)["modeldir"].rpartition("/")[2]))
    order = there.sort_values(["member", "epoch"]).index.to_numpy()
    there, here = there.loc[order].reset_index(drop=True), zoo.members
    assert there[["member", "epoch"]].equals(here[["member", "epoch"]])
    for name in ("train_loss", "train_accuracy", "test_loss", "test_accuracy", "activation"):
        assert there[name].equals(here[name]), name
    for name in (field.name for field in dataclasses.fields(Member) if field.name in here and field.name != "task"):
        assert list(there[name]) == list(here[name]), name
    every = np.arange(len(here))
    assert np.array_equal(back.weights(order), zoo.weights(every))
    assert np.array_equal(np.sort(pd.read_csv(exported / "permutation.csv", header=None).to_numpy().ravel()), every)


def test_a_public_predictor_s_reader_reads_it(zoo, exported):
    """What github.com/AllanYangZhou/nfn does, which others have copied: permute, last step, halves, four fifths."""
    data = np.load(exported / "weights.npy")
    order = pd.read_csv(exported / "permutation.csv", header=None).values.flatten()
    data = data[order]
    metrics = pd.read_csv(exported / "metrics.csv.gz", compression="gzip").iloc[order]
    final = (metrics["step"] == zoo.recipe.snapshot_epochs[-1]).to_numpy()
    metrics, data = metrics[final], data[final]
    assert np.isfinite(data).all()
    assert len(data) == len(zoo)
    test = list(range(len(data) // 2, len(data)))
    rest = list(range(len(data) // 2))
    random.Random(0).shuffle(rest)
    blocks = metrics["config.member"].to_numpy() // zoo.recipe.block_members
    assert len(set(blocks[test]) & set(blocks[rest])) <= 1, "networks that have seen the same lie together"
    layout = pd.read_csv(exported / "layout.csv")
    assert layout.end_idx.iloc[-1] == zoo.parameters
    for row in layout.to_dict("records"):
        tensor = data[:, row["start_idx"] : row["end_idx"]]
        shape = [int(number) for number in row["shape"].strip("()").split(",") if number.strip()]
        assert tensor.shape[1] == np.prod(shape)
    kernels = layout[layout.varname.str.contains("kernel")]
    assert kernels.varname.iloc[-1].startswith("sequential/dense")


def test_variables_are_those_of_keras(tmp_path):
    recipe = replace(RECIPES["unterthiner-mnist"], dataset="enlarged_digits:enlarged", name="cnn", **SMALL)
    zoo = generate_zoo(recipe, Store(tmp_path))
    out = export_zoo(zoo, tmp_path / "out", LAYOUT)
    rows = np.load(out / "weights.npy")
    metrics = pd.read_csv(out / "metrics.csv.gz")
    images = np.random.default_rng(1).normal(size=(4, *zoo.architectures[0].input_shape[1:], 1)).astype(np.float32)
    for number in range(0, len(rows), 5):
        told = metrics.iloc[number]
        if told["config.activation"] not in ("relu", "tanh"):
            continue
        variables = {
            row["varname"]: rows[number, row["start_idx"] : row["end_idx"]].reshape(
                [int(size) for size in row["shape"].strip("()").split(",") if size.strip()]
            )
            for row in pd.read_csv(out / "layout.csv").to_dict("records")
        }
        population = zoo.population(members=[told["config.member"]], epochs=[told["step"]])
        inputs = torch.from_numpy(images.transpose(0, 3, 1, 2).copy())
        scaled = inputs / 2 + 0.5 if zoo.architectures[0].layers[0].kind == "rescale" else inputs
        expected = keras_forward(variables, images, told["config.activation"])
        np.testing.assert_allclose(population.logits(scaled).numpy()[0], expected, rtol=1e-4, atol=1e-4)


def test_dense_kernels_behind_a_flatten_count_by_height_width_and_channel():
    rng = np.random.default_rng(0)
    for image in ((3, 2, 5), (1, 4, 4), (6, 1, 1)):
        weight = rng.normal(size=(7, int(np.prod(image))))
        kernel = to_keras(weight, image)
        x = rng.normal(size=image)
        np.testing.assert_allclose(x.transpose(1, 2, 0).reshape(-1) @ kernel, weight @ x.reshape(-1))
        assert np.array_equal(from_channels_last(kernel.T, image), weight)


def test_networks_that_flatten_several_channels_come_back(tmp_path):
    axes = {**RECIPES["mnist-cnn-mixed"].axes, "hidden": (4,), "kernel": 3}
    recipe = replace(RECIPES["mnist-cnn-mixed"], dataset="digits", name="flat", axes=axes, **SMALL)
    zoo = generate_zoo(recipe, Store(tmp_path))
    layers = [layer.kind for layer in zoo.architectures[0].layers]
    assert {"conv", "flatten"} <= set(layers)
    back = store_source(open_source(export_zoo(zoo, tmp_path / "out", LAYOUT)), Store(tmp_path / "back"))
    members = [int(json.loads(text)["modeldir"].rpartition("/")[2]) for text in back.members.imported]
    here = zoo.members.set_index(["member", "epoch"]).index
    rows = here.get_indexer(pd.MultiIndex.from_arrays([members, back.members.epoch]))
    assert np.array_equal(back.weights(np.arange(len(rows))), zoo.weights(rows))


def test_initializations_in_the_words_of_the_format(small_zoo, tmp_path):
    told = pd.read_csv(export_zoo(small_zoo, tmp_path / "out", LAYOUT) / "metrics.csv.gz")
    for row in told.to_dict("records"):
        word, std = row["config.w_init"], row["config.init_std"]
        if isinstance(word, str):
            name, scale = KERAS_INITIALIZATIONS[word]
            assert name == row["config.initialization"]
            assert row["config.init_scale"] == (pytest.approx(10 * std) if scale is None else scale)
        else:
            assert np.isnan(std)
            words = dict(KERAS_INITIALIZATIONS.values())
            assert words.get(row["config.initialization"], 0) not in (None, row["config.init_scale"])


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"axes": RECIPES["digits-mlp-mixed"].axes}, "whose activation alone may differ"),
        ({"architecture": "resnet", "axes": {"hidden": (4,)}}, "a layer of kind 'batch_norm'"),
    ],
)
def test_what_the_format_cannot_say_is_an_error(changes, words, tmp_path):
    tiny = {"members": 8, "block_members": 2, "shard_members": 2, "epochs": 1, "snapshot_epochs": (0, 1)}
    recipe = replace(RECIPES["digits-mlp-mixed"], name="odd", evaluation_examples=50, **tiny, **changes)
    zoo = generate_zoo(recipe, Store(tmp_path))
    with pytest.raises(ValueError, match=words):
        export_zoo(zoo, tmp_path / "out", LAYOUT)
    assert not (tmp_path / "out").exists()
