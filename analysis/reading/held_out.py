"""Members whose columns are predicted, and how good predictions of them are.

Shape letters: M members, or snapshots of members.
"""

from __future__ import annotations

import itertools
import math
from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Generic

import numpy as np

from analysis.measuring.measured_trials import ArtifactT, MeasuredTrial
from analysis.measuring.results import Measured, Question, Result
from analysis.measuring.rows import Row
from analysis.reading.members import Members, Wanted, ZooMembers
from analysis.record import Planned, count_diverged
from analysis.statistics.groups import ORDER, groups_with_twins, orders_known, words
from analysis.statistics.intervals import Bootstrap
from analysis.statistics.resampling import ResampledScores
from trainables.readouts.columns import is_numeric, known
from trainables.readouts.metrics import (
    ACCURACY,
    KENDALL_TAU,
    KENDALL_TAU_SHARE,
    KENDALL_TAU_WITHIN,
    MEAN_ABSOLUTE_ERROR,
    PREDICTOR_METRICS,
    R2,
)
from trainables.readouts.scores import have_pairs
from trainables.study_files import StudyRecord
from zoo.config import digest, to_json
from zoo.metric import by_name
from zoo.storage.zoo import Zoo

TRUE, PREDICTED = "true", "predicted"
# Those by whose replicates rows are compared.
COMPARED = (R2.name, KENDALL_TAU.name, ACCURACY.name)
# What values there can be: rank correlations have a least one, R² has none.
BOUNDS = {
    **{metric.name: (-1.0, 1.0) for metric in (KENDALL_TAU, KENDALL_TAU_SHARE, KENDALL_TAU_WITHIN)},
    R2.name: (-math.inf, 1.0),
    ACCURACY.name: (0.0, 1.0),
    MEAN_ABSOLUTE_ERROR.name: (0.0, math.inf),
}
# Digits of a replicate that are kept.
DIGITS = 4
Predict = Callable[[Members], np.ndarray]


class RefusalError(ValueError):
    """Networks whose column cannot be predicted; the message says why."""


@dataclass(frozen=True, kw_only=True)
class Choice:
    """Which snapshots of a zoo, or of several.

    Attributes:
        of: The zoo's networks.
        joined: Networks of other zoos that are chosen alike and come after them.
        name: What they are called: the zoo, or a part of it.
        epochs: "one" or the "last" of each member, those of some epochs, or all (``None``).
        layouts: Only networks of these of the zoo's layouts.
    """

    of: ZooMembers
    joined: tuple[ZooMembers, ...] = ()
    name: str
    epochs: Wanted = None
    layouts: tuple[int, ...] | None = None
    _fits: dict[tuple[str, str], Predict] = field(default_factory=dict, init=False, repr=False, compare=False)

    @property
    def zoo(self) -> Zoo:
        """The zoo; of several the first."""
        return self.of.zoo

    @property
    def every(self) -> tuple[ZooMembers, ...]:
        """The networks of each zoo."""
        return (self.of, *self.joined)

    @cached_property
    def training(self) -> Members:
        """Training members."""
        return self._chosen("train")

    @cached_property
    def validation(self) -> Members:
        """Validation members."""
        return self._chosen("validation")

    @cached_property
    def test(self) -> Members:
        """The test members."""
        return self._chosen("test")

    @cached_property
    def groups(self) -> np.ndarray:
        """For each snapshot of a test member the number of its group, ``[M]``.

        Members of two zoos share one only as twins: trained alike, from the same seeds.
        """
        tests = [each.choose("test", self.epochs, self.layouts) for each in self.every]
        numbers, first = [], 0
        for each, test in zip(self.every, tests, strict=True):
            numbers.append(first + each.groups(test))
            first = numbers[-1].max(initial=first) + 1
        if not self.joined:
            return numbers[0]
        zoo_M = np.repeat(np.arange(len(tests)), [len(test) for test in tests])
        return groups_with_twins(np.concatenate(numbers), zoo_M, np.concatenate([test.trained for test in tests]))

    @cached_property
    def known_twice(self) -> int:
        """How many test networks of a zoo are training or validation networks of another one that is joined."""
        pairs = itertools.permutations(self.every, 2)
        return sum(one.known_among(other.choose("test", self.epochs, self.layouts)) for one, other in pairs)

    def fitted(self, name: str, target: str, fit: Callable[[str, Members], Predict]) -> Predict:
        """What a baseline fits to the training members for a column; once, however often it is asked for."""
        if (name, target) not in self._fits:
            self._fits[name, target] = fit(target, self.training)
        return self._fits[name, target]

    def column_known(self, name: str, split: str = "train") -> np.ndarray:
        """A column of a split as far as it is known; reads no weights.

        Raises:
            KeyError: There is no such column.
        """
        columns = (
            each.zoo.snapshots[name].take(each.rows(split, self.epochs, self.layouts)).drop_null().to_numpy()
            for each in self.every
        )
        return np.concatenate([values if is_numeric(values) else values.astype(str) for values in columns])

    @property
    def content(self) -> dict[str, Any]:
        """What names them wherever the zoo lies, as JSON values."""
        epochs = list(self.epochs) if isinstance(self.epochs, tuple) else self.epochs
        layouts = None if self.layouts is None else to_json([self.zoo.layouts[number] for number in self.layouts])
        found = {"zoo": self.zoo.content_sha256, "epochs": epochs, "layouts": layouts and digest(layouts)}
        joined = [[each.zoo.content_sha256, list(each.members)] for each in self.joined]
        return {**found, "joined": joined} if joined else found

    def _chosen(self, split: str) -> Members:
        parts = [each.choose(split, self.epochs, self.layouts) for each in self.every]
        return Members.joined(parts) if self.joined else parts[0]


