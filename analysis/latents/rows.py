"""Rows of an analysis that look into autoencoders: one for each of some trials, with what its figures are made of.

Shape letters: M members, Z latent width of a network, K latents looked at, R pairs of members.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch

from analysis.compression.codec_rows import trial_setting
from analysis.compression.setup import Setup
from analysis.evaluators.evaluator import Subject
from analysis.latents.attention import attention_maps
from analysis.latents.effects import Effects, effects, latent_names, layer_names
from analysis.latents.interpolation import PLACES, accuracy_along, barriers, latent_way, pairs_of, weight_way
from analysis.measuring.evaluating import measure
from analysis.measuring.evaluation import Evaluation
from analysis.measuring.results import Measured, Result
from analysis.measuring.rows import Row, fits_content
from analysis.reading.maps import maps_of, paths_of, some_of
from analysis.reading.members import Members
from analysis.statistics.groups import evenly_spaced
from analysis.statistics.intervals import Bootstrap
from trainables.autoencoders.autoencoder import Latent
from trainables.autoencoders.learned_codec import LearnedCodec
from trainables.codecs.codec import Codec
from trainables.encoders.encoder import differing
from trainables.readouts.columns import is_numeric
from trainables.study_files import StudyRecord
from zoo.metric import Metric

FAMILY = "latents"
# Trials that are looked into, evenly spaced on the Pareto front: figures of more cannot be compared at a glance.
MOST_TRIALS = 3
# Training networks whose mean latent and deviations are taken; networks and test examples on which effects are
# measured; networks whose own payloads are.
KNOWN, MOVED, MOVED_ON, ALONE = 1000, 12, 16, 100
LATENT_WIDTH = Metric(name="latent_width", label="numbers in a latent", description="Of one network.")
CARRYING = Metric(
    name="carrying_latents",
    label="latents that carry 90 %",
    description="So many latents make up 90 % of the summed squared effect on outputs of a step of one standard"
    " deviation in each, to first order.",
)
WAYS = {
    "latents": "between latents",
    "matched": "between weights matched with each other",
    "common": "between weights matched with one network",
    "weights": "between weights as they are",
}
HALFWAY = {
    way: Metric(
        name=f"halfway_{way}",
        label=f"accuracy halfway {words}",
        unit="share",
        direction="max",
        description=f"Accuracy in the middle of the straight line {words} of two networks; the mean over pairs, which"
        " intervals take as independent.",
    )
    for way, words in WAYS.items()
}
BARRIER = {
    way: Metric(
        name=f"barrier_{way}_pp",
        label=f"barrier {words}",
        unit="pp",
        direction="min",
        description="How far accuracy falls, at most, below the straight line between both ends' on the way"
        f" {words}; the mean over pairs, which intervals take as independent.",
    )
    for way, words in WAYS.items()
}


def latent_rows(study: StudyRecord, codecs: Mapping[int, Sequence[Codec]], setup: Setup) -> list[Row]:
    """A row for each of some trials of autoencoders, of which the first fit is looked into.

    Args:
        study: A study.
        codecs: Of its measured trials the fits.
        setup: What is measured.
    """
    trials = [trial for trial, fits in codecs.items() if isinstance(fits[0], LearnedCodec)]
    chosen = [trials[place] for place in evenly_spaced(len(trials), MOST_TRIALS)]
    return [_row(study, trial, codecs[trial][0], setup) for trial in chosen]


def _row(study: StudyRecord, trial: int, codec: Codec, setup: Setup) -> Row:
    called: dict[str, Any] = {
        "name": study.trainable(trial).name,
        "setting": trial_setting(study.config(trial)),
        "family": FAMILY,
        "trial": trial,
    }
    content = {"looked into": fits_content(study, trial, [codec]), **setup.content(fitted=True, untrained=False)}
    return Row(**called, content=content, measure=lambda: look(codec, setup, called))  # type: ignore[arg-type]


def look(codec: LearnedCodec, setup: Setup, called: Mapping[str, Any]) -> Result:
    """All that is found of one autoencoder, on test members; means and deviations of latents are training members'.

    Args:
        codec: The autoencoder as a codec.
        setup: What it is measured on.
        called: Name, setting, family and trial of the row.
    """
    population = setup.original.population
    training = setup.training
    known = codec.autoencoder.encode(training.select(evenly_spaced(len(training), KNOWN)))
    latent = codec.autoencoder.encode(population)
    some = evenly_spaced(len(population), MOVED)
    moved, x = population.select(some), setup.evaluation.test.examples.first(MOVED_ON).inputs
    deviation_Z = known.values_MZ.std(0)
    found = effects(codec.receiver, latent.select(some), deviation_Z, moved, x)
    blocks = layer_names(len(codec.autoencoder.indices))
    attention = attention_maps(codec.autoencoder, moved, latent.select(some), blocks)
    on_the_way = _interpolation(codec, setup, latent)
    return Result(
        **called,
        fits=1,
        members=len(population),
        groups=len(np.unique(setup.evaluation.groups(population))),
        parameters=population.parameters,
        examples=len(setup.evaluation.test),
        metrics={
            LATENT_WIDTH.name: Measured(metric=LATENT_WIDTH, estimate=latent.values_MZ.shape[1]),
            CARRYING.name: Measured(metric=CARRYING, estimate=found.carrying),
            **_measured(on_the_way, setup.evaluation.bootstrap),
        },
        details={
            "map": _map(codec, setup),
            "effects": _told(codec, found, latent),
            "kept": _kept(codec, setup, latent, known, found),
            "attention": [dataclasses.asdict(one) for one in attention],
            "interpolation": {way: _rounded(accuracy_RT) for way, accuracy_RT in on_the_way.items()},
            "alone": _alone(codec, setup),
        },
    )


def _interpolation(codec: LearnedCodec, setup: Setup, latent: Latent) -> dict[str, np.ndarray]:
    """Accuracy along each of the ways, ``[R, places]``; none where there are no classes or no two networks alike."""
    population, data = setup.original.population, setup.evaluation.test
    pairs_R2 = pairs_of(population)
    if not data.dataset.task.has_classes or not len(pairs_R2):
        return {}
    ways = {
        "latents": latent_way(codec.receiver, latent, pairs_R2),
        "matched": weight_way(population, pairs_R2, matched=True),
        # As the autoencoder sees them, and as all codecs do.
        "common": weight_way(population, pairs_R2, matched=False),
        "weights": weight_way(setup.raw, pairs_R2, matched=False),
    }
    first = population.select(pairs_R2[:, 0])
    return {name: accuracy_along(way, first, data) for name, way in ways.items()}


def _measured(on_the_way: Mapping[str, np.ndarray], bootstrap: Bootstrap) -> dict[str, Measured]:
    """Accuracy halfway and barriers, with intervals over pairs."""
    measured = {}
    for way, accuracy_RT in on_the_way.items():
        halfway_R = accuracy_RT[:, PLACES.index(0.5)]
        for metric, values_R in ((HALFWAY[way], halfway_R), (BARRIER[way], barriers(accuracy_RT))):
            found = bootstrap.interval(values_R[:, None], most=1.0 if metric.unit == "share" else np.inf)
            measured[metric.name] = Measured.of(metric, found)
    return measured


def _map(codec: LearnedCodec, setup: Setup) -> dict[str, Any]:
    """Latents of the test members' snapshots in two dimensions, and what is known of these."""
    every = setup.zoo.population("test", members=setup.members, architecture=setup.architecture)
    members = some_of(Members(populations=(every,)))
    population = every if members.rows is None else every.select(members.rows.tolist())
    latent = codec.autoencoder.encode(setup.canonical(population))
    names = dict.fromkeys([*differing(members.column), "epoch"])
    return {
        "maps": [
            {"name": one.name, "places": _rounded(one.places_M2), "axes": list(one.axes)}
            for one in maps_of("", latent.values_MZ.double().numpy())
        ],
        "columns": {name: _plain(members.target(name)) for name in names},
        "paths": [rows.tolist() for rows in paths_of(members)],
    }


