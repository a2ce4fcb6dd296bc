"""Where reports and tables lie, when they are reused, and what an analysis is estimated to do."""

import dataclasses
import io
import json

import pandas as pd
import pytest
from encoder_study import write_encoders
from example_study import write_study

from analysis.codec_plan import ON_RANDOM
from analysis.compression.codecs import CODECS
from analysis.compression.controls import ZERO_RATE
from analysis.measuring.measured_trials import MEASURED_TRIALS, measured_trials
from cluster.verbs.analyze import Analyze, write_report
from trainables.study_files import StudyRecord
from zoo.generation.build import generate_zoo
from zoo.storage.errors import ZooError
from zoo.storage.store import Store

FEW = {"members": 4, "codecs": ["float16"]}


@pytest.fixture(scope="module")
def store(tmp_path_factory, small_zoo):
    store = Store(tmp_path_factory.mktemp("reports"))
    write_study(store, small_zoo)
    return store


def test_a_partial_report_stands_beside_the_full_one(small_zoo, tmp_path, monkeypatch):
    store = Store(tmp_path)
    monkeypatch.setattr("analysis.codec_plan.TEST_MEMBERS", 4)
    for name in [name for name in CODECS if name not in ("float16", *ZERO_RATE)]:
        monkeypatch.delitem(CODECS, name)
    full = write_report(small_zoo, (), store, {})
    kept = {path: store.read(path) for path in store.list("")}
    partial = write_report(small_zoo, (), store, {"codecs": ["float16"], "seed": 1})
    assert full.report == store.join("reports", small_zoo.name, "report.html")
    assert partial.report != full.report
    assert partial.tables != full.tables
    assert all(store.read(path) == content for path, content in kept.items())
    again = write_report(small_zoo, (), store, {"codecs": ["float16"], "seed": 1}, reuse=True)
    assert not again.new
    assert again.report == partial.report


def test_a_study_searched_again_is_analyzed_again(small_zoo, store, monkeypatch):
    study = StudyRecord.open(store, "small-search")
    assert write_report(small_zoo, [study], store, FEW, reuse=True).new
    assert not write_report(small_zoo, [StudyRecord.open(store, "small-search")], store, FEW, reuse=True).new
    trials = study.trials.copy()
    trials.loc[0, "agreement"] = 0.5000001
    other = dataclasses.replace(study, trials=trials)
    assert len(other.trials) == len(study.trials)
    assert write_report(small_zoo, [other], store, FEW, reuse=True).new


def test_an_estimate_counts_what_is_measured(small_zoo, store, monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))  # nothing was measured before
    verb = Analyze(
        zoo=small_zoo.uri, study="small-search", store=store.uri, members=4, codecs="float16,uniform", seed=5
    )
    planned, done = verb.plan(), verb.run()
    assert (planned.rows, planned.kept) == (done.rows, 0)
    assert (planned.seconds > 0, planned.guess, "a guess" in planned.text) == (True, True, True)
    other = dataclasses.replace(verb, seed=6).plan()
    assert (other.kept, other.guess, "a guess" in other.text) == (0, False, False)
    assert 0 < other.seconds < 3 * done.seconds
    assert planned.report == done.report
    assert planned.trials == (0, 1)
    random = pd.read_parquet(io.BytesIO(Store(done.tables).read("random_networks.parquet")))
    assert len(random) == len([name for name in ON_RANDOM if name != "function-metric"])


