"""What weights alone tell: the shape of their distribution, norms, spectra, and how adjacent layers fit together.

Unterthiner et al. (2020) take mean, variance and quantiles of each tensor. The rest is here for a reason: initial
distributions differ in their tails and singular values; gradient flow keeps the difference of a unit's incoming and
outgoing squared norm (Du, Hu and Lee, "Algorithmic Regularization in Learning Deep Homogeneous Models", NeurIPS 2018,
theorem 2.1), so that it remembers the initialization under small steps, and weight decay and large steps destroy it;
training aligns adjacent layers, decay makes units die and matrices lose rank.

Shape letters: M members, H outputs of a layer, D inputs of an output, U units of a hidden layer, K values.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise

from torch import Tensor

from trainables.encoders.statistics import QUANTILES, tensor_places
from trainables.encoders.weights_and_behavior.columns import (
    TINY,
    Columns,
    by_depth,
    correlation,
    correlations,
    follows,
    in_parts,
    quantiles,
    spectrum,
    summary,
)
from zoo.architecture import Architecture, Conv
from zoo.views.canonical import by_unit
from zoo.views.weight_layers import WeightLayer

Tensors = Mapping[str, Tensor]
SIZES = (0.01, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.99, 1.0)


def weight_columns(architecture: Architecture, weights_MP: Tensor) -> Columns:
    """Features of weights, for networks of any layout; those of hidden units do not depend on their order."""
    return in_parts(weights_MP, lambda part_MP: _columns(architecture, architecture.tensors(part_MP.double())))


def _columns(architecture: Architecture, tensors: Tensors) -> Columns:
    found: Columns = {}
    for place, spec in tensor_places(architecture).items():
        found |= _distribution(place, tensors[spec.name].flatten(1))
    layers = by_depth(architecture)
    for depth, layer in layers.items():
        found |= _layer(depth, layer, tensors)
    for (depth, before), (next_depth, after) in pairwise(layers.items()):
        if follows(architecture, before, after):
            found |= _product(f"{depth}-{next_depth}", before, after, tensors)
    return found | _balance(architecture, tensors)


def _distribution(place: str, values_MK: Tensor) -> Columns:
    """Mean, size and shape of a tensor's entries."""
    mean_M = values_MK.mean(1)
    centered_MK = values_MK - mean_M[:, None]
    variance_M = centered_MK.square().mean(1)
    found = {
        f"{place} mean": mean_M,
        f"{place} variance": variance_M,
        f"{place} size": (variance_M + TINY).log() / 2,
    }
    for share, values_M in zip(QUANTILES, quantiles(values_MK, QUANTILES).unbind(1), strict=True):
        found[f"{place} {100 * share:g} %"] = values_M
    if values_MK.shape[1] < len(SIZES):
        return found
    unit_MK = centered_MK / (variance_M + TINY).sqrt()[:, None]
    found[f"{place} skew"] = unit_MK.pow(3).mean(1)
    found[f"{place} kurtosis"] = unit_MK.pow(4).mean(1).clamp_min(TINY).log()
    sizes = (quantiles(unit_MK.abs(), SIZES) + 1e-6).log()
    return found | {f"{place} |{100 * share:g} %|": sizes[:, number] for number, share in enumerate(SIZES)}


