"""What embeddings tell: encoders of studies, each judged by readouts of all that a zoo knows of its networks.

For every encoder and column a readout is fitted to embeddings of training members, with its penalty chosen on
validation members, and measured on test members: of the same zoo, of later epochs, of networks of other layouts, of
other zoos; and of all zoos together, whose data sets are told apart. All encoders see the same networks, splits and
selection rule.

Shape letters: M members, or snapshots of members; E width of an embedding.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from typing import Any

import numpy as np

from analysis.measuring.measured_trials import MeasuredTrial, trials_of
from analysis.measuring.results import Question, Result
from analysis.measuring.rows import Row
from analysis.reading.calibration import LABELLED, calibrated
from analysis.reading.column_means import column_means
from analysis.reading.held_out import Choice, HeldOut, HeldOutPlan, RefusalError
from analysis.reading.maps import latent_maps
from analysis.reading.members import Members, ZooMembers
from analysis.reading.prediction import baseline_rows, setting_of
from analysis.reading.scopes import ACROSS, DATASET, MORE, crosswise_scopes, scopes_of, told_of, with_untrained
from analysis.record import Analysis, LatentMaps, of_studies
from analysis.statistics.groups import chosen_members
from analysis.statistics.intervals import Bootstrap
from trainables.encoders.encoder import Encoder, LooksAtInputs
from trainables.readouts.columns import is_numeric
from trainables.readouts.config import BoostingReadout, LinearReadout
from trainables.readouts.readout import Readout, Readouts
from trainables.study_files import StudyRecord
from zoo.population import Population
from zoo.storage.errors import ZooError
from zoo.storage.zoo import Zoo
from zoo.words import counted

LINEAR, BOOSTING = "linear", "boosting"
READOUTS: dict[str, LinearReadout | BoostingReadout] = {
    LINEAR: LinearReadout(),
    BOOSTING: BoostingReadout(iterations=100, leaves=15, components=48),
}


class Embedded:
    """Embeddings by one fit of an encoder, float32, and readouts of them; made when first needed.

    Args:
        encoder: The encoder.
        own: The networks that it was fitted to. Those of other data sets it looks at on inputs of these, if it can.
    """

    def __init__(self, encoder: Encoder, own: ZooMembers) -> None:
        self.encoder = encoder
        self.own = own
        self._encoders: dict[str, Encoder] = {}
        self._embeddings: dict[int, tuple[Population, np.ndarray | str]] = {}
        self._readouts: dict[tuple[int, str, str], Readout] = {}
        self._fitted: tuple[Choice, Readouts] | None = None

    def of(self, networks: ZooMembers, members: Members) -> np.ndarray:
        """Embeddings of members as a zoo's, float32 ``[M, E]``; each network is embedded once, however often asked.

        Raises:
            RefusalError: The encoder cannot take these networks.
        """
        return members.over(partial(self._embedded, self._encoder(networks)))

    def predict(self, held_out: HeldOut, question: Question, members: Members) -> np.ndarray:
        """What a readout that was fitted to a choice of networks says of others: ``[M]``.

        Args:
            held_out: What the readout is fitted to, and what the others are of.
            question: The column, and which kind of readout.
            members: The others.
        """
        fitted, target, kind = held_out.fitted, question.target, question.readout
        key = (id(fitted), target, kind)
        if key not in self._readouts:
            splits = (fitted.training.without_large(), fitted.validation)
            # Networks of zoos that are joined are all taken as the first one's: see ``analysis.reading.scopes``.
            if self._fitted is None or self._fitted[0] is not fitted:
                parts = (self.of(fitted.of, part).astype(np.float64) for part in splits)
                self._fitted = (fitted, Readouts(*parts))
            training_M, validation_M = (part.target(target) for part in splits)
            self._readouts[key] = self._fitted[1].fit(target, training_M, validation_M, READOUTS[kind])
        return self._readouts[key].predict(self.of(held_out.tested.of, members).astype(np.float64))

    def _encoder(self, networks: ZooMembers) -> Encoder:
        """The encoder, for the networks' data set where that is another."""
        name, same = networks.zoo.name, networks.zoo.manifest.dataset_sha256 == self.own.zoo.manifest.dataset_sha256
        if same or networks.dataset is None or not isinstance(self.encoder, LooksAtInputs):
            return self.encoder
        if name not in self._encoders:
            self._encoders[name] = self.encoder.on_inputs_of(networks.dataset, networks.training.populations)
        return self._encoders[name]

    def _embedded(self, encoder: Encoder, population: Population) -> np.ndarray:
        if id(population) not in self._embeddings:
            try:
                found: np.ndarray | str = encoder.embed(population).astype(np.float32)
            except ValueError as error:
                found = str(error)
            self._embeddings[id(population)] = (population, found)
        found = self._embeddings[id(population)][1]
        if isinstance(found, str):
            raise RefusalError(f"cannot embed: {found}")
        return found


