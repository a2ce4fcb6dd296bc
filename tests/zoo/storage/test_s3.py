"""Stores on object storage, with real servers: what is honoured, what is retried, and what an error says."""

import multiprocessing
import os
import pickle
import threading
import time
import uuid

import object_storage
import pytest
import s3fs
from object_storage import (
    BUCKET,
    BUSY,
    CUT_ANSWER,
    CUT_DOWNLOAD,
    CUT_UPLOAD,
    PASS,
    SECRET,
    Proxy,
    Rclone,
    moto_server,
    needs_moto,
    needs_rclone,
    use,
)
from patience import PATIENCE_S

from zoo.storage import backoff
from zoo.storage.errors import ZooError
from zoo.storage.store import Store


@pytest.fixture
def uri():
    """A prefix of the bucket that no other test uses."""
    return f"s3://{BUCKET}/{uuid.uuid4()}/prefix"


@pytest.fixture(scope="module")
def rclone(tmp_path_factory):
    server = Rclone(tmp_path_factory.mktemp("rclone") / "data")
    yield server
    server.kill()


@pytest.fixture(scope="module")
def moto():
    with moto_server() as url:
        yield url


@pytest.fixture
def quick(monkeypatch):
    """Short pauses, and a patience that a test can wait for."""
    monkeypatch.setattr(backoff, "SHORTEST_WAIT_S", 0.01)
    monkeypatch.setattr(backoff, "LONGEST_WAIT_S", 0.2)
    monkeypatch.setenv(backoff.PATIENCE_VARIABLE, "5")


@pytest.fixture(params=[pytest.param("rclone", marks=needs_rclone), pytest.param("moto", marks=needs_moto)])
def server(request, monkeypatch):
    """The address of a server with the bucket; one ignores If-None-Match, one honours it."""
    if request.param == "rclone":
        rclone = request.getfixturevalue("rclone")
        use(monkeypatch, rclone.url)
        return rclone.url
    url = request.getfixturevalue("moto")
    use(monkeypatch, url)
    return url


@pytest.fixture
def proxy(server, monkeypatch):
    """A proxy before each of the servers."""
    proxy = Proxy(server)
    use(monkeypatch, proxy.url)
    yield proxy
    proxy.close()


@pytest.fixture
def rclone_proxy(rclone, monkeypatch, quick):
    proxy = Proxy(rclone.url)
    use(monkeypatch, proxy.url)
    yield proxy
    proxy.close()


def first(times, what, *, method=None):
    """A disturbance of the first requests (of a method)."""
    left = [times]

    def disturb(asked, path):
        if left[0] and (method is None or asked == method):
            left[0] -= 1
            return what
        return PASS

    return disturb


# ---- the same store as on disk ----


def test_objects(server, uri):
    store = Store(uri)
    assert store.uri == uri
    assert not store.is_local
    assert store.list() == store.folders() == store.files() == []
    assert store.put_new("a/one", b"first")
    assert not store.put_new("a/one", b"second")
    assert store.read("a/one") == store.read(f"{uri}/a/one") == b"first"
    store.put("a/b/two", b"old")
    store.put("a/b/two", b"new")
    assert store.read("a/b/two") == b"new"
    assert store.list() == ["a/b/two", "a/one"]
    assert (store.files("a"), store.folders("a"), store.folders()) == (["one"], ["b"], ["a"])
    assert store.size("a/one") == 5
    assert [store.exists(path) for path in ("a/one", "a", "b")] == [True, True, False]
    for missing in (store.read, store.size):
        with pytest.raises(FileNotFoundError):
            missing("a/none")
    store.delete("a/one")
    assert store.list() == ["a/b/two"]


def test_listings_of_several_pages(server, uri, monkeypatch):
    original = s3fs.S3FileSystem.call_s3
    monkeypatch.setattr(
        s3fs.S3FileSystem,
        "call_s3",
        lambda self, method, **given: original(
            self, method, **given, **({"MaxKeys": 3} if method == "list_objects_v2" else {})
        ),
    )
    store = Store(uri)
    paths = [f"folder/{number}" for number in range(7)] + [f"folder/deep{number}/x" for number in range(4)]
    for path in paths:
        store.put(path, b"")
    assert store.list() == store.list("folder") == sorted(paths)
    assert store.files("folder") == [str(number) for number in range(7)]
    assert store.folders("folder") == [f"deep{number}" for number in range(4)]


def test_parts_of_an_object(server, uri):
    store = Store(uri)
    data = bytes(range(250))
    store.put("numbers", data)
    assert store.read_ranges("numbers", [(10, 20), (0, 3), (10, 20), (240, 999), (300, 310)]) == [
        data[10:20], data[:3], data[10:20], data[240:], b""
    ]  # fmt: skip
    with pytest.raises(FileNotFoundError):
        store.read_ranges("none", [(0, 1)])


