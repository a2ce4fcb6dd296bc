"""Predictors that know which task a network was trained for, also one that no training network has."""

import dataclasses

import numpy as np
import pytest
import torch

from analysis.analyze import analyze
from analysis.plan import plan_analysis
from analysis.statistics.intervals import Bootstrap
from trainables.fit_data import fit_data
from trainables.predictors.config import RidgeConfig
from trainables.predictors.predictor import KnowsTasks, validate
from trainables.predictors.statistics_predictor import StatisticsPredictor
from trainables.registry import find_trainable
from trainables.study_files import StudyFolder, StudyRecord
from trainables.tasks.described_tasks import DescribedTasks
from trainables.trainable import FitData, run
from zoo.architecture import mlp
from zoo.config import to_json
from zoo.data import load_dataset
from zoo.data.class_tasks import one_vs_one
from zoo.generation.build import generate_zoo
from zoo.population import Member
from zoo.population.population import single_architecture
from zoo.recipes import RECIPES
from zoo.storage.store import Store

TASKS = one_vs_one(10)
HELD_OUT = ("0-1", "2-7", "5-8")
ARCHITECTURE = mlp((1, 8, 8), (4,), 2)


def networks(tasks, seed=0):
    """Networks of which a column follows from the task alone: how bright its first class is in the middle."""
    dataset = load_dataset("digits")
    specs = [Member(id=i, seed=seed + i, task=task) for i, task in enumerate(tasks)]
    weights_MP = torch.randn((len(specs), ARCHITECTURE.parameters), generator=torch.Generator().manual_seed(seed))
    first = torch.tensor([int(task.partition("-")[0] or 0) for task in tasks])
    ink = torch.stack([dataset.train.inputs[dataset.train.targets == label, :, 3:5, 3:5].mean() for label in range(10)])
    population = single_architecture(ARCHITECTURE, weights_MP, specs)
    return dataclasses.replace(population, columns={"ink": ink[first].double().numpy()})


@pytest.fixture(scope="module")
def data():
    training = [task for task in TASKS if task not in HELD_OUT]
    return FitData(
        training=(networks(training * 2),), validation=(networks(training[::3], 90),), dataset=load_dataset("digits")
    )


def fitted(data, **settings):
    return StatisticsPredictor.fit(RidgeConfig(target="ink", **settings), data)


@pytest.mark.parametrize("statistics", ["none", "moments"])
def test_what_follows_from_the_task_is_told_of_a_task_that_was_not_seen(data, statistics):
    predictor = fitted(data, describe="class-means", statistics=statistics)
    assert isinstance(predictor, KnowsTasks)
    assert validate(predictor, data)["r2"] > 0.9
    others = networks(HELD_OUT, 7)
    with pytest.raises(ValueError, match="0-1, 2-7, 5-8 is not among the 42 tasks that are described"):
        predictor.predict(others)
    knowing = predictor.for_tasks_of(data.dataset, [others])
    assert knowing.predict(others) == pytest.approx(others.column("ink"), abs=0.1)
    assert np.abs(fitted(data, statistics="moments").predict(others) - others.column("ink")).max() > 0.2
    again = StatisticsPredictor.from_files(knowing.to_files())
    assert again.to_files() == knowing.to_files()
    assert np.array_equal(again.predict(others), knowing.predict(others))
    if statistics == "none":
        assert np.array_equal(knowing.predict(networks(HELD_OUT, 8)), knowing.predict(others)), "no weight is looked at"


def test_embeddings_of_tasks_are_those_of_one_probe_network(data):
    described = DescribedTasks.fit("task2vec", data)
    assert DescribedTasks.fit("task2vec", data) is described, "fits to the same networks share it"
    further = described.on(data.dataset, [networks(HELD_OUT)])
    assert set(further.values) == {*described.values, *HELD_OUT}
    assert further.of(networks(["0-1"])).shape == described.of(networks(["0-2"])).shape
    reversed_task = described.on(data.dataset, [networks(["2-0"])])
    assert reversed_task.of(networks(["2-0"])) == pytest.approx(described.of(networks(["0-2"])), abs=0.2)
    again = DescribedTasks.from_files(described.to_files())
    assert np.array_equal(again.on(data.dataset, [networks(HELD_OUT)]).values["5-8"], further.values["5-8"])


def test_what_cannot_be_described_is_told(data):
    whole = FitData(training=(networks(["3-8", ""]),), validation=(networks(["3-8"]),), dataset=data.dataset)
    with pytest.raises(
        ValueError, match=r"describe is 'task2vec', but 1 of 3 networks have no task of their own; take"
    ):
        fitted(whole, describe="task2vec")
    several = FitData(training=(networks(["3-8", "3-8-9"]),), validation=(), dataset=data.dataset)
    with pytest.raises(ValueError, match="tasks of this zoo have 2 or 3; take task2vec"):
        fitted(several, describe="class-means")
    for settings, message in (
        ({"describe": "names"}, "describe is 'names'"),
        ({"statistics": "none"}, "statistics is"),
    ):
        with pytest.raises(ValueError, match=message):
            RidgeConfig(**settings)


def test_held_out_tasks_are_told_of_with_intervals_over_tasks(tmp_path):
    recipe = dataclasses.replace(RECIPES["digits-tasks"], members=180, epochs=1, snapshot_epochs=(1,), held_out=40)
    zoo = generate_zoo(recipe, Store(tmp_path))
    entry, folder = find_trainable("statistics-ridge"), StudyFolder(zoo.store, "known-0123abcd")
    config = entry.configuration({"describe": "class-means"})
    fit = run(entry.fit(config, fit_data(zoo)))
    folder.write_artifact(entry, config, fit.artifact(), 0)
    facts = {"trainables": [entry.name], "spaces": [], "objectives": ["r2"], "limits": {}}
    folder.export(facts, ("max",), zoo, [{"trial": 0, "state": "complete", **to_json(config), **fit.validate()}])
    study = StudyRecord.open(zoo.store, folder.name)
    analysis = analyze(zoo, study, bootstrap=Bootstrap(replicates=30))
    tasks = {member.task for member in zoo.population("test").members}
    assert not tasks & set(fit.artifact().tasks.values), "of test members nothing is known when it is fitted"
    assert {result.groups for result in analysis.results} == {len(tasks)}
    assert analysis.results[0].setting == "test_accuracy, describe=class-means"
    assert (
        f"groups of members that share a task: {analysis.results[0].members} networks" in analysis.summary["intervals"]
    )
    assert len(plan_analysis(zoo, study).rows) == len(analysis.results)
