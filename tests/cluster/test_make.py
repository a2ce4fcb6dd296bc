"""``zooscale make``: networks of a study's generator or hypernetwork, as a zoo that other verbs read and as files."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from cluster.verbs.card import Card
from cluster.verbs.make import Make
from trainables.fit_data import fit_data
from trainables.hypernetworks.labeled_sets import few_of_each
from trainables.registry import find_trainable
from trainables.study_files import StudyFolder, StudyRecord
from trainables.trainable import run
from zoo.config import to_json
from zoo.data import load_dataset
from zoo.generation.build import generate_zoo
from zoo.recipes import RECIPES
from zoo.storage.store import Store
from zoo.storage.zoo import Zoo

SETTINGS = {
    "noisy-copies": {},
    "supernet": {"z": 8, "steps": 5, "epochs": 1, "adapt_steps": 5},
    "dataset-hypernetwork": {"set_size": 40, "queries": 40, "width": 16, "steps": 20, "epochs": 2},
    "weights": {},
}


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """A zoo and, by its name, a study of one trial on it: a generator, a hypernetwork and an encoder."""
    store = Store(tmp_path_factory.mktemp("made"))
    for name in SETTINGS:
        recipe = "digits-tasks" if name == "supernet" else "digits-mlp-seeds"
        few = replace(RECIPES[recipe], epochs=1, snapshot_epochs=(0, 1))
        zoo = generate_zoo(few, store, 360 if name == "supernet" else 64)
        entry, folder = find_trainable(name), StudyFolder(store, f"{name}-0123abcd")
        config = entry.configuration(SETTINGS[name])
        fit = run(entry.fit(config, fit_data(zoo)))
        folder.write_artifact(entry, config, fit.artifact(), 0)
        found = fit.validate()
        objective = next(metric.name for metric in entry.metrics if metric.direction and metric.name in found)
        facts = {"trainables": [name], "spaces": [], "objectives": [objective], "limits": {}}
        folder.export(facts, ("max",), zoo, [{"trial": 0, "state": "complete", **to_json(config), **found}])
    return store


def test_a_generator_makes_a_zoo_and_a_file_of_each_network(store, tmp_path):
    made = Make(study="noisy-copies", store=store.uri, count=4, to=str(tmp_path / "nets"), seed=3).run()
    zoo = Zoo.open(made.uri)
    assert (made.networks, len(zoo), zoo.recipe.source_format) == (4, 4, "generated")
    population = zoo.population()
    assert made.score == pytest.approx(float(population.column("test_accuracy").mean()))
    first = load_file(tmp_path / "nets" / "network-00000.safetensors")
    flat_P = torch.cat([first[spec.name].flatten() for spec in population.architecture.layout])
    assert torch.equal(flat_P, population.weights_MP[0])
    again = Make(study="noisy-copies", store=store.uri, count=4, seed=3).run()
    assert again.uri == made.uri, "the same networks are the same zoo"
    card = Card(zoo=zoo.name, store=store.uri).run()
    page = Path(card.card).read_text()
    assert "made by a generator or a hypernetwork for digits, not trained" in page
    assert "trained elsewhere" not in page


def test_a_hypernetwork_makes_a_network_for_each_task(store):
    made = Make(study="supernet", store=store.uri, tasks="3-8, 8-3", labels=5, name="pairs").run()
    zoo = Zoo.open(made.uri)
    assert zoo.population().column("task").tolist() == ["3-8", "8-3"]
    assert made.zoo.startswith("pairs-")
    of_test = Make(study="supernet", store=store.uri).run()
    assert of_test.networks == len(set(Zoo.open(of_test.uri).population().column("task").tolist())) > 1


def test_a_hypernetwork_of_data_sets_makes_a_network_for_each_set(store, tmp_path):
    made = Make(study="dataset-hypernetwork", store=store.uri, count=3, to=str(tmp_path / "nets")).run()
    zoo = Zoo.open(made.uri)
    artifact = StudyRecord.open(store, "dataset-hypernetwork").artifact(0, 0)
    data = zoo.dataset()
    order = torch.randperm(len(data.validation), generator=torch.Generator().manual_seed(0))
    first = artifact.make([data.validation.select(order[:40])])
    assert torch.equal(zoo.population().weights_MP[0], first.weights_MP[0])
    assert len(list((tmp_path / "nets").iterdir())) == len(zoo) == 3
    assert made.score > 0.3, "better than guessing one of ten classes, on test examples"
    few = Make(study="dataset-hypernetwork", store=store.uri, count=2, labels=2, seed=4, name="few").run()
    sets = few_of_each(data.validation, 2, 2, torch.Generator().manual_seed(4))
    assert [each.targets.bincount().tolist() for each in sets] == [[2] * 10] * 2
    assert torch.equal(Zoo.open(few.uri).population().weights_MP, artifact.make(sets).weights_MP)


def test_sets_can_be_of_another_data_set(store):
    made = Make(study="dataset-hypernetwork", store=store.uri, count=2, dataset=f"{__name__}:mirrored").run()
    assert Zoo.open(made.uri).dataset().name == "mirrored"


def mirrored():
    """Digits from right to left."""
    digits = load_dataset("digits")
    parts = {name: getattr(digits, name) for name in ("train", "validation", "test")}
    flipped = {name: replace(part, values=part.values.flip(3)) for name, part in parts.items()}
    return replace(digits, name="mirrored", **flipped)


@pytest.mark.parametrize(
    ("study", "options", "said"),
    [
        ("weights", {}, "is of kind 'encoder'; networks are made by: generator, hypernetwork"),
        ("noisy-copies", {"tasks": "3-8"}, "--tasks and --labels are for hypernetworks"),
        ("noisy-copies", {"want": ("accuracy",)}, "--want is 'accuracy'; expected column=value"),
        ("noisy-copies", {"want": ("epoch=3",)}, "epoch is wanted, but this generator was fitted without conditions"),
        ("supernet", {"want": ("epoch=3",)}, "--want is for generators"),
        ("supernet", {"dataset": "digits"}, "--dataset is for hypernetworks of data sets"),
        ("dataset-hypernetwork", {"tasks": "3-8"}, "--want and --tasks are not for hypernetworks of data sets"),
        ("dataset-hypernetwork", {"labels": 900}, "900 examples of each class are asked for; of class 0 there are"),
        ("supernet", {"tasks": "3-44"}, "task '3-44' has no examples of class 44"),
        ("supernet", {"tasks": "three"}, "task is 'three'; allowed"),
        ("supernet", {"format": "onnx"}, "--format is 'onnx'; allowed: safetensors, state-dict"),
        ("supernet", {"to": "."}, "--to . exists; name a folder that does not"),
    ],
)
def test_what_does_not_suit_is_refused(store, study, options, said):
    with pytest.raises(ValueError, match=said):
        Make(study=study, store=store.uri, **options).run()
