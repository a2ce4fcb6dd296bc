"""Image data sets: ``load_dataset(name)`` and the registry ``DATASETS``."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from zoo.config import lookup
from zoo.data.digits import load_digits_images
from zoo.data.images import ImageData, Images
from zoo.data.tetris import load_tetris
from zoo.data.vision import load_vision

__all__ = ["DATASETS", "ImageData", "Images", "load_dataset"]

DATASETS: dict[str, Callable[[], ImageData]] = {
    "digits": load_digits_images,
    "tetris": load_tetris,
    "mnist": partial(load_vision, "mnist"),
    "fashion_mnist": partial(load_vision, "fashion_mnist"),
    "kmnist": partial(load_vision, "kmnist"),
    "usps": partial(load_vision, "usps"),
    "cifar10": partial(load_vision, "cifar10"),
    "cifar100": partial(load_vision, "cifar100"),
    "svhn": partial(load_vision, "svhn"),
}


def load_dataset(name: str) -> ImageData:
    """Loads a data set by its name in ``DATASETS``, or the user's own by ``module:attribute``.

    Raises:
        ValueError: There is no such data set; the message lists the known ones.
        FileNotFoundError: Its files are neither on disk nor to be had; the message says where they belong.
    """
    data = lookup(DATASETS, name, "data set")()
    if not isinstance(data, ImageData):
        raise ValueError(f"data set {name!r} returned a {type(data).__name__}; it must return a zoo.data.ImageData")
    return data
