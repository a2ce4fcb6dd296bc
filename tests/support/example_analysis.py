"""An analysis with realistic figures, for the tests of what is made from one."""

import math
from dataclasses import replace

import numpy as np
import pandas as pd

from analysis.compression.headlines import headlines, pareto
from analysis.evaluators.agreement import AGREEMENT
from analysis.evaluators.registry import EVALUATORS
from analysis.measuring.results import SIZE, Measured, Result
from analysis.record import Analysis
from trainables.study_files import StudyFolder, StudyRecord
from zoo.config import to_json
from zoo.metric import Metric
from zoo.recipes import DIGITS_MLP_DIVERSE
from zoo.storage.store import Store

PARAMETERS = 1210


METRICS = {
    measure.metric.name: measure.metric for evaluator in EVALUATORS.values() for measure in evaluator.measures
} | {"agreement_translation_1": replace(AGREEMENT.measures[0].metric, name="agreement_translation_1")}


def measured(**values):
    """Metrics by name; a value, or (value, low, high). Those that no evaluator declares are sizes."""
    found = {}
    for name, value in values.items():
        metric = SIZE.get(name) or METRICS.get(name) or Metric(name=name, label=name, description="An excess.")
        found[name] = Measured(
            metric=metric, **dict(zip(("estimate", "low", "high"), np.atleast_1d(value), strict=False))
        )
    return found


def make_result(
    codec, family, setting, rate, agreement, *, shared=0, trial=None, constant=False, seed=0, fits=1, **changes
):
    """A result with the figures that a codec of that rate and agreement would plausibly have.

    Changes are metrics; ``None`` leaves one out.
    """
    stream = np.random.default_rng([seed, int(1000 * agreement)])
    lost = 1 - agreement
    members = 120
    original_M = np.clip(stream.normal(0.86, 0.1, members), 0.2, 0.98)
    if constant:
        reconstructed_M = np.full(members, 0.93)
    else:
        reconstructed_M = np.clip(original_M - stream.normal(0.15 * lost, 0.35 * lost + 1e-9, members), 0.05, 1)
    shift = float(100 * np.abs(reconstructed_M - original_M).mean())
    drop = float(100 * (original_M - reconstructed_M).mean())
    residual = float(((reconstructed_M - original_M) ** 2).sum() / ((original_M - original_M.mean()) ** 2).sum())
    metrics = {
        "code_bits_per_weight": rate,
        "shared_bytes": shared,
        "agreement": (agreement, agreement - 0.12 * lost, agreement + 0.12 * lost),
        "agreement_p5": agreement - 1.4 * lost,
        "agreement_translation_1": agreement - 1.2 * lost,
        "accuracy_shift_pp": (shift, 0.85 * shift, 1.15 * shift),
        "accuracy_drop_pp": (drop, drop - 0.2 * shift, drop + 0.2 * shift),
        "accuracy_original": float(original_M.mean()),
        "accuracy_reconstructed": float(reconstructed_M.mean()),
        "accuracy_r2": 1 - residual,
        "kl": (1.8 * lost**1.6, 1.5 * lost**1.6, 2.1 * lost**1.6),
        "kl_p95": 5 * lost**1.6,
        "weight_mse": 0.04 * lost,
        "relative_l2": math.sqrt(lost),
        "code_bits_per_weight_single": rate * 1.3 + 0.03,
        "code_bits_per_weight_all": rate * 0.99,
        "payload_bytes": rate * PARAMETERS * members / 8,
        "encode_s": 0.0031,
        "decode_s": 0.0007,
        "excess_agreement": agreement - 0.712,
    }
    return Result(
        name=codec,
        family=family,
        setting=setting,
        trial=trial,
        fits=fits,
        members=members,
        groups=15,
        parameters=PARAMETERS,
        examples=360,
        metrics=measured(**{name: value for name, value in (metrics | changes).items() if value is not None}),
        values={
            "accuracy_original": tuple(original_M.tolist()),
            "accuracy_reconstructed": tuple(reconstructed_M.tolist()),
            "agreement": (agreement,) * members,
        },
    )


CURVES = {
    "function-metric": (
        "step",
        [(0.14, 0.932), (0.21, 0.957), (0.3, 0.9715), (0.46, 0.982), (0.7, 0.989), (1.1, 0.994)],
        41_000,
    ),
    "uniform": ("step", [(0.55, 0.62), (1.02, 0.83), (1.6, 0.914), (2.45, 0.968), (3.4, 0.986), (5.2, 0.9965)], 0),
    "kmeans": ("clusters", [(1.02, 0.66), (1.6, 0.85), (2.1, 0.924), (3.3, 0.974), (6.1, 0.9985)], 0),
    "sz3": ("bound", [(0.7, 0.58), (1.4, 0.86), (2.3, 0.951), (3.9, 0.988), (7.7, 0.9993)], 0),
    "pruning": ("keep", [(1.1, 0.33), (2.9, 0.61), (5.6, 0.88), (14.8, 0.995)], 0),
    "pca": ("components", [(0.11, 0.79), (0.52, 0.871), (1.9, 0.933), (3.1, 0.958)], 1_240_000),
    "float16": ("", [(16.01, 0.99987)], 0),
    "zstd": ("", [(27.1, 1.0)], 0),
}
CONTROLS = [("mean weights", 0.651), ("constant member", 0.712), ("mean latent", 0.684), ("random network", 0.103)]
TRIALS = [
    (3, 0.12, 0.905, 210_000),
    (7, 0.2, 0.941, 160_000),
    (9, 0.31, 0.962, 233_000),
    (12, 0.38, 0.9735, 251_000),
    (14, 0.66, 0.979, 254_000),
]


