"""Residual connections, and what a sequence of layers has in common with a whole architecture."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor, nn

from zoo.architecture.layers import Forward, Layer, Shape, Slot
from zoo.architecture.symmetry import Entries, Symmetry

Sequence = tuple[Layer, ...]


def sequence_shapes(layers: Sequence, shape: Shape) -> tuple[Shape, ...]:
    """The shape of one example before each layer, and last the shape of the output.

    Raises:
        ValueError: A layer cannot read what comes before it; the message names the layer.
    """
    shapes = [shape]
    for index, layer in enumerate(layers):
        try:
            shapes.append(layer.output_shape(shapes[-1]))
        except ValueError as error:
            raise ValueError(f"layer {index}: {error}") from error
    return tuple(shapes)


def named(layers: Sequence, shape: Shape, prefix: str = "") -> Iterator[tuple[str, Layer, Shape]]:
    """(name, layer, input shape) of each layer of a sequence."""
    for index, (layer, before) in enumerate(zip(layers, sequence_shapes(layers, shape), strict=False)):
        yield f"{prefix}{index}", layer, before


@dataclass(frozen=True, kw_only=True, slots=True)
class Residual(Layer):
    """``body(x) + shortcut(x)``; a shortcut without layers is the identity."""

    body: Sequence
    shortcut: Sequence = ()
    kind: ClassVar[str] = "residual"

    def __post_init__(self) -> None:
        for field in ("body", "shortcut"):
            layers = getattr(self, field)
            if not isinstance(layers, tuple) or not all(isinstance(layer, Layer) for layer in layers):
                raise ValueError(f"Residual.{field} is {layers!r}; allowed: a tuple of layers")
        if not self.body:
            raise ValueError("Residual.body is empty; allowed: one layer or more")

    def output_shape(self, shape: Shape) -> Shape:
        body, shortcut = sequence_shapes(self.body, shape)[-1], sequence_shapes(self.shortcut, shape)[-1]
        if body != shortcut:
            raise ValueError(
                f"a residual adds equal shapes, but its body gives {body} and its shortcut {shortcut}; give the "
                "shortcut a layer that makes them equal (a Conv with kernel 1 and the body's stride)"
            )
        return body

    def parts(self, shape: Shape) -> Iterator[tuple[str, Layer, Shape]]:
        yield from named(self.body, shape, "body.")
        yield from named(self.shortcut, shape, "shortcut.")

    def slots(self, shape: Shape) -> tuple[Slot, ...]:
        return tuple(
            slot._replace(name=f"{name}.{slot.name}")
            for name, layer, before in self.parts(shape)
            for slot in layer.slots(before)
        )

    def moves(self, symmetry: Symmetry, name: str, shape: Shape, entries: Entries) -> Entries:
        ends = [entries, entries]
        for branch, layers in enumerate((self.body, self.shortcut)):
            for suffix, layer, before in named(layers, shape, f"{name}.{('body', 'shortcut')[branch]}."):
                ends[branch] = layer.moves(symmetry, suffix, before, ends[branch])
        return symmetry.tie(ends[1], ends[0])

    def forward(self, run: Forward, name: str, x: Tensor, shape: Shape) -> Tensor:
        return self._branch(run, f"{name}.body.", self.body, x, shape) + self._branch(
            run, f"{name}.shortcut.", self.shortcut, x, shape
        )

    @staticmethod
    def _branch(run: Forward, prefix: str, layers: Sequence, x: Tensor, shape: Shape) -> Tensor:
        for name, layer, before in named(layers, shape, prefix):
            x = layer.forward(run, name, x, before)
        return x

    def module(self, shape: Shape) -> nn.Module:
        return ResidualModule(
            nn.Sequential(*(layer.module(before) for _, layer, before in named(self.body, shape))),
            nn.Sequential(*(layer.module(before) for _, layer, before in named(self.shortcut, shape))),
        )


class ResidualModule(nn.Module):
    """``body(x) + shortcut(x)``."""

    def __init__(self, body: nn.Module, shortcut: nn.Module) -> None:
        super().__init__()
        self.body = body
        self.shortcut = shortcut

    def forward(self, x: Tensor) -> Tensor:
        """Adds what body and shortcut make of ``x``."""
        return self.body(x) + self.shortcut(x)
