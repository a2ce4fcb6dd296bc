"""Recipes: prefix stability, identity, choices."""

import collections
import dataclasses
import hashlib
import json
import math
import os
import time
from pathlib import Path

import pytest
import torch

from zoo.architecture import mlp
from zoo.config import attribute_words, canonical_json, digest, lookup, to_json
from zoo.data import load_dataset
from zoo.evaluation import agreement_matrix, classification, predictions
from zoo.population import Member, Population
from zoo.recipes import RECIPES, Axis, Recipe, find_recipe
from zoo.training.train import train_population

DIGITS = load_dataset("digits")
OWN_RECIPE = dataclasses.replace(RECIPES["digits-mlp-seeds"], name="own", axes={"hidden": (5,)})


@pytest.mark.parametrize("name", RECIPES)
def test_every_recipe_is_json_and_back(name):
    recipe = find_recipe(name)
    assert recipe.name == name
    assert Recipe.from_json(json.loads(json.dumps(to_json(recipe)))) == recipe
    assert recipe.description.endswith(".")


def test_what_is_said_of_a_recipe_is_not_part_of_its_identity_and_everything_else_is():
    recipe = find_recipe("digits-mlp-diverse")
    for said in ({"members": 7}, {"description": "other words"}, {"cost": None}, {"expected": ""}):
        assert dataclasses.replace(recipe, **said).digest("x") == recipe.digest("x"), said
    assert recipe.digest("y") != recipe.digest("x")
    axes = [{**recipe.axes, "hidden": (17,)}, {**recipe.axes, "bias": False}, {**recipe.axes, "dropout": [0.0, 0.1]}]
    axes += [{**recipe.axes, "dropout": Axis(choices=(0.0, 0.1, 0.3), level="block")}]
    axes += [{name: axis for name, axis in recipe.axes.items() if name != "optimizer" and name != "learning_rate"}]
    changes = [{"seed": 1}, {"epochs": 61, "snapshot_epochs": (61,)}, {"shard_members": 32}, {"name": "other"}]
    for change in (*changes, *({"axes": each} for each in axes)):
        assert dataclasses.replace(recipe, **change).digest("x") != recipe.digest("x"), change


def test_what_has_its_default_is_not_part_of_the_identity():
    recipe = find_recipe("digits-mlp-seeds")
    assert set(recipe.identity()) == {"name", "dataset", "axes", "batch_size", "epochs", "snapshot_epochs"}
    defaults = {"dropout": 0.0, "optimizer": ["adam"], "task": "", "bias": True, "activation": "relu"}
    assert dataclasses.replace(recipe, axes={**recipe.axes, **defaults}).identity() == recipe.identity()
    assert Recipe.from_json({**to_json(recipe), "normalize": []}).identity() == recipe.identity()
    # One seed for all is no default: each member has its own.
    assert dataclasses.replace(recipe, axes={**recipe.axes, "seed": 0}).identity() != recipe.identity()


def test_pinned_digests():
    """A changed digest orphans every stored zoo of the recipe: change it knowingly."""
    assert find_recipe("mnist-mlp-diverse").digest("")[:16] == "18f678690ba095c8"
    assert find_recipe("digits-mlp-diverse").digest("")[:16] == "b0a7e072c31a19e0"


def test_pinned_members():
    """A new way of drawing must not change the members of recipes that do not use it."""
    member = find_recipe("digits-mlp-diverse").member(137)
    assert (member.seed, member.order_seed) == (6993239543041858188, 4499707003087280287)
    assert (member.optimizer, member.initialization, member.learning_rate, member.init_scale) == (
        "rmsprop",
        "xavier_normal",
        0.00438322,
        0.66093,
    )
    assert find_recipe("digits-mlp-diverse").member_architecture(2 * 64, DIGITS).layers[2].function == "sigmoid"


