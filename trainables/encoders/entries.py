"""The encoders, a line or two each; free of torch."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from trainables.encoders.config import HyperRepresentationConfig, StatisticsConfig, WeightsConfig
from trainables.encoders.graph.config import FunctionalConfig, GraphConfig
from trainables.encoders.metrics import ENCODER_METRICS, RECONSTRUCTION_R2
from trainables.encoders.presets import HYPER_REPRESENTATION, NEURAL_GRAPH, NFN, PROBING, SANE, SNE
from trainables.encoders.probing.config import ProbingConfig
from trainables.encoders.sane.config import SaneConfig
from trainables.encoders.sne.config import SneConfig
from trainables.encoders.weights_and_behavior.config import WeightsAndBehaviorConfig
from trainables.trainable import Reference, Trainable, call
from zoo.metric import Metric

PROBE = "trainables.encoders.encoder:probe"
# Fits see no networks with very large weights.
BEGIN = "trainables.large_weights:begin"


def encoder(
    name: str,
    implementation: Reference,
    config: type[Any],
    *,
    fit: Reference | None = None,
    metrics: tuple[Metric, ...] = (),
    presets: Mapping[str, Mapping[str, Any]] | None = None,
    description: str,
) -> Trainable:
    """A registry entry for an encoder.

    Args:
        name: Its name.
        implementation: Its class, with the methods of ``trainables.closed_form.ClosedFormType``; or
            ``module:Class``. Where there is a ``fit``, the class need not have the method of that name.
        config: Its settings.
        fit: ``(config, FitData) -> Fit``, where it takes epochs.
        metrics: What its validation gives beside what probes tell.
        presets: Named settings.
        description: One sentence.
    """
    return Trainable(
        name=name,
        kind="encoder",
        config=config,
        metrics=(*ENCODER_METRICS, *metrics),
        begin=partial(call, BEGIN, fit or partial(call, "trainables.closed_form:begin", implementation, PROBE)),
        load=partial(call, "trainables.closed_form:load", implementation),
        presets=presets or {},
        description=description,
    )


def supervised(
    name: str,
    module: Reference,
    config: type[Any],
    *,
    check: Reference | None = None,
    presets: Mapping[str, Mapping[str, Any]] | None = None,
    description: str,
) -> Trainable:
    """A registry entry for an encoder that learns from labels.

    Args:
        name: Its name.
        module: Its class, a ``trainables.encoders.supervised.NetworkModule``; or ``module:Class``.
        config: Its settings, those of ``SupervisedConfig`` among them.
        check: See ``trainables.trainable.Trainable``.
        presets: Named settings.
        description: One sentence.
    """
    return Trainable(
        name=name,
        kind="encoder",
        config=config,
        metrics=ENCODER_METRICS,
        begin=partial(call, BEGIN, partial(call, "trainables.encoders.supervised:SupervisedFit", module)),
        load=partial(call, "trainables.encoders.supervised:SupervisedEncoder.from_files", module),
        check=check,
        presets=presets or {},
        description=description,
    )


ENCODERS: dict[str, Trainable] = {
    entry.name: entry
    for entry in (
        encoder(
            "weights",
            "trainables.encoders.baselines:WeightsEncoder",
            WeightsConfig,
            description="The weights themselves, as they are or with hidden units matched to a reference.",
        ),
        encoder(
            "weight-statistics",
            "trainables.encoders.baselines:StatisticsEncoder",
            StatisticsConfig,
            description="Mean, variance and quantiles of each tensor, for networks of any layout.",
        ),
        encoder(
            "hyper-representation",
            "trainables.encoders.hyper_representation:HyperRepresentationEncoder",
            HyperRepresentationConfig,
            fit="trainables.encoders.hyper_representation:HyperRepresentationFit",
            metrics=(RECONSTRUCTION_R2,),
            presets=HYPER_REPRESENTATION,
            description="A transformer over neurons that contrasts and reconstructs networks (NeurIPS 2021).",
        ),
        supervised(
            "probing",
            "trainables.encoders.probing.encoder:Probing",
            ProbingConfig,
            presets=PROBING,
            description="What networks make of learned inputs, in outputs and hidden layers (ProbeGen, ICLR 2025).",
        ),
        supervised(
            "neural-graph",
            "trainables.encoders.graph.encoder:NeuralGraph",
            GraphConfig,
            presets=NEURAL_GRAPH,
            description="Units are nodes, weights and kernels edges: the order of units does not matter (ICLR 2024).",
        ),
        encoder(
            "sane",
            "trainables.encoders.sane.encoder:SaneEncoder",
            SaneConfig,
            fit="trainables.encoders.sane.encoder:SaneFit",
            metrics=(RECONSTRUCTION_R2,),
            presets=SANE,
            description="A transformer over windows of tokens with a latent each, for any layouts (SANE, ICML 2024).",
        ),
        supervised(
            "sne",
            "trainables.encoders.sne.encoder:Sne",
            SneConfig,
            presets=SNE,
            description="Attention over sets of weights, of chunks and of layers, for any layouts (arXiv 2305.16625).",
        ),
        encoder(
            "weights-and-behavior",
            "trainables.encoders.weights_and_behavior.encoder:WeightsAndBehaviorEncoder",
            WeightsAndBehaviorConfig,
            description="Statistics of weights and features of responses to stored inputs, of networks of any layout.",
        ),
        supervised(
            "nfn",
            "trainables.encoders.graph.functional:NeuralFunctional",
            FunctionalConfig,
            check="trainables.encoders.graph.functional:check",
            presets=NFN,
            description="NFN-HNP by the optional package nfn, a baseline for networks of one layout (NeurIPS 2023).",
        ),
    )
}
