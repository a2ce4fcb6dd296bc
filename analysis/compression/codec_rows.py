"""Rows for codecs: which of them at which settings, and which trials of a study.

Shape letters: M members, P parameters.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import torch

from analysis.compression.codecs import CODECS, CodecFamily, Setting, find_codec, setting_name
from analysis.compression.controls import ZERO_RATE, fit_mean_latent
from analysis.compression.measurement import coded, evaluated_codec
from analysis.compression.setup import Setup
from analysis.evaluators.evaluator import Subject
from analysis.measuring.evaluated import Made
from analysis.measuring.evaluating import measure
from analysis.measuring.rows import Row, fits_content
from trainables.autoencoders.config import AutoencoderConfig
from trainables.autoencoders.learned_codec import LearnedCodec
from trainables.codecs.codec import Codec
from trainables.study_files import StudyRecord
from zoo.architecture import Architecture
from zoo.population import Population

LEARNED = "autoencoder"
# After the name of a codec whose constants a study found.
SEARCHED = " (searched)"


def chosen_families(codecs: Sequence[str] | None, architecture: Architecture) -> dict[str, CodecFamily]:
    """The codecs asked for, and the zero-rate controls whether asked for or not.

    Args:
        codecs: Their names; ``None`` for all that know the architecture.
        architecture: What they are to compress.

    Raises:
        ValueError: None is asked for, or one is unknown or does not know such networks.
    """
    fitting = [name for name, family in CODECS.items() if family.obstacle(architecture) is None]
    names = fitting if codecs is None else list(codecs)
    if not names:
        raise ValueError(f"codecs is empty; name at least one of {', '.join(CODECS)}")
    families = {name: find_codec(name) for name in [*names, *(name for name in ZERO_RATE if name in CODECS)]}
    for name, family in families.items():
        if (obstacle := family.obstacle(architecture)) is not None:
            raise ValueError(f"codec {name!r} cannot code these networks: {obstacle}; leave it out of codecs")
    return families


def codec_rows(families: Mapping[str, CodecFamily], setup: Setup, *, untrained: bool = False) -> list[Row]:
    """A row for each setting of each codec, on the test members or on those as they were before training."""
    return [
        _row(
            setup,
            partial(_fitted, family, setup, setting),
            {"codec": name, "setting": setting},
            name=name,
            setting=setting_name(setting),
            family="control" if untrained else family.family,
            fitted=True,
            untrained=untrained,
            encode_steps=family.steps(setting),
        )
        for name, family in families.items()
        for setting in family.settings
    ]


def _fitted(family: CodecFamily, setup: Setup, setting: Setting) -> list[Codec]:
    return [family.codec(setup.fit_data, setting)]


def _row(
    setup: Setup,
    fit: Callable[[], Sequence[Codec]],
    codec: Mapping[str, Any],
    *,
    fitted: bool,
    untrained: bool,
    encode_steps: int,
    **called: Any,
) -> Row:
    """The row of a codec.

    Args:
        setup: What it is measured on.
        fit: Gives the codec, or several fits of it.
        codec: What decides the codec, beside the training members.
        fitted: Whether it is fitted to those.
        untrained: Whether it is measured on untrained networks.
        encode_steps: In how many steps it improves the code of each network.
        called: Name, setting, family and trial.
    """
    cut = evaluated_codec(
        lambda population: coded(fit(), population, encode_steps=encode_steps),
        lambda: setup.untrained if untrained else setup.original,
        setup.evaluation,
        **called,
    )
    return Row.of(cut, **called, content={"codec": codec, **setup.content(fitted=fitted, untrained=untrained)})


def learned_rows(
    study: StudyRecord, codecs: Mapping[int, Sequence[Codec]], setup: Setup, *, untrained: bool = False
) -> list[Row]:
    """Rows for the codecs that a study has fitted, and for the mean latent of autoencoders."""
    rows = []
    for trial, fits in codecs.items():
        setting = trial_setting(study.config(trial))
        if len(fits) > 1:
            setting += f", {len(fits)} seeds"
        rows.append(
            _row(
                setup,
                partial(list, fits),
                fits_content(study, trial, fits),
                name=LEARNED if study.kind == "autoencoder" else f"{study.trainable(trial).name}{SEARCHED}",
                setting=setting,
                family="control" if untrained else "learned",
                trial=trial,
                fitted=False,
                untrained=untrained,
                encode_steps=study.trainable(trial).steps_of(study.config(trial)),
            )
        )
    if not untrained and any(isinstance(codec, LearnedCodec) for fits in codecs.values() for codec in fits):
        rows.append(_mean_latent_row(study, codecs, setup))
    return rows


def trial_setting(config: Any) -> str:
    """What tells a trial from the others in a table."""
    if isinstance(config, AutoencoderConfig):
        noise = f", latent noise {config.latent_noise:g}" if config.latent_noise else ""
        return f"{config.bottleneck}, latent {config.latent}{noise}"
    return setting_name(dataclasses.asdict(config))


def _mean_latent_row(study: StudyRecord, codecs: Mapping[int, Sequence[Codec]], setup: Setup) -> Row:
    """The zero-rate control of autoencoders: of all their mean latents the one that keeps the most quality."""

    def made(population: Population) -> Made:
        judged = setup.evaluation.only("agreement", "outputs")
        found = []
        for trial, fits in codecs.items():
            for codec in fits:
                if not isinstance(codec, LearnedCodec):
                    continue
                constant = fit_mean_latent(codec, setup.training)
                weights_MP = torch.from_numpy(constant.weights_P).repeat(len(population), 1)
                subject = Subject(population.with_weights(weights_MP), f"trial {trial}")
                metrics, _ = measure(judged, [subject], setup.original)
                quality = metrics["agreement" if "agreement" in metrics else "output_r2"].estimate
                found.append((quality, trial, constant))
        _, trial, constant = max(found, key=lambda entry: entry[0])
        return coded([constant], population, trial=trial)

    content = {
        "mean latents": {str(trial): fits_content(study, trial, fits) for trial, fits in codecs.items()},
        **setup.content(fitted=True, untrained=False),
    }
    called: dict[str, Any] = {"name": "mean latent", "setting": "", "family": "control", "trial": None}
    cut = evaluated_codec(made, lambda: setup.original, setup.evaluation, **called)
    return Row.of(cut, **called, content=content)