@dataclass(frozen=True, kw_only=True)
class HeldOut:
    """Test members whose columns are predicted, and those that predictions are fitted to; read when first needed.

    Attributes:
        fitted: What predictions are fitted to: its training members, with penalties chosen on its validation members.
        tested: Whose test members are measured; of another zoo, maybe.
        snapshots: What the choice of snapshots is called.
        bootstrap: How intervals are drawn.
    """

    fitted: Choice
    tested: Choice
    snapshots: str
    bootstrap: Bootstrap

    @property
    def training(self) -> Members:
        """Training members."""
        return self.fitted.training

    @property
    def validation(self) -> Members:
        """Validation members."""
        return self.fitted.validation

    @property
    def test(self) -> Members:
        """The test members."""
        return self.tested.test

    @property
    def elsewhere(self) -> bool:
        """Whether predictions are made for others than they were fitted to, so that a few labelled ones can help."""
        return (self.fitted.zoo.name, self.fitted.layouts) != (self.tested.zoo.name, self.tested.layouts)

    @property
    def groups(self) -> np.ndarray:
        """For each snapshot of a test member the number of its group, ``[M]``; a member's snapshots are one group."""
        return self.tested.groups

    @cached_property
    def seen(self) -> int:
        """How many of the test networks are training or validation networks of another zoo that is fitted to."""
        same = self.fitted.zoo.name == self.tested.zoo.name
        return self.tested.known_twice if same else self.fitted.of.known_among(self.test)

    def known(self, target: str) -> np.ndarray:
        """A column of the test members with what is not known as NaN: ``[M]``.

        Raises:
            RefusalError: The test members do not have it, or it is one number for all of them; or some of them are
                networks to which predictions were fitted.
        """
        where = f"the {len(self.test):,} test networks of {self.tested.name}"
        if self.seen:
            whose = "another of these zoos" if self.tested.joined else self.fitted.name
            raise RefusalError(
                f"{self.seen:,} of {where} are training or validation networks of {whose} too, so that "
                "nothing would be told of others; generate one of the two zoos with another --seed, or leave these "
                "networks out of it"
            )
        try:
            true_M = self.test.target(target)
        except ValueError:
            raise RefusalError(f"{target} is not known of {where}") from None
        told_M = known(true_M)
        if not told_M.any():
            raise RefusalError(f"{target} is not known of {where}")
        if is_numeric(true_M) != is_numeric(self.training.target(target)):
            raise RefusalError(f"{target} is a number in one zoo and a name in the other")
        if is_numeric(true_M) and np.ptp(true_M[told_M]) == 0:
            raise RefusalError(f"{target} is {true_M[told_M][0]:g} for all of {where}")
        return true_M

    def row(
        self,
        name: str,
        setting: str,
        family: str,
        question: Question,
        predicted: Callable[[], list[np.ndarray]],
        fitted: Mapping[str, Any],
        trial: MeasuredTrial[Any] | None = None,
    ) -> Row:
        """A row of the table to be.

        Args:
            name: Of the predictor, encoder or baseline.
            setting: What tells it from others of its name; the target comes first.
            family: "learned" or "control".
            question: What is predicted.
            predicted: Gives the predictions of each fit, ``[M]``; or raises :class:`RefusalError`.
            fitted: What decides about the fits, as JSON values.
            trial: The trial it comes from.
        """
        content = {
            "fitted on": self.fitted.content,
            "told of": self.tested.content,
            "members": list(self.tested.of.members),
            "target": question.target,
            "labelled": question.labelled,
            "readout": question.readout,
            "fitted": fitted,
            "bootstrap": to_json(self.bootstrap),
            "grouped": self.tested.of.shared,
        }

        about: dict[str, Any] = {
            "name": name,
            "setting": setting,
            "family": family,
            "trial": None if trial is None else trial.number,
            "study": None if trial is None else trial.of,
            "question": question,
        }

        def measured() -> Result:
            try:
                return self._result(self.known(question.target), predicted(), **about)
            except RefusalError as refused:
                nothing: dict[str, Any] = dict.fromkeys(("fits", "members", "groups", "parameters", "examples"), 0)
                return Result(**about, **nothing, metrics={}, refusal=str(refused))

        return Row(**about, content=content, measure=measured)

    def _result(self, true_M: np.ndarray, predicted: Sequence[np.ndarray], **about: Any) -> Result:
        kept = known(true_M)
        true_M, strata_M = true_M[kept], self.test.strata[kept]
        number_M = np.unique(self.groups[kept], return_inverse=True)[1]
        strata = strata_M if have_pairs(strata_M) else None
        fits = [ResampledScores(true_M, values_M[kept], number_M, strata) for values_M in predicted]
        # Other zoos' networks are drawn independently; the same networks always alike.
        zoos = [each.zoo.content_sha256 for each in self.tested.every]
        own = replace(self.bootstrap, seed=int(digest([self.bootstrap.seed, *zoos])[:15], 16))
        found = own.of_resamples(fits, fits[0].groups, bounds=BOUNDS)
        declared, numeric = by_name(PREDICTOR_METRICS), is_numeric(true_M)
        parameters = set(self.test.parameters[kept].tolist())
        seen = np.mean([values_M[kept] for values_M in predicted], axis=0).tolist() if numeric else []
        return Result(
            **about,
            fits=len(predicted),
            members=len(true_M),
            groups=fits[0].groups,
            parameters=parameters.pop() if len(parameters) == 1 else 0,
            examples=0,
            metrics={name: Measured.of(declared[name], one.interval) for name, one in found.items()},
            values={TRUE: tuple(true_M.tolist()), PREDICTED: tuple(seen)} if numeric else {},
            replicates={name: tuple(found[name].values_B.round(DIGITS).tolist()) for name in COMPARED if name in found},
            fits_spread={name: found[name].fits_spread for name in COMPARED if name in found},
        )


