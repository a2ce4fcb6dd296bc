"""Decision boundaries: how far they are from test examples, and how far a reconstruction moves them.

Along random directions the distance is that to the first point on the ray where the prediction changes, found on a
geometric grid and between two of its points; a slab of another class that is thinner than a step of the grid is passed
over. The adversarial direction is DeepFool's (Moosavi-Dezfooli, Fawzi and Frossard, CVPR 2016, arXiv 1511.04599,
section 3): to the nearest boundary of the linearized network, again from where that leads, until the prediction
changes. That random directions meet the boundary some square root of the input's dimension later is from Fawzi,
Moosavi-Dezfooli and Frossard (NeurIPS 2016, arXiv 1608.08967). Inputs may leave the range of pixels.

Shape letters: M members, N examples, C classes, D numbers of an input, R rays of an example, Q = N · R, K of these that
are looked at.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor

from analysis.evaluators.evaluator import EvaluationData, Evaluator, Measure, Subject, Values, required
from analysis.evaluators.flips import flips
from analysis.evaluators.planes import planes
from analysis.evaluators.weight_noise import require_answers
from zoo.architecture import Architecture
from zoo.metric import Metric
from zoo.population.population import steps

# Test examples that rays start at, random directions from each, and numbers of inputs in one step.
EXAMPLES, DIRECTIONS, AT_ONCE = 32, 2, 2**22
# Rays end after so many distances between two test examples (root mean square). Their first point of the grid is at
# this share of that; then come so many points, the last at the end; and so many steps between two of them.
REACH, NEAREST, GRID, REFINEMENTS = 4.0, 1e-3, 16, 8
# Of DeepFool: steps, rivals of the predicted class that are looked at, and how far beyond a boundary it goes.
STEPS, RIVALS, OVERSHOOT = 5, 9, 0.02
SEED = 0


class Distances(NamedTuple):
    """Distances of each member's boundary from each example, at most the length of a ray: ``[M, N, rays of each]``."""

    random: Tensor
    adversarial: Tensor


