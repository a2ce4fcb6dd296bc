"""Layers as plain JSON values, and back, and in words."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import fields
from typing import Any

from zoo.architecture.convolution import AveragePool, Conv, GlobalAveragePool, MaxPool
from zoo.architecture.layers import Activate, Flatten, Layer, Linear
from zoo.architecture.normalization import BatchNorm
from zoo.architecture.rescale import Rescale
from zoo.architecture.residual import Residual
from zoo.config import lookup

# Between layers in words.
ARROW = " → "
LAYERS: dict[str, type[Layer]] = {
    "flatten": Flatten,
    "linear": Linear,
    "activate": Activate,
    "conv": Conv,
    "max_pool": MaxPool,
    "average_pool": AveragePool,
    "global_average_pool": GlobalAveragePool,
    "batch_norm": BatchNorm,
    "residual": Residual,
    "rescale": Rescale,
}


def described(layer: Layer) -> dict[str, Any]:
    """A layer as plain JSON values; layers inside it as lists."""
    values = {field.name: getattr(layer, field.name) for field in fields(layer)}  # type: ignore[arg-type]
    nested = {name: [described(part) for part in value] for name, value in values.items() if isinstance(value, tuple)}
    return {"kind": layer.kind, **values, **nested}


def from_description(entry: Mapping[str, Any]) -> Layer:
    """The inverse of :func:`described`.

    Raises:
        ValueError: The kind or a field is unknown.
    """
    if not isinstance(entry, Mapping):
        raise ValueError(f"a layer is settings by name with a kind; {entry!r} is not")
    values = {
        name: tuple(from_description(part) for part in value) if isinstance(value, list) else value
        for name, value in entry.items()
    }
    kind = values.pop("kind", None)
    if not isinstance(kind, str):
        raise ValueError(f"unknown layer kind {kind!r}; known: {', '.join(LAYERS)}")
    found = lookup(LAYERS, kind, "layer kind")
    if not (isinstance(found, type) and issubclass(found, Layer)):
        raise ValueError(f"layer kind {kind!r} is {found!r}; it must be a subclass of zoo.architecture.layers.Layer")
    try:
        return found(**values)
    except TypeError as error:
        raise ValueError(f"layer {entry!r}: {error}") from error


def in_words(layers: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    """Each of :func:`described` layers that has a choice in it, in a word or two; no activations."""
    for layer in layers:
        kind = layer["kind"]
        if kind == "linear":
            yield f"{layer['features']}{'' if layer['bias'] else ' (no bias)'}"
        elif kind == "conv":
            stride = f"/{layer['stride']}" if layer["stride"] != 1 else ""
            yield f"conv {layer['channels']} {layer['kernel']}×{layer['kernel']}{stride}"
        elif kind == "residual":
            yield f"residual ({ARROW.join(in_words(layer['body']))})"
        elif kind not in ("flatten", "activate"):
            size = f" {layer['size']}" if "size" in layer else ""
            yield f"{kind.replace('_', ' ').replace('-', ' ')}{size}"