@pytest.mark.slow
def test_large_objects_are_created_once_too(server, uri):
    store = Store(uri)
    data = os.urandom(1 << 20) * 101  # s3fs sends more than 100 MiB in parts
    assert store.put_new("large", data)
    assert not store.put_new("large", b"small")
    assert store.size("large") == len(data)
    assert store.read_ranges("large", [(len(data) - 100, len(data))]) == [data[-100:]]


@needs_moto
def test_one_of_many_concurrent_writers_wins(moto, monkeypatch, uri):
    use(monkeypatch, moto)
    store = Store(uri)
    barrier, won = threading.Barrier(6), []

    def write(number):
        barrier.wait()
        if store.put_new("shard", bytes([number]) * 50_000):
            won.append(number)

    threads = [threading.Thread(target=write, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(won) == 1
    assert store.read("shard") == bytes(won) * 50_000


@needs_rclone
def test_server_that_ignores_conditions_is_found_out_once(rclone, rclone_proxy, caplog, uri):
    store = Store(uri)
    assert store.put_new("one", b"1")
    assert not store.put_new("one", b"2")
    assert pickle.loads(pickle.dumps(store)).put_new("two", b"2")
    assert [record.message for record in caplog.records] == [caplog.records[0].message]
    assert "let one `zooscale generate` at a time" in caplog.text
    assert sum("probe" in request.path for request in rclone_proxy.log) == 3, "two PUTs and a DELETE"
    assert store.list() == ["one", "two"]


@needs_moto
def test_server_that_honours_conditions_is_not_warned_about(moto, monkeypatch, caplog, uri):
    use(monkeypatch, moto)
    assert Store(uri).put_new("one", b"1")
    assert caplog.text == ""


def _read_in_child(store, answers):
    answers.put(store.read("one"))


def test_forked_process_makes_connections_of_its_own(server, uri):
    store = Store(uri)
    store.put("one", b"1")
    context = multiprocessing.get_context("fork")
    answers = context.Queue()
    child = context.Process(target=_read_in_child, args=(store, answers))
    child.start()
    assert answers.get(timeout=PATIENCE_S) == b"1"
    child.join()
    assert store.read("one") == b"1"


# ---- what passes is retried ----


@pytest.mark.parametrize(
    ("server", "what", "method"),
    [
        *(
            pytest.param("rclone", *disturbance, marks=needs_rclone)
            for disturbance in ((BUSY, None), (CUT_UPLOAD, "PUT"), (CUT_DOWNLOAD, "GET"), (CUT_ANSWER, None))
        ),
        # Where the server itself refuses what an earlier attempt has created already.
        *(pytest.param("moto", what, "PUT", marks=needs_moto) for what in (CUT_UPLOAD, CUT_ANSWER)),
    ],
    indirect=["server"],
)
def test_disturbances_pass(proxy, quick, what, method, uri):
    store = Store(uri)
    data = os.urandom(300_000)
    assert store.put_new("warm", b"up")
    proxy.disturb = first(2, what, method=method)
    assert store.put_new("shard", data) is True, "also where it had arrived and only the answer was lost"
    proxy.disturb = first(1, what, method=method)
    assert store.read("shard") == data
    proxy.disturb = first(1, what, method=method)
    assert store.read_ranges("shard", [(5, 9), (100, 250_000)]) == [data[5:9], data[100:250_000]]
    proxy.disturb = first(1, what, method=method)
    assert store.list() == ["shard", "warm"]
    proxy.disturb = first(1, what, method=method)
    assert store.put_new("shard", b"other") is False
    assert store.read("shard") == data


@needs_rclone
def test_upload_that_is_cut_for_good_leaves_nothing_to_read(rclone_proxy, rclone, monkeypatch, uri):
    store = Store(uri)
    store.put_new("warm", b"up")
    monkeypatch.setenv(backoff.PATIENCE_VARIABLE, "0.5")
    rclone_proxy.disturb = lambda method, _path: CUT_UPLOAD if method == "PUT" else PASS
    with pytest.raises(ZooError, match="does not answer") as caught:
        store.put_new("shard", os.urandom(300_000))
    assert rclone_proxy.url in str(caught.value)
    rclone_proxy.disturb = lambda _method, _path: PASS
    assert store.list() == ["warm"]


@needs_rclone
def test_throttling_without_end_is_an_error_that_says_so(rclone_proxy, monkeypatch, caplog, uri):
    monkeypatch.setenv(backoff.PATIENCE_VARIABLE, "0.4")
    monkeypatch.setattr("zoo.storage.store.QUIET_ATTEMPTS", 2)
    rclone_proxy.disturb = lambda _method, _path: BUSY
    with pytest.raises(ZooError, match=r"is throttling \(SlowDown\); use fewer --workers") as caught:
        Store(uri).read("one")
    assert "tried" in str(caught.value)
    assert rclone_proxy.url in str(caught.value)
    assert "trying again for up to" in caplog.text


@needs_rclone
def test_server_that_is_away_for_a_moment(tmp_path, monkeypatch, quick, uri):
    server = Rclone(tmp_path / "data")
    use(monkeypatch, server.url)
    store = Store(uri)
    store.put("one", b"1")
    server.kill()
    revival = threading.Timer(0.4, server.start)
    revival.start()
    started = time.monotonic()
    assert store.read("one") == b"1"
    assert time.monotonic() - started > 0.3
    revival.join()
    server.kill()


# ---- what does not pass says what to check ----


def error_of(call):
    with pytest.raises(ZooError) as caught:
        call()
    assert SECRET not in str(caught.value)
    assert "Signature=" not in str(caught.value)
    return str(caught.value)


CALLS = [
    lambda store: store.read("one"),
    lambda store: store.size("one"),
    lambda store: store.exists("one"),
    lambda store: store.list("zoos"),
    lambda store: store.folders("zoos"),
    lambda store: store.read_ranges("one", [(0, 1)]),
    lambda store: store.put("one", b"1"),
    lambda store: store.put_new("one", b"1"),
]


@needs_rclone
@pytest.mark.parametrize(
    ("options", "words"),
    [({"secret": "wrong"}, "SignatureDoesNotMatch"), ({"key": "nobody"}, "InvalidAccessKeyId")],
)
def test_wrong_credentials(rclone, monkeypatch, options, words, uri):
    use(monkeypatch, rclone.url, **options)
    for call in CALLS:
        message = error_of(lambda call=call: call(Store(uri)))
        assert f"{rclone.url} refuses the credentials ({words}); check AWS_ACCESS_KEY_ID" in message
        assert "tried" not in message


def test_missing_bucket(server):
    for call in [*CALLS, lambda store: store.delete("one")]:
        message = error_of(lambda call=call: call(Store("s3://nowhere/prefix")))
        assert f"there is no bucket 'nowhere' at {server}; create it" in message


@needs_rclone
def test_no_credentials(rclone, monkeypatch, tmp_path, uri):
    use(monkeypatch, rclone.url)
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    message = error_of(lambda: Store(uri).read("one"))
    assert f"no credentials for {rclone.url} were found; set AWS_ACCESS_KEY_ID" in message


@needs_rclone
def test_profile(rclone, monkeypatch, tmp_path, uri):
    (tmp_path / "config").write_text(f"[profile keeper]\nendpoint_url = {rclone.url}\nregion = us-east-1\n")
    (tmp_path / "keys").write_text(
        f"[keeper]\naws_access_key_id = {object_storage.KEY}\naws_secret_access_key = {SECRET}\n"
    )
    use(monkeypatch, rclone.url)
    for name in ("AWS_ENDPOINT_URL", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_REGION"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "keys"))
    monkeypatch.setenv("AWS_PROFILE", "keeper")
    store = Store(uri)
    assert store.put_new("one", b"1")
    assert store.read("one") == b"1"
    monkeypatch.setenv("AWS_PROFILE", "stranger")
    s3fs.S3FileSystem.clear_instance_cache()
    assert "there is no profile 'stranger'" in error_of(lambda: Store(uri).read("one"))


def test_endpoint_down_from_the_start(monkeypatch, uri):
    url = f"http://127.0.0.1:{object_storage.free_port()}"
    use(monkeypatch, url)
    monkeypatch.setenv(backoff.PATIENCE_VARIABLE, "0")
    for call in CALLS:
        message = error_of(lambda call=call: call(Store(uri)))
        assert f"{url} does not answer" in message
        assert "check that it is up, the network, and AWS_ENDPOINT_URL" in message


@needs_rclone
def test_http_taken_for_https(rclone, monkeypatch, uri):
    use(monkeypatch, rclone.url.replace("http:", "https:"))
    assert "does not speak TLS" in error_of(lambda: Store(uri).read("one"))


def test_password_in_the_address_is_not_told(monkeypatch, uri):
    monkeypatch.setenv(backoff.PATIENCE_VARIABLE, "0")
    use(monkeypatch, f"http://user:{SECRET}@127.0.0.1:{object_storage.free_port()}")
    assert "http://127.0.0.1" in error_of(lambda: Store(uri).read("one"))


def test_store_without_a_bucket():
    with pytest.raises(ZooError, match="names no bucket"):
        Store("s3://")


def test_patience(monkeypatch):
    monkeypatch.delenv(backoff.PATIENCE_VARIABLE, raising=False)
    assert backoff.patience_s(answered=True) > backoff.patience_s(answered=False) > 0
    for given in ("soon", "-1", "nan"):
        monkeypatch.setenv(backoff.PATIENCE_VARIABLE, given)
        with pytest.raises(ValueError, match=rf"ZOOSCALE_PATIENCE_S is '{given}'; allowed: seconds"):
            backoff.patience_s(answered=True)
    waits = backoff.waits()
    first_waits = [next(waits) for _ in range(12)]
    assert all(0.05 <= wait <= backoff.LONGEST_WAIT_S for wait in first_waits)
    assert first_waits[-1] >= backoff.LONGEST_WAIT_S / 2
