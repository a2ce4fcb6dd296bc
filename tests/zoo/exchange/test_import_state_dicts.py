"""Import of plain folders of state_dicts, and how tensors find their places."""

import csv
import json
from collections import OrderedDict
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from zoo.architecture import Architecture, Linear, mlp
from zoo.data import load_dataset
from zoo.data.class_tasks import select
from zoo.exchange.foreign.names import ForeignTensor, MismatchError, match_tensors
from zoo.exchange.importing import FORMATS, OWN_FORMATS, open_source, store_source
from zoo.storage.store import Store
from zoo.storage.verify import verify

MLP = {"builder": "mlp", "input_shape": [1, 8, 8], "hidden": [16], "classes": 10, "activation": "relu"}


def network(seed: int) -> nn.Sequential:
    torch.manual_seed(seed)
    return nn.Sequential(
        OrderedDict(flat=nn.Flatten(), hidden=nn.Linear(64, 16), act=nn.ReLU(), output=nn.Linear(16, 10))
    )


@pytest.fixture
def folder(tmp_path) -> Path:
    """Four networks, two as safetensors and two by torch.save, of which one is nested."""
    root = tmp_path / "nets"
    root.mkdir()
    (root / "architecture.json").write_text(json.dumps(MLP))
    states = [network(seed).state_dict() for seed in range(4)]
    save_file(states[0], root / "a.safetensors")
    save_file(states[1], root / "b.safetensors")
    torch.save(states[2], root / "c.pt")
    torch.save({"state_dict": states[3], "epoch": 3, "note": "hello"}, root / "d.pth")
    return root


