"""Networks of one's own: MLPs told from their tensors, other architectures from their torch modules."""

import itertools
import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import nn

from zoo.architecture import Architecture
from zoo.architecture.activations import ACTIVATIONS
from zoo.exchange.foreign.mlp_tensors import mlp_of
from zoo.exchange.foreign.names import ForeignTensor, MismatchError
from zoo.exchange.foreign.torch_module import FUNCTIONS, METHODS, architecture_of
from zoo.exchange.importing import open_source, store_source
from zoo.storage.store import Store

X = torch.randn(5, 1, 8, 8, generator=torch.Generator().manual_seed(0))


def mlp(*widths: int, activation: str = "relu", bias: bool = True) -> nn.Sequential:
    layers: list[nn.Module] = [nn.Flatten()]
    for before, after in itertools.pairwise(widths):
        layers += [nn.Linear(before, after, bias=bias), ACTIVATIONS[activation].module()]
    return nn.Sequential(*layers[:-1])


def folder_of(root: Path, *networks: nn.Module) -> Path:
    root.mkdir()
    for number, network in enumerate(networks):
        torch.save(network.state_dict(), root / f"{number}.pt")
    return root


@pytest.mark.parametrize("suffix", [".pt", ".safetensors"])
@pytest.mark.parametrize("bias", [True, False])
def test_mlps_need_no_architecture(tmp_path, suffix, bias):
    networks = [mlp(64, *widths, 10, bias=bias) for widths in [(16,), (16, 16), (12, 7), ()]]
    (tmp_path / "nets").mkdir()
    for number, network in enumerate(networks):
        save = torch.save if suffix == ".pt" else save_file
        save(network.state_dict(), tmp_path / f"nets/{number}{suffix}")
    source = open_source(tmp_path / "nets", epochs=(3,), dataset="digits")
    assert source.assumed == ("activation relu, which weights do not tell; --activation gives another",)
    zoo = store_source(source, Store(tmp_path / "store"))
    assert {architecture.input_shape for architecture in zoo.architectures} == {(1, 8, 8)}
    for population in zoo.populations(epochs=[3]):
        for row, logits in enumerate(population.logits(X)):
            network = networks[int(json.loads(zoo.members.imported[population.members[row].id])["origin"])]
            torch.testing.assert_close(logits, network(X))


def test_the_activation_can_be_said_for_all_or_for_each(tmp_path):
    networks = [mlp(64, 16, 10, activation=name) for name in ("tanh", "gelu")]
    root = folder_of(tmp_path / "nets", *networks)
    source = open_source(root, epochs=(1,), activation="tanh")
    assert source.assumed == ()
    torch.testing.assert_close(
        store_source(source, Store(tmp_path / "one")).population(members=[0]).logits(X.flatten(1))[0], networks[0](X)
    )
    (root / "networks.csv").write_text("file,epoch,activation\n0.pt,1,tanh\n1.pt,1,gelu\n")
    source = open_source(root)
    assert source.assumed == ()
    zoo = store_source(source, Store(tmp_path / "each"))
    assert list(zoo.members.activation) == ["tanh", "gelu"]
    for member, network in enumerate(networks):
        torch.testing.assert_close(zoo.population(members=[member]).logits(X.flatten(1))[0], network(X))


