"""Which trials of a study an analysis measures, and a search with several seeds fits again."""

from __future__ import annotations

from typing import Any

import numpy as np

from trainables.study_files import StudyRecord

MEASURED_TRIALS = 12


def measured_trials(study: StudyRecord) -> list[int]:
    """Numbers of some trials of a study's Pareto front; where there are many, of codecs evenly spaced ones.

    Of other kinds these are the best by the first objective, and after them the best trial of each trainable that has
    none on the front, so that what was searched together is compared.

    Raises:
        ZooError: The study has no trial that can be measured.
    """
    front = study.best_trials()
    if study.kind in ("codec", "autoencoder"):
        places = np.linspace(0, len(front) - 1, min(MEASURED_TRIALS, len(front))).round().astype(int)
        return [front[place] for place in np.unique(places)]
    return list(dict.fromkeys([*front[:MEASURED_TRIALS], *study.best_of_each_trainable()]))


def measured_artifacts(study: StudyRecord) -> dict[int, list[Any]]:
    """What the :func:`measured_trials` have fitted: of each trial an artifact for each seed.

    Raises:
        ZooError: The study has no trial that can be measured, or an artifact is damaged.
    """
    return {trial: [study.artifact(trial, fit) for fit in study.fits(trial)] for trial in measured_trials(study)}
