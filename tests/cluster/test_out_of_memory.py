"""What becomes of fits whose workers Ray ends for want of memory."""

import subprocess
import sys

import pytest
from patience import PATIENCE_S
from ray_environment import environment

from cluster.distributed.runtime import quieten
from trainables import trials
from trainables.fit_data import fit_data
from trainables.study_files import StudyFolder
from trainables.trials import TrialFit
from zoo.storage.store import Store

quieten()

from ray.exceptions import OutOfMemoryError  # noqa: E402

from cluster.distributed import tuning  # noqa: E402
from cluster.distributed.tuning import EPOCH, FitActor, Shared, make_on_ray  # noqa: E402

SMALL = {"latent": 8, "encoder_width": 8, "decoder_width": 8, "epochs": 3}


class Listed:
    """A list of fits, and the epochs that it is told of."""

    def __init__(self, count):
        configs = [{**SMALL, "seed": seed} for seed in range(count)]
        self.waiting = [TrialFit(trial=i, trainable="neuron-autoencoder", config=c) for i, c in enumerate(configs)]
        self.seen, self.failures, self.put_back_trials = [], [], []

    def next(self):
        return self.waiting.pop(0)

    def see(self, one, epoch):
        self.seen.append((one.trial, epoch.epoch))
        if epoch.outcome is not None:
            self.failures.append(epoch.outcome.failure)

    def put_back(self, one):
        self.put_back_trials.append(one.trial)
        self.waiting.append(one)


class Tune:
    """Goes through fits as Ray Tune does, and is ended like it where a worker is killed.

    Args:
        shared: What fits share.
        kills: After how many epochs, counted in each run, a worker is killed; ``None`` for never.
    """

    def __init__(self, shared, kills):
        self.shared, self.kills, self.workers = shared, list(kills), []

    def __call__(self, actor, proposals, watch, count, workers):
        self.workers.append(workers)
        kill, done, running = self.kills.pop(0), 0, {}
        for number in range(count):
            running[f"trial {number}"] = FitActor.__new__(FitActor)
            running[f"trial {number}"].setup(proposals.suggest(f"trial {number}"), shared=self.shared)
            while len(running) >= (workers if number < count - 1 else 1):
                for name, each in list(running.items()):
                    if done == kill:
                        raise RuntimeError("Caught unexpected exception: 4 kB") from OutOfMemoryError("4 kB")
                    result, done = each.step(), done + 1
                    watch._see(name, result[EPOCH])
                    if result["done"]:
                        del running[name]


@pytest.fixture
def said(monkeypatch):
    words = []
    monkeypatch.setattr(tuning, "say", words.append)
    monkeypatch.setattr(trials, "STATE_S", 0.0)
    return words


def make(small_zoo, tmp_path, monkeypatch, count, workers, kills):
    shared = Shared(fit_data(small_zoo), StudyFolder(Store(tmp_path), "s"), tmp_path / "states")
    fits, tune = Listed(count), Tune(shared, kills)
    monkeypatch.setattr(tuning, "_tune", tune)
    make_on_ray(fits, count, shared, workers=workers)
    return fits, tune


def test_fits_go_on_from_their_last_states_with_fewer_at_a_time(small_zoo, tmp_path, monkeypatch, said):
    fits, tune = make(small_zoo, tmp_path, monkeypatch, 4, 2, [7, None])
    assert tune.workers == [2, 1]
    assert said == ["memory ran out and Ray ended a fit: going on from the last states, 1 at a time"]
    assert fits.put_back_trials == [2, 3]
    assert sorted(fits.seen) == [(trial, epoch) for trial in range(4) for epoch in (1, 2, 3)], "no epoch is made twice"
    assert fits.failures == [None] * 4


def test_one_that_is_too_large_even_alone_fails_and_the_others_are_made(small_zoo, tmp_path, monkeypatch, said):
    fits, tune = make(small_zoo, tmp_path, monkeypatch, 2, 1, [0, 0, 0, None])
    assert tune.workers == [1] * 4
    assert len(said) == 2
    assert sorted(failure is None for failure in fits.failures) == [False, True]
    assert "more memory than there is" in next(filter(None, fits.failures))


def test_what_a_callback_raises_is_raised(small_zoo, tmp_path, monkeypatch, said):
    def broken(self, one, epoch):
        raise OSError("the journal cannot be written")

    monkeypatch.setattr(Listed, "see", broken)
    with pytest.raises(OSError, match="the journal cannot be written"):
        make(small_zoo, tmp_path, monkeypatch, 1, 1, [None])


@pytest.mark.slow
def test_search_says_in_a_sentence_that_memory_ran_out(zoo_copy, tmp_path):
    done = subprocess.run(
        [
            sys.executable, "-m", "cluster", "search", "digits-autoencoder", "--zoo", zoo_copy.uri,
            "--store", zoo_copy.store.uri, "--trials", "1", "--epochs", "2", "--set", "latent=16", "--workers", "2",
        ],
        # Any machine uses more than that, so Ray ends every worker.
        env={**environment(tmp_path), "RAY_memory_usage_threshold": "0.001", "RAY_memory_monitor_refresh_ms": "100"},
        cwd=tmp_path, capture_output=True, text=True, timeout=PATIENCE_S,
    )  # fmt: skip
    assert done.returncode == 1
    assert "memory ran out and Ray ended a fit: going on from the last states, 1 at a time" in done.stderr
    assert "it needs more memory than there is" in done.stderr.splitlines()[-1]
    assert len(done.stderr) < 1500, "nothing of the 4 kB that Ray says"