def test_what_was_measured_for_one_report_is_there_for_another(small_zoo, tmp_path, monkeypatch):
    def analyze(codecs, **options):
        return Analyze(zoo=small_zoo.uri, store=str(tmp_path), members=4, examples=50, codecs=codecs, **options)

    class Stopped(KeyboardInterrupt):
        pass

    def stop(self, done, note="", total=None):
        if done == 2:
            raise Stopped

    with monkeypatch.context() as patched:
        patched.setattr("cluster.display.Task.update", stop)
        with pytest.raises(Stopped):
            analyze("uniform").run()
    planned = analyze("uniform").plan()
    assert (planned.kept, planned.report in str(list(tmp_path.rglob("*.html")))) == (2, False)
    done = analyze("uniform").run()
    assert {headline["codec"] for headline in done.headlines} == {"uniform"}
    again = analyze("uniform").plan()
    assert (again.kept, again.seconds) == (again.rows, 0)
    assert f"would measure {again.rows} rows, of which {again.rows} are known from before" in again.text
    other = analyze("float16,uniform", reuse=True).plan()
    assert (other.rows - other.kept, other.report == done.report) == (1, False)
    assert "--examples 50" in Store(str(tmp_path)).read(done.report).decode()


@pytest.mark.parametrize("do", [Analyze.plan, Analyze.run])
def test_a_dry_run_refuses_what_the_run_refuses(small_zoo, small_recipe, store, tmp_path, do, monkeypatch):
    few = generate_zoo(dataclasses.replace(small_recipe, name="few", members=2), Store(tmp_path))
    with pytest.raises(ZooError, match=r"few-.* has no test members: with 2 members in blocks of 2"):
        do(Analyze(zoo=few.uri, store=str(tmp_path)))
    study = StudyRecord.open(store, "small-search")
    other = {**study.facts, "zoo": {**study.facts["zoo"], "digest": "f" * 64}}
    with monkeypatch.context() as patched:
        patched.setattr(StudyRecord, "open", lambda *_: dataclasses.replace(study, facts=other))
        with pytest.raises(ZooError, match="study small-search-0123abcd is of zoo small-"):
            do(Analyze(zoo=small_zoo.uri, study="small-search", store=store.uri))
    with pytest.raises(ValueError, match="inputs 'blur': allowed are translation-K"):
        do(Analyze(zoo=small_zoo.uri, store=store.uri, inputs="blur"))
    family = dataclasses.replace(CODECS["float16"], obstacle=lambda architecture: "it knows no digits")
    monkeypatch.setitem(CODECS, "float16", family)
    with pytest.raises(ValueError, match=r"'float16' cannot code .* knows no digits"):
        do(Analyze(zoo=small_zoo.uri, store=store.uri, codecs="float16"))


def test_no_more_trials_than_these_are_measured(store, monkeypatch):
    monkeypatch.setattr(StudyRecord, "pareto_trials", lambda self: list(range(3 * MEASURED_TRIALS)))
    assert len(measured_trials(StudyRecord.open(store, "small-search"))) == MEASURED_TRIALS


@pytest.mark.parametrize("do", [Analyze.plan, Analyze.run])
def test_no_codec_at_all_is_refused(small_zoo, store, do):
    with pytest.raises(ValueError, match=r"codecs is empty; name at least one of .*uniform"):
        do(Analyze(zoo=small_zoo.uri, store=store.uri, codecs=" , "))


@pytest.mark.parametrize("do", [Analyze.plan, Analyze.run])
def test_a_study_whose_trials_all_failed_says_so(small_zoo, tmp_path, do):
    store = Store(tmp_path)
    facts = {
        "study": {
            "name": "sad-0123abcd",
            "trainables": ["neuron-autoencoder"],
            "objectives": ["code_bits_per_weight", "agreement"],
            "limits": {},
        },
        "kind": "autoencoder",
        "directions": ["min", "max"],
        "zoo": {"name": small_zoo.name, "digest": small_zoo.digest},
    }
    store.put("studies/sad-0123abcd/study.json", json.dumps(facts).encode())
    frame = pd.DataFrame({"trial": [0, 1], "state": ["FAIL"] * 2, "failure": ["not finite"] * 2})
    store.put("studies/sad-0123abcd/trials.parquet", frame.to_parquet(index=False))
    assert StudyRecord.open(store, "sad").pareto_trials() == []
    with pytest.raises(ZooError, match="sad-0123abcd has no completed trial to measure: none of its 2"):
        do(Analyze(zoo=small_zoo.uri, study="sad", store=store.uri))


