"""The rows of the table to be: which codecs at which settings, and which trials of a study.

Shape letters: M members, P parameters.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar, cast

import numpy as np
import torch

from analysis.codecs import CODECS, CodecFamily, find_codec, setting_name
from analysis.controls import ZERO_RATE, fit_mean_latent
from analysis.evaluation import Evaluation
from analysis.evaluators.evaluator import Subject
from analysis.measurement import measure
from analysis.results import Result
from trainables.autoencoders.config import AutoencoderConfig
from trainables.autoencoders.learned_codec import LearnedCodec
from trainables.codecs.codec import Codec
from trainables.study_files import StudyRecord
from zoo.architecture import Architecture
from zoo.data.examples import Dataset
from zoo.population import Population
from zoo.storage.errors import ZooError

CodecT = TypeVar("CodecT", bound=Codec | Sequence[Codec])

LEARNED = "autoencoder"
# After the name of a codec whose constants a study found.
SEARCHED = " (searched)"
LEARNED_TRIALS = 12


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """One row of the table to be: how to get its codec, or several fits of it, and what to call it."""

    name: str
    setting: str
    family: str
    fit: Callable[[], Codec | Sequence[Codec]]
    trial: int | None = None

    def measure(self, original: Subject, evaluation: Evaluation) -> Result:
        """Fits the codec and measures it."""
        return measure(
            self.fit(),
            original,
            evaluation,
            name=self.name,
            family=self.family,
            setting=self.setting,
            trial=self.trial,
        )


def chosen_families(codecs: Sequence[str] | None, architecture: Architecture) -> dict[str, CodecFamily]:
    """The codecs asked for, and the zero-rate controls whether asked for or not.

    Args:
        codecs: Their names; ``None`` for all that know the architecture.
        architecture: What they are to compress.

    Raises:
        ValueError: None is asked for, or one is unknown.
    """
    fitting = [name for name, family in CODECS.items() if family.obstacle(architecture) is None]
    names = fitting if codecs is None else list(codecs)
    if not names:
        raise ValueError(f"codecs is empty; name at least one of {', '.join(CODECS)}")
    return {name: find_codec(name) for name in [*names, *(name for name in ZERO_RATE if name in CODECS)]}


def codec_rows(families: dict[str, CodecFamily], training: Population, data: Dataset) -> list[Row]:
    """A row for each setting of each codec."""
    return [
        Row(
            name=name,
            setting=setting_name(setting),
            family=family.family,
            fit=partial(family.codec, training, data, setting),
        )
        for name, family in families.items()
        for setting in family.settings
    ]


def measured_trials(study: StudyRecord) -> list[int]:
    """Numbers of the trials on a study's Pareto front; some, evenly spaced, where there are many.

    Raises:
        ZooError: The study has no trial that can be measured.
    """
    front = study.pareto_trials()
    if not front:
        limits = ", ".join(f"{name} {limit:g}" for name, limit in study.facts["study"]["limits"].items())
        raise ZooError(
            f"study {study.name} has no completed trial to measure: none of its {len(study.trials)} has results, "
            f"an artifact{f' and keeps to its limits ({limits})' if limits else ''}. "
            "Search again, or analyze the zoo without a study"
        )
    places = np.linspace(0, len(front) - 1, min(LEARNED_TRIALS, len(front))).round().astype(int)
    return [front[place] for place in np.unique(places)]


def learned_rows(study: StudyRecord) -> list[Row]:
    """Rows for a study's :func:`measured_trials`."""
    rows = []
    for trial in measured_trials(study):
        codecs = [cast(Codec, study.artifact(trial, fit)) for fit in study.fits(trial)]
        setting = trial_setting(study.config(trial))
        if len(codecs) > 1:
            setting += f", {len(codecs)} seeds"
        name = LEARNED if study.kind == "autoencoder" else f"{study.trainable(trial).name}{SEARCHED}"
        rows.append(Row(name=name, setting=setting, family="learned", fit=partial(_same, codecs), trial=trial))
    return rows


def trial_setting(config: Any) -> str:
    """What tells a trial from the others in a table."""
    if isinstance(config, AutoencoderConfig):
        return f"{config.bottleneck}, latent {config.latent}"
    return setting_name(dataclasses.asdict(config))


def _same(codec: CodecT) -> CodecT:
    return codec


def best_mean_latent(
    learned: Sequence[Row], training: Population, original: Subject, evaluation: Evaluation
) -> Row | None:
    """The zero-rate control of autoencoders: of all their mean latents the one that keeps the most quality.

    Returns:
        ``None`` where a study found codecs without latents.
    """
    judged = evaluation.only("agreement", "outputs")
    found = []
    for row in learned:
        fits = row.fit()
        for codec in fits if isinstance(fits, Sequence) else [fits]:
            if not isinstance(codec, LearnedCodec):
                continue
            constant = fit_mean_latent(codec, training)
            weights_MP = torch.from_numpy(constant.weights_P).repeat(len(original), 1)
            subject = Subject(original.population.with_weights(weights_MP), f"trial {row.trial}")
            metrics, _ = judged.measure([subject], original)
            quality = metrics["agreement" if "agreement" in metrics else "output_r2"].estimate
            found.append((quality, row.trial, constant))
    if not found:
        return None
    _, trial, constant = max(found, key=lambda entry: entry[0])
    return Row(name=constant.name, setting="", family="control", fit=partial(_same, constant), trial=trial)
