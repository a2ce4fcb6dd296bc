"""Architectures as data: layers, parameter layout, permutation symmetry, batched forward, modules.

Shape letters: M members, P parameters, N examples, C classes.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar, Protocol

import torch
from torch import Tensor, nn

from zoo.activations import ACTIVATIONS

Shape = tuple[int, ...]
AfterActivation = Callable[[int, Tensor], Tensor]


class Layer(Protocol):
    """What a layer specification offers; a new kind of layer is one class with these and one entry in ``LAYERS``.

    In ``forward``, ``x`` is ``[N, *shape]`` while it is the same for every member and ``[M, N, *shape]`` after
    the first layer with parameters; ``tensors`` are this layer's parameters, each with a leading M.
    """

    kind: ClassVar[str]

    def output_shape(self, shape: Shape) -> Shape: ...
    def tensors(self, shape: Shape) -> dict[str, Shape]: ...
    def forward(self, tensors: Mapping[str, Tensor], x: Tensor, shape: Shape) -> Tensor: ...
    def module(self, shape: Shape) -> nn.Module: ...


@dataclass(frozen=True, kw_only=True, slots=True)
class Flatten:
    """Joins all axes of one example into one."""

    kind: ClassVar[str] = "flatten"

    def output_shape(self, shape: Shape) -> Shape:
        return (math.prod(shape),)

    def tensors(self, shape: Shape) -> dict[str, Shape]:  # noqa: ARG002
        return {}

    def forward(self, tensors: Mapping[str, Tensor], x: Tensor, shape: Shape) -> Tensor:  # noqa: ARG002
        return x.flatten(x.ndim - len(shape))

    def module(self, shape: Shape) -> nn.Module:  # noqa: ARG002
        return nn.Flatten()


@dataclass(frozen=True, kw_only=True, slots=True)
class Linear:
    """An affine map to ``features`` outputs."""

    features: int
    bias: bool = True
    kind: ClassVar[str] = "linear"

    def __post_init__(self) -> None:
        if not (isinstance(self.features, int) and self.features > 0):
            raise ValueError(f"Linear.features is {self.features!r}; allowed: a positive integer")

    def output_shape(self, shape: Shape) -> Shape:
        if len(shape) != 1:
            raise ValueError(f"a linear layer needs a flat input, got shape {shape}; put a Flatten before it")
        return (self.features,)

    def tensors(self, shape: Shape) -> dict[str, Shape]:
        weight = {"weight": (self.features, *shape)}
        return weight | {"bias": (self.features,)} if self.bias else weight

    def forward(self, tensors: Mapping[str, Tensor], x: Tensor, shape: Shape) -> Tensor:  # noqa: ARG002
        weight_MHD = tensors["weight"]
        if x.ndim == 2:
            # One product for all members: they read the same examples.
            out_MNH = (x @ weight_MHD.flatten(0, 1).T).unflatten(1, weight_MHD.shape[:2]).transpose(0, 1)
            return out_MNH + tensors["bias"].unsqueeze(1) if self.bias else out_MNH
        if self.bias:
            return torch.baddbmm(tensors["bias"].unsqueeze(1), x, weight_MHD.transpose(1, 2))
        return torch.bmm(x, weight_MHD.transpose(1, 2))

    def module(self, shape: Shape) -> nn.Module:
        return nn.Linear(shape[0], self.features, bias=self.bias)


@dataclass(frozen=True, kw_only=True, slots=True)
class Activate:
    """An elementwise activation function, by its name in ``zoo.activations.ACTIVATIONS``."""

    function: str
    kind: ClassVar[str] = "activate"

    def __post_init__(self) -> None:
        if self.function not in ACTIVATIONS:
            raise ValueError(f"unknown activation {self.function!r}; known: {', '.join(ACTIVATIONS)}")

    def output_shape(self, shape: Shape) -> Shape:
        return shape

    def tensors(self, shape: Shape) -> dict[str, Shape]:  # noqa: ARG002
        return {}

    def forward(self, tensors: Mapping[str, Tensor], x: Tensor, shape: Shape) -> Tensor:  # noqa: ARG002
        return ACTIVATIONS[self.function].forward(x)

    def module(self, shape: Shape) -> nn.Module:  # noqa: ARG002
        return ACTIVATIONS[self.function].module()


LAYERS: dict[str, Callable[..., Layer]] = {"flatten": Flatten, "linear": Linear, "activate": Activate}


@dataclass(frozen=True, slots=True)
class TensorSpec:
    """One parameter tensor: its name in the ``state_dict``, its shape, and where it begins in the flat vector."""

    name: str
    shape: Shape
    offset: int

    @property
    def size(self) -> int:
        """Number of entries."""
        return math.prod(self.shape)

    @property
    def span(self) -> slice:
        """Where the tensor lies in the flat vector."""
        return slice(self.offset, self.offset + self.size)


@dataclass(frozen=True)
class Architecture:
    """A network as data.

    Attributes:
        input_shape: Shape of one example, channels first: (1, 8, 8).
        layers: Layer specifications in order of application.
    """

    input_shape: Shape
    layers: tuple[Layer, ...]

    def __post_init__(self) -> None:
        if not self.layers or len(self.output_shape) != 1:
            raise ValueError(f"an architecture ends in one vector of logits; {self.layers!r} does not")

    @cached_property
    def shapes(self) -> tuple[Shape, ...]:
        """The shape of one example before each layer, and last the shape of the output."""
        shapes = [tuple(self.input_shape)]
        for layer in self.layers:
            shapes.append(layer.output_shape(shapes[-1]))
        return tuple(shapes)

    @property
    def output_shape(self) -> Shape:
        """The shape of the output for one example."""
        return self.shapes[-1]

    @property
    def classes(self) -> int:
        """Number of logits."""
        return self.output_shape[0]

    @cached_property
    def layout(self) -> tuple[TensorSpec, ...]:
        """The parameter layout: every tensor with its offset into the flat vector of length P."""
        specs: list[TensorSpec] = []
        offset = 0
        for index, (layer, shape) in enumerate(zip(self.layers, self.shapes, strict=False)):
            for suffix, tensor_shape in layer.tensors(shape).items():
                specs.append(TensorSpec(f"{index}.{suffix}", tensor_shape, offset))
                offset += specs[-1].size
        return tuple(specs)

    @cached_property
    def parameters(self) -> int:
        """P, the length of the flat parameter vector."""
        return sum(spec.size for spec in self.layout)

    @cached_property
    def linear_layers(self) -> tuple[tuple[TensorSpec, TensorSpec | None], ...]:
        """(weight, bias or None) of each linear layer, first to last."""
        by_name = {spec.name: spec for spec in self.layout}
        return tuple(
            (by_name[f"{index}.weight"], by_name.get(f"{index}.bias"))
            for index, layer in enumerate(self.layers)
            if isinstance(layer, Linear)
        )

    @cached_property
    def symmetry(self) -> dict[str, tuple[tuple[str, int], ...]]:
        """The permutation symmetry: for each hidden layer, the (tensor, axis) pairs that move together.

        Permuting all the axes of one entry by the same permutation leaves the network's function unchanged.
        """
        groups: dict[str, list[tuple[str, int]]] = {}
        incoming: str | None = None
        for index, layer in enumerate(self.layers):
            if not isinstance(layer, Linear):
                continue
            if incoming is not None:
                groups[incoming].append((f"{index}.weight", 1))
            incoming = str(index)
            groups[incoming] = [(f"{index}.{suffix}", 0) for suffix in layer.tensors(self.shapes[index])]
        if incoming is not None:
            del groups[incoming]  # the outputs are classes: they have names and do not move
        return {name: tuple(axes) for name, axes in groups.items()}

    def tensors(self, weights_MP: Tensor) -> dict[str, Tensor]:
        """Views of the flat vectors as named tensors ``[M, *shape]``, without a copy."""
        if weights_MP.ndim != 2 or weights_MP.shape[1] != self.parameters:
            raise ValueError(f"weights have shape {tuple(weights_MP.shape)}; expected [members, {self.parameters}]")
        return {s.name: weights_MP[:, s.span].unflatten(1, s.shape) for s in self.layout}

    def flatten(self, tensors: Mapping[str, Tensor]) -> Tensor:
        """The inverse of :meth:`tensors`: named tensors ``[M, *shape]`` to ``weights_MP``."""
        names = [spec.name for spec in self.layout]
        if set(names) != set(tensors):
            raise ValueError(f"tensors are named {sorted(tensors)}; expected {names}")
        return torch.cat([tensors[name].flatten(1) for name in names], dim=1)

    def logits(self, weights_MP: Tensor, x: Tensor, after_activation: AfterActivation | None = None) -> Tensor:
        """Applies every member to every example, differentiably.

        Args:
            weights_MP: Flat parameters.
            x: Examples ``[N, *input_shape]`` in floating point.
            after_activation: Called with the activation's number and its output; its result is used instead
                (dropout in training, a probe in analysis).

        Returns:
            ``logits_MNC``.
        """
        tensors = self.tensors(weights_MP)
        activations = 0
        for index, (layer, shape) in enumerate(zip(self.layers, self.shapes, strict=False)):
            own = {suffix: tensors[f"{index}.{suffix}"] for suffix in layer.tensors(shape)}
            x = layer.forward(own, x, shape)
            if isinstance(layer, Activate):
                if after_activation is not None:
                    x = after_activation(activations, x)
                activations += 1
        return x

    def to_module(self, weights_P: Tensor) -> nn.Sequential:
        """Builds an ordinary ``torch.nn.Sequential`` with a copy of one member's weights."""
        with torch.device("meta"):  # no random initialisation that would be thrown away
            module = nn.Sequential(
                *(layer.module(shape) for layer, shape in zip(self.layers, self.shapes, strict=False))
            )
        state = {name: tensor[0].clone() for name, tensor in self.tensors(weights_P[None]).items()}
        module.load_state_dict(state, assign=True)
        return module

    def from_module(self, module: nn.Module) -> Tensor:
        """The inverse of :meth:`to_module`: a module's parameters as ``weights_P``."""
        state = {name: tensor.detach()[None] for name, tensor in module.state_dict().items()}
        for spec in self.layout:
            if spec.name in state and state[spec.name].shape[1:] != spec.shape:
                raise ValueError(f"{spec.name} has shape {tuple(state[spec.name].shape[1:])}; expected {spec.shape}")
        return self.flatten(state)[0]

    def to_json(self) -> dict[str, Any]:
        """The architecture as plain JSON values."""
        layers = []
        for layer in self.layers:
            fields = {name: getattr(layer, name) for name in layer.__dataclass_fields__ if name != "kind"}  # type: ignore[attr-defined]
            layers.append({"kind": layer.kind, **fields})
        return {"input_shape": list(self.input_shape), "layers": layers}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Architecture:
        """The inverse of :meth:`to_json`.

        Raises:
            ValueError: A layer kind or a field is unknown.
        """
        layers = []
        for entry in value["layers"]:
            fields = dict(entry)
            kind = fields.pop("kind", None)
            if kind not in LAYERS:
                raise ValueError(f"unknown layer kind {kind!r}; known: {', '.join(LAYERS)}")
            try:
                layers.append(LAYERS[kind](**fields))
            except TypeError as error:
                raise ValueError(f"layer {entry!r}: {error}") from error
        return cls(tuple(value["input_shape"]), tuple(layers))


def mlp(
    input_shape: Shape, hidden: tuple[int, ...], classes: int, *, activation: str = "relu", bias: bool = True
) -> Architecture:
    """A multilayer perceptron: flatten, then linear layers with ``activation`` between them."""
    layers: list[Layer] = [Flatten()]
    for width in hidden:
        layers += [Linear(features=width, bias=bias), Activate(function=activation)]
    layers.append(Linear(features=classes, bias=bias))
    return Architecture(tuple(input_shape), tuple(layers))
