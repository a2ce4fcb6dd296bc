"""How members are drawn: grids, rounds, fixed seeds, ranges, tasks, subsets, several layouts; the published recipes."""

import collections
import dataclasses
import itertools

import numpy as np
import pytest
import torch

from zoo.config import from_json, to_json
from zoo.data import ImageData, Images, load_dataset
from zoo.population import Member
from zoo.recipes import RECIPES, Imported, Recipe, find_recipe, recipe_from_json
from zoo.recipes.tasks import one_vs_one
from zoo.tasks import parse_task

SHAPES = {
    "digits": (1, 8, 8),
    "tetris": (1, 4, 4),
    "mnist": (1, 28, 28),
    "fashion_mnist": (1, 28, 28),
    "svhn": (3, 32, 32),
    "svhn_gray": (1, 32, 32),
    "cifar10": (3, 32, 32),
    "cifar10_gray": (1, 32, 32),
}
PARAMETERS = {
    "cs236-initialisations": {12_730},
    "cs236-deep": {13_274},
    "cs236-wide": {50_890},
    "cs236-mixed-depths": {12_730, 13_002, 13_274},
    "hr-tetris-seed": {100},
    "hr-tetris-hyp": {100},
    **{name: {2464} for name in RECIPES if name.startswith(("hr-mnist", "hr-f-mnist"))},
    **{name: {4970} for name in RECIPES if name.startswith("unterthiner")},
    "unterthiner-svhn": {5258},
    "unterthiner-cifar10": {5258},
    "mnist-memorise-1": {25_450},
    "f-mnist-memorise-2": {26_506},
    "digits-tasks": {538},
    "mnist-tasks-reversed": {6298},
}
GRIDS = [name for name, recipe in RECIPES.items() if recipe.design == "grid"]
FACTORS = ("optimizer", "learning_rate", "weight_decay", "dropout", "initialisation")


def fake_data(recipe):
    """Blank images with the shape and, where it matters, the number of MNIST's or the recipe's own data set."""
    images = 55_000 if recipe.subset_size else 60
    classes = 4 if recipe.dataset == "tetris" else 10
    labels = torch.arange(images) % classes

    def part(count):
        return Images(torch.zeros(count, *SHAPES[recipe.dataset], dtype=torch.uint8), labels[:count], 1 / 255)

    return ImageData(recipe.dataset, classes, part(images), part(50), part(50))


def combination(recipe, member, data):
    """What a grid varies, of one member."""
    shard = member.id // recipe.shard_members
    activation = recipe.shard_architecture(shard, data).activations[0].layer.function
    seed = (member.seed,) if recipe.fixed_seeds else ()
    return (activation, *(getattr(member, field) for field in FACTORS), *seed)


def combinations(recipe, count, data):
    return collections.Counter(combination(recipe, recipe.member(index), data) for index in range(count))


# ---- the named recipes ----


