"""A store that was copied or moved as a folder speaks of where it is."""

import json
import shutil
from pathlib import Path

import pytest

from cluster.cli import run


@pytest.mark.slow
def test_nothing_in_a_store_says_where_it_lies(zoo_copy, capsys):
    here = zoo_copy.store.uri
    fit = ["fit", "statistics-ridge", "--zoo", "small", "--store", here]
    assert run(fit) == 0
    assert run(["analyze", "--zoo", "small", "--study", "statistics-ridge", "--store", here]) == 0
    assert run(["card", "small", "--store", here]) == 0
    files = [path for path in Path(here).rglob("*") if path.is_file()]
    assert {path.name for path in files} >= {"study.json", "report.html", "card.html"}
    assert [path for path in files if here.encode() in path.read_bytes()] == []
    there = f"{here}-moved"
    shutil.move(here, there)
    capsys.readouterr()
    for arguments in (["list"], fit[:-2], ["analyze", "--zoo", "small", "--study", "statistics-ridge", "--reuse"]):
        assert run([*arguments, "--store", there, "--json"]) == 0
        said = capsys.readouterr()
        assert f"{here}/" not in said.out + said.err
    assert json.loads(said.out)["new"] is False
