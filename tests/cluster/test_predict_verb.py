"""The ``predict`` verb: what it tells is what readers tell, and what it cannot tell it says in a sentence."""

import csv

import pytest
import torch
from encoder_study import write_encoders

from cluster.cli import run
from cluster.verbs.predict import Predict
from trainables.fit_data import fit_data
from trainables.network_reader import network_reader
from zoo.exchange.members import export_member
from zoo.storage.store import Store

COUNT = 6


@pytest.fixture
def store(zoo_copy) -> Store:
    return zoo_copy.store


@pytest.fixture
def networks(small_zoo, tmp_path):
    """The last snapshots of some test members as state dicts, and their populations."""
    population = next(iter(small_zoo.populations("test", epochs="last", limit=COUNT)))
    (tmp_path / "nets").mkdir()
    for number in population.column("id").tolist():
        export_member(small_zoo, number, tmp_path / "nets" / f"{number}.pt", layout="state-dict")
    return tmp_path / "nets", population


def predict(networks, store, **options):
    options = {"zoo": "small", "epochs": "2", "activation": "tanh", **options}
    return Predict(path=str(networks), store=store.uri, **options).run()


def test_it_tells_what_readers_tell(networks, store, small_zoo, tmp_path):
    folder, population = networks
    found = predict(folder, store, targets="test_accuracy, optimizer", to=tmp_path / "told.csv")
    told = {int(row["network"]): row for row in found.networks}
    for target in ("test_accuracy", "optimizer"):
        reader = network_reader("weight-statistics", fit_data(small_zoo), target)
        expected = dict(zip(population.column("id").tolist(), reader.predict(population).tolist(), strict=True))
        assert {number: row[target] for number, row in told.items()} == pytest.approx(expected)
        assert found.validation[target] == reader.validation
    with (tmp_path / "told.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert {row["network"]: float(row["test_accuracy"]) for row in rows} == pytest.approx(
        {str(number): row["test_accuracy"] for number, row in told.items()}
    )
    assert [entry.name for entry in (tmp_path / "copy" / "zoos").iterdir()] == [small_zoo.name]


def test_what_it_is_worth_is_said(networks, store):
    text = predict(networks[0], store).text
    assert "on its validation networks, by which readouts were chosen:" in text
    assert "  activation" in text
    assert "zooscale fit weight-statistics --zoo small" in text
    assert text.splitlines()[-COUNT - 1].startswith("network  test accuracy")


def test_the_best_encoder_of_a_study_is_taken(networks, store, zoo_copy):
    write_encoders(store, zoo_copy, {"weights": 1})
    found = predict(networks[0], store, study="encoders", targets="test_accuracy")
    assert (found.encoder, found.study) == ("weights", f"encoders-{zoo_copy.digest[:8]}")
    reader = network_reader("weights", fit_data(zoo_copy))
    told = {row["network"]: row["test_accuracy"] for row in found.networks}
    names = map(str, networks[1].column("id").tolist())
    assert told == pytest.approx(dict(zip(names, reader.predict(networks[1]).tolist(), strict=True)))
    assert "fit" not in found.command


def test_several_snapshots_are_told_of_by_their_epoch(small_zoo, store, tmp_path):
    member = int(small_zoo.members.member[0])
    (tmp_path / "nets").mkdir()
    lines = ["file,epoch,network"]
    for epoch in (1, 2):
        export_member(small_zoo, member, tmp_path / "nets" / f"at-{epoch}.pt", epoch=epoch, layout="state-dict")
        lines.append(f"at-{epoch}.pt,{epoch},one")
    (tmp_path / "nets" / "networks.csv").write_text("\n".join(lines) + "\n")
    found = predict(tmp_path / "nets", store, epochs=None, targets="epoch")
    assert [(row["network"], row["snapshot"]) for row in found.networks] == [("one", 1), ("one", 2)]
    assert all(isinstance(row["epoch"], float) for row in found.networks)


def test_networks_whose_weights_are_not_finite_are_named_and_others_told(networks, store):
    folder, _ = networks
    first, second, *others = sorted(folder.iterdir())
    state = torch.load(first, weights_only=True)
    torch.save({name: tensor * float("nan") for name, tensor in state.items()}, first)
    found = predict(folder, store, targets="test_accuracy")
    assert found.left_out == (first.stem,)
    assert {row["network"] for row in found.networks} == {file.stem for file in (second, *others)}
    assert found.text.endswith(f"weights that are not finite: {first.stem}")
    for file in (second, *others):
        file.unlink()
    with pytest.raises(ValueError, match=r"nets: 1 network, none with finite weights"):
        predict(folder, store)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"targets": "test_acuracy"}, "nothing is known of these networks under 'test_acuracy'"),
        ({"targets": "batch_size"}, "target 'batch_size' takes 1 values"),
        ({"targets": ","}, "--targets is ','; name columns of the zoo"),
        ({"study": "none"}, "there is no study 'none'"),
        ({"zoo": "large"}, "large"),
        ({"epochs": None}, "nothing says at which epoch"),
    ],
)
def test_what_does_not_fit_is_said(networks, store, options, message):
    with pytest.raises((ValueError, RuntimeError), match=message):
        predict(networks[0], store, **options)


def test_a_study_of_another_kind_is_refused(networks, store, zoo_copy, tmp_path, monkeypatch):
    write_encoders(store, zoo_copy, {"weights": 1})
    monkeypatch.setattr("trainables.study_files.StudyRecord.kind", "predictor")
    with pytest.raises(ValueError, match=r"is of kind predictor; name a study of encoders, such as `zooscale fit"):
        predict(networks[0], store, study="encoders")


def test_files_are_not_written_over_and_folders_not_made(networks, store, tmp_path):
    (tmp_path / "there.csv").write_text("mine")
    with pytest.raises(ValueError, match=r"there\.csv, which exists; name another file"):
        predict(networks[0], store, to=tmp_path / "there.csv")
    with pytest.raises(ValueError, match=r"there is no folder .*nowhere; make it first"):
        predict(networks[0], store, to=tmp_path / "nowhere" / "told.csv")
    assert (tmp_path / "there.csv").read_text() == "mine"


def test_networks_that_an_encoder_cannot_take_are_refused(store, zoo_copy, tmp_path):
    write_encoders(store, zoo_copy, {"weights": 1})
    (tmp_path / "nets").mkdir()
    layers = torch.nn.Sequential(torch.nn.Linear(64, 5), torch.nn.ReLU(), torch.nn.Linear(5, 10))
    torch.save(layers.state_dict(), tmp_path / "nets" / "narrow.pt")
    with pytest.raises(ValueError, match="layout"):
        predict(tmp_path / "nets", store, study="encoders")
    assert [row["network"] for row in predict(tmp_path / "nets", store, targets="test_accuracy").networks] == ["narrow"]


def test_an_empty_folder_is_a_sentence_on_the_command_line(store, tmp_path, capsys):
    (tmp_path / "nets").mkdir()
    assert run(["predict", str(tmp_path / "nets"), "--zoo", "small", "--store", store.uri]) == 2
    assert str(tmp_path / "nets") in capsys.readouterr().err


def test_a_zoo_from_elsewhere_is_told_of_too(store, small_zoo):
    found = predict(small_zoo.uri, store, epochs=None, activation=None, targets="optimizer")
    assert {row["network"] for row in found.networks} == {str(number) for number in range(len(small_zoo))}
    assert {row["snapshot"] for row in found.networks} == set(small_zoo.recipe.snapshot_epochs)
