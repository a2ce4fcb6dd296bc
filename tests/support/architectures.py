"""Small architectures of every kind, with weights that make each layer matter."""

import torch

from zoo.architecture import (
    Activate,
    Architecture,
    AveragePool,
    BatchNorm,
    Conv,
    Flatten,
    GlobalAveragePool,
    Linear,
    MaxPool,
    Rescale,
    Residual,
    cnn,
    cnn_2464,
    cnn_4970,
    cnn_strided,
    mlp,
    resnet,
)

RELU, TANH = Activate(function="relu"), Activate(function="tanh")

MLPS = {
    "one hidden layer": mlp((1, 8, 8), (16,), 10),
    "no bias": mlp((1, 4, 4), (5,), 4, activation="tanh", bias=False),
    "three hidden layers": mlp((3, 4, 4), (12, 9, 7), 6, activation="silu"),
    "linear": mlp((1, 8, 8), (), 10),
}

CONVOLUTIONAL = {
    "cnn": cnn((3, 9, 8), (4, 6), 5, activation="gelu"),
    "cnn without bias": cnn((1, 8, 8), (5,), 3, bias=False),
    "cnn-2464": cnn_2464((1, 28, 28), (), 10),
    "cnn-2464 in color": cnn_2464((3, 32, 32), (), 10, activation="relu"),
    "cnn-4970": cnn_4970((1, 28, 28), (), 10, activation="tanh"),
    "cnn-strided": cnn_strided((3, 9, 8), (4, 5), 3, dense=(6,)),
    "resnet": resnet((3, 8, 8), (4, 6), 5),
    "every pool on rescaled pixels": Architecture(
        (2, 13, 11),
        (
            *(
                Rescale(scale=2.0, offset=-0.5),
                Conv(channels=4, kernel=3, stride=2, padding=2),
                RELU,
                AveragePool(size=2, stride=1),
            ),
            *(Conv(channels=5, kernel=2, padding=1, bias=False), TANH, MaxPool(size=3, stride=2)),
            *(Conv(channels=6, kernel=1), GlobalAveragePool()),
        ),
    ),
    "norms of vectors and of images": Architecture(
        (2, 5, 5),
        (
            *(BatchNorm(), Conv(channels=3, kernel=3), BatchNorm(), TANH, Flatten(), BatchNorm()),
            *(Linear(features=6), BatchNorm(), RELU, Linear(features=4)),
        ),
    ),
    "residuals of vectors": Architecture(
        (6,),
        (
            *(Linear(features=5), Residual(body=(TANH, Linear(features=5))), TANH),
            Residual(body=(Linear(features=7), TANH, Linear(features=5)), shortcut=(Linear(features=5, bias=False),)),
            *(Residual(body=(RELU,)), Linear(features=3)),
        ),
    ),
    "a residual on the input and one in a residual": Architecture(
        (2, 6, 6),
        (
            Residual(body=(Conv(channels=2, kernel=3, padding=1), TANH)),
            *(Conv(channels=4, kernel=3, padding=1), TANH),
            Residual(
                body=(
                    Residual(
                        body=(Conv(channels=8, kernel=3, padding=1, stride=2), TANH),
                        shortcut=(AveragePool(size=2), Conv(channels=8, kernel=1, bias=False)),
                    ),
                ),
                shortcut=(Conv(channels=8, kernel=2, stride=2),),
            ),
            *(TANH, Flatten(), Linear(features=4)),
        ),
    ),
    "blocks of different sizes are added": Architecture(
        (1, 6, 6),
        (
            *(Conv(channels=3, kernel=3), TANH),
            Residual(body=(Flatten(), Linear(features=12), TANH), shortcut=(MaxPool(size=2), Flatten())),
            Linear(features=4),
        ),
    ),
}

ARCHITECTURES = MLPS | CONVOLUTIONAL


def random_weights(architecture, members=4, seed=0):
    """Of the order of a layer's initial weights, running variances positive."""
    generator = torch.Generator().manual_seed(seed)
    weights_MP = torch.randn(members, architecture.parameters, generator=generator)
    for spec in architecture.layout:
        fan_in = spec.size // spec.shape[0] if len(spec.shape) > 1 else 1
        weights_MP[:, spec.span] /= fan_in**0.5
        if spec.name.endswith("running_var"):
            weights_MP[:, spec.span] = weights_MP[:, spec.span].abs() + 0.1
    return weights_MP


def random_permutations(architecture, members, seed=0):
    """For each set of hidden units a permutation for each member."""
    generator = torch.Generator().manual_seed(seed)
    shapes = {spec.name: spec.shape for spec in architecture.layout}
    widths = {
        name: shapes[tensor][axis] // block for name, ((tensor, axis, block), *_) in architecture.symmetry.items()
    }
    return {
        name: torch.stack([torch.randperm(width, generator=generator) for _ in range(members)])
        for name, width in widths.items()
    }


def random_examples(architecture, count, seed=0):
    """Positive and negative pixels."""
    return torch.randn(count, *architecture.input_shape, generator=torch.Generator().manual_seed(seed))


def small_net(activation="tanh"):
    """Every kind of layer on 8x8 digits, with a residual inside a residual."""
    return Architecture(
        (1, 8, 8),
        (
            Conv(channels=4, kernel=3, padding=1, bias=False),
            BatchNorm(),
            Activate(function=activation),
            Residual(
                body=(
                    Conv(channels=6, kernel=3, stride=2, padding=1),
                    Residual(body=(BatchNorm(), Activate(function=activation), Conv(channels=6, kernel=3, padding=1))),
                    Activate(function=activation),
                ),
                shortcut=(AveragePool(size=2), Conv(channels=6, kernel=1), Activate(function="tanh")),
            ),
            MaxPool(size=2),
            Conv(channels=5, kernel=2, bias=False),  # a bias before a batch norm has no gradient but rounding
            Flatten(),
            BatchNorm(),
            Linear(features=10),
        ),
    )