def table(root: Path, lines: list[dict[str, object]]) -> None:
    with (root / "networks.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, fieldnames=list(lines[0]))
        writer.writeheader()
        writer.writerows(lines)


def test_functions_are_those_of_the_files(folder, tmp_path):
    zoo = store_source(open_source(str(folder), epochs=(30,)), str(tmp_path / "store"))
    assert verify(zoo) == []
    x = torch.randn(6, 1, 8, 8)
    population = zoo.population()
    assert population.epochs == (30,) * 4
    told = [json.loads(text)["origin"] for text in zoo.members.imported]
    assert told == ["a", "b", "c", "d"]
    for row, logits in enumerate(population.logits(x)):
        torch.testing.assert_close(logits, network(row)(x))
    for column in ("learning_rate", "seed", "initialization", "optimizer", "step"):
        assert zoo.members[column].isna().all()
    assert zoo.members.test_accuracy.isna().all()


def test_missing_metrics_are_computed_on_a_known_data_set(folder, tmp_path):
    source = open_source(folder, epochs=(30,), dataset="digits")
    zoo = store_source(source, Store(tmp_path / "store"))
    test = load_dataset("digits").test
    expected = [(network(seed)(test.inputs).argmax(1) == test.targets).double().mean().item() for seed in range(4)]
    assert list(zoo.members.test_accuracy) == pytest.approx(expected)
    assert zoo.members.validation_loss.notna().all()
    assert zoo.dataset().sha256 == zoo.manifest.dataset_sha256
    assert verify(zoo) == []


def test_a_data_set_that_does_not_give_the_stated_accuracies_is_refused(folder, tmp_path):
    names = ["a.safetensors", "b.safetensors", "c.pt", "d.pth"]
    table(folder, [{"file": name, "epoch": 30, "test_accuracy": 0.97} for name in names])
    with pytest.raises(ValueError, match=r"the source says 0.970.*--dataset"):
        store_source(open_source(folder, dataset="digits"), Store(tmp_path / "store"))
    with pytest.raises(ValueError, match=r"examples \(1, 4, 4\) for 4 outputs"):
        store_source(open_source(folder, epochs=(30,), dataset="tetris"), Store(tmp_path / "store"))
    assert not Store(tmp_path / "store").list()


def test_metrics_are_those_of_the_task_of_a_network(folder, tmp_path):
    table(folder, [{"file": "a.safetensors", "epoch": 1, "task": "3-8"}, {"file": "b.safetensors", "epoch": 1}])
    members = store_source(open_source(folder, dataset="digits"), Store(tmp_path / "store")).members
    test = load_dataset("digits").test
    chosen = select("3-8", test)
    for accuracy, images, seed in zip(members.test_accuracy, (chosen, test), range(2), strict=True):
        assert accuracy == pytest.approx((network(seed)(images.inputs).argmax(1) == images.targets).double().mean())
    table(folder, [{"file": "a.safetensors", "epoch": 1, "task": "3-8", "test_accuracy": 0.97}])
    with pytest.raises(ValueError, match=r"accuracy of 0\.\d+, the source says 0.970"):
        store_source(open_source(folder, dataset="digits"), Store(tmp_path / "store"))


def test_a_table_says_networks_epochs_hyper_parameters_and_metrics(folder, tmp_path):
    line = {"network": "one", "learning_rate": 0.01, "task": "3-8", "test_accuracy": 0.25, "lab": "ours"}
    line |= {"width_factor": 0.5, "run": "007"}
    table(
        folder,
        [
            {"file": "a.safetensors", "epoch": 1, **line},
            {"file": "b.safetensors", "epoch": 2, **line, "test_accuracy": ""},
            {"file": "c.pt", "epoch": 1, **line, "network": "two", "learning_rate": ""},
            {"file": "d.pth", "epoch": 2, **line, "network": "two", "learning_rate": ""},
        ],
    )
    source = open_source(folder)
    assert (source.members, source.epochs) == (2, (1, 2))
    zoo = store_source(source, Store(tmp_path / "store"))
    members = zoo.members
    assert list(members.learning_rate[:2]) == [0.01, 0.01]
    assert members.learning_rate[2:].isna().all()
    assert set(members.task) == {"3-8"}
    assert members.test_accuracy[0] == 0.25
    assert members.test_accuracy.isna()[1]
    assert json.loads(members.imported[0]) == {"origin": "one", "lab": "ours", "width_factor": 0.5, "run": "007"}, (
        "beside columns of the zoo, once and as numbers where they are"
    )
    x = torch.randn(2, 1, 8, 8)
    torch.testing.assert_close(zoo.population(epochs=[2]).logits(x)[1], network(3)(x))
    assert verify(zoo) == []


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        ([{"name": "a"}], "lacks the column file; it has name"),
        ([{"file": "x.pt", "epoch": 1}], "x.pt is missing"),
        ([{"file": "c.pt", "epoch": "one"}], "epoch 'one'"),
        ([{"file": "c.pt", "epoch": ""}], "at which epoch"),
        ([{"file": "c.pt", "epoch": 1, "optimizer": "magic"}], "optimizer is 'magic'"),
        ([{"file": "c.pt", "epoch": 1, "dropout": "1.5"}], "dropout is '1.5'"),
        ([{"file": n, "network": "n", "epoch": 1} for n in ("c.pt", "d.pth")], "both network n at epoch 1"),
        ([{"file": "c.pt", "epoch": 1, "test_loss": "low"}], "test_loss is 'low'"),
        ([{"file": "c.pt", "epoch": epoch} for epoch in (1, 2)], "c.pt is listed twice"),
        ([{"file": "c.pt,2", "epoch": 1}], "c.pt,2 is missing"),
        ([{"file": "c.pt", "epoch": 0}], "last epoch is 0; allowed: 1 to"),
        ([{"file": "c.pt", "epoch": 10**20}], f"last epoch is {10**20}"),
    ],
)
def test_bad_tables_are_refused(folder, tmp_path, lines, words):
    table(folder, lines)
    with pytest.raises(ValueError, match=words):
        store_source(open_source(folder), Store(tmp_path / "store"))


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"\xff\xfe\x00", "networks.csv is no table of text"),
        (b"file,epoch\nc.pt,1,2\n", "more entries than there are"),
        (b"file,epoch\na.pt,1\nc.pt,1,2\n", "Expected 2 fields in line 3, saw 3"),
    ],
)
def test_files_that_are_no_tables_are_refused(folder, content, words):
    (folder / "networks.csv").write_bytes(content)
    with pytest.raises(ValueError, match=words):
        open_source(folder)


