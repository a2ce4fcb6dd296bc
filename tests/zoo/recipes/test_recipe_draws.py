"""How members are drawn: grids, rounds, fixed seeds, ranges, tasks, subsets, several layouts; the published recipes."""

import collections
import dataclasses
import json
import math

import numpy as np
import pytest
import torch

from zoo.config import to_json
from zoo.data import Dataset, Task
from zoo.data.class_tasks import one_vs_last, one_vs_one, parse_task
from zoo.data.examples import Examples
from zoo.population import Member
from zoo.recipes import RECIPES, Axis, Imported, Recipe, find_recipe, recipe_from_json

SHAPES = {
    "digits": (1, 8, 8),
    "tetris": (1, 4, 4),
    "mnist": (1, 28, 28),
    "fashion_mnist": (1, 28, 28),
    "svhn": (3, 32, 32),
    "svhn_gray": (1, 32, 32),
    "cifar10": (3, 32, 32),
    "cifar10_gray": (1, 32, 32),
    "cifar100": (3, 32, 32),
    "digits_scenes": (1, 24, 24),
    "digits_turned_scenes": (1, 24, 24),
    "mnist_scenes": (1, 42, 42),
    "cifar100_scenes": (3, 48, 48),
}
CLASSES = {
    "tetris": 4,
    "cifar100": 100,
    "digits_scenes": 40,
    "digits_turned_scenes": 320,
    "mnist_scenes": 40,
    "cifar100_scenes": 400,
}
PARAMETERS = {
    "cs236-initialisations": {12_730},
    "cs236-deep": {13_274},
    "cs236-wide": {50_890},
    "cs236-mixed-depths": {12_730, 13_002, 13_274},
    "digits-mlp-cnn-mixed": {666, 1_210, 1_482},
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
    "cifar100-against-last": {37_266},
    "cifar100-against-last-small": {5922},
}
# Those of Unterthiner et al. differ in their data set alone.
GRIDS = ["unterthiner-mnist"]
GRIDS += [name for name, recipe in RECIPES.items() if recipe.design == "grid" and recipe.architecture != "cnn-4970"]


def fake_data(recipe):
    """Blank images with the shape and, where it matters, the number of MNIST's or the recipe's own data set."""
    images = 55_000 if "subset_size" in recipe.axes else 60
    classes = CLASSES.get(recipe.dataset, 10)
    images = max(images, classes)
    labels = torch.arange(images) % classes

    def part(count):
        return Examples(torch.zeros(count, *SHAPES[recipe.dataset], dtype=torch.uint8), labels[:count], 1 / 255)

    return Dataset(recipe.dataset, Task("softmax", classes), part(images), part(50), part(50))


def combination(recipe, member):
    """What a grid varies, of one member: of its shard first, of its block and its own next."""
    values = {**dataclasses.asdict(member), **dict(recipe.shard(member.id).arguments)}
    return tuple(values[field] for factors in recipe.drawing.factors.values() for field in factors)


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
    assert len(found) == math.prod(math.prod(factors.values()) for factors in recipe.drawing.factors.values())
    # The last round of the 30 000 members of Unterthiner et al. is unfinished.
    unfinished = recipe.block_members if name.startswith("unterthiner") else 0
    assert max(found.values()) - min(found.values()) <= unfinished