@dataclass(frozen=True, kw_only=True)
class HeldOutPlan(Planned, Generic[ArtifactT]):
    """An analysis of what trials of studies tell of held-out members.

    Attributes:
        studies: The studies.
        scopes: The networks that predictions are fitted to and measured on, the studies' own zoo's first.
        measured: The trials measured, study by study; of each study the best first.
    """

    studies: tuple[StudyRecord, ...]
    scopes: tuple[HeldOut, ...]
    measured: tuple[MeasuredTrial[ArtifactT], ...]

    @property
    def held_out(self) -> HeldOut:
        """The members of the first scope."""
        return self.scopes[0]

    @property
    def zoo(self) -> Zoo:
        """The zoo."""
        return self.held_out.fitted.zoo

    @property
    def members(self) -> tuple[int, ...]:
        """Numbers of the test members measured."""
        return self.held_out.tested.of.members

    @property
    def trials(self) -> list[int]:
        """Numbers of the trials that are measured."""
        return [trial.number for trial in self.measured]

    @property
    @abstractmethod
    def targets(self) -> list[str]:
        """Columns that are predicted."""

    def facts(self, results: Sequence[Result]) -> dict[str, Any]:
        """What a summary says of the networks that predictions are of."""
        zoo, tested = self.zoo, self.held_out.tested.of
        own = [r for r in results if r.question is not None and r.question.fitted_on == r.question.told_of == zoo.name]
        groups, seeds = (max((getattr(result, of) for result in own), default=0) for of in ("groups", "fits"))
        return {
            "targets": self.targets,
            "snapshots": list(dict.fromkeys(each.snapshots for each in self.scopes)),
            "on": list(dict.fromkeys(each.tested.zoo.name for each in self.scopes))[1:],
            "parameters": list(zoo.parameter_counts),
            "training_snapshots": len(zoo.rows("train")),
            "test_members": len(self.members),
            "test_groups": groups,
            "intervals": words(
                len(self.members),
                groups,
                seeds,
                grouped=bool(tested.shared),
                known=orders_known(zoo),
                shared=tested.shared or ORDER,
            ),
            "training_snapshots_diverged": count_diverged(zoo, "train"),
            "test_members_diverged": count_diverged(zoo, "test", "one"),
            "seeds": seeds,
            "seed": self.held_out.bootstrap.seed,
        }