def test_files_may_lie_in_folders_and_their_names_in_a_wrapper(tmp_path, monkeypatch):
    networks = [Tutorial(), Tutorial()]
    for number, network in enumerate(networks):
        (tmp_path / f"nets/run-{number}").mkdir(parents=True)
        wrapped = {f"module.{name}": tensor for name, tensor in network.state_dict().items()}
        torch.save({"state_dict": wrapped, "epoch": 3}, tmp_path / f"nets/run-{number}/model.ckpt")
    monkeypatch.setitem(sys.modules, "made_here", type(sys)("made_here"))
    sys.modules["made_here"].Tutorial = Tutorial  # type: ignore[attr-defined]
    source = open_source(tmp_path / "nets", epochs=(1,), dataset="digits", architecture="made_here:Tutorial")
    zoo = store_source(source, Store(tmp_path / "store"))
    assert [json.loads(told)["origin"] for told in zoo.members.imported] == ["run-0/model", "run-1/model"]
    for logits, network in zip(zoo.population().logits(X), networks, strict=True):
        torch.testing.assert_close(logits.log_softmax(1), network.eval()(X), rtol=1e-4, atol=1e-5)
    (tmp_path / "nets/networks.csv").write_text("file,epoch\nrun-1/model.ckpt,3\n")
    source = open_source(tmp_path / "nets", dataset="digits", architecture="made_here:Tutorial")
    assert (source.members, source.left_out) == (1, ("1 files that networks.csv does not list: run-0/model.ckpt",))


def test_an_activation_of_the_table_counts_beside_an_architecture(tmp_path):
    root = folder_of(tmp_path / "nets", mlp(64, 16, 10), mlp(64, 16, 10))
    (root / "architecture.json").write_text(
        json.dumps({"builder": "mlp", "input_shape": [1, 8, 8], "hidden": [16], "classes": 10, "activation": "silu"})
    )
    (root / "networks.csv").write_text("file,epoch,activation\n0.pt,1,\n1.pt,1,gelu\n")
    assert list(store_source(open_source(root), Store(tmp_path / "store")).members.activation) == ["silu", "gelu"]
    (root / "networks.csv").write_text("file,epoch,activation\n0.pt,1,\n1.pt,1,swish\n")
    with pytest.raises(ValueError, match=r"1\.pt: unknown activation 'swish'; known: relu"):
        open_source(root)


def test_cells_may_be_empty_and_nothing_is_made_up(tmp_path):
    root = folder_of(tmp_path / "nets", *(mlp(64, 4, 10) for _ in range(3)))
    (root / "networks.csv").write_text(
        "file,epoch,learning_rate,optimizer,batch_size\n0.pt,1,,sgd,8\n1.pt,1,0.5,,8\n2.pt,1,0.25,adam,8\n"
    )
    zoo = store_source(open_source(root), Store(tmp_path / "store"))
    for networks in (zoo.population(), zoo.population().select([0, 1, 2])):
        np.testing.assert_array_equal(networks.column("learning_rate"), [np.nan, 0.5, 0.25])
        assert networks.column("optimizer").tolist() == ["sgd", "", "adam"]
        assert networks.column("batch_size").tolist() == [8, 8, 8]
        assert np.isnan(networks.column("dropout")).all()  # of which no column tells
        assert [member.optimizer for member in networks.members] == ["sgd", "adam", "adam"]
    assert zoo.population(members=[2]).column("learning_rate").tolist() == [0.25]


def tensors(*pairs: tuple[str, tuple[int, ...]]) -> list[ForeignTensor]:
    return [ForeignTensor(name, shape) for name, shape in pairs]


def test_an_order_that_names_do_not_tell_is_found_where_there_is_one():
    found = tensors(("head.weight", (10, 16)), ("layers.0.weight", (16, 64)), ("layers.2.weight", (16, 16)))
    told = mlp_of(found, ordered=False, activation="relu")
    assert [spec.shape for spec in told.layout] == [(16, 64), (16, 16), (10, 16)]