@pytest.mark.parametrize(
    ("state", "words"),
    [
        ({0: torch.zeros(2)}, "0 is no name; expected a state_dict"),
        ({"a": 1.5}, "'a' is a float"),
        ({"a": torch.zeros(2, 2).to_sparse()}, "'a' is a torch.sparse_coo tensor"),
        (
            {"Dense_0.kernel": torch.zeros(4, 4)},
            "Dense_0.kernel is a kernel of Keras or Flax, whose axes lie otherwise",
        ),
        ({"a": torch.zeros(2, dtype=torch.int64)}, "no tensors of floating-point"),
        ([torch.zeros(2)], "holds a list"),
    ],
)
def test_what_is_no_state_dict_is_refused(folder, tmp_path, state, words):
    torch.save(state, folder / "c.pt")
    with pytest.raises(ValueError, match=words):
        store_source(open_source(folder, epochs=(1,)), Store(tmp_path / "store"))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", "no JSON that can be read"),
        ("[1]", "it holds a list"),
        (json.dumps(MLP | {"builder": "vgg"}), "builder is 'vgg'; allowed: mlp, cnn"),
        (json.dumps(MLP | {"builder": ["mlp"]}), r"builder is \['mlp'\]; allowed"),
        (json.dumps(MLP | {"hidden": 16}), "hidden is 16; allowed: a list"),
        (json.dumps(MLP | {"names": ["1.weight"]}), r"names is \['1.weight'\]; allowed"),
        (json.dumps({"builder": "mlp"}), "it lacks 'input_shape'"),
        (json.dumps(MLP | {"depth": 3}), "depth"),
        (json.dumps(MLP | {"hidden": [17]}), r"hidden\.weight \(16, 64\).*1\.weight \(17, 64\)"),
        (json.dumps(MLP | {"activation": "step"}), "unknown activation 'step'"),
        (json.dumps({"input_shape": [1, 8, 8], "layers": [{"kind": "magic"}]}), "magic"),
    ],
)
def test_bad_architectures_are_refused(folder, tmp_path, text, words):
    path = folder / "architecture.json"
    path.write_text(text)
    with pytest.raises(ValueError, match=words):
        store_source(open_source(folder, epochs=(1,)), Store(tmp_path / "store"))
    assert not Store(tmp_path / "store").list()


def test_a_folder_does_not_choose_what_is_called(folder, tmp_path):
    ran = tmp_path / "ran"
    (folder / "architecture.json").write_text(
        json.dumps({"builder": "pty:spawn", "input_shape": ["touch", str(ran)], "classes": 1})
    )
    with pytest.raises(ValueError, match="builder is 'pty:spawn'; allowed"):
        open_source(folder, epochs=(1,))
    assert not ran.exists()


def test_names_can_be_given(folder, tmp_path):
    names = {"1.weight": "hidden.weight", "1.bias": "hidden.bias", "3.weight": "output.weight", "3.bias": "output.bias"}
    (folder / "architecture.json").write_text(json.dumps(MLP | {"names": names}))
    assert store_source(open_source(folder, epochs=(1,)), Store(tmp_path / "store")).parameters == 1210
    (folder / "architecture.json").write_text(json.dumps(MLP | {"names": names | {"3.bias": "no.bias"}}))
    with pytest.raises(ValueError, match=r"no\.bias"):
        store_source(open_source(folder, epochs=(1,)), Store(tmp_path / "store2"))


def test_no_epoch_is_made_up(folder):
    with pytest.raises(ValueError, match="at which epoch"):
        open_source(folder)


def test_what_nothing_knows_is_refused(folder, tmp_path):
    other = tmp_path / "other"
    other.mkdir()
    (other / "readme.txt").write_text("hello")
    with pytest.raises(ValueError, match=r"of no format.*checkpoints: a folder a network") as caught:
        open_source(other)
    assert all(name in str(caught.value) for name in FORMATS)
    with pytest.raises(ValueError, match="unknown format 'zip'") as caught:
        open_source(other, format_name="zip")
    assert all(name in str(caught.value) for name in OWN_FORMATS)
    with pytest.raises(ValueError, match="there is no"):
        open_source(tmp_path / "nowhere")
    for name in ("../mine", "", "-x"):
        with pytest.raises(ValueError, match=f"--name is '{name}'; allowed: letters"):
            open_source(folder, epochs=(1,), name=name)
    for name in (*FORMATS, *OWN_FORMATS):
        with pytest.raises(ValueError, match=f"not of format {name}: expected"):
            open_source(other, format_name=name)


def tensors(*pairs: tuple[str, tuple[int, ...]]) -> list[ForeignTensor]:
    return [ForeignTensor(name, shape) for name, shape in pairs]


SQUARE = mlp((4,), (4, 4), 4)  # three layers of one shape


def layers(*modules: str, size: int = 4) -> list[ForeignTensor]:
    return tensors(*((f"{m}.{leaf}", s) for m in modules for leaf, s in (("weight", (size, size)), ("bias", (size,)))))


def test_order_decides_where_shapes_are_equal():
    matched = match_tensors(layers("z", "a", "m"), SQUARE, ordered=True)
    assert (matched["1.weight"], matched["3.weight"], matched["5.bias"]) == ("z.weight", "a.weight", "m.bias")


