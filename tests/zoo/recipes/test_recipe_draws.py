"""How members are drawn: grids, rounds, fixed seeds, ranges, tasks, subsets, several layouts; the published recipes."""

import collections
import dataclasses
import math

import numpy as np
import pytest
import torch

from zoo.config import from_json, to_json
from zoo.data import Dataset, Task
from zoo.data.class_tasks import parse_task
from zoo.data.examples import Examples
from zoo.population import Member
from zoo.recipes import RECIPES, Imported, Recipe, find_recipe, recipe_from_json
from zoo.recipes.drawing import Shape
from zoo.recipes.tasks import one_vs_one

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
# Those of Unterthiner et al. differ in their data set alone.
GRIDS = ["unterthiner-mnist"]
GRIDS += [name for name, recipe in RECIPES.items() if recipe.design == "grid" and recipe.architecture != "cnn-4970"]
FACTORS = {  # what a grid varies of a member, and the field with its choices
    "optimizer": "optimizers",
    "training_fraction": "training_fractions",
    "learning_rate": "learning_rate_choices",
    "weight_decay": "weight_decays",
    "dropout": "dropouts",
    "initialization": "initializations",
}


def fake_data(recipe):
    """Blank images with the shape and, where it matters, the number of MNIST's or the recipe's own data set."""
    images = 55_000 if recipe.subset_size else 60
    classes = 4 if recipe.dataset == "tetris" else 10
    labels = torch.arange(images) % classes

    def part(count):
        return Examples(torch.zeros(count, *SHAPES[recipe.dataset], dtype=torch.uint8), labels[:count], 1 / 255)

    return Dataset(recipe.dataset, Task("softmax", classes), part(images), part(50), part(50))


def combination(recipe, member):
    """What a grid varies, of one member."""
    activation = recipe.shard(member.id).shape.activation
    seed = (member.seed,) if recipe.fixed_seeds else ()
    varied = (field for field, choices in FACTORS.items() if len(getattr(recipe, choices)) > 1)
    return (activation, *(getattr(member, field) for field in varied), *seed)


def combinations(recipe, count):
    return collections.Counter(combination(recipe, recipe.member(index)) for index in range(count))


# ---- the named recipes ----


@pytest.mark.parametrize("name", RECIPES)
def test_every_recipe_fits_its_data_set(name):
    recipe = find_recipe(name)
    data = fake_data(recipe)
    recipe.check_data(data)
    counts = {recipe.member_architecture(shard * recipe.shard_members, data).parameters for shard in range(12)}
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
        scaled = member.initialization in ("normal", "truncated_normal")
        assert 0.01 <= member.init_scale <= 5.0 if scaled else member.init_scale == 1.0
    shares = collections.Counter(member.training_fraction for member in members)
    assert set(shares) == {0.1, 0.25, 0.5, 1.0}
    assert min(shares.values()) > 400


# ---- grids ----


@pytest.mark.parametrize("name", GRIDS)
def test_a_grid_has_every_combination_equally_often(name):
    recipe = find_recipe(name)
    found = combinations(recipe, recipe.members)
    assert len(found) == math.prod(recipe.grid_sizes)
    # The last round of the 30 000 members of Unterthiner et al. is unfinished.
    unfinished = recipe.block_members if name.startswith("unterthiner") else 0
    assert max(found.values()) - min(found.values()) <= unfinished


