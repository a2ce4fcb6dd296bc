"""The images on which most networks change their answer when they are reconstructed.

Shape letters: M members, N examples, C classes.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from analysis.evaluators.evaluator import EvaluationData, Subject

IMAGES, ANSWERS = 12, 2


def flips(subject: Subject, original: Subject, data: EvaluationData) -> Mapping[str, Any]:
    """A gallery, as JSON values.

    Returns:
        ``absent``, why there is none; or ``shape`` of the images, ``untouched``, the share of all test images on which
        no member changes its answer, and ``images``: number among the test images, pixels, label, the share of
        members whose answer changes, and the commonest answers of originals and reconstructions with their shares.
    """
    values = data.examples.values
    if values.dtype != torch.uint8 or values.shape[1] not in (1, 3):
        return {"absent": f"inputs of shape {data.dataset.input_shape} are no images of one or three colors"}
    if data.part(subject.population) is not None:
        return {"absent": "networks have class tasks of their own, in which answers mean different classes"}
    before_MN, after_MN = original.predicted(data), subject.predicted(data)
    changed_N = (before_MN != after_MN).double().mean(0)
    chosen = changed_N.argsort(descending=True, stable=True)[:IMAGES]
    return {
        "shape": list(values.shape[1:]),
        "untouched": float((changed_N == 0).double().mean()),
        "images": [
            {
                "example": row,
                "label": int(data.examples.targets[row]),
                "pixels": base64.b64encode(values[row].contiguous().numpy().tobytes()).decode(),
                "changed": float(changed_N[row]),
                "before": _commonest(before_MN[:, row]),
                "after": _commonest(after_MN[:, row]),
            }
            for row in chosen.tolist()
            if changed_N[row] > 0
        ],
    }


def _commonest(predicted_M: Tensor) -> list[list[float]]:
    """The commonest answers with their shares of the members, of equally common ones the lower class first."""
    counts_C = torch.bincount(predicted_M)
    order = counts_C.argsort(descending=True, stable=True)[:ANSWERS].tolist()
    return [[label, float(counts_C[label]) / len(predicted_M)] for label in order if counts_C[label]]
