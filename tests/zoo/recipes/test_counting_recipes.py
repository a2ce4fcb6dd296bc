"""Zoos that count: their tasks, and that all splits have some."""

import pytest

from zoo.data.class_tasks import parse_task
from zoo.data.scenes import ANSWERS, counted_class
from zoo.recipes import RECIPES, counting
from zoo.storage.rows import SPLITS, split_of

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
