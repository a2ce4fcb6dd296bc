"""SIGTERM, which schedulers send, ends a verb as Ctrl-C does: in words, with its code, and no process stays."""

import contextlib
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from patience import PATIENCE_S, wait
from ray_environment import environment

SEARCH = ("search", "digits-autoencoder", "--trials", "40", "--epochs", "40", "--set", "latent=16")
FIT = ("fit", "neuron-autoencoder", "--epochs", "4000", "--set", "latent=16")


def processes(mark):
    """Process ids and command lines of those that have inherited an environment with this mark in it."""
    found = {}
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):  # it has ended, or belongs to somebody else
            if f"MARK={mark}".encode() in (folder / "environ").read_bytes().split(b"\0"):
                found[folder.name] = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode()
    return found


@pytest.mark.slow
@pytest.mark.parametrize(
    ("verb", "seen"),
    [
        ((*SEARCH, "--workers", "2"), "gcs_server"),
        ((*SEARCH, "--workers", "2"), "ray::ResourceTrainable"),
        (FIT, ""),
        (("analyze",), ""),
    ],
    ids=["while Ray starts", "trials on Ray", "a fit here", "an analysis"],
)
def test_sigterm_ends_a_verb(verb, seen, zoo_copy, tmp_path):
    mark, root = str(tmp_path), zoo_copy.store.uri
    driver = subprocess.Popen(
        [sys.executable, "-m", "cluster", *verb, "--zoo", zoo_copy.uri, "--store", root],
        env={**environment(tmp_path), "MARK": mark}, cwd=tmp_path,
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip

    def begun():
        assert driver.poll() is None, driver.stderr.read()
        if seen:
            return any(seen in line for line in processes(mark).values())
        return set((tmp_path / "copy").rglob("*")) > before  # the first thing that it writes

    before = set((tmp_path / "copy").rglob("*"))
    try:
        assert wait(begun)
        os.kill(driver.pid, signal.SIGTERM)
        _, words = driver.communicate(timeout=PATIENCE_S)
        assert driver.returncode == 143, words
        assert words.splitlines()[-1] == "zooscale: stopped; the same command continues where it was"
        assert "Traceback" not in words
        assert wait(lambda: not processes(mark)), processes(mark)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(driver.pid, signal.SIGKILL)


# Ray has disconnected from its processes when it ends them.
WHILE_RAY_ENDS = """
import os, signal, sys
from cluster import cli
from cluster.distributed import runtime

runtime.quieten()
from ray._private.node import Node

end = Node.kill_all_processes

def end_at_sigterm(node, *arguments, **options):
    os.kill(os.getpid(), signal.SIGTERM)
    end(node, *arguments, **options)

Node.kill_all_processes = end_at_sigterm
sys.exit(cli.run(sys.argv[1:]))
"""


@pytest.mark.slow
def test_sigterm_while_ray_ends(tmp_path):
    mark = str(tmp_path)
    work = ("generate", "digits-mlp-diverse", "--members", "64", "--epochs", "1", "--workers", "2")
    done = subprocess.run(
        [sys.executable, "-c", WHILE_RAY_ENDS, *work, "--store", str(tmp_path / "store")],
        env={**environment(tmp_path), "MARK": mark}, cwd=tmp_path, timeout=PATIENCE_S,
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip
    try:
        assert done.returncode == 143, done.stderr
        assert done.stderr.splitlines()[-1] == "zooscale: stopped; the same command continues where it was"
        assert "Traceback" not in done.stderr
        assert wait(lambda: not processes(mark)), processes(mark)
    finally:
        for process in processes(mark):
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(process), signal.SIGKILL)
