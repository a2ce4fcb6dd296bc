"""The README's Python blocks run as they stand, one after the other, beside a store with the zoo that they name.

Those that are files of a user's are tried in ``test_stranger``, commands in ``test_documented_commands``.
"""

import re
from dataclasses import replace

import pytest
import torch
from encoder_study import write_encoders
from readme_blocks import blocks, modules

from analysis.analyze import analyze
from analysis.statistics.intervals import Bootstrap
from zoo.generation.build import generate_zoo
from zoo.recipes import DIGITS_MLP_DIVERSE, find_recipe
from zoo.storage.store import Store

# Numbers that keep the blocks' meaning and shorten the wait.
SHORTER = (
    ('"epochs": 5', '"epochs": 1'),
    ("members, mine, epochs=20", "members, mine, epochs=1"),
    ("epochs=20, snapshot_epochs=[20]", "epochs=1, snapshot_epochs=[1]"),
)


def write_nets(folder):
    """Checkpoints of one's own: MLPs of two widths, one of them the zoo's, trained for no time at all."""
    folder.mkdir()
    for seed, width in enumerate((16, 16, 24)):
        torch.manual_seed(seed)
        layers = (torch.nn.Flatten(), torch.nn.Linear(64, width), torch.nn.ReLU(), torch.nn.Linear(width, 10))
        torch.save(torch.nn.Sequential(*layers).state_dict(), folder / f"net-{seed}.pt")


@pytest.mark.slow
def test_python_blocks_run(tmp_path, monkeypatch, capsys):
    pytest.importorskip("duckdb")
    recipe = replace(DIGITS_MLP_DIVERSE, members=192, epochs=2, snapshot_epochs=(0, 1, 2))
    generate_zoo(recipe, str(tmp_path / "store"))
    monkeypatch.chdir(tmp_path)
    names = {}
    runnable = [block for block in blocks() if block not in modules().values()]
    assert len(runnable) == 6
    write_nets(tmp_path / "nets")
    for block in runnable:
        for old, new in SHORTER:
            block = block.replace(old, new)
        exec(block, names)
    out = capsys.readouterr().out
    assert "adamw" in out
    assert out.count("bits per weight") == 2
    assert "avg(test_accuracy)" in out
    assert re.findall(r'"origin":"(net-\d)"} has a predicted accuracy of', out) == ["net-0", "net-1", "net-2"]
    assert "(1210,)" in out
    assert "trained by a learned gradient: torch.Size([16, 2410])" in out


def test_the_files_of_the_readme_are_those_that_are_tried():
    assert set(modules()) == {
        "mine.py",
        "my_autoencoder.py",
        "my_codec.py",
        "my_encoder.py",
        "my_evaluator.py",
        "my_predictor.py",
    }


def test_own_regression_of_the_readme_is_trained(tmp_path, monkeypatch):
    (tmp_path / "mine.py").write_text(modules()["mine.py"])
    monkeypatch.syspath_prepend(tmp_path)
    frame = generate_zoo(find_recipe("mine:RECIPE"), str(tmp_path / "store"), members=16).members
    assert frame.groupby("epoch").test_r2.mean().is_monotonic_increasing
    assert frame.test_r2.max() > 0.4


def test_own_evaluator_of_the_readme_is_measured(tmp_path, monkeypatch, small_zoo):
    (tmp_path / "my_evaluator.py").write_text(modules()["my_evaluator.py"])
    monkeypatch.syspath_prepend(tmp_path)
    analysis = analyze(
        small_zoo,
        codecs=["float16"],
        evaluators=["my_evaluator:CONFIDENCE"],
        inputs=["noise-0.1"],
        bootstrap=Bootstrap(replicates=10),
    )
    found = analysis.results[0].metrics
    assert found["confidence"].estimate >= 0.1, "the largest of ten shares"
    assert 0 < found["confidence"].low <= found["confidence"].estimate <= found["confidence_noise_0_1"].high <= 1


def test_own_encoder_is_compared(tmp_path, monkeypatch, small_zoo):
    (tmp_path / "my_encoder.py").write_text(modules()["my_encoder.py"])
    monkeypatch.syspath_prepend(tmp_path)
    study = write_encoders(Store(tmp_path / "store"), small_zoo, {"my_encoder:SPECTRA": 1, "weights": 1})
    analysis = analyze(small_zoo, study, bootstrap=Bootstrap(replicates=10))
    asked = ("test_accuracy", "last snapshots")
    told = {r.name: r for r in analysis.results if (r.question.target, r.question.snapshots) == asked}
    assert told["my_encoder:SPECTRA"].metrics["r2"].estimate > told["training mean"].metrics["r2"].estimate