def test_members_of_a_diverse_recipe_take_every_choice_and_share_what_a_block_shares():
    recipe = find_recipe("digits-mlp-diverse")
    members = [recipe.member(i) for i in range(1024)]
    assert members[137] == recipe.member(137)
    for field in ("initialization", "optimizer", "weight_decay", "dropout", "training_fraction"):
        seen = {getattr(member, field) for member in members}
        assert seen == set(recipe.axes[field].choices), field
    assert len({member.seed for member in members}) == 1024
    for start in range(0, 1024, 16):
        block = members[start : start + 16]
        assert len({(m.optimizer, m.training_fraction, m.order_seed, m.subset_seed) for m in block}) == 1
    assert len({member.order_seed for member in members}) == 64
    for member in members:
        factor = {"sgd": 100, "momentum": 10}.get(member.optimizer, 1)
        assert member.learning_rate / factor * (1 + 1e-5) >= 1e-3
        assert member.learning_rate / factor <= 1e-2 * (1 + 1e-5)
        assert 0.5 <= member.init_scale <= 2.0


def test_every_activation_has_its_share_of_the_shards():
    recipe = find_recipe("digits-mlp-diverse")
    shards = [recipe.member_architecture(i * recipe.shard_members, DIGITS).layers[2].function for i in range(60)]
    assert set(collections.Counter(shards).values()) == {10}
    assert set(shards[:6]) == set(recipe.axes["activation"].choices)


def one_snapshot_a_member(recipe, shards):
    """Trains the first shards and keeps of each member one snapshot, chosen by a hash."""
    data = load_dataset(recipe.dataset)
    epochs = [epoch for epoch in recipe.snapshot_epochs if epoch]
    weights, members, architectures = [], [], []
    for shard in range(shards):
        architecture = recipe.member_architecture(shard * recipe.shard_members, data)
        first = shard * recipe.shard_members
        chosen = [recipe.member(index) for index in range(first, first + recipe.shard_members)]
        for snapshot in train_population(
            architecture, chosen, data.train, epochs=recipe.epochs, snapshot_epochs=epochs
        ):
            for row, weights_P in zip(snapshot.rows, snapshot.weights_MP, strict=True):
                draw = int(hashlib.sha256(str(chosen[row].id).encode()).hexdigest(), 16)
                if epochs[draw % len(epochs)] == snapshot.epoch:
                    weights.append(weights_P)
                    members.append(chosen[row])
                    architectures.append(architecture)
    distinct = tuple(dict.fromkeys(architectures))
    population = Population(
        weights_MP=torch.stack(weights),
        architectures=distinct,
        architecture_M=torch.tensor([distinct.index(architecture) for architecture in architectures]),
        members=tuple(members),
    )
    return population, data


NEEDS_MNIST = pytest.mark.skipif(
    not (Path(os.environ.get("ZOOSCALE_DATA", "")) / "MNIST").is_dir(), reason="ZOOSCALE_DATA has no MNIST"
)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["digits-mlp-diverse", pytest.param("mnist-mlp-diverse", marks=NEEDS_MNIST)])
def test_diverse_recipes_are_diverse(name):
    population, data = one_snapshot_a_member(find_recipe(name), shards=3)
    accuracy = classification(population, data.test).accuracy_M
    agreement = agreement_matrix(predictions(population, data.test))
    count = len(population)
    pairwise = (agreement.sum() - count) / (count * (count - 1))
    assert pairwise <= 0.85
    assert accuracy[~accuracy.isnan()].std() >= 0.06
    assert accuracy.nanmean() >= 0.7  # diverse, but networks that have learnt something


def test_own_recipes_by_module_and_attribute():
    assert find_recipe("test_recipes:OWN_RECIPE") is OWN_RECIPE


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (
            "digits",
            "unknown recipe 'digits'; did you mean 'digits-tasks'. `zooscale recipes` lists all; module:attribute",
        ),
        ("no_such_module:R", "module 'no_such_module' cannot be imported"),
        ("test_recipes:MISSING", "no attribute 'MISSING'"),
        ("test_recipes:DIGITS", "must be a zoo.recipes.Recipe"),
    ],
)
def test_unknown_recipes_say_what_exists(name, message):
    with pytest.raises(ValueError, match=message):
        find_recipe(name)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("members", 0),
        ("members", 10**10),
        ("window_members", 10**9),
        ("evaluation_examples", 10**30),
        ("epochs", -1),
        ("snapshot_epochs", (3, 1)),
        ("snapshot_epochs", (0, 61)),
        ("snapshot_epochs", 60),
        ("shard_members", 24),
        ("seed", -1),
        ("seed", 0.5),
        ("seed", 2**63),
        ("epochs", True),
        ("shard_members", 64.0),
        ("axes", ("hidden",)),
        ("cost", 0.0),
        ("cost", "cheap"),
        ("description", None),
    ],
)
def test_a_recipe_names_the_field_the_value_and_what_is_allowed(field, value):
    with pytest.raises(ValueError, match=f"Recipe.{field} is .*allowed: "):
        dataclasses.replace(find_recipe("digits-mlp-diverse"), **{field: value})


