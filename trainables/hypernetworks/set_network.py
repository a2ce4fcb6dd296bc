"""What reads a labeled set and writes weights: an embedding of each example, attention across them, heads.

Induced attention is that of Lee et al., "Set Transformer" (ICML 2019, arXiv 1810.00825, section 3.1); the last layer by
ridge regression that of Bertinetto et al., "Meta-learning with differentiable closed-form solvers" (ICLR 2019, arXiv
1805.08136, section 3); a transformer that writes a network from its training set in one pass: Müller et al.,
"MotherNet" (arXiv 2312.08598).

Shape letters: T sets, B examples of each, D width of embeddings, C classes, P parameters, H units before the last layer
(with a 1 for the bias), X the shape of one example.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from trainables.autoencoders.coordinates import Coordinates
from trainables.hypernetworks.config import HypernetworkConfig
from trainables.hypernetworks.generator import HEADS, tensor_scales
from trainables.hypernetworks.last_layer import FIRST_LOGIT, before_last_layer, last_layer, with_rows
from trainables.hypernetworks.set_config import DatasetHypernetworkConfig
from trainables.hypernetworks.set_directions import regressed_where_better
from trainables.transformers.blocks import Blocks
from zoo.architecture import Architecture, Linear
from zoo.population.population import single_architecture

# What heads add to the common network at the start, as a share of its size.
FIRST_CHANGE = 0.1
# The first strength of ridge regression, relative to the examples.
FIRST_STRENGTH = 0.1


class SetNetwork(nn.Module):
    """Writes the weights of a network for each set.

    Args:
        config: Sizes.
        architecture: Of the networks.
        coordinates: In which weights are made; ``None`` for those scaled by the inputs of a unit.

    Raises:
        ValueError: The architecture lacks a layer that the configuration asks for; see :func:`check_architecture`.
    """

    scale_P: Tensor

    def __init__(
        self, config: DatasetHypernetworkConfig, architecture: Architecture, coordinates: Coordinates | None = None
    ) -> None:
        super().__init__()
        check_architecture(config, architecture)
        self.config, self.architecture, self.coordinates = config, architecture, coordinates
        width, inputs = config.width, math.prod(architecture.input_shape)
        self.equivariant = config.output_layer != "pooled"
        read = inputs + (0 if self.equivariant else architecture.classes)
        self.embed = Slots(config.set_size, read, width) if config.embedding == "slots" else Shared(read, width)
        self.from_class = nn.Linear(width, width) if self.equivariant else None
        self.attention: nn.Module
        if config.attention == "full":
            self.attention = Blocks(config.blocks, width, config.heads, 2 * width, 0.0)
        elif config.attention == "induced":
            self.attention = nn.Sequential(*(Induced(config) for _ in range(config.blocks)))
        else:
            self.attention = nn.Identity()
        self.norm = nn.LayerNorm(width)
        # Means over a hundred examples hardly differ between sets: heads see the differences at size 1.
        self.pooled_norm = nn.BatchNorm1d(width, affine=False)
        generator = HypernetworkConfig(head=config.head, rank=config.rank, chunk=config.chunk)
        self.head = HEADS[config.head](generator, width, architecture)
        self.size = nn.Parameter(torch.tensor(FIRST_CHANGE))
        start_P = torch.randn(architecture.parameters)
        self.base_P = nn.Parameter(start_P if coordinates is None else torch.zeros_like(start_P))
        self.register_buffer("scale_P", tensor_scales(architecture))
        if config.span:
            self.coefficients = nn.Linear(width, architecture.layout[0].shape[0])
        if self.equivariant:
            hidden = last_layer(architecture).shape[1] + 1
            self.row = nn.Linear(width + hidden, hidden)
            self.logit = nn.Parameter(torch.tensor(FIRST_LOGIT))
            self.strength = nn.Parameter(torch.tensor(math.log(FIRST_STRENGTH)))

    def forward(self, inputs: Tensor, labels_TB: Tensor) -> Tensor:
        """``weights_TP`` of ``inputs [T, B, *X]`` and their labels."""
        tokens_TBD, one_hot_TBC = self.tokens(inputs, labels_TB)
        made_TP = self.coordinates_made(tokens_TBD)
        weights_TP = self.weights_at(made_TP)
        if self.config.span:
            first = self.architecture.layout[0]
            centered_TBX = inputs.flatten(2) - inputs.flatten(2).mean(1, keepdim=True)
            coefficients_TBH = self.coefficients(tokens_TBD)
            # Divided by √(examples · inputs), sums of so many inputs are of the size of weights.
            rows_THX = coefficients_TBH.transpose(1, 2) @ centered_TBX / math.sqrt(centered_TBX[0].numel())
            weights_TP = replaced(weights_TP, first.span, weights_TP[:, first.span] + rows_THX.flatten(1))
        if self.equivariant:
            weights_TP = self.with_last_layer(weights_TP, inputs, tokens_TBD, one_hot_TBC)
        if self.config.regressed and not self.training:
            weights_TP = regressed_where_better(self.architecture, weights_TP, inputs, one_hot_TBC)
        return weights_TP

    def tokens(self, inputs: Tensor, labels_TB: Tensor) -> tuple[Tensor, Tensor]:
        """(``tokens_TBD`` after attention, ``one_hot_TBC``)."""
        one_hot_TBC = F.one_hot(labels_TB, self.architecture.classes).float()
        if self.from_class is None:
            tokens_TBD = self.embed(torch.cat([inputs.flatten(2), one_hot_TBC], dim=2))
        else:
            tokens_TBD = self.embed(inputs.flatten(2))
            # Labels reach embeddings only through who shares them, so that permuted labels change no embedding.
            tokens_TBD = tokens_TBD + self.from_class(one_hot_TBC @ class_means(tokens_TBD, one_hot_TBC))
        return self.norm(self.attention(tokens_TBD)), one_hot_TBC

    def coordinates_made(self, tokens_TBD: Tensor) -> Tensor:
        """``[T, P]``: what the head makes of the mean embedding, in the coordinates of :meth:`weights_at`."""
        made_TP: Tensor = self.base_P + self.size * self.head(self.pooled_norm(tokens_TBD.mean(1)))
        return made_TP

    def weights_at(self, made_TP: Tensor) -> Tensor:
        """``weights_TP`` at such coordinates."""
        if self.coordinates is None:
            return made_TP * self.scale_P
        return self.coordinates.inverse(made_TP, torch.full((len(made_TP),), self.coordinates.common_gain))

    def coordinates_at(self, weights_TP: Tensor) -> Tensor:
        """The inverse of :meth:`weights_at`."""
        if self.coordinates is None:
            return weights_TP / self.scale_P
        return self.coordinates.forward_prepared(single_architecture(self.architecture, weights_TP))[0]

    def with_last_layer(self, weights_TP: Tensor, inputs: Tensor, tokens_TBD: Tensor, one_hot_TBC: Tensor) -> Tensor:
        """The networks with a last layer that is made for the hidden values of the set."""
        hidden_TBH = F.pad(before_last_layer(self.architecture, weights_TP, inputs), (0, 1), value=1.0)
        if self.config.output_layer == "ridge":
            gram_THH = hidden_TBH.transpose(1, 2) @ hidden_TBH / hidden_TBH.shape[1]
            size_T11 = gram_THH.diagonal(dim1=1, dim2=2).mean(1)[:, None, None]
            regularized_THH = gram_THH + self.strength.exp() * size_T11 * torch.eye(gram_THH.shape[1])
            rows_TCH = torch.linalg.solve(
                regularized_THH, hidden_TBH.transpose(1, 2) @ one_hot_TBC / hidden_TBH.shape[1]
            ).transpose(1, 2)
            rows_TCH = self.logit * rows_TCH
        else:
            rows_TCH = self.row(class_means(torch.cat([tokens_TBD, hidden_TBH], dim=2), one_hot_TBC))
        return with_rows(self.architecture, weights_TP, rows_TCH[:, :, :-1], rows_TCH[:, :, -1])


class Shared(nn.Sequential):
    """One network of a hidden layer for all examples."""

    def __init__(self, read: int, width: int) -> None:
        super().__init__(nn.Linear(read, width), nn.GELU(), nn.Linear(width, width))


class Slots(nn.Module):
    """A layer for each place in the set, then one network for all."""

    def __init__(self, slots: int, read: int, width: int) -> None:
        super().__init__()
        self.branch = nn.Parameter(torch.randn(slots, read, width) / math.sqrt(read))
        self.then = nn.Sequential(nn.GELU(), nn.Linear(width, width))

    def forward(self, examples_TBX: Tensor) -> Tensor:
        """``[T, B, D]``."""
        tokens_TBD: Tensor = self.then((examples_TBX.transpose(0, 1) @ self.branch).transpose(0, 1))
        return tokens_TBD


class Induced(nn.Module):
    """Attention through learned points: they attend to the examples, and the examples to them."""

    def __init__(self, config: DatasetHypernetworkConfig) -> None:
        super().__init__()
        self.points_1KD = nn.Parameter(torch.randn(1, config.induced, config.width))
        self.gather, self.spread = (Attends(config.width, config.heads) for _ in range(2))

    def forward(self, tokens_TBD: Tensor) -> Tensor:
        """``[T, B, D]``."""
        points_TKD = self.gather(self.points_1KD.expand(len(tokens_TBD), -1, -1), tokens_TBD)
        spread_TBD: Tensor = self.spread(tokens_TBD, points_TKD)
        return spread_TBD


class Attends(nn.Module):
    """Tokens that attend to others, and a network of one hidden layer."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.norm, self.other_norm, self.hidden_norm = (nn.LayerNorm(width) for _ in range(3))
        self.attention = nn.MultiheadAttention(width, heads, batch_first=True)
        self.hidden = nn.Sequential(nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width))

    def forward(self, tokens_TBD: Tensor, others_TKD: Tensor) -> Tensor:
        """``[T, B, D]``."""
        others_TKD = self.other_norm(others_TKD)
        attended_TBD, _ = self.attention(self.norm(tokens_TBD), others_TKD, others_TKD, need_weights=False)
        tokens_TBD = tokens_TBD + attended_TBD
        changed_TBD: Tensor = tokens_TBD + self.hidden(self.hidden_norm(tokens_TBD))
        return changed_TBD


