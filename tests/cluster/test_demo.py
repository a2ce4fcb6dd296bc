"""One pulse through the whole house: generate, search, analyze, and all of it reused."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from patience import PATIENCE_S
from ray_environment import environment


def run_demo(tmp_path, *more):
    options = [
        "--members",
        "128",
        "--trials",
        "2",
        "--epochs",
        "1",
        "--store",
        str(tmp_path / "store"),
        "--json",
        *more,
    ]
    done = subprocess.run(
        [sys.executable, "-m", "cluster", "demo", *options],
        env=environment(tmp_path), cwd=tmp_path, capture_output=True, text=True, timeout=PATIENCE_S,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.slow
def test_demo_runs_and_is_reused(tmp_path):
    first = run_demo(tmp_path)
    assert first["zoo"]["members"] == 128
    assert first["study"]["trials_completed"] == 2
    assert first["report"]["new"]
    report = Path(first["report"]["report"])
    assert "<html" in report.read_text()[:500]
    assert {headline["codec"] for headline in first["report"]["headlines"]} >= {"function-metric", "autoencoder"}
    written = report.stat().st_mtime_ns

    ahead = run_demo(tmp_path, "--dry-run")
    assert (ahead["generate"]["seconds"], ahead["search"]["missing_trials"]) == (0, 0)

    second = run_demo(tmp_path)
    assert second["zoo"] == {**first["zoo"], "trained_members": 0, "seconds": second["zoo"]["seconds"]}
    assert second["study"]["new_trials"] == 0
    assert not second["report"]["new"]
    assert report.stat().st_mtime_ns == written
