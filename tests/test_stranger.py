"""What a stranger adds, one file each, goes through generate, search, fit, analyze and the report.

The modules are those of ``docs/extending.md`` and one more; they lie in the folder that the commands are run in,
outside our packages. This test is what is meant by the seams of the house.
"""

import json
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from patience import PATIENCE_S
from ray_environment import environment
from readme_blocks import modules

STRANGE = '''
"""An optimizer, an initial distribution, a loss and an architecture of a stranger's, and a recipe of all four."""

from dataclasses import replace

import mine
import torch
from zoo.architecture import Activate, Architecture, Flatten, Linear
from zoo.data import Dataset, Task
from zoo.population.optimizers import PopulationOptimizer
from zoo.recipes import Recipe


class SignDescent(PopulationOptimizer):
    def update(self, gradient):
        self.parameters.addcmul_(gradient.sign_(), self.learning_rate, value=-1)


def absolute(outputs_NC, targets_NC):
    return (outputs_NC - targets_NC).abs().mean(1)


def bottleneck(input_shape, classes, *, width=3):
    layers = (Flatten(), Linear(features=width), Activate(function="tanh"), Linear(features=classes))
    return Architecture(input_shape, layers)


def robust_diabetes():
    data = mine.diabetes()
    return Dataset("robust_diabetes", Task("strange:absolute", 1), data.train, data.validation, data.test)


RECIPE = Recipe(
    name="strange", dataset="strange:robust_diabetes", members=64, architecture="strange:bottleneck", epochs=3,
    snapshot_epochs=(0, 3), batch_size=32, block_members=2, shard_members=16,
    axes={"optimizer": "strange:SignDescent", "learning_rate": [1e-3, 1e-2]},
)
'''


class Stranger:
    """A folder with modules of one's own, and the command line run in it."""

    def __init__(self, folder):
        self.folder = folder
        for name, text in modules().items():
            (folder / name).write_text(text)
        (folder / "strange.py").write_text(STRANGE)
        self.environment = environment(folder)

    def __call__(self, *words):
        done = subprocess.run(
            [sys.executable, "-m", "cluster", *words, "--json"],
            capture_output=True, text=True, cwd=self.folder, env=self.environment, timeout=PATIENCE_S,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def results(self, report):
        return pd.read_parquet(Path(report["tables"]) / "results.parquet")


@pytest.fixture(scope="module")
def stranger(tmp_path_factory):
    return Stranger(tmp_path_factory.mktemp("stranger"))


@pytest.fixture(scope="module")
def digits(stranger):
    settings = ["--members", "96", "--epochs", "4", "--set", "block_members=2", "--set", "shard_members=32"]
    return stranger("generate", "digits-mlp-diverse", *settings)["zoo"]


@pytest.mark.slow
def test_autoencoder_codec_and_evaluator_are_searched_measured_and_reported(stranger, digits):
    found = stranger(
        "search", "digits-network-autoencoder", "--zoo", digits, "--trials", "2", "--epochs", "1",
        "--set", "trainables=my_autoencoder:GATED", "--set", "latent=16", "--set", "validation_members=8",
    )  # fmt: skip
    assert found["trials_completed"] == 2
    report = stranger(
        "analyze", "--zoo", digits, "--study", found["study_name"], "--codecs", "my_codec:BYTES,float16",
        "--evaluators", "my_evaluator:CONFIDENCE",
    )  # fmt: skip
    results = stranger.results(report).set_index("name")
    learned, own, half = (results.loc[[name]] for name in ("autoencoder", "my_codec:BYTES", "float16"))
    assert set(learned["family"]) == {"learned"}
    assert learned["agreement"].between(0, 1).all()
    assert own["code_bits_per_weight"].item() == pytest.approx(8, rel=0.02)
    assert half["code_bits_per_weight"].item() == pytest.approx(16, rel=0.02)
    assert own["confidence_low"].item() <= own["confidence"].item() <= own["confidence_high"].item()
    assert half["confidence"].item() == pytest.approx(own["confidence"].item(), abs=0.05)
    page = Path(report["report"]).read_text()
    assert all(word in page for word in ("my_codec:BYTES", "Mean probability of the likeliest class"))


@pytest.mark.slow
def test_predictor_is_fitted_measured_and_reported(stranger, digits):
    fitted = stranger("fit", "my_predictor:NORM", "--zoo", digits)
    assert fitted["config"] == {"target": "test_accuracy"}
    assert fitted["metrics"]["mean_absolute_error"] < 1
    report = stranger("analyze", "--zoo", digits, "--study", fitted["study_name"])
    assert "my_predictor:NORM" in Path(report["report"]).read_text()


@pytest.mark.slow
@pytest.mark.parametrize("recipe", ["mine:RECIPE", "strange:RECIPE"])
def test_data_task_loss_optimizer_and_architecture_are_trained_searched_and_reported(stranger, recipe):
    settings = ["--set", "block_members=2", "--set", "shard_members=16", "--members", "64", "--epochs", "3"]
    zoo = stranger("generate", recipe, *settings)["zoo"]
    found = stranger(
        "search", "digits-network-autoencoder", "--zoo", zoo, "--trials", "1", "--epochs", "1", "--set",
        "objectives=code_bits_per_weight,output_r2", "--set", "latent=4", "--set", "validation_members=8",
    )  # fmt: skip
    report = stranger("analyze", "--zoo", zoo, "--study", found["study_name"], "--codecs", "uniform,my_codec:BYTES")
    results = stranger.results(report).set_index("name")
    assert results.loc["my_codec:BYTES", "output_r2"] > 0.5
    assert "my_codec:BYTES" in Path(report["report"]).read_text()
    card = stranger("card", zoo)
    assert zoo in Path(card["card"]).read_text()
