"""Data sets: ``load_dataset(name)`` and the registry ``DATASETS``."""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import partial

from zoo.config import PACKAGES, lookup
from zoo.data.digits import load_digits_images
from zoo.data.examples import Dataset, Examples
from zoo.data.scenes import compose, counted, turned
from zoo.data.task import Task
from zoo.data.tetris import load_tetris

__all__ = ["DATASETS", "Dataset", "Examples", "Task", "load_dataset"]


def _vision(name: str) -> Dataset:
    from zoo.data.vision import load_vision  # torchvision takes a second, which other data sets need not wait for

    return load_vision(name)


def _scenes(objects: str, each: tuple[int, int, int], shrink: int = 1) -> Dataset:
    return compose(f"{objects}_scenes", DATASETS[objects](), each, shrink=shrink)


def _turned_digits_scenes() -> Dataset:
    return compose("digits_turned_scenes", turned(load_digits_images()), (100, 10, 10))


def _counted(scenes: str) -> Dataset:
    return counted(DATASETS[scenes]())


DATASETS: dict[str, Callable[[], Dataset]] = {
    "digits": load_digits_images,
    "tetris": load_tetris,
    "mnist": partial(_vision, "mnist"),
    "fashion_mnist": partial(_vision, "fashion_mnist"),
    "kmnist": partial(_vision, "kmnist"),
    "usps": partial(_vision, "usps"),
    "cifar10": partial(_vision, "cifar10"),
    "cifar100": partial(_vision, "cifar100"),
    "svhn": partial(_vision, "svhn"),
    "cifar10_gray": partial(_vision, "cifar10_gray"),
    "svhn_gray": partial(_vision, "svhn_gray"),
    "digits_scenes": partial(_scenes, "digits", (100, 15, 25)),
    "digits_turned_scenes": _turned_digits_scenes,
    "mnist_scenes": partial(_scenes, "mnist", (200, 25, 50), shrink=2),
    "fashion_mnist_scenes": partial(_scenes, "fashion_mnist", (200, 25, 50), shrink=2),
    "cifar100_scenes": partial(_scenes, "cifar100", (25, 5, 10), shrink=2),
    "digits_scenes_counted": partial(_counted, "digits_scenes"),
    "digits_turned_scenes_counted": partial(_counted, "digits_turned_scenes"),
}


def load_dataset(name: str) -> Dataset:
    """Loads a data set by its name in ``DATASETS``, or the user's own by ``module:attribute``.

    Raises:
        ValueError: There is no such data set; the message lists the known ones.
        FileNotFoundError: Its files are neither on disk nor to be had; the message says where they belong.
    """
    # It is called blindly, and zoos that others made name it: `cluster.cli:demo` would train for minutes. The data sets
    # of this distribution are in DATASETS, and what else it has is none.
    own = name in DATASETS or name.partition(":")[0].partition(".")[0] not in PACKAGES
    load = lookup(DATASETS, name, "data set") if own else None
    if not own or _is_of_this_program(load):
        raise ValueError(f"data set {name!r} is none; known: {', '.join(sorted(DATASETS))}, or one of your own")
    if not callable(load):
        raise ValueError(f"data set {name!r} is a {type(load).__name__}; it must be a function without arguments")
    data = load()
    if not isinstance(data, Dataset):
        raise ValueError(f"data set {name!r} returned a {type(data).__name__}; it must return a zoo.data.Dataset")
    return data


def _is_of_this_program(load: object) -> bool:
    """Whether a function is of ours, and of no data set: the command line's is in ``__main__`` too while that runs."""
    module = getattr(load, "__module__", None) or ""
    if module == "__main__" and (specification := sys.modules["__main__"].__spec__):
        module = specification.name
    return module.partition(".")[0] in PACKAGES and not module.startswith("zoo.data")
