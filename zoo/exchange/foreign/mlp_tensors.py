"""Plain MLPs told from the shapes of their tensors; what shapes do not tell is the activation."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

from zoo.architecture import Activate, Architecture, Flatten, Layer, Linear, Shape
from zoo.exchange.foreign.names import ForeignTensor, Leaves, MismatchError, by_module

# More layers than these are not tried in every order: that many factorial.
MOST_ORDERED = 7
GIVE = (
    "give --architecture, a JSON file (docs/import.md) or module:attribute of the torch module that these networks are"
)


def mlp_of(
    tensors: Sequence[ForeignTensor], *, ordered: bool, activation: str, input_shape: Shape | None = None
) -> Architecture:
    """The multilayer perceptron that has these tensors.

    Layers are in the order of the tensors where each reads what the one before gives, else in the one order in which
    that is so.

    Args:
        tensors: Weights ``[outputs, inputs]``, each with a bias ``[outputs]`` or without.
        ordered: Whether their order is that of the layers; if not, it is that of the numbers in their names.
        activation: The activation between layers.
        input_shape: Shape of an example, where it is known.

    Raises:
        MismatchError: There are tensors of other layers, no order or several fit, or examples have other sizes.
    """
    modules = by_module(tensors, ordered=ordered)
    for leaves in modules.values():
        for leaf, (name, shape) in leaves.items():
            weight = leaves.get("weight", ("", ()))[1]
            if leaf not in ("weight", "bias") or len(weight) != 2 or shape not in (weight, weight[:1]):
                raise MismatchError(
                    f"tensor {name} of shape {shape} is none of a plain MLP, and weights do not tell strides, padding "
                    f"and pools of other networks; {GIVE}"
                )
    orders = [tuple(modules.values())]
    if not _follow(orders[0]):
        possible = itertools.permutations(modules.values()) if len(modules) <= MOST_ORDERED else ()
        orders = [order for order in possible if _follow(order)]
    if len(orders) != 1:
        shapes = ", ".join(f"{leaves['weight'][0]} {leaves['weight'][1]}" for leaves in modules.values())
        raise MismatchError(f"the layers {shapes} follow one another in {len(orders) or 'no'} ways; {GIVE}")
    layers: list[Layer] = [Flatten()]
    for leaves in orders[0]:
        if len(layers) > 1:
            layers.append(Activate(function=activation))
        layers.append(Linear(features=leaves["weight"][1][0], bias="bias" in leaves))
    inputs = orders[0][0]["weight"][1][1]
    if input_shape is not None and math.prod(input_shape) != inputs:
        raise MismatchError(
            f"the networks read {inputs} numbers, an example of the data set has the shape {input_shape}; give the "
            "data set that they were trained on, or none"
        )
    return Architecture(input_shape or (inputs,), tuple(layers))


def _follow(layers: Sequence[Leaves]) -> bool:
    """Whether each layer reads as many numbers as the one before gives."""
    shapes = [leaves["weight"][1] for leaves in layers]
    return all(before[0] == after[1] for before, after in itertools.pairwise(shapes))