def make_analysis(results=None, *, study=True, **changes):
    """An analysis as ``analyze`` would give it on a digits zoo."""
    if results is None:
        results = [
            *(
                make_result(codec, "classical", f"{name}={number}" if name else "", rate, agreement, shared=shared)
                for codec, (name, points, shared) in CURVES.items()
                for number, (rate, agreement) in enumerate(points)
            ),
            *(
                make_result(name, "control", "", 0.0004, agreement, shared=2 * PARAMETERS, constant=True, seed=4)
                for name, agreement in CONTROLS
            ),
            make_result("index", "control", "known=4000", 0.0093, 0.774, shared=4_800_000),
        ]
        if study:
            results = [
                *(
                    make_result(
                        "autoencoder",
                        "learned",
                        f"quantized, latent {16 * trial}",
                        rate,
                        agreement,
                        shared=shared,
                        trial=trial,
                    )
                    for trial, rate, agreement, shared in TRIALS
                ),
                *results,
            ]
    trials = pd.DataFrame(
        {
            "trial": range(16),
            "state": ["COMPLETE"] * 15 + ["FAIL"],
            "view": ["standardized", "function"] * 8,
            "canonical": [True] * 16,
            "latent": [16.0 * (1 + n % 6) for n in range(15)] + [math.nan],
            "rate_loss": [10 ** (-4 + n / 5) for n in range(16)],
            "code_bits_per_weight": [*(0.08 + 0.05 * n for n in range(15)), math.nan],
            "agreement": [*(0.99 - 0.2 / (n + 1) for n in range(15)), math.nan],
            "shared_bytes": [150_000.0 + n for n in range(15)] + [math.nan],
            "seconds": [21.5 + n for n in range(16)],
            "failure": [None] * 15 + ["ValueError: " + "loss is not finite; " * 20],
            "note": [None] * 16,
        }
    )
    importances = {
        "code_bits_per_weight": {"latent": 0.61, "rate_loss": 0.3, "view": 0.09},
        "agreement": {"latent": 0.42, "rate_loss": 0.25, "view": 0.33},
    }
    search = {
        "trainables": ["neuron-autoencoder"],
        "spaces": ["neuron-autoencoder"],
        "limits": {},
        "trials": 16,
        "epochs": 5,
        "settings": {"latent": 8},
    }
    record = {"kind": "autoencoder", "study": search, "importances": importances}
    folder = StudyFolder(Store("memory://"), "digits-tradeoff-9f8e7d6c")
    studies = (StudyRecord(folder, record, trials),) if study else ()
    fields = {
        "results": results,
        "summary": {
            "kind": "codecs",
            "zoo": "digits-mlp-diverse-1a2b3c4d",
            "zoo_digest": "1a2b3c4d" * 8,
            "zoo_content_sha256": "ab" * 32,
            "zoo_members": 2000,
            "recipe": to_json(DIGITS_MLP_DIVERSE),
            "dataset": "digits",
            "parameters": PARAMETERS,
            "training_snapshots": 5600,
            "training_snapshots_diverged": 3,
            "test_members_diverged": 2,
            "codecs_left_out": [],
            "test_members": 120,
            "test_groups": 15,
            "grouped": True,
            "intervals": "95 % intervals are by groups of members that share a minibatch order.",
            "codecs": [*CURVES, *(name for name, _ in CONTROLS), "index"],
            "test_examples": 360,
            "inputs": ["translation-1"],
            "evaluators_left_out": {},
            "added_evaluators": [],
            "chosen_codecs": None,
            "seed": 0,
            "layout": None,
            "score": "accuracy_original",
            "score_label": "original accuracy",
            "score_mean": 0.861,
            "score_sd": 0.104,
            "score_min": 0.212,
            "score_max": 0.981,
            "pairwise_agreement": 0.803,
            "quality": "agreement",
            "zero_rate": 0.712,
            "canonicalization": {"agreement": 1.0, "agreement_p5": 1.0, "agreement_translation_1": 0.9971},
            "studies": [{"study": found.name, "search": search, "trials": 16, "seeds": 1} for found in studies],
            "seeds": 1 if study else 0,
        },
        "headlines": headlines(results),
        "pareto": pareto(results),
        "random_results": [make_result("uniform", "control", "step=3", 2.6, 0.902)],
        "studies": studies,
    }
    return Analysis(**(fields | changes))
