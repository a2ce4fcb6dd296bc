"""Recipes: prefix stability, identity, choices."""

import collections
import dataclasses
import hashlib
import os
from pathlib import Path

import pytest
import torch

from zoo.config import canonical_json, digest, from_json, lookup, to_json
from zoo.data import load_dataset
from zoo.evaluation import agreement_matrix, classification, predictions
from zoo.population import Population
from zoo.recipes import RECIPES, Recipe, find_recipe, recipe_from_json
from zoo.training.train import train_population

DIGITS = load_dataset("digits")
OWN_RECIPE = dataclasses.replace(RECIPES["digits-mlp-seeds"], name="own", hidden=(5,))


@pytest.mark.parametrize("name", RECIPES)
def test_every_recipe_is_json_and_back(name):
    recipe = find_recipe(name)
    assert recipe.name == name
    assert from_json(Recipe, to_json(recipe)) == recipe


def test_the_number_of_members_is_not_part_of_the_identity_and_everything_else_is():
    recipe = find_recipe("digits-mlp-diverse")
    assert dataclasses.replace(recipe, members=7).digest("x") == recipe.digest("x")
    assert recipe.digest("y") != recipe.digest("x")
    changes = {"seed": 1, "epochs": 61, "hidden": (17,), "shard_members": 32, "name": "other", "bias": False}
    for field, value in changes.items():
        extra = {"snapshot_epochs": (61,)} if field == "epochs" else {}
        assert dataclasses.replace(recipe, **{field: value}, **extra).digest("x") != recipe.digest("x"), field


def test_pinned_digests():
    """A changed digest orphans every stored zoo of the recipe: change it knowingly."""
    assert find_recipe("mnist-mlp-diverse").digest("")[:16] == "b7fb80d932b68148"
    assert find_recipe("digits-mlp-diverse").digest("")[:16] == "540592876f545153"


def test_a_recipe_that_drew_shapes_for_shards_is_not_read_as_one_that_draws_them_for_members():
    older = to_json(find_recipe("digits-mlp-mixed"))
    del older["window_members"]
    with pytest.raises(ValueError, match="no window_members: its shapes were drawn for shards"):
        recipe_from_json(older)


def test_pinned_members():
    """A new way of drawing must not change the members of recipes that do not use it."""
    member = find_recipe("digits-mlp-diverse").member(137)
    assert (member.seed, member.order_seed) == (8644354797028966074, 8480465078451562174)
    assert (member.optimizer, member.initialization, member.learning_rate, member.init_scale) == (
        "adam",
        "uniform",
        0.00234434,
        1.03715,
    )
    assert find_recipe("digits-mlp-diverse").member_architecture(2 * 64, DIGITS).layers[2].function == "relu"


def test_members_of_a_diverse_recipe_take_every_choice_and_share_what_a_block_shares():
    recipe = find_recipe("digits-mlp-diverse")
    members = [recipe.member(i) for i in range(1024)]
    assert members[137] == recipe.member(137)
    for field in ("initializations", "optimizers", "weight_decays", "dropouts", "training_fractions"):
        seen = {getattr(member, field[:-1]) for member in members}
        assert seen == set(getattr(recipe, field)), field
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
    assert set(shards[:6]) == set(recipe.activations)


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
        ("digits", "unknown recipe 'digits'; known: cs236-deep"),
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
        ("epochs", -1),
        ("optimizers", ()),
        ("optimizers", "adam"),
        ("learning_rates", (2.0, 1.0)),
        ("snapshot_epochs", (3, 1)),
        ("snapshot_epochs", (0, 61)),
        ("shard_members", 24),
        ("seed", -1),
        ("seed", 0.5),
        ("seed", 2**63),
        ("epochs", True),
        ("shard_members", 64.0),
        ("hidden", (0,)),
        ("hidden", ("a",)),
        ("learning_rates", 0.1),
        ("learning_rates", ("a", "b")),
        ("init_scales", (1.0, float("inf"))),
        ("activations", ("relu", "sine")),
        ("optimizers", ("adam", "lion")),
        ("initializations", ("x",)),
        ("dropouts", (1.5,)),
        ("training_fractions", (2.0,)),
        ("weight_decays", (-1.0,)),
        ("weight_decays", ("0",)),
    ],
)
def test_a_recipe_names_the_field_the_value_and_what_is_allowed(field, value):
    with pytest.raises(ValueError, match=f"Recipe.{field} is "):
        dataclasses.replace(find_recipe("digits-mlp-diverse"), **{field: value})


def test_a_misspelt_choice_says_what_is_allowed():
    with pytest.raises(ValueError, match=r"Recipe\.optimizers is \('lion',\).*allowed: sgd, momentum, adam"):
        dataclasses.replace(find_recipe("digits-mlp-diverse"), optimizers=("lion",))


def test_unknown_fields_list_the_known_ones():
    with pytest.raises(ValueError, match="no field layers; its fields are name, dataset, members"):
        from_json(Recipe, {"name": "x", "dataset": "digits", "members": 1, "layers": 3})


def test_missing_fields_are_listed():
    with pytest.raises(ValueError, match="Recipe lacks dataset, members; given: name"):
        from_json(Recipe, {"name": "x"})


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


@pytest.mark.parametrize("name", ["os:abort", "importlib.util:find_spec", "builtins:exit"])
def test_lookup_takes_nothing_of_the_standard_library(name):
    with pytest.raises(ValueError, match="is of Python's standard library; name a module of your own"):
        lookup({}, name, "data set")
