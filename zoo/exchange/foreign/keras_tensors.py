"""How Keras holds the tensors of a chain of layers, and how they are held here.

Kernels of convolutions are height, width, inputs, outputs there, and those of dense layers inputs, outputs; an image is
height, width, channels, also where a Flatten makes one axis of it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from zoo.architecture import Architecture, Flatten, Linear, Shape

# Axes of a Keras kernel in the order of PyTorch, by their number.
KERNEL_AXES = {4: (3, 2, 0, 1), 2: (1, 0)}


@dataclass(frozen=True, slots=True)
class KerasVariable:
    """Where a variable lies in a flattened network.

    Attributes:
        name: ``sequential/conv2d/kernel:0``.
        start: First column.
        shape: Shape in Keras.
    """

    name: str
    start: int
    shape: tuple[int, ...]

    def from_row(self, row_P: np.ndarray) -> np.ndarray:
        """This variable of a flattened network, its axes in the order of PyTorch."""
        tensor = row_P[self.start : self.start + int(np.prod(self.shape))].reshape(self.shape)
        if self.name.rpartition("/")[2].startswith("kernel"):
            return tensor.transpose(KERNEL_AXES[len(self.shape)])
        return tensor


def flattened_images(architecture: Architecture) -> dict[str, Shape]:
    """For each linear layer behind a Flatten of images, the name of its weight and the shape of these images."""
    found: dict[str, Shape] = {}
    image: Shape | None = None
    for number, (layer, shape) in enumerate(zip(architecture.layers, architecture.shapes, strict=False)):
        if isinstance(layer, Flatten) and len(shape) == 3:
            image = shape
        elif isinstance(layer, Linear):
            found |= {f"{number}.weight": image} if image is not None else {}
            image = None
    return found


def from_channels_last(weight: np.ndarray, image: Shape) -> np.ndarray:
    """The weight of a linear layer that counts its inputs by height, width and channel, as one that begins with these.

    Args:
        weight: ``[outputs, inputs]``.
        image: Channels, height and width of what was flattened.
    """
    channels, *size = image
    return weight.reshape(-1, *size, channels).transpose(0, 3, 1, 2).reshape(weight.shape)


def to_keras(tensor: np.ndarray, image: Shape | None = None) -> np.ndarray:
    """A tensor of a network, its axes in the order of Keras.

    Args:
        tensor: Its weight or bias in the order of PyTorch.
        image: For a linear layer behind a Flatten of images, their shape.
    """
    if image is not None:
        tensor = tensor.reshape(-1, *image).transpose(0, 2, 3, 1).reshape(tensor.shape)
    return tensor.transpose(np.argsort(KERNEL_AXES[tensor.ndim])) if tensor.ndim > 1 else tensor
