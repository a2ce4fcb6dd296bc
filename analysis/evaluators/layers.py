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

Shape letters: M members, N examples, U units or channels of a layer, S positions, D = S · U, L layers.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from analysis.evaluators.evaluator import (
    EvaluationData,
    Evaluator,
    Measure,
    Subject,
    Values,
    require_finite,
    required,
)
from zoo.metric import Metric
from zoo.population import Population
from zoo.population.population import steps

# Test examples that networks are applied to, so many at once that what convolutions give stays in a core's cache; and
# numbers that the layers of some members may give in one step.
EXAMPLES, CHUNK, AT_ONCE = 256, 32, 2**22
# What varies less than this share of its mean square is constant.
CONSTANT = 1e-10
CKA, AGREEMENT, ERROR = "layer_cka", "layer_agreement", "layer_error"
# After the name of what is measured: each member beside another one, not its reconstruction.
OTHERS = "_others"
SERIES = tuple(f"{name}{of}" for name in (CKA, AGREEMENT, ERROR) for of in ("", OTHERS))


class Given(NamedTuple):
    """What a layer gives in some networks, in two parts: products and squares of it are sums over both.

    Attributes:
        centered_MNSU: Without the mean over examples; units last, as convolutions leave them in memory.
        mean_MSU: That mean.
    """

    centered_MNSU: Tensor
    mean_MSU: Tensor

    @classmethod
    def of(cls, values_MNSU: Tensor) -> Given:
        """Takes the values over: they are centered in place, since fresh memory costs as much as a pass over it."""
        mean_MSU = values_MNSU.mean(1)
        return cls(values_MNSU.sub_(mean_MSU.unsqueeze(1)), mean_MSU)

    def squares(self) -> Tensor:
        """The sum of all squares: float64 ``[M]``."""
        return _squares(self.centered_MNSU) + self.centered_MNSU.shape[1] * _squares(self.mean_MSU)

    def products(self, other: Given) -> Tensor:
        """Inner products of this one's units with the other one's: float64 ``[M, U, U]``."""
        centered_MUU, mean_MUU = (
            one.flatten(1, -2).mT @ two.flatten(1, -2) for one, two in zip(self, other, strict=True)
        )
        return centered_MUU.double() + self.centered_MNSU.shape[1] * mean_MUU.double()


