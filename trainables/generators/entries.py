"""The generators, a line or two each; free of torch."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from trainables.generators.config import (
    DensityConfig,
    FlowConfig,
    LatentDensityConfig,
    MeanConfig,
    NoiseConfig,
    TaskAloneConfig,
)
from trainables.generators.metrics import GENERATOR_METRICS
from trainables.generators.presets import FLOW
from trainables.trainable import Reference, Trainable, call


def generator(
    name: str,
    implementation: Reference,
    config: type[Any],
    *,
    fit: Reference | None = None,
    presets: Mapping[str, Mapping[str, Any]] | None = None,
    description: str,
) -> Trainable:
    """A registry entry for a generator of networks.

    Args:
        name: Its name.
        implementation: Its class, with the methods of ``trainables.closed_form.ClosedFormType``; or
            ``module:Class``. Where there is a ``fit``, the class need not have the method of that name.
        config: Its settings.
        fit: ``(config, FitData) -> Fit``, where it takes epochs.
        presets: Settings by their name.
        description: One sentence.
    """
    return Trainable(
        name=name,
        kind="generator",
        config=config,
        metrics=GENERATOR_METRICS,
        tasks="one",
        presets=presets or {},
        begin=fit
        or partial(call, "trainables.closed_form:begin", implementation, "trainables.generators.generator:validate"),
        load=partial(call, "trainables.closed_form:load", implementation),
        description=description,
    )


GENERATORS: dict[str, Trainable] = {
    entry.name: entry
    for entry in (
        generator(
            "noisy-copies",
            "trainables.generators.closed_form:NoisyCopies",
            NoiseConfig,
            description="Training networks with noise: a control, which makes nothing new.",
        ),
        generator(
            "means",
            "trainables.generators.closed_form:Means",
            MeanConfig,
            description="Means of some training networks: a control, which makes nothing new.",
        ),
        generator(
            "task-alone",
            "trainables.generators.task_alone:TaskAlone",
            TaskAloneConfig,
            description="One network, trained on the task alone, with noise: a control, the same again and again.",
        ),
        generator(
            "component-density",
            "trainables.generators.closed_form:ComponentDensity",
            DensityConfig,
            description="A kernel density of each principal component of the training networks.",
        ),
        generator(
            "latent-density",
            "trainables.generators.latent_density:LatentDensity",
            LatentDensityConfig,
            fit="trainables.generators.latent_density:LatentDensityFit",
            description="Latents of an autoencoder of networks, drawn from a kernel density or its prior, and decoded.",
        ),
        generator(
            "flow",
            "trainables.generators.flow:Flow",
            FlowConfig,
            fit="trainables.generators.flow:FlowFit",
            presets=FLOW,
            description="A flow from noise to networks, learned by matching its velocity; with conditions if wanted.",
        ),
    )
}
