"""The whole job on a real cluster: ``ray start`` with tokens, ``ray job submit``, the same zoo as here."""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import urllib.request
from dataclasses import dataclass
from pathlib import Path

import pytest
from patience import PATIENCE_S, wait
from ray_environment import ROOT

from cluster.verbs.generate import chosen_recipe
from zoo.generation.build import generate_zoo
from zoo.storage.store import Store
from zoo.storage.zoo import Zoo

pytestmark = pytest.mark.slow

BIN = Path(sys.executable).parent
UPLOAD_LIMIT_MIB = 1.25
PORTS = (
    "port", "dashboard-port", "dashboard-agent-listen-port", "dashboard-agent-grpc-port", "runtime-env-agent-port",
    "node-manager-port", "object-manager-port", "ray-client-server-port", "metrics-export-port",
)  # fmt: skip
WORKER_PORTS = 20


@dataclass(frozen=True)
class Head:
    """A running cluster: where jobs go, where drivers connect, what its users have in their environment."""

    jobs: str
    drivers: str
    environment: dict[str, str]
    folder: Path

    def unpacked(self):
        """The working directory as it arrived."""
        (package,) = (self.folder / "ray").glob("session_2*/runtime_resources/working_dir_files/_ray_pkg_*/")
        return package


def free_ports(count):
    """Ports that nobody listens on now."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]


def processes_of(marker):
    """Processes whose command line or environment names this cluster's folder."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            words = (entry / "cmdline").read_bytes() + (entry / "environ").read_bytes()
            if marker.encode() in words and int(entry.name) != os.getpid():
                found.append(int(entry.name))
    return found


def takes_jobs(address, token):
    """Whether the head lists its jobs: what `ray job list` asks it, without another process at each try."""
    listing = urllib.request.Request(f"{address}/api/jobs/", headers={"Authorization": f"Bearer {token}"})
    with contextlib.suppress(OSError), urllib.request.urlopen(listing, timeout=10) as answer:
        return answer.status == 200
    return False


@pytest.fixture(scope="module")
def cluster():
    """A head node on loopback with token authentication."""
    if not Path("/proc/self/environ").exists():
        pytest.skip("the test finds the processes that it has to end in /proc")
    # Sockets lie in it, and their paths may have 107 characters.
    folder = Path(tempfile.mkdtemp(prefix="zs-", dir="/tmp"))
    token = folder / "token"
    token.write_text("fedcba9876543210" * 4)
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("RAY_", "PYTHONPATH"))}
    environment |= {
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN_PATH": str(token),
        "RAY_TMPDIR": str(folder),
        "RAY_USAGE_STATS_ENABLED": "0",
        "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}",
    }
    ports = dict(zip(PORTS, free_ports(len(PORTS)), strict=True))
    workers = ",".join(map(str, free_ports(WORKER_PORTS)))
    command = [
        str(BIN / "ray"), "start", "--head", "--block", "--node-ip-address", "127.0.0.1", "--num-cpus", "2",
        "--temp-dir", str(folder / "ray"), "--dashboard-host", "127.0.0.1", "--include-dashboard", "true",
        "--object-store-memory", str(256 * 2**20), "--disable-usage-stats", "--worker-port-list", workers,
        *(word for name, port in ports.items() for word in (f"--{name}", str(port))),
    ]  # fmt: skip
    log = folder / "start.log"
    with log.open("w") as output:
        head = subprocess.Popen(
            command, env=environment, cwd=folder, stdout=output, stderr=subprocess.STDOUT, start_new_session=True
        )
    address = f"http://127.0.0.1:{ports['dashboard-port']}"
    try:
        ready = wait(lambda: head.poll() is not None or takes_jobs(address, token.read_text()))
        if head.poll() is not None:
            pytest.skip(f"`ray start` is not possible here: {log.read_text()[-500:]}")
        assert ready, log.read_text()[-2000:]
        yield Head(address, f"127.0.0.1:{ports['port']}", environment, folder)
    finally:
        for process in processes_of(str(folder)):
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)
        head.wait(10)
        shutil.rmtree(folder, ignore_errors=True)


def compressed_mib(folder, scratch):
    """Size of a folder as a zip file."""
    return Path(shutil.make_archive(str(scratch / "upload"), "zip", folder)).stat().st_size / 2**20


def submit(cluster, *arguments):
    """Submits ``python -m cluster`` with the repository as working directory; returns all that was printed."""
    command = [
        str(BIN / "ray"), "job", "submit", "--address", cluster.jobs, "--working-dir", ".", "--",
        "python", "-m", "cluster", *arguments,
    ]  # fmt: skip
    done = subprocess.run(
        command, env=cluster.environment, cwd=ROOT, capture_output=True, text=True, timeout=PATIENCE_S
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done.stdout + done.stderr


def test_generate_search_analyze_as_jobs(cluster, tmp_path):
    store = str(tmp_path / "store")
    settings = ["--set", "shard_members=16"]
    submit(cluster, "generate", "digits-mlp-diverse", "--members", "96", "--epochs", "3", *settings, "--store", store)
    assert compressed_mib(cluster.unpacked(), tmp_path) < UPLOAD_LIMIT_MIB
    recipe = chosen_recipe("digits-mlp-diverse", {"members": 96, "epochs": 3}, ["shard_members=16"])
    here = generate_zoo(recipe, tmp_path / "here")
    there = Zoo.open(here.name, store=Store(store))
    assert there.content_sha256 == here.content_sha256

    submit(
        cluster, "search", "digits-autoencoder", "--zoo", here.name, "--trials", "2", "--epochs", "2", "--store", store
    )
    studies = Store(store).folders("studies")
    assert len(studies) == 1
    models = [path for path in Store(store).list(f"studies/{studies[0]}/checkpoints") if path.endswith(".safetensors")]
    assert len(models) == 2

    words = submit(
        cluster, "analyze", "--zoo", here.name, "--study", studies[0], "--codecs", "uniform,float16",
        "--members", "8", "--store", store,
    )  # fmt: skip
    reports = [path for path in Store(store).list("reports") if path.endswith("report.html")]
    assert len(reports) == 1
    assert reports[0] in words
    assert b"<html" in Store(store).read(reports[0])[:500]


def test_wrong_token_is_refused_with_advice(cluster, tmp_path):
    token = tmp_path / "token"
    token.write_text("0" * 64)
    environment = {
        **cluster.environment,
        "RAY_AUTH_TOKEN_PATH": str(token),
        "RAY_ADDRESS": cluster.drivers,
        "RAY_NUM_REDIS_GET_RETRIES": "2",  # so often Ray asks again, at one second each; else twenty times
        "PYTHONPATH": str(ROOT),
    }
    refused = subprocess.run(
        [sys.executable, "-m", "cluster", "generate", "digits-mlp-diverse", "--members", "16", "--store", "store"],
        env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=PATIENCE_S,
    )  # fmt: skip
    assert refused.returncode == 2, refused.stderr
    assert "RAY_AUTH_TOKEN_PATH" in refused.stderr.splitlines()[-1]
    assert "Traceback" not in refused.stderr
