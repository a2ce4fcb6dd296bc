"""Workers and drivers of a generation are killed: nothing is lost, duplicated or trained again."""

import json
import os
import signal
import subprocess
import sys

import pytest
from long_generation import RECIPE, command, wait_for_shards
from patience import PATIENCE_S
from ray_environment import environment

from zoo.config import canonical_json
from zoo.generation.build import generate_zoo
from zoo.storage.errors import ZooError
from zoo.storage.store import Store
from zoo.storage.verify import verify
from zoo.storage.zoo import Zoo

KILLS = 10

KILL_WORKERS = """
import contextlib, json, os, random, signal, sys, time
from cluster.distributed.runtime import quieten, runtime
from zoo.recipes import Recipe
from zoo.generation.build import plan_generation
from zoo.generation.commit import commit
from zoo.storage.store import Store
quieten()
from cluster.distributed import training_workers

training_workers.POLL_S = 0.02  # to see each shard that ends
store, recipe, kills = Store(sys.argv[1]), Recipe.from_json(json.loads(sys.argv[2])), int(sys.argv[3])
plan = plan_generation(recipe, store)
chance = random.Random(9)
killed = []
before, due = (), None  # the workers at the last kill; the time and the number of shards at which the next one is due
together = 1  # how many are killed next: one, then two at a time until one is left, since each start takes seconds

def watch(progress):
    global last, before, due, together
    last = progress
    fresh = [process for process in progress.workers if process not in before]
    if len(killed) == kills or len(fresh) < together:
        return  # enough, or the group has not been started anew yet
    if due is None:
        due = time.monotonic() + chance.uniform(0, 2), progress.shards + chance.randint(1, 2)
    if time.monotonic() >= due[0] or progress.shards >= due[1]:
        for victim in chance.sample(fresh, together):
            with contextlib.suppress(ProcessLookupError):  # it is ending with its group
                os.kill(victim, signal.SIGKILL)
                killed.append(victim)
        before, due, together = progress.workers, None, min(2, kills - len(killed))

with runtime(store, workers=2) as cluster:
    written = training_workers.train_shards(plan, store, workers=2, cluster=cluster, watch=watch)
zoo = commit(plan, store, written)
print(json.dumps({"killed": killed, "workers": last.workers, "finished": last.shards, "handed_out": last.handed_out,
                  "content_sha256": zoo.content_sha256}))
"""


@pytest.mark.slow
def test_workers_killed_ten_times_lose_and_duplicate_nothing(serial, tmp_path):
    store = tmp_path / "store"
    done = subprocess.run(
        [sys.executable, "-c", KILL_WORKERS, str(store), canonical_json(RECIPE), str(KILLS)],
        env=environment(tmp_path), cwd=tmp_path, capture_output=True, text=True, timeout=PATIENCE_S * 5,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert len(set(result["killed"])) == KILLS
    assert len(result["workers"]) > KILLS, "the group was started anew each time"
    assert result["finished"] == len(serial.manifest.shards)
    assert result["handed_out"] > result["finished"], "what the dead workers held was handed out again"
    assert result["content_sha256"] == serial.content_sha256
    zoo = Zoo.open(serial.name, store=Store(store))
    assert zoo.manifest.shards == serial.manifest.shards
    assert verify(zoo) == []


@pytest.mark.slow
@pytest.mark.parametrize(
    ("how", "options"),
    [
        (signal.SIGINT, ()),
        (signal.SIGINT, ("--workers", "2")),
        (signal.SIGTERM, ("--workers", "1")),
        (signal.SIGKILL, ("--workers", "2")),
    ],
)
def test_stopped_driver_continues(how, options, serial, tmp_path):
    store = tmp_path / "store"
    shards = store / "zoos" / serial.name / "shards"
    driver = subprocess.Popen(
        command(store, *options), env=environment(tmp_path), cwd=tmp_path,
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip
    try:
        wait_for_shards(driver, shards, 2)
        # Ctrl-C in a terminal reaches Ray's processes too.
        (os.killpg if how == signal.SIGINT else os.kill)(driver.pid, how)
        _, words = driver.communicate(timeout=PATIENCE_S)
    finally:
        if driver.poll() is None:
            os.killpg(driver.pid, signal.SIGKILL)
    assert driver.returncode == (-how if how == signal.SIGKILL else 128 + how), words
    if how != signal.SIGKILL:
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
