"""The dashboards show a copy of a study, on loopback, and end with Ctrl-C or SIGTERM."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request

import optuna_dashboard
import pytest
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from patience import PATIENCE_S, wait
from ray_environment import ROOT

from cluster.distributed.journal import SearchFolder
from cluster.distributed.study import end, load_study
from cluster.verbs.dashboard import Dashboard, copy_journal, find_folder
from search_spaces.studies import DIGITS_AUTOENCODER
from trainables.trials import Outcome
from zoo.storage.store import Store


@pytest.fixture
def store(tmp_path):
    """A store with two studies that have a trial each."""
    store = Store(tmp_path / "store")
    for name in ("older-11111111", "newer-22222222"):
        folder = SearchFolder(store, name)
        with folder.open_journal() as storage:
            study = load_study(storage, name, DIGITS_AUTOENCODER)
            study.tell(study.ask(), [0.5, 0.9])
            folder.save_journal()
        os.utime(folder.journal, (1e9, 1e9 + (name == "newer-22222222")))
    return store


def test_newest_study_is_shown_unless_one_is_named(store):
    assert find_folder(store, None).name == "newer-22222222"
    assert find_folder(store, "old").name == "older-11111111"
    with pytest.raises(ValueError, match=r"there is no study 'x' .* older-11111111"):
        find_folder(store, "x")


def test_a_store_without_studies_says_how_to_make_one(tmp_path):
    with pytest.raises(ValueError, match=r"there is no study in .* yet; `zooscale search STUDY --zoo ZOO` makes one"):
        find_folder(Store(tmp_path), None)


@pytest.mark.parametrize("taken", [0, 1])
def test_a_port_that_is_taken_is_named_before_anything_starts(store, taken):
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        with pytest.raises(ValueError, match=rf"port ({port}|{port - taken}) of 127.0.0.1: .*; --port takes another"):
            Dashboard(store=store.uri, port=port - taken).run()


def shown(folder, tmp_path):
    """What optuna-dashboard answers about the copy of a study."""

    def get(path):
        request = {"REQUEST_METHOD": "GET", "PATH_INFO": path, "QUERY_STRING": "", "wsgi.errors": sys.stderr}
        return json.loads(b"".join(app(request, lambda *_: None)))

    copy_journal(folder, tmp_path / "copy.log")
    app = optuna_dashboard.wsgi(JournalStorage(JournalFileBackend(str(tmp_path / "copy.log"))))
    (study,) = get("/api/studies")["study_summaries"]
    return get(f"/api/studies/{study['study_id']}")


def test_journal_comes_from_the_store_where_it_is_not_here(store, tmp_path):
    folder = SearchFolder(store, "older-11111111")
    folder.journal.unlink()
    study = shown(folder, tmp_path)
    assert study["name"] == "older-11111111"
    assert study["objective_names"] == ["code_bits_per_weight", "agreement"]
    assert [trial["values"] for trial in study["trials"]] == [[0.5, 0.9]]


def test_trials_beyond_a_limit_are_not_shown_as_the_best(store, tmp_path):
    folder = SearchFolder(store, "older-11111111")
    with folder.open_journal() as storage:
        study = load_study(storage, folder.name, DIGITS_AUTOENCODER)
        for bytes_, values in ((60_000, [0.1, 0.99]), (40_000, [0.4, 0.95])):
            trial = study.ask()
            trial.set_user_attr("trainable", "neuron-autoencoder")
            end(study, trial, DIGITS_AUTOENCODER, Outcome(metrics={**named(values), "shared_bytes": bytes_}))
        study.ask()
    before = folder.journal.read_bytes()
    study = shown(folder, tmp_path)
    assert [trial["number"] for trial in study["best_trials"]] == [2]
    assert [trial["constraints"] for trial in study["trials"]] == [[], [10_000.0], [-10_000.0], []]
    assert [trial["state"] for trial in study["trials"]] == ["Complete", "Pruned", "Complete", "Running"]
    assert folder.journal.read_bytes() == before


def named(values):
    return dict(zip(DIGITS_AUTOENCODER.objectives, values, strict=True))


def test_another_machine_has_studies_and_logs_from_the_object_store(tmp_path, monkeypatch):
    store = Store(f"memory://{tmp_path.name}/store")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "here"))
    for name in ("older-11111111", "newer-22222222"):
        folder = SearchFolder(store, name)
        with folder.open_journal() as storage:
            load_study(storage, name, DIGITS_AUTOENCODER)
            folder.save_journal()
        log = folder.tensorboard / "trial-0000" / "events"
        log.parent.mkdir(parents=True)
        for content in (b"first epoch", b"first epoch, second epoch"):
            log.write_bytes(content)
            folder.save_logs()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "elsewhere"))
    folder = find_folder(store, None)
    assert folder.name == "newer-22222222"
    folder.fetch_logs()
    copied = folder.tensorboard / "trial-0000" / "events"
    assert copied.read_bytes() == b"first epoch, second epoch"
    assert tmp_path / "elsewhere" in copied.parents
    copied.write_bytes(b"first epoch, second epoch, third epoch here")
    folder.fetch_logs()
    assert copied.read_bytes().endswith(b"third epoch here"), "what goes further here is kept"


def free_pair():
    """A port that is free, as is the next."""
    while True:
        with contextlib.suppress(OSError), socket.socket() as first, socket.socket() as second:
            first.bind(("127.0.0.1", 0))
            second.bind(("127.0.0.1", first.getsockname()[1] + 1))
            return first.getsockname()[1]


def answer(url, process):
    answers = []

    def asked():
        assert process.poll() is None, process.stderr.read()
        with contextlib.suppress(urllib.error.URLError, ConnectionError), urllib.request.urlopen(url) as response:
            answers.append(response.read())
        return answers

    assert wait(asked, each_s=0.2), f"no answer from {url}"
    return answers[0]


def test_first_dashboard_ends_if_the_second_cannot_start(store, monkeypatch):
    started = []

    def start(command, **_):
        if started:
            raise OSError("no more processes")
        started.append(popen([sys.executable, "-c", "import time; time.sleep(60)"]))
        return started[0]

    popen = subprocess.Popen
    monkeypatch.setattr("cluster.verbs.dashboard.subprocess.Popen", start)
    with pytest.raises(OSError, match="no more processes"):
        Dashboard(store=store.uri, port=1).run()
    assert started[0].poll() == -signal.SIGTERM


@pytest.mark.slow
@pytest.mark.parametrize(("how", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_both_dashboards_answer_and_end_with_a_signal(how, code, store):
    before = SearchFolder(store, "newer-22222222").journal.read_bytes()
    port = free_pair()
    process = subprocess.Popen(
        [sys.executable, "-m", "cluster", "dashboard", "--store", store.uri, "--port", str(port)],
        stderr=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": str(ROOT)}, start_new_session=True,
    )  # fmt: skip
    try:
        assert b"newer-22222222" in answer(f"http://127.0.0.1:{port}/api/studies", process)
        assert b"TensorBoard" in answer(f"http://127.0.0.1:{port + 1}/", process)
        process.send_signal(how)
        _, words = process.communicate(timeout=PATIENCE_S)
        for each in (port, port + 1):
            with pytest.raises(OSError, match="refused"):
                socket.create_connection(("127.0.0.1", each))
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    assert process.returncode == code
    assert f"http://127.0.0.1:{port + 1}/" in words
    assert SearchFolder(store, "newer-22222222").journal.read_bytes() == before
