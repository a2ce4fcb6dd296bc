"""Compiled kernels on disk: never stale, nobody else's business, not needed."""

import ast
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytest.importorskip("numba")

import numba

import zoo
from zoo.training.lanes import cache
from zoo.training.lanes.backend import load_kernel

ROOT = Path(zoo.__file__).parent.parent
COMPILED = ["vectors", "product", "functions", "inputs", "layers", "pooling", "norms", "updates", "kernel"]


def test_an_edit_of_any_source_changes_the_directory(tmp_path):
    copies = [Path(shutil.copy(file, tmp_path / f"{i}-{file.name}")) for i, file in enumerate(cache.sources())]
    seen = {cache.kernel_digest(copies)}
    for copy in copies:
        copy.write_text(copy.read_text() + "\n")
        seen.add(cache.kernel_digest(copies))
    assert len(seen) == len(copies) + 1


def test_versions_and_processor_change_the_directory(monkeypatch):
    before = cache.kernel_digest([])
    for change in (
        lambda m: m.setattr(numba, "__version__", "0"),
        lambda m: m.setattr("llvmlite.__version__", "0"),
        lambda m: m.setattr(cache, "cpu", lambda: ("other", frozenset())),
    ):
        with monkeypatch.context() as patch:
            change(patch)
            assert cache.kernel_digest([]) != before
    assert cache.kernel_digest([]) == before


def test_every_module_that_machine_code_takes_constants_from_is_a_source():
    known = {file.resolve() for file in cache.sources()}
    for name in COMPILED:
        for node in ast.walk(ast.parse((cache.HERE / f"{name}.py").read_text())):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("zoo."):
                module = ROOT / str(node.module).replace(".", "/")
                file = module / "__init__.py" if module.is_dir() else module.with_suffix(".py")
                assert file.resolve() in known, f"{name}.py imports {node.module}, of which the digest knows nothing"


def test_other_functions_keep_their_own_cache(tmp_path, monkeypatch):
    assert not isinstance(load_kernel(), str)
    monkeypatch.setattr(numba.config, "CACHE_DIR", str(tmp_path / "users"))
    monkeypatch.setattr(Path, "home", lambda: tmp_path)
    entry = cache.compiled_entry(nothing)
    assert str(tmp_path / "users") == numba.config.CACHE_DIR
    (kept,) = (tmp_path / ".cache" / "zooscale" / "kernels").iterdir()
    assert entry(3) == 3
    assert [file.suffix for file in sorted(kept.rglob("*.nb?"))] == [".nbc", ".nbi"]
    assert not (tmp_path / "users").exists()


def nothing(x):
    return x


def test_where_nothing_can_be_written_the_kernel_is_compiled_each_time(tmp_path, monkeypatch):
    (tmp_path / ".cache").write_text("a file, not a folder")
    monkeypatch.setattr(Path, "home", lambda: tmp_path)
    assert cache.kernel_directory() is None
    assert cache.compiled_entry(nothing)(4) == 4
    assert [file.name for file in tmp_path.rglob("*")] == [".cache"]


def test_a_machine_user_without_a_home_is_no_error(monkeypatch):
    def homeless():
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "home", homeless)
    assert cache.kernel_directory() is None


def test_kernels_that_nobody_used_for_a_month_are_removed(tmp_path, monkeypatch):
    monkeypatch.setattr(Path, "home", lambda: tmp_path)
    kernels = tmp_path / ".cache" / "zooscale" / "kernels"
    for name, days in (("recent", 29), ("old", 31)):
        (kernels / name / "lanes").mkdir(parents=True)
        os.utime(kernels / name, (0, time.time() - days * 86_400))
    mine = cache.kernel_directory()
    assert {directory.name for directory in kernels.iterdir()} == {"recent", mine.name}


TRAIN = """
import torch
from zoo.architecture import mlp
from zoo.data.examples import Examples
from zoo.training.lanes import logits
architecture = mlp((1, 1, 1), (1,), 1, bias=False, activation="leaky_relu")
images = Examples(torch.ones(1, 1, 1, 1, dtype=torch.uint8), torch.zeros(1, dtype=torch.int64), 1.0)
print(float(logits(architecture, torch.tensor([[-1.0, 1.0]]), images)))
"""


@pytest.fixture(scope="module")
def copied(tmp_path_factory):
    """A folder with a copy of the package, and as a home with a copy of what this one has compiled."""
    folder = tmp_path_factory.mktemp("copied")
    shutil.copytree(ROOT / "zoo", folder / "zoo", ignore=shutil.ignore_patterns("__pycache__"))
    exec(TRAIN, {})
    directory = cache.kernel_directory()
    shutil.copytree(directory, folder / ".cache" / "zooscale" / "kernels" / directory.name)
    return folder


@pytest.mark.slow  # compiles the kernel once for each edit
@pytest.mark.parametrize("file", ["training/lanes/functions.py", "architecture/activations.py"])
def test_edited_code_runs_not_the_one_compiled_before(file, copied):
    def result():
        # What is not optimized is compiled in half the time.
        options = {"HOME": str(copied), "PYTHONPATH": str(copied), "OMP_NUM_THREADS": "1", "NUMBA_OPT": "0"}
        done = subprocess.run(
            [sys.executable, "-c", TRAIN],
            cwd=copied, env=os.environ | options, check=True, capture_output=True, text=True,
        )  # fmt: skip
        return float(done.stdout)

    def kernels():
        return len(list((copied / ".cache" / "zooscale" / "kernels").iterdir()))

    def machine_code():
        return {path: path.stat().st_mtime_ns for path in (copied / ".cache").rglob("*.nbc")}

    compiled = machine_code()
    assert result() == pytest.approx(-0.01)
    assert machine_code() == compiled, "what another copy of the package has compiled is found"
    before, source = kernels(), copied / "zoo" / file
    times, text = os.stat(source), source.read_text()
    edited = text.replace("LEAKY_SLOPE = 0.01", "LEAKY_SLOPE = 0.02").replace(
        "x * splat(LEAKY_SLOPE)", "x * splat(0.02)"
    )
    assert len(edited) <= len(text)
    for content, expected in ((edited, -0.02), (text, -0.01)):
        source.write_text(content)
        os.utime(source, (times.st_atime, times.st_mtime))
        assert result() == pytest.approx(expected)
        assert kernels() == before + 1, "what was compiled before is found again"
