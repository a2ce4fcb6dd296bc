"""``docs/tutorial.ipynb`` runs from a folder of its own, its cells one after the other, and shows what it promises."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from ray_environment import environment

NOTEBOOK = json.loads((Path(__file__).resolve().parents[1] / "docs/tutorial.ipynb").read_text())
CELLS = ["".join(cell["source"]) for cell in NOTEBOOK["cells"] if cell["cell_type"] == "code"]


def test_outputs_are_left_out():
    assert {cell["execution_count"] for cell in NOTEBOOK["cells"] if cell["cell_type"] == "code"} == {None}
    assert not any(cell.get("outputs") for cell in NOTEBOOK["cells"])


@pytest.mark.slow
def test_cells_run(tmp_path):
    (tmp_path / "tutorial.py").write_text("\n\n".join(CELLS))
    done = subprocess.run(
        [sys.executable, "tutorial.py"], cwd=tmp_path, env=environment(tmp_path), capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert "would import state-dicts: 48 networks of 1,210 parameters at epochs 8" in done.stdout
    assert "True" in done.stdout.splitlines()
    assert "function-metric" in done.stdout
    (report,) = (tmp_path / "store/reports").glob("*/report.html")
    assert str(report) in done.stdout
