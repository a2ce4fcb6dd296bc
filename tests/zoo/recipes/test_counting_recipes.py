"""Zoos that count: their tasks, and that all splits have some."""

from dataclasses import replace

import numpy as np
import pytest
from sklearn.metrics import r2_score

from zoo.data.class_tasks import parse_task, select
from zoo.data.scenes import ANSWERS, counted_class
from zoo.generation.build import generate_zoo
from zoo.recipes import RECIPES, counting
from zoo.storage.rows import SPLITS, split_of
from zoo.storage.store import Store

ALL = [recipe for recipe in vars(counting).values() if recipe is not counting.Recipe and hasattr(recipe, "axes")]


@pytest.mark.parametrize("recipe", ALL, ids=lambda recipe: recipe.name)
def test_every_split_has_tasks_and_networks_have_an_output_for_each_answer(recipe):
    assert recipe is RECIPES[recipe.name]
    tasks = recipe.axes["task"].choices
    assert [counted_class(parse_task(task)) for task in tasks] == list(range(len(tasks)))
    splits = [split_of(0, recipe.block_members, task, recipe.held_out) for task in tasks]
    assert set(splits) == set(SPLITS)
    assert splits.count("train") > len(tasks) / 2
    assert recipe.members % (len(tasks) * recipe.block_members) == 0


def test_networks_see_scenes_of_their_class_alone():
    recipe = RECIPES["digits-counting"]
    from zoo.data import load_dataset
    from zoo.training.grouping import training_examples

    data = load_dataset(recipe.dataset)
    assert recipe.member_architecture(0, data).classes == ANSWERS
    member = recipe.member(5)
    labels = data.train.targets[training_examples(member, data.train)]
    assert len(labels) == 400
    assert set((labels // ANSWERS).tolist()) == {counted_class(parse_task(member.task))}


def test_networks_that_count_by_regression_are_judged_by_rounded_outputs_and_by_variance(tmp_path):
    recipe = replace(
        RECIPES["digits-counting"], dataset="digits_scenes_counted", members=8, epochs=2, snapshot_epochs=(0, 2)
    )
    zoo = generate_zoo(recipe, Store(tmp_path))
    data, frame = zoo.dataset(), zoo.members.query("epoch == 2").set_index("member")
    assert frame.test_loss.mean() < 2, "less than half of the mean square, 3.5"
    population = zoo.population(epochs="last")
    assert population.architecture.classes == 1
    for row, member in enumerate(population.members):
        examples = select(member.task, data.test)
        outputs_N = population.select([row]).logits(examples.inputs)[0, :, 0].numpy()
        labels_N = examples.targets.numpy()
        told = frame.loc[member.id]
        assert told.test_loss == pytest.approx(np.square(outputs_N - labels_N).mean(), rel=1e-4)
        assert told.test_r2 == pytest.approx(r2_score(labels_N, outputs_N), abs=1e-4)
        assert told.test_accuracy == pytest.approx(np.mean(np.abs(outputs_N - labels_N) < 0.5), abs=1e-6)
