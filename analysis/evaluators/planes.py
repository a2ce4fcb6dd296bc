"""What networks predict on planes through their inputs: which class, how sure.

Planes through three examples are those of Somepalli et al. (CVPR 2022, arXiv 2203.08124, section 3); points of a plane
are not kept within the range of pixels.

Shape letters: M members, N examples, D numbers of an input, S points on a side of a plane.
"""

from __future__ import annotations

import base64
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from analysis.evaluators.evaluator import EvaluationData, Subject

SIDE = 72
# Of a plane through three examples, the room around them in shares of their larger extent; of one of principal
# components, its half width in standard deviations.
MARGIN, DEVIATIONS = 0.35, 3.0
# A third example spans a plane with two others if so much of its distance is not along theirs.
APART = 1e-3
# Test examples whose principal components are taken.
COMPONENTS_OF = 1000
IMAGES, COMPONENTS = "three test examples", "principal components"
ORIGINAL, RECONSTRUCTED, ALONE = "original", "reconstruction", "network"


@dataclass(frozen=True)
class Plane:
    """A rectangle in the space of inputs.

    Attributes:
        name: What spans it.
        origin_D: The point at (0, 0).
        axes_2D: Two orthogonal unit vectors.
        extent: Its lower and upper ends along both axes.
        titles: What the axes are called.
        marks: Examples that lie in it: place along both axes, and target.
    """

    name: str
    origin_D: Tensor
    axes_2D: Tensor
    extent: tuple[tuple[float, float], tuple[float, float]]
    titles: tuple[str, str]
    marks: tuple[tuple[float, float, int], ...] = ()

    def points(self) -> Tensor:
        """Its points, row by row from below: ``[S · S, D]``."""
        along = [torch.linspace(low, high, SIDE) for low, high in self.extent]
        y, x = torch.meshgrid(along[1], along[0], indexing="ij")
        return self.origin_D + x.reshape(-1, 1) * self.axes_2D[0] + y.reshape(-1, 1) * self.axes_2D[1]

    def described(self) -> dict[str, Any]:
        """What a figure has to know of it, as JSON values."""
        return {
            "name": self.name,
            "extent": [list(ends) for ends in self.extent],
            "titles": list(self.titles),
            "marks": [list(mark) for mark in self.marks],
        }


def planes(subject: Subject, original: Subject | None, data: EvaluationData) -> Mapping[str, Any]:
    """Answers of two members on each plane, as JSON values: the typical one and that whose answers change most.

    Without an original, of the first member and one in the middle.

    Returns:
        ``absent``, why there are none; or ``planes``, and ``views``: for each plane, member and subject the classes
        and their probabilities, see :func:`unpacked`.
    """
    drawn = (subject if original is None else original).once(f"planes {data.inputs}", lambda: planes_of(data))
    if not drawn:
        return {"absent": f"inputs of shape {data.dataset.input_shape} have no two dimensions in which examples differ"}
    subjects = {ORIGINAL: original, RECONSTRUCTED: subject} if original is not None else {ALONE: subject}
    shown = _members(subject, original, data)
    views = [
        {"plane": number, "row": row, "why": why, "subject": name, **_answers(each, row, plane, data)}
        for number, plane in enumerate(drawn)
        for why, row in shown.items()
        for name, each in subjects.items()
        if each is not None
    ]
    return {"planes": [plane.described() for plane in drawn], "views": views}


def planes_of(data: EvaluationData) -> list[Plane]:
    """A plane through three test examples of different classes, and one of the test inputs' principal components."""
    inputs_ND = data.examples.inputs.flatten(1)
    if min(inputs_ND.shape) < 2:
        return []
    found = [_through_examples(inputs_ND, data.examples.targets), _of_components(inputs_ND)]
    return [plane for plane in found if plane is not None]


def unpacked(text: str) -> np.ndarray:
    """A packed grid of a view: uint8 ``[S, S]``, its first row the lowest."""
    flat = np.frombuffer(zlib.decompress(base64.b64decode(text)), np.uint8)
    return flat.reshape(SIDE, -1)


