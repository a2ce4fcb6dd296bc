"""Ray for as long as a verb needs it: a running cluster where there is one, else one started here."""

from __future__ import annotations

import contextlib
import logging
import os
import secrets
import signal
import socket
import sys
import threading
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

from cluster import own_packages
from cluster.distributed.memory import free_memory
from zoo.config import TRUST_VARIABLE

if TYPE_CHECKING:
    from zoo.storage.store import Store

ZERO_COPY = "RAY_ENABLE_ZERO_COPY_TORCH_TENSORS"
# Read by Ray when it is imported, or by the processes that it starts.
QUIET = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_AIR_NEW_OUTPUT": "0",
    "RAY_CHDIR_TO_TRIAL_DIR": "0",
    "RAY_TRAIN_ENABLE_PRINT_PATCH": "0",
    # Shorter waits when a group of workers ends or has to be started again.
    "RAY_TRAIN_HEALTH_CHECK_INTERVAL_S": "0.2",
    "RAY_TRAIN_WORKER_GROUP_START_TIMEOUT_S": "20",
    # Processes that nobody needs: one for each group of workers that looks for nodes about to go, and workers for a
    # driver without an environment of its own.
    "RAY_TRAIN_ENABLE_PREEMPTION_WATCHER": "0",
    "RAY_prestart_worker_first_driver": "0",
    # The searcher's state is the study journal; Tune's own snapshots of it are never read.
    "TUNE_GLOBAL_CHECKPOINT_S": "3600",
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    # Objectives come with the last epoch of a trial, not with every one.
    "TUNE_DISABLE_STRICT_METRIC_CHECKING": "1",
    "TUNE_DISABLE_SIGINT_HANDLER": "1",
    # What all workers see lies in a node's memory once; nobody changes it.
    ZERO_COPY: "1",
}

# What workers of a running cluster are told of an object store, and of where and whose code they may import. Keys are
# not: Ray shows the environment of its workers to everyone who may look at the cluster. Nodes have keys of their own,
# or a profile or role.
TOLD_VARIABLES = (
    "AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "AWS_PROFILE", "AWS_REGION", "AWS_DEFAULT_REGION", "ZOOSCALE_PATIENCE_S",
    "PYTHONPATH", TRUST_VARIABLE,
)  # fmt: skip

# What Ray keeps for objects that processes share, beside the data of fits.
OBJECT_STORE_BYTES = 512 * 2**20
# What a worker takes at least, with Ray and torch.
WORKER_BYTES = 300 * 2**20

# Ray's switch for machines without clusters: it takes 127.0.0.1 as its address, and all its servers listen there alone.
LOOPBACK_ONLY = {"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0"}


