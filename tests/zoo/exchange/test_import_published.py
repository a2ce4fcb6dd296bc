"""Import of published dataset.pt files: pickles of dataset classes, read in a process of its own."""

import json
import os
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from published_layouts import forget_published_classes, published_classes, write_published_dataset

from zoo.exchange.foreign import published_dataset
from zoo.exchange.foreign.pickled_dataset import RefusedError, convert
from zoo.exchange.importing import open_source, store_source
from zoo.storage.store import Store
from zoo.storage.verify import verify

CNN = {"builder": "cnn-2464", "input_shape": [1, 28, 28], "classes": 10, "activation": "sigmoid"}


@pytest.fixture
def cnn(tmp_path) -> Path:
    (tmp_path / "cnn.json").write_text(json.dumps(CNN))
    return tmp_path / "cnn.json"


@pytest.fixture
def same_process(monkeypatch) -> None:
    """Converts without a process of its own, which takes seconds to import torch."""
    monkeypatch.setattr(published_dataset, "_convert", convert)


@pytest.mark.parametrize(("mode", "class_name"), [("checkpoint", "ModelDatasetBase"), ("vector", "SimCLRDataset")])
def test_networks_and_what_is_known_of_them(tmp_path, cnn, same_process, mode, class_name):
    networks = write_published_dataset(tmp_path / "dataset_mnist.pt", mode=mode, class_name=class_name)
    assert not any(name.startswith("checkpoints_to_datasets") for name in sys.modules)
    zoo = store_source(open_source(tmp_path / "dataset_mnist.pt", architecture=cnn), Store(tmp_path / "store"))
    assert verify(zoo) == []
    assert zoo.recipe.snapshot_epochs == (5, 50)
    table = zoo.members
    x = torch.randn(3, 1, 28, 28, generator=torch.Generator().manual_seed(0))
    for population in zoo.populations(epochs=[5, 50]):
        logits = population.logits(x)
        for row, (member, epoch) in enumerate(zip(population.members, population.epochs, strict=True)):
            told = json.loads(table[table.member == member.id].imported.iloc[0])
            expected = networks[told["origin"], epoch].eval()(x)
            torch.testing.assert_close(logits[row], expected, rtol=1e-5, atol=1e-5)
    assert len(table) == 12
    last = table[table.imported.str.contains("testset")].iloc[0]
    assert last.test_accuracy == 0.55
    assert last.train_accuracy == pytest.approx(0.57)
    assert last.learning_rate == 1e-3
    assert last.activation == "relu"
    assert np.isnan(last.test_loss)
    assert table.dropout.isna().all()


def test_without_properties_the_given_activation_counts(tmp_path, cnn, same_process):
    (tmp_path / "folder").mkdir()
    write_published_dataset(tmp_path / "folder/dataset_seeds.pt", properties=False)
    source = open_source(tmp_path / "folder", architecture=cnn)
    assert (source.format, source.name) == ("published-dataset", "folder")
    zoo = store_source(source, Store(tmp_path / "store"))
    assert set(zoo.members.activation) == {"sigmoid"}
    assert zoo.members.test_accuracy.isna().all()


def test_a_folder_of_several_names_one(tmp_path, cnn, same_process):
    for name in ("dataset_b.pt", "dataset_a.pt"):
        write_published_dataset(tmp_path / "zenodo" / name)
    with pytest.raises(ValueError, match=r"holds several datasets: give .*/zenodo/dataset_a\.pt or another one"):
        open_source(tmp_path / "zenodo", architecture=cnn)


def test_the_architecture_has_to_be_given_and_to_fit(tmp_path, cnn, same_process):
    path = tmp_path / "dataset.pt"
    write_published_dataset(path)
    with pytest.raises(ValueError, match="--architecture FILE"):
        open_source(path)
    cnn.write_text(json.dumps(CNN | {"builder": "cnn-4970"}))
    with pytest.raises(ValueError, match=r"module_list\.0\.weight \(8, 1, 5, 5\)"):
        open_source(path, architecture=cnn)


class Dangerous:
    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self):
        return os.system, (f"touch {self.target}",)


def write_datasets(path: Path, **attributes: object) -> Path:
    """A pickled training set with these attributes alone."""
    dataset = published_classes()["ModelDatasetBase"]()
    vars(dataset).update(attributes)
    torch.save({"trainset": dataset}, path)
    forget_published_classes()
    return path


def test_a_pickle_that_would_run_code_is_refused_and_does_not_run(tmp_path):
    path = write_datasets(tmp_path / "dataset.pt", data_in=[Dangerous(tmp_path / "ran")], paths=["a"], epochs=[1])
    with pytest.raises(RefusedError, match=r"it needs more than the classes.*system"):
        convert(path, tmp_path)
    assert not (tmp_path / "ran").exists()