def class_means(values_TBD: Tensor, one_hot_TBC: Tensor) -> Tensor:
    """The mean over the examples of each class: ``[T, C, D]``; zero for a class without examples."""
    count_TC1 = one_hot_TBC.sum(1).clamp_min(1).unsqueeze(2)
    return one_hot_TBC.transpose(1, 2) @ values_TBD / count_TC1


def replaced(weights_TP: Tensor, span: slice, values: Tensor) -> Tensor:
    """A copy with these weights in a span."""
    changed_TP = weights_TP.clone()
    changed_TP[:, span] = values
    return changed_TP


def check_architecture(config: DatasetHypernetworkConfig, architecture: Architecture) -> None:
    """Raises a ``ValueError`` for networks that cannot be made as configured; the message says what helps."""
    if not architecture.trainable.all():
        raise ValueError(
            f"dataset-hypernetwork makes networks without batch norms; {architecture.summary} has some, whose "
            "statistics are those of a training"
        )
    last = architecture.layers[-1]
    if config.output_layer != "pooled" and not (isinstance(last, Linear) and last.bias):
        raise ValueError(
            f"output_layer is {config.output_layer!r}, which makes a linear layer with biases; the last one of "
            f"{architecture.summary} is another: --set output_layer=pooled"
        )
    first, biased = architecture.layout[0], len(architecture.layout[1].shape) == 1
    linear = math.prod(architecture.input_shape) == math.prod(first.shape[1:])
    biased &= isinstance(last, Linear) and last.bias
    for name, fitting, layers in (
        ("span", linear, "a linear first layer"),
        ("regressed", linear and biased, "linear first and last layers with biases"),
    ):
        if getattr(config, name) and not fitting:
            raise ValueError(
                f"{name} is true, which is for {layers}; {architecture.summary} has others: --set {name}=false"
            )
