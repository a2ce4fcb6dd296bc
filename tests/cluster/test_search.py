"""Studies: what is recorded, what is continued, what a trial does; with Ray in the slow tests."""

import io
import json
import math
import subprocess
import sys
import time
from dataclasses import asdict
from pathlib import Path

import optuna
import pandas as pd
import pytest
from optuna.trial import TrialState
from patience import PATIENCE_S, wait
from ray_environment import environment

from analysis.measuring.measured_trials import MEASURED_TRIALS
from cluster.distributed.journal import SearchFolder
from cluster.distributed.runtime import quieten
from cluster.distributed.search import export, importances, search, search_folder
from cluster.distributed.study import FAILURE, INTERRUPTED, METRICS, end, finished, load_study, reap, trial_row
from cluster.studies import plan_study
from cluster.verbs.search import Search
from search_spaces.studies import DIGITS_AUTOENCODER, ENCODER_COMPARISON
from trainables import trials as trials_of_studies
from trainables.autoencoders.fit import AutoencoderFit
from trainables.fit_data import fit_data
from trainables.registry import find_trainable
from trainables.study_files import StudyFolder, StudyRecord
from trainables.trainable import run
from trainables.trials import Epoch, Outcome, TrialFit, epochs, make
from zoo.config import to_json
from zoo.storage.errors import ZooError
from zoo.storage.store import Store

quieten()

from cluster.distributed.tuning import EPOCH, FitActor, Shared  # noqa: E402

NEURON = "neuron-autoencoder"
# A network of the small zoo has few rows to choose principal components from.
SMALL = ["latent=16", "validation_members=8"]


@pytest.fixture
def folder(tmp_path):
    return SearchFolder(Store(tmp_path), "study-12345678")


def test_journal_is_copied_under_new_numbers_and_restored(folder):
    with folder.open_journal() as storage:
        load_study(storage, folder.name, DIGITS_AUTOENCODER).ask()
        folder.save_journal()
        folder.save_journal()
        assert [path.rpartition("/")[2] for path in folder.snapshots()] == ["journal-0001.log"]
        load_study(storage, folder.name, DIGITS_AUTOENCODER).ask()
        folder.save_journal()
    assert [path.rpartition("/")[2] for path in folder.snapshots()] == ["journal-0001.log", "journal-0002.log"]
    folder.journal.unlink()
    with folder.open_journal() as storage:
        assert len(load_study(storage, folder.name, DIGITS_AUTOENCODER).trials) == 2


def test_journal_survives_a_half_written_entry(folder):
    with folder.open_journal() as storage:
        load_study(storage, folder.name, DIGITS_AUTOENCODER).ask()
    with folder.journal.open("ab") as file:
        file.write(b'{"op_code": 4, "trial_')
    with folder.open_journal() as storage:
        study = load_study(storage, folder.name, DIGITS_AUTOENCODER)
        study.ask()
        assert len(load_study(storage, folder.name, DIGITS_AUTOENCODER).trials) == 2


def told(folder, count):
    """Goes on with a study by so many trials and copies its journal to the store."""
    with folder.open_journal() as storage:
        study = load_study(storage, folder.name, DIGITS_AUTOENCODER)
        for _ in range(count):
            study.tell(study.ask(), [0.5, 0.9])
        folder.save_journal()
        return len(study.trials)


@pytest.fixture
def machines(tmp_path, monkeypatch):
    """Two machines with a disk each, on one store."""

    def on(name):
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / name))
        folder = SearchFolder(store, "study-12345678")
        assert (tmp_path / name) in folder.live.parents
        return folder

    store = Store(f"memory://{tmp_path.name}")
    return on("here"), on("there")


def test_study_goes_on_from_the_newest_journal(machines):
    here, there = machines
    assert told(here, 2) == 2
    assert told(there, 3) == 5
    assert told(here, 1) == 6
    assert len(here.snapshots()) == 3