class Layer(NamedTuple):
    """What a layer gives, and what comparisons need of it.

    Attributes:
        given: The values.
        rows_MND: A row for each example of what is centered.
        gram_MNN: The products of centered examples, where examples are fewer than units.
        spread_M: The sum of the squares of what is centered, float64.
        varies_M: Whether that is more than rounding leaves.
    """

    given: Given
    rows_MND: Tensor
    gram_MNN: Tensor | None
    spread_M: Tensor
    varies_M: Tensor

    @classmethod
    def of(cls, values_MNSU: Tensor) -> Layer:
        """From values, which are centered in place."""
        given = Given.of(values_MNSU)
        rows_MND = given.centered_MNSU.flatten(2)
        gram_MNN = rows_MND @ rows_MND.mT if rows_MND.shape[2] > rows_MND.shape[1] else None
        spread_M = _squares(rows_MND) if gram_MNN is None else gram_MNN.diagonal(dim1=1, dim2=2).double().sum(1)
        return cls(given, rows_MND, gram_MNN, spread_M, spread_M > CONSTANT * given.squares())

    def overlap(self, other: Layer) -> Tensor:
        """‖YᵀX‖², which is the inner product of XXᵀ and YYᵀ: float64 ``[M]``."""
        if self.gram_MNN is not None and other.gram_MNN is not None:
            return _products(self.gram_MNN, other.gram_MNN)
        if self.gram_MNN is not None:
            return _products(self.gram_MNN @ other.rows_MND, other.rows_MND)
        if other.gram_MNN is not None:
            return other.overlap(self)
        return _squares(self.rows_MND.mT @ other.rows_MND)


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
    x, softmax = data.examples.first(EXAMPLES).inputs, data.dataset.task.has_classes
    size = max(1, AT_ONCE // (len(x) * sum(map(math.prod, next(iter(shapes))))))
    before, after = original.population, subject.population
    values: dict[str, Tensor] = {}
    for rows in (part for _, every in before.groups() for part in steps(every, size)):
        pair = (layers_of(population.select(rows), x, softmax) for population in (before, after))
        _put(values, _compared(*pair), rows, len(before))
    others = original.once(f"others {data.inputs}", lambda: _others(original, x, softmax, size))
    hidden = range(1, len(next(iter(shapes))) + 1)
    alike = [values[f"{CKA} {layer} {layer}"] for layer in hidden]
    return {
        CKA: torch.stack(alike).mean(0),
        f"{CKA}_least": torch.stack(alike).amin(0),
        **{name: torch.stack([values[f"{name} {layer}"] for layer in hidden]).mean(0) for name in (AGREEMENT, ERROR)},
        **values,
        **others,
    }


def _others(original: Subject, x: Tensor, softmax: bool, size: int) -> dict[str, Tensor]:
    """The same of each member beside another one, half the population on; nothing where there is only one."""
    every, values = original.whole.population, dict[str, Tensor]()
    if len(every) < 2:
        return values
    for rows in (part for _, each in original.population.groups() for part in steps(each, size)):
        places_M = original.places_M[rows]
        partners_M = (places_M + len(every) // 2) % len(every)
        pair = (layers_of(every.select(chosen), x, softmax) for chosen in (places_M, partners_M))
        _put(values, _compared(*pair), rows, len(original))
    return {name.replace(" ", f"{OTHERS} ", 1): values_M for name, values_M in values.items()}


def _put(values: dict[str, Tensor], found: Mapping[str, Tensor], rows: Tensor, members: int) -> None:
    """Puts what was found of some members in its place."""
    for name, found_B in found.items():
        values.setdefault(name, torch.empty(members, dtype=found_B.dtype))[rows] = found_B


@torch.no_grad()
def layers_of(population: Population, x: Tensor, softmax: bool) -> list[Layer]:
    """What every hidden layer gives after its activation, and last the outputs.

    Args:
        population: Networks whose layers have the same shapes.
        x: Examples ``[N, *input_shape]``.
        softmax: Whether outputs go into one, which does not see their mean.

    Raises:
        ValueError: An output is not finite.
    """
    shapes = [place.output_shape for place in population.architectures[0].activations]
    shapes.append((population.architectures[0].classes,))
    members, examples = len(population), len(x)
    found = [torch.empty(members, examples, math.prod(shape[1:]), shape[0]) for shape in shapes]
    for architecture, rows in population.groups():
        every = slice(None) if len(rows) == members else rows
        for first in range(0, examples, CHUNK):
            part = slice(first, first + CHUNK)

            def keep(number: int, given: Tensor, every: slice | Tensor = every, part: slice = part) -> Tensor:
                found[number][every, part] = given.flatten(3).mT if given.ndim > 3 else given.unsqueeze(2)
                return given

            outputs_MNC = architecture.logits(population.weights_MP[rows], x[part], after_activation=keep)
            keep(len(shapes) - 1, outputs_MNC - outputs_MNC.mean(2, keepdim=True) * softmax)
    require_finite(found[-1])
    return [Layer.of(values_MNSU) for values_MNSU in found]


@torch.no_grad()
def _compared(given: list[Layer], rebuilt: list[Layer]) -> dict[str, Tensor]:
    """Layers of some networks beside those of others."""
    cka_MLL = cka(given, rebuilt)
    last = len(given) - 1
    values = {
        f"{CKA} {row + 1} {column + 1}": cka_MLL[:, row, column]
        for row in range(len(given))
        for column in range(len(given))
    }
    for number, (one, other) in enumerate(zip(given, rebuilt, strict=True)):
        placed = other.given if number == last else matched(one.given, other.given)  # outputs have names
        values[f"{AGREEMENT} {number + 1}"] = agreement(one.given, placed)
        values[f"{ERROR} {number + 1}"] = error(one, placed)
    return values


def cka(before: list[Layer], after: list[Layer]) -> Tensor:
    """Linear CKA of the layers of one network with those of another: float64 ``[M, L, L]``.

    Of a layer that gives the same on all examples it is 1 with another such, 0 with all else.
    """
    sizes = [[layer.overlap(layer).sqrt() for layer in layers] for layers in (before, after)]
    rows = []
    for one, size_M in zip(before, sizes[0], strict=True):
        row = []
        for other, other_size_M in zip(after, sizes[1], strict=True):
            alike_M = one.overlap(other) / (size_M * other_size_M).clamp_min(1e-300)
            constant_M = (one.varies_M == other.varies_M).double()
            row.append(torch.where(one.varies_M & other.varies_M, alike_M.clamp_max(1.0), constant_M))
        rows.append(torch.stack(row, dim=1))
    return torch.stack(rows, dim=1)


def matched(before: Given, after: Given) -> Given:
    """The second with its units in the order and on the scales in which they are nearest to those of the first."""
    # A unit y comes within |x|² - (x·y)² / |y|² of x at the factor x·y / |y|².
    products_MUU = before.products(after).clamp_min(0)
    squares_MU = after.products(after).diagonal(dim1=1, dim2=2).clamp_min(1e-300)
    partners_MU = torch.empty(squares_MU.shape, dtype=torch.int64)
    for member, gained_UU in enumerate((products_MUU.square() / squares_MU[:, None]).numpy()):
        partners_MU[member] = torch.from_numpy(linear_sum_assignment(gained_UU, maximize=True)[1])
    partners_MU1 = partners_MU.unsqueeze(2)
    factors_MU = products_MUU.gather(2, partners_MU1).squeeze(2) / squares_MU.gather(1, partners_MU)
    # A product with one matrix puts units in their places and scales them.
    placing_MUU = torch.zeros_like(products_MUU).scatter_(2, partners_MU1, factors_MU.unsqueeze(2)).mT.float()
    placed = ((part.flatten(1, -2) @ placing_MUU).view_as(part) for part in after)
    return Given(*placed)


def agreement(before: Given, after: Given) -> Tensor:
    """How often units are above or below the original unit's mean together: float64 ``[M]``."""
    mean_M1U = before.mean_MSU.mean(1, keepdim=True)
    # Rows as long as there are numbers are compared faster than one unit after the other.
    above = (
        one.centered_MNSU.flatten(2) > (mean_M1U - one.mean_MSU).flatten(1).unsqueeze(1) for one in (before, after)
    )
    differ_MND = torch.bitwise_xor(*above).numpy()
    return 1 - torch.tensor([np.count_nonzero(each) / each.size for each in differ_MND], dtype=torch.float64)


def error(before: Layer, after: Given) -> Tensor:
    """Root of the squared difference over the original's variance, summed over units: float64 ``[M]``.

    1 is what a layer would have that always gave its mean. Of an original that is the same on all examples it is 0
    where the other one gives the same, else 1.
    """
    lost_M = Given(*(one - other for one, other in zip(after, before.given, strict=True))).squares()
    of_constant_M = (lost_M > CONSTANT * before.given.squares()).double()
    return torch.where(before.varies_M, (lost_M / before.spread_M.clamp_min(1e-300)).sqrt(), of_constant_M)


def _squares(values: Tensor) -> Tensor:
    """Sums of squares, float64 ``[M]``."""
    return torch.linalg.vector_norm(values.flatten(1), dim=1).double().square()


def _products(one: Tensor, other: Tensor) -> Tensor:
    """Inner products, float64 ``[M]``."""
    return (one.flatten(1).unsqueeze(1) @ other.flatten(1).unsqueeze(2)).flatten().double()


LAYERS = Evaluator(
    name="layers",
    run=run,
    by_members=True,
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