@pytest.mark.parametrize(
    ("field", "axis", "words"),
    [
        ("optimizer", ["adam", "lion"], "has 'lion': Member.optimizer is 'lion'; allowed: sgd, momentum, adam"),
        ("optimizer", ("adam",), r"has \('adam',\): "),
        ("initialization", "x", "has 'x': .*allowed: uniform, normal"),
        ("dropout", [0.1, 1.5], "has 1.5: .*allowed: 0 <= dropout < 1"),
        ("dropout", Axis(range=(0.1, 1.0), scale="linear"), "has 1.0: .*allowed: 0 <= dropout < 1"),
        ("training_fraction", 2.0, "has 2.0: .*allowed: 0 < training_fraction <= 1"),
        ("weight_decay", -1.0, "has -1.0: .*allowed: 0 or more and finite"),
        ("weight_decay", "0", "has '0': "),
        ("task", ["0-1", ""], "has .* allowed: tasks of equally many classes"),
        ("task", "3-3", "has '3-3': .*different classes"),
        ("task", 3, "has 3: "),
        ("subset_size", -1, "has -1: .*allowed: a whole number, 0 or more"),
        ("subset_size", 10, "has 10: .*training_fraction is 0.25; allowed: 1 where there is a subset_size"),
        ("learning_rate", Axis(given="optimiser"), "is given 'optimiser'; allowed: activation, hidden, seed"),
        ("optimizer", Axis(given="learning_rate"), "is given 'learning_rate'; allowed: activation, hidden, seed"),
        ("optimizer", Axis(given="dropout"), "has level 'block'; allowed: 'member', that of 'dropout'"),
        ("init_scale", Axis(choices=(1.0,), given="init_scale"), "is given 'init_scale'; allowed: activation"),
        ("activation", Axis(choices=("relu", "tanh"), level="block"), "has level 'block'; allowed: shard, or else"),
    ],
)
def test_an_axis_names_the_field_the_value_and_what_is_allowed(field, axis, words):
    recipe = find_recipe("digits-mlp-diverse")
    with pytest.raises(ValueError, match=rf"Recipe.axes\['{field}'\] {words}"):
        dataclasses.replace(recipe, axes={**recipe.axes, field: axis})


@pytest.mark.parametrize(
    ("changes", "axes", "message"),
    [
        ({}, {"hidden": (1_000_000,)}, r"→ 1000000 → 10 has 75,000,010 parameters; allowed: up to 67,108,864"),
        (
            {},
            {"hidden": [(8,), (500_000,)]},
            r"a shard takes 44\.7 GiB: 64 members with 5 snapshots of 37,500,010 parameters \(1×8×8 → 500000 → 10\); "
            r"allowed: up to 2 GiB\. Make the networks smaller, or shard_members",
        ),
        ({"shard_members": 16 * 10**7}, {}, r"a shard takes 3,606\.1 GiB: 160,000,000 members"),
    ],
)
def test_what_does_not_fit_into_memory_is_refused_before_anything_is_made(changes, axes, message):
    recipe = find_recipe("digits-mlp-diverse")
    huge = dataclasses.replace(recipe, **changes, axes={**recipe.axes, **axes})
    with pytest.raises(ValueError, match=message):
        huge.check_data(DIGITS)