@pytest.mark.parametrize("name", GRIDS)
def test_a_cut_of_a_grid_keeps_the_distribution(name):
    recipe = find_recipe(name)
    for count in (recipe.members // 4, recipe.members // 2):
        found = combinations(recipe, count)
        for place in range(len(next(iter(found))) - bool(recipe.fixed_seeds)):
            of_one = collections.Counter()
            for key, times in found.items():
                of_one[key[place]] += times
            spread = max(of_one.values()) - min(of_one.values())
            allowed = max(0.45 * count / len(of_one), 2 * recipe.block_members) if place else recipe.shard_members
            assert spread <= allowed, (count, place, of_one)


def test_the_first_blocks_of_a_grid_have_all_that_they_can():
    few = [find_recipe("hr-mnist-hyp-5-rand-seed").member(index) for index in range(64)]
    assert set(collections.Counter(member.optimizer for member in few).values()) == {32}
    recipe = find_recipe("unterthiner-mnist")
    kinds = [
        (recipe.shard(index).shape.activation, member.optimizer, member.training_fraction)
        for index in range(0, 24 * 16, 16)
        for member in [recipe.member(index)]
    ]
    assert len(set(kinds)) == 24
    assert len({kind[1:] for kind in kinds[:12]}) == 12, "activations do not repeat each other's blocks"


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
        dataclasses.replace(one, block_members=32, shard_members=32)
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


MIXED = find_recipe("digits-mlp-mixed")


def test_each_member_has_a_shape_of_its_own():
    shapes = collections.Counter()
    for shard in MIXED.shards(0, 20 * MIXED.window_members):
        shapes[shard.shape] += shard.end - shard.first
    depths, activations, first = collections.Counter(), collections.Counter(), collections.Counter()
    for shape, count in shapes.items():
        depths[len(shape.hidden)] += count
        activations[shape.activation] += count
        first[shape.hidden[0]] += count
    # Of 20 480 independent draws of three, each occurs 6 827 times, with a standard deviation of 67.
    for counts in (depths, activations, first):
        assert len(counts) == 3
        assert all(abs(count - 20_480 / 3) < 5 * 67 for count in counts.values()), counts
    # Of three layers of equal widths and one activation: 20 480 / 243 = 84, with a standard deviation of 9.
    each = [shapes[Shape("relu", (8, 16, 32), None)], shapes[Shape("tanh", (32, 32, 32), None)]]
    assert all(abs(count - 84) < 5 * 9 for count in each), each


def test_shards_of_several_shapes_divide_the_members():
    end = 2 * MIXED.window_members
    shards = list(MIXED.shards(0, end))
    assert [shards[0].first, *(shard.end for shard in shards)] == [*(shard.first for shard in shards), end]
    assert all(1 <= shard.end - shard.first <= MIXED.shard_members for shard in shards)
    assert any(shard.end == MIXED.window_members for shard in shards), "no shard is of two windows"
    assert {shard.end - shard.first for shard in shards} >= {1, 16}
    for shard in shards[::7]:
        assert MIXED.shard(shard.first) == MIXED.shard(shard.end - 1) == shard
    assert list(MIXED.shards(shards[3].first + 1, shards[5].first + 1)) == shards[3:6]
    one = dataclasses.replace(MIXED, members=5)
    assert list(one.shards(0, end)) == shards, "whatever the number of members"


def test_the_first_part_of_several_shapes_is_a_sample_of_all():
    recipe = find_recipe("cs236-mixed-depths")
    for members in (96, 200, 512):
        depths = collections.Counter()
        for shard in recipe.shards(0, members):
            depths[len(shard.shape.hidden)] += min(shard.end, members) - shard.first
        assert all(abs(depths[depth] - members / 3) <= 2 * recipe.shard_members for depth in (1, 2, 3)), depths


def test_kernels_differ():
    recipe = find_recipe("mnist-cnn-mixed")
    data = fake_data(recipe)
    layouts = [recipe.member_architecture(shard.first, data).layout for shard in recipe.shards(0, 200)]
    assert {layout[0].shape[-1] for layout in layouts} == {3, 5}
    assert len(set(layouts)) > 10


def test_networks_normalize_their_inputs_where_a_recipe_says_so():
    recipe = find_recipe("hr-mnist-seed")
    data = fake_data(recipe)
    architecture = recipe.member_architecture(0, data)
    bare = dataclasses.replace(recipe, normalize=()).member_architecture(0, data)
    assert architecture.layers[1:] == bare.layers
    weights_MP = torch.randn(2, bare.parameters)
    images = data.train.inputs
    expected = bare.logits(weights_MP, (images - 0.1307) / 0.3081)
    assert torch.allclose(architecture.logits(weights_MP, images), expected, atol=1e-5)


def test_what_came_later_leaves_the_identity_of_other_recipes_alone():
    plain, normalized = find_recipe("digits-mlp-seeds"), find_recipe("hr-mnist-seed")
    assert {"normalize", "window_members"}.isdisjoint(plain.identity())
    assert normalized.identity()["normalize"] == [0.1307, 0.3081]
    assert MIXED.identity()["window_members"] == 1024
    assert from_json(Recipe, to_json(plain) | {"normalize": [], "window_members": 7}).digest("") == plain.digest("")


# ---- refusals ----


@pytest.mark.parametrize(
    ("name", "changes", "message"),
    [
        ("digits-mlp-mixed", {"hidden": (16,)}, r"Recipe\.hidden is \(16,\); allowed: \(\) where depths is given"),
        ("digits-mlp-mixed", {"widths": ()}, r"Recipe\.widths is \(\); allowed: choices where depths is given"),
        ("digits-mlp-mixed", {"widths": (0,)}, r"Recipe\.widths is \(0,\); allowed: whole numbers, 1 or more"),
        ("digits-mlp-mixed", {"depths": (1.5,)}, r"Recipe\.depths is \(1\.5,\); allowed: whole numbers, 0 or more"),
        ("digits-mlp-mixed", {"design": "grid"}, r"Recipe\.design is 'grid'; allowed: random with depths or kernels"),
        ("digits-mlp-mixed", {"window_members": 0}, r"Recipe\.window_members is 0; allowed: a whole number, 1 or more"),
        ("digits-mlp-mixed", {"kernels": (3,)}, r"Recipe\.kernels is \(3,\); allowed: \(\) for architecture 'mlp'"),
        (
            "digits-mlp-seeds",
            {"normalize": (0.5, 0)},
            r"Recipe\.normalize is \(0\.5, 0\); allowed: \(mean, standard dev",
        ),
        (
            "digits-mlp-seeds",
            {"normalize": (0.5,)},
            r"Recipe\.normalize is \(0\.5,\); allowed: \(mean, standard deviat",
        ),
        ("digits-mlp-seeds", {"normalize": (math.nan, 1.0)}, r"Recipe\.normalize is \(nan, 1\.0\); allowed: .*finite"),
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
            {"scaled_initializations": ("uniform",)},
            r"scaled_initializations is .*of initializations",
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
