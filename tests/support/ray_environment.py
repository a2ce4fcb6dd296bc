"""The environment of test processes that start a Ray of their own, and how long tests wait for them."""

import os
import time
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
# For what takes seconds on an idle machine: a start of Ray has taken two minutes on one that others used.
PATIENCE_S = 400


def wait(condition: Callable[[], object], each_s: float = 0.02) -> bool:
    """Waits until something is true; whether it is."""
    deadline = time.monotonic() + PATIENCE_S
    while not (true := bool(condition())) and time.monotonic() < deadline:
        time.sleep(each_s)
    return true


def environment(tmp_path: Path) -> dict[str, str]:
    """Keeps Ray's token, and what is remembered of this machine, out of the home folder."""
    token = tmp_path / "token"
    token.write_text("0123456789abcdef" * 4)
    kept = {k: v for k, v in os.environ.items() if not k.startswith("RAY_")}
    return {
        **kept,
        "RAY_ADDRESS": "local",
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN_PATH": str(token),
        "XDG_CACHE_HOME": str(tmp_path / "cache"),
        "OMP_NUM_THREADS": "1",
        "PYTHONPATH": str(ROOT),
    }
