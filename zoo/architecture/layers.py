"""What a layer specification is, and the layers of multilayer perceptrons.

Shape letters: M members, N examples, H outputs of a layer, D its inputs.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor, nn

from zoo.architecture.activations import ACTIVATIONS
from zoo.architecture.symmetry import Entries, Symmetry

Shape = tuple[int, ...]
AfterActivation = Callable[[int, Tensor], Tensor]
AroundWeights = Callable[[str, Tensor, Callable[[], Tensor]], Tensor]


class Slot(NamedTuple):
    """A tensor that a layer has.

    Attributes:
        name: Its name within the layer.
        shape: Its shape.
        trainable: Whether it is a parameter; else a buffer, which training updates but does not optimize.
    """

    name: str
    shape: Shape
    trainable: bool = True


@dataclass
class BatchStatistics:
    """Puts batch norms in training mode: they use the batch's mean and variance, and leave updated buffers here.

    One object is for one application.

    Attributes:
        buffers: Each buffer's new value by its name in the layout, ``[M, C]``, without gradient.
    """

    buffers: dict[str, Tensor] = field(default_factory=dict)


@dataclass
class Forward:
    """One application of an architecture: what layers share while a batch goes through them.

    Attributes:
        tensors: Every tensor of the layout by name, each with a leading M.
        after_activation: See :meth:`zoo.architecture.Architecture.logits`.
        batch_statistics: Likewise.
        around_weights: Called in place of every linear layer and convolution, with its name, its input and the function
            that applies it: to see what layers read and give, or to replace their tensors before they are applied.
        activations: How many activations were applied so far.
    """

    tensors: Mapping[str, Tensor]
    after_activation: AfterActivation | None = None
    batch_statistics: BatchStatistics | None = None
    around_weights: AroundWeights | None = None
    activations: int = field(default=0, init=False)

    def weigh(self, name: str, x: Tensor, apply: Callable[[], Tensor]) -> Tensor:
        """What a layer that weighs its inputs gives: ``apply()``, unless ``around_weights`` does something else."""
        return apply() if self.around_weights is None else self.around_weights(name, x, apply)


class Layer(ABC):
    """What a layer specification offers; a new kind of layer is one class with these and one entry in ``LAYERS``.

    One of the user's own needs no entry: its ``kind`` is where it is found, ``module:attribute``. Specifications are
    frozen dataclasses whose fields are plain values.

    ``name`` is the layer's name in the ``state_dict`` and ``shape`` that of one example at its input.
    """

    kind: ClassVar[str]

    @abstractmethod
    def output_shape(self, shape: Shape) -> Shape:
        """The shape of one example at the output; ``ValueError`` if the layer cannot read ``shape``."""

    @abstractmethod
    def forward(self, run: Forward, name: str, x: Tensor, shape: Shape) -> Tensor:
        """Applies every member's layer.

        ``x`` is ``[N, *shape]`` while it is the same for every member and ``[M, N, *shape]`` after the first layer
        with parameters (or from the start, if each member has examples of its own).
        """

    @abstractmethod
    def module(self, shape: Shape) -> nn.Module:
        """The same as a ``torch.nn`` module with the same names."""

    def slots(self, shape: Shape) -> tuple[Slot, ...]:  # noqa: ARG002
        """The layer's tensors."""
        return ()

    def moves(self, symmetry: Symmetry, name: str, shape: Shape, entries: Entries) -> Entries:  # noqa: ARG002
        """Notes which of its axes move with the input's entries and returns the output's."""
        return entries

    def parts(self, shape: Shape) -> Iterator[tuple[str, Layer, Shape]]:  # noqa: ARG002
        """(name, layer, input shape) of the layers it consists of, if it does, in order of application."""
        return iter(())


def positive(layer: Layer, *names: str, least: int = 1) -> None:
    """Raises ``ValueError`` for a field that is not a whole number of at least ``least``."""
    for name in names:
        value = getattr(layer, name)
        if type(value) is not int or value < least:
            allowed = "a positive integer" if least == 1 else f"an integer, {least} or more"
            raise ValueError(f"{type(layer).__name__}.{name} is {value!r}; allowed: {allowed}")


