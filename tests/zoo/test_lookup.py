"""Names of the user's own, ``module:attribute``: what is imported on the word of a zoo, and what is not."""

import importlib.util
import json
import os
import re
import shlex
import subprocess
import sys
import sysconfig
import tomllib
from dataclasses import replace
from pathlib import Path

import pytest

from analysis.card.facts import make_card
from cluster.cli import run
from trainables.registry import find_trainable
from zoo.config import PACKAGES, TRUST_VARIABLE, lookup, to_json
from zoo.data import load_dataset
from zoo.generation.build import generate_zoo
from zoo.recipes import Recipe, recipe_from_json
from zoo.storage.zoo import Zoo

ROOT = Path(__file__).resolve().parents[2]
DIGITS = "from zoo.data.digits import load_digits_images as load\n"
RECIPE = Recipe(
    name="own", dataset="mine_own:load", members=8, epochs=1, snapshot_epochs=(1,), block_members=2, shard_members=8
)


@pytest.fixture(autouse=True)
def nothing_trusted(monkeypatch):
    monkeypatch.delenv(TRUST_VARIABLE, raising=False)
    yield
    for name in [name for name in sys.modules if name.partition(".")[0] in ("mine_own", "someones_package")]:
        del sys.modules[name]


@pytest.fixture
def own_folder(tmp_path, monkeypatch):
    """The folder that the user is in, with a module."""
    (tmp_path / "mine_own.py").write_text(DIGITS)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    return tmp_path


@pytest.fixture
def site_packages(tmp_path, monkeypatch):
    """A folder like the one that pip installs to, with a package that tells when it is imported."""
    folder = tmp_path / "lib" / "site-packages"
    for package in ("someones_package", "someones_package/inner"):
        (folder / package).mkdir(parents=True)
        (folder / package / "__init__.py").write_text(f"open({str(tmp_path / 'imported')!r}, 'w').close()\n{DIGITS}")
    monkeypatch.syspath_prepend(str(folder))
    return tmp_path


def named(zoo, dataset):
    """A zoo as one would be whose recipe names another data set."""
    return Zoo(zoo.store, zoo.name, replace(zoo.manifest, recipe={**zoo.manifest.recipe, "dataset": dataset}))


@pytest.mark.parametrize(
    "name", ["os:abort", "importlib.util:find_spec", "builtins:exit", "test.support:threading_helper"]
)
def test_nothing_of_pythons_own_is_imported(name):
    with pytest.raises(ValueError, match=r"is of Python's standard library|is an installed package"):
        lookup({}, name, "data set")


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("x = 1\nload = (\n", "SyntaxError: '(' was never closed (unsound.py, line 2)"),
        ("\nload = lode\n", "NameError: name 'lode' is not defined (unsound.py, line 2)"),
        ("import json\nload = json.loads('{')\n", "property name enclosed in double quotes: line 1 column 2"),
        ("import json\nload = json.loads('{')\n", "(char 1) (unsound.py, line 2)"),
        ("import numpy\nimport not_installed\n", "ModuleNotFoundError: No module named 'not_installed' (unsound.py, "),
        (
            "from zoo.recipes import Recipe\nR = Recipe(\n    name='x', dataset='digits', axes={}, epochs=0\n)\n",
            "Recipe.epochs is 0; allowed: a whole number, 1 to 1,000,000,000 (unsound.py, line 2)",
        ),
    ],
)
def test_a_module_that_fails_is_named_with_its_error_and_the_line(tmp_path, monkeypatch, source, said):
    (tmp_path / "unsound.py").write_text(source)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    start = "data set 'unsound:load': module 'unsound' cannot be imported: "
    with pytest.raises(ValueError, match=rf"^{re.escape(start)}.*{re.escape(said)}"):
        load_dataset("unsound:load")