@pytest.mark.parametrize(
    ("found", "words"),
    [
        (tensors(("c.weight", (8, 1, 5, 5)), ("c.bias", (8,))), r"c\.weight.*do not tell strides.*--architecture"),
        (tensors(("n.weight", (8,)), ("n.bias", (8,))), r"n\.\w+ of shape \(8,\) is none of a plain MLP"),
        (tensors(("a.weight", (8, 4)), ("a.bias", (4,))), r"a\.bias of shape \(4,\) is none"),
        (tensors(("a.bias", (4,))), r"a\.bias of shape \(4,\) is none"),
        (tensors(("a.weight", (8, 4)), ("b.weight", (2, 9))), r"a\.weight \(8, 4\), b\.weight \(2, 9\).*in no ways"),
        (tensors(("a.weight", (2, 4)), ("b.weight", (4, 4)), ("c.weight", (4, 4))), "in 2 ways"),
        (tensors(*((f"{n}.weight", (n + 1, n)) for n in range(9, 1, -1))), "in no ways"),
        (tensors(("a.weight", (8, 5))), r"read 5 numbers.*shape \(1, 2, 2\)"),
    ],
)
def test_what_is_no_plain_mlp_is_refused(found, words):
    with pytest.raises(MismatchError, match=words):
        mlp_of(found, ordered=True, activation="relu", input_shape=(1, 2, 2))