@dataclass(frozen=True, kw_only=True, slots=True)
class Flatten(Layer):
    """Joins all axes of one example into one."""

    kind: ClassVar[str] = "flatten"

    def output_shape(self, shape: Shape) -> Shape:
        return (math.prod(shape),)

    def moves(self, symmetry: Symmetry, name: str, shape: Shape, entries: Entries) -> Entries:  # noqa: ARG002
        return entries._replace(block=entries.block * math.prod(shape[1:]))

    def forward(self, run: Forward, name: str, x: Tensor, shape: Shape) -> Tensor:  # noqa: ARG002
        return x.flatten(x.ndim - len(shape))

    def module(self, shape: Shape) -> nn.Module:  # noqa: ARG002
        return nn.Flatten()


@dataclass(frozen=True, kw_only=True, slots=True)
class Linear(Layer):
    """An affine map to ``features`` outputs."""

    features: int
    bias: bool = True
    kind: ClassVar[str] = "linear"

    def __post_init__(self) -> None:
        positive(self, "features")

    def output_shape(self, shape: Shape) -> Shape:
        if len(shape) != 1:
            raise ValueError(f"a linear layer needs a flat input, got shape {shape}; put a Flatten before it")
        return (self.features,)

    def slots(self, shape: Shape) -> tuple[Slot, ...]:
        return weight_and_bias(self.features, shape, bias=self.bias)

    def moves(self, symmetry: Symmetry, name: str, shape: Shape, entries: Entries) -> Entries:
        return moves_weight_and_bias(symmetry, name, entries, self.slots(shape))

    def forward(self, run: Forward, name: str, x: Tensor, shape: Shape) -> Tensor:  # noqa: ARG002
        return run.weigh(name, x, lambda: self._apply(run, name, x))

    def _apply(self, run: Forward, name: str, x: Tensor) -> Tensor:
        weight_MHD = run.tensors[f"{name}.weight"]
        bias_M1H = run.tensors[f"{name}.bias"].unsqueeze(1) if self.bias else None
        if x.ndim == 2:
            # One product for all members: they read the same examples.
            out_MNH = (x @ weight_MHD.flatten(0, 1).T).unflatten(1, weight_MHD.shape[:2]).transpose(0, 1)
            return out_MNH if bias_M1H is None else out_MNH + bias_M1H
        weight_MDH = weight_MHD.transpose(1, 2)
        return torch.bmm(x, weight_MDH) if bias_M1H is None else torch.baddbmm(bias_M1H, x, weight_MDH)

    def module(self, shape: Shape) -> nn.Module:
        return nn.Linear(shape[0], self.features, bias=self.bias)


@dataclass(frozen=True, kw_only=True, slots=True)
class Activate(Layer):
    """An elementwise activation function, by its name in ``zoo.architecture.activations.ACTIVATIONS``."""

    function: str
    kind: ClassVar[str] = "activate"

    def __post_init__(self) -> None:
        if self.function not in ACTIVATIONS:
            raise ValueError(f"unknown activation {self.function!r}; known: {', '.join(ACTIVATIONS)}")

    def output_shape(self, shape: Shape) -> Shape:
        return shape

    def forward(self, run: Forward, name: str, x: Tensor, shape: Shape) -> Tensor:  # noqa: ARG002
        x = ACTIVATIONS[self.function].forward(x)
        if run.after_activation is not None:
            x = run.after_activation(run.activations, x)
        run.activations += 1
        return x

    def module(self, shape: Shape) -> nn.Module:  # noqa: ARG002
        return ACTIVATIONS[self.function].module()


def weight_and_bias(outputs: int, inputs: Shape, *, bias: bool) -> tuple[Slot, ...]:
    """The tensors of a layer that weighs its inputs: ``weight [outputs, *inputs]`` and perhaps ``bias``."""
    weight = Slot("weight", (outputs, *inputs))
    return (weight, Slot("bias", (outputs,))) if bias else (weight,)


def moves_weight_and_bias(symmetry: Symmetry, name: str, entries: Entries, slots: tuple[Slot, ...]) -> Entries:
    """Inputs move axis 1 of the weight; outputs are new units, axis 0 of weight and bias."""
    symmetry.add(entries, f"{name}.weight", 1)
    outputs = symmetry.outputs(name)
    for slot in slots:
        symmetry.add(outputs, f"{name}.{slot.name}", 0)
    return outputs