def boundary_distances(subject: Subject, data: EvaluationData) -> Distances:
    """Distances from the first test examples, along random and adversarial directions."""
    require_answers(subject, data.examples.first(EXAMPLES))
    x_ND = data.examples.first(EXAMPLES).inputs
    length, directions_NRD = ray_length(data.examples.inputs), random_directions(x_ND)
    population = subject.population
    random = torch.empty(len(population), *directions_NRD.shape[:2])
    adversarial = torch.empty(len(population), len(x_ND), 1)
    size = max(1, AT_ONCE // directions_NRD.numel())
    for architecture, every in population.groups():
        for rows in steps(every, size):
            weights_MP = population.weights_MP[rows]
            random[rows] = crossings(architecture, weights_MP, x_ND, directions_NRD[None], length)
            nearest_MND = nearest_directions(architecture, weights_MP, x_ND)
            found = crossings(architecture, weights_MP, x_ND, nearest_MND.unsqueeze(2), length)
            # Where all hidden units are off, there is no gradient to follow.
            adversarial[rows] = torch.minimum(found, random[rows].amin(2, keepdim=True))
    return Distances(random, adversarial)


def ray_length(inputs: Tensor) -> float:
    """How far rays go: a multiple of the root mean square distance of two examples."""
    return REACH * math.sqrt(2 * max(float(inputs.flatten(1).var(0, correction=0).sum()), 1e-12))


def random_directions(x_ND: Tensor) -> Tensor:
    """Unit vectors, the same for all members, uniform on the sphere: ``[N, R, *input_shape]``."""
    generator = torch.Generator().manual_seed(SEED)
    drawn = torch.randn(len(x_ND), DIRECTIONS, *x_ND.shape[1:], generator=generator)
    return drawn / drawn.flatten(2).norm(dim=2).reshape(*drawn.shape[:2], *[1] * (x_ND.ndim - 1))


@torch.no_grad()
def crossings(
    architecture: Architecture, weights_MP: Tensor, x_ND: Tensor, directions: Tensor, length: float
) -> Tensor:
    """Distances along rays to where each member's prediction first changes.

    Between two points of the grid it is where the predicted class's margin over all others is zero, by regula falsi
    with the Illinois step (Dowell and Jarratt, BIT 11, 1971).

    Args:
        architecture: The members'.
        weights_MP: Members.
        x_ND: Where rays start, ``[N, *input_shape]``.
        directions: Unit vectors, ``[M or 1, N, R, *input_shape]``; none where all its numbers are 0.
        length: Of the rays.

    Returns:
        ``[M, N, R]``; ``length`` where nothing changes.
    """
    members, rays = len(weights_MP), directions.shape[1:3]
    directions_MQD = directions.flatten(1, 2).expand(members, -1, *x_ND.shape[1:])
    clean_MNC = architecture.logits(weights_MP, x_ND)
    own_MQ = clean_MNC.argmax(2).repeat_interleave(rays[1], dim=1)

    def margins(which_MK: Tensor, distance_MK: Tensor) -> Tensor:
        """Of the class predicted at the start over all others, at points of some of each member's rays."""
        ways = at(directions_MQD, which_MK)
        points = x_ND[which_MK // rays[1]] + distance_MK.reshape(*which_MK.shape, *[1] * (x_ND.ndim - 1)) * ways
        return _margins(architecture.logits(weights_MP, points), at(own_MQ, which_MK))

    low, high = torch.zeros(own_MQ.shape), torch.full(own_MQ.shape, math.inf)
    above, below = _margins(clean_MNC, clean_MNC.argmax(2)).repeat_interleave(rays[1], dim=1), torch.zeros(own_MQ.shape)
    for distance in torch.logspace(math.log10(NEAREST * length), math.log10(length), GRID).tolist():
        open_MQ = high.isinf()
        if len(directions) == 1:  # the same points for all members, as long as any of them needs one
            which_MK = open_MQ.any(0).nonzero().T.expand(members, -1)
            points = x_ND[which_MK[0] // rays[1]] + distance * directions_MQD[0, which_MK[0]]
            margin_MK = _margins(architecture.logits(weights_MP, points), at(own_MQ, which_MK))
        else:
            which_MK, _ = chosen(open_MQ)
            margin_MK = margins(which_MK, torch.full(which_MK.shape, distance))
        open_MK, changed_MK = at(open_MQ, which_MK), margin_MK < 0
        for values, found, where in (
            (distance, high, changed_MK), (margin_MK, below, changed_MK),
            (distance, low, ~changed_MK), (margin_MK, above, ~changed_MK),
        ):  # fmt: skip
            found.scatter_(1, which_MK, torch.where(open_MK & where, values, at(found, which_MK)))
    met_MQ = high.isfinite()
    which_MK, met_MK = chosen(met_MQ)
    ends = [at(part, which_MK) for part in (low, torch.where(met_MQ, high, length), above, below)]
    found_MK = _zero_between(partial(margins, which_MK), *ends)
    found_MQ = torch.full(own_MQ.shape, length)
    found_MQ.scatter_(1, which_MK, torch.where(met_MK, found_MK, length))
    return found_MQ.unflatten(1, rays)


def _zero_between(
    margins: Callable[[Tensor], Tensor], low: Tensor, high: Tensor, above: Tensor, below: Tensor
) -> Tensor:
    """Where margins are zero between distances at which they are 0 or more, and less."""

    def crossed() -> Tensor:
        """Where the line between both ends is zero."""
        return low + ((high - low) * above / (above - below).clamp_min(1e-30)).clamp(torch.zeros(()), high - low)

    stayed = torch.zeros_like(low)  # which end did in the last step: 1 the higher one, -1 the lower one
    for _ in range(REFINEMENTS):
        middle = crossed()
        margin = margins(middle)
        inside = margin >= 0
        # Of an end that stays for a second time the margin counts half, lest it stays forever.
        above = torch.where(inside, margin, torch.where(stayed < 0, above / 2, above))
        below = torch.where(inside, torch.where(stayed > 0, below / 2, below), margin)
        low, high = torch.where(inside, middle, low), torch.where(inside, high, middle)
        stayed = torch.where(inside, 1.0, -1.0)
    return crossed()


def _margins(logits_MKC: Tensor, own_MK: Tensor) -> Tensor:
    """Logits of one class less the largest of all others: ``[M, K]``."""
    own_MK1 = own_MK.unsqueeze(2)
    others_MKC = logits_MKC.scatter(2, own_MK1, -math.inf)
    return logits_MKC.gather(2, own_MK1).squeeze(2) - others_MKC.amax(2)


def chosen(wanted_MQ: Tensor) -> tuple[Tensor, Tensor]:
    """For each member the places where it is wanted, as many for all: ``[M, K]``, and which of these are."""
    most = int(wanted_MQ.sum(1).max())
    found = wanted_MQ.byte().topk(most, dim=1)
    return found.indices, found.values.bool()


def at(values: Tensor, which_MK: Tensor) -> Tensor:
    """Each member's values at places of its own: ``[M, Q, …]`` to ``[M, K, …]``."""
    return values[torch.arange(len(values)).unsqueeze(1), which_MK]


def nearest_directions(architecture: Architecture, weights_MP: Tensor, x_ND: Tensor) -> Tensor:
    """DeepFool's direction from each example to each member's boundary: unit vectors ``[M, N, *input_shape]``.

    It is zero where the linearized network has no boundary, as where all hidden units are off.
    """
    with torch.no_grad():
        order_MNC = architecture.logits(weights_MP, x_ND).argsort(2, descending=True)
    total = torch.zeros(len(weights_MP), *x_ND.shape)
    inside_MN = torch.ones(total.shape[:2], dtype=torch.bool)
    for step in range(STEPS):
        which_MK, inside_MK = chosen(inside_MN)
        moved = x_ND[which_MK] + (1 + OVERSHOOT) * at(total, which_MK)
        if step:  # gradients are worth knowing only where the prediction has not changed
            with torch.no_grad():
                inside_MK &= architecture.logits(weights_MP, moved).argmax(2) == at(order_MNC, which_MK)[..., 0]
            inside_MN.scatter_(1, which_MK, inside_MK)
            which_MK, inside_MK = chosen(inside_MN)
            moved = x_ND[which_MK] + (1 + OVERSHOOT) * at(total, which_MK)
        if not which_MK.numel():
            break
        step_MKD = _to_nearest(architecture, weights_MP, moved, at(order_MNC, which_MK))
        usable_MK = inside_MK & step_MKD.flatten(2).isfinite().all(2)
        inside_MN.scatter_(1, which_MK, usable_MK)
        rows_M1 = torch.arange(len(total)).unsqueeze(1)
        total[rows_M1, which_MK] += torch.where(
            usable_MK.reshape(*usable_MK.shape, *[1] * (x_ND.ndim - 1)), step_MKD, 0
        )
    length_MN1 = total.flatten(2).norm(dim=2).clamp_min(torch.finfo(total.dtype).tiny)
    return total / length_MN1.reshape(*length_MN1.shape, *[1] * (x_ND.ndim - 1))


def _to_nearest(architecture: Architecture, weights_MP: Tensor, x_MKD: Tensor, order_MKC: Tensor) -> Tensor:
    """The way to the nearest boundary of the linearized network, from each point; not finite where there is none."""
    x_MKD = x_MKD.requires_grad_()
    logits_MKC = architecture.logits(weights_MP, x_MKD)
    margin_MKR = logits_MKC.gather(2, order_MKC[..., :1]) - logits_MKC.gather(2, order_MKC[..., 1 : 1 + RIVALS])
    best, way = torch.full(margin_MKR.shape[:2], math.inf), torch.full_like(x_MKD, math.inf)
    for margin_MK in margin_MKR.unbind(2):
        (gradient,) = torch.autograd.grad(margin_MK.sum(), x_MKD, retain_graph=True)
        square_MK, margin_MK = gradient.flatten(2).square().sum(2), margin_MK.detach()
        distance_MK = torch.where(square_MK > 0, margin_MK.abs() / square_MK.sqrt(), math.inf)
        nearer_MK = distance_MK < best
        best = torch.where(nearer_MK, distance_MK, best)
        shape = (*nearer_MK.shape, *[1] * (x_MKD.ndim - 2))
        way = torch.where(nearer_MK.reshape(shape), -gradient * (margin_MK.abs() / square_MK).reshape(shape), way)
    return way.detach()


def run(subject: Subject, original: Subject | None, data: EvaluationData) -> Values:
    """Distances before and after, and by how much they change along each ray relative to their mean: ``[M]``."""
    original = required(original)
    before = original.once(f"boundaries {data.inputs}", lambda: boundary_distances(original, data))
    after, part_MN = boundary_distances(subject, data), _part(subject, data)
    values = {}
    for name, kind in KINDS.items():
        one, other = getattr(before, kind), getattr(after, kind)
        values[f"{name}_original"], values[f"{name}_reconstructed"] = _mean(one, part_MN), _mean(other, part_MN)
        values[f"{name}_moved"] = _mean((other - one).abs(), part_MN) / _mean(one, part_MN)
    return values


def alone(subject: Subject, original: Subject | None, data: EvaluationData) -> Values:  # noqa: ARG001
    """Distances of one population: ``[M]``."""
    found, part_MN = boundary_distances(subject, data), _part(subject, data)
    met = (found.random < ray_length(data.examples.inputs)).double()
    return {name: _mean(getattr(found, kind), part_MN) for name, kind in KINDS.items()} | {
        "boundary_met": _mean(met, part_MN)
    }


def details(subject: Subject, original: Subject | None, data: EvaluationData) -> Mapping[str, object]:
    """What figures are made of: planes of some members, and the images on which most members change their answer."""
    found = {"planes": planes(subject, original, data)}
    return found if original is None else {**found, "flips": flips(subject, original, data)}


KINDS = {"boundary_random": "random", "boundary_adversarial": "adversarial"}


def _part(subject: Subject, data: EvaluationData) -> Tensor:
    """Which of the first examples count for each member: those of its task, or all where these have none."""
    count = len(data.examples.first(EXAMPLES))
    part_MN = data.part(subject.population)
    if part_MN is None:
        return torch.ones(len(subject), count)
    first_MN = part_MN[:, :count].float()
    return torch.where(first_MN.any(1, keepdim=True), first_MN, 1.0)


def _mean(values: Tensor, part_MN: Tensor) -> Tensor:
    """Means over rays and those examples that count: ``[M]``."""
    return (values.double().mean(2) * part_MN).sum(1) / part_MN.sum(1)


ALONG = {
    "boundary_random": ("random direction", "random directions"),
    "boundary_adversarial": (
        "adversarial direction",
        "DeepFool's direction to about the nearest boundary (or a random one, where that is nearer)",
    ),
}


def _distance(name: str, which: str = "") -> Measure:
    short, long = ALONG[name]
    return Measure(
        metric=Metric(
            name=f"{name}_{which}" if which else name,
            label=f"boundary distance, {short}" + (f", {which}" if which else ""),
            description=f"Mean distance, Euclidean in inputs, from {EXAMPLES} test examples along {long} to where the"
            f" {which or 'network'}'s prediction changes, at most {REACH:g} root mean square distances of two of them.",
        )
    )


def _moved(name: str) -> Measure:
    short, long = ALONG[name]
    return Measure(
        metric=Metric(
            name=f"{name}_moved",
            label=f"boundary moved, {short}",
            unit="share",
            direction="min",
            description=f"Mean absolute change of the boundary's distance along {long} over the original's mean "
            "distance.",
        )
    )


BOUNDARIES = Evaluator(
    name="boundaries",
    run=run,
    by_members=True,
    details=details,
    judges="classes",
    measures=tuple(
        measure
        for name in ALONG
        for measure in (_distance(name, "original"), _distance(name, "reconstructed"), _moved(name))
    ),
    description="How far decision boundaries are, and by how much reconstructions move them; planes and a gallery.",
)

BOUNDARY_DISTANCE = Evaluator(
    name="boundary-distance",
    run=alone,
    by_members=True,
    details=details,
    needs_original=False,
    judges="classes",
    measures=(
        *map(_distance, ALONG),
        Measure(
            metric=Metric(
                name="boundary_met",
                label="rays that meet a boundary",
                unit="share",
                description="Share of the random directions along which the prediction changes within that distance.",
            )
        ),
    ),
    description="How far decision boundaries are from test examples; needs no original.",
)