def _layer(name: str, layer: WeightLayer, tensors: Tensors) -> Columns:
    """Norms of rows and columns, singular values, likeness of rows, biases against rows."""
    weight_MHD = tensors[layer.weight.name].flatten(2)
    rows_MH, columns_MD = ((weight_MHD.square().sum(axis) + TINY).log() / 2 for axis in (2, 1))
    found = (
        summary(f"{name} rows", rows_MH) | spectrum(f"{name}", weight_MHD) | correlations(f"{name} rows", weight_MHD)
    )
    if layer.units > 1:
        by_unit_MU = weight_MHD.square().unflatten(2, (layer.units, layer.entries)).sum((1, 3))
        found |= summary(f"{name} units read", (by_unit_MU + TINY).log() / 2)
    else:
        found |= summary(f"{name} inputs", columns_MD)
    if layer.bias is not None:
        bias_MH = tensors[layer.bias.name]
        size_MH = rows_MH.exp()
        found |= summary(f"{name} bias over row", bias_MH / size_MH.clamp_min(1e-6))
        found[f"{name} bias with row size"] = correlation(bias_MH, rows_MH)
        found[f"{name} bias with row sum"] = correlation(bias_MH, weight_MHD.sum(2))
        found[f"{name} bias size"] = (bias_MH.square().mean(1) + TINY).log() / 2
    if isinstance(layer.place.layer, Conv) and layer.place.layer.kernel > 1:
        found |= _kernels(name, tensors[layer.weight.name])
    return found


def _kernels(name: str, weight: Tensor) -> Columns:
    """How smooth kernels are, and how much of them lies in their mean and in the middle: ``[M, H, channels, k, k]``."""
    kernels = weight.flatten(1, 2)
    square_M = kernels.square().sum((1, 2, 3)).clamp_min(TINY)
    size = kernels.shape[-1]
    beside_M = (kernels[..., :, 1:] * kernels[..., :, :-1]).sum((1, 2, 3)) / square_M
    below_M = (kernels[..., 1:, :] * kernels[..., :-1, :]).sum((1, 2, 3)) / square_M
    mean_M = kernels.mean((2, 3)).square().sum(1) * size**2 / square_M
    middle_M = kernels[..., size // 2, size // 2].square().sum(1) * size**2 / square_M
    return {
        f"{name} kernel beside": beside_M,
        f"{name} kernel below": below_M,
        f"{name} kernel mean": mean_M,
        f"{name} kernel middle": middle_M,
    }


def _product(name: str, before: WeightLayer, after: WeightLayer, tensors: Tensors) -> Columns:
    """How one layer's outputs meet the next one's inputs: the spectrum of the product, kernels summed up."""
    first_MUD = tensors[before.weight.name].flatten(2)
    second_MHUB = tensors[after.weight.name].flatten(2).unflatten(2, (after.units, after.entries))
    product = second_MHUB.sum(3) @ first_MUD
    sizes_M = first_MUD.square().sum((1, 2)) * second_MHUB.sum(3).square().sum((1, 2))
    aligned_M = product.square().sum((1, 2)) * after.units / sizes_M.clamp_min(TINY)
    found = spectrum(f"{name} product", product)
    found[f"{name} alignment"] = (aligned_M + TINY).log()
    return found


def _balance(architecture: Architecture, tensors: Tensors) -> Columns:
    """Incoming against outgoing squared norms of hidden units."""
    trainable = {spec.name for spec in architecture.layout if spec.trainable}
    found: Columns = {}
    groups = list(architecture.symmetry.values())
    for number, axes in enumerate(groups):
        depth = "last" if number == len(groups) - 1 else number
        sums = []
        for outgoing in (False, True):
            chosen = [axis for axis in axes if (axis.axis != 0) == outgoing and axis.tensor in trainable]
            sums.append(sum(by_unit(tensors[axis.tensor], axis).square().sum(2) for axis in chosen))
        in_MU, out_MU = sums
        if not isinstance(in_MU, Tensor) or not isinstance(out_MU, Tensor):
            continue
        difference_MU = in_MU - out_MU
        root_MU = difference_MU.sign() * difference_MU.abs().sqrt()
        log_in_MU, log_out_MU = ((square_MU + TINY).log() / 2 for square_MU in (in_MU, out_MU))
        found |= summary(f"hidden {depth} balance", root_MU)
        found |= summary(f"hidden {depth} ratio", log_in_MU - log_out_MU)
        found |= summary(f"hidden {depth} strength", log_in_MU + log_out_MU)
        found[f"hidden {depth} in with out"] = correlation(log_in_MU, log_out_MU)
    return found
