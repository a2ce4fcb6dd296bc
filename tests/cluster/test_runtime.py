"""Finding a cluster and reading settings; nothing here starts Ray."""

import os
import socket
import subprocess
import sys
from dataclasses import replace

import pytest
from patience import PATIENCE_S

from cluster import own_packages
from cluster.distributed import runtime
from cluster.distributed.shard_queue import ShardQueue
from cluster.settings import changed, parse_assignments, parse_recipe_settings, parse_value
from search_spaces.study import Study
from trainables.autoencoders.config import NeuronAutoencoderConfig
from zoo.recipes import RECIPES, Axis, Recipe
from zoo.storage.manifest import ShardEntry
from zoo.storage.store import Store


@pytest.fixture(autouse=True)
def no_cluster(monkeypatch, tmp_path):
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setenv("RAY_TMPDIR", str(tmp_path))


def record_address(tmp_path, address):
    (tmp_path / "ray").mkdir()
    (tmp_path / "ray" / "ray_current_cluster").write_text(address)


def test_named_cluster_is_joined(monkeypatch):
    monkeypatch.setenv("RAY_ADDRESS", "10.0.0.1:6379")
    assert runtime.running_address() == "10.0.0.1:6379"


def test_local_as_address_starts_one(monkeypatch, tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as server:
        record_address(tmp_path, f"127.0.0.1:{server.getsockname()[1]}")
        monkeypatch.setenv("RAY_ADDRESS", "local")
        assert runtime.running_address() is None


def test_recorded_cluster_is_joined_if_it_listens(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"127.0.0.1:{server.getsockname()[1]}"
        record_address(tmp_path, address)
        assert runtime.running_address() == address
    assert runtime.running_address() is None


@pytest.mark.parametrize("content", ["", "nonsense", "host:port"])
def test_damaged_record_does_not_count(tmp_path, content):
    record_address(tmp_path, content)
    assert runtime.running_address() is None


@pytest.fixture
def environment(monkeypatch, tmp_path):
    """An environment without anything about Ray."""
    clean = {"HOME": str(tmp_path), "RAY_TMPDIR": str(tmp_path)}
    monkeypatch.setattr(os, "environ", clean)
    return clean


def test_own_ray_stays_on_loopback_with_a_token_of_its_own(environment):
    runtime.quieten()
    assert environment["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] == "0"
    assert environment["RAY_AUTH_MODE"] == "token"
    token = environment["RAY_AUTH_TOKEN"]
    assert len(token) == 64
    runtime.quieten()
    assert environment["RAY_AUTH_TOKEN"] == token


def test_token_that_the_user_names_is_kept(environment):
    environment["RAY_AUTH_TOKEN_PATH"] = "token"
    runtime.quieten()
    assert "RAY_AUTH_TOKEN" not in environment


def test_cluster_to_join_keeps_its_network_and_token(environment):
    environment["RAY_ADDRESS"] = "10.0.0.1:6379"
    runtime.quieten()
    assert not {"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "RAY_AUTH_MODE", "RAY_AUTH_TOKEN"} & set(environment)


LISTENERS = """
import contextlib
import sys

from cluster.distributed.runtime import runtime
from zoo.storage.store import Store

with runtime(Store("store")):
    import psutil
    import ray

    ray.get(ray.remote(lambda: 0).remote())  # a worker listens too
    driver = psutil.Process()
    for process in (driver, *driver.children(recursive=True)):
        with contextlib.suppress(psutil.NoSuchProcess):  # it has ended meanwhile
            for connection in process.net_connections("inet"):
                if connection.status == psutil.CONN_LISTEN:
                    print(process.name(), connection.laddr.ip.removeprefix("::ffff:"), file=sys.__stdout__)
"""


@pytest.mark.slow
def test_own_ray_listens_on_loopback_alone(tmp_path):
    kept = {key: value for key, value in os.environ.items() if not key.startswith("RAY_")}
    done = subprocess.run(
        [sys.executable, "-c", LISTENERS], capture_output=True, text=True, timeout=PATIENCE_S, cwd=tmp_path,
        env={**kept, "RAY_ADDRESS": "local", "HOME": str(tmp_path), "PYTHONPATH": own_packages.ROOT},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    listeners = [line.rsplit(" ", 1) for line in done.stdout.splitlines()]
    assert {"gcs_server", "raylet"} <= {name for name, _ in listeners}
    assert {address for _, address in listeners} == {"127.0.0.1"}
    assert not (tmp_path / ".ray" / "auth_token").exists()


@pytest.fixture
def two_nodes(monkeypatch):
    """What Ray says of a cluster of two live nodes of 2 CPUs each, and a dead one."""
    import ray

    monkeypatch.setattr(ray, "nodes", lambda: [{"Alive": True}, {"Alive": True}, {"Alive": False}])
    monkeypatch.setattr(ray, "cluster_resources", lambda: {"CPU": 4.0})


def test_several_nodes_need_a_shared_store(two_nodes):
    with pytest.raises(runtime.ClusterError, match="is a local directory, and the cluster has 2 nodes"):
        runtime._checked(Store("./store"), None, local=False)
    shared = Store("memory://store")
    assert runtime._checked(shared, 4, local=False) == runtime.Cluster(local=False, nodes=2, cpus=4, memory=(0, 0))


def test_more_workers_than_cpus_are_refused(two_nodes):
    with pytest.raises(runtime.ClusterError, match="5 workers need as many CPUs; the cluster has 4"):
        runtime._checked(Store("memory://store"), 5, local=False)


def test_workers_are_told_of_the_object_store_but_no_secrets(monkeypatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://storage:9000")
    monkeypatch.setenv("AWS_PROFILE", "keeper")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.setenv("AWS_SESSION_TOKEN", "secret")
    told = runtime._worker_environment()["env_vars"]
    assert (told["AWS_ENDPOINT_URL"], told["AWS_PROFILE"]) == ("http://storage:9000", "keeper")
    assert "secret" not in told.values()


@pytest.mark.parametrize(
    ("text", "kind", "value"),
    [
        ("3", int, 3),
        ("1e-3", float, 1e-3),
        ("no", bool, False),
        ("16,32", tuple[int, ...], (16, 32)),
        ("", tuple[int, ...], ()),
        ("0.5, 2", tuple[float, float], (0.5, 2.0)),
        ("relu,tanh", tuple[str, ...], ("relu", "tanh")),
        ("none", int | None, None),
        ("5", int | None, 5),
    ],
)
def test_values_are_read_by_type(text, kind, value):
    assert parse_value(text, kind) == value


@pytest.mark.parametrize(
    ("assignment", "words"),
    [
        ("batch_size", "field=value"),
        ("color=red", "batch_size"),
        ("batch_size=many", "batch_size"),
        ("normalize=1,2,3", "2 values"),
    ],
)
def test_bad_assignments_say_what_is_wrong(assignment, words):
    with pytest.raises(ValueError, match=words):
        parse_assignments([assignment], Recipe)


@pytest.mark.parametrize(
    ("assignment", "field", "axis"),
    [
        ("learning_rate=1e-3", "learning_rate", Axis(choices=(1e-3,))),
        ("learning_rate=1e-3..1e-2", "learning_rate", Axis(range=(1e-3, 1e-2), level="member")),
        ("dropout=0..0.5", "dropout", Axis(range=(0.0, 0.5), scale="linear", level="member")),
        ("order_seed=1..9", "order_seed", Axis(range=(1, 9), scale="whole", level="block")),
        ("activation=relu, tanh", "activation", Axis(choices=("relu", "tanh"), level="shard")),
        ("hidden=8/16,16", "hidden", Axis(choices=((8,), (16, 16)), level="shard")),
        ("hidden=", "hidden", Axis(choices=((),))),
        ("bias=yes,no", "bias", Axis(choices=(True, False), level="shard")),
        ("task=0-1,3-8", "task", Axis(choices=("0-1", "3-8"), level="block")),
    ],
)
def test_axes_are_read_by_the_type_of_their_field(assignment, field, axis):
    recipe = RECIPES["digits-mlp-diverse"]
    values = parse_recipe_settings([assignment, "seed=3"], recipe)
    assert values["seed"] == 3, "the recipe's, not that of members"
    assert replace(recipe, **values).axes == recipe.axes | {field: axis}


def test_an_axis_keeps_its_level_and_its_scale():
    recipe = RECIPES["unterthiner-mnist"]
    values = parse_recipe_settings(["dropout=0.1..0.2"], recipe)
    mixed = parse_recipe_settings(["activation=relu,gelu"], RECIPES["digits-mlp-mixed"])
    assert values["axes"]["dropout"].scale == "linear"
    assert mixed["axes"]["activation"].level == "member"


@pytest.mark.parametrize(
    ("assignment", "words"),
    [
        ("color=red", "there is no field 'color'; those of all members are name.*differ in are hidden, activation"),
        ("bias=maybe", "--set bias='maybe': expected one of true"),
        ("learning_rate=1e-3..fast", "--set learning_rate='1e-3..fast': expected a number, not 'fast'"),
        ("hidden=wide", "--set hidden='wide': expected a whole number, not 'wide'"),
        ("learning_rate=2..1", r"--set learning_rate='2..1': Axis.range is \(2.0, 1.0\); allowed: \(low, high\)"),
        ("axes=1", "there is no field 'axes'"),
        ("batch_size", "not of the form field=value"),
    ],
)
def test_bad_axes_say_what_is_wrong(assignment, words):
    with pytest.raises(ValueError, match=words):
        parse_recipe_settings([assignment], RECIPES["digits-mlp-diverse"])


def test_fields_go_to_the_class_that_has_them():
    assert parse_assignments(["trials=3", "latent=8", "epochs=2"], Study, NeuronAutoencoderConfig) == [
        {"trials": 3, "epochs": 2},
        {"latent": 8},
    ]


def test_field_given_twice_is_refused():
    with pytest.raises(ValueError, match="seed is given twice"):
        changed(RECIPES["tetris-seeds"], {"seed": 1}, {"seed": 2})


SHARDS = tuple(range(first, first + 4) for first in range(0, 20, 4))


def test_queue_hands_out_every_shard_once():
    queue = ShardQueue(SHARDS)
    taken = []
    while (shard := queue.take(0, 1, "a", 100)) is not None:
        taken.append(shard)
        queue.finish(0, "a", shard)
    assert tuple(taken) == SHARDS
    assert queue.progress().members == 20


def test_queue_keeps_what_workers_tell_of_the_shards_that_they_created():
    queue = ShardQueue(SHARDS[:3])
    file = ShardEntry(
        name="", first=4, end=8, architecture={}, rows=4, size_bytes=1, sha256="", content_sha256="",
        footer_bytes=1, footer_crc32=0, weights_crc32=(0,),
    )  # fmt: skip
    for told in (None, file):
        queue.finish(0, "a", queue.take(0, 1, "a", 100), told)
    queue.finish(0, "another", SHARDS[2], file)
    assert queue.written() == [file]


def test_worker_may_take_the_next_shard_before_the_last_one_is_stored():
    queue = ShardQueue(SHARDS[:2])
    first, second = queue.take(0, 1, "a", 100), queue.take(0, 1, "a", 100)
    assert (first, second) == SHARDS[:2]
    assert queue.take(0, 1, "a", 100) is None
    queue.finish(0, "a", first)
    assert queue.progress().shards == 1
    queue.finish(0, "a", second)
    assert queue.progress().shards == 2


def test_queue_hands_out_anew_what_a_dead_worker_held():
    queue = ShardQueue(SHARDS[:3])
    stored, training = queue.take(0, 2, "a", 100), queue.take(0, 2, "a", 100)
    queue.finish(1, "b", queue.take(1, 2, "b", 101))
    assert queue.take(1, 2, "b", 101) is None, "what rank 0 holds is not known to be lost"
    assert queue.take(0, 2, "c", 100) == stored, "another worker, though its process has the number of the last one"
    assert queue.take(0, 2, "c", 100) == training
    queue.finish(0, "c", stored)
    queue.finish(0, "c", training)
    assert queue.progress().shards == 3
    assert queue.progress().handed_out == 5
    assert queue.progress().workers == (100, 101)


def test_training_of_shards_on_the_way_counts_until_they_are_stored_or_lost():
    queue = ShardQueue([range(16), range(16, 24)])
    first, second = queue.take(0, 2, "a", 100), queue.take(1, 2, "b", 101)
    queue.train(0, "a", first, 0.5)
    queue.train(1, "b", second, 0.25)
    queue.train(1, "a", second, 1.0)  # it does not hold it
    assert queue.progress().training == 10.0
    queue.finish(0, "a", first)
    assert (queue.progress().members, queue.progress().training) == (16, 2.0)
    assert queue.take(1, 2, "c", 102) == second, "its worker died"
    assert queue.progress().training == 0.0
    queue.train(1, "b", second, 0.5)
    assert queue.progress().training == 0.0


def test_queue_hands_out_anew_what_a_vanished_rank_held():
    queue = ShardQueue(SHARDS[:3])
    first = queue.take(0, 2, "a", 100)
    lost = [queue.take(1, 2, "b", 101), queue.take(1, 2, "b", 101)]
    queue.finish(0, "a", first)
    assert [queue.take(0, 1, "c", 102), queue.take(0, 1, "c", 102)] == lost


def test_queue_ignores_a_late_word_of_a_dead_worker():
    queue = ShardQueue(SHARDS[:3])
    first, second = queue.take(0, 2, "a", 100), queue.take(1, 2, "b", 101)
    assert queue.take(1, 2, "c", 103) == second  # the group was started anew, in another order
    assert queue.take(0, 2, "d", 102) == first
    queue.finish(0, "d", second)
    queue.finish(0, "a", first)
    assert queue.progress().shards == 0
    queue.finish(0, "d", first)
    queue.finish(0, "d", first)
    assert queue.progress().members == 4


def test_queue_hands_out_nothing_after_a_failure():
    queue = ShardQueue(SHARDS)
    shard = queue.take(0, 2, "a", 100)
    queue.fail("the store is gone")
    queue.fail("what follows from that")
    assert queue.take(1, 2, "b", 101) is None
    queue.finish(0, "a", shard)
    assert (queue.progress().shards, queue.progress().failure) == (1, "the store is gone")
