"""Fisher information of networks: of each weight, and of each layer as a Kronecker product.

For softmax outputs F = E_x Σ_c p_c ∇log p_c ∇log p_cᵀ; for values with squared error F = E_x Σ_c ∇f_c ∇f_cᵀ, that of a
normal distribution of variance 1. A small change Δ of the weights moves the predicted distributions by ½ΔᵀFΔ nats.
"Exact" takes the expectation over classes in full, "monte-carlo" draws classes from the prediction, "empirical" takes
the labels, which is another matrix (Kunstner et al., "Limitations of the Empirical Fisher Approximation", NeurIPS
2019).
Kronecker factors: Martens and Grosse, "Optimizing Neural Networks with Kronecker-factored Approximate Curvature" (ICML
2015, section 3); of convolutions Grosse and Martens (ICML 2016, section 3.1).

Shape letters: M members, N examples, K directions, C outputs, P parameters, S positions, H outputs of a layer, D inputs
of an output with the bias.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from zoo.architecture import Architecture
from zoo.views.sensitivity import derivatives, sensitivities
from zoo.views.weight_layers import WeightLayer, watched, weight_layers

Kind = Literal["exact", "monte-carlo", "empirical"]
KINDS: tuple[Kind, ...] = ("exact", "monte-carlo", "empirical")
# Numbers that the derivatives of a step may take up.
AT_ONCE = 2**24


@dataclass(frozen=True)
class Fisher:
    """Fisher information of some networks of one architecture.

    Attributes:
        architecture: Theirs.
        diagonal_MP: Of each weight and bias; 0 for what belongs to no linear layer or convolution, as batch norm's.
        inputs: For each weight layer the second moment of what it reads, summed over positions: ``[M, D, D]``.
        outputs: For each the second moment of the derivatives by what it gives, the mean over positions: ``[M, H, H]``.
    """

    architecture: Architecture
    diagonal_MP: Tensor
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]

    def by_diagonal(self, change_MP: Tensor) -> Tensor:
        """½ΔᵀFΔ in nats, of the diagonal alone: ``[M]``."""
        return 0.5 * (self.diagonal_MP * change_MP.double().square()).sum(1)

    def by_kronecker(self, change_MP: Tensor) -> Tensor:
        """½ΔᵀFΔ in nats, layer by layer with F as a Kronecker product: ``[M]``."""
        tensors = self.architecture.tensors(change_MP.double())
        total_M = torch.zeros(len(change_MP), dtype=torch.float64)
        for layer, inputs_MDD, outputs_MHH in zip(
            weight_layers(self.architecture), self.inputs, self.outputs, strict=True
        ):
            rows_MHD = layer.rows(tensors)
            total_M += ((outputs_MHH @ rows_MHD @ inputs_MDD) * rows_MHD).sum((1, 2))
        return 0.5 * total_M


def fisher(
    architecture: Architecture,
    weights_MP: Tensor,
    x: Tensor,
    *,
    kind: Kind = "exact",
    softmax: bool = True,
    labels_N: Tensor | None = None,
    samples: int = 1,
    seed: int = 0,
) -> Fisher:
    """Measures Fisher information, batched over members and examples.

    Args:
        architecture: The members' architecture.
        weights_MP: Members.
        x: Examples ``[N, *input_shape]``.
        kind: See the module.
        softmax: Whether outputs are logits of classes; else values, whose Fisher information needs no draws.
        labels_N: Of the examples, for "empirical".
        samples: How many classes are drawn for each example, for "monte-carlo".
        seed: Of the draws.

    Raises:
        ValueError: The kind is unknown, or labels are missing.
    """
    if kind not in KINDS:
        raise ValueError(f"kind is {kind!r}; allowed: {', '.join(KINDS)}")
    layers = weight_layers(architecture)
    parts = [
        _of_examples(architecture, weights_MP[rows], x, layers, kind, softmax, labels_N, samples, seed)
        for rows in torch.arange(len(weights_MP)).split(_members_at_once(layers, architecture))
    ]
    return Fisher(
        architecture,
        torch.cat([part.diagonal_MP for part in parts]),
        tuple(torch.cat(each) for each in zip(*(part.inputs for part in parts), strict=True)),
        tuple(torch.cat(each) for each in zip(*(part.outputs for part in parts), strict=True)),
    )


def _of_examples(
    architecture: Architecture,
    weights_MP: Tensor,
    x: Tensor,
    layers: tuple[WeightLayer, ...],
    kind: Kind,
    softmax: bool,
    labels_N: Tensor | None,
    samples: int,
    seed: int,
) -> Fisher:
    """Of some members; examples go by in pieces."""
    members, generator = len(weights_MP), torch.Generator().manual_seed(seed)
    diagonal = {layer.name: torch.zeros(members, layer.outputs, layer.width, dtype=torch.float64) for layer in layers}
    inputs = {layer.name: torch.zeros(members, layer.width, layer.width, dtype=torch.float64) for layer in layers}
    outputs = {layer.name: torch.zeros(members, layer.outputs, layer.outputs, dtype=torch.float64) for layer in layers}
    # By what an architecture takes, not by how many members there are, so that sums are made in the same order.
    size = max(1, AT_ONCE // (_members_at_once(layers, architecture) * _numbers(layers, architecture)))
    for start in range(0, len(x), size):
        part = x[start : start + size]
        with torch.no_grad():
            read, _, logits_MNC = watched(architecture, weights_MP, part)
        labels = None if labels_N is None else labels_N[start : start + size]
        directions_MNKC = _directions(logits_MNC, kind, softmax, labels, samples, generator)
        found = sensitivities(architecture, weights_MP, part, directions_MNKC)
        share = len(part) / len(x)
        for layer, measured in zip(layers, found, strict=True):
            patches = layer.patches(read[layer.name])
            rows = patches.flatten(-3, -2).double()
            diagonal[layer.name] += share * measured.square_MHD.double()
            inputs[layer.name] += share * (rows.mT @ rows) / len(part)
            outputs[layer.name] += share * measured.gram_MHH.double() / layer.positions
    zero = {spec.name: torch.zeros(members, *spec.shape, dtype=torch.float64) for spec in architecture.layout}
    for layer in layers:
        zero |= layer.tensors(diagonal[layer.name])
    return Fisher(
        architecture,
        architecture.flatten(zero),
        tuple(inputs[layer.name] for layer in layers),
        tuple(outputs[layer.name] for layer in layers),
    )


def _directions(
    logits_MNC: Tensor,
    kind: Kind,
    softmax: bool,
    labels_N: Tensor | None,
    samples: int,
    generator: torch.Generator,
) -> Tensor:
    """Directions d of the logits with Σ_k d_k d_kᵀ the Fisher information of the outputs: ``[M, N, K, C]``."""
    classes = logits_MNC.shape[2]
    if not softmax:
        return torch.eye(classes).expand(*logits_MNC.shape[:2], -1, -1)
    probabilities_MNC = logits_MNC.softmax(2)
    if kind == "exact":
        away = torch.eye(classes) - probabilities_MNC.unsqueeze(2)
        return probabilities_MNC.sqrt().unsqueeze(3) * away
    if kind == "monte-carlo":
        # The same draws for all members: those of one do not depend on what others there are.
        uniform_NK = torch.rand(logits_MNC.shape[1], samples, generator=generator)
        wanted_MNK = uniform_NK.expand(len(logits_MNC), -1, -1).contiguous()
        chosen = torch.searchsorted(probabilities_MNC.cumsum(2), wanted_MNK).clamp_max(classes - 1)
    elif labels_N is not None:
        chosen = labels_N.reshape(1, -1, 1).expand(len(logits_MNC), -1, 1)
    else:
        raise ValueError("the empirical Fisher information needs labels_N")
    away = torch.nn.functional.one_hot(chosen, classes) - probabilities_MNC.unsqueeze(2)
    return away / away.shape[2] ** 0.5


def spectrum(architecture: Architecture, weights_P: Tensor, x: Tensor, *, softmax: bool = True) -> Tensor:
    """The eigenvalues of one network's exact Fisher information that are not zero for sure, largest first.

    They are those of the ``N · C`` derivatives' inner products, so few examples will do for the largest.

    Args:
        architecture: The network's.
        weights_P: The network.
        x: Examples ``[N, *input_shape]``.
        softmax: Whether outputs are logits of classes.

    Returns:
        float64 ``[min(N · C, P)]``.
    """
    with torch.no_grad():
        _, _, logits_MNC = watched(architecture, weights_P.unsqueeze(0), x)
    directions_NKC = _directions(logits_MNC, "exact", softmax, None, 1, torch.Generator())[0]
    rows = [part[0].flatten(0, 1).flatten(1) for part in derivatives(architecture, weights_P[None], x, directions_NKC)]
    jacobian = torch.cat(rows, dim=1).double() / len(x) ** 0.5
    return torch.linalg.svdvals(jacobian).square()


def _numbers(layers: tuple[WeightLayer, ...], architecture: Architecture) -> int:
    """About how many numbers an example takes up."""
    return sum(
        layer.positions * (layer.width + architecture.classes * layer.outputs)
        + (architecture.classes * layer.outputs * layer.width if layer.positions > 1 else 0)
        for layer in layers
    )


def _members_at_once(layers: tuple[WeightLayer, ...], architecture: Architecture) -> int:
    most = max(1, min(32, AT_ONCE // (16 * _numbers(layers, architecture))))
    return 1 << (most.bit_length() - 1)  # parts of a block of members are parts of all of them
