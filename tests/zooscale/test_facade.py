"""``import zooscale``: fast, typed, and everything it names is there."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import zooscale

SOURCE = Path(zooscale.__file__).read_text()


@pytest.mark.parametrize("name", zooscale.__all__)
def test_every_name_is_there(name):
    assert getattr(zooscale, name).__class__
    assert name in dir(zooscale)


def test_an_unknown_name_lists_those_there_are():
    with pytest.raises(AttributeError, match=r"no attribute 'Zooo'; it has .*Zoo"):
        zooscale.Zooo  # noqa: B018


def test_type_checkers_see_the_same_names_from_the_same_modules():
    block = next(node for node in ast.parse(SOURCE).body if isinstance(node, ast.If))
    told = {alias.name: node.module for node in block.body if isinstance(node, ast.ImportFrom) for alias in node.names}
    assert told == zooscale._HOME_OF


def test_nothing_heavy_is_loaded_by_the_import_itself():
    heavy = "{'torch', 'ray', 'numpy', 'pandas', 'optuna', 'zoo', 'cluster'} & set(sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", f"import sys, zooscale; print({heavy}); zooscale.Import; print('ray' in sys.modules)"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout.split("\n")[:2] == ["set()", "False"]
