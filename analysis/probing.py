"""What embeddings tell: a study's encoders, each judged by readouts of all that a zoo knows of its networks.

For every encoder, column and choice of snapshots a readout is fitted to embeddings of training members, with its
penalty chosen on validation members, and measured on test members: all encoders see the same networks, splits and
selection rule.

Shape letters: M members, E width of an embedding.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Literal, cast

import numpy as np

from analysis.groups import chosen_members, orders_differ
from analysis.held_out import HeldOut, HeldOutPlan
from analysis.intervals import Bootstrap
from analysis.prediction import baseline_rows, best_trials, setting_of
from analysis.rows import Row, fits_content
from trainables.encoders.encoder import Encoder, differing
from trainables.readouts.columns import targets_of
from trainables.readouts.readout import Readouts
from trainables.study_files import StudyRecord
from zoo.storage.zoo import Zoo

SCOPES: dict[str, Literal["last"] | None] = {"last snapshots": "last", "all snapshots": None}


@dataclass(frozen=True)
class Embedded:
    """Embeddings by one fit of an encoder; made when first needed.

    Attributes:
        encoder: The encoder.
        held_out: The members.
    """

    encoder: Encoder
    held_out: HeldOut

    @cached_property
    def readouts(self) -> Readouts:
        """Of training and validation members."""
        training, validation = (
            members.over(self.encoder.embed).astype(np.float64)
            for members in (self.held_out.training, self.held_out.validation)
        )
        return Readouts(training, validation)

    @cached_property
    def test(self) -> np.ndarray:
        """Embeddings of test members, ``[M, E]``."""
        return self.held_out.test.over(self.encoder.embed).astype(np.float64)

    def predicted(self, target: str) -> np.ndarray:
        """What a readout says of test members: ``[M]``."""
        training_M, validation_M = (
            targets_of(members.populations, target) for members in (self.held_out.training, self.held_out.validation)
        )
        return self.readouts.fit(target, training_M, validation_M).predict(self.test)


class ProbePlan(HeldOutPlan[Encoder]):
    """An analysis of encoders."""

    @cached_property
    def told(self) -> dict[str, tuple[str, ...]]:
        """For each choice of snapshots the columns that are predicted: those in which its training networks differ."""
        return {scope: told(held_out) for scope, held_out in self.scopes.items()}

    @property
    def targets(self) -> list[str]:
        """Columns that are predicted, of whichever snapshots."""
        return list(dict.fromkeys(target for targets in self.told.values() for target in targets))

    @cached_property
    def rows(self) -> list[Row]:
        """For each choice of snapshots, trial and column a row; then for each column the two baselines."""
        rows = []
        for scope, held_out in self.scopes.items():
            for trial, fits in self.artifacts.items():
                embedded = [Embedded(encoder, held_out) for encoder in fits]
                content = fits_content(self.study, trial, fits)
                rows += [
                    held_out.row(
                        self.study.trainable(trial).name,
                        setting_of(target, self.study.config(trial), len(fits), scope),
                        "learned",
                        target,
                        partial(_predicted, embedded, target),
                        content,
                        trial,
                    )
                    for target in self.told[scope]
                ]
            rows += [row for target in self.told[scope] for row in baseline_rows(held_out, target, scope)]
        return rows


def told(held_out: HeldOut) -> tuple[str, ...]:
    """The columns in which the training networks differ."""
    training = held_out.zoo.snapshots.take(held_out.zoo.rows("train", epochs=held_out.fitted_epochs))
    return differing(lambda name: training[name].to_numpy(zero_copy_only=False))


def _predicted(embedded: Sequence[Embedded], target: str) -> list[np.ndarray]:
    return [each.predicted(target) for each in embedded]


def plan_probes(zoo: Zoo, study: StudyRecord, *, members: int | None, bootstrap: Bootstrap) -> ProbePlan:
    """A study's best encoders, of each trainable one at least, on all columns in which training members differ.

    Args:
        zoo: The zoo, of any layouts that the encoders take.
        study: A study of encoders on it.
        members: At most so many test members; ``None`` for all.
        bootstrap: How intervals are drawn.

    Raises:
        ZooError: No trial can be measured, or a split has no members.
    """
    zoo.rows("validation")  # penalties are chosen on them
    chosen, grouped = chosen_members(zoo, members), orders_differ(zoo)
    encoders = {t: [cast(Encoder, study.artifact(t, fit)) for fit in study.fits(t)] for t in best_trials(study)}
    scopes = {
        scope: HeldOut(
            zoo=zoo,
            members=chosen,
            epochs=epochs,
            fitted_epochs=epochs,
            bootstrap=bootstrap,
            grouped=grouped,
        )
        for scope, epochs in SCOPES.items()
    }
    return ProbePlan(study=study, scopes=scopes, artifacts=encoders)
