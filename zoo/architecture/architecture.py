"""Architectures as data: layers, parameter layout, permutation symmetry, batched forward, modules.

Shape letters: M members, P parameters, N examples, C classes.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn

from zoo.architecture.description import ARROW, described, from_description, in_words
from zoo.architecture.layers import (
    Activate,
    AfterActivation,
    AroundWeights,
    BatchStatistics,
    Flatten,
    Forward,
    Layer,
    Linear,
    Shape,
)
from zoo.architecture.layout import Placed, TensorSpec
from zoo.architecture.normalization import without_counts
from zoo.architecture.residual import named, sequence_shapes
from zoo.architecture.symmetry import Groups, Symmetry

# Far beyond the small networks that zoos are made of: of larger ones, one alone fills the memory that training has.
MOST_LAYERS = 1000
MOST_PARAMETERS = 2**26
MOST_VALUES = 2**26


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
        if not self.input_shape or any(type(length) is not int or length < 1 for length in self.input_shape):
            raise ValueError(f"input_shape is {self.input_shape!r}; allowed: positive integers, channels first")
        if len(self.layers) > MOST_LAYERS:
            raise ValueError(f"the architecture has {len(self.layers):,} layers; allowed: up to {MOST_LAYERS:,}")
        if not self.layers or len(self.output_shape) != 1:
            raise ValueError(
                f"an architecture ends in one vector of outputs; {self.layers!r} does not: end with Flatten or "
                "GlobalAveragePool and a Linear"
            )
        if not self.layout:
            raise ValueError(f"an architecture has parameters; {self.layers!r} has none: add a Linear or a Conv")
        values = max(math.prod(shape) for place in self.placed for shape in (place.shape, place.output_shape))
        for count, what, most in (
            (self.parameters, "parameters", MOST_PARAMETERS),
            (values, "values in one layer for one example", MOST_VALUES),
        ):
            if count > most:
                raise ValueError(f"the architecture {self.summary} has {count:,} {what}; allowed: up to {most:,}")

    @cached_property
    def shapes(self) -> tuple[Shape, ...]:
        """The shape of one example before each layer, and last the shape of the output."""
        return sequence_shapes(self.layers, tuple(self.input_shape))

    @property
    def output_shape(self) -> Shape:
        """The shape of the output for one example."""
        return self.shapes[-1]

    @property
    def classes(self) -> int:
        """Number of outputs, one for each class where the network tells classes apart."""
        return self.output_shape[0]

    @cached_property
    def placed(self) -> tuple[Placed, ...]:
        """Every layer in order of application; a residual is followed by the layers of its body and shortcut."""

        def walk(name: str, layer: Layer, shape: Shape) -> Iterator[Placed]:
            yield Placed(name, layer, shape)
            for suffix, part, before in layer.parts(shape):
                yield from walk(f"{name}.{suffix}", part, before)

        return tuple(place for item in named(self.layers, self.shapes[0]) for place in walk(*item))

    @cached_property
    def activations(self) -> tuple[Placed, ...]:
        """The activations in the order in which :meth:`logits` numbers them."""
        return tuple(place for place in self.placed if isinstance(place.layer, Activate))

    @property
    def activation(self) -> str:
        """The activation functions that occur, joined by commas."""
        return ",".join(dict.fromkeys(layer.function for layer in self.layers if isinstance(layer, Activate)))

    @cached_property
    def layout(self) -> tuple[TensorSpec, ...]:
        """The parameter layout: every tensor with its offset into the flat vector of length P."""
        specs: list[TensorSpec] = []
        offset = 0
        for name, layer, shape in named(self.layers, self.shapes[0]):
            for slot in layer.slots(shape):
                specs.append(TensorSpec(f"{name}.{slot.name}", slot.shape, offset, slot.trainable))
                offset += specs[-1].size
        return tuple(specs)

    @cached_property
    def parameters(self) -> int:
        """P, the length of the flat vector, buffers included."""
        return sum(spec.size for spec in self.layout)

    @cached_property
    def multiplications(self) -> int:
        """How many products one network takes for one example."""
        shapes = {spec.name: spec.shape for spec in self.layout}
        weights = ((shapes.get(f"{place.name}.weight", ()), place.output_shape) for place in self.placed)
        return sum(math.prod(shape) * math.prod(output[1:]) for shape, output in weights if len(shape) > 1)

    @property
    def summary(self) -> str:
        """The layers that have a choice in them, without activations: ``1×8×8 → 16 → 10``."""
        return ARROW.join(["×".join(map(str, self.input_shape)), *in_words(map(described, self.layers))])

    @cached_property
    def trainable(self) -> Tensor:
        """Which entries of the flat vector are optimized: the others are buffers. Bool ``[P]``."""
        return torch.cat([torch.full((spec.size,), spec.trainable) for spec in self.layout])

    @cached_property
    def is_mlp(self) -> bool:
        """Whether there are flattening, linear layers and activations only."""
        return all(isinstance(layer, Flatten | Linear | Activate) for layer in self.layers)

    @cached_property
    def symmetry(self) -> Groups:
        """The permutation symmetry: for each set of hidden units, the axes that move together.

        Permuting all the axes of one entry by the same permutation leaves the network's function unchanged. Units
        are named by the layer that first makes them.
        """
        symmetry = Symmetry()
        entries = symmetry.inputs()
        for name, layer, shape in named(self.layers, self.shapes[0]):
            entries = layer.moves(symmetry, name, shape, entries)
        symmetry.fix(entries)  # the outputs are classes: they have names
        return symmetry.groups()

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

    def logits(
        self,
        weights_MP: Tensor,
        x: Tensor,
        after_activation: AfterActivation | None = None,
        batch_statistics: BatchStatistics | None = None,
    ) -> Tensor:
        """Applies every member to every example, differentiably.

        Args:
            weights_MP: Flat parameters.
            x: Examples ``[N, *input_shape]`` in floating point, or ``[M, N, *input_shape]`` where each member has
                its own.
            after_activation: Called with the activation's number and its output; its result is used instead
                (dropout in training, a probe in analysis).
            batch_statistics: Where given, batch norms are in training mode: they normalize by the batch and put
                their updated buffers here. Otherwise they use the buffers among the weights.

        Returns:
            ``logits_MNC``.
        """
        return self.apply(self.tensors(weights_MP), x, after_activation, batch_statistics)

    def apply(
        self,
        tensors: Mapping[str, Tensor],
        x: Tensor,
        after_activation: AfterActivation | None = None,
        batch_statistics: BatchStatistics | None = None,
        around_weights: AroundWeights | None = None,
    ) -> Tensor:
        """The same as :meth:`logits` for named tensors ``[M, *shape]``: what training differentiates by.

        ``around_weights`` sees every linear layer and convolution; see :class:`zoo.architecture.layers.Forward`.
        """
        run = Forward(tensors, after_activation, batch_statistics, around_weights)
        for index, (layer, shape) in enumerate(zip(self.layers, self.shapes, strict=False)):
            x = layer.forward(run, str(index), x, shape)
        return x

    def to_module(self, weights_P: Tensor) -> nn.Sequential:
        """Builds an ordinary ``torch.nn.Sequential`` with a copy of one member's weights.

        Bit for bit, but for batch norms' variances below zero: see :class:`zoo.architecture.BatchNorm`.
        """
        with torch.device("meta"):  # no random initialization that would be thrown away
            module = nn.Sequential(
                *(layer.module(shape) for layer, shape in zip(self.layers, self.shapes, strict=False))
            )
        state = {name: tensor[0].clone() for name, tensor in self.tensors(weights_P[None]).items()}
        module.load_state_dict(state, assign=True)
        return module

    def from_module(self, module: nn.Module) -> Tensor:
        """The inverse of :meth:`to_module`: a module's parameters and buffers as ``weights_P``."""
        state = {name: tensor.detach()[None] for name, tensor in without_counts(module.state_dict()).items()}
        for spec in self.layout:
            if spec.name in state and state[spec.name].shape[1:] != spec.shape:
                raise ValueError(f"{spec.name} has shape {tuple(state[spec.name].shape[1:])}; expected {spec.shape}")
        return self.flatten(state)[0]

    def to_json(self) -> dict[str, Any]:
        """The architecture as plain JSON values."""
        return {"input_shape": list(self.input_shape), "layers": [described(layer) for layer in self.layers]}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Architecture:
        """The inverse of :meth:`to_json`.

        Raises:
            ValueError: Something is missing or unknown, or the layers do not fit together.
        """
        lists = [value.get(name) for name in ("input_shape", "layers")]
        if not all(isinstance(entry, list | tuple) for entry in lists):
            raise ValueError(f"an architecture is an input_shape and layers, each a list; {value!r} is not")
        return cls(tuple(value["input_shape"]), tuple(from_description(entry) for entry in value["layers"]))
