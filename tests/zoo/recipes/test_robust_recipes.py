"""Zoos of networks that were trained to withstand noise and adversaries."""

import collections
import dataclasses

import pytest

from zoo.generation.build import generate_zoo
from zoo.recipes import RECIPES
from zoo.storage.rows import OPTIONAL_COLUMNS
from zoo.storage.store import Store


@pytest.mark.parametrize("name", ["digits-robust", "f-mnist-robust", "cifar10-robust"])
def test_every_combination_has_as_many_members(name):
    recipe = RECIPES[name]
    members = [recipe.member(index) for index in range(recipe.members)]
    ways = collections.Counter((member.weight_noise > 0, member.attack_steps > 0) for member in members)
    assert ways == {(noise, attack): 64 for noise in (False, True) for attack in (False, True)}
    for start in range(0, len(members), recipe.block_members):
        block = members[start : start + recipe.block_members]
        assert len({member.order_seed for member in block}) == 1
        assert len({(member.weight_noise, member.adversarial_epsilon) for member in block}) == 4


def test_columns_are_there_where_they_vary_and_populations_tell_them_anyway(tmp_path):
    recipe = dataclasses.replace(RECIPES["digits-robust"], members=16, epochs=1, snapshot_epochs=(0, 1))
    zoo = generate_zoo(recipe, Store(tmp_path))
    assert set(zoo.snapshots.column_names) >= OPTIONAL_COLUMNS
    population = zoo.population(epochs="last")
    expected = [recipe.member(index) for index in range(16)]
    assert list(population.members) == expected
    assert population.column("adversarial_epsilon").tolist() == [member.adversarial_epsilon for member in expected]
    plain = {name: axis for name, axis in recipe.axes.items() if name not in OPTIONAL_COLUMNS}
    usual = generate_zoo(dataclasses.replace(recipe, axes=plain, design="random"), Store(tmp_path))
    assert not OPTIONAL_COLUMNS.intersection(usual.snapshots.column_names)
    assert set(usual.population(epochs="last").column("adversarial_epsilon")) == {0.0}