@pytest.mark.parametrize(
    ("name", "said"),
    [
        (
            "analysis:load",
            "data set 'analysis:load': {}/analysis.py has the name of a package of zooscale, which comes",
        ),
        ("zoo.inner:load", "data set 'zoo.inner:load': {}/zoo/inner.py has the name of a package of zooscale, which"),
        ("mine_own:load", "cannot import name 'helper' from 'analysis'"),
    ],
)
def test_a_module_with_the_name_of_a_package_of_ours_is_named(own_folder, name, said):
    (own_folder / "analysis.py").write_text(f"def helper(): ...\n{DIGITS}")
    (own_folder / "zoo").mkdir()
    (own_folder / "zoo" / "inner.py").write_text(DIGITS)
    (own_folder / "mine_own.py").write_text(f"from analysis import helper\n{DIGITS}")
    with pytest.raises(ValueError, match=re.escape(said.format(own_folder))) as error:
        lookup({}, name, "data set")
    assert str(error.value).endswith("has the name of a package of zooscale, which comes first; rename it")


@pytest.mark.parametrize(
    ("source", "code", "said"),
    [
        ("def load():\n    return {}['train']\n", 1, "KeyError: 'train' (mine_own.py, line 2) (ZOOSCALE_DEBUG=1 shows"),
        ("import numpy\ndef load():\n    return numpy.ones(2) @ numpy.ones(3)\n", 2, " (mine_own.py, line 3)\n"),
    ],
)
def test_the_line_of_the_users_own_function_that_fails_is_named(own_folder, capsys, source, code, said):
    (own_folder / "mine_own.py").write_text(source)
    assert run(["generate", "digits-mlp-diverse", "--dataset", "mine_own:load", "--store", "store"]) == code
    assert said in capsys.readouterr().err


@pytest.mark.parametrize("name", ["someones_package:load", "someones_package.inner:load"])
def test_installed_packages_are_imported_where_the_user_trusts_them(site_packages, monkeypatch, name):
    said = r"someones_package is an installed package.*set ZOOSCALE_TRUST=someones_package if it is yours"
    for trusted in (None, "", "other", "someones"):
        if trusted is not None:
            monkeypatch.setenv(TRUST_VARIABLE, trusted)
        with pytest.raises(ValueError, match=said):
            load_dataset(name)
    assert not (site_packages / "imported").exists()
    monkeypatch.setenv(TRUST_VARIABLE, "other, someones_package")
    assert load_dataset(name).sha256 == load_dataset("digits").sha256
    assert (site_packages / "imported").exists()


def test_packages_installed_here_are_no_data_sets():
    installed = Path(sysconfig.get_path("purelib"))
    assert (installed / "torch").is_dir()
    with pytest.raises(ValueError, match="set ZOOSCALE_TRUST=torch if"):
        load_dataset("torch.hub:list")


def test_scripts_that_packages_bring_are_not_the_users_own(monkeypatch):
    """``zooscale`` is such a script, and Python puts the folder of a script first."""
    monkeypatch.syspath_prepend(sysconfig.get_path("scripts"))
    monkeypatch.delitem(sys.modules, "bottle", raising=False)  # another test may have imported the package
    assert importlib.util.find_spec("bottle").origin.startswith(sysconfig.get_path("scripts"))
    with pytest.raises(ValueError, match="set ZOOSCALE_TRUST=bottle if"):
        load_dataset("bottle:run")


@pytest.mark.parametrize("name", ["cluster.cli:demo", "zoo.data.digits:load_digits_images"])
def test_functions_of_this_program_are_no_data_sets(name):
    with pytest.raises(ValueError, match=f"data set '{name}' is none; known: cifar10, .*, or one of your own"):
        load_dataset(name)


