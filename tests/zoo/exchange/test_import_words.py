"""``docs/import.md``: every layer, activation, builder, column and format, with fields and defaults."""

import dataclasses
import inspect
import json
import re
from pathlib import Path

import pytest
import torch

from zoo.architecture import ARCHITECTURES, LAYERS
from zoo.architecture.activations import ACTIVATIONS
from zoo.architecture.architecture import MOST_LAYERS, MOST_PARAMETERS
from zoo.exchange.foreign.architectures import read_architecture
from zoo.exchange.foreign.state_dicts import PLACES
from zoo.exchange.importing import FORMATS, OWN_FORMATS, open_source, store_source
from zoo.exchange.input_files import DEEPEST
from zoo.storage.rows import MEMBER_COLUMNS, METRIC_COLUMNS
from zoo.storage.store import Store

TEXT = (Path(__file__).resolve().parents[3] / "docs/import.md").read_text()


def rows(header: str) -> dict[str, str]:
    """The table under a header, by the text of its first column."""
    body = TEXT.partition(f"\n| {header} |")[2].partition("\n\n")[0].splitlines()[2:]
    cells = [line.strip("|").split("|") for line in body]
    return {first.strip(): rest[0].strip() for first, *rest in cells}


def names(header: str) -> set[str]:
    return {name for cell in rows(header) for name in re.findall(r"`([^`]+)`", cell)}


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", TEXT, re.DOTALL)


def test_layers_with_their_fields_and_defaults():
    told = {kind.strip("`"): fields for kind, fields in rows("kind").items()}
    assert set(told) == set(LAYERS)
    for kind, layer in LAYERS.items():
        expected = {}
        for field in dataclasses.fields(layer):  # type: ignore[arg-type]
            needed = field.default is dataclasses.MISSING
            expected[field.name] = None if needed else json.dumps(field.default)
        found = re.findall(r"`(\w+)`(?: \(([^)]*)\))?", told[kind])
        assert {name: default or None for name, default in found} == expected, kind


def test_activations_formats_and_columns():
    assert names("function") == set(ACTIVATIONS)
    assert names("`--format`") == {*FORMATS, *OWN_FORMATS}
    assert names("column") == {*PLACES, "activation", *MEMBER_COLUMNS, *METRIC_COLUMNS} - {"member"}


def test_builders_with_their_fields():
    told = TEXT.partition("\n| builder |")[2].partition("\n\n")[0].splitlines()[2:]
    found = {}
    for line in told:
        builder, _, fields = (cell.strip() for cell in line.strip("|").split("|"))
        found[builder.strip("`")] = dict(re.findall(r"`(\w+)`(?: \((\d+)\))?", fields))
    assert set(found) == set(ARCHITECTURES)
    for name, build in ARCHITECTURES.items():
        parameters = inspect.signature(build).parameters
        expected = (
            set(parameters) - {"input_shape", "classes"} - ({"hidden"} if name in ("cnn-2464", "cnn-4970") else set())
        )
        assert set(found[name]) == expected
        for field, default in found[name].items():
            assert not default or parameters[field].default == int(default)


@pytest.mark.parametrize("number", range(3))
def test_examples_are_architectures(number, tmp_path):
    (tmp_path / "architecture.json").write_text(blocks("json")[number])
    given = read_architecture(tmp_path / "architecture.json")
    assert given.architecture.classes == 10
    assert given.names is None or set(given.names) == {spec.name for spec in given.architecture.layout}


def test_limits():
    words = re.sub(r"\s+", " ", TEXT)
    assert f"more than {MOST_PARAMETERS:,} parameters or {MOST_LAYERS:,} layers".replace(",", " ") in words
    assert f"deeper than {DEEPEST} levels" in words


def test_the_example_of_a_table(tmp_path):
    for name in ("a-10", "a-20", "b-10", "b-20"):
        torch.save({"0.weight": torch.randn(3, 4), "1.weight": torch.randn(2, 3)}, tmp_path / f"{name}.pt")
    (tmp_path / "networks.csv").write_text(blocks("csv")[0])
    zoo = store_source(open_source(tmp_path), Store(tmp_path / "store"))
    assert list(zoo.members.activation) == ["tanh", "tanh", "relu", "relu"]
    assert list(zoo.members.test_accuracy) == [0.91, 0.93, 0.88, 0.92]
    assert zoo.recipe.snapshot_epochs == (10, 20)
