"""One pulse through the whole house: generate, search, analyze, and all of it reused."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PATIENCE_S = 300
REUSE_S = 30


def run_demo(tmp_path, *more):
    token = tmp_path / "token"
    token.write_text("0123456789abcdef" * 4)
    environment = {
        **{k: v for k, v in os.environ.items() if not k.startswith("RAY_")},
        "RAY_ADDRESS": "local",
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN_PATH": str(token),
        "PYTHONPATH": str(ROOT),
    }
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
        env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=PATIENCE_S,
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

    started = time.monotonic()
    second = run_demo(tmp_path)
    assert time.monotonic() - started < REUSE_S
    assert second["zoo"] == first["zoo"]
    assert second["study"]["new_trials"] == 0
    assert not second["report"]["new"]
    assert report.stat().st_mtime_ns == written