def _told(codec: LearnedCodec, found: Effects, latent: Latent) -> dict[str, Any]:
    """Effects with the names of latents and layers."""
    names = latent_names(codec.receiver.decoder, latent.values_MZ.shape[1])
    return {
        "latents": [names[place] for place in found.latents_K.tolist()],
        "layers": layer_names(found.layers_KL.shape[1]),
        "of_layers": _rounded(found.layers_KL.numpy()),
        "of_outputs": _rounded(found.outputs_K.numpy()),
        "order": found.order.tolist(),
        "all": latent.values_MZ.shape[1],
    }


def _kept(codec: LearnedCodec, setup: Setup, latent: Latent, known: Latent, found: Effects) -> dict[str, Any]:
    """What is left where only the latents that move outputs most are kept, the others at their training mean."""
    first = found.latents_K[found.order]
    others = torch.tensor(sorted(set(range(latent.values_MZ.shape[1])) - set(first.tolist())), dtype=torch.int64)
    order_Z = torch.cat([first, others])
    counts = [0, *(2**power for power in range(20) if 2**power < len(order_Z)), len(order_Z)]
    judged = dataclasses.replace(_judged(setup.evaluation), bootstrap=Bootstrap(replicates=2))
    mean_MZ, kept = known.values_MZ.mean(0).repeat(len(setup.original), 1), []
    for count in counts:
        values_MZ = mean_MZ.clone()
        values_MZ[:, order_Z[:count]] = latent.values_MZ[:, order_Z[:count]]
        weights_MP = codec.receiver.weights(values_MZ, latent.gain_M)
        subject = Subject(setup.original.population.with_weights(weights_MP), f"networks of {count} latents")
        metrics, _ = measure(judged, [subject], setup.original)
        kept.append(metrics["agreement" if "agreement" in metrics else "output_r2"].estimate)
    return {"counts": counts, "quality": kept}


def _alone(codec: LearnedCodec, setup: Setup) -> dict[str, Any]:
    """Of some members the bytes of a payload of their own, and what their reconstructions keep."""
    rows = evenly_spaced(len(setup.original), ALONE)
    population = setup.original.population.select(rows)
    symbols = codec.symbols(population)
    rebuilt = Subject(population.with_weights(codec.decompress(codec.payload(symbols))), codec.name)
    judged = _judged(setup.evaluation, "accuracy-change")
    _, values = measure(dataclasses.replace(judged, bootstrap=Bootstrap(replicates=2)), [rebuilt], Subject(population))
    wanted = ("agreement", "output_r2", "accuracy_original")
    return {
        "bytes": [len(codec.payload(symbols.select([row]))) for row in range(len(rows))],
        "members": [setup.members[row] for row in rows],
        **{name: _rounded(np.array(values[name])) for name in wanted if name in values},
    }


def _judged(evaluation: Evaluation, *names: str) -> Evaluation:
    return evaluation.only("agreement", "outputs", *names)


def _plain(values_M: np.ndarray) -> list[Any]:
    """Numbers, ``None`` where unknown, or names."""
    if not is_numeric(values_M):
        return [str(value) for value in values_M]
    return [float(f"{value:.5g}") if np.isfinite(value) else None for value in values_M.astype(float)]


def _rounded(values: np.ndarray) -> list[Any]:
    """As nested lists, of five digits."""
    rounded: list[Any] = np.vectorize(lambda value: float(f"{value:.5g}"), otypes=[float])(values).tolist()
    return rounded
