"""Import of checkpoint trees in the layout of the public model-zoo data sets."""

import json
import os
import pickle
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from published_layouts import PublishedCnn, state_at, tune_config, write_checkpoint_tree
from torch import nn

from zoo.exchange.foreign.checkpoint_tree import open_tree
from zoo.exchange.foreign.reader import ImportOptions
from zoo.exchange.importing import open_source, store_source
from zoo.storage.errors import ZooError
from zoo.storage.store import Store
from zoo.storage.verify import verify
from zoo.storage.zoo import Zoo

EPOCHS = [0, 5, 50]


def configs() -> list[dict[str, object]]:
    return [
        tune_config(11),
        tune_config(12, "relu", 0.5, **{"optim::optimizer": "sgd", "model::init_type": "uniform"}),
        tune_config(13, "tanh", 0.5),
        tune_config(14, "relu"),
    ]


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[nn.Module]]:
    root = tmp_path_factory.mktemp("tree") / "tune_zoo_mnist"
    return root, write_checkpoint_tree(root, configs(), EPOCHS)


@pytest.fixture(scope="module")
def zoo(tree, tmp_path_factory) -> Zoo:
    return store_source(open_source(tree[0]), Store(tmp_path_factory.mktemp("store")))


def test_every_network_computes_what_it_computed_before(tree, zoo):
    x = torch.randn(5, 1, 28, 28, generator=torch.Generator().manual_seed(0))
    table = zoo.members
    for population in zoo.populations(epochs=EPOCHS):
        logits = population.logits(x)
        for row, (member, epoch) in enumerate(zip(population.members, population.epochs, strict=True)):
            told = json.loads(table[table.member == member.id].imported.iloc[0])
            network = tree[1][[config["seed"] for config in configs()].index(told["seed"])]
            twin = PublishedCnn(told["model::nlin"], told["model::dropout"]).eval()
            twin.load_state_dict(state_at(network, epoch))
            torch.testing.assert_close(logits[row], twin(x), rtol=1e-5, atol=1e-5)
    assert len(table) == 12


def test_it_is_a_zoo_like_any_other(zoo):
    assert verify(zoo) == []
    assert zoo.name.startswith("tune_zoo_mnist-")
    assert Zoo.open(zoo.uri).content_sha256 == zoo.content_sha256
    assert zoo.recipe.source_format == "checkpoints"
    assert zoo.recipe.snapshot_epochs == (0, 5, 50)
    assert len(zoo) == 4
    assert set(zoo.architecture_of_shard) == {0, 1}  # tanh, relu
    with pytest.raises(ZooError, match="data set"):
        zoo.dataset()


def test_known_hyper_parameters_become_columns_and_unknown_ones_null(zoo):
    table = zoo.members
    first = table[table.seed == 11].iloc[0]
    assert first.initialization == "kaiming_normal"
    assert first.init_scale == 1
    assert first.learning_rate == 3e-4
    assert first.batch_size == 8
    sgd = table[table.seed == 12].iloc[0]
    assert sgd.optimizer == "momentum"
    assert sgd.initialization == "unit_uniform"
    for unknown in ("order_seed", "subset_seed", "training_fraction", "subset_size", "task", "step"):
        assert table[unknown].isna().all(), unknown
    told = json.loads(first.imported)
    assert {key: told[key] for key in configs()[0]} == configs()[0]
    assert told["origin"] == "NN_tune_trainable_00000_0_seed=11"
    assert told["snapshot"]["time_this_iter_s"] == 1.5


def test_metrics_are_the_source_s_and_nothing_is_made_up(zoo):
    table = zoo.members.set_index(["seed", "epoch"])
    assert table.test_accuracy[11, 50] == 0.45
    assert table.train_loss[13, 5] == 1.95
    assert np.isnan(table.train_accuracy[11, 0])  # the source has a placeholder there
    assert table.validation_loss.isna().all()
    assert not table.diverged.any()


def test_importing_twice_finds_the_same_zoo(tree, zoo):
    again = store_source(open_source(tree[0]), zoo.store)
    assert again.name == zoo.name
    assert len(again.store.list(f"zoos/{zoo.name}")) == len(zoo.manifest.shards) + 1


def tree_of(tmp_path: Path, count: int = 4, epochs: list[int] = EPOCHS) -> Path:
    write_checkpoint_tree(tmp_path / "tree", [tune_config(seed) for seed in range(count)], epochs)
    return tmp_path / "tree"


def trial(root: Path, number: int) -> Path:
    return sorted(entry for entry in root.iterdir() if entry.is_dir())[number]


def checkpoint(root: Path, number: int, epoch: int) -> Path:
    return trial(root, number) / f"checkpoint_{epoch:06d}" / "checkpoints"


