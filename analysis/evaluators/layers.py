"""Hidden layers beside those of reconstructions: how alike what they give on the same examples is.

Linear CKA: Kornblith, Norouzi, Lee and Hinton, "Similarity of Neural Network Representations Revisited" (ICML 2019,
arXiv 1905.00414, section 3): ‖YᵀX‖² / (‖XᵀX‖ ‖YᵀY‖) of what two layers give on the same examples, without its mean over
these. It is 1 where one is the other rotated and scaled, so that units need not be matched; all positions of a channel
are units of their own. Between layers with more units than there are examples it is far from 0 even if they have
nothing in common: every member beside another one shows what such a number is worth.

For the agreement and the error, units are matched with the original's, one to one, and each is multiplied by a factor,
so that the squared difference of what they give is least (Li et al., "Convergent Learning", ICLR 2016, section 3): a
network is the same with its units in another order and, with ReLU, on another scale. Softmax does not see the mean over
outputs, which is taken away. CKA of hidden layers does depend on the scales of units.

Shape letters: M members, N examples, U units or channels of a layer, S positions, D = U · S, L layers.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from analysis.evaluators.evaluator import EvaluationData, Evaluator, Measure, Subject, Values, required
from trainables.encoders.probing.responses import responses
from zoo.metric import Metric
from zoo.population import Population

# Test examples that networks are applied to; and numbers that the layers of some members may give in one step.
EXAMPLES, AT_ONCE = 256, 2**23
# What varies less than this share of its mean square is constant.
CONSTANT = 1e-10
CKA, AGREEMENT, ERROR = "layer_cka", "layer_agreement", "layer_error"
# After the name of what is measured: each member beside another one, not its reconstruction.
OTHERS = "_others"
SERIES = tuple(f"{name}{of}" for name in (CKA, AGREEMENT, ERROR) for of in ("", OTHERS))


def run(subject: Subject, original: Subject | None, data: EvaluationData) -> Values:
    """How alike layers are, of the originals and of reconstructions: ``[M]`` each.

    Layers are numbered from 1, the last one is the outputs. "layer_cka 1 2" is between layer 1 of the original and
    layer 2 of its reconstruction, "layer_error 1" is of layer 1 of both. All test examples count, of whatever class
    tasks networks are.

    Returns:
        Nothing where networks have no hidden layers, or not all of the same shapes.
    """
    original = required(original)
    shapes = {
        tuple(place.output_shape for place in architecture.activations)
        for architecture in original.population.architectures
    }
    if len(shapes) > 1 or shapes == {()}:
        return {}
    x = data.examples.first(EXAMPLES).inputs
    numbers = len(x) * sum(map(math.prod, next(iter(shapes))))
    blocks = torch.arange(len(original)).split(max(1, AT_ONCE // (4 * numbers)))
    softmax = data.dataset.task.has_classes
    found = [
        _compared(original.population.select(rows), subject.population.select(rows), x, softmax) for rows in blocks
    ]
    values = {name: torch.cat([part[name] for part in found]) for name in found[0]}
    others = original.once(f"others {data.inputs}", lambda: _others(original.population, x, blocks, softmax))
    hidden = range(1, len(next(iter(shapes))) + 1)
    alike = [values[f"{CKA} {layer} {layer}"] for layer in hidden]
    return {
        CKA: torch.stack(alike).mean(0),
        f"{CKA}_least": torch.stack(alike).amin(0),
        **{name: torch.stack([values[f"{name} {layer}"] for layer in hidden]).mean(0) for name in (AGREEMENT, ERROR)},
        **values,
        **others,
    }


def _others(population: Population, x: Tensor, blocks: tuple[Tensor, ...], softmax: bool) -> dict[str, Tensor]:
    """The same of each member beside another one; nothing where there is only one."""
    members = len(population)
    if members < 2:
        return {}
    pairs = [(population.select(rows), population.select((rows + members // 2) % members)) for rows in blocks]
    found = [_compared(one, other, x, softmax) for one, other in pairs]
    renamed = {name: name.replace(" ", f"{OTHERS} ", 1) for name in found[0]}
    return {renamed[name]: torch.cat([part[name] for part in found]) for name in renamed}


@torch.no_grad()
def _compared(before: Population, after: Population, x: Tensor, softmax: bool) -> dict[str, Tensor]:
    """Layers of some networks beside those of others."""
    given, rebuilt = activations(before, x), activations(after, x)
    if softmax:
        for layers in (given, rebuilt):
            layers[-1] = layers[-1] - layers[-1].mean(2, keepdim=True)
    cka_MLL = cka(given, rebuilt)
    last = len(given) - 1
    values = {
        f"{CKA} {row + 1} {column + 1}": cka_MLL[:, row, column]
        for row in range(len(given))
        for column in range(len(given))
    }
    for number, (one_MNUS, other_MNUS) in enumerate(zip(given, rebuilt, strict=True)):
        matched_MNUS = other_MNUS if number == last else matched(one_MNUS, other_MNUS)  # outputs have names
        values[f"{AGREEMENT} {number + 1}"] = agreement(one_MNUS, matched_MNUS)
        values[f"{ERROR} {number + 1}"] = error(one_MNUS, matched_MNUS)
    return values


@torch.no_grad()
def activations(population: Population, x: Tensor) -> list[Tensor]:
    """What every hidden layer gives after its activation, and last the outputs: ``[M, N, U, S]`` each.

    Args:
        population: Networks whose layers have the same shapes.
        x: Examples ``[N, *input_shape]``.
    """
    parts = []
    groups = list(population.groups())
    for architecture, rows in groups:
        found = responses(architecture, population.weights_MP[rows], x)
        layers = [*found.activated, found.outputs_MNC]
        parts.append([given.flatten(3) if given.ndim > 3 else given.unsqueeze(3) for given in layers])
    order = torch.cat([rows for _, rows in groups]).argsort()
    return [torch.cat(layers)[order] for layers in zip(*parts, strict=True)]


class _Centered(NamedTuple):
    """A layer without its mean, and the products of examples where these are fewer than units."""

    values_MND: Tensor
    gram_MNN: Tensor | None
    varies_M: Tensor

    @classmethod
    def of(cls, given_MNUS: Tensor) -> _Centered:
        values_MND = given_MNUS.flatten(2)
        square_M = values_MND.square().sum((1, 2), dtype=torch.float64)
        values_MND = values_MND - values_MND.mean(1, keepdim=True)
        varies_M = values_MND.square().sum((1, 2), dtype=torch.float64) > CONSTANT * square_M
        many = values_MND.shape[2] > values_MND.shape[1]
        return cls(values_MND, values_MND @ values_MND.mT if many else None, varies_M)

    def overlap(self, other: _Centered) -> Tensor:
        """‖YᵀX‖², which is the inner product of XXᵀ and YYᵀ: float64 ``[M]``."""
        if self.gram_MNN is not None and other.gram_MNN is not None:
            return (self.gram_MNN * other.gram_MNN).sum((1, 2), dtype=torch.float64)
        if self.gram_MNN is not None:
            return ((self.gram_MNN @ other.values_MND) * other.values_MND).sum((1, 2), dtype=torch.float64)
        if other.gram_MNN is not None:
            return other.overlap(self)
        return (self.values_MND.mT @ other.values_MND).square().sum((1, 2), dtype=torch.float64)


def cka(before: list[Tensor], after: list[Tensor]) -> Tensor:
    """Linear CKA of layers ``[M, N, U, S]`` of one network with those of another: float64 ``[M, L, L]``.

    Of a layer that gives the same on all examples it is 1 with another such, 0 with all else.
    """
    given, rebuilt = ([_Centered.of(layer) for layer in layers] for layers in (before, after))
    sizes = [[layer.overlap(layer).sqrt() for layer in layers] for layers in (given, rebuilt)]
    rows = []
    for one, size_M in zip(given, sizes[0], strict=True):
        row = []
        for other, other_size_M in zip(rebuilt, sizes[1], strict=True):
            alike_M = one.overlap(other) / (size_M * other_size_M).clamp_min(1e-300)
            constant_M = (one.varies_M == other.varies_M).double()
            row.append(torch.where(one.varies_M & other.varies_M, alike_M.clamp_max(1.0), constant_M))
        rows.append(torch.stack(row, dim=1))
    return torch.stack(rows, dim=1)


def matched(before_MNUS: Tensor, after_MNUS: Tensor) -> Tensor:
    """The second with its units in the order and on the scales in which they are nearest to those of the first."""
    before_MUK, after_MUK = (given.transpose(1, 2).flatten(2) for given in (before_MNUS, after_MNUS))
    # A unit y comes within |x|² - (x·y)² / |y|² of x at the factor x·y / |y|².
    products_MUU = (before_MUK @ after_MUK.mT).double().clamp_min(0)
    squares_MU = after_MUK.square().sum(2, dtype=torch.float64).clamp_min(1e-300)
    partners_MU = torch.empty(before_MUK.shape[:2], dtype=torch.int64)
    for member, gained_UU in enumerate((products_MUU.square() / squares_MU[:, None]).numpy()):
        partners_MU[member] = torch.from_numpy(linear_sum_assignment(gained_UU, maximize=True)[1])
    product_MU = products_MUU.gather(2, partners_MU.unsqueeze(2)).squeeze(2)
    factors_MU = (product_MU / squares_MU.gather(1, partners_MU)).to(after_MNUS.dtype)
    ordered_MNUS = after_MNUS.gather(2, partners_MU[:, None, :, None].expand(after_MNUS.shape))
    return ordered_MNUS * factors_MU[:, None, :, None]


def agreement(before_MNUS: Tensor, after_MNUS: Tensor) -> Tensor:
    """How often units are above or below the original unit's mean together: float64 ``[M]``."""
    mean_M1U1 = before_MNUS.mean((1, 3), keepdim=True)
    together_M = ((before_MNUS > mean_M1U1) == (after_MNUS > mean_M1U1)).count_nonzero((1, 2, 3))
    return together_M.double() / before_MNUS[0].numel()


