"""Decision boundaries: how far they are from test examples, and how far a reconstruction moves them.

Along random directions the distance is that to the first point on the ray where the prediction changes, found on a
geometric grid and by bisection; a slab of another class that is thinner than a step of the grid is passed over. The
adversarial direction is DeepFool's (Moosavi-Dezfooli, Fawzi and Frossard, CVPR 2016, arXiv 1511.04599, section 3): to
the nearest boundary of the linearized network, again from where that leads, until the prediction changes. That random
directions meet the boundary some square root of the input's dimension later is from Fawzi, Moosavi-Dezfooli and
Frossard (NeurIPS 2016, arXiv 1608.08967). Inputs may leave the range of pixels.

Shape letters: M members, N examples, C classes, D numbers of an input, R rays, G points of the grid.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor

from analysis.evaluators.evaluator import EvaluationData, Evaluator, Measure, Subject, Values, required
from analysis.evaluators.flips import flips
from analysis.evaluators.planes import planes
from zoo.architecture import Architecture
from zoo.metric import Metric

# Test examples that rays start at, random directions from each, and numbers of inputs in one step.
EXAMPLES, DIRECTIONS, AT_ONCE = 32, 2, 2**22
# Rays end after so many distances between two test examples (root mean square). Their first point of the grid is at
# this share of that; then come so many points, the last at the end; and so many halvings.
REACH, NEAREST, GRID, HALVINGS = 4.0, 1e-3, 16, 14
# Of DeepFool: steps, rivals of the predicted class that are looked at, and how far beyond a boundary it goes.
STEPS, RIVALS, OVERSHOOT = 5, 9, 0.02
SEED = 0


class Distances(NamedTuple):
    """Distances of each member's boundary from each example, at most the length of a ray: ``[M, N, rays of each]``."""

    random: Tensor
    adversarial: Tensor


def boundary_distances(subject: Subject, data: EvaluationData) -> Distances:
    """Distances from the first test examples, along random and adversarial directions."""
    subject.outputs(data)  # refuses networks whose outputs are not finite
    x_ND = data.examples.first(EXAMPLES).inputs
    length, directions_NRD = ray_length(data.examples.inputs), random_directions(x_ND)
    population = subject.population
    random = torch.empty(len(population), *directions_NRD.shape[:2])
    adversarial = torch.empty(len(population), len(x_ND), 1)
    size = max(1, AT_ONCE // directions_NRD.numel())
    for architecture, every in population.groups():
        for rows in every.split(size):
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

    Args:
        architecture: The members'.
        weights_MP: Members.
        x_ND: Where rays start, ``[N, *input_shape]``.
        directions: Unit vectors, ``[M or 1, N, R, *input_shape]``; none where all its numbers are 0.
        length: Of the rays.

    Returns:
        ``[M, N, R]``; ``length`` where nothing changes.
    """
    members, rays, shape = len(weights_MP), directions.shape[1:3], x_ND.shape[1:]
    start = x_ND[:, None].expand(*rays, *shape)

    def predicted(distance: Tensor) -> Tensor:
        points = start + distance.reshape(*distance.shape, *[1] * len(shape)) * directions
        shared = points.shape[0] == 1
        points = points.flatten(1, 2)
        logits = architecture.logits(weights_MP, points[0] if shared else points)
        return logits.argmax(2).unflatten(1, rays)

    own_MNR = predicted(torch.zeros(1, *rays))
    grid_G = torch.logspace(math.log10(NEAREST * length), math.log10(length), GRID)
    low, high = torch.zeros(members, *rays), torch.full((members, *rays), math.inf)
    for distance in grid_G.tolist():
        changed = (predicted(torch.full((1, *rays), distance)) != own_MNR) & high.isinf()
        high[changed] = distance
        low[high.isinf()] = distance
    met = high.isfinite()
    high = torch.where(met, high, length)
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        changed = predicted(middle) != own_MNR
        high, low = torch.where(changed, middle, high), torch.where(changed, low, middle)
    return torch.where(met, (low + high) / 2, length)


def nearest_directions(architecture: Architecture, weights_MP: Tensor, x_ND: Tensor) -> Tensor:
    """DeepFool's direction from each example to each member's boundary: unit vectors ``[M, N, *input_shape]``.

    It is zero where the linearized network has no boundary, as where all hidden units are off.
    """
    clean = x_ND.expand(len(weights_MP), *x_ND.shape)
    with torch.no_grad():
        order_MNC = architecture.logits(weights_MP, x_ND).argsort(2, descending=True)
    own_MN1, rivals_MNR = order_MNC[..., :1], order_MNC[..., 1 : 1 + RIVALS]
    total = torch.zeros_like(clean)
    for _ in range(STEPS):
        moved = (clean + (1 + OVERSHOOT) * total).requires_grad_()
        logits_MNC = architecture.logits(weights_MP, moved)
        margin_MNR = logits_MNC.gather(2, own_MN1) - logits_MNC.gather(2, rivals_MNR)
        inside_MN = logits_MNC.argmax(2) == own_MN1[..., 0]
        if not inside_MN.any():
            break
        gradients = torch.stack(
            [torch.autograd.grad(margin_MN.sum(), moved, retain_graph=True)[0] for margin_MN in margin_MNR.unbind(2)],
            dim=2,
        ).flatten(3)  # [M, N, R, D]
        norm_MNR = gradients.norm(dim=3)
        distance_MNR = torch.where(norm_MNR > 0, margin_MNR.detach().abs() / norm_MNR, math.inf)
        distance_MN, nearest_MN = distance_MNR.min(2)
        chosen_MND = gradients.gather(2, nearest_MN[..., None, None].expand(-1, -1, 1, gradients.shape[3]))[:, :, 0]
        step_MND = -chosen_MND * (distance_MN / chosen_MND.norm(dim=2))[..., None]
        usable_MN = inside_MN & distance_MN.isfinite()
        total = total + torch.where(usable_MN[..., None], step_MND, 0.0).reshape(total.shape)
    length_MN1 = total.flatten(2).norm(dim=2).clamp_min(torch.finfo(total.dtype).tiny)
    return total / length_MN1.reshape(*length_MN1.shape, *[1] * (x_ND.ndim - 1))


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