@pytest.mark.parametrize("how", ["-m cluster", "-c 'from cluster.__main__ import main; main()'"])
def test_the_command_line_is_no_data_set_while_it_runs(tmp_path, how):
    (tmp_path / "mine_own.py").write_text(
        "from zoo.recipes import Recipe\nRECIPE = Recipe(name='own', dataset='__main__:main', members=8)\n"
    )
    words = [sys.executable, *shlex.split(how), "generate", "mine_own:RECIPE", "--store", "store"]
    done = subprocess.run(
        words, capture_output=True, text=True, cwd=tmp_path, env=os.environ | {"PYTHONPATH": str(ROOT)}
    )
    assert "data set '__main__:main' is none" in done.stderr, done.stderr


def test_packages_of_this_program_are_known():
    included = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"]["find"]["include"]
    assert sorted(PACKAGES) == sorted(pattern.removesuffix("*") for pattern in included)


@pytest.mark.parametrize("name", [":load", ".mine:load", "mine.:load", "my module:load"])
def test_what_is_no_name_of_a_module_is_unknown(name):
    with pytest.raises(ValueError, match=r"unknown data set .*; known: .*, or module:attribute for your own"):
        load_dataset(name)


def test_data_sets_are_functions(own_folder):
    (own_folder / "mine_own.py").write_text("load = 3\n")
    with pytest.raises(ValueError, match="data set 'mine_own:load' is a int; it must be a function"):
        load_dataset("mine_own:load")


def test_names_of_a_script_are_its_own(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(
        f"import sys\nsys.path.append({str(ROOT)!r})\n{DIGITS}"
        "from zoo.data import load_dataset\nprint(len(load_dataset('__main__:load').test))\n"
    )
    done = subprocess.run([sys.executable, script], capture_output=True, text=True)
    assert done.stdout.strip() == "500", done.stderr


UNSUITED = """
from trainables.predictors.config import RidgeConfig
from trainables.predictors.entries import predictor

class Unsuited:
    @classmethod
    def fit(cls, config, data):
        raise ValueError("it does not suit me")
    from_files = fit

UNSUITED = predictor("unsuited", Unsuited, RidgeConfig, description="It never fits.")
"""


def test_the_line_of_a_fit_that_is_refused_is_named(own_folder, small_zoo, capsys):
    (own_folder / "mine_own.py").write_text(UNSUITED)
    assert run(["fit", "mine_own:UNSUITED", "--zoo", small_zoo.uri, "--store", "store"]) == 1
    assert "failed: it does not suit me (mine_own.py, line 8)" in capsys.readouterr().err


def test_a_zoo_of_ones_own_works_in_its_folder(own_folder, capsys):
    zoo = generate_zoo(RECIPE, own_folder / "store")
    assert zoo.dataset().sha256 == load_dataset("digits").sha256
    assert run(["card", "own", "--store", str(own_folder / "store"), "--json"]) == 0
    card = json.loads((own_folder / "store" / "reports" / f"card-{zoo.name}" / "card.json").read_text())
    assert card["about"]["sample"]["measured"] == 8
    assert len(generate_zoo(RECIPE, own_folder / "store", members=10)) == 10
    capsys.readouterr()


def test_zoos_of_others_choose_nothing(small_zoo, site_packages):
    for dataset, said in (
        ("someones_package:load", "set ZOOSCALE_TRUST=someones_package"),
        ("mine_own:load", "module 'mine_own' cannot be imported from here; run in the folder that holds it"),
        ("os:abort", "standard library"),
    ):
        with pytest.raises(ValueError, match=said):
            named(small_zoo, dataset).dataset()
    card = make_card(named(small_zoo, "someones_package:load"), members=4)
    assert "set ZOOSCALE_TRUST=someones_package" in card.absent
    assert len(card.matrix) == 0
    with pytest.raises(ValueError, match="someones_package is an installed package"):
        find_trainable("someones_package:load")
    recipe = to_json(replace(RECIPE, dataset="digits")) | {"architecture": "someones_package:load"}
    with pytest.raises(ValueError, match="someones_package is an installed package"):
        recipe_from_json(recipe).check_data(load_dataset("digits"))
    assert not (site_packages / "imported").exists()
