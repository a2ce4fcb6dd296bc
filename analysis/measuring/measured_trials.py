"""Which trials of a study an analysis measures, and a search with several seeds fits again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from analysis.measuring.rows import fits_content
from analysis.statistics.groups import evenly_spaced
from trainables.study_files import StudyRecord
from trainables.trainable import Artifact

MEASURED_TRIALS = 12
ArtifactT = TypeVar("ArtifactT", bound=Artifact)


@dataclass(frozen=True, kw_only=True, slots=True)
class MeasuredTrial(Generic[ArtifactT]):
    """A trial of one of the studies that are analyzed together.

    Attributes:
        name: Of its trainable, and where several of the studies have that, of its study too.
        study: The study.
        number: Its number there.
        fits: What it has fitted; they differ in their seed.
        of: Name of the study where it is one of several, else ``None``.
    """

    name: str
    study: StudyRecord
    number: int
    fits: list[ArtifactT]
    of: str | None

    @property
    def config(self) -> Any:
        """Its configuration."""
        return self.study.config(self.number)

    @property
    def content(self) -> dict[str, Any]:
        """What names its fits, as JSON values."""
        return fits_content(self.study, self.number, self.fits)


def measured_trials(study: StudyRecord) -> list[int]:
    """Numbers of some trials of a study's Pareto front; where there are many, of codecs evenly spaced ones.

    Of other kinds these are the best by the first objective, and after them the best trial of each trainable that has
    none on the front, so that what was searched together is compared.

    Raises:
        ZooError: The study has no trial that can be measured.
    """
    front = study.best_trials()
    if study.kind in ("codec", "autoencoder"):
        return [front[place] for place in evenly_spaced(len(front), MEASURED_TRIALS)]
    return list(dict.fromkeys([*front[:MEASURED_TRIALS], *study.best_of_each_trainable()]))


def measured_artifacts(study: StudyRecord) -> dict[int, list[Any]]:
    """What the :func:`measured_trials` have fitted: of each trial an artifact for each seed.

    Raises:
        ZooError: The study has no trial that can be measured, or an artifact is damaged.
    """
    return {trial: [study.artifact(trial, fit) for fit in study.fits(trial)] for trial in measured_trials(study)}


def trials_of(
    studies: Sequence[StudyRecord], called: Sequence[StudyRecord] | None = None
) -> tuple[MeasuredTrial[Any], ...]:
    """The :func:`measured_trials` of studies with what they have fitted, study by study, under names that differ.

    Args:
        studies: The studies.
        called: For each of them the study on another zoo after which its trials are called, so that those that did the
            same have the same name; by default each is called by its own.

    Raises:
        ZooError: A study has no trial that can be measured, or an artifact is damaged.
    """
    names = [study.name for study in called or studies]
    labels, found = study_labels(names), list[MeasuredTrial[Any]]()
    for study, called_after in zip(studies, names, strict=True):
        others = {name for other in studies if other is not study for name in other.facts["study"]["trainables"]}
        for number, fits in measured_artifacts(study).items():
            name = study.trainable(number).name
            found.append(
                MeasuredTrial(
                    name=f"{name} ({labels[called_after]})" if name in others else name,
                    study=study,
                    number=number,
                    fits=fits,
                    of=study.name if len(studies) > 1 else None,
                )
            )
    return tuple(found)


def study_labels(names: Sequence[str]) -> dict[str, str]:
    """Studies by their names without the digest, which is another on each zoo; in full where these are the same."""
    short = [name.rpartition("-")[0] for name in names]
    return {name: name if short.count(one) > 1 else one for name, one in zip(names, short, strict=True)}
