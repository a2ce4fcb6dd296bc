"""Generation by Ray Train workers gives the zoo of its serial twin, whatever happens to the workers."""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace

import pytest
from object_storage import BUCKET, SECRET, Rclone, credentials, needs_rclone
from ray_environment import environment

from cluster.verbs import generation
from cluster.verbs.generation import chosen_recipe, estimate, generate
from zoo.config import canonical_json
from zoo.data import load_dataset
from zoo.generation.build import generate_zoo, plan_generation
from zoo.recipes import DIGITS_MLP_DIVERSE, find_recipe
from zoo.storage.errors import ZooError
from zoo.storage.store import Store
from zoo.storage.verify import verify
from zoo.storage.zoo import Zoo
from zoo.training.grouping import minibatches, training_examples

# Enough work that ten lives of a group of workers do not end it, on a fast machine too.
MEMBERS, SHARD_MEMBERS, EPOCHS = 640, 16, 60
OPTIONS = ["--members", str(MEMBERS), "--epochs", str(EPOCHS), "--set", f"shard_members={SHARD_MEMBERS}"]
RECIPE = chosen_recipe("digits-mlp-diverse", {"members": MEMBERS, "epochs": EPOCHS}, [f"shard_members={SHARD_MEMBERS}"])
# Ray's processes outlive a killed driver for a moment.
PATIENCE_S = 120
KILLS = 10

