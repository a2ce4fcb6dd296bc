"""Permutations of hidden units and a canonical order of them: the same function, one representative.

Units are neurons, or channels of images; "a layer's units" are all that ``Architecture.symmetry`` moves together.

Shape letters: M members, P parameters, H units of a hidden layer, D entries of a unit.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from zoo.architecture import Architecture, Axis, Conv, Flatten, Linear
from zoo.data.examples import Examples
from zoo.population import Population

Permutations = dict[str, Tensor]
"""For each hidden layer of ``Architecture.symmetry``: ``[M, H]`` int64; new unit i is old unit ``order[i]``."""

# Squares are summed as integers, in these units, so that the sum does not depend on the order of its terms.
SQUARE_UNIT = 2.0**-30
LARGEST_SQUARE = 2.0**20


def permute(weights_MP: Tensor, architecture: Architecture, permutations: Mapping[str, Tensor]) -> Tensor:
    """Reorders hidden units; the function computed stays the same.

    Args:
        weights_MP: Members.
        architecture: Gives the layout and which axes move together.
        permutations: For some or all hidden layers ``[M, H]``.

    Raises:
        ValueError: A name is not that of a hidden layer.
    """
    tensors = architecture.tensors(weights_MP)
    for name, order_MH in permutations.items():
        if name not in architecture.symmetry:
            raise ValueError(f"no hidden layer is named {name!r}; there are {', '.join(architecture.symmetry)}")
        for axis in architecture.symmetry[name]:
            tensors[axis.tensor] = permute_axis(tensors[axis.tensor], axis, order_MH)
    return architecture.flatten(tensors)


def permute_axis(tensor: Tensor, axis: Axis, order_MH: Tensor) -> Tensor:
    """Reorders the units of one axis of a tensor ``[M, *shape]``, each member its own way."""
    if axis.block > 1:
        order_MH = (order_MH.unsqueeze(2) * axis.block + torch.arange(axis.block)).flatten(1)
    shape = [1] * tensor.ndim
    shape[0], shape[axis.axis + 1] = order_MH.shape
    return torch.take_along_dim(tensor, order_MH.reshape(shape), dim=axis.axis + 1)


def by_unit(tensor: Tensor, axis: Axis) -> Tensor:
    """A tensor ``[M, *shape]`` as ``[M, H, entries of a unit]``."""
    return tensor.movedim(axis.axis + 1, 1).unflatten(1, (-1, axis.block)).flatten(2)


def widths(architecture: Architecture) -> dict[str, int]:
    """How many units each hidden layer has that can be permuted."""
    shapes = {spec.name: spec.shape for spec in architecture.layout}
    return {name: shapes[axes[0].tensor][axes[0].axis] // axes[0].block for name, axes in architecture.symmetry.items()}


def inverted(permutations: Mapping[str, Tensor]) -> Permutations:
    """The permutations that undo these: permuting by one, then by the other, changes nothing."""
    return {name: torch.argsort(order_MH, dim=1) for name, order_MH in permutations.items()}


def canonical_order(weights_MP: Tensor, architecture: Architecture) -> Permutations:
    """The permutations that :func:`canonicalize` applies.

    Units are sorted by decreasing product of their incoming and outgoing squared norms, which neither moves
    with them nor with a homogeneous activation's scale; ties by their incoming weights, then by the outgoing ones
    (sorted, where what they come from or lead to is itself in no order yet). Every key is exact, bit for bit. In the
    last hidden layer units that tie in all of this are equal, so their order means nothing. In an earlier one they
    keep their order though they may lead to different units: then the order depends on that of the weights given.
    """
    permutations: Permutations = {}
    tensors = architecture.tensors(weights_MP)
    buffers = {spec.name for spec in architecture.layout if not spec.trainable}
    loose = {(axis.tensor, axis.axis): axis for axes in architecture.symmetry.values() for axis in axes}
    for name, axes in architecture.symmetry.items():
        incoming = [axis for axis in axes if axis.axis == 0]
        outgoing = [axis for axis in axes if axis.axis != 0]
        weighed = [axis for axis in incoming if axis.tensor not in buffers]
        size_MH = _squared_norms(tensors, weighed) * _squared_norms(tensors, outgoing)
        order_MH = torch.argsort(size_MH, dim=1, descending=True, stable=True)
        sorted_MH = size_MH.gather(1, order_MH)
        for member in torch.nonzero((sorted_MH[:, 1:] == sorted_MH[:, :-1]).any(dim=1)).flatten().tolist():
            own = slice(member, member + 1)
            entries = [_ordered_by_unit(tensors[axis.tensor][own], axis, loose)[0] for axis in (*incoming, *outgoing)]
            keys_KH = torch.cat(entries, dim=1).T.flip(0)
            keys = np.concatenate([keys_KH.numpy(), -size_MH[own].numpy()])
            order_MH[member] = torch.from_numpy(np.lexsort(keys))
        permutations[name] = order_MH
        # Later layers read this one's units: they are compared in its new order.
        for axis in axes:
            tensors[axis.tensor] = permute_axis(tensors[axis.tensor], axis, order_MH)
            del loose[axis.tensor, axis.axis]
    return permutations


def canonicalize(weights_MP: Tensor, architecture: Architecture) -> Tensor:
    """Brings hidden units into a canonical order, the same whatever order they come in, bit for bit.

    (But for ties before the last hidden layer; see :func:`canonical_order`.)

    The function computed is the same (sums over units are taken in another order). Its inverse is
    ``permute(…, inverted(canonical_order(weights_MP, architecture)))``.
    """
    return permute(weights_MP, architecture, canonical_order(weights_MP, architecture))


def zero_dead_inputs(weights_MP: Tensor, architecture: Architecture, images: Examples) -> Tensor:
    """Sets the first layer's weights that only ever meet zeros, in all given images, to zero.

    On these images the function stays the same. Apply it to every codec's input or to none. Where the first layer
    with weights is neither linear nor a convolution, or pixels reach it changed, nothing is zeroed.
    """
    first = next(place for place in architecture.placed if not isinstance(place.layer, Flatten))
    live = (images.values != 0).any(dim=0)
    if isinstance(first.layer, Linear):
        live_D = live.flatten()
    elif isinstance(first.layer, Conv):
        conv = first.layer
        patches = F.unfold(live[None].float(), conv.kernel, padding=conv.padding, stride=conv.stride)
        live_D = patches[0].any(dim=1)
    else:
        return weights_MP.clone()
    tensors = architecture.tensors(weights_MP.clone())
    weight = tensors[f"{first.name}.weight"]
    weight *= live_D.reshape(weight.shape[2:]).to(weight.dtype)
    return architecture.flatten(tensors)


def without_dead_inputs(population: Population, images: Examples) -> Population:
    """The same networks after :func:`zero_dead_inputs`."""
    return population.with_weights(zero_dead_inputs(population.weights_MP, population.architecture, images))


def _squared_norms(tensors: Mapping[str, Tensor], axes: Sequence[Axis]) -> Tensor:
    """Squared norms ``[M, H]``, float64, independent of the order of the entries."""
    values_MHD = torch.cat([by_unit(tensors[axis.tensor], axis) for axis in axes], dim=2)
    squares = torch.nan_to_num(values_MHD.double().square(), nan=LARGEST_SQUARE).clamp_max(LARGEST_SQUARE)
    return (squares / SQUARE_UNIT).round().long().sum(dim=2).double()


def _ordered_by_unit(tensor: Tensor, axis: Axis, loose: Mapping[tuple[str, int], Axis]) -> Tensor:
    """:func:`by_unit`, with entries sorted along the tensor's other axis if its units are in no order yet."""
    other = loose.get((axis.tensor, 1 - axis.axis))
    if other is not None:
        units = tensor.unflatten(other.axis + 1, (-1, other.block)).sort(dim=other.axis + 1).values
        tensor = units.flatten(other.axis + 1, other.axis + 2)
    return by_unit(tensor, axis)
