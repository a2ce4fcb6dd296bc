"""Generation by Ray Train workers gives the zoo of its serial twin, whatever happens to the workers."""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace

import pytest
from ray_environment import environment

from cluster.generation import chosen_recipe, estimate, generate
from zoo.recipes import DIGITS_MLP_DIVERSE
from zoo.storage.build import generate_zoo, plan_generation
from zoo.storage.errors import ZooError
from zoo.storage.store import Store
from zoo.storage.verify import verify
from zoo.storage.zoo import Zoo

MEMBERS, SHARD_MEMBERS = 320, 32
OPTIONS = ["--members", str(MEMBERS), "--epochs", "20", "--set", f"shard_members={SHARD_MEMBERS}"]
RECIPE = chosen_recipe("digits-mlp-diverse", {"members": MEMBERS, "epochs": 20}, [f"shard_members={SHARD_MEMBERS}"])
# Ray's processes outlive a killed driver for a moment.
PATIENCE_S = 120

KILL_A_WORKER = """
import json, os, signal, sys
from cluster.generation import chosen_recipe
from cluster.runtime import quieten, runtime
from zoo.storage.build import commit, plan_generation
from zoo.storage.store import Store
quieten()
from cluster.training_workers import train_shards

store, members, shard_members = Store(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
recipe = chosen_recipe("digits-mlp-diverse", {"members": members, "epochs": 20}, [f"shard_members={shard_members}"])
plan = plan_generation(recipe, store)
seen, killed = [], []

def watch(progress):
    seen.append(progress)
    if progress.shards >= 2 and not killed:
        killed.append(progress.workers[0])
        os.kill(killed[0], signal.SIGKILL)

with runtime(store, workers=3) as cluster:
    train_shards(plan, store, workers=3, cluster=cluster, watch=watch)
zoo = commit(plan, store)
last = seen[-1]
print(json.dumps({"killed": killed, "workers": last.workers, "finished": last.shards, "handed_out": last.handed_out,
                  "content_sha256": zoo.content_sha256}))
"""


def command(store, *options):
    return [
        sys.executable, "-m", "cluster", "generate", "digits-mlp-diverse", *OPTIONS, "--store", str(store), *options
    ]  # fmt: skip


@pytest.fixture(scope="module")
def serial(tmp_path_factory):
    """The same zoo, generated in this process."""
    return generate_zoo(RECIPE, tmp_path_factory.mktemp("serial"))


def test_epochs_option_cuts_the_snapshots():
    assert chosen_recipe("digits-mlp-diverse", {"epochs": 3}, []).snapshot_epochs[-1] == 3
    longer = chosen_recipe("digits-mlp-diverse", {"epochs": 400}, [])
    assert longer.snapshot_epochs == (*DIGITS_MLP_DIVERSE.snapshot_epochs, 400)
    given = chosen_recipe("digits-mlp-diverse", {"epochs": 3}, ["snapshot_epochs=0,3"])
    assert given.snapshot_epochs == (0, 3)


def test_estimate_counts_what_is_missing(small_recipe, tmp_path):
    store = Store(tmp_path)
    result = estimate(plan_generation(small_recipe, store), store, workers=2)
    assert (result["missing_members"], result["missing_shards"], result["snapshots"]) == (64, 4, 192)
    assert result["seconds"] > 0
    written = generate_zoo(small_recipe, store)
    size = sum(entry.size_bytes for entry in written.manifest.shards)
    assert 0.7 < result["bytes"] / size < 1.4
    again = estimate(plan_generation(small_recipe, store), store)
    assert (again["missing_members"], again["bytes"], again["seconds"]) == (0, 0, 0.0)


def test_nothing_missing_starts_no_ray(small_recipe, zoo_copy, monkeypatch):
    def refuse(*_, **__):
        raise AssertionError("Ray was started")

    monkeypatch.setattr("cluster.generation.runtime", refuse)
    zoo = generate(plan_generation(small_recipe, zoo_copy.store), zoo_copy.store)
    assert zoo.content_sha256 == zoo_copy.content_sha256
    with pytest.raises(AssertionError, match="Ray was started"):
        generate(plan_generation(replace(small_recipe, members=80), zoo_copy.store), zoo_copy.store)


@pytest.mark.slow
def test_killed_worker_loses_and_duplicates_nothing(serial, tmp_path):
    store = tmp_path / "store"
    done = subprocess.run(
        [sys.executable, "-c", KILL_A_WORKER, str(store), str(MEMBERS), str(SHARD_MEMBERS)],
        env=environment(tmp_path), cwd=tmp_path, capture_output=True, text=True, timeout=PATIENCE_S * 2,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert len(result["killed"]) == 1
    assert len(result["workers"]) == 6, "the group was started anew"
    assert result["finished"] == len(serial.manifest.shards)
    assert result["handed_out"] > result["finished"], "what the dead worker held was handed out again"
    assert result["content_sha256"] == serial.content_sha256
    zoo = Zoo.open(serial.name, store=Store(store))
    assert zoo.manifest.shards == serial.manifest.shards
    assert verify(zoo) == []


@pytest.mark.slow
def test_one_worker_makes_the_same_zoo(serial, tmp_path):
    done = subprocess.run(
        command(tmp_path / "store", "--workers", "1", "--json"),
        env=environment(tmp_path), cwd=tmp_path, capture_output=True, text=True, timeout=PATIENCE_S,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert result["content_sha256"] == serial.content_sha256
    assert result["trained_members"] == MEMBERS


@pytest.mark.slow
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_stopped_driver_continues(how, serial, tmp_path):
    store = tmp_path / "store"
    shards = store / "zoos" / serial.name / "shards"
    driver = subprocess.Popen(
        command(store), env=environment(tmp_path), cwd=tmp_path,
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip
    try:
        deadline = time.monotonic() + PATIENCE_S
        while len(list(shards.glob("*.parquet"))) < 2 and time.monotonic() < deadline:
            assert driver.poll() is None, driver.stderr.read()
            time.sleep(0.02)
        # Ctrl-C in a terminal reaches Ray's processes too.
        (os.killpg if how == signal.SIGINT else os.kill)(driver.pid, how)
        _, words = driver.communicate(timeout=PATIENCE_S)
    finally:
        if driver.poll() is None:
            os.killpg(driver.pid, signal.SIGKILL)
    assert driver.returncode == (130 if how == signal.SIGINT else -signal.SIGKILL), words
    if how == signal.SIGINT:
        assert words.splitlines()[-1] == "zooscale: stopped; the same command continues where it was"
        assert "Traceback" not in words
    with pytest.raises(ZooError, match="unfinished"):
        Zoo.open(serial.name, store=Store(store))
    before = {path.name: path.stat().st_mtime_ns for path in shards.glob("*.parquet")}
    assert 2 <= len(before) < len(serial.manifest.shards)
    zoo = generate_zoo(RECIPE, Store(store))
    after = {path.name: path.stat().st_mtime_ns for path in shards.glob("*.parquet")}
    assert {name: after[name] for name in before} == before, "finished shards are not trained again"
    assert zoo.content_sha256 == serial.content_sha256
