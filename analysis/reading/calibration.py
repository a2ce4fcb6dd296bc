"""Predictions for another zoo, brought to its scale by a few of its networks whose target is known.

A readout that was fitted to one zoo often keeps the order of another's networks and misses their level and scale:
accuracies on another data set, learning rates of another recipe. Two numbers mend that, and ten networks tell two
numbers; they do not tell the hundreds of a readout, so nothing is fitted anew. The map is affine and not isotonic:
an isotonic one of ten networks has at most ten steps, which ties most of the others.

Shape letters: M members, K labelled ones.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from analysis.measuring.results import Question
from analysis.reading.held_out import Choice, HeldOut, RefusalError
from analysis.reading.members import Members
from trainables.readouts.columns import known
from zoo.storage.rows import hash_number

# Labelled networks of the target zoo; for each number so many draws of them, which intervals cover as they do fits.
LABELLED = (0, 10, 50)
DRAWS = 5
# Predictions whose variance is a smaller share of their mean square are the same but for rounding.
ALIKE = 1e-20


def recalibrated(predicted_M: np.ndarray, predicted_K: np.ndarray, true_K: np.ndarray) -> np.ndarray:
    """Predictions after an affine map that was fitted to labelled networks.

    The slope is that of least squares times ``max(0, 1 - 1/F)``, with F the statistic that tests it against 0: where
    the labelled networks show no relation the mean of their targets is predicted, not noise.

    Args:
        predicted_M: Predictions for others.
        predicted_K: Predictions for labelled networks, two or more.
        true_K: Their targets.
    """
    moved_K, spread = predicted_K - predicted_K.mean(), float(np.var(predicted_K))
    if spread <= ALIKE * float(np.square(predicted_K).mean()) or len(true_K) < 3:
        return np.full(len(predicted_M), true_K.mean())
    explained = float((moved_K * true_K).mean()) ** 2 / spread
    unexplained = max(float(np.var(true_K)) - explained, 0.0)
    shrunk = max(0.0, 1 - unexplained / (explained * (len(true_K) - 2))) if explained else 0.0
    slope = shrunk * float((moved_K * true_K).mean()) / spread
    calibrated_M: np.ndarray = true_K.mean() + slope * (predicted_M - predicted_K.mean())
    return calibrated_M


def calibrated(held_out: HeldOut, question: Question, predict: Callable[[Members], np.ndarray]) -> list[np.ndarray]:
    """Predictions for test members, ``[M]``: as they are, or for each draw of labelled networks calibrated by those.

    Args:
        held_out: The members; labelled ones are training members of what is tested.
        question: What is predicted, and how many labelled networks there are.
        predict: The readout.

    Raises:
        RefusalError: There are not so many labelled networks.
    """
    predicted_M = predict(held_out.test)
    if not question.labelled:
        return [predicted_M]
    return [
        recalibrated(predicted_M, predict(labelled), labelled.target(question.target))
        for labelled in (
            labelled_members(held_out.tested, question.target, question.labelled, draw) for draw in range(DRAWS)
        )
    ]


def labelled_members(choice: Choice, target: str, count: int, draw: int) -> Members:
    """Snapshots of some training members, drawn by a hash.

    Raises:
        RefusalError: There are fewer.
    """
    members = choice.training
    told_M = known(members.target(target))
    ids = np.unique(members.column("id")[told_M]).tolist()
    if len(ids) < count:
        raise RefusalError(f"{choice.name} has {len(ids)} training networks with a known {target}, fewer than {count}")
    drawn = sorted(ids, key=lambda member: hash_number(f"labelled network {draw}", member))[:count]
    return members.chosen(told_M & np.isin(members.column("id"), drawn))