@pytest.mark.parametrize(("name", "members"), [("digits-mlp-diverse", 1_000_000_000), ("digits-mlp-mixed", 1_000_000)])
def test_as_many_members_as_there_can_be_are_checked_at_once(name, members):
    recipe = dataclasses.replace(find_recipe(name), members=members)
    started = time.process_time()
    recipe.check_data(DIGITS)
    assert time.process_time() - started < 3
    with pytest.raises(ValueError, match=r"Recipe\.members is .*; allowed: .*[10],?000,?000"):
        dataclasses.replace(recipe, members=members + 1)


def test_an_axis_is_refused_for_what_it_says_of_another():
    recipe = find_recipe("digits-mlp-diverse")
    lion = Axis(range=(1e-3, 1e-2), given="optimizer", cases={"lion": 1.0})
    with pytest.raises(ValueError, match=r"Recipe.axes\['optimizer'\] has 'lion': .*allowed: sgd, momentum"):
        dataclasses.replace(recipe, axes={**recipe.axes, "learning_rate": lion})
    hidden = Axis(choices=((1,), (2,)), level="member")
    with pytest.raises(ValueError, match=r"Recipe.axes\['activation'\] has level 'shard'; allowed: .*member for all"):
        dataclasses.replace(recipe, axes={**recipe.axes, "hidden": hidden})


@pytest.mark.parametrize(
    ("axis", "message"),
    [
        ({}, r"Axis.choices is \(\); allowed: at least one"),
        ({"choices": "adam"}, "Axis.choices is 'adam'; allowed: a tuple"),
        ({"choices": (1,), "range": (1, 2)}, r"Axis.range is \(1, 2\); allowed: \(\) where there are choices"),
        ({"range": (2.0, 1.0)}, r"Axis.range is \(2.0, 1.0\); allowed: \(low, high\), low <= high"),
        ({"range": 0.1}, r"Axis.range is 0.1; allowed: \(low, high\)"),
        ({"range": ("a", "b")}, "Axis.range is .*allowed"),
        ({"range": (1.0, math.inf)}, "Axis.range is .*finite"),
        ({"range": (0.0, 1.0)}, "Axis.range is .*above 0 on a log scale"),
        ({"range": (0.5, 2), "scale": "whole"}, "Axis.range is .*whole numbers"),
        ({"range": (1, 2), "scale": "cubic"}, "Axis.scale is 'cubic'; allowed: log, linear, whole"),
        ({"choices": (1,), "scale": "linear"}, "Axis.scale is 'linear'; allowed: log, the default"),
        ({"choices": (1,), "level": "zoo"}, "Axis.level is 'zoo'; allowed: shard, block, member"),
        ({"choices": (1,), "lengths": (-1,)}, r"Axis.lengths is \(-1,\); allowed: a tuple of whole numbers"),
        ({"choices": (1,), "lengths": (10**7,)}, r"Axis.lengths is \(10000000,\); allowed: .* 0 to 1000"),
        ({"range": (1, 2**63), "scale": "whole"}, r"Axis.range is \(1, 9223372036854775808\); .*each below 2\*\*63"),
        ({"range": (1, 2), "lengths": (1,)}, r"Axis.lengths is \(1,\); allowed: \(\) where there are no choices"),
        ({"choices": (1,), "cases": {"sgd": 2}}, "Axis.cases is .*nothing where there is no axis in given"),
        ({"given": "optimizer", "cases": {1: 2}}, "Axis.cases is .*keys that are names"),
        ({"given": "optimizer", "cases": [1]}, "Axis.cases is .*a mapping"),
        (
            {"given": "optimizer", "cases": {"sgd": Axis(choices=(1,), level="block")}},
            "Axis.cases is .*without a level",
        ),
    ],
)
def test_an_axis_by_itself_says_what_is_allowed(axis, message):
    with pytest.raises(ValueError, match=message):
        Axis(**axis)


def test_an_axis_over_nothing_says_what_there_is():
    recipe = find_recipe("digits-mlp-diverse")
    message = (
        r"Recipe.axes has 'kernel'; allowed: fields of members \(seed, initialization.*architecture 'mlp' \(hidden,"
    )
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(recipe, axes={**recipe.axes, "kernel": [3, 5]})
    with pytest.raises(ValueError, match=r"Recipe\.axes has 'batch_size'"):
        dataclasses.replace(recipe, axes={**recipe.axes, "batch_size": [16, 32]})
    own = dataclasses.replace(recipe, architecture="test_recipes:narrow", axes={"width": [1, 2], "other": 3})
    with pytest.raises(
        ValueError, match=r"Recipe.axes has 'other'; .*architecture 'test_recipes:narrow' \(width, bias"
    ):
        own.check_data(DIGITS)