class Tutorial(nn.Module):
    """As torch's tutorials write a CNN: layers in the constructor, functions in between."""

    def __init__(self) -> None:
        super().__init__()
        self.fc1 = nn.Linear(8 * 2 * 2, 12)  # not the first that is applied
        self.conv1, self.conv2 = nn.Conv2d(1, 6, 3, padding=1), nn.Conv2d(6, 8, 3, padding="same")
        self.pool = nn.MaxPool2d(2, 2)
        self.drop = nn.Dropout(0.3)
        self.fc2 = nn.Linear(12, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.pool(F.relu(self.conv1(x)))
        x = F.max_pool2d(F.relu(self.conv2(x)), 2)
        x = x.view(x.size(0), -1)
        x = self.drop(torch.relu(self.fc1(x)))
        return F.log_softmax(self.fc2(x), dim=1)


def normalized() -> nn.Sequential:
    return nn.Sequential(
        *(nn.Conv2d(1, 4, 3, stride=2, bias=False), nn.BatchNorm2d(4), nn.LeakyReLU(), nn.Dropout2d(0.1)),
        *(nn.AvgPool2d(2), nn.Conv2d(4, 5, 1), nn.SiLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Identity()),
        *(nn.Linear(5, 6), nn.BatchNorm1d(6), nn.GELU(), nn.Linear(6, 10)),
    )


class Functions(nn.Module):
    """Everything else that a forward may call."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.c = nn.Conv2d(1, 4, 3), nn.Conv2d(4, 4, 2), nn.Linear(4, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = F.avg_pool2d(F.silu(self.a(x)).tanh(), kernel_size=2)
        x = F.dropout(F.gelu(self.b(x)), 0.5, training=self.training).sigmoid()
        return self.c(F.leaky_relu(x.mean((2, 3))))


@pytest.mark.parametrize("make", [Tutorial, normalized, Functions, lambda: mlp(64, 16, 10, activation="tanh")])
def test_a_module_is_an_architecture(tmp_path, monkeypatch, make):
    torch.manual_seed(0)
    module = make()
    module.train()
    with torch.no_grad():
        module(torch.randn(32, 1, 8, 8))
    before = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    given = architecture_of(module, (1, 8, 8))
    assert Architecture.from_json(json.loads(json.dumps(given.architecture.to_json()))) == given.architecture
    assert module.training
    assert all(torch.equal(before[name], tensor) for name, tensor in module.state_dict().items())
    root = folder_of(tmp_path / "nets", module)
    monkeypatch.setitem(sys.modules, "made_here", type(sys)("made_here"))
    sys.modules["made_here"].network = module  # type: ignore[attr-defined]
    source = open_source(root, epochs=(1,), dataset="digits", architecture="made_here:network")
    population = store_source(source, Store(tmp_path / "store")).population()
    expected, found = module.eval()(X), population.logits(X)[0]
    if make is Tutorial:
        found = found.log_softmax(1)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


def test_every_function_that_is_known_is_a_module():
    for makes in (*FUNCTIONS.values(), *METHODS.values()):
        sizes = (2,) if makes in (nn.MaxPool2d, nn.AvgPool2d, nn.AdaptiveAvgPool2d) else ()
        assert isinstance(makes(*sizes), nn.Module)


class Skipping(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(64, 64), nn.Linear(64, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.b(x + self.a(x))


class Choice(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a = nn.Linear(64, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.a(x) if x.sum() > 0 else self.a(-x)


class Constant(nn.Module):
    def forward(self, x: torch.Tensor) -> int:
        return 3


class Unused(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(64, 10), nn.Linear(64, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.a(x)


@pytest.mark.parametrize(
    ("module", "words"),
    [
        (Skipping(), "Skipping is not told .*applies <built-in function add>"),
        (Choice(), "forward of Choice cannot be traced"),
        (Unused(), r"Unused is not told .*no layer has the tensor b\.bias"),
        (nn.Sequential(nn.Flatten(), nn.Linear(64, 10), nn.LeakyReLU(0.3), nn.Linear(10, 2)), "outputs differ"),
        (nn.Sequential(nn.Conv2d(1, 4, 3, dilation=2), nn.Flatten(), nn.Linear(64, 2)), "not told by its layers"),
        (nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2, eps=1e-3), nn.Flatten(), nn.Linear(72, 2)), "differ"),
        (nn.Sequential(nn.Conv2d(1, 2, 3), nn.LogSoftmax(1), nn.Flatten(), nn.Linear(72, 2)), "differ"),
        (nn.Sequential(nn.Flatten(), nn.LSTM(64, 10)), "LSTM"),
        (nn.Sequential(nn.Flatten(), nn.Linear(63, 10)), "not told by its layers"),
        (nn.Sequential(nn.MaxPool2d(2, padding=1), nn.Flatten(), nn.Linear(25, 2)), "not told by its layers"),
        (nn.Sequential(nn.Flatten()), "has none: add a Linear"),
        (Constant(), "not one output that is made of its input"),
        (nn.Sequential(), "ends in one vector of outputs"),
    ],
)
def test_a_module_that_is_no_architecture_is_refused(module, words):
    with pytest.raises(ValueError, match=words) as caught:
        architecture_of(module, (1, 8, 8))
    assert "docs/import.md" in str(caught.value)


def test_modules_are_the_user_s_own(tmp_path, monkeypatch):
    root = folder_of(tmp_path / "nets", mlp(64, 16, 10))
    (tmp_path / "nets_of_mine.py").write_text(
        "from torch import nn\n"
        "def network():\n    return nn.Sequential(nn.Flatten(), nn.Linear(64, 16), nn.ReLU(), nn.Linear(16, 10))\n"
        "def wide(width):\n    return nn.Linear(64, width)\n"
        "number = 3\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    assert open_source(root, epochs=(1,), dataset="digits", architecture="nets_of_mine:network").parameters == (1210,)
    for architecture, words in (
        ("nets_of_mine:network", "does not say what it reads; give the networks' data set"),
        ("nets_of_mine:wide", "TypeError.*width"),
        ("nets_of_mine:number", "is 3; it must be a torch module"),
        ("nets_of_mine:other", "has no attribute 'other'"),
        ("os:abort", "of Python's standard library"),
        ("torch:nn", "is an installed package"),
    ):
        with pytest.raises(ValueError, match=words):
            open_source(root, epochs=(1,), architecture=architecture)


def test_options_that_say_what_is_known_are_refused(tmp_path):
    root = folder_of(tmp_path / "nets", mlp(64, 16, 10))
    with pytest.raises(ValueError, match="format published-dataset, which says what activation"):
        open_source(root / "0.pt", activation="relu")
    (root / "architecture.json").write_text(json.dumps({"builder": "mlp", "input_shape": [64], "classes": 10}))
    with pytest.raises(ValueError, match="--activation is for MLPs without an architecture"):
        open_source(root, epochs=(1,), activation="relu")