@pytest.mark.slow
def test_a_refusal_says_what_to_do_instead(tmp_path, cnn):
    path = write_datasets(tmp_path / "dataset.pt", data_in=[Dangerous(tmp_path / "ran")], paths=["a"], epochs=[1])
    with pytest.raises(ValueError, match=r"dataset.pt is refused: it needs more than the classes.*system.*raw zoo"):
        open_source(path, architecture=cnn)
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    ("attributes", "words"),
    [
        ({"data_in": [torch.zeros(4)], "paths": ["a"], "epochs": []}, "1 networks, 1 paths and 0 epochs"),
        ({"data_in": [torch.zeros(4)], "paths": ["a"]}, "no list 'epochs'"),
        ({"data_in": [], "paths": [], "epochs": []}, "no networks"),
        ({"data_in": ["text"], "paths": ["a"], "epochs": [1]}, "has a str where"),
        ({"data_in": [torch.zeros(4), torch.zeros(5)], "paths": ["a", "b"], "epochs": [1, 1]}, "different numbers"),
    ],
)
def test_other_datasets_are_refused(tmp_path, attributes, words):
    path = write_datasets(tmp_path / "dataset.pt", **attributes)
    with pytest.raises(RefusedError, match=words):
        convert(path, tmp_path)
    assert not (tmp_path / "weights.npy").exists()


@pytest.mark.parametrize("content", [{"trainset": torch.zeros(3)}, [1, 2], torch.zeros(2)])
def test_files_of_something_else_are_refused(tmp_path, content):
    torch.save(content, tmp_path / "dataset.pt")
    with pytest.raises(RefusedError, match="holds no dataset"):
        convert(tmp_path / "dataset.pt", tmp_path)


def test_the_wrapped_small_cnn_zoo_is_refused(tmp_path):
    write_published_dataset(tmp_path / "dataset.pt", class_name="GoogleDatasetSimCLR")
    with pytest.raises(RefusedError, match="GoogleDatasetSimCLR"):
        convert(tmp_path / "dataset.pt", tmp_path)


def test_a_truncated_file_is_refused(tmp_path):
    write_published_dataset(tmp_path / "dataset.pt")
    (tmp_path / "dataset.pt").write_bytes((tmp_path / "dataset.pt").read_bytes()[:-3000])
    with pytest.raises(RefusedError, match="damaged"):
        convert(tmp_path / "dataset.pt", tmp_path)


SPY = """
import json, os, sys
from pathlib import Path
seen = {"isolated": sys.flags.isolated, "path": sys.path, "folder": os.getcwd(), "environment": dict(os.environ)}
Path(sys.argv[2], "seen.json").write_text(json.dumps(seen))
"""


def test_the_converter_sees_neither_environment_nor_working_folder(tmp_path, monkeypatch):
    """A converter that writes what it sees: importing torch takes seconds."""
    (tmp_path / "spy.py").write_text(SPY)
    (tmp_path / "json.py").write_text("raise SystemExit('imported from the working folder')")
    (tmp_path / "out").mkdir()
    monkeypatch.setattr(published_dataset, "CONVERTER", tmp_path / "spy.py")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setenv("SECRET", "value")
    published_dataset._convert(tmp_path / "dataset.pt", tmp_path / "out")
    seen = json.loads((tmp_path / "out/seen.json").read_text())
    assert seen["isolated"] == 1
    assert seen["folder"] == str(tmp_path / "out")
    assert not {"SECRET", "PYTHONPATH", "PATH"} & set(seen["environment"])
    assert not {"", str(tmp_path), str(published_dataset.CONVERTER.parent)} & set(seen["path"])


@pytest.mark.parametrize(
    ("end", "words"),
    [("sys.exit(3)", "is refused: reason.*raw zoo"), ("sys.exit(1)", r"the process ended with 1 \(reason\)"),
     ("os.kill(os.getpid(), 9)", r"the process ended with -9 \(reason\)")],
)  # fmt: skip
def test_an_end_of_the_converter_is_told_from_a_refusal(tmp_path, monkeypatch, end, words):
    (tmp_path / "ends.py").write_text(f"import os, sys\nprint('reason', file=sys.stderr, flush=True)\n{end}")
    monkeypatch.setattr(published_dataset, "CONVERTER", tmp_path / "ends.py")
    with pytest.raises(ValueError, match=words):
        published_dataset._convert(tmp_path / "dataset.pt", tmp_path)


@pytest.mark.slow
def test_a_dataset_is_converted_in_a_process_of_its_own(tmp_path, cnn):
    write_published_dataset(tmp_path / "dataset.pt")
    assert open_source(tmp_path, architecture=cnn).members == 6


def test_numbers_in_tensors_are_numbers(tmp_path):
    properties = {"test_acc": [torch.tensor(0.5)], "note": [torch.zeros(2)]}
    path = write_datasets(
        tmp_path / "dataset.pt", data_in=[torch.zeros(4)], paths=["a"], epochs=[1], properties=properties
    )
    convert(path, tmp_path)
    (sample,) = json.loads((tmp_path / "dataset.json").read_text())["samples"]
    assert sample["properties"]["test_acc"] == 0.5
    assert sample["properties"]["note"] == "tensor([0., 0.])"