KILL_WORKERS = """
import contextlib, json, os, random, signal, sys, time
from cluster.distributed.runtime import quieten, runtime
from zoo.config import from_json
from zoo.recipes import Recipe
from zoo.generation.build import commit, plan_generation
from zoo.storage.store import Store
quieten()
from cluster.distributed import training_workers

training_workers.POLL_S = 0.02  # to see each shard that ends
store, recipe, kills = Store(sys.argv[1]), from_json(Recipe, json.loads(sys.argv[2])), int(sys.argv[3])
plan = plan_generation(recipe, store)
chance = random.Random(9)
killed = []
before, due = (), None  # the workers at the last kill; the time and the number of shards at which the next one is due

def watch(progress):
    global last, before, due
    last = progress
    fresh = [process for process in progress.workers if process not in before]
    if len(killed) == kills or not fresh:
        return  # enough, or the group has not been started anew yet
    if due is None:
        due = time.monotonic() + chance.uniform(0, 2), progress.shards + chance.randint(1, 2)
    if time.monotonic() >= due[0] or progress.shards >= due[1]:
        victim = chance.choice(fresh)
        with contextlib.suppress(ProcessLookupError):  # it is ending with its group
            os.kill(victim, signal.SIGKILL)
            killed.append(victim)
        before, due = progress.workers, None

with runtime(store, workers=2) as cluster:
    written = training_workers.train_shards(plan, store, workers=2, cluster=cluster, watch=watch)
zoo = commit(plan, store, written)
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


def test_estimate_of_several_layouts_counts_each(tmp_path):
    recipe = replace(find_recipe("digits-mlp-mixed"), members=96, epochs=2, snapshot_epochs=(1, 2))
    store = Store(tmp_path)
    told = estimate(plan_generation(recipe, store), store, workers=1)
    zoo = generate_zoo(recipe, store)
    assert sorted(told["parameters"]) == sorted(zoo.parameter_counts)
    assert 0.7 < told["bytes"] / sum(entry.size_bytes for entry in zoo.manifest.shards) < 1.4


@pytest.mark.parametrize("changes", [{}, {"subset_size": 50, "training_fractions": (1.0,)}, {"tasks": ("0-1", "3-8")}])
def test_estimate_of_the_time_is_that_of_training(changes, small_recipe, tmp_path, monkeypatch):
    """As on a machine where a step takes a second for each member, whatever else it takes."""
    clock, data = [0.0], load_dataset("digits").train

    def train(architecture, members, images, **_):
        steps = (len(minibatches(member, training_examples(member, images), 1)) for member in members)
        clock[0] += sum(steps)
        return iter(())

    monkeypatch.setattr(generation, "CALIBRATION_IMAGES", 200)
    monkeypatch.setattr(generation, "train_population", train)
    monkeypatch.setattr(generation.time, "perf_counter", lambda: clock[0])
    recipe = replace(small_recipe, batch_size=10, members=16, **changes)
    members = [recipe.member(index) for index in range(16)]
    steps = sum(len(minibatches(member, training_examples(member, data), 1)) for member in members)
    told = estimate(plan_generation(recipe, Store(tmp_path)), Store(tmp_path), workers=1)
    trained = (told["seconds"] - generation.START_S) / generation.EVALUATION_SHARE
    assert trained == pytest.approx(steps * recipe.epochs, rel=0.1)


def test_nothing_missing_starts_no_ray(small_recipe, zoo_copy, monkeypatch):
    def refuse(*_, **__):
        raise AssertionError("Ray was started")

    monkeypatch.setattr("cluster.verbs.generation.runtime", refuse)
    zoo = generate(plan_generation(small_recipe, zoo_copy.store), zoo_copy.store)
    assert zoo.content_sha256 == zoo_copy.content_sha256
    with pytest.raises(AssertionError, match="Ray was started"):
        generate(plan_generation(replace(small_recipe, members=80), zoo_copy.store), zoo_copy.store)


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
@needs_rclone
def test_command_on_object_storage_that_is_away_for_a_moment(serial, tmp_path):
    """Generation, its resumption and every look at its zoo, with a server that is killed during the first run."""
    server = Rclone(tmp_path / "data")
    uri = f"s3://{BUCKET}/deep/store"
    shards = server.folder / BUCKET / "deep" / "store" / "zoos" / serial.name / "shards"
    environ = {**environment(tmp_path), **credentials(server.url)}
    driver = subprocess.Popen(
        command(uri, "--json"), env=environ, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        deadline = time.monotonic() + PATIENCE_S
        while len(list(shards.glob("*.parquet"))) < 2 and time.monotonic() < deadline:
            assert driver.poll() is None, driver.stderr.read()
            time.sleep(0.02)
        server.kill()
        time.sleep(3)
        assert len(list(shards.glob("*.parquet"))) < len(serial.manifest.shards), "the zoo was finished before the kill"
        server.start()
        out, words = driver.communicate(timeout=PATIENCE_S)
        assert driver.returncode == 0, words
        assert json.loads(out)["content_sha256"] == serial.content_sha256
        assert words.count("let one `zooscale generate` at a time") == 1
        assert f"s3://{BUCKET}" not in words.replace(uri, ""), words
        for verb, wanted in (("list", f'"zoo": "{serial.name}"'), ("verify", '"findings": []')):
            arguments = [serial.name] if verb == "verify" else []
            done = subprocess.run(
                [sys.executable, "-m", "cluster", verb, *arguments, "--store", uri, "--json"],
                env=environ, cwd=tmp_path, capture_output=True, text=True, timeout=PATIENCE_S,
            )  # fmt: skip
            assert done.returncode == 0, done.stderr
            assert wanted in done.stdout
        (staged,) = (server.folder / BUCKET / "deep" / "store" / "data").iterdir()
        assert staged.name.startswith("digits-")
    finally:
        driver.kill()
        server.kill()


@pytest.mark.slow
@needs_rclone
def test_object_storage_that_stays_away_is_one_clear_error(tmp_path):
    server = Rclone(tmp_path / "data")
    shards = server.folder / BUCKET / "store" / "zoos"
    environ = {**environment(tmp_path), **credentials(server.url), "ZOOSCALE_PATIENCE_S": "2"}
    driver = subprocess.Popen(
        command(f"s3://{BUCKET}/store"), env=environ, cwd=tmp_path, stderr=subprocess.PIPE, text=True
    )
    try:
        deadline = time.monotonic() + PATIENCE_S
        while not list(shards.rglob("*.parquet")) and time.monotonic() < deadline:
            assert driver.poll() is None, driver.stderr.read()
            time.sleep(0.02)
        server.kill()
        _, words = driver.communicate(timeout=PATIENCE_S)
    finally:
        driver.kill()
        server.kill()
    assert driver.returncode == 2
    last = words.splitlines()[-1]
    assert last.startswith("zooscale: training stopped: cannot write s3://")
    assert f"{server.url} does not answer" in last
    assert "Traceback" not in words
    assert SECRET not in words


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
