"""Ready architectures, by name."""

from __future__ import annotations

from collections.abc import Callable

from zoo.architecture.architecture import Architecture
from zoo.architecture.convolution import Conv, GlobalAveragePool, MaxPool
from zoo.architecture.layers import Activate, Flatten, Layer, Linear, Shape
from zoo.architecture.normalization import BatchNorm
from zoo.architecture.rescale import Rescale
from zoo.architecture.residual import Residual


def normalizing(architecture: Architecture, mean: float, deviation: float) -> Architecture:
    """The same architecture that first subtracts a mean from its inputs and divides by a standard deviation."""
    rescale = Rescale(scale=1 / deviation, offset=-mean / deviation)
    return Architecture(architecture.input_shape, (rescale, *architecture.layers))


def mlp(
    input_shape: Shape, hidden: tuple[int, ...], classes: int, *, activation: str = "relu", bias: bool = True
) -> Architecture:
    """A multilayer perceptron: flatten, then linear layers with ``activation`` between them."""
    layers: list[Layer] = [Flatten()]
    for width in hidden:
        layers += [Linear(features=width, bias=bias), Activate(function=activation)]
    layers.append(Linear(features=classes, bias=bias))
    return Architecture(tuple(input_shape), tuple(layers))


def cnn(
    input_shape: Shape,
    hidden: tuple[int, ...],
    classes: int,
    *,
    activation: str = "relu",
    bias: bool = True,
    kernel: int = 3,
    pool: int = 2,
) -> Architecture:
    """A convolution, an activation and a max pool for each number of channels in ``hidden``; one linear layer.

    Convolutions keep the image's size where ``kernel`` is odd; a pool divides it by ``pool``.
    """
    layers: list[Layer] = []
    for channels in hidden:
        layers += [
            Conv(channels=channels, kernel=kernel, padding=kernel // 2, bias=bias),
            Activate(function=activation),
            MaxPool(size=pool),
        ]
    return Architecture(tuple(input_shape), (*layers, Flatten(), Linear(features=classes, bias=bias)))


def cnn_2464(
    input_shape: Shape, hidden: tuple[int, ...], classes: int, *, activation: str = "tanh", bias: bool = True
) -> Architecture:
    """The CNN of Schürholt et al., "Self-Supervised Representation Learning on Neural Network Weights", NeurIPS 2021.

    2464 parameters for one-channel images of 28 x 28 and 10 classes. ``hidden`` is fixed by the paper: give ().
    """
    _require_nothing("cnn-2464", hidden)
    act = Activate(function=activation)
    layers: tuple[Layer, ...] = (
        *(Conv(channels=8, kernel=5, bias=bias), MaxPool(size=2), act),
        *(Conv(channels=6, kernel=5, bias=bias), MaxPool(size=2), act),
        *(Conv(channels=4, kernel=2, bias=bias), act),
        *(Flatten(), Linear(features=20, bias=bias), act),
        Linear(features=classes, bias=bias),
    )
    return Architecture(tuple(input_shape), layers)


def cnn_4970(
    input_shape: Shape, hidden: tuple[int, ...], classes: int, *, activation: str = "relu", bias: bool = True
) -> Architecture:
    """The CNN of Unterthiner et al., "Predicting Neural Network Accuracy from Weights", 2020.

    4970 parameters for one-channel images and 10 classes. ``hidden`` is fixed by the paper: give ().
    """
    _require_nothing("cnn-4970", hidden)
    convolution: tuple[Layer, ...] = (
        Conv(channels=16, kernel=3, stride=2, bias=bias),
        Activate(function=activation),
    )
    return Architecture(
        tuple(input_shape), (*convolution * 3, GlobalAveragePool(), Linear(features=classes, bias=bias))
    )


def cnn_strided(
    input_shape: Shape,
    hidden: tuple[int, ...],
    classes: int,
    *,
    activation: str = "relu",
    bias: bool = True,
    kernel: int = 5,
    dense: tuple[int, ...] = (),
    average: bool = False,
) -> Architecture:
    """A convolution of stride 2 and an activation for each number of channels in ``hidden``, then linear layers.

    Convolutions halve the image where ``kernel`` is odd; ``dense`` are the widths of linear layers before the last.
    With ``average`` these see the mean over places, which suits what is counted rather than located.
    """
    act = Activate(function=activation)
    layers: list[Layer] = []
    for channels in hidden:
        layers += [Conv(channels=channels, kernel=kernel, stride=2, padding=kernel // 2, bias=bias), act]
    layers.append(GlobalAveragePool() if average else Flatten())
    for width in dense:
        layers += [Linear(features=width, bias=bias), act]
    return Architecture(tuple(input_shape), (*layers, Linear(features=classes, bias=bias)))


def mlp_or_cnn(
    input_shape: Shape,
    hidden: tuple[int, ...],
    classes: int,
    *,
    kind: str = "mlp",
    activation: str = "relu",
    bias: bool = True,
) -> Architecture:
    """What :func:`mlp` or :func:`cnn` builds, as ``kind`` says: for zoos of both."""
    builders = {"mlp": mlp, "cnn": cnn}
    if kind not in builders:
        raise ValueError(f"mlp-or-cnn's kind is {kind!r}; allowed: {', '.join(builders)}")
    return builders[kind](input_shape, hidden, classes, activation=activation, bias=bias)


def resnet(
    input_shape: Shape, hidden: tuple[int, ...], classes: int, *, activation: str = "relu", bias: bool = True
) -> Architecture:
    """A small residual network after He et al., "Deep Residual Learning for Image Recognition", CVPR 2016.

    A convolution with ``hidden[0]`` channels, then for each number in ``hidden`` one block of two convolutions with
    batch norms; blocks after the first halve the image and have a convolution in their shortcut. Convolutions, each
    followed by a batch norm, have no bias; ``bias`` is that of the linear layer.
    """
    if not hidden:
        raise ValueError("resnet's hidden is (); allowed: one number of channels or more, such as (16, 32)")
    act = Activate(function=activation)

    def normalized(channels: int, *, kernel: int = 3, stride: int = 1) -> tuple[Layer, ...]:
        padding = kernel // 2
        return (Conv(channels=channels, kernel=kernel, stride=stride, padding=padding, bias=False), BatchNorm())

    layers: list[Layer] = [*normalized(hidden[0]), act]
    for index, channels in enumerate(hidden):
        stride = 2 if index else 1
        body = (*normalized(channels, stride=stride), act, *normalized(channels))
        shortcut = normalized(channels, kernel=1, stride=stride) if index else ()
        layers += [Residual(body=body, shortcut=shortcut), act]
    return Architecture(tuple(input_shape), (*layers, GlobalAveragePool(), Linear(features=classes, bias=bias)))


def _require_nothing(name: str, hidden: tuple[int, ...]) -> None:
    if hidden:
        raise ValueError(f"{name} has fixed widths, but hidden is {tuple(hidden)!r}; give ()")


ARCHITECTURES: dict[str, Callable[..., Architecture]] = {
    "mlp": mlp,
    "cnn": cnn,
    "cnn-2464": cnn_2464,
    "cnn-4970": cnn_4970,
    "cnn-strided": cnn_strided,
    "mlp-or-cnn": mlp_or_cnn,
    "resnet": resnet,
}