@dataclass(frozen=True, kw_only=True)
class ProbePlan(HeldOutPlan[Encoder]):
    """An analysis of encoders.

    Attributes:
        readouts: Names in ``READOUTS``: what is fitted to embeddings.
        crosswise: The same of other zoos with their own studies, measured on this one and on each other.
        columns: Only these columns are told; all where ``None``.
    """

    readouts: tuple[str, ...] = (LINEAR,)
    crosswise: tuple[ProbePlan, ...] = ()
    columns: tuple[str, ...] | None = None
    # The embeddings of one trial at a time, so that memory does not grow with the number of trials.
    _embedded: dict[tuple[str, int], list[Embedded]] = field(default_factory=dict, repr=False)

    @cached_property
    def told(self) -> tuple[dict[str, str], ...]:
        """For each scope the columns in which its training networks differ, and why one is not told of its test ones.

        The reason is empty where it is told.
        """
        every = (told_of(held_out) for held_out in self.scopes)
        return tuple(
            {name: why for name, why in told.items() if self.columns is None or name in self.columns} for told in every
        )

    @property
    def targets(self) -> list[str]:
        """Columns that are predicted, of whichever snapshots."""
        return list(dict.fromkeys(name for told in self.told for name, why in told.items() if not why))

    @property
    def not_told(self) -> list[str]:
        """Why columns are not told of networks that they could be told of."""
        return list(dict.fromkeys(why for told in self.told for why in told.values() if why))

    @cached_property
    def questions(self) -> list[tuple[HeldOut, Question]]:
        """What is asked: of each scope each column, without and with labelled networks to calibrate by."""
        found = []
        for held_out, told in zip(self.scopes, self.told, strict=True):
            for target in (name for name, why in told.items() if not why):
                numeric = is_numeric(held_out.fitted.column_known(target))
                for labelled in LABELLED if held_out.elsewhere and numeric else (0,):
                    question = Question(
                        target=target,
                        snapshots=held_out.snapshots,
                        fitted_on=held_out.fitted.name,
                        told_of=held_out.tested.name,
                        labelled=labelled,
                    )
                    found.append((held_out, question))
        return found

    @cached_property
    def rows(self) -> list[Row]:
        """For each trial its rows, one a question; then those of the baselines."""
        rows = []
        for trial in self.measured:
            content, config = trial.content, trial.config
            rows += [
                held_out.row(
                    trial.name,
                    setting_of(question.target, config, len(trial.fits), *in_words(question)),
                    "learned",
                    question,
                    partial(self._predicted, trial, held_out, question),
                    content,
                    trial,
                )
                for held_out, asked in self.questions
                for question in (replace(asked, readout=kind) for kind in self.readouts)
            ]
        rows += [row for asked in self.questions for row in baseline_rows(*asked, *in_words(asked[1]))]
        return rows + [row for plan in self.crosswise for row in plan.rows]

    def analysis(self, results: list[Result]) -> Analysis:
        """What was found of encoders, with maps of the zoo's own test networks."""
        facts = {
            "kind": "encoders",
            "boosting": BOOSTING in self.readouts,
            "untrained": self.held_out.tested.of.untrained(),
            "crosswise": bool(self.crosswise),
            "other_settings": self.other_settings,
            "not_told": self.not_told,
            "together": self.together,
            "means": column_means(results, self.zoo.name, self.held_out.bootstrap),
            **self.facts(results),
        }
        return of_studies(self.studies, self.zoo, results, facts, self.maps())

    @property
    def other_settings(self) -> list[str]:
        """Which studies are compared across zoos though their settings differ, and in what."""
        return [
            f"{own.name} is compared with {other.name}, which has other settings: {differences}."
            for plan in self.crosswise
            for own, other in zip(self.studies, plan.studies, strict=True)
            if (differences := own.differences(other))
        ]

    @property
    def together(self) -> list[dict[str, Any]]:
        """Zoos whose data sets are told apart, with the numbers of networks of each split, as JSON values."""
        return [
            {"zoo": each.zoo.name, "dataset": each.zoo.recipe.dataset}
            | {split: len(each.rows(split, "last")) for split in ("train", "validation", "test")}
            for held_out in self.scopes
            if held_out.fitted.joined
            for each in held_out.fitted.every
        ]

    def maps(self) -> LatentMaps | None:
        """Maps of the zoo's own test members by the best trial of each encoder; ``None`` where none can embed them."""
        own, best = self.held_out.tested.of, dict[str, Encoder]()
        for trial in self.measured:
            best.setdefault(trial.name, trial.fits[0])
        embeddings = {name: partial(Embedded(encoder, own).of, own) for name, encoder in best.items()}
        return latent_maps(embeddings, own.choose("test", None), [name for name in self.targets if name != DATASET])

    def _predicted(self, trial: MeasuredTrial[Encoder], held_out: HeldOut, question: Question) -> list[np.ndarray]:
        key = (trial.study.name, trial.number)
        if key not in self._embedded:
            self._embedded.clear()
            own = self.held_out.fitted.of
            self._embedded[key] = [Embedded(encoder, own) for encoder in trial.fits]
        return [
            predicted_M
            for each in self._embedded[key]
            for predicted_M in calibrated(held_out, question, partial(each.predict, held_out, question))
        ]


