"""The rows of the table to be: who they are, what decides what is measured, and how."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from analysis.measuring.evaluated import Evaluated
from analysis.measuring.results import Question, Result
from trainables.study_files import StudyRecord
from trainables.trainable import Artifact


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """One row of the table to be.

    Attributes:
        name: Of a codec, control or predictor.
        setting: What tells it from others of its name.
        family: "classical", "control" or "learned".
        trial: Number of the trial that it comes from, where that is known beforehand.
        study: Name of the study that has the trial, where it is one of several.
        content: Everything that decides what is measured, as JSON values.
        measure: Measures it.
        cut: How its work is divided, where evaluators measure it.
        question: What is predicted; ``None`` of codecs.
    """

    name: str
    setting: str
    family: str
    trial: int | None = None
    study: str | None = None
    content: Mapping[str, Any]
    measure: Callable[[], Result]
    cut: Evaluated | None = None
    question: Question | None = None

    @classmethod
    def of(cls, cut: Evaluated, **called: Any) -> Row:
        """A row that evaluators measure."""
        return cls(measure=cut.measured, cut=cut, **called)


def fits_content(study: StudyRecord, trial: int, fits: Sequence[Artifact]) -> dict[str, Any]:
    """What names the fits of a trial: their trainable, and hashes of their files."""
    files = [{name: hashlib.sha256(data).hexdigest() for name, data in fit.to_files().items()} for fit in fits]
    return {"trainable": study.trainable(trial).name, "fits": files}