def test_old_names_of_checkpoints_are_known_too(tmp_path):
    root = tree_of(tmp_path)
    for number in range(4):
        for epoch in EPOCHS:
            folder = checkpoint(root, number, epoch).parent
            folder.rename(folder.with_name(f"checkpoint_{epoch}"))
    assert open_source(root).epochs == (0, 5, 50)


def test_a_network_without_checkpoints_is_left_out(tmp_path):
    root = tree_of(tmp_path)
    for folder in trial(root, 1).glob("checkpoint_*"):
        shutil.rmtree(folder)
    source = open_source(root)
    assert source.members == 3
    assert "1 networks that lack one of the epochs" in source.left_out[0]


def count_as_ray_does(root: Path) -> None:
    """Makes a tree what Ray 2.7 and later writes: the numbers of checkpoints are counts."""
    for file in root.rglob(".is_checkpoint"):
        file.unlink()
    for number in range(2):
        for count, folder in enumerate(sorted(trial(root, number).glob("checkpoint_*"))):
            folder.rename(folder.with_name(f"checkpoint_{count:06d}"))


def test_checkpoints_that_ray_has_counted(tmp_path):
    root = tree_of(tmp_path, 2, [1, 2, 3])
    before = store_source(open_source(root), Store(tmp_path / "before"))
    count_as_ray_does(root)
    after = store_source(open_source(root), Store(tmp_path / "after"))
    assert after.content_sha256 == before.content_sha256


def test_checkpoints_that_ray_has_counted_at_some_epochs(tmp_path):
    root = tree_of(tmp_path, 2, [0, 1, 2, 3])
    for number in range(2):
        for epoch in (1, 3):
            shutil.rmtree(checkpoint(root, number, epoch).parent)
    assert open_source(root).epochs == (0, 2)
    count_as_ray_does(root)
    with pytest.raises(ValueError, match=r"2 checkpoints with numbers from 0 and results of 4 epochs.*\.is_checkpoint"):
        open_source(root)
    for number in range(2):
        folder = trial(root, number) / "checkpoint_000001"
        folder.rename(folder.with_name("checkpoint_2"))
    assert open_source(root).epochs == (0, 2)


@pytest.mark.parametrize(("folder", "name"), [("Zoo v1.2", "zoo-v1.2"), ("_cnn.zip", "cnn.zip"), ("-", "imported")])
def test_the_name_is_the_folder_s(tmp_path, folder, name):
    assert open_source(tree_of(tmp_path, 1).rename(tmp_path / folder)).name == name


def test_ragged_epochs(tmp_path):
    root = tree_of(tmp_path)
    folder = checkpoint(root, 1, 5).parent
    folder.rename(tmp_path / "away")
    source = open_source(root)
    assert (source.members, source.epochs) == (3, (0, 5, 50))
    assert "1 networks that lack one of the epochs" in source.left_out[0]
    assert "seed=1" in source.left_out[0]
    chosen = open_source(root, epochs=(0, 50))
    assert (chosen.members, chosen.epochs) == (4, (0, 50))
    assert "3 snapshots at other epochs" in chosen.left_out[0]
    with pytest.raises(ValueError, match="--epochs"):
        open_source(root, epochs=(7,))


def test_too_ragged_to_choose(tmp_path):
    write_checkpoint_tree(tmp_path / "a", [tune_config(1)], [1])
    for number, epochs in ((2, [2]), (3, [3])):
        write_checkpoint_tree(tmp_path / f"b{number}", [tune_config(number)], epochs)
        trial(tmp_path / f"b{number}", 0).rename(tmp_path / "a" / f"other-{number}")
    with pytest.raises(ValueError, match=r"of 3 networks 1 have the epochs 3.*1 \(1\), 2 \(1\), 3 \(1\)"):
        open_source(tmp_path / "a")


def remove(path: Path) -> None:
    path.unlink()


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:200])


def wrong_shape(path: Path) -> None:
    state = torch.load(path, weights_only=True)
    state["module_list.0.weight"] = torch.zeros(8, 1, 3, 3)
    torch.save(state, path)


def not_a_number(path: Path) -> None:
    state = torch.load(path, weights_only=True)
    state["module_list.0.bias"][3] = float("nan")
    torch.save(state, path)


class Dangerous:
    def __reduce__(self):
        return os.system, ("touch /tmp/never",)


def code(path: Path) -> None:
    torch.save({"module_list.0.weight": Dangerous()}, path)


