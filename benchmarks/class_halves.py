"""Halves of the classes of MNIST and of Fashion-MNIST as data sets: what was fitted to one meets the other.

``benchmarks.class_halves:digits`` has the digits 0 to 4 and ``unseen_digits`` 5 to 9, ``clothes`` and
``unseen_clothes`` the articles of clothing likewise; labels are 0 to 4.
"""

from __future__ import annotations

from functools import partial

from zoo.data import Dataset, load_dataset
from zoo.data.class_tasks import select
from zoo.data.examples import SPLITS
from zoo.data.task import Task


def _half(name: str, task: str) -> Dataset:
    whole = load_dataset(name)
    return Dataset(
        f"{name}-{task}", Task("softmax", 5), **{part: select(task, getattr(whole, part)) for part in SPLITS}
    )


digits, unseen_digits = (partial(_half, "mnist", task) for task in ("0-to-4", "5-to-9"))
clothes, unseen_clothes = (partial(_half, "fashion_mnist", task) for task in ("0-to-4", "5-to-9"))
