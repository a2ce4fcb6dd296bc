"""The network that weighs examples: what it sees of each, and weights that sum to 1 for each neuron.

It is a set network (Zaheer et al., "Deep Sets", NeurIPS 2017, arXiv 1703.06114): each example is seen together with the
mean over examples of what all are seen as. So weights move with the examples when these are permuted, and nothing
depends on how many examples, neurons or layers there are. Nothing it sees depends on the size of a gradient but
relative to those of the other examples, so that networks of any width will do.

Shape letters: M members, B examples, H neurons, E features of an example, N features of an example at a neuron, W
width.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from trainables.aggregators.gradients import ExampleGradients

EXAMPLE_FEATURES, NEURON_FEATURES = 5, 3
# Features do not go beyond this; losses below this are alike.
LIMIT, SMALL_LOSS = 4.0, 1e-3
TINY, ROUNDING = 1e-30, 1e-5
# Numbers of a hidden layer that are computed together: they fit in a core's cache.
AT_ONCE = 2**17


class WeighingNetwork(nn.Module):
    """Weights for the examples of a minibatch, for each neuron; at first the same for all, which is the mean.

    Args:
        width: Of the two hidden layers.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.of_example = nn.Linear(EXAMPLE_FEATURES, width)
        self.of_neuron = nn.Linear(NEURON_FEATURES, width, bias=False)
        self.own = nn.Linear(width, width)
        self.shared = nn.Linear(width, width, bias=False)
        self.score = nn.Linear(width, 1, bias=False)
        nn.init.zeros_(self.score.weight)

    def forward(self, gradients: ExampleGradients) -> tuple[Tensor, ...]:
        """The weights of examples for the neurons of each layer: ``[M, H, B]`` each."""
        seen = features(gradients)
        size = max(1, AT_ONCE // (seen[1][0, ..., 0].numel() * self.score.in_features))
        parts = [self.scores(*part) for part in zip(*(each.split(size) for each in seen), strict=True)]
        weights_MHB = torch.cat(parts).softmax(2)
        return weights_MHB.split([of.layer.outputs for of in gradients.layers], dim=1)

    def scores(self, examples_MBE: Tensor, neurons_MHBN: Tensor) -> Tensor:
        """What is larger for examples of more weight, of :func:`features`: ``[M, H, B]``."""
        hidden = torch.relu(self.of_example(examples_MBE).unsqueeze(1) + self.of_neuron(neurons_MHBN))
        hidden = torch.relu(self.own(hidden) + self.shared(hidden.mean(2, keepdim=True)))
        scores: Tensor = self.score(hidden).squeeze(3)
        return scores


@torch.no_grad()
def features(gradients: ExampleGradients) -> tuple[Tensor, Tensor]:
    """What is seen of each example, and of each example at each neuron.

    Of an example: its loss and the minibatch's mean loss as logarithms, its loss in standard deviations of the
    minibatch's, the norm of its gradient relative to the root mean square, and the cosine of its gradient with the sum
    of all others'. At a neuron: the latter two for the neuron's parameters alone, and whether it is an output.

    Returns:
        ``[M, B, E]`` and, neurons of all layers one after the other, ``[M, H, B, N]``.
    """
    examples = gradients.examples
    squares, products, others, last = [], [], [], []
    for number, of in enumerate(gradients.layers):
        mean_MHD = of.weighted(torch.full_like(gradients.loss_MB, 1 / examples).unsqueeze(1))
        squares_MHB, along_MHB = of.squares(), of.along(mean_MHD) * examples
        squares.append(squares_MHB)
        products.append(along_MHB - squares_MHB)
        of_sum_MH1 = mean_MHD.square().sum(2, keepdim=True) * examples**2
        others_MHB = of_sum_MH1 - 2 * along_MHB + squares_MHB
        # Where all others are 0 it is what rounding leaves.
        others.append(torch.where(others_MHB > ROUNDING * (of_sum_MH1 + squares_MHB), others_MHB, 0.0))
        last.append(torch.full_like(squares_MHB, float(number == len(gradients.layers) - 1)))
    of_neurons = [torch.cat(parts, dim=1) for parts in (squares, products, others)]
    whole = [part.sum(1) for part in of_neurons]
    neurons = (_relative_norm(of_neurons[0]), _cosine(*of_neurons), torch.cat(last, dim=1))
    loss_MB = gradients.loss_MB
    mean_M1, spread_M1 = loss_MB.mean(1, keepdim=True), loss_MB.std(1, keepdim=True, correction=0)
    of_example = (
        (loss_MB + SMALL_LOSS).log() / 2,
        ((mean_M1 + SMALL_LOSS).log() / 2).expand_as(loss_MB),
        (loss_MB - mean_M1) / (spread_M1 + SMALL_LOSS),
        _relative_norm(whole[0]),
        _cosine(*whole),
    )
    return (
        torch.stack(of_example, dim=2).clamp(-LIMIT, LIMIT),
        torch.stack(neurons, dim=3).clamp(-LIMIT, LIMIT),
    )


def _relative_norm(squares: Tensor) -> Tensor:
    """Half the logarithm of squared norms, relative to their mean over examples, the last axis."""
    return ((squares + TINY) / (squares.mean(-1, keepdim=True) + TINY)).log() / 2


def _cosine(squares: Tensor, products: Tensor, others: Tensor) -> Tensor:
    """Cosines from squared norms, inner products, and squared norms of the other vectors; 0 where a vector is."""
    return torch.where(squares * others > 0, products / (squares * others).sqrt().clamp_min(TINY), 0.0)
