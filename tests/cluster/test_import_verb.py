"""The ``import`` verb: a dry run finds what the run would refuse; what was assumed is said."""

import importlib
import json
from pathlib import Path

import pytest
import torch
from torch import nn

from cluster.verbs.analyze import Analyze
from cluster.verbs.import_ import Import
from cluster.verbs.search import Search


@pytest.fixture
def networks(tmp_path) -> Path:
    root = tmp_path / "nets"
    root.mkdir()
    torch.manual_seed(0)
    for number in range(4):
        torch.save(nn.Sequential(nn.Linear(64, 8), nn.ReLU(), nn.Linear(8, 10)).state_dict(), root / f"{number}.pt")
    return root


def test_a_dry_run_reads_everything_and_writes_nothing(networks, tmp_path, capsys):
    verb = Import(path=str(networks), store=str(tmp_path / "store"), dataset="digits", epochs="5")
    planned = verb.plan()
    assert "assumed: activation relu" in capsys.readouterr().err
    assert planned.text == "would import state-dicts: 4 networks of 610 parameters at epochs 5"
    assert not (tmp_path / "store").exists()
    done = verb.run()
    assert set(done.test_metrics) == {"test_loss", "test_accuracy"}
    assert done.text.startswith("nets-")
    assert done.text.endswith(f", test_accuracy {done.test_metrics['test_accuracy']:.3f}")
    without = Import(path=str(networks), store=str(tmp_path / "store"), epochs="5").run()
    assert without.test_metrics == {}
    assert without.text.endswith("epochs 5")


def wrong_architecture(root: Path) -> None:
    (root / "architecture.json").write_text(
        json.dumps({"builder": "mlp", "input_shape": [1, 8, 8], "hidden": [9], "classes": 10})
    )


def wrong_network(root: Path) -> None:
    torch.save({"0.weight": torch.zeros(8, 64), "2.weight": torch.zeros(10, 8)}, root / "3.pt")
    (root / "networks.csv").write_text("file,epoch,network\n0.pt,5,a\n3.pt,6,a\n")


def wrong_numbers(root: Path) -> None:
    torch.save(nn.Sequential(nn.Linear(64, 8), nn.ReLU(), nn.Linear(8, 10)).double().state_dict(), root / "3.pt")
    state = torch.load(root / "2.pt", weights_only=True)
    torch.save({name: tensor * float("inf") for name, tensor in state.items()}, root / "2.pt")


def wrong_accuracy(root: Path) -> None:
    (root / "networks.csv").write_text("file,epoch,test_accuracy\n0.pt,5,0.99\n")


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (wrong_architecture, r"0.weight \(8, 64\).*1.weight \(9, 64\)"),
        (wrong_network, "3.pt: the tensors of the network fit those of the architecture in no way"),
        (wrong_numbers, "network 2 has weights that are not finite"),
        (wrong_accuracy, "the source says 0.990"),
    ],
)
def test_a_dry_run_refuses_what_the_run_refuses(networks, tmp_path, damage, words):
    damage(networks)
    epochs = None if (networks / "networks.csv").exists() else "5"
    verb = Import(path=str(networks), store=str(tmp_path / "store"), dataset="digits", epochs=epochs)
    with pytest.raises(ValueError, match=words) as planned:
        verb.plan()
    with pytest.raises(ValueError, match=words) as run:
        verb.run()
    assert str(planned.value) == str(run.value)


@pytest.mark.slow
def test_cnns_of_ones_own_are_searched_and_analyzed_with_the_defaults(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    Path("cnn_of_mine.py").write_text(
        "from torch import nn\n"
        "def network():\n"
        "    return nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.ReLU(), nn.MaxPool2d(4), nn.Flatten(),\n"
        "        nn.Linear(16, 10))\n"
    )
    network = importlib.import_module("cnn_of_mine").network
    Path("nets").mkdir()
    for seed in range(40):
        torch.manual_seed(seed)
        torch.save(network().state_dict(), f"nets/{seed}.pt")
    zoo = Import(path="nets", dataset="digits", architecture="cnn_of_mine:network", epochs="1").run().zoo
    assert zoo is not None
    found = Search(study="cnn-autoencoder", zoo=zoo, trials=1, epochs=1).run()
    assert found.trials_completed == 1
    report = Analyze(zoo=zoo, study="cnn-autoencoder", codecs="uniform").run()
    assert {entry["codec"] for entry in report.headlines} >= {"uniform", "autoencoder"}
    assert Path(report.report).exists()