@pytest.mark.parametrize("name", RECIPES)
def test_every_recipe_fits_its_data_set(name):
    recipe = find_recipe(name)
    data = fake_data(recipe)
    recipe.check_data(data)
    counts = {recipe.shard_architecture(shard, data).parameters for shard in range(12)}
    assert counts == PARAMETERS.get(name, counts)
    members = [recipe.member(index) for index in range(0, recipe.members, recipe.members // 7)]
    assert all(isinstance(member, Member) for member in members)
    assert recipe.member(members[3].id) == members[3]
    assert dataclasses.replace(recipe, members=1).member(members[1].id) == members[1], "whatever their number"


def test_published_snapshots():
    assert find_recipe("hr-tetris-seed").snapshot_epochs == tuple(range(1, 76))
    assert find_recipe("hr-mnist-hyp-5-fix-seed").snapshot_epochs == tuple(range(1, 26))
    assert find_recipe("unterthiner-cifar10-gray").snapshot_epochs == (0, 1, 2, 3, 20, 40, 60, 80, 86)


def test_unterthiner_ranges():
    recipe = find_recipe("unterthiner-mnist")
    members = [recipe.member(index) for index in range(0, 30_000, 15)]
    rates = np.log([member.learning_rate for member in members])
    assert rates.min() == pytest.approx(np.log(5e-4), abs=0.02)
    assert rates.max() == pytest.approx(np.log(5e-2), abs=0.02)
    assert {member.optimizer for member in members} == {"adam", "sgd", "rmsprop"}
    decays = np.log([member.weight_decay for member in members])
    assert np.median(decays) == pytest.approx(np.log(2e-5), abs=0.6)
    dropouts = np.array([member.dropout for member in members])
    assert (dropouts.min(), dropouts.max()) == (pytest.approx(0, abs=0.01), pytest.approx(0.7, abs=0.01))
    assert dropouts.mean() == pytest.approx(0.35, abs=0.02)
    for member in members:
        scaled = member.initialisation in ("normal", "truncated_normal")
        assert 0.01 <= member.init_scale <= 5.0 if scaled else member.init_scale == 1.0
    shares = collections.Counter(member.training_fraction for member in members)
    assert set(shares) == {0.1, 0.25, 0.5, 1.0}
    assert min(shares.values()) > 400


# ---- grids ----


@pytest.mark.parametrize("name", GRIDS)
def test_a_grid_has_every_combination_equally_often(name):
    recipe = find_recipe(name)
    found = combinations(recipe, recipe.members, fake_data(recipe))
    choices = len(recipe.activations) * len(recipe.optimizers) * recipe.member_combinations
    assert len(found) == choices * max(1, recipe.fixed_seeds)
    assert set(found.values()) == {recipe.members // len(found)}


@pytest.mark.parametrize("name", GRIDS)
def test_a_cut_of_a_grid_keeps_the_distribution(name):
    recipe = find_recipe(name)
    data = fake_data(recipe)
    for count in (recipe.members // 4, recipe.members // 2):
        found = combinations(recipe, count, data)
        for place in range(6):
            of_one = collections.Counter()
            for key, times in found.items():
                of_one[key[place]] += times
            spread = max(of_one.values()) - min(of_one.values())
            allowed = 0.4 * count / len(of_one) if place else recipe.shard_members
            assert spread <= allowed, (count, place, of_one)


def test_members_of_a_grid_that_are_one_seed_apart():
    rand, fix = find_recipe("hr-mnist-hyp-5-rand-seed"), find_recipe("hr-mnist-hyp-5-fix-seed")
    assert len({rand.member(index).seed for index in range(1280)}) == 1280
    members = [fix.member(index) for index in range(1280)]
    assert len({member.seed for member in members}) == 5
    assert all(member.seed == member.order_seed == member.subset_seed for member in members)
    one = find_recipe("hr-mnist-hyp-1-fix-seed")
    assert len({one.member(index).seed for index in range(1152)}) == 1
    with pytest.raises(ValueError, match=r"Recipe\.members is 1153; allowed: up to 1152, the combinations"):
        dataclasses.replace(one, members=1153)
    with pytest.raises(ValueError, match=r"Recipe\.block_members is 32; allowed: a divisor of 144"):
        dataclasses.replace(one, block_members=32)
    assert dataclasses.replace(find_recipe("hr-mnist-hyp-1-rand-seed"), members=5000).members == 5000


def test_fixed_seeds_without_a_grid_come_in_rounds():
    recipe = dataclasses.replace(find_recipe("digits-mlp-diverse"), fixed_seeds=4, block_members=4, shard_members=16)
    seeds = [recipe.member(4 * block).seed for block in range(40)]
    assert set(collections.Counter(seeds).values()) == {10}
    assert all(len(set(seeds[start : start + 4])) == 4 for start in range(0, 40, 4))


def test_plain_learning_rates_are_taken_as_they_are():
    own = {"optimizers": ("sgd",), "learning_rates": (1e-3, 1e-3), "learning_rate_choices": (0.3,)}
    recipe = dataclasses.replace(find_recipe("digits-mlp-diverse"), **own)
    assert recipe.member(0).learning_rate == pytest.approx(30.0)
    assert dataclasses.replace(recipe, scale_learning_rates=False).member(0).learning_rate == 0.3


# ---- tasks and subsets ----


def test_one_vs_one_has_every_pair():
    assert one_vs_one(3) == ("0-1", "0-2", "1-2")
    assert sorted(one_vs_one(3, reversals=True)) == ["0-1", "0-2", "1-0", "1-2", "2-0", "2-1"]


@pytest.mark.parametrize("name", [name for name, recipe in RECIPES.items() if recipe.tasks != ("",)])
def test_tasks_come_in_rounds_and_blocks_have_one(name):
    recipe = find_recipe(name)
    blocks = recipe.members // recipe.block_members
    tasks = [recipe.member(block * recipe.block_members).task for block in range(blocks)]
    assert set(collections.Counter(tasks).values()) == {blocks // len(recipe.tasks)}
    assert set(tasks[: len(recipe.tasks)]) == set(recipe.tasks)
    for block in range(0, blocks, 17):
        of_block = range(block * recipe.block_members, (block + 1) * recipe.block_members)
        assert len({recipe.member(index).task for index in of_block}) == 1
    reversals = {task for task in tasks if parse_task(task) != tuple(sorted(parse_task(task)))}
    assert len(reversals) == (45 if name.endswith("reversed") else 0)


def test_every_block_of_memorisers_has_a_subset_of_its_own():
    recipe = dataclasses.replace(find_recipe("mnist-memorise-1"), block_members=2)
    members = [recipe.member(index) for index in range(200)]
    assert len({member.subset_seed for member in members}) == 1
    assert [member.subset_index for member in members] == [index // 2 for index in range(200)]
    assert {member.subset_size for member in members} == {100}


# ---- several layouts ----


def test_depths_come_in_rounds_and_widths_are_drawn():
    recipe = find_recipe("digits-mlp-mixed")
    data = load_dataset("digits")
    shapes = []
    for shard in range(60):
        architecture = recipe.shard_architecture(shard, data)
        shapes.append(tuple(spec.shape[0] for spec in architecture.layout if len(spec.shape) == 2)[:-1])
    depths = [len(shape) for shape in shapes]
    assert set(collections.Counter(depths).values()) == {20}
    assert all(set(depths[start : start + 3]) == {1, 2, 3} for start in range(0, 60, 3))
    assert set(itertools.chain(*shapes)) == {8, 16, 32}
    assert any(len(set(shape)) > 1 for shape in shapes), "each layer has a width of its own"


def test_kernels_differ_and_members_can_each_have_their_own_architecture():
    own = {"shard_members": 1, "block_members": 1, "members": 40}
    recipe = dataclasses.replace(find_recipe("mnist-cnn-mixed"), **own)
    data = fake_data(recipe)
    architectures = [recipe.shard_architecture(index, data) for index in range(40)]
    kernels = {architecture.layout[0].shape[-1] for architecture in architectures}
    assert kernels == {3, 5}
    assert len({architecture.layout for architecture in architectures}) > 10


# ---- refusals ----


@pytest.mark.parametrize(
    ("name", "changes", "message"),
    [
        ("digits-mlp-mixed", {"hidden": (16,)}, r"Recipe\.hidden is \(16,\); allowed: \(\) where depths is given"),
        ("digits-mlp-mixed", {"widths": ()}, r"Recipe\.widths is \(\); allowed: choices where depths is given"),
        ("digits-mlp-mixed", {"widths": (0,)}, r"Recipe\.widths is \(0,\); allowed: whole numbers, 1 or more"),
        ("digits-mlp-mixed", {"depths": (1.5,)}, r"Recipe\.depths is \(1\.5,\); allowed: whole numbers, 0 or more"),
        ("digits-mlp-mixed", {"kernels": (3,)}, r"Recipe\.kernels is \(3,\); allowed: \(\) for architecture 'mlp'"),
        ("digits-mlp-seeds", {"depths": 2}, r"Recipe\.depths is 2; allowed: a tuple"),
        ("digits-tasks", {"tasks": ("0-1", "")}, r"Recipe\.tasks is .*allowed: tasks of equally many classes"),
        ("digits-tasks", {"tasks": ("3-3",)}, r"Recipe\.tasks is .*different classes"),
        ("digits-tasks", {"tasks": (3,)}, r"Recipe\.tasks is \(3,\)"),
        ("mnist-memorise-1", {"subset_size": -1}, r"Recipe\.subset_size is -1; allowed: a whole number, 0 or more"),
        (
            "mnist-memorise-1",
            {"training_fractions": (0.5,)},
            r"Recipe\.training_fractions is .*where there is a subset",
        ),
        ("mnist-memorise-1", {"fixed_seeds": 3}, r"Recipe\.fixed_seeds is 3; allowed: 0 where there is a subset_size"),
        (
            "unterthiner-mnist",
            {"weight_decays": (0.1,)},
            r"Recipe\.weight_decays is .*where weight_decay_range is given",
        ),
        ("unterthiner-mnist", {"dropouts": (0.1,)}, r"Recipe\.dropouts is .*where dropout_range is given"),
        ("unterthiner-mnist", {"dropout_range": (0.1, 1.0)}, r"Recipe\.dropout_range is .*low <= high < 1"),
        ("unterthiner-mnist", {"weight_decay_range": (0.0, 1.0)}, r"Recipe\.weight_decay_range is .*0 < low"),
        (
            "unterthiner-mnist",
            {"scaled_initialisations": ("uniform",)},
            r"scaled_initialisations is .*of initialisations",
        ),
        ("hr-mnist-hyp-5-fix-seed", {"design": "full"}, r"Recipe\.design is 'full'; allowed: random, grid"),
        (
            "hr-mnist-hyp-5-fix-seed",
            {"scale_learning_rates": 1},
            r"Recipe\.scale_learning_rates is 1; allowed: true or",
        ),
        ("hr-mnist-hyp-5-fix-seed", {"learning_rate_choices": (0.0,)}, r"Recipe\.learning_rate_choices is \(0\.0,\)"),
        ("hr-mnist-hyp-5-fix-seed", {"learning_rates": (1e-2, 1e-2)}, r"where learning_rate_choices is given"),
    ],
)
def test_a_recipe_names_the_field_and_what_is_allowed(name, changes, message):
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(find_recipe(name), **changes)


@pytest.mark.parametrize(
    ("name", "changes", "message"),
    [
        ("mnist-memorise-1", {"members": 551}, "Recipe.members is 551; allowed: up to 550, since the training images"),
        ("mnist-memorise-1", {"members": 9, "subset_size": 55_001}, "allowed: up to 0"),
        ("mnist-tasks", {"tasks": ("3-12",)}, "Recipe.tasks has '3-12'; allowed: classes 0 to 9, as 'mnist' has"),
        ("mnist-mlp-seeds", {"architecture": "mlp3"}, "unknown architecture 'mlp3'; known: cnn"),
        ("hr-mnist-seed", {"hidden": (8,)}, "cnn-2464 has fixed widths"),
        ("mnist-cnn-mixed", {"depths": (5,)}, "."),
    ],
)
def test_what_does_not_fit_the_data_is_found_before_training(name, changes, message):
    recipe = dataclasses.replace(find_recipe(name), **changes)
    with pytest.raises(ValueError, match=message):
        recipe.check_data(fake_data(recipe))


def test_what_stands_behind_a_zoo_is_read_by_its_kind():
    recipe = find_recipe("digits-tasks")
    assert recipe_from_json(to_json(recipe)) == recipe
    assert recipe_from_json({"kind": "recipe", **to_json(recipe)}) == recipe
    assert from_json(Recipe, to_json(recipe)) == recipe
    imported = Imported(name="x", members=3, source_format="y", source_sha256="ab", snapshot_epochs=(1, 2))
    assert recipe_from_json(imported.to_json()) == imported
    with pytest.raises(ValueError, match="recipe is of kind 'mystery'; allowed: recipe, imported"):
        recipe_from_json({"kind": "mystery"})