def test_sorted_names_are_taken_by_their_numbers():
    matched = match_tensors(layers("l.1", "l.10", "l.9"), SQUARE, ordered=False)
    assert [matched[f"{index}.weight"] for index in (1, 3, 5)] == ["l.1.weight", "l.9.weight", "l.10.weight"]


def test_sorted_names_without_numbers_are_ambiguous():
    with pytest.raises(MismatchError, match="which comes first"):
        match_tensors(layers("first", "second", "third"), SQUARE, ordered=False)


def test_a_weight_may_come_after_its_bias_and_be_called_kernel():
    backwards = tensors(
        ("d/bias:0", (4,)), ("d/kernel:0", (4, 4)), ("e/bias:0", (4,)), ("e/kernel:0", (4, 4)),
        ("f/bias:0", (4,)), ("f/kernel:0", (4, 4)),
    )  # fmt: skip
    assert match_tensors(backwards, SQUARE, ordered=True)["3.weight"] == "e/kernel:0"


def test_shapes_decide_where_the_order_does_not_fit():
    wanted = mlp((1, 8, 8), (16,), 10)
    found = tensors(("a.weight", (10, 16)), ("a.bias", (10,)), ("b.weight", (16, 64)), ("b.bias", (16,)))
    assert match_tensors(found, wanted, ordered=True)["1.weight"] == "b.weight"


def test_shapes_that_leave_a_choice_are_refused():
    wanted = Architecture((4,), (Linear(features=4), Linear(features=4), Linear(features=2)))
    found = tensors(("head.weight", (2, 4)), ("head.bias", (2,))) + layers("a", "b")
    with pytest.raises(MismatchError, match="in more than one way"):
        match_tensors(found, wanted, ordered=True)


@pytest.mark.parametrize("found", [layers("a", "b"), layers("a", "b", "c", "d"), layers("a", "b", "c", size=5), []])
def test_other_tensors_are_refused(found):
    with pytest.raises(MismatchError, match="in no way"):
        match_tensors(found, SQUARE, ordered=True)


class Block(nn.Module):
    """A residual block as torchvision names it."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(4, 6, 3, 2, 1, bias=False), nn.BatchNorm2d(6)
        self.conv2, self.bn2 = nn.Conv2d(6, 6, 3, 1, 1, bias=False), nn.BatchNorm2d(6)
        self.downsample = nn.Sequential(nn.Conv2d(4, 6, 1, 2, bias=False), nn.BatchNorm2d(6))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.bn2(self.conv2(torch.relu(self.bn1(self.conv1(x)))))
        return torch.relu(y + self.downsample(x))


class ResNet(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(1, 4, 3, padding=1, bias=False), nn.BatchNorm2d(4)
        self.layer1 = nn.Sequential(Block())
        self.fc = nn.Linear(6, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.fc(self.layer1(torch.relu(self.bn1(self.conv1(x)))).mean((2, 3)))


def convolution(channels: int, kernel: int, stride: int, padding: int) -> dict[str, object]:
    return {
        "kind": "conv", "channels": channels, "kernel": kernel, "stride": stride, "padding": padding, "bias": False,
    }  # fmt: skip


def test_residual_networks_with_batch_norm(tmp_path):
    torch.manual_seed(0)
    net = ResNet()
    net(torch.randn(8, 1, 9, 9))  # running statistics that are not those of the start
    (tmp_path / "nets").mkdir()
    torch.save(net.state_dict(), tmp_path / "nets/a.pt")
    norm, relu = {"kind": "batch_norm"}, {"kind": "activate", "function": "relu"}
    body = [convolution(6, 3, 2, 1), norm, relu, convolution(6, 3, 1, 1), norm]
    residual = {"kind": "residual", "body": body, "shortcut": [convolution(6, 1, 2, 0), norm]}
    layers = [convolution(4, 3, 1, 1), norm, relu, residual, relu, {"kind": "global_average_pool"}]
    layers.append({"kind": "linear", "features": 10, "bias": True})
    (tmp_path / "nets/architecture.json").write_text(json.dumps({"input_shape": [1, 9, 9], "layers": layers}))
    zoo = store_source(open_source(tmp_path / "nets", epochs=(1,)), Store(tmp_path / "store"))
    x = torch.randn(4, 1, 9, 9)
    torch.testing.assert_close(zoo.population().logits(x)[0], net.eval()(x), rtol=1e-4, atol=1e-5)