def test_evaluators_and_inputs_are_named(small_zoo, store):
    verb = Analyze(
        zoo=small_zoo.uri, store=store.uri, members=4, codecs="float16", evaluators="accuracy", inputs="noise-2"
    )
    frame = pd.read_parquet(io.BytesIO(Store(verb.run().tables).read("results.parquet")))
    assert {"accuracy", "agreement_noise_2", "agreement_noise_2_low"} <= set(frame.columns)
    assert "agreement_translation_1" not in frame.columns
    with pytest.raises(ValueError, match="unknown evaluator 'hessian'"):
        Analyze(zoo=small_zoo.uri, store=store.uri, evaluators="hessian").plan()


def test_of_studies_that_begin_alike_the_one_on_the_zoo_is_meant(small_zoo, store, tmp_path):
    copy = Store(tmp_path)
    for path in store.list("studies"):
        copy.put(path, store.read(path))
        copy.put(path.replace("0123abcd", "89ab0123"), store.read(path))
    path = "studies/small-search-89ab0123/study.json"
    facts = json.loads(copy.read(path))
    copy.put(path, json.dumps({**facts, "zoo": {**facts["zoo"], "digest": "f" * 64}}).encode())
    planned = Analyze(zoo=small_zoo.uri, study="small-search", store=str(tmp_path)).plan()
    assert planned.studies == ("small-search-0123abcd",)
    with pytest.raises(ZooError, match="beginning of several studies"):
        StudyRecord.open(copy, "small-search")


def test_groups_of_networks_are_measured_in_place_of_codecs(small_zoo, tmp_path):
    verb = Analyze(
        zoo=small_zoo.uri, store=str(tmp_path), by="optimizer", evaluators="accuracy,transfer-0.1x2x1", inputs="blur-1"
    )
    planned, done = verb.plan(), verb.run()
    groups = len(set(small_zoo.population(epochs="last").column("optimizer")))
    assert (planned.rows, done.rows) == (groups + groups**2,) * 2
    assert "codecs" not in planned.text
    assert "accuracy blur 1" in done.text
    assert "\naccuracy transfer 0.1x2x1\n" in done.text
    assert "made on optimizer=" in done.text
    frame = pd.read_csv(io.BytesIO(Store(done.tables).read("results.csv")))
    assert len(frame) == groups + groups**2
    assert {"accuracy_low", "accuracy_blur_1_high", "accuracy_gain_pp"} <= set(frame)
    with pytest.raises(ValueError, match="groups of networks does not take codecs"):
        dataclasses.replace(verb, codecs="uniform").plan()
    with pytest.raises(ValueError, match="by is empty"):
        dataclasses.replace(verb, by=" , ").run()


def test_an_analysis_of_encoders_says_means_of_columns_and_leads(small_zoo, tmp_path):
    store = Store(tmp_path)
    study = write_encoders(store, small_zoo, {"weight-statistics": 1, "weights": 1})
    report = write_report(small_zoo, [study], store, {})
    last = report.summary["means"][0]
    title = f"mean of {len(last['columns'])} columns, last snapshots, negative R² as 0; "
    title += f"beside it, the lead of {last['first']}"
    lines = report.text.splitlines()
    told = lines[lines.index(title) + 1 :][: len(last["means"])]
    assert [line.split("  ")[0] for line in told] == [each["name"] for each in last["means"]]
    assert all(f"{each['mean']:.3f} [" in line for each, line in zip(last["means"], told, strict=True))
    heading = lines[lines.index("last snapshots") + 1].split()
    best = next(each["name"] for each in last["means"] if each["name"] in ("weights 0", "weight-statistics 0"))
    assert " ".join(heading[:2]) == best
    assert heading[-1] != best
    again = write_report(small_zoo, [study], store, {}, reuse=True)
    assert not again.new
    assert again.text == report.text
