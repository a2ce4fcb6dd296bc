"""How many fits at the same time the memory is for, said before and kept to."""

import dataclasses
import subprocess
import sys

import pytest
from patience import PATIENCE_S
from ray_environment import environment

from cluster.distributed import making, memory, runtime
from cluster.distributed.memory import fit_memory, free_memory
from cluster.distributed.runtime import Cluster, workers_at_once
from cluster.studies import plan_study
from cluster.verbs.search import Search
from search_spaces.studies import DIGITS_AUTOENCODER
from zoo.storage.store import Store

GB = 10**9


@pytest.fixture
def machine(monkeypatch, tmp_path):
    """Files that tell how much memory there is; those that are not written do not exist."""
    files = {name: tmp_path / name for name in ("meminfo", "max", "current")}
    monkeypatch.setattr(memory, "MEMORY_INFO", files["meminfo"])
    monkeypatch.setattr(memory, "GROUPS", ((files["max"], files["current"]),))
    return files


def test_free_memory_is_that_of_the_machine_or_of_the_container(machine):
    machine["meminfo"].write_text("MemTotal: 32000000 kB\nMemAvailable: 8000000 kB\n")
    assert free_memory() == 8_000_000 * 1024
    machine["max"].write_text("max\n")
    machine["current"].write_text("1000\n")
    assert free_memory() == 8_000_000 * 1024
    machine["max"].write_text("5000\n")
    assert free_memory() == 4000


def test_where_nobody_tells_it_is_the_memory_that_there_is(machine):
    assert free_memory() > GB / 2


@pytest.mark.parametrize(
    ("nodes", "each", "places"),
    [((8 * GB,), 3 * GB, 2), ((8 * GB, 8 * GB), 3 * GB, 4), ((GB,), 3 * GB, 1), ((0,), 3 * GB, 16), ((GB,), 0, 16)],
)
def test_places_of_a_cluster(nodes, each, places):
    assert Cluster(local=False, nodes=len(nodes), cpus=16, memory=nodes).places(each) == places


def test_dry_run_says_for_how_many_the_memory_is(small_zoo, monkeypatch):
    monkeypatch.setattr(runtime, "running_address", lambda: None)
    monkeypatch.setattr(runtime, "free_memory", lambda: 5 * GB)
    plan = plan_study(DIGITS_AUTOENCODER, small_zoo.uri, small_zoo.store.uri, {}, ["latent=16"])
    seen = sum(p.weights_MP.numel() for p in (*plan.data().training, *plan.data().validation))
    assert plan.weights_bytes == 4 * seen
    asked = Search(study="digits-autoencoder", zoo=small_zoo.uri, store=small_zoo.store.uri, workers=64)
    asked = dataclasses.replace(asked, epochs=1, settings=("latent=16",), trials=64)
    planned = asked.plan()
    assert planned.memory == fit_memory(plan.weights_bytes)
    assert planned.workers == 5 * GB // planned.memory == 4
    assert "with 4 workers on Ray (a fit takes about 955.8 MiB of memory)" in planned.text
    assert workers_at_once(Store("memory://x"), None, 100 * GB) == 1


def test_search_keeps_to_it(small_zoo, monkeypatch):
    made, said = [], []
    plan = plan_study(DIGITS_AUTOENCODER, small_zoo.uri, small_zoo.store.uri, {}, ["latent=16"])

    class Runtime:
        def __init__(self, store, *, workers, shared_bytes):
            assert shared_bytes == plan.weights_bytes

        def __enter__(self):
            return Cluster(local=True, nodes=1, cpus=8, memory=(int(2.5 * GB),))

        def __exit__(self, *_):
            pass

    monkeypatch.setattr(making, "runtime", Runtime)
    monkeypatch.setattr(making, "say", said.append)
    monkeypatch.setattr("cluster.distributed.tuning.make_on_ray", lambda *_, **options: made.append(options))
    making.make_fits(None, 16, plan.data(), plan.folder, None, workers=8)
    assert made == [{"workers": 2, "memory": fit_memory(plan.weights_bytes)}]
    assert said == ["memory is for 2 at a time: each fit takes about 955.8 MiB"]


SHARING = """
import os
import sys

from cluster.distributed.runtime import runtime
from zoo.storage.store import Store

with runtime(Store("store"), workers=1, shared_bytes=200 * 2**20):
    import ray
    import torch

    def private_bytes(tensor):
        tensor.sum()
        with open("/proc/self/smaps_rollup") as file:
            parts = dict(line.split(":") for line in list(file)[1:])
        return 1024 * int(parts["Anonymous"].split()[0])

    few, many = (ray.put(torch.rand(count)) for count in (1, 50 * 2**20))
    task = ray.remote(private_bytes)
    before, after = ray.get(task.remote(few)), ray.get(task.remote(many))
    print(after - before, file=sys.__stdout__)
"""


@pytest.mark.slow
def test_data_lie_in_memory_once(tmp_path):
    done = subprocess.run(
        [sys.executable, "-W", "error::UserWarning", "-c", SHARING], env=environment(tmp_path), cwd=tmp_path,
        capture_output=True, text=True, timeout=PATIENCE_S,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) < 50 * 2**20, "the worker has no copy of its own of 200 MB"