def packed(values: Tensor) -> str:
    """Whole numbers up to 255 as text."""
    return base64.b64encode(zlib.compress(values.to(torch.uint8).numpy().tobytes(), 9)).decode()


def _through_examples(inputs_ND: Tensor, targets: Tensor) -> Plane | None:
    """Through the first example and the next two of further classes, or where there are none of any class."""
    rows = [0]
    for distinct in (True, False):
        for row in range(1, len(inputs_ND)):
            known = distinct and int(targets[row]) in {int(targets[other]) for other in rows}
            if len(rows) < 3 and row not in rows and not known and _rank(inputs_ND[[*rows, row]]) == len(rows):
                rows.append(row)
    if len(rows) < 3:
        return None
    origin_D, second_D, third_D = inputs_ND[rows]
    first_axis_D = (second_D - origin_D) / (second_D - origin_D).norm()
    rest_D = third_D - origin_D - ((third_D - origin_D) @ first_axis_D) * first_axis_D
    axes_2D = torch.stack([first_axis_D, rest_D / rest_D.norm()])
    places = (inputs_ND[rows] - origin_D) @ axes_2D.T
    lowest, highest = places.amin(0), places.amax(0)
    # A square, in which the examples are in the middle.
    half = (0.5 + MARGIN) * float((highest - lowest).max())
    ends = [(middle - half, middle + half) for middle in ((lowest + highest) / 2).tolist()]
    return Plane(
        name=IMAGES,
        origin_D=origin_D,
        axes_2D=axes_2D,
        extent=(ends[0], ends[1]),
        titles=("distance in inputs", "distance in inputs"),
        marks=tuple((float(x), float(y), int(targets[row])) for row, (x, y) in zip(rows, places, strict=True)),
    )


def _rank(points: Tensor) -> int:
    """How many dimensions points span about the first of them."""
    away = (points[1:] - points[0]).double()
    lengths = torch.linalg.svdvals(away)
    return int((lengths > APART * lengths.max().clamp_min(1e-12)).sum())


def _of_components(inputs_ND: Tensor) -> Plane | None:
    inputs_ND = inputs_ND[:COMPONENTS_OF]
    mean_D = inputs_ND.mean(0)
    _, lengths, axes = torch.linalg.svd((inputs_ND - mean_D).double(), full_matrices=False)
    if float(lengths[1]) <= APART * float(lengths[0]):
        return None
    # Of the two signs that an axis can have, that of its largest number.
    signs = axes[:2].gather(1, axes[:2].abs().argmax(1, keepdim=True)).sign()
    shares = lengths.square() / lengths.square().sum()
    ends = [DEVIATIONS * float(length) / len(inputs_ND) ** 0.5 for length in lengths[:2]]
    return Plane(
        name=COMPONENTS,
        origin_D=mean_D,
        axes_2D=(signs * axes[:2]).float(),
        extent=((-ends[0], ends[0]), (-ends[1], ends[1])),
        titles=(f"component 1 ({shares[0]:.0%})", f"component 2 ({shares[1]:.0%})"),
    )


def _members(subject: Subject, original: Subject | None, data: EvaluationData) -> dict[str, int]:
    """Rows of the members that are drawn, by why these."""
    if original is None:
        return {"first": 0, "middle": len(subject) // 2} if len(subject) > 2 else {"first": 0}
    changed_M = (subject.predicted(data) != original.predicted(data)).double().mean(1)
    order = changed_M.argsort(stable=True).tolist()
    return {"typical": order[len(order) // 2], "worst": order[-1]}


def _answers(subject: Subject, row: int, plane: Plane, data: EvaluationData) -> dict[str, str]:
    member = subject.population.select([row])
    points = plane.points().reshape(-1, *data.dataset.input_shape)
    with torch.no_grad():
        probability, predicted = member.logits(points)[0].softmax(1).max(1)
    return {"classes": packed(predicted), "confidence": packed((255 * probability.nan_to_num()).round())}
