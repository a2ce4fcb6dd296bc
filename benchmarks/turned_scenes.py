"""Scenes of MNIST's digits, each in eight orientations, of which each is a class: 80 that can be counted.

``benchmarks.turned_scenes:mnist`` is to be given in place of the data set of ``digits-turned-counting``.
"""

from __future__ import annotations

from zoo.data import Dataset, load_dataset
from zoo.data.examples import SPLITS
from zoo.data.scenes import compose, turned

# Digits of each split that scenes are composed of, before they are turned.
DIGITS = 5000


def mnist() -> Dataset:
    """Scenes of digits at half their size: 100, 10 and 10 of each class and number."""
    whole = load_dataset("mnist")
    parts = {split: getattr(whole, split).first(DIGITS) for split in SPLITS}
    return compose("mnist-turned-scenes", turned(Dataset("mnist", whole.task, **parts)), (100, 10, 10), shrink=2)
