"""Scikit-learn's handwritten digits: 1 797 real 8×8 images, shipped inside the package."""

from __future__ import annotations

import numpy as np

from zoo.data.examples import Dataset, split_examples
from zoo.data.task import Task


def load_digits_images() -> Dataset:
    """The optical-recognition digits in splits of 997 / 300 / 500 images; 17 gray levels, inputs in [0, 1]."""
    from sklearn.datasets import load_digits  # takes a second, which other data sets need not wait for

    bunch = load_digits()
    pixels = bunch.images.astype(np.uint8)[:, None]
    task = Task("softmax", 10)
    return split_examples("digits", pixels, bunch.target, task=task, scale=1 / 16, validation=300, test=500)