def test_journals_that_differ_are_refused(machines):
    here, there = machines
    told(here, 2)
    with here.open_journal() as storage:  # is killed before its journal is copied
        load_study(storage, here.name, DIGITS_AUTOENCODER).ask()
    told(there, 1)
    with pytest.raises(ZooError, match=rf"delete {here.journal} to continue what is in the store"):
        told(here, 1)
    here.journal.unlink()
    assert told(here, 1) == 4


def test_search_elsewhere_at_the_same_time_is_noticed(machines):
    here, there = machines
    with here.open_journal() as storage:
        load_study(storage, here.name, DIGITS_AUTOENCODER).ask()
        told(there, 1)
        with pytest.raises(ZooError, match="one machine at a time"):
            here.save_journal()
    assert len(here.snapshots()) == 1


def test_older_journal_does_not_become_the_newest(machines):
    here, there = machines
    told(here, 1)
    with here.open_journal():
        told(there, 1)
        here.save_journal()
    assert len(here.snapshots()) == 2


def test_second_search_of_a_study_is_refused(folder):
    refused = pytest.raises(BlockingIOError, match="another search of study study-12345678")
    with folder.open_journal(), refused, folder.open_journal():
        pass
    with folder.open_journal():
        pass


def test_live_files_of_a_remote_store_are_in_the_cache(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    folder = SearchFolder(Store("memory://bucket"), "study-12345678")
    assert tmp_path in folder.journal.parents
    assert folder.checkpoint(7) == "studies/study-12345678/checkpoints/trial-0007"


def test_interrupted_trials_are_failed_and_proposed_again(folder):
    with folder.open_journal() as storage:
        study = load_study(storage, folder.name, DIGITS_AUTOENCODER)
        study.tell(study.ask(), [0.5, 0.9])
        diverged = study.ask()
        diverged.set_user_attr(FAILURE, "the loss is nan")
        study.tell(diverged, state=TrialState.FAIL)
        latent = study.ask().suggest_int("latent", 1, 1000)
        assert reap(study) == 1
        assert reap(study) == 0
        assert [trial.number for trial in finished(study)] == [0, 1]
        assert study.trials[2].user_attrs[FAILURE] == INTERRUPTED
        assert study.ask().suggest_int("latent", 1, 1000) == latent


def ended(folder, outcome):
    """The trial of a new study that ends so."""
    with folder.open_journal() as storage:
        study = load_study(storage, folder.name, DIGITS_AUTOENCODER)
        end(study, study.ask(), DIGITS_AUTOENCODER, outcome)
        assert len(finished(study)) == 1
        return study.trials[0]


def test_measurements_of_a_trial_are_recorded(folder):
    metrics = {"code_bits_per_weight": 0.5, "agreement": 0.9, "kl": math.inf}
    trial = ended(folder, Outcome(metrics=metrics, seconds=3.0))
    assert (trial.state, trial.values) == (TrialState.COMPLETE, [0.5, 0.9])
    assert trial.user_attrs[METRICS] == {"code_bits_per_weight": 0.5, "agreement": 0.9}
    row = trial_row(trial)
    assert (row["trial"], row["state"], row["agreement"], row["seconds"]) == (0, "COMPLETE", 0.9, 3.0)


@pytest.mark.parametrize(
    ("outcome", "words"),
    [
        (Outcome(metrics={"code_bits_per_weight": math.nan, "agreement": 0.9}), "not finite"),
        (Outcome(failure="the loss is nan"), "the loss is nan"),
        (Outcome(), "not finite"),
    ],
)
def test_trial_without_objectives_fails(folder, outcome, words):
    trial = ended(folder, outcome)
    assert trial.state == TrialState.FAIL
    assert words in trial.user_attrs[FAILURE]


def test_importances_add_up(folder):
    with folder.open_journal() as storage:
        study = load_study(storage, folder.name, DIGITS_AUTOENCODER)
        study.sampler = optuna.samplers.RandomSampler(seed=0)
        for _ in range(40):
            trial = study.ask()
            latent, rate = trial.suggest_int("latent", 1, 9), trial.suggest_float("rate_loss", 0.1, 1.0)
            study.tell(trial, [float(latent), rate])
        found = importances(study, DIGITS_AUTOENCODER.objectives)
    assert found["code_bits_per_weight"]["latent"] > 0.9
    assert found["agreement"]["rate_loss"] > 0.9
    assert all(abs(sum(shares.values()) - 1) < 1e-6 for shares in found.values())


def test_objective_that_does_not_vary_has_no_importances(folder):
    with folder.open_journal() as storage:
        study = load_study(storage, folder.name, DIGITS_AUTOENCODER)
        study.sampler = optuna.samplers.RandomSampler(seed=0)
        for _ in range(8):
            trial = study.ask()
            study.tell(trial, [float(trial.suggest_int("latent", 1, 9)), 1.0])
        found = importances(study, DIGITS_AUTOENCODER.objectives)
    assert found == {"code_bits_per_weight": {"latent": 1.0}, "agreement": {}}


def plan(zoo, store, settings=SMALL, **named):
    return plan_study(DIGITS_AUTOENCODER, zoo.uri, str(store), {"epochs": 2, **named}, settings)


def test_study_is_named_by_what_it_is_not_by_its_length(small_zoo):
    store = small_zoo.store.uri
    name = plan(small_zoo, store, trials=2).folder.name
    assert plan(small_zoo, store, trials=9).folder.name == name
    assert plan(small_zoo, store, epochs=3).folder.name != name
    assert plan(small_zoo, store, seed=1).folder.name != name
    assert plan(small_zoo, store, settings=[*SMALL, "bottleneck=gaussian"]).folder.name != name
    assert plan(small_zoo, store, seed=5).study.settings["seed"] == 5


@pytest.fixture
def shared(small_zoo, tmp_path):
    return Shared(fit_data(small_zoo), StudyFolder(Store(tmp_path), "s"), tmp_path / "states")


def test_a_preset_is_for_those_of_the_trainables_that_have_it(small_zoo):
    def chosen(*settings, **named):
        plan = plan_study(ENCODER_COMPARISON, small_zoo.uri, small_zoo.store.uri, named, settings)
        return plan.study.preset

    assert chosen() == chosen("trainables=sne,weights-and-behavior") == "small"
    assert chosen("trainables=weights,weights-and-behavior") == ""
    assert chosen("trainables=weights,sne", "preset=") == ""
    with pytest.raises(ValueError, match=r"Study\.preset is 'large'; allowed: none"):
        chosen("trainables=weights,weights-and-behavior", preset="large")


def test_networks_are_searched_with_the_inputs_that_the_analysis_gives_them(small_zoo):
    data = fit_data(small_zoo, validation_members=5)
    dead_D = (data.dataset.train.values == 0).flatten(1).all(dim=0)
    for (found,), raw in [
        (data.training, small_zoo.population("train")),
        (data.validation, small_zoo.population("validation", epochs="one", limit=5)),
    ]:
        weight_MHD = found.architecture.tensors(found.weights_MP)["1.weight"]
        raw_MHD = raw.architecture.tensors(raw.weights_MP)["1.weight"]
        assert float(raw_MHD[:, :, dead_D].abs().sum()) > 0
        assert float(weight_MHD[:, :, dead_D].abs().sum()) == 0
        assert (weight_MHD[:, :, ~dead_D] == raw_MHD[:, :, ~dead_D]).all()


def trial_fit(number=0, trainable=NEURON, fit=0, **changes):
    small = {"latent": 16, "epochs": 2, "encoder_width": 32, "decoder_width": 32} if trainable == NEURON else {}
    config = find_trainable(trainable).configuration({**small, **changes})
    return TrialFit(trial=number, trainable=trainable, config=to_json(config), fit=fit)


def begun(one, shared):
    actor = FitActor.__new__(FitActor)
    actor.setup(asdict(one), shared=shared)
    return actor


def stored(shared, number=3, fit=0):
    return {
        path.rpartition("/")[2]: shared.folder.store.read(path)
        for path in shared.folder.store.list(shared.folder.checkpoint(number, fit))
    }


def test_fit_is_validated_and_stored_at_its_end(shared):
    actor = begun(trial_fit(3), shared)
    first, last = actor.step(), actor.step()
    assert (first["done"], first[EPOCH].epoch, first[EPOCH].epochs) == (False, 1, 2)
    assert last["done"]
    assert 0 < last[EPOCH].outcome.metrics["code_bits_per_weight"] < 32
    assert 0 <= last[EPOCH].outcome.metrics["agreement"] <= 1
    assert list(stored(shared)) == ["artifact.json", "config.json", "model.safetensors"]


def test_any_trainable_is_fitted(shared):
    last = begun(trial_fit(3, "uniform", step=0.5), shared).step()
    assert last["done"]
    assert last[EPOCH].outcome.metrics["agreement"] > 0.8
    assert len(stored(shared)) == 3


def test_artifact_that_the_journal_does_not_know_is_replaced(shared):
    model = f"{shared.folder.checkpoint(3)}/model.safetensors"
    shared.folder.store.put(model, b"of another study that was given up")
    make(trial_fit(3), shared.data, shared.folder)
    expected = run(find_trainable(NEURON).fit(find_trainable(NEURON).configuration(trial_fit(3).config), shared.data))
    assert stored(shared)["model.safetensors"] == expected.artifact().to_files()["model.safetensors"]


def test_stopped_fit_goes_on_from_its_last_state(shared, monkeypatch):
    monkeypatch.setattr(trials_of_studies, "STATE_S", 0.0)
    whole = make(trial_fit(0, epochs=4), shared.data, shared.folder)
    stopped = epochs(trial_fit(1, epochs=4), shared.data, shared.folder, shared.states)
    assert [next(stopped).epoch for _ in range(2)] == [1, 2]
    stopped.close()
    # As another trial: the parameters of one that was interrupted are proposed again under a new number.
    *others, last = epochs(trial_fit(2, epochs=4), shared.data, shared.folder, shared.states)
    assert [epoch.epoch for epoch in (*others, last)] == [3, 4]
    assert last.outcome.metrics == whole.metrics
    assert stored(shared, 2) == stored(shared, 0)
    assert list(shared.states.iterdir()) == [], "what has ended needs no state"


def test_fit_that_is_stopped_while_it_is_validated_is_not_trained_again(shared, monkeypatch):
    def killed(self):
        raise KeyboardInterrupt

    monkeypatch.setattr(trials_of_studies, "STATE_S", 0.0)
    with monkeypatch.context() as context:
        context.setattr(AutoencoderFit, "validate", killed)
        with pytest.raises(KeyboardInterrupt):
            list(epochs(trial_fit(), shared.data, shared.folder, shared.states))
    (last,) = epochs(trial_fit(), shared.data, shared.folder, shared.states)
    assert last.outcome.metrics["agreement"] > 0


def test_actor_is_reused_for_the_next_fit(shared):
    reused = begun(trial_fit(0, seed=1), shared)
    reused.step()
    assert reused.reset_config(asdict(trial_fit(1, seed=2)))
    fresh = begun(trial_fit(1, seed=2), shared)
    assert reused.step() == fresh.step()
    assert reused.reset_config(asdict(trial_fit(1, "uniform")))
    assert reused.step()["done"]


def test_a_further_fit_is_that_of_another_seed(shared):
    assert make(trial_fit(0, fit=2, seed=5), shared.data, shared.folder).failure is None
    make(trial_fit(3, seed=7), shared.data, shared.folder)
    assert stored(shared, 0, 2) == stored(shared, 3)


def test_fit_that_diverges_says_so_and_leaves_nothing(shared):
    for fit in (0, 1):
        outcome = make(trial_fit(0, fit=fit, learning_rate=1e30), shared.data, shared.folder)
        assert "learning_rate" in outcome.failure
        assert stored(shared, 0, fit) == {}


def command(zoo, trials, seeds=1, workers=2):
    settings = [word for assignment in SMALL for word in ("--set", assignment)]
    return [
        sys.executable, "-m", "cluster", "search", "digits-autoencoder", "--zoo", zoo.uri, "--store", zoo.store.uri,
        "--trials", str(trials), "--epochs", "2", "--seeds", str(seeds), *settings, "--json",
        *(["--workers", str(workers)] if workers else []),
    ]  # fmt: skip


def run_search(zoo, trials, tmp_path, seeds=1, workers=2):
    done = subprocess.run(
        command(zoo, trials, seeds, workers),
        env=environment(tmp_path),
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def trials_of(store, result):
    name = result["study_name"]
    return pd.read_parquet(io.BytesIO(store.read(f"studies/{name}/trials.parquet"))).set_index("trial")


def killed_search(zoo, tmp_path, workers):
    """Ends a search of four trials when it has stored the first artifact; returns when those in the store were made."""
    driver = subprocess.Popen(
        command(zoo, 4, workers=workers), env=environment(tmp_path), cwd=tmp_path,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
    )  # fmt: skip
    studies = Path(zoo.store.uri) / "studies"
    try:
        assert wait(lambda: driver.poll() is not None or any(studies.glob("*/checkpoints/*/artifact.json")), 0.05)
    finally:
        driver.kill()
        driver.wait()
    stored = {path: path.stat().st_mtime_ns for path in studies.glob("*/checkpoints/*/artifact.json")}
    assert stored
    return stored


def assert_is_whole(zoo, result, stored):
    """Five trials, none failed, made twice or proposed twice, with all that they leave; the best with three seeds."""
    assert (result["trials_completed"], result["trials_failed"]) == (5, 0)
    assert all(path.stat().st_mtime_ns == when for path, when in stored.items())
    trials = trials_of(zoo.store, result)
    proposals = trials[["bits_per_latent", "learning_rate"]].drop_duplicates()
    assert len(proposals) == 5, "a continued sampler does not propose the same again"
    record = StudyRecord.open(zoo.store, result["study_name"])
    best = record.pareto_trials()
    assert set(best) <= set(trials.index)
    test = zoo.population("test", epochs="one")
    for trial in trials.index:
        codec = record.artifact(int(trial))
        assert codec.decompress(codec.compress(test)).shape == test.weights_MP.shape
        assert abs(codec.shared_bytes - trials.loc[trial, "shared_bytes"]) < 1
    assert len(list(Path(result["tensorboard"]).glob("trial-*/events*"))) >= 5
    assert result["new_fits"] == 2 * len(best)
    assert all(record.fits(trial) == [0, 1, 2] for trial in best)


@pytest.mark.slow
def test_study_runs_is_killed_goes_on_and_is_extended(zoo_copy, tmp_path):
    stored = killed_search(zoo_copy, tmp_path, None)
    result = run_search(zoo_copy, 4, tmp_path, workers=None)
    assert (result["trials_completed"], result["trials_failed"]) == (4, 0)
    first = trials_of(zoo_copy.store, result)

    longer = run_search(zoo_copy, 5, tmp_path, seeds=3, workers=None)
    assert longer["new_trials"] == 1
    assert_is_whole(zoo_copy, longer, stored)
    second = trials_of(zoo_copy.store, longer)
    same = ["latent", "bits_per_latent", "learning_rate", "code_bits_per_weight", "agreement", "seconds"]
    pd.testing.assert_frame_equal(second.loc[first.index, same], first[same])
    again = run_search(zoo_copy, 5, tmp_path, seeds=3, workers=None)
    assert (again["new_trials"], again["new_fits"]) == (0, 0)


@pytest.mark.slow
def test_study_on_ray_is_killed_and_goes_on_to_more_trials_and_seeds(zoo_copy, tmp_path):
    stored = killed_search(zoo_copy, tmp_path, 2)
    result = run_search(zoo_copy, 5, tmp_path, seeds=3, workers=2)
    assert_is_whole(zoo_copy, result, stored)


def test_estimate_knows_of_the_validation(small_zoo, monkeypatch):
    def slow(self):
        time.sleep(0.5)
        return validate(self)

    validate = AutoencoderFit.validate
    monkeypatch.setattr(AutoencoderFit, "validate", slow)
    monkeypatch.setattr("cluster.estimates.ray_start_s", lambda: 5.0)
    options = {"study": "digits-autoencoder", "zoo": small_zoo.uri, "store": small_zoo.store.uri, "trials": 40}
    options |= {"epochs": 2, "settings": tuple(SMALL), "workers": 2}
    result = Search(**options).plan()
    assert 5 + 20 * 0.5 < result.seconds < 5 + 20 * 5
    assert (result.ray, result.workers) == (True, 2)
    further = Search(**options, seeds=3).plan()
    assert further.further_fits == 2 * MEASURED_TRIALS
    assert further.seconds > 2 * 5 + (20 + MEASURED_TRIALS) * 0.5
    assert "and up to 24 fits of the best ones with further seeds" in further.text
    assert 40 * 5_000 < result.bytes < 40 * 1_000_000


@pytest.fixture
def fake_trials(monkeypatch):
    """Trials end at once, until the given number have, and then comes Ctrl-C."""

    def until(stop):
        def make_fits(fits, count, data, folder, states, *, workers=None):
            for done in range(count):
                if done == stop:
                    raise KeyboardInterrupt
                outcome = Outcome(metrics={"code_bits_per_weight": 0.5, "agreement": 0.9})
                fits.see(fits.next(), Epoch(epoch=1, epochs=1, outcome=outcome))

        monkeypatch.setattr("cluster.distributed.search.make_fits", make_fits)

    return until


def test_stopped_search_and_its_extension_are_exported(zoo_copy, fake_trials):
    store = zoo_copy.store
    fake_trials(stop=0)
    with pytest.raises(KeyboardInterrupt):
        search(plan(zoo_copy, store.uri, trials=4))
    folder = plan(zoo_copy, store.uri, trials=4).folder
    assert not store.exists(folder.path("study.json"))
    for trials in (4, 6):
        fake_trials(stop=1)
        with pytest.raises(KeyboardInterrupt):
            search(plan(zoo_copy, store.uri, trials=trials))
        ended = StudyRecord.open(store, folder.name)
        fake_trials(stop=None)
        result = search(plan(zoo_copy, store.uri, trials=trials))
        assert len(ended.trials) == ended.facts["trials_completed"] == trials - result.trials
        assert folder.facts()["trials_completed"] == trials


def test_export_that_misses_trials_is_written_anew(zoo_copy, fake_trials):
    fake_trials(stop=None)
    first = plan(zoo_copy, zoo_copy.store.uri, trials=1)
    search(first)
    told(search_folder(first), 1)  # the extension was killed before it could export
    search(plan(zoo_copy, zoo_copy.store.uri, trials=2))
    assert first.folder.facts()["trials_completed"] == 2


def test_journal_is_copied_while_trials_run(zoo_copy, fake_trials):
    fake_trials(stop=None)
    long = plan(zoo_copy, zoo_copy.store.uri, trials=20)
    search(long)
    assert len(search_folder(long).snapshots()) == 3
    assert not {"agreement", "code_bits_per_weight"} - set(
        StudyRecord.open(zoo_copy.store, long.folder.name).importances
    )


def test_export_without_a_finished_trial_names_the_failure(small_zoo, zoo_copy, monkeypatch):
    study_plan = plan(zoo_copy, zoo_copy.store.uri, trials=1)
    with search_folder(study_plan).open_journal() as storage:
        study = load_study(storage, study_plan.folder.name, study_plan.study)
        trial = study.ask()
        trial.set_user_attr(FAILURE, "the loss is nan")
        study.tell(trial, state=TrialState.FAIL)
        export(study_plan, study)
    with pytest.raises(RuntimeError, match="the one trial failed: the loss is nan"):
        search(study_plan)