@dataclass(frozen=True, kw_only=True, slots=True)
class Cluster:
    """What a verb has to know of the Ray cluster that it runs on.

    Attributes:
        local: Whether it was started here, for this verb alone.
        nodes: Number of live nodes.
        cpus: CPUs of all nodes together.
        memory: Bytes that each node gives to workers; 0 where it does not say.
    """

    local: bool
    nodes: int
    cpus: int
    memory: tuple[int, ...] = ()

    def places(self, each_bytes: int) -> int:
        """For how many workers that take so much memory there is room at the same time; for one at least."""
        if not all(self.memory) or not each_bytes:
            return max(self.cpus, 1)
        return max(sum(free // each_bytes for free in self.memory), 1)


class ClusterError(RuntimeError):
    """The cluster cannot do what was asked; the message says what to change."""


def quieten() -> None:
    """Sets what Ray reads from the environment; called before the first import of Ray."""
    defaults = dict(QUIET)
    if running_address() is None:
        defaults |= LOOPBACK_ONLY | {"RAY_AUTH_MODE": "token"}
        if "RAY_AUTH_TOKEN_PATH" not in os.environ:
            # Ray would make a file in the home folder, readable by all users of this machine.
            defaults["RAY_AUTH_TOKEN"] = secrets.token_hex(32)
    for key, value in defaults.items():
        os.environ.setdefault(key, value)


def running_address() -> str | None:
    """Address of a cluster to join: ``RAY_ADDRESS`` (set in a ``ray job``), or that of ``ray start`` here.

    The address left behind by a cluster that is gone does not count.
    """
    address = os.environ.get("RAY_ADDRESS", "")
    if address:
        return None if address == "local" else address
    record = Path(os.environ.get("RAY_TMPDIR") or "/tmp") / "ray" / "ray_current_cluster"  # noqa: S108
    try:
        address = record.read_text().strip()
        host, _, port = address.rpartition(":")
        with socket.create_connection((host.strip("[]"), int(port)), timeout=1.0):
            return address
    except (OSError, ValueError):
        return None


def ray_is_asked_for(workers: int | None) -> bool:
    """Whether work goes to Ray whatever its size: a number of workers was given, or a cluster is running."""
    return workers is not None or running_address() is not None


def _use_token() -> None:
    """Turns token authentication on where a token is at hand; Ray does so for an unnamed address only."""
    named = os.environ.get("RAY_AUTH_TOKEN") or os.environ.get("RAY_AUTH_TOKEN_PATH")
    if "RAY_AUTH_MODE" not in os.environ and (named or (Path.home() / ".ray" / "auth_token").is_file()):
        os.environ["RAY_AUTH_MODE"] = "token"


def _worker_environment() -> dict[str, Any]:
    """What Ray starts workers with: our packages first, whatever lies in the folder that Ray puts on their path."""
    from ray import cloudpickle

    cloudpickle.register_pickle_by_value(own_packages)  # by its name they might find another
    environment: dict[str, Any] = {"worker_process_setup_hook": own_packages.put_first}
    if "RAY_JOB_CONFIG_JSON_ENV_VAR" not in os.environ:  # else Ray has told them what the job was submitted with
        told = {name: os.environ[name] for name in TOLD_VARIABLES if name in os.environ}
        # Only the driver shares tensors; every process that could would import torch at its start, Ray's own too.
        environment["env_vars"] = {**told, "OMP_NUM_THREADS": "1", ZERO_COPY: "0"}
    return environment


@contextlib.contextmanager
def runtime(store: Store, *, workers: int | None = None, shared_bytes: int = 0) -> Iterator[Cluster]:
    """Connects to Ray, or starts it with a token and on loopback alone, and leaves it again.

    Args:
        store: Where results go; several nodes cannot share a local directory.
        workers: Processes that have to run at the same time, if their number was asked for.
        shared_bytes: How large what all workers see is.

    Yields:
        The cluster.

    Raises:
        ClusterError: The cluster does not answer or refuses the token, it has too few CPUs for ``workers``, or it
            has several nodes and the store is a local directory; or this machine has too little memory for a Ray with
            so many workers.
    """
    quieten()
    address = running_address()
    if address is None:
        _require_memory(workers)
    else:
        _use_token()
    import ray

    # Those who share tensors in this house know that nobody may change them.
    warnings.filterwarnings("ignore", "Zero-copy tensor serialization", UserWarning)
    warnings.filterwarnings("ignore", "The input tensor is non-contiguous", UserWarning)  # then it is copied
    environment = _worker_environment()
    cpus = max(os.cpu_count() or 1, workers or 1)
    with _own_handling_of_sigterm():
        try:
            if address is None:
                ray.init(
                    address="local",
                    num_cpus=cpus,
                    include_dashboard=False,
                    log_to_driver=False,
                    logging_level=logging.ERROR,
                    object_store_memory=OBJECT_STORE_BYTES + 2 * shared_bytes,
                    runtime_env=environment,
                )
            else:
                ray.init(log_to_driver=False, logging_level=logging.ERROR, runtime_env=environment)
        except (ConnectionError, RuntimeError, ValueError, ray.exceptions.RayError) as error:
            where = f"the Ray cluster at {address}" if address else "a local Ray"
            reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
            raise ClusterError(
                f"cannot use {where}: {reason}. For a cluster with token authentication set RAY_AUTH_MODE=token and "
                "RAY_AUTH_TOKEN_PATH; to start a cluster of your own set RAY_ADDRESS=local"
            ) from error
    # Ray prints what happens to workers on stdout, which is for results.
    with contextlib.redirect_stdout(sys.stderr):
        try:
            yield _checked(store, workers, local=address is None)
        finally:
            _end_ray()


@contextlib.contextmanager
def _own_handling_of_sigterm() -> Iterator[None]:
    """Keeps this process's handler of SIGTERM while Ray starts.

    Ray's own exit at once, without a word or with a stack of C++. It sets some in Python, another one below Python when
    it has connected.
    """
    import ray._private.utils as set_by

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    handler, replaced = signal.getsignal(signal.SIGTERM), set_by.set_sigterm_handler
    set_by.set_sigterm_handler = lambda _: None
    try:
        yield
    finally:
        set_by.set_sigterm_handler = replaced
        signal.signal(signal.SIGTERM, handler)


def _end_ray() -> None:
    """Leaves Ray, and ends it where it was started here. An interrupt waits until that is done; a second one does not.

    What is interrupted half way leaves processes behind. When Ray has disconnected, it sets the system's default for
    SIGTERM, which would end this process without a word before the others are.
    """
    import ray
    import ray._private.worker as of_process

    if threading.current_thread() is not threading.main_thread():
        ray.shutdown()
        return
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    noted: list[int] = []

    def note(number: int, frame: FrameType | None) -> None:
        noted.append(number)
        if len(noted) > 1:
            signal.default_int_handler(number, frame)

    def note_interrupts() -> None:
        for number in handlers:
            signal.signal(number, note)

    note_interrupts()
    node = of_process._global_node
    if node is not None:
        end_processes = node.kill_all_processes

        def end_processes_while_noting(*arguments: Any, **options: Any) -> None:
            note_interrupts()
            end_processes(*arguments, **options)

        node.kill_all_processes = end_processes_while_noting
    try:
        ray.shutdown()
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
    if noted:
        signal.raise_signal(noted[0])


def workers_at_once(store: Store, workers: int | None, each_bytes: int = 0) -> int:
    """How many processes work at the same time: as many as were asked for, else one for each CPU.

    Where each takes so many bytes of memory, no more than there is room for. A running cluster is asked; no other is
    started for this.

    Raises:
        ClusterError: As :func:`runtime` would with the same arguments.
    """
    if running_address() is not None:
        with runtime(store, workers=workers) as cluster:
            return min(workers or cluster.cpus, cluster.places(each_bytes))
    _require_memory(workers)
    wanted = workers or os.cpu_count() or 1
    return max(min(wanted, free_memory() // each_bytes), 1) if each_bytes else wanted


def _require_memory(workers: int | None) -> None:
    """Raises where this machine's memory does not hold so many workers."""
    most = max(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // WORKER_BYTES, 1)
    if workers is not None and workers > most:
        raise ClusterError(
            f"{workers:,} workers do not fit into this machine's memory, {most:,} do. Ask for fewer --workers"
        )


def _checked(store: Store, workers: int | None, *, local: bool) -> Cluster:
    """What the connected cluster is, if it will do; see :func:`runtime`."""
    import ray

    memory = tuple(int(node.get("Resources", {}).get("memory", 0)) for node in ray.nodes() if node["Alive"])
    cpus = int(ray.cluster_resources().get("CPU", 0))
    cluster = Cluster(local=local, nodes=len(memory), cpus=cpus, memory=memory)
    if cluster.nodes > 1 and store.is_local:
        raise ClusterError(
            f"store {store.uri} is a local directory, and the cluster has {cluster.nodes} nodes that do not share it; "
            "use object storage, for example --store s3://bucket/path"
        )
    if cluster.cpus < (workers or 1):
        raise ClusterError(
            f"{workers or 1} workers need as many CPUs; the cluster has {cluster.cpus}. Ask for fewer --workers"
        )
    return cluster