def plain_pickle(path: Path) -> None:
    path.write_bytes(pickle.dumps({"a": 1}))


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (remove, "is missing; put it back"),
        (truncate, "fetch it again"),
        (wrong_shape, r"module_list\.0\.weight \(8, 1, 3, 3\)"),
        (not_a_number, "not finite at epoch 5.*--include-diverged"),
        (code, "needs code to be read.*system.*safetensors"),
        (plain_pickle, "damaged|needs code|no file"),
    ],
)
def test_a_bad_checkpoint_is_refused_with_its_name_and_nothing_is_stored(tmp_path, damage, words):
    root = tree_of(tmp_path)
    damage(checkpoint(root, 2, 5))
    store = Store(tmp_path / "store")
    with pytest.raises(ValueError, match=words) as caught:
        store_source(open_source(root), store)
    assert trial(root, 2).name in str(caught.value)
    assert store.list() == []


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("params.json", None, "params.json is missing"),
        ("params.json", "{", "no JSON"),
        ("params.json", "[]", "holds a list"),
        ("result.json", None, "result.json is missing"),
        ("result.json", '{"test_acc": 1}\n', "line 1 is no result"),
        ("result.json", "\xff", "is no text"),
        ("params.json", json.dumps(tune_config(1) | {"model::type": {}}), r"model::type is \{\}"),
        ("params.json", json.dumps(tune_config(1) | {"model::nlin": ["relu"]}), "unknown activation"),
        ("params.json", json.dumps(tune_config(1) | {"model::type": "Resnet18"}), "'Resnet18'.*--architecture"),
        ("params.json", json.dumps(tune_config(1) | {"model::nlin": "selu"}), "unknown activation 'selu'"),
    ],
)
def test_bad_tables_are_refused(tmp_path, name, text, words):
    root = tree_of(tmp_path)
    path = trial(root, 1) / name
    path.unlink() if text is None else path.write_text(text, encoding="latin-1")
    with pytest.raises(ValueError, match=words) as caught:
        open_source(root)
    assert str(path) in str(caught.value)


def test_two_checkpoints_of_one_epoch_are_refused(tmp_path):
    root = tree_of(tmp_path)
    folder = checkpoint(root, 1, 5).parent
    shutil.copytree(folder, folder.with_name("checkpoint_5"))
    with pytest.raises(ValueError, match=r"checkpoint_5 and .*checkpoint_000005 are both of epoch 5; remove one"):
        open_source(root)


def test_hyper_parameters_of_odd_kinds_are_unknown(tmp_path):
    odd = {"optim::optimizer": "sgd", "optim::momentum": [1], "optim::lr": "fast", "model::init_type": {}}
    write_checkpoint_tree(tmp_path / "tree", [tune_config(1, **odd)], [1])
    (network,) = open_tree(tmp_path / "tree", ImportOptions(name="odd")).networks
    assert not {"optimizer", "learning_rate", "initialization", "init_scale"} & set(network.known)
    assert network.original["optim::lr"] == "fast"


def test_diverged_snapshots_are_stored_where_wanted(tmp_path):
    root = tree_of(tmp_path)
    not_a_number(checkpoint(root, 2, 5))
    zoo = store_source(open_source(root), Store(tmp_path / "store"), include_diverged=True)
    assert zoo.members.diverged.sum() == 1
    assert verify(zoo) == []


def test_another_architecture_is_given_as_a_file(tmp_path):
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv1 = nn.Conv2d(1, 3, 3, padding=1, bias=False)
            self.bn1 = nn.BatchNorm2d(3)
            self.fc = nn.Linear(3, 10)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.fc(torch.relu(self.bn1(self.conv1(x))).mean((2, 3)))

    torch.manual_seed(0)
    net = Net()
    net.train()
    net(torch.randn(16, 1, 8, 8))  # running statistics that are not those of the start
    config = tune_config(1) | {"model::type": "Net", "model::nlin": "relu"}
    write_checkpoint_tree(tmp_path / "tree", [config], [1], [net])
    layers = [
        {"kind": "conv", "channels": 3, "kernel": 3, "stride": 1, "padding": 1, "bias": False},
        {"kind": "batch_norm"},
        {"kind": "activate", "function": "tanh"},
        {"kind": "global_average_pool"},
        {"kind": "linear", "features": 10, "bias": True},
    ]
    (tmp_path / "net.json").write_text(json.dumps({"input_shape": [1, 8, 8], "layers": layers}))
    source = open_source(tmp_path / "tree", architecture=tmp_path / "net.json")
    population = store_source(source, Store(tmp_path / "store")).population(epochs=[1])
    net.load_state_dict(state_at(net, 1) | {"bn1.num_batches_tracked": torch.tensor(1)})
    x = torch.randn(4, 1, 8, 8)
    torch.testing.assert_close(
        population.logits(x)[0], net.eval()(x), rtol=1e-5, atol=1e-5
    )  # relu, as params.json says
