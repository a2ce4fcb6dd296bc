"""Data sets in a store: the same images for everyone, damage is noticed, and the verb ``data``."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import safetensors.torch
import torch

from cluster.cli import run
from zoo.data import load_dataset
from zoo.data.examples import SPLITS
from zoo.generation.build import generate_zoo, plan_generation
from zoo.storage import staging
from zoo.storage.errors import ZooError
from zoo.storage.staging import find_dataset, find_staged, load_from_store, load_staged, stage, staged_path
from zoo.storage.store import Store


@pytest.fixture(scope="module")
def digits():
    return load_dataset("digits")


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "store")


def own_dataset():
    """What `test_staging:own_dataset` names."""
    return replace(load_dataset("tetris"), name="own")


def same(one, other):
    return one.sha256 == other.sha256 and all(
        torch.equal(getattr(one, split).values, getattr(other, split).values) for split in SPLITS
    )


def test_staged_data_are_the_same(digits, store):
    path, new = stage(store, "digits", digits)
    assert (path, new) == (f"data/digits-{digits.sha256[:8]}.safetensors", True)
    assert stage(store, "digits", digits) == (path, False)
    assert find_staged(store, "digits") == [path]
    back = load_staged(store, path)
    assert same(back, digits)
    assert (back.name, back.task, back.train.scale) == (digits.name, digits.task, digits.train.scale)


def test_the_store_is_looked_into_first(digits, store, monkeypatch):
    stage(store, "digits", digits)
    monkeypatch.setattr("zoo.data.DATASETS", {})
    assert same(find_dataset(store, "digits"), digits)
    with pytest.raises(ValueError, match="unknown data set"):
        load_dataset("digits")
    with pytest.raises(ValueError, match="unknown data set"):
        find_dataset(Store(store.join("elsewhere")), "digits")


def test_zoo_is_generated_and_read_without_files_of_the_data_set(small_recipe, small_zoo, store, digits, monkeypatch):
    stage(store, "digits", digits)
    monkeypatch.setattr("zoo.data.DATASETS", {})
    zoo = generate_zoo(small_recipe, store, members=16)
    assert zoo.name == small_zoo.name
    assert same(zoo.dataset(), digits)


def test_data_sets_of_ones_own(store):
    data = own_dataset()
    path, _ = stage(store, "test_staging:own_dataset", data)
    assert path == f"data/test_staging.own_dataset-{data.sha256[:8]}.safetensors"
    assert same(find_dataset(store, "test_staging:own_dataset"), data)
    assert find_staged(store, "own_dataset") == []


def test_one_of_several_versions(digits, store, small_recipe):
    other = replace(digits, train=digits.train.first(900))
    for data in (digits, other):
        stage(store, "digits", data)
    with pytest.raises(ZooError, match=r"several versions of data set 'digits': data/digits-.*delete those"):
        find_dataset(store, "digits")
    assert same(find_dataset(store, "digits", other.sha256), other)
    with pytest.raises(ZooError, match="several versions"):
        plan_generation(small_recipe, store)


def damaged(content, how):
    tensors = safetensors.torch.load(content)
    facts = json.loads(tensors.pop(staging.FACTS).numpy().tobytes())
    if how == "pixel":
        tensors["train.values"][5, 0, 3, 3] += 1
    elif how == "label":
        tensors["test.targets"][7] = 1 - tensors["test.targets"][7].clamp(max=1)
    elif how == "split":
        del tensors["validation.targets"]
    elif how == "scale":
        facts["scales"]["test"] *= 2
    elif how == "version":
        facts["version"] = 99
    elif how == "task":
        facts["task"]["outputs"] = 3
    elif how == "loss":
        facts["task"]["loss"] = "mine:loss"
    elif how == "truncated":
        return content[:-1]
    elif how == "no safetensors":
        return b"something else"
    return safetensors.torch.save(tensors | {staging.FACTS: staging._as_tensor(facts)})


@pytest.mark.parametrize(
    "how", ["pixel", "label", "split", "scale", "version", "task", "loss", "truncated", "no safetensors"]
)
def test_damage_is_noticed(digits, store, how):
    path, _ = stage(store, "digits", digits)
    content = store.read(path)
    assert damaged(content, "not") == content
    Path(store.join(path)).write_bytes(damaged(content, how))
    with pytest.raises(ZooError, match=r"digits-.*damaged.*stage it again"):
        find_dataset(store, "digits")


def test_data_under_a_wrong_name_are_not_taken(digits, store):
    path, _ = stage(store, "digits", digits)
    Path(store.join("data", "mnist-" + path[-20:])).write_bytes(store.read(path))
    with pytest.raises(ZooError, match="for data set 'digits'"):
        load_from_store(store, "mnist")


# ---- the verb ----


def data_verb(capsys, *arguments):
    assert run(["data", *arguments, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_verb_describes_and_stages(capsys, store, digits):
    before = data_verb(capsys, "digits", "--store", store.uri)
    assert before["contents"]["shape"] == [1, 8, 8]
    assert before["contents"]["examples"] == {"train": 997, "validation": 300, "test": 500}
    assert before["contents"]["sha256"] == digits.sha256
    assert (before["staged"], before["staged_now"]) == ([], False)
    assert not Path(store.uri).exists(), "without --stage nothing is written"
    after = data_verb(capsys, "digits", "--stage", "--store", store.uri)
    uri = store.join(staged_path("digits", digits.sha256))
    assert (after["staged"], after["staged_now"]) == ([uri], True)
    assert data_verb(capsys, "digits", "--stage", "--store", store.uri)["staged_now"] is False
    assert run(["data", "digits", "--store", store.uri]) == 0
    text = capsys.readouterr().out
    assert "10 outputs, loss softmax, examples of 1×8×8, 997 / 300 / 500" in text
    assert uri in text


def test_verb_says_where_missing_files_belong_and_downloads_nothing(capsys, store, tmp_path, monkeypatch):
    monkeypatch.setenv("ZOOSCALE_DATA", str(tmp_path / "images"))
    found = data_verb(capsys, "mnist", "--store", store.uri)
    assert found["contents"] is None
    assert str(tmp_path / "images") in found["files"]
    assert not (tmp_path / "images").exists()


def test_verb_refuses_unknown_data_sets(capsys, store):
    assert run(["data", "nothing", "--store", store.uri]) == 2
    assert "unknown data set 'nothing'; known: " in capsys.readouterr().err
