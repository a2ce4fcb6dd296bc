"""What ``pip install`` of a wheel brings: the command, every package, and the files that pages are made of."""

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("analysis", "cluster", "search_spaces", "trainables", "zoo", "zooscale")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    """Built from a copy: a build leaves folders beside its sources."""
    source, target = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("wheel")
    for name in PACKAGES:
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "wheel", "--quiet"]
    subprocess.run([*pip, "--no-deps", "--no-build-isolation", "-w", target, source], check=True)
    return next(target.glob("zooscale-*.whl"))


@pytest.mark.slow
def test_it_holds_every_module_and_asset_and_nothing_else(wheel):
    expected = {
        str(path.relative_to(ROOT))
        for package in PACKAGES
        for path in (ROOT / package).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    names = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    assert names == expected


@pytest.mark.slow
def test_it_works_in_an_empty_folder_far_from_the_repository(wheel, tmp_path):
    home, here = tmp_path / "installed", tmp_path / "here"
    here.mkdir()
    pip = [
        sys.executable,
        "-m",
        "pip",
        "--disable-pip-version-check",
        "install",
        "--quiet",
        "--no-deps",
        "--no-compile",
    ]
    subprocess.run([*pip, "--target", home, wheel], check=True)
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    variables = kept | {"PYTHONPATH": str(home), "XDG_CACHE_HOME": str(tmp_path / "cache")}

    def call(*arguments: str) -> str:
        command = [sys.executable, home / "bin/zooscale", *arguments]
        done = subprocess.run(command, cwd=here, env=variables, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return done.stdout

    assert "generate" in call("--help")
    assert "64 members" in call("generate", "digits-mlp-diverse", "--members", "64", "--epochs", "2")
    call("card", "digits-mlp-diverse")
    (page,) = here.glob("store/**/*.html")
    assert "<style>" in page.read_text()
    found = subprocess.run(
        [sys.executable, "-c", "import zooscale; print(zooscale.__file__, zooscale.Zoo.__name__)"],
        cwd=here, env=variables, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert found.stdout.split() == [str(home / "zooscale/__init__.py"), "Zoo"]
