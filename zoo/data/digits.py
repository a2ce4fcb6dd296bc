"""Scikit-learn's handwritten digits: 1 797 real 8×8 images, shipped inside the package."""

from __future__ import annotations

import gzip
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from zoo.data.examples import Dataset, split_examples
from zoo.data.task import Task


def load_digits_images() -> Dataset:
    """The optical-recognition digits in splits of 997 / 300 / 500 images; 17 gray levels, inputs in [0, 1].

    Raises:
        FileNotFoundError: Scikit-learn is not installed, or has them elsewhere.
    """
    # The package's own loader takes a second to import, which no command on digits needs to wait for.
    package = find_spec("sklearn")
    folders = (package and package.submodule_search_locations) or ["sklearn"]
    with gzip.open(Path(folders[0], "datasets", "data", "digits.csv.gz"), "rt") as file:
        rows = np.loadtxt(file, delimiter=",").astype(np.uint8)
    pixels, labels = rows[:, :-1].reshape(-1, 1, 8, 8), rows[:, -1].astype(np.int64)
    return split_examples("digits", pixels, labels, task=Task("softmax", 10), scale=1 / 16, validation=300, test=500)
