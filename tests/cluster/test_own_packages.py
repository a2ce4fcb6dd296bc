"""In a folder with modules of our packages' names, every verb and every worker of Ray means ours."""

import json
import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from ray_environment import ROOT, environment

from cluster import own_packages

RECIPE = """
from zoo.recipes import Recipe

RECIPE = Recipe(
    name="mine", dataset="mine:digits", members=128, axes={"hidden": (4,), "learning_rate": [1e-3, 1e-2]},
    epochs=1, snapshot_epochs=(1,), block_members=4, shard_members=32,
)

def digits():
    from zoo.data import load_dataset

    return load_dataset("digits")
"""
HOSTILE = "raise RuntimeError('this is the file of the user, not the package')\n"


@pytest.fixture
def hostile(tmp_path):
    """A folder with a recipe, and with modules and packages named like ours."""
    folder = tmp_path / "here"
    for package in ("zoo", "search_spaces"):
        (folder / package).mkdir(parents=True)
        (folder / package / "__init__.py").write_text(HOSTILE)
    for module in ("analysis", "trainables"):
        (folder / f"{module}.py").write_text(HOSTILE)
    (folder / "mine.py").write_text(RECIPE)
    return folder


def call(command, folder, tmp_path, *arguments):
    """The JSON that a command prints in a folder that comes first on Python's path."""
    variables = environment(tmp_path)
    variables["PYTHONPATH"] = f"{folder}{os.pathsep}{variables['PYTHONPATH']}"
    done = subprocess.run([*command, *arguments], cwd=folder, env=variables, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


MODULE = [sys.executable, "-m", "cluster"]
SCRIPT = [str(Path(sys.executable).with_name("zooscale"))]


@pytest.mark.parametrize("command", [MODULE, SCRIPT], ids=["module", "script"])
def test_verbs_find_our_packages_in_a_hostile_folder(command, hostile, tmp_path):
    assert call(command, hostile, tmp_path, "list", "--store", str(hostile), "--json")["studies"] == []


@pytest.mark.slow
def test_a_worker_of_ray_finds_our_packages_and_the_users_modules_and_makes_the_same_zoo(hostile, tmp_path):
    def made(store, *options):
        generate = ("generate", "mine:RECIPE", "--store", str(tmp_path / store), "--json")
        return call(MODULE, hostile, tmp_path, *generate, *options)

    here, there = made("here"), made("there", "--workers", "1")
    assert there["trained_members"] == 128
    assert there["content_sha256"] == here["content_sha256"]


def test_the_packages_are_those_of_the_distribution():
    included = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"]["find"]["include"]
    assert sorted(own_packages.PACKAGES) == sorted(pattern.removesuffix("*") for pattern in included)
