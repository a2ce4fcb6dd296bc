"""Permutations of hidden units and a canonical order of them: the same function, one representative.

Shape letters: M members, P parameters, H units of a hidden layer.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from zoo.architecture import Architecture
from zoo.data.images import Images
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
        for tensor, axis in architecture.symmetry[name]:
            tensors[tensor] = permute_axis(tensors[tensor], axis, order_MH)
    return architecture.flatten(tensors)


def permute_axis(tensor: Tensor, axis: int, order_MH: Tensor) -> Tensor:
    """Reorders one axis (not counting the members') of a tensor ``[M, *shape]``, each member its own way."""
    shape = [1] * tensor.ndim
    shape[0], shape[axis + 1] = order_MH.shape
    return torch.take_along_dim(tensor, order_MH.reshape(shape), dim=axis + 1)


def inverted(permutations: Mapping[str, Tensor]) -> Permutations:
    """The permutations that undo these: permuting by one, then by the other, changes nothing."""
    return {name: torch.argsort(order_MH, dim=1) for name, order_MH in permutations.items()}


def canonical_order(weights_MP: Tensor, architecture: Architecture) -> Permutations:
    """The permutations that :func:`canonicalise` applies.

    Units are sorted by decreasing product of their incoming and outgoing squared norms, which neither moves
    with them nor with a homogeneous activation's scale; ties by their incoming weights, then by the outgoing ones
    (sorted, where what they lead to is itself in no order yet). Every key is exact, bit for bit. In the last hidden
    layer units that tie in all of this are equal, so their order means nothing. In an earlier one they keep their
    order though they may lead to different units: then the order depends on that of the weights given.
    """
    permutations: Permutations = {}
    tensors = architecture.tensors(weights_MP)
    last = list(architecture.symmetry)[-1:]
    for name, axes in architecture.symmetry.items():
        incoming = [_by_unit(tensors[tensor], axis) for tensor, axis in axes if axis == 0]
        outgoing = [_by_unit(tensors[tensor], axis) for tensor, axis in axes if axis != 0]
        incoming_MHD, outgoing_MHD = torch.cat(incoming, dim=2), torch.cat(outgoing, dim=2)
        size_MH = _exact_square(incoming_MHD) * _exact_square(outgoing_MHD)
        order_MH = torch.argsort(size_MH, dim=1, descending=True, stable=True)
        sorted_MH = size_MH.gather(1, order_MH)
        for member in torch.nonzero((sorted_MH[:, 1:] == sorted_MH[:, :-1]).any(dim=1)).flatten().tolist():
            # The last hidden layer leads to the outputs, which have names.
            outgoing_HD = outgoing_MHD[member] if name in last else outgoing_MHD[member].sort(dim=1).values
            keys_KH = torch.cat([incoming_MHD[member], outgoing_HD], dim=1).T.flip(0)
            keys = np.concatenate([keys_KH.numpy(), -size_MH[member : member + 1].numpy()])
            order_MH[member] = torch.from_numpy(np.lexsort(keys))
        permutations[name] = order_MH
        # Later layers read this one's units: they are compared in its new order.
        for tensor, axis in axes:
            tensors[tensor] = permute_axis(tensors[tensor], axis, order_MH)
    return permutations


def canonicalise(weights_MP: Tensor, architecture: Architecture) -> Tensor:
    """Brings hidden units into a canonical order, the same whatever order they come in, bit for bit.

    (But for ties before the last hidden layer; see :func:`canonical_order`.)

    The function computed is the same (sums over units are taken in another order). Its inverse is
    ``permute(…, inverted(canonical_order(weights_MP, architecture)))``.
    """
    return permute(weights_MP, architecture, canonical_order(weights_MP, architecture))


def zero_dead_inputs(weights_MP: Tensor, architecture: Architecture, images: Images) -> Tensor:
    """Sets the first layer's weights on pixels that are zero in all given images to zero.

    On these images the function stays the same. Apply it to every codec's input or to none.
    """
    weight, _ = architecture.linear_layers[0]
    live_D = (images.pixels != 0).flatten(1).any(dim=0)
    zeroed_MP = weights_MP.clone()
    zeroed_MP[:, weight.span] *= live_D.repeat(weight.shape[0]).to(weights_MP.dtype)
    return zeroed_MP


def without_dead_inputs(population: Population, images: Images) -> Population:
    """The same networks after :func:`zero_dead_inputs`."""
    return population.with_weights(zero_dead_inputs(population.weights_MP, population.architecture, images))


def _by_unit(tensor: Tensor, axis: int) -> Tensor:
    """``[M, *shape]`` as ``[M, H, entries of a unit]``."""
    return tensor.movedim(axis + 1, 1).flatten(2) if tensor.ndim > 2 else tensor.unsqueeze(2)


def _exact_square(values_MHD: Tensor) -> Tensor:
    """Squared norms ``[M, H]``, float64, independent of the order of the entries."""
    squares = torch.nan_to_num(values_MHD.double().square(), nan=LARGEST_SQUARE).clamp_max(LARGEST_SQUARE)
    return (squares / SQUARE_UNIT).round().long().sum(dim=2).double()
