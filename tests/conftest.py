"""Fixtures that several test modules share."""

from __future__ import annotations

import os
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from zoo.generation.build import generate_zoo
from zoo.recipes import DIGITS_MLP_DIVERSE, Recipe
from zoo.storage.store import Store
from zoo.storage.zoo import Zoo

SMALL = replace(
    DIGITS_MLP_DIVERSE,
    name="small",
    members=64,
    epochs=2,
    snapshot_epochs=(0, 1, 2),
    block_members=2,  # 32 blocks, so that each split has some
    shard_members=16,
)


# Files with slow tests, the longest first: processes that share the tests take whole files in this order, and a long
# one at the end would leave the others idle.
LONGEST = (
    "test_stopped_generation",
    "test_search",
    "test_generation_storage",
    "test_termination",
    "test_submit",
    "test_stranger",
    "test_distributed_rows",
    "test_out_of_memory",
    "test_demo",
    "test_lanes_cache",
    "test_tutorial",
    "test_wheel",
    "test_dashboard",
    "test_own_packages",
    "test_training",
)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """What ``-n auto`` means: one process more than cores, since the longest tests wait half the time for others."""
    return (os.cpu_count() or 1) + 1


def pytest_configure() -> None:
    """One thread: with several, references add up in another order, and what is compared to 1e-5 may differ by more."""
    torch.set_num_threads(1)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Puts the longest files first."""
    places = {name: place for place, name in enumerate(LONGEST)}
    items.sort(key=lambda item: places.get(item.path.stem, len(places)))


@pytest.fixture(scope="session")
def small_recipe() -> Recipe:
    """64 diverse MLPs 64-16-10 on the digits in 4 shards, 2 epochs."""
    return SMALL


@pytest.fixture(scope="session")
def small_zoo(tmp_path_factory: pytest.TempPathFactory) -> Zoo:
    """The zoo of ``small_recipe``. Shared by all tests: read only."""
    return generate_zoo(SMALL, Store(tmp_path_factory.mktemp("small")))


@pytest.fixture
def zoo_copy(small_zoo: Zoo, tmp_path: Path) -> Zoo:
    """A copy of ``small_zoo`` for the test to damage."""
    shutil.copytree(small_zoo.store.uri, tmp_path / "copy")
    return Zoo.open(small_zoo.name, store=Store(tmp_path / "copy"))