def narrow(input_shape, classes, *, width: int, bias: bool = True, further: list[int] = []):  # noqa: B006
    """An architecture of the user's own, with arguments of its own."""
    return mlp(input_shape, (width, *further), classes, bias=bias)


def test_axes_reach_an_architecture_of_the_users_own():
    recipe = Recipe(name="own", dataset="digits", architecture="test_recipes:narrow", axes={"width": [1, 2]})
    recipe.check_data(DIGITS)
    units = [recipe.member_architecture(shard * 64, DIGITS).layers[1].features for shard in range(4)]
    assert sorted(units) == [1, 1, 2, 2]
    assert recipe.kinds["width"] is int
    with pytest.raises(
        ValueError, match=r"Recipe\.axes lacks 'width', which architecture 'test_recipes:narrow' cannot"
    ):
        dataclasses.replace(recipe, axes={}).check_data(DIGITS)


@pytest.mark.parametrize(
    ("axis", "text"),
    [
        (Axis(choices=(0.003,)), "0.003"),
        (Axis(choices=tuple(range(550)), level="block"), "0, 1, 2, …, 549; for each block"),
        (Axis(range=(0.001, 1.0), level="member"), "0.001 to 1 (log); for each member"),
        (Axis(choices=(8, 16), lengths=(1, 2)), "1, 2 entries of 8, 16"),
        (Axis(given="seed"), "that of seed"),
        (Axis(choices=(1.0,), given="optimizer", cases={"sgd": 100.0}), "1.0; 100.0 where optimizer is sgd"),
    ],
)
def test_an_axis_in_words(axis, text):
    assert str(axis) == text
    assert Axis.from_json(json.loads(json.dumps(axis.to_json()))) == axis


@pytest.mark.parametrize(
    ("axes", "message"),
    [
        ({"dropout": {"choices": [0.1], "colour": 1}}, "Axis has no field colour; its fields are choices, range"),
        ({"dropout": 0.1}, "an axis is 0.1; allowed: an object with choices or a range"),
        ({"dropout": {"choices": 0.1}}, "Axis.choices is 0.1; allowed: a tuple"),
        ({"dropout": {"given": "optimizer", "cases": {"sgd": [1]}}}, r"an axis is \[1\]; allowed: an object"),
        ([1], r"Recipe.axes is \[1\]; allowed: an object with an axis for each field"),
    ],
)
def test_axes_in_json_are_read_strictly(axes, message):
    with pytest.raises(ValueError, match=message):
        Recipe.from_json({"name": "x", "dataset": "digits", "axes": axes})


def test_unknown_fields_list_the_known_ones():
    with pytest.raises(ValueError, match="no field layers; its fields are name, dataset, members"):
        Recipe.from_json({"name": "x", "dataset": "digits", "members": 1, "layers": 3})


def test_missing_fields_are_listed():
    with pytest.raises(ValueError, match="Recipe lacks dataset; given: name"):
        Recipe.from_json({"name": "x"})


def test_canonical_json_is_independent_of_order_and_strict():
    assert canonical_json({"b": (1, 2), "a": None}) == '{"a":null,"b":[1,2]}'
    assert digest({"b": 1, "a": 2}) == digest({"a": 2, "b": 1})
    with pytest.raises(ValueError, match="JSON compliant"):
        canonical_json({"x": float("nan")})
    with pytest.raises(TypeError, match="set"):
        canonical_json({"x": {1}})


def test_lookup_of_an_unknown_name_lists_the_registry():
    with pytest.raises(ValueError, match="unknown fruit 'pear'; known: apple, fig"):
        lookup({"fig": 1, "apple": 2}, "pear", "fruit")


def test_words_of_source_are_found():
    assert attribute_words(Member)["learning_rate"] == "Step size."
    assert set(attribute_words(Recipe)) == set(Recipe.__dataclass_fields__)
