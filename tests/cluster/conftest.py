"""Fixtures of tests of what runs on Ray."""

import pytest
from long_generation import RECIPE

from zoo.generation.build import generate_zoo
from zoo.storage.zoo import Zoo


@pytest.fixture(scope="session")
def serial(tmp_path_factory: pytest.TempPathFactory) -> Zoo:
    """The zoo of the long generation, made in this process. Shared by all tests: read only."""
    return generate_zoo(RECIPE, tmp_path_factory.mktemp("serial"))
