"""The commands of a report, read back by what reads the command line."""

import json
import re
import shlex
from dataclasses import replace

import pytest
from example_analysis import make_analysis

from analysis.report.page import render
from analysis.report.reproduce import commands
from cluster.studies import plan_study
from cluster.verbs.generate import chosen_recipe
from search_spaces.studies import DIGITS_AUTOENCODER, find_study
from zoo.config import to_json
from zoo.recipes import DIGITS_MLP_DIVERSE, Axis, Recipe
from zoo.recipes.imported import Imported

USUAL = {"layout": None, "added_evaluators": [], "inputs": ["translation-1"], "seed": 0}
SUMMARY = {"zoo": "digits-1a2b3c4d", "zoo_members": 500, "test_members": 120, "studies": [], **USUAL}


def options(line, name):
    words = shlex.split(line)
    return [words[place + 1] for place, word in enumerate(words) if word == name]


def test_the_built_in_recipe_needs_no_settings():
    (generate, analyze) = commands({**SUMMARY, "recipe": to_json(DIGITS_MLP_DIVERSE)}).splitlines()
    assert generate == "zooscale generate digits-mlp-diverse --members 500"
    assert analyze == "zooscale analyze --zoo digits-1a2b3c4d --members 120"


def test_options_of_the_analysis_come_back():
    chosen = {"layout": 2, "added_evaluators": ["mine:FISHER"], "inputs": ["noise-0.1", "f-mnist"], "seed": 3}
    chosen["chosen_examples"] = 200
    chosen["chosen_codecs"] = ["uniform", "my_codec:BYTES"]
    line = commands({**SUMMARY, **chosen, "recipe": to_json(DIGITS_MLP_DIVERSE)}).splitlines()[-1]
    assert line.endswith(
        "--members 120 --examples 200 --layout 2 --codecs uniform,my_codec:BYTES --evaluators mine:FISHER"
        " --inputs noise-0.1,f-mnist --seed 3"
    )


def test_an_imported_zoo_is_imported_again():
    recipe = Imported(
        name="my-nets", members=9, source_format="state-dicts", source_sha256="ab12", snapshot_epochs=(0, 5),
        dataset="digits",
    )  # fmt: skip
    *comments, again, _ = commands({**SUMMARY, "recipe": to_json(recipe)}).splitlines()
    assert any("ab12" in line for line in comments)
    assert again == "zooscale import SOURCE --format state-dicts --name my-nets --epochs 0,5 --dataset digits"


@pytest.mark.parametrize(
    ("changes", "axes"),
    [
        ({"seed": 3}, {"hidden": (8,)}),
        ({}, {"hidden": (), "bias": False, "activation": ["tanh", "gelu"]}),
        ({"epochs": 5, "snapshot_epochs": (0, 1, 5)}, {"learning_rate": Axis(range=(1e-3, 0.5)), "dropout": 0.0}),
        ({}, {"hidden": [(8,), (16, 16)], "dropout": Axis(range=(0.0, 0.5), scale="linear")}),
    ],
)
def test_a_changed_recipe_comes_back_with_all_its_changes(changes, axes):
    recipe = replace(DIGITS_MLP_DIVERSE, **changes, axes={**DIGITS_MLP_DIVERSE.axes, **axes})
    line = commands({**SUMMARY, "recipe": to_json(recipe)}).splitlines()[0]
    assert len(options(line, "--set")) == len(changes) + len(axes)
    again = chosen_recipe(shlex.split(line)[2], {"members": int(options(line, "--members")[0])}, options(line, "--set"))
    assert again == replace(recipe, members=500, description="", cost=None, expected="")


@pytest.mark.parametrize(
    "changes",
    [
        {"name": "mine"},
        {"axes": {**DIGITS_MLP_DIVERSE.axes, "seed": [1, 2]}},
        {"axes": {**DIGITS_MLP_DIVERSE.axes, "order_seed": Axis(given="seed", level="member")}},
        {"axes": {**DIGITS_MLP_DIVERSE.axes, "dropout": Axis(choices=(0.0, 0.1), level="block")}},
        {"axes": {"hidden": (16,)}},
    ],
)
def test_a_recipe_that_no_option_makes_is_told_in_full(changes):
    recipe = replace(DIGITS_MLP_DIVERSE, **changes)
    said, told, command, _ = commands({**SUMMARY, "recipe": to_json(recipe)}).splitlines()
    assert "user's own" in said
    assert Recipe.from_json(json.loads(told.removeprefix("# "))) == recipe
    assert command.startswith("zooscale generate MODULE:ATTRIBUTE")


@pytest.mark.parametrize("seed", [None, 7])
def test_a_study_comes_back_under_the_same_name(small_zoo, seed):
    named = {"trials": 3, "epochs": 2, "seed": seed}
    settings = ["limits.shared_bytes=30000", "latent=8", "objectives=code_bits_per_weight,agreement"]
    plan = plan_study(DIGITS_AUTOENCODER, small_zoo.name, small_zoo.store.uri, named, settings)
    summary = {
        **SUMMARY,
        "zoo": small_zoo.name,
        "recipe": to_json(small_zoo.recipe),
        "studies": [
            {
                "study": plan.folder.name,
                "trials": 3,
                "seeds": 2,
                "search": {**to_json(plan.study), "name": plan.folder.name},
            }
        ],
    }
    line = next(line for line in commands(summary).splitlines() if line.startswith("zooscale search"))
    assert options(line, "--seeds") == ["2"]
    assert [text for text in options(line, "--set") if re.match("description|cost|.*=(none)?$", text)] == []
    named = {name: int(options(line, f"--{name}")[0]) for name in ("trials", "epochs")}
    again = plan_study(
        find_study(shlex.split(line)[2]), options(line, "--zoo")[0], small_zoo.store.uri, named, options(line, "--set")
    )
    assert again.study == plan.study
    assert again.folder.name == plan.folder.name
    assert again.seed == plan.seed


def test_the_report_shows_them():
    analysis = make_analysis()
    analysis.summary["recipe"] = to_json(
        replace(DIGITS_MLP_DIVERSE, seed=3, axes={**DIGITS_MLP_DIVERSE.axes, "hidden": (8,)})
    )
    assert "--set seed=3 --set hidden=8" in render(analysis)
