"""The README's Python blocks run as they stand, one after the other, beside a store with the zoo that they name."""

import re
from dataclasses import replace
from pathlib import Path

import pytest

from analysis.analyze import analyze
from analysis.intervals import Bootstrap
from trainables.fit_data import fit_data
from trainables.registry import find_trainable
from trainables.trainable import run
from zoo.data import load_dataset
from zoo.generation.build import generate_zoo
from zoo.recipes import DIGITS_MLP_DIVERSE, find_recipe

README = Path(__file__).parent.parent / "README.md"
# Numbers that keep the blocks' meaning and shorten the wait.
SHORTER = (
    ('"epochs": 5', '"epochs": 1'),
    ("epochs=20, snapshot_epochs=[20]", "epochs=1, snapshot_epochs=[1]"),
)


def blocks():
    return re.findall(r"```python\n(.*?)```", README.read_text(), flags=re.DOTALL)


@pytest.mark.slow
def test_python_blocks_run(tmp_path, monkeypatch, capsys):
    pytest.importorskip("duckdb")
    recipe = replace(DIGITS_MLP_DIVERSE, members=192, epochs=2, snapshot_epochs=(0, 1, 2))
    generate_zoo(recipe, str(tmp_path / "store"))
    monkeypatch.chdir(tmp_path)
    names = {}
    runnable = [block for block in blocks() if not re.match(r"# \w+\.py", block)]  # those are files
    assert len(runnable) == 4
    for block in runnable:
        for old, new in SHORTER:
            block = block.replace(old, new)
        exec(block, names)
    out = capsys.readouterr().out
    assert "adamw" in out
    assert out.count("bits per weight") == 2
    assert "avg(test_accuracy)" in out
    assert "(1210,)" in out


def test_own_recipe_of_the_readme_fits_its_data(tmp_path, monkeypatch):
    (block,) = (block for block in blocks() if block.startswith("# mine.py"))
    images = "import numpy as np\npixels, labels = np.zeros((6026, 1, 8, 8), np.uint8), np.arange(6026) % 26\n"
    (tmp_path / "mine.py").write_text(images + block)
    monkeypatch.syspath_prepend(tmp_path)
    recipe = find_recipe("mine:RECIPE")
    recipe.check_data(load_dataset(recipe.dataset))
    assert {recipe.member(index).optimizer for index in range(0, 64, 16)} == {"adam", "sgd"}


def test_own_regression_of_the_readme_is_trained(tmp_path, monkeypatch):
    (block,) = (block for block in blocks() if block.startswith("# patients.py"))
    (tmp_path / "patients.py").write_text(block)
    monkeypatch.syspath_prepend(tmp_path)
    zoo = generate_zoo(find_recipe("patients:RECIPE"), str(tmp_path / "store"), members=16)
    frame = zoo.members
    assert frame.groupby("epoch").test_r2.mean().is_monotonic_increasing
    assert frame.test_r2.max() > 0.4


@pytest.mark.slow
def test_own_autoencoder_of_the_readme_becomes_a_codec(tmp_path, monkeypatch, small_zoo):
    (block,) = (block for block in blocks() if block.startswith("# my_autoencoder.py"))
    (tmp_path / "my_autoencoder.py").write_text(block)
    monkeypatch.syspath_prepend(tmp_path)
    trainable, data = find_trainable("my_autoencoder:GATED"), fit_data(small_zoo)
    codec = run(trainable.fit(trainable.configuration({"latent": 16, "epochs": 1}), data)).artifact()
    codec = trainable.from_files(codec.to_files())
    population = data.training[0]
    assert codec.decompress(codec.compress(population)).shape == population.weights_MP.shape


def test_own_evaluator_of_the_readme_is_measured(tmp_path, monkeypatch, small_zoo):
    (block,) = (block for block in blocks() if block.startswith("# my_evaluator.py"))
    (tmp_path / "my_evaluator.py").write_text(block)
    monkeypatch.syspath_prepend(tmp_path)
    analysis = analyze(
        small_zoo,
        codecs=["float16"],
        evaluators=["my_evaluator:CONFIDENCE"],
        inputs=["noise-0.1"],
        members=4,
        bootstrap=Bootstrap(replicates=10),
    )
    found = analysis.results[0].metrics
    assert 0.1 <= found["confidence"].low <= found["confidence"].estimate <= found["confidence_noise_0_1"].high <= 1
