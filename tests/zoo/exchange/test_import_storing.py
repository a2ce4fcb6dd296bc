"""Imports that are interrupted, meet others, or bring their data set; and the layer that prepares pixels."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from published_layouts import PublishedCnn, keras_forward, tune_config, write_checkpoint_tree, write_small_cnn_zoo
from torch import nn

from zoo.data import DATASETS
from zoo.data.examples import Dataset, Examples
from zoo.data.task import Task
from zoo.exchange import storing
from zoo.exchange.foreign.checkpoint_tree import CheckpointTree
from zoo.exchange.foreign.published_fields import TUNE_ARCHITECTURES, tune_architecture
from zoo.exchange.importing import open_source, store_source
from zoo.population import Member
from zoo.recipes import Imported, recipe_from_json
from zoo.storage.catalog import list_zoos
from zoo.storage.errors import ZooError
from zoo.storage.store import Store
from zoo.storage.verify import verify
from zoo.training.train import train_population


@pytest.fixture
def tree(tmp_path, monkeypatch) -> Path:
    """Six networks that go to three shards."""
    monkeypatch.setattr(storing, "MOST_MEMBERS", 2)
    write_checkpoint_tree(tmp_path / "tree", [tune_config(seed) for seed in range(6)], [1, 2])
    return tmp_path / "tree"


class StopError(Exception):
    pass


def test_an_interrupted_import_is_no_zoo_and_the_same_command_finishes_it(tree, tmp_path):
    store, whole = Store(tmp_path / "store"), store_source(open_source(tree), Store(tmp_path / "other"))

    def stop(done: int, count: int) -> None:
        assert count == len(whole)
        if done == whole.manifest.shards[1].end:
            raise StopError

    with pytest.raises(StopError):
        store_source(open_source(tree), store, progress=stop)
    (listing,) = list_zoos(store)
    assert (listing.complete, len(store.list())) == (False, 2)
    zoo = store_source(open_source(tree), store)
    assert zoo.content_sha256 == whole.content_sha256
    assert [entry.sha256 for entry in zoo.manifest.shards] == [entry.sha256 for entry in whole.manifest.shards]
    assert verify(zoo) == []


def test_the_same_import_brings_back_a_lost_shard(tree, tmp_path):
    zoo = store_source(open_source(tree), Store(tmp_path / "store"))
    (Path(zoo.uri) / "shards" / zoo.manifest.shards[1].name).unlink()
    again = store_source(open_source(tree), zoo.store)
    assert again.manifest == zoo.manifest
    assert verify(again) == []


def test_a_store_that_cannot_be_written_is_found_out_before_anything_is_read(tree, tmp_path, monkeypatch):
    source = open_source(tree)
    monkeypatch.setattr(CheckpointTree, "read", lambda *_: pytest.fail("the source was read"))
    (tmp_path / "file").touch()
    with pytest.raises(ZooError, match="cannot write"):
        store_source(source, Store(tmp_path / "file"))


def test_a_foreign_shard_under_the_name_of_ours_is_not_taken(tree, tmp_path):
    zoo = store_source(open_source(tree), Store(tmp_path / "store"))
    first, second = (Path(zoo.uri) / "shards" / entry.name for entry in zoo.manifest.shards[:2])
    (Path(zoo.uri) / "manifest-0001.json").unlink()
    first.write_bytes(second.read_bytes())
    with pytest.raises(ZooError, match=f"{first.name} holds members 2 to 3, not those of its name"):
        store_source(open_source(tree), zoo.store)


def test_other_content_is_another_zoo(tree, tmp_path):
    store = Store(tmp_path / "store")
    one = store_source(open_source(tree), store)
    path = next(tree.glob("*/checkpoint_000002/checkpoints"))
    state = torch.load(path, weights_only=True)
    torch.save({name: tensor + 1 for name, tensor in state.items()}, path)
    other = store_source(open_source(tree), store)
    assert other.name != one.name
    assert store_source(open_source(tree, epochs=(1,)), store).name not in (one.name, other.name)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"snapshot_epochs": (2, 1)}, "increasing"),
        ({"snapshot_epochs": (0,)}, "the last 1 or more"),
        ({"members": 0}, "members is 0"),
        ({"color": "red"}, "no field color"),
    ],
)
def test_a_bad_record_is_refused(changes, words):
    good = Imported(name="a", members=3, source_format="x", source_sha256="0", snapshot_epochs=(1,)).to_json()
    assert recipe_from_json(json.loads(json.dumps(good))).to_json() == good
    with pytest.raises(ValueError, match=words):
        recipe_from_json(good | changes)


def data_of(labelled: nn.Module, prepare, shape: tuple[int, ...]) -> Dataset:
    """Images whose labels are what a network says of them when they are prepared as it wants."""
    pixels = torch.randint(0, 256, (60, *shape), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    labels = labelled(prepare(pixels / 255)).argmax(1)
    images = [Examples(pixels[rows], labels[rows], 1 / 255) for rows in (slice(0, 30), slice(30, 40), slice(40, 60))]
    return Dataset("mnist", Task("softmax", 10), *images)


def test_networks_of_normalized_images_read_our_data_set(tmp_path, monkeypatch):
    torch.manual_seed(5)
    network = PublishedCnn("tanh", 0.0)
    with torch.no_grad():
        network.module_list[0].bias.uniform_(-1, 1)
    (network,) = write_checkpoint_tree(tmp_path / "tree", [tune_config(1)], [0, 1], [network])
    for line in (tmp_path / "tree").glob("*/result.json"):
        line.write_text(line.read_text().replace('"test_acc": 0.401', '"test_acc": 1.0'))
    twin = PublishedCnn("tanh", 0.0)
    twin.load_state_dict({name: tensor * 1.01 for name, tensor in network.state_dict().items()})
    data = data_of(twin.eval(), lambda x: (x - 0.1307) / 0.3081, (1, 28, 28))
    monkeypatch.setitem(DATASETS, "mnist", lambda: data)
    zoo = store_source(open_source(tmp_path / "tree", dataset="mnist"), Store(tmp_path / "store"))
    last = zoo.members[zoo.members.epoch == 1].iloc[0]
    assert (last.validation_accuracy, last.test_accuracy) == (1, 1)
    assert last.train_accuracy == 0.501  # the source says it
    assert zoo.dataset() is data
    images = [
        Examples(part.values, (part.targets + 1) % 10, 1 / 255) for part in (data.train, data.validation, data.test)
    ]
    other = Dataset("mnist", Task("softmax", 10), *images)
    monkeypatch.setitem(DATASETS, "mnist", lambda: other)
    with pytest.raises(ValueError, match="prepared otherwise"):
        store_source(open_source(tmp_path / "tree", dataset="mnist"), Store(tmp_path / "store"))


def test_the_small_cnn_zoo_reads_pixels_from_0_to_1(tmp_path):
    variables = write_small_cnn_zoo(tmp_path / "zoo", networks=2, epochs=(1,))
    zoo = store_source(open_source(tmp_path / "zoo"), Store(tmp_path / "store"))
    images = np.random.default_rng(0).uniform(0, 1, (3, 28, 28, 1)).astype(np.float32)
    expected = keras_forward(variables["/some/where/0/workdir", 1], 2 * images - 1, "relu")
    logits = zoo.population(members=[0]).logits(torch.from_numpy(images.transpose(0, 3, 1, 2).copy()))
    np.testing.assert_allclose(logits[0], expected, rtol=1e-4, atol=1e-4)


def test_imported_networks_with_rescaled_inputs_can_be_trained_on(tmp_path):
    pixels = torch.randint(0, 256, (64, 1, 4, 4), dtype=torch.uint8)
    images = Examples(pixels, (pixels.flatten(1).float().mean(1) > 127).long(), 1 / 255)
    architecture = tune_architecture(
        {"model::type": "MLP", "model::i_dim": 16, "model::h_dim": [5], "model::o_dim": 2, "model::use_bias": True}
        | {"model::nlin": "tanh"},
        (1, 4, 4),
        "mnist",
    )
    members = [Member(id=0, seed=1, batch_size=8)]
    (snapshot,) = train_population(architecture, members, images, epochs=1, snapshot_epochs=[1])
    assert torch.isfinite(snapshot.weights_MP).all()


def test_what_images_of_a_data_set_were_normalized_by():
    config = {"model::type": "CNN3", "model::channels_in": 3, "model::nlin": "gelu"}
    plain, given = tune_architecture(config, (3, 32, 32)), tune_architecture(config, (3, 32, 32), "cifar10")
    x = torch.rand(2, 3, 32, 32)
    weights_1P = torch.randn(1, plain.parameters)
    torch.testing.assert_close(given.logits(weights_1P, x), plain.logits(weights_1P, (x - 0.5) / 0.5))


@pytest.mark.parametrize(
    ("kind", "parameters"), [("CNN", 2464), ("CNN2", 150 + 6 + 1350 + 9 + 216 + 6 + 1080 + 20 + 210), ("CNN3", 10853)]
)
def test_published_architectures(kind, parameters):
    channels = 3 if kind == "CNN3" else 1
    assert set(TUNE_ARCHITECTURES) == {"MLP", "CNN", "CNN2", "CNN3"}
    config = {"model::type": kind, "model::channels_in": channels, "model::nlin": "gelu"}
    assert tune_architecture(config).parameters == parameters
    with pytest.raises(ValueError, match=r"'model::channels_in' is missing.*--architecture"):
        tune_architecture({"model::type": kind, "model::nlin": "gelu"})