def error(before_MNUS: Tensor, after_MNUS: Tensor) -> Tensor:
    """Root of the squared difference over the original's variance, summed over units: float64 ``[M]``.

    1 is what a layer would have that always gave its mean. Of an original that is the same on all examples it is 0
    where the other one gives the same, else 1.
    """
    lost_M = (after_MNUS - before_MNUS).square().sum((1, 2, 3), dtype=torch.float64)
    square_M = before_MNUS.square().sum((1, 2, 3), dtype=torch.float64)
    spread_M = (before_MNUS - before_MNUS.mean(1, keepdim=True)).square().sum((1, 2, 3), dtype=torch.float64)
    of_constant_M = (lost_M > CONSTANT * square_M).double()
    varies_M = spread_M > CONSTANT * square_M
    return torch.where(varies_M, (lost_M / spread_M.clamp_min(1e-300)).sqrt(), of_constant_M)


LAYERS = Evaluator(
    name="layers",
    run=run,
    series=SERIES,
    measures=(
        Measure(
            metric=Metric(
                name=CKA,
                label="CKA of hidden layers",
                direction="max",
                description=f"Linear centered kernel alignment of what a hidden layer gives on {EXAMPLES} test examples"
                " in the original and in the reconstruction, the mean over hidden layers. 1: the same but for a"
                " rotation and a scale.",
            )
        ),
        Measure(
            metric=Metric(
                name=f"{CKA}_least",
                label="CKA of the least alike hidden layer",
                direction="max",
                description="The same of the hidden layer of each network in which it is least.",
            )
        ),
        Measure(
            metric=Metric(
                name=AGREEMENT,
                label="agreement of hidden units",
                unit="share",
                direction="max",
                description="Share of examples on which a hidden unit and the one matched with it are on the same side"
                " of the original unit's mean, the mean over units and layers.",
            )
        ),
        Measure(
            metric=Metric(
                name=ERROR,
                label="error of hidden layers",
                direction="min",
                description="Root mean square error of what hidden units give, matched and each on the scale that fits"
                " best, over the original layer's standard deviation, the mean over hidden layers. 1: no better than"
                " each unit's mean.",
            )
        ),
    ),
    description="How alike hidden layers are: centered kernel alignment, agreement and error of units.",
)