@pytest.mark.parametrize("name", GRIDS)
def test_a_cut_of_a_grid_keeps_the_distribution(name):
    recipe = find_recipe(name)
    for count in (recipe.members // 4, recipe.members // 2):
        found = combinations(recipe, count)
        fields = [field for factors in recipe.drawing.factors.values() for field in factors]
        for place, field in enumerate(fields):
            if field == "seed":
                continue
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
        (dict(recipe.shard(index).arguments)["activation"], member.optimizer, member.training_fraction)
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
    assert {member.seed for member in members} == {1, 2, 3, 4, 5}
    one = find_recipe("hr-mnist-hyp-1-fix-seed")
    assert len({one.member(index).seed for index in range(1152)}) == 1
    with pytest.raises(ValueError, match=r"Recipe\.members is 1153; allowed: up to 1152, the combinations"):
        dataclasses.replace(one, members=1153)
    with pytest.raises(ValueError, match=r"Recipe\.block_members is 32; allowed: a divisor of 144"):
        dataclasses.replace(one, block_members=32, shard_members=32)
    assert dataclasses.replace(find_recipe("hr-mnist-hyp-1-rand-seed"), members=5000).members == 5000


def test_a_grid_takes_choices_that_depend_on_another_axis_where_they_are_as_many():
    recipe = find_recipe("hr-mnist-hyp-5-rand-seed")
    rates = Axis(choices=(1e-3, 1e-4), given="optimizer", cases={"momentum": [0.1, 0.01]})
    found = combinations(dataclasses.replace(recipe, axes={**recipe.axes, "learning_rate": rates}), recipe.members)
    assert set(found.values()) == {5}
    assert {rate for key in found for rate in key if isinstance(rate, float)} > {1e-3, 1e-4, 0.1, 0.01}
    uneven = Axis(choices=(1e-3, 1e-4), given="optimizer", cases={"momentum": [0.1]})
    with pytest.raises(ValueError, match=r"'learning_rate'\] has 1 and 2 choices in its cases; allowed: equally many"):
        dataclasses.replace(recipe, axes={**recipe.axes, "learning_rate": uneven})


# ---- draws ----


DIVERSE = find_recipe("digits-mlp-diverse")


def test_fixed_seeds_without_a_grid_come_in_rounds():
    axes = {**DIVERSE.axes, "seed": Axis(choices=(7, 8, 9, 10), level="block")}
    recipe = dataclasses.replace(DIVERSE, axes=axes, block_members=4, shard_members=16)
    seeds = [recipe.member(4 * block).seed for block in range(40)]
    assert set(collections.Counter(seeds).values()) == {10}
    assert all(set(seeds[start : start + 4]) == {7, 8, 9, 10} for start in range(0, 40, 4))


@pytest.mark.parametrize("name", ["digits-mlp-diverse", "digits-mlp-mixed", "cs236-mixed-depths"])
@pytest.mark.parametrize(
    ("field", "axis"),
    [
        ("training_fraction", [0.3, 0.6]),
        ("weight_decay", Axis(range=(1e-5, 1e-2))),
        ("dropout", Axis(range=(0.0, 0.3), scale="linear", level="block")),
        ("init_scale", 1.5),
    ],
)
def test_a_further_axis_changes_no_other_field(name, field, axis):
    recipe = find_recipe(name)
    without = dataclasses.replace(recipe, axes={other: a for other, a in recipe.axes.items() if other != field})
    more = dataclasses.replace(without, axes={**without.axes, field: axis})
    for index in range(200):
        before, after = without.member(index), more.member(index)
        assert dataclasses.replace(after, **{field: getattr(before, field)}) == before
        assert more.shard(index) == without.shard(index)
    assert len({getattr(more.member(index), field) for index in range(200)}) >= (1 if axis == 1.5 else 2)


def test_draws_depend_on_the_seed_of_the_recipe_and_not_on_its_name():
    same = dataclasses.replace(DIVERSE, name="other", members=5)
    other = dataclasses.replace(DIVERSE, seed=1)
    assert [same.member(index) for index in range(50)] == [DIVERSE.member(index) for index in range(50)]
    assert (
        len({other.member(index).seed for index in range(50)} & {same.member(index).seed for index in range(50)}) == 0
    )


@pytest.mark.parametrize("level", ["shard", "block", "member"])
def test_a_level_says_what_has_a_value_of_its_own(level):
    size = {"shard": 64, "block": 16, "member": 1}[level]
    rates = Axis(range=(1e-3, 1.0), level=level)
    recipe = dataclasses.replace(DIVERSE, axes={**DIVERSE.axes, "learning_rate": rates})
    values = [recipe.member(index).learning_rate for index in range(256)]
    assert all(len(set(values[start : start + size])) == 1 for start in range(0, 256, size))
    assert len(set(values)) == 256 // size


def test_choices_of_members_come_in_rounds():
    for field, count in (("initialization", 6), ("dropout", 3), ("weight_decay", 3)):
        values = [getattr(DIVERSE.member(index), field) for index in range(60)]
        assert all(len(set(values[start : start + count])) == count for start in range(0, 60, count))
    pairs = collections.Counter((DIVERSE.member(i).dropout, DIVERSE.member(i).weight_decay) for i in range(1800))
    # Two axes are independent: 200 of each of nine pairs, with a standard deviation below 14.
    assert all(abs(times - 200) < 70 for times in pairs.values()), pairs


def test_ranges_are_drawn_on_their_scale():
    axes = {
        "learning_rate": Axis(range=(1e-4, 1e-2)),
        "dropout": Axis(range=(0.2, 0.6), scale="linear"),
        "seed": Axis(range=(3, 5), scale="whole"),
    }
    recipe = Recipe(name="ranges", dataset="digits", axes=axes)
    members = [recipe.member(index) for index in range(1000)]
    assert np.median([member.learning_rate for member in members]) == pytest.approx(1e-3, rel=0.2)
    assert np.mean([member.dropout for member in members]) == pytest.approx(0.4, abs=0.02)
    assert all(1e-4 <= member.learning_rate <= 1e-2 and 0.2 <= member.dropout <= 0.6 for member in members)
    assert set(collections.Counter(member.seed for member in members)) == {3, 4, 5}


def test_an_axis_follows_the_one_that_it_is_given():
    for member in map(DIVERSE.member, range(320)):
        low = {"sgd": 0.1, "momentum": 0.01}.get(member.optimizer, 1e-3)
        assert low * (1 - 1e-5) <= member.learning_rate <= 10 * low * (1 + 1e-5)
    chained = {
        **DIVERSE.axes,
        "dropout": Axis(choices=(0.0,), given="activation", cases={"relu": 0.5}),
        "order_seed": Axis(given="subset_seed"),
        "subset_seed": Axis(given="seed"),
        "seed": Axis(choices=(5, 6), level="block"),
    }
    recipe = dataclasses.replace(DIVERSE, axes=chained)
    for index in range(0, 640, 16):
        member, activation = recipe.member(index), dict(recipe.shard(index).arguments)["activation"]
        assert member.dropout == (0.5 if activation == "relu" else 0.0)
        assert member.seed == member.order_seed == member.subset_seed


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_from_json_draws_the_same_members(name):
    recipe = find_recipe(name)
    again = recipe_from_json(json.loads(json.dumps(to_json(dataclasses.replace(recipe, members=recipe.members // 2)))))
    for index in range(0, recipe.members, recipe.members // 5):
        assert again.member(index) == recipe.member(index)
        assert again.shard(index) == recipe.shard(index)


# ---- tasks and subsets ----


def test_one_vs_one_has_every_pair():
    assert one_vs_one(3) == ["0-1", "0-2", "1-2"]
    assert sorted(one_vs_one(3, reversals=True)) == ["0-1", "0-2", "1-0", "1-2", "2-0", "2-1"]


def test_one_vs_last_has_every_class_but_the_last():
    assert one_vs_last(4) == ["0-3", "1-3", "2-3"]
    assert one_vs_last(3, reversals=True) == ["0-2", "1-2", "2-0", "2-1"]


@pytest.mark.parametrize("name", [name for name, recipe in RECIPES.items() if "task" in recipe.axes])
def test_tasks_come_in_rounds_and_blocks_have_one(name):
    recipe = find_recipe(name)
    blocks = recipe.members // recipe.block_members
    tasks = [recipe.member(block * recipe.block_members).task for block in range(blocks)]
    assert set(collections.Counter(tasks).values()) == {blocks // recipe.axes["task"].count}
    assert set(tasks[: recipe.axes["task"].count]) == set(recipe.axes["task"].choices)
    for block in range(0, blocks, 17):
        of_block = range(block * recipe.block_members, (block + 1) * recipe.block_members)
        assert len({recipe.member(index).task for index in of_block}) == 1
    reversals = {task for task in tasks if parse_task(task) != tuple(sorted(parse_task(task)))}
    pairs = {frozenset(parse_task(task)) for task in tasks}
    assert len(reversals) == (len(pairs) if name.endswith("reversed") else 0)


def test_every_block_of_memorisers_has_a_subset_of_its_own():
    recipe = dataclasses.replace(find_recipe("mnist-memorise-1"), block_members=2)
    members = [recipe.member(index) for index in range(1100)]
    assert len({member.subset_seed for member in members}) == 1
    assert [member.subset_index for member in members[::2]] == [member.subset_index for member in members[1::2]]
    assert sorted(member.subset_index for member in members[::2]) == list(range(550))
    assert {member.subset_size for member in members} == {100}


# ---- several layouts ----


MIXED = find_recipe("digits-mlp-mixed")


def test_each_member_has_a_shape_of_its_own():
    shapes = collections.Counter()
    for shard in MIXED.shards(0, 20 * MIXED.window_members):
        shapes[shard.arguments] += shard.end - shard.first
    depths, activations, first = collections.Counter(), collections.Counter(), collections.Counter()
    for arguments, count in shapes.items():
        shape = dict(arguments)
        depths[len(shape["hidden"])] += count
        activations[shape["activation"]] += count
        first[shape["hidden"][0]] += count
    # Of 20 480 independent draws of three, each occurs 6 827 times, with a standard deviation of 67.
    for counts in (depths, activations, first):
        assert len(counts) == 3
        assert all(abs(count - 20_480 / 3) < 5 * 67 for count in counts.values()), counts
    # Of three layers of equal widths and one activation: 20 480 / 243 = 84, with a standard deviation of 9.
    some = (("relu", (8, 16, 32)), ("tanh", (32, 32, 32)))
    each = [shapes[("activation", activation), ("hidden", hidden)] for activation, hidden in some]
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
            depths[len(dict(shard.arguments)["hidden"])] += min(shard.end, members) - shard.first
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
    weights_MP = 0.3 * torch.randn(2, bare.parameters, generator=torch.Generator().manual_seed(0))
    images = data.train.inputs
    expected = bare.logits(weights_MP, (images - 0.1307) / 0.3081)
    assert torch.allclose(architecture.logits(weights_MP, images), expected, atol=1e-5)


def test_what_a_recipe_does_without_is_not_part_of_its_identity():
    plain, normalized = find_recipe("digits-mlp-seeds"), find_recipe("hr-mnist-seed")
    assert {"normalize", "design"}.isdisjoint(plain.identity())
    assert normalized.identity()["normalize"] == [0.1307, 0.3081]


# ---- refusals ----


@pytest.mark.parametrize(
    ("name", "changes", "message"),
    [
        ("digits-mlp-mixed", {"design": "grid"}, r"Recipe\.design is 'grid'; allowed: random where architectures are"),
        (
            "digits-mlp-mixed",
            {"window_members": 0},
            r"Recipe\.window_members is 0; allowed: a whole number, 1 to",
        ),
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
        ("hr-mnist-hyp-5-fix-seed", {"design": "full"}, r"Recipe\.design is 'full'; allowed: random, grid"),
        ("mnist-memorise-1", {"members": 551}, r"Recipe\.members is 551; allowed: up to 550, since there are 550"),
    ],
)
def test_a_recipe_names_the_field_and_what_is_allowed(name, changes, message):
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(find_recipe(name), **changes)


def test_mixed_zoos_have_shards_of_their_own_sizes():
    axes = {**MIXED.axes, "dropout": Axis(choices=(0.1, 0.2), level="shard")}
    with pytest.raises(ValueError, match=r"'dropout'\] has level 'shard'; allowed: block or member where"):
        dataclasses.replace(MIXED, axes=axes)


@pytest.mark.parametrize(
    ("name", "changes", "axes", "message"),
    [
        (
            "mnist-memorise-1",
            {},
            {"subset_size": 101},
            r"subset_index'\] has 549; allowed: 0 to 543, since the training",
        ),
        ("mnist-memorise-1", {}, {"subset_size": 55_001}, "allowed: no subset, since the training examples of 'mnist'"),
        ("mnist-tasks", {}, {"task": "3-12"}, r"'task'\] has '3-12'; allowed: classes 0 to 9, as 'mnist' has"),
        (
            "mnist-mlp-seeds",
            {"architecture": "mlp3"},
            {},
            r"unknown architecture 'mlp3'; did you mean 'mlp'\? known: cnn",
        ),
        ("hr-mnist-seed", {}, {"hidden": (8,)}, "cnn-2464 has fixed widths"),
        ("mnist-cnn-mixed", {}, {"hidden": (4,) * 5}, "."),
        ("mnist-mlp-seeds", {}, {"optimizer": ["adam", "nowhere:Lion"]}, "module 'nowhere' cannot be imported"),
        ("mnist-mlp-seeds", {}, {"initialization": "zoo.config:digest"}, "it must be a zoo.population"),
        ("mnist-mlp-seeds", {}, {"hidden": (0,)}, "Linear.features is 0"),
        ("mnist-mlp-seeds", {}, {"activation": ["relu", "sine"]}, "unknown activation 'sine'; known: "),
    ],
)
def test_what_does_not_fit_the_data_is_found_before_training(name, changes, axes, message):
    recipe = find_recipe(name)
    recipe = dataclasses.replace(recipe, **changes, axes={**recipe.axes, **axes})
    with pytest.raises(ValueError, match=message):
        recipe.check_data(fake_data(recipe))


def test_what_stands_behind_a_zoo_is_read_by_its_kind():
    recipe = find_recipe("digits-tasks")
    assert recipe_from_json(to_json(recipe)) == recipe
    assert recipe_from_json({"kind": "recipe", **to_json(recipe)}) == recipe
    imported = Imported(name="x", members=3, source_format="y", source_sha256="ab", snapshot_epochs=(1, 2))
    assert recipe_from_json(imported.to_json()) == imported
    with pytest.raises(ValueError, match="recipe is of kind 'mystery'; allowed: recipe, imported"):
        recipe_from_json({"kind": "mystery"})
