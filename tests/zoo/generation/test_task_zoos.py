"""Zoos of regression, of several labels and of a loss of the user's own, from recipe to evaluation."""

import hashlib
from dataclasses import replace

import numpy as np
import pytest
import torch

from zoo.data import Task, load_dataset
from zoo.evaluation import evaluate
from zoo.exchange.exporting import export_zoo
from zoo.exchange.importing import open_source, store_source
from zoo.generation.build import generate_zoo
from zoo.generation.shard_training import train_shard
from zoo.recipes import Recipe
from zoo.recipes.axis import Axis
from zoo.storage.shards import encode_shard
from zoo.storage.staging import find_dataset, stage
from zoo.storage.store import Store
from zoo.storage.verify import verify
from zoo.storage.zoo import Zoo

RECIPES = {
    dataset: Recipe(
        name=dataset.replace("_", "-"),
        dataset=f"own_tasks:{dataset}",
        members=16,
        axes={
            "hidden": (8,),
            "activation": "tanh",
            "optimizer": ["adam", "own_tasks:SignDescent"],
            "learning_rate": Axis(range=(1e-3, 1e-2)),
        },
        batch_size=16,
        epochs=6,
        snapshot_epochs=(0, 6),
        block_members=2,
        shard_members=8,
    )
    for dataset in ("diabetes", "flowers", "robust_diabetes")
}
RECIPES["robust_diabetes"] = replace(
    RECIPES["robust_diabetes"],
    architecture="own_tasks:sines",
    axes={"hidden": (8,), "frequency": [1.0, 2.0], "learning_rate": Axis(range=(1e-3, 1e-2))},
)
SCORES = {"diabetes": "r2", "flowers": "accuracy", "robust_diabetes": None}


@pytest.fixture(scope="module", params=RECIPES)
def task_zoo(request, tmp_path_factory):
    return generate_zoo(RECIPES[request.param], Store(tmp_path_factory.mktemp("tasks")))


def test_metric_columns_are_those_of_the_task(task_zoo):
    zoo, data = Zoo.open(task_zoo.uri), task_zoo.dataset()
    score = SCORES[zoo.recipe.name.replace("-", "_")]
    frame = zoo.members
    names = [name for name in frame.columns if name.startswith(("train_", "validation_", "test_"))]
    metrics = ["loss", *([score] if score else [])]
    assert names == [f"{split}_{metric}" for split in ("train", "validation", "test") for metric in metrics]
    assert ("generalization_gap" in frame) == bool(score)
    if score:
        assert np.allclose(frame.generalization_gap, frame[f"train_{score}"] - frame[f"test_{score}"])
    population = zoo.population(epochs="last")
    rows = frame[frame.epoch == 6]
    for split in ("train", "validation", "test"):
        found = evaluate(population, getattr(data, split), data.task)
        for metric in metrics:
            stored = population.column(f"{split}_{metric}")
            assert np.allclose(stored, rows[f"{split}_{metric}"])
            assert np.allclose(stored, found[metric].numpy(), rtol=1e-6)
    assert not frame.diverged.any()


def test_members_learn(task_zoo):
    frame = task_zoo.members
    before, after = (frame[frame.epoch == epoch].test_loss.mean() for epoch in (0, 6))
    assert after < 0.9 * before
    if "test_r2" in frame:
        assert frame[frame.epoch == 6].test_r2.max() > 0.3


def test_the_zoo_is_whole(task_zoo):
    assert not verify(task_zoo)


def test_a_shard_has_the_same_bits_whoever_trains_it(task_zoo):
    recipe, data = task_zoo.recipe, task_zoo.dataset()
    entry = task_zoo.manifest.shards[1]
    again = encode_shard(train_shard(recipe, data, entry.members))
    assert hashlib.sha256(again).hexdigest() == entry.sha256
    part = train_shard(recipe, data, range(entry.first + 3, entry.end - 2)).population
    whole = task_zoo.population(members=range(entry.first + 3, entry.end - 2), epochs=(0, 6))
    assert torch.equal(part.weights_MP, whole.weights_MP)


def test_a_member_is_a_module_of_the_same_outputs(task_zoo):
    population, test = task_zoo.population(epochs="last", limit=3), task_zoo.dataset().test
    outputs_MNC = population.logits(test.inputs)
    for row in range(3):
        module = population.architecture.to_module(population.weights_MP[row])
        torch.testing.assert_close(outputs_MNC[row], module(test.inputs).detach(), rtol=1e-4, atol=1e-5)


def test_a_staged_data_set_has_its_task(task_zoo, tmp_path):
    store, data = Store(tmp_path), task_zoo.dataset()
    path, new = stage(store, task_zoo.recipe.dataset, data)
    assert new
    back = find_dataset(store, task_zoo.recipe.dataset)
    assert (back.task, back.sha256) == (data.task, data.sha256)
    assert torch.equal(back.test.targets, data.test.targets)
    assert back.test.values.dtype == torch.float32
    assert path.endswith(f"{data.sha256[:8]}.safetensors")


def test_what_was_exported_comes_back(task_zoo, tmp_path):
    export_zoo(task_zoo, tmp_path / "out", "parquet")
    back = store_source(open_source(tmp_path / "out"), Store(tmp_path / "store"))
    assert back.content_sha256 == task_zoo.content_sha256
    assert back.members.equals(task_zoo.members)


def test_class_tasks_need_classes():
    data = load_dataset("own_tasks:diabetes")
    assert data.task == Task("squared", 1)
    recipe = Recipe(name="pairs", dataset="own_tasks:diabetes", members=2, axes={"task": "0-1"})
    with pytest.raises(ValueError, match="data set 'diabetes' has no classes: its task has loss 'squared'"):
        recipe.check_data(data)


def test_the_small_cnn_zoo_s_format_has_accuracies_alone(task_zoo, tmp_path):
    if "test_accuracy" in task_zoo.members:
        back = store_source(open_source(export_zoo(task_zoo, tmp_path / "out", "small-cnn-zoo")), Store(tmp_path))
        assert np.array_equal(np.sort(back.members.test_accuracy), np.sort(task_zoo.members.test_accuracy))
        return
    with pytest.raises(ValueError, match="the small-cnn-zoo format has"):
        export_zoo(task_zoo, tmp_path / "out", "small-cnn-zoo")
