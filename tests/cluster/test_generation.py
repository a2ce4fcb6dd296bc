"""Generation by Ray Train workers gives the zoo of its serial twin, whatever happens to the workers."""

import contextlib
import re
import subprocess
import sys
from dataclasses import replace
from types import SimpleNamespace

import pytest

from cluster import estimates
from cluster.cli import run
from cluster.distributed import generation, runtime
from cluster.distributed.generation import generate
from cluster.estimates import duration, generation_bytes, member_s, ray_start_s, worth_ray
from cluster.verbs.generate import Generate, chosen_recipe
from zoo.data import load_dataset
from zoo.generation.build import generate_zoo, plan_generation
from zoo.generation.shard_training import train_shard
from zoo.recipes import DIGITS_MLP_DIVERSE
from zoo.storage.store import Store
from zoo.storage.verify import verify
from zoo.training.grouping import minibatches, training_examples


def test_a_generation_loads_nothing_that_analyses_need():
    code = (
        "import sys, cluster.distributed.generation, zoo.data\n"
        "zoo.data.load_dataset('digits')\n"
        "print({'analysis', 'sklearn', 'scipy.stats', 'scipy.optimize'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"


def test_epochs_option_cuts_the_snapshots():
    assert chosen_recipe("digits-mlp-diverse", {"epochs": 3}, []).snapshot_epochs[-1] == 3
    longer = chosen_recipe("digits-mlp-diverse", {"epochs": 400}, [])
    assert longer.snapshot_epochs == (*DIGITS_MLP_DIVERSE.snapshot_epochs, 400)
    given = chosen_recipe("digits-mlp-diverse", {"epochs": 3}, ["snapshot_epochs=0,3"])
    assert given.snapshot_epochs == (0, 3)


def test_estimate_counts_what_is_missing(capsys, small_recipe, tmp_path):
    store = Store(tmp_path)
    plan = plan_generation(small_recipe, store)
    assert member_s(plan) > 0
    zoo = generate_zoo(small_recipe, store)
    size = sum(entry.size_bytes for entry in zoo.manifest.shards)
    assert 0.7 < generation_bytes(plan) / size < 1.4


def test_dry_run_tells_what_is_missing(zoo_copy, small_recipe):
    given = {field: getattr(small_recipe, field) for field in ("name", "block_members", "shard_members")}
    settings = (*(f"{field}={value}" for field, value in given.items()), "snapshot_epochs=0,1,2")
    verb = Generate(recipe="digits-mlp-diverse", store=zoo_copy.store.uri, epochs=2, members=64, settings=settings)
    complete, longer = verb.plan(), replace(verb, members=96, workers=2).plan()
    assert (complete.zoo, complete.missing_members, complete.bytes, complete.seconds) == (zoo_copy.name, 0, 0, 0.0)
    assert (longer.missing_members, longer.missing_shards, longer.snapshots) == (32, 2, 96)
    assert (longer.ray, longer.workers) == (True, 2)
    assert replace(verb, members=96).plan().ray is False


def test_a_dry_run_says_that_members_of_a_shard_are_hardly_trained_together(tmp_path):
    axes = ("optimizer=adam,sgd", "training_fraction=0.25,0.5,1.0")
    verb = Generate(recipe="digits-mlp-diverse", store=str(tmp_path), members=16)
    alone, blocks = (
        replace(verb, settings=(*axes, f"block_members={block}", "shard_members=8")).plan() for block in (1, 8)
    )
    assert 1 <= alone.together < 3
    assert f"only {alone.together:.1f} of the 8 members of a shard are trained together" in alone.text
    assert blocks.together == 8
    assert "trained together" not in blocks.text


def test_estimate_of_several_layouts_counts_each(tmp_path):
    verb = Generate(
        recipe="digits-mlp-mixed", store=str(tmp_path), members=96, settings=("epochs=2", "snapshot_epochs=1,2")
    )
    told = verb.plan()
    zoo = generate_zoo(verb.checked(Store(tmp_path)).recipe, tmp_path)
    assert sorted(told.parameters) == sorted(zoo.parameter_counts)
    assert 0.7 < told.bytes / sum(entry.size_bytes for entry in zoo.manifest.shards) < 1.4


@pytest.mark.parametrize("changes", [{}, {"subset_size": 50, "training_fraction": 1.0}, {"task": ["0-1", "3-8"]}])
def test_estimate_of_the_time_is_that_of_training(changes, small_recipe, tmp_path, monkeypatch):
    """As on a machine where a step takes a second for each member, whatever else it takes."""
    clock, data = [0.0], load_dataset("digits").train

    def train(architecture, members, images, **_):
        steps = (len(minibatches(member, training_examples(member, images), 1)) for member in members)
        clock[0] += sum(steps)
        return iter(())

    monkeypatch.setattr(estimates, "CALIBRATION_EXAMPLES", 200)
    monkeypatch.setattr(estimates, "train_population", train)
    monkeypatch.setattr(estimates.time, "perf_counter", lambda: clock[0])
    recipe = replace(small_recipe, batch_size=10, members=16, axes={**small_recipe.axes, **changes})
    members = [recipe.member(index) for index in range(16)]
    steps = sum(len(minibatches(member, training_examples(member, data), 1)) for member in members)
    told = 16 * member_s(plan_generation(recipe, Store(tmp_path))) / estimates.EVALUATION_SHARE
    assert told == pytest.approx(steps * recipe.epochs, rel=0.1)


@pytest.fixture
def no_cluster(monkeypatch):
    monkeypatch.setenv("RAY_ADDRESS", "local")


@pytest.fixture
def no_ray(no_cluster, monkeypatch):
    """Training on Ray is refused; returns the shards that were to go there."""
    refused = []

    def refuse(plan, *_):
        refused.extend(plan.missing)
        raise AssertionError("Ray was started")

    monkeypatch.setattr(generation, "_train_on_ray", refuse)
    return refused


def test_small_work_is_done_in_this_process(small_recipe, zoo_copy, no_ray, tmp_path):
    zoo = generate(plan_generation(small_recipe, zoo_copy.store), zoo_copy.store)
    assert zoo.content_sha256 == zoo_copy.content_sha256, "nothing was missing"
    longer = replace(small_recipe, members=96)
    zoo = generate(plan_generation(longer, zoo_copy.store), zoo_copy.store)
    assert zoo.content_sha256 == generate_zoo(longer, tmp_path / "serial").content_sha256
    assert verify(zoo) == []


def test_number_of_workers_means_ray(small_recipe, tmp_path, no_ray):
    store = Store(tmp_path)
    with pytest.raises(AssertionError, match="Ray was started"):
        generate(plan_generation(small_recipe, store), store, workers=1)
    assert len(no_ray) == 4


def test_what_turns_out_to_be_long_is_handed_over(small_recipe, tmp_path, no_ray, monkeypatch):
    asked = iter([False, False, True])
    monkeypatch.setattr(generation, "worth_ray", lambda *_: next(asked))
    store = Store(tmp_path)
    plan = plan_generation(small_recipe, store)
    with pytest.raises(AssertionError, match="Ray was started"):
        generate(plan, store)
    assert tuple(no_ray) == plan.missing[2:], "the first two are in the store"
    assert plan_generation(small_recipe, store).missing == plan.missing[2:]


def test_interrupted_here_keeps_finished_shards(small_recipe, tmp_path, no_ray, monkeypatch):
    def interrupted(recipe, data, shard, watch):
        if shard.start >= 32:
            raise KeyboardInterrupt
        return train_shard(recipe, data, shard, watch)

    store = Store(tmp_path)
    plan = plan_generation(small_recipe, store)
    with monkeypatch.context() as patch:
        patch.setattr(generation, "train_shard", interrupted)
        with pytest.raises(KeyboardInterrupt):
            generate(plan, store)
    assert plan_generation(small_recipe, store).missing == plan.missing[2:]
    assert len(generate(plan_generation(small_recipe, store), store)) == 64


@pytest.mark.parametrize(
    ("remaining_s", "cpus", "start_s", "worth"),
    [
        (0.5, 2, 20.0, False),
        (39.0, 2, 20.0, False),
        (41.0, 2, 20.0, True),
        (21.0, 64, 20.0, True),
        (1e6, 1, 20.0, False),
    ],
)
def test_ray_is_worth_its_start_where_it_ends_sooner(remaining_s, cpus, start_s, worth):
    assert worth_ray(remaining_s, cpus, start_s) is worth


def test_rounds_of_tasks_start_ray_where_it_is_worth_it(no_cluster, monkeypatch):
    monkeypatch.setattr(estimates, "ray_start_s", lambda: 20.0)
    monkeypatch.setattr(estimates.os, "cpu_count", lambda: 2)
    store = Store("memory://store")
    assert duration((0, 0), 5.0, None, store) == (False, 1, 0.0)
    assert duration((4,), 5.0, None, store) == (False, 1, 20.0)
    assert duration((16, 4), 5.0, None, store) == (True, 2, 20.0 + 8 * 5.0 + 4 * 5.0)
    assert duration((4,), 5.0, 3, store) == (True, 3, 20.0 + 2 * 5.0)


def test_a_running_cluster_says_how_many_can_work_at_once(monkeypatch):
    @contextlib.contextmanager
    def running(store, *, workers):
        if workers and workers > 64:
            raise runtime.ClusterError(f"{workers} workers need as many CPUs")
        yield runtime.Cluster(local=False, nodes=4, cpus=64)

    monkeypatch.setattr(runtime, "running_address", lambda: "10.0.0.1:6379")
    monkeypatch.setattr(runtime, "runtime", running)
    monkeypatch.setattr(estimates, "ray_start_s", lambda: 20.0)
    store = Store("memory://store")
    assert duration((640,), 5.0, None, store) == (True, 64, 20.0 + 10 * 5.0)
    with pytest.raises(runtime.ClusterError, match="65 workers"):
        duration((640,), 5.0, 65, store)


@pytest.mark.parametrize("dry_run", [True, False])
def test_more_workers_than_memory_holds_are_refused(no_cluster, tmp_path, dry_run):
    generate_64 = Generate(recipe="digits-mlp-diverse", members=64, workers=100_000, store=str(tmp_path))
    with pytest.raises(runtime.ClusterError, match="100,000 workers do not fit into this machine's memory"):
        generate_64.plan() if dry_run else generate_64.run()


def test_fifty_million_members_are_estimated_at_once(capsys, tmp_path, monkeypatch):
    arguments = ["generate", "digits-mlp-diverse", "--members", "50000000", "--store", str(tmp_path / "store")]
    monkeypatch.setattr("shutil.disk_usage", lambda _: SimpleNamespace(free=2**50))
    assert run([*arguments, "--dry-run"]) == 0
    words = capsys.readouterr().out
    assert "would train 50,000,000 of 50,000,000 members (781,250 shards)" in words
    assert re.search(r"about [\d,.]+ (GiB|TiB) in .*about \d+ (days|h)", words)
    monkeypatch.setattr("shutil.disk_usage", lambda _: SimpleNamespace(free=2**30))
    assert run([*arguments, "--dry-run"]) == 1
    refused = "GiB, and the disk has 1.0 GiB free; make it smaller, or name another --store"
    assert refused in capsys.readouterr().out
    assert run(arguments) == 2, "the run says the same"
    assert refused in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_the_start_of_ray_is_remembered(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert ray_start_s() == estimates.FIRST_RAY_START_S
    estimates.remember_ray_start(8.0)
    assert ray_start_s() == 8.0
    estimates.remember_ray_start(12.0)
    assert ray_start_s() == 10.0
    (cache,) = (tmp_path / "zooscale").iterdir()
    cache.write_text("[]")
    assert ray_start_s() == estimates.FIRST_RAY_START_S
    monkeypatch.setenv("XDG_CACHE_HOME", str(cache))
    estimates.remember_ray_start(8.0)  # a file stands where the folder should be