def in_words(question: Question) -> list[str]:
    """What a row's setting says of its question beside the target."""
    elsewhere = [f"{question.fitted_on} to {question.told_of}"] if question.fitted_on != question.told_of else []
    labelled = [f"{question.labelled} labelled"] if question.labelled else []
    return [question.snapshots, *elsewhere, *labelled, *([BOOSTING] if question.readout == BOOSTING else [])]


def plan_probes(
    zoo: Zoo,
    *,
    studies: Sequence[StudyRecord],
    on: Sequence[Zoo] = (),
    studies_on: Sequence[Sequence[StudyRecord]] = (),
    boosting: bool = False,
    untrained: bool = False,
    members: int | None = None,
    bootstrap: Bootstrap,
) -> ProbePlan:
    """The best encoders of studies, of each trainable one at least, on all columns in which training members differ.

    Args:
        zoo: The zoo, of any layouts that the encoders take.
        studies: Studies of encoders on it.
        on: Other zoos whose test members are told of too.
        studies_on: Of each of them the studies on it, in the order of ``studies``, to be measured on all zoos in turn;
            none by default.
        boosting: Whether gradient boosting reads embeddings too, beside linear readouts.
        untrained: Whether columns are told of all snapshots with untrained networks too.
        members: At most so many test members of each zoo; ``None`` for all.
        bootstrap: How intervals are drawn.

    Raises:
        ZooError: No trial can be measured, a split has no members, untrained networks are asked for and the zoo has
            none, or no column can be told of any test members.
        ValueError: A zoo is named twice, or another has more or fewer studies.
    """
    names = [zoo.name, *(other.name for other in on)]
    for name in names:
        if names.count(name) > 1:
            raise ValueError(f"zoo {name} is named {names.count(name)} times; name each of the other zoos once")
    own, *others = (ZooMembers(zoo=each, members=chosen_members(each, members)) for each in (zoo, *on))
    if untrained:
        own = with_untrained(own)
    readouts = (LINEAR, BOOSTING) if boosting else (LINEAR,)
    crosswise = []
    for number, of_other in enumerate(studies_on):
        first, rest = others[number], [own, *others[:number], *others[number + 1 :]]
        if len(of_other) != len(studies):
            raise ValueError(
                f"{counted(len(of_other), 'study', 'studies')} on {first.zoo.name} for {len(studies)} on {zoo.name}; "
                "name for each the one that did the same"
            )
        scopes = crosswise_scopes(first, rest, bootstrap)
        crosswise.append(
            ProbePlan(
                studies=tuple(of_other),
                scopes=scopes,
                measured=_encoders(first.zoo, of_other, studies),
                columns=ACROSS,
                readouts=readouts,
            )
        )
    plan = ProbePlan(
        studies=tuple(studies),
        scopes=scopes_of(own, others, bootstrap),
        measured=_encoders(zoo, studies),
        crosswise=tuple(crosswise),
        readouts=readouts,
    )
    if not plan.questions:
        whys = plan.not_told or ["The training networks differ in nothing that is known of them."]
        raise ZooError(f"nothing can be told: {' '.join(whys)} {MORE}")
    return plan


def _encoders(
    zoo: Zoo, studies: Sequence[StudyRecord], called: Sequence[StudyRecord] | None = None
) -> tuple[MeasuredTrial[Encoder], ...]:
    """The best trials of studies and their fits, called after other studies where these are given.

    Raises:
        ZooError: A study is of another zoo, no trial of it can be measured, or there are no validation members.
    """
    for study in studies:
        study.require_on(zoo)
    zoo.rows("validation")  # penalties are chosen on them
    return trials_of(studies, called)
