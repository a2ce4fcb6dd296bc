"""The whole analysis on a small zoo, with a study whose trials are really fitted; headlines by hand."""

import dataclasses
import io
import json

import numpy as np
import pandas as pd
import pytest
from example_analysis import measured
from example_study import METRICS, write_study

from analysis.analyze import Analysis, analyze
from analysis.compression.codec_rows import LEARNED
from analysis.compression.controls import ZERO_RATE
from analysis.compression.headlines import headlines, pareto
from analysis.compression.rates import total_bits_per_weight
from analysis.measuring.results import Result
from analysis.plan import plan_analysis
from analysis.report.findings import sentences
from analysis.report.page import render
from analysis.report.tables import break_even_cell
from analysis.statistics.groups import chosen_members
from analysis.statistics.intervals import Bootstrap
from analysis.tables import write_tables
from trainables.study_files import StudyRecord
from zoo.data.class_tasks import one_vs_one, select
from zoo.evaluation import classification
from zoo.generation import shard_training
from zoo.generation.build import generate_zoo
from zoo.recipes import RECIPES
from zoo.recipes.imported import Imported
from zoo.storage.errors import ZooError
from zoo.storage.store import Store
from zoo.storage.zoo import Zoo
from zoo.training.train import train_population


@pytest.fixture(scope="module")
def store(tmp_path_factory, small_zoo):
    store = Store(tmp_path_factory.mktemp("studies"))
    write_study(store, small_zoo)
    return store


@pytest.fixture(scope="module")
def seen():
    return []


@pytest.fixture(scope="module")
def analysis(small_zoo, store, seen) -> Analysis:
    return analyze(
        small_zoo,
        StudyRecord.open(store, "small-search"),
        codecs=["uniform", "kmeans", "float16", "index"],
        members=8,
        examples=100,
        bootstrap=Bootstrap(replicates=50),
        progress=lambda done, total, name: seen.append((done, total, name)),
    )


def test_measures_every_setting_and_the_pareto_trials(analysis):
    codecs = [(result.name, result.family) for result in analysis.results]
    assert codecs.count(("uniform", "classical")) == 9
    assert codecs.count(("float16", "classical")) == 1
    assert codecs.count(("index", "control")) == 1
    assert {name for name, family in codecs if family == "control"} == {*ZERO_RATE, "index"}
    assert [result.trial for result in analysis.results if result.family == "learned"] == [0, 1]
    assert len({(r.name, r.setting, r.trial) for r in analysis.results}) == len(analysis.results)
    assert all(result.members == 8 and result.examples == 100 for result in analysis.results)


def test_excess_is_over_the_best_zero_rate_control(analysis):
    best = max(result.value("agreement") for result in analysis.results if result.name in ZERO_RATE)
    assert (analysis.summary["quality"], analysis.summary["zero_rate"]) == ("agreement", best)
    assert [r.value("excess_agreement") for r in analysis.results] == [
        r.value("agreement") - best for r in analysis.results
    ]


def test_originals_are_the_test_members_of_the_zoo(analysis, small_zoo):
    population = small_zoo.population("test", epochs="one", members=chosen_members(small_zoo, 8))
    accuracy_M = classification(population, small_zoo.dataset().test.first(100)).accuracy_M
    assert analysis.results[0].values["accuracy_original"] == pytest.approx(accuracy_M.tolist(), abs=0.011)
    assert analysis.summary["score_mean"] == pytest.approx(float(accuracy_M.mean()), abs=0.005)
    assert analysis.summary["canonicalization"]["agreement"] > 0.99
    assert analysis.summary["zoo"] == small_zoo.name


def test_a_lossless_enough_codec_agrees(analysis):
    result = next(r for r in analysis.results if r.name == "float16")
    assert result.value("agreement") > 0.99
    assert result.value("weight_mse") < 1e-6


def test_untrained_networks_are_measured_at_the_same_setting(analysis):
    assert [r.name for r in analysis.random_results] == ["uniform", LEARNED]
    for result in analysis.random_results:
        assert result.family == "control"
        assert any(r.setting == result.setting and r.trial == result.trial for r in analysis.results)
        assert result.value("accuracy_original") < 0.35


def test_progress_counts_rows(analysis, seen):
    rows = len(analysis.results) + len(analysis.latent_results)
    assert [done for done, _, _ in seen] == list(range(rows + 1))
    assert {total for _, total, _ in seen} == {rows}


def test_study_is_passed_on(analysis):
    (study,) = analysis.studies
    assert study.trials["trial"].tolist() == [0, 1, 2, 3, 4, 5]
    assert study.importances == {"agreement": {"latent": 1.0}}
    (told,) = analysis.summary["studies"]
    assert (told["study"], told["trials"], told["seeds"]) == ("small-search-0123abcd", 6, 1)


def test_is_repeatable(analysis, small_zoo, store):
    again = analyze(
        small_zoo,
        codecs=["uniform"],
        members=8,
        examples=100,
        bootstrap=Bootstrap(replicates=50),
        training_snapshots=30,
    )
    other = ("encode_s", "decode_s", "excess_agreement")

    def timeless(found):
        rows = [result.to_json() for result in found.results if result.name == "uniform"]
        return [{name: value for name, value in row.items() if name not in other} for row in rows]

    assert timeless(again) == timeless(analysis)
    assert again.studies == ()


def test_tables_come_back(analysis, store):
    paths = write_tables(analysis, store, "small")
    assert len(paths) == 11
    frame = pd.read_parquet(io.BytesIO(store.read("tables/small/results.parquet")))
    assert len(frame) == len(analysis.results)
    assert frame["agreement"].tolist() == [result.value("agreement") for result in analysis.results]
    assert frame["trial"].dropna().tolist() == [result.trial for result in analysis.results if result.trial is not None]
    assert frame["total_bits_per_weight_1000"].tolist() == pytest.approx(
        [total_bits_per_weight(r.rate, r.shared_bytes, r.parameters, 1000) for r in analysis.results]
    )
    text = pd.read_csv(io.BytesIO(store.read("tables/small/results.csv")))
    assert text["agreement"].tolist() == pytest.approx(frame["agreement"].tolist())
    of_members = pd.read_parquet(io.BytesIO(store.read("tables/small/members.parquet")))
    first = of_members[: len(analysis.members)]
    assert len(of_members) == sum(result.members for result in analysis.results)
    assert first["kl"].tolist() == list(analysis.results[0].values["kl"])
    assert first["member"].tolist() == analysis.members["member"].tolist()
    document = json.loads(store.read("tables/small/analysis.json"))
    assert len(document["results"][0]["values"]["agreement"]) == 8
    assert document["summary"]["zoo"] == analysis.summary["zoo"]


def test_a_table_without_rows_leaves_none_of_an_earlier_analysis(analysis, tmp_path):
    store = Store(tmp_path)
    write_tables(analysis, store, "small")
    store.put("tables/small/notes.csv", b"the user's own")
    write_tables(dataclasses.replace(analysis, random_results=[], latent_results=[]), store, "small")
    left = {path.removeprefix("tables/small/") for path in store.list("tables")}
    assert left == {
        "results.csv", "results.parquet", "members.csv", "members.parquet", "headlines.csv", "headlines.parquet",
        "analysis.json", "notes.csv",
    }  # fmt: skip


def test_diverged_networks_are_counted(small_recipe, tmp_path, monkeypatch):
    def with_divergence(*arguments, **options):
        for snapshot in train_population(*arguments, **options):
            if snapshot.epoch == 2:
                snapshot.weights_MP[:3] = float("nan")
            yield snapshot

    monkeypatch.setattr(shard_training, "train_population", with_divergence)
    zoo = generate_zoo(dataclasses.replace(small_recipe, name="diverging"), Store(tmp_path))
    analysis = analyze(zoo, codecs=["float16"], members=4, examples=50, bootstrap=Bootstrap(replicates=5))
    lost = zoo.members[zoo.members.diverged]
    everyone = zoo.rows("test", epochs="one", include_diverged=True)
    assert analysis.summary["training_snapshots_diverged"] == (lost.split == "train").sum() > 0
    left = len(everyone) - len(zoo.rows("test", epochs="one"))
    assert analysis.summary["test_members_diverged"] == left > 0


def test_wrong_names_say_what_there_is(small_zoo, store, tmp_path):
    with pytest.raises(ZooError, match=r"no study 'other'.*small-search-0123abcd"):
        StudyRecord.open(store, "other")
    with pytest.raises(ZooError, match="studies there: none"):
        StudyRecord.open(Store(tmp_path), "other")
    with pytest.raises(ValueError, match=r"unknown codec 'zip'; known: .*uniform"):
        analyze(small_zoo, codecs=["zip"])
    with pytest.raises(ZooError, match="trial 5 of study small-search-0123abcd has no artifact"):
        StudyRecord.open(store, "small-search").artifact(5)


@pytest.mark.parametrize("damage", [lambda data: data[:-50], lambda data: b"", lambda data: b"x" + data[1:]])
def test_a_damaged_artifact_says_so(store, tmp_path, damage):
    copy = Store(tmp_path)
    for path in store.list("studies"):
        data = store.read(path)
        copy.put(path, damage(data) if path.endswith("trial-0001/model.safetensors") else data)
    with pytest.raises(ZooError, match=r"artifact of trial 1 .* is damaged"):
        StudyRecord.open(copy, "small-search").artifact(1)


def test_a_trial_with_several_seeds_is_measured_as_their_mean(small_zoo, store, tmp_path):
    copy = Store(tmp_path)
    for path in store.list("studies"):
        copy.put(path, store.read(path))
    once = StudyRecord.open(copy, "small-search")
    before = once.content_sha256
    # The model of another trial stands in for a second fit; a third one has not got as far as a model.
    for name in ("config.json", "model.safetensors", "artifact.json"):
        content = store.read(f"studies/{once.name}/checkpoints/trial-0001/{name}")
        copy.put(f"studies/{once.name}/checkpoints/trial-0000/fit-1/{name}", content)
    copy.put(f"studies/{once.name}/checkpoints/trial-0000/fit-2/config.json", b"{}")
    study = StudyRecord.open(copy, "small-search")
    assert (study.fits(0), study.fits(1)) == ([0, 1], [0])
    assert study.content_sha256 != before, "a report of fewer fits is not reused"
    options = {"codecs": ["float16"], "members": 8, "examples": 100, "bootstrap": Bootstrap(replicates=20)}
    found = {r.trial: r for r in analyze(small_zoo, study, **options).results if r.family == "learned"}
    single = {
        r.trial: r
        for r in analyze(small_zoo, StudyRecord.open(store, "small-search"), **options).results
        if r.family == "learned"
    }
    assert (found[0].fits, found[1].fits) == (2, 1)
    assert found[0].setting == single[0].setting + ", 2 seeds"
    for field in ("agreement", "code_bits_per_weight", "shared_bytes"):
        mean = (single[0].value(field) + single[1].value(field)) / 2
        assert found[0].value(field) == pytest.approx(mean)


def test_a_study_of_another_zoo_is_refused(small_zoo, store):
    study = StudyRecord.open(store, "small-search")
    other = dataclasses.replace(study, facts={**study.facts, "zoo": {"name": "other", "digest": "f" * 64}})
    with pytest.raises(ZooError, match="is of zoo other, not of small-"):
        analyze(small_zoo, other)


def test_ambiguous_and_unfinished_studies_are_refused(store, tmp_path):
    several = Store(tmp_path)
    for name in ("search-1", "search-2"):
        several.put(f"studies/{name}/study.json", b"{}")
    with pytest.raises(ZooError, match="several studies: search-1, search-2"):
        StudyRecord.open(several, "search")
    with pytest.raises(ZooError, match=r"search-1 in .* has no trials\.parquet yet"):
        StudyRecord.open(several, "search-1")


def test_front_of_three_objectives(store):
    study = StudyRecord.open(store, "small-search")
    facts = {**study.facts["study"], "objectives": [*METRICS, "shared_bytes"]}
    assert dataclasses.replace(study, facts={"study": facts, "directions": ["min", "max", "min"]}).pareto_trials() == [
        0,
        1,
    ]


def row(codec, rate, agreement, shift, kl, shared=0.0, family="classical"):
    values = {"code_bits_per_weight": rate, "agreement": agreement, "accuracy_shift_pp": shift, "kl": kl}
    return Result(
        name=codec,
        family=family,
        setting="",
        trial=None,
        fits=1,
        members=1,
        groups=1,
        parameters=100,
        examples=1,
        metrics=measured(**values, shared_bytes=shared),
    )


AT_97, AT_1PP = "97 % agreement", "1 pp mean |Δaccuracy|"


def test_headlines_by_hand():
    results = [
        row("uniform", 2.0, 0.95, 2.0, 0.1),
        row("uniform", 8.0, 0.99, 0.5, 0.001),
        row("shared", 1.0, 0.95, 3.0, 0.1, shared=1000),
        row("shared", 4.0, 0.99, 1.5, 0.001, shared=3000),
        row("weak", 0.1, 0.50, 20.0, 0.8, shared=10),
        row("constant", 0.0, 0.98, 0.1, 0.5, family="control"),
    ]
    found = {headline.codec: headline for headline in headlines(results)}
    assert set(found) == {"uniform", "shared", "weak"}
    assert found["uniform"].rates[AT_97] == pytest.approx(4.0)  # half-way from 2 to 8 in logarithms
    assert found["uniform"].rates[AT_1PP] == pytest.approx(np.exp(np.log(2) / 3 + 2 * np.log(8) / 3))
    assert found["uniform"].bd_rate == pytest.approx(0)
    assert found["uniform"].break_even_models is None
    shared = found["shared"]
    assert shared.rates[AT_97] == pytest.approx(2.0)
    assert shared.rates[AT_1PP] is None
    assert shared.shared_bytes == pytest.approx(2000)
    assert shared.bd_rate == pytest.approx(-50)
    # Two bits a weight saved, 100 weights: 25 bytes a model.
    assert shared.break_even_models == pytest.approx(2000 / 25)
    assert shared.break_even_at == AT_97
    assert found["weak"].rates[AT_97] is None
    assert found["weak"].break_even_models is None
    assert [r.name for r in pareto(results)] == ["constant", "shared"]


def test_break_even_falls_back_to_accuracy():
    results = [row("uniform", 4.0, 0.8, 0.5, 0.1), row("shared", 1.0, 0.8, 0.9, 0.1, shared=300)]
    shared = headlines(results)[1]
    assert shared.break_even_at == AT_1PP
    assert shared.break_even_models == pytest.approx(8 * 300 / (100 * 3))


def test_rates_of_learned_codecs_belong_to_a_measured_trial():
    results = [
        row("uniform", 2.0, 0.96, 2.0, 0.1),
        row("uniform", 8.0, 0.98, 0.5, 0.001),
        row("autoencoder", 0.5, 0.96, 1.5, 0.1, shared=1000, family="learned"),
        row("autoencoder", 1.0, 0.975, 0.5, 0.01, shared=3000, family="learned"),
        row("autoencoder", 3.0, 0.99, 0.2, 0.001, shared=100, family="learned"),
    ]
    learned = headlines(results)[1]
    assert (learned.rates[AT_97], learned.rates[AT_1PP], learned.shared_bytes) == (1.0, 1.0, 3000)
    # Uniform quantization needs 4 bits, interpolated: 3 bits of 100 weights are saved on each network.
    assert learned.break_even_models == pytest.approx(8 * 3000 / (100 * 3))
    assert (learned.rivals, learned.rival) == (1, "uniform")


@pytest.mark.parametrize(
    ("rivals", "told"), [([], "no rival measured"), ([row("uniform", 2.0, 0.9, 5.0, 0.1)], "no rival gets there")]
)
def test_without_a_rival_nothing_is_beaten(rivals, told):
    results = [row("autoencoder", 1.0, 0.975, 0.5, 0.01, shared=3000, family="learned"), *rivals]
    found = headlines(results)
    assert found[0].break_even_models is None
    assert break_even_cell(found[0]).text == told
    assert not any("N* =" in sentence for sentence in sentences(results, found))
    assert any("there is no N*" in sentence for sentence in sentences(results, found)) == bool(rivals)


CONVOLUTIONAL = dataclasses.replace(
    RECIPES["digits-mlp-seeds"],
    name="convolutional",
    architecture="cnn",
    axes={"hidden": (3,), "learning_rate": 3e-3},
    members=32,
    epochs=1,
    snapshot_epochs=(0, 1),
    block_members=2,
    shard_members=16,
)


def test_a_zoo_of_cnns_is_analyzed_by_the_codecs_that_know_it(tmp_path):
    zoo = generate_zoo(CONVOLUTIONAL, Store(tmp_path))
    analysis = analyze(zoo, members=4, examples=50, bootstrap=Bootstrap(replicates=20))
    measured = {result.name for result in analysis.results}
    assert {"function-metric", "uniform", "pca", "index", "mean weights", "constant member"} <= measured
    assert analysis.summary["codecs_left_out"] == []


def test_members_with_class_tasks_are_judged_each_on_its_own(tmp_path):
    recipe = dataclasses.replace(
        CONVOLUTIONAL,
        name="pairs",
        architecture="mlp",
        axes={**CONVOLUTIONAL.axes, "task": one_vs_one(10)},
        members=90,
    )
    zoo = generate_zoo(recipe, Store(tmp_path))
    analysis = analyze(zoo, codecs=["float16", "uniform", "index"], bootstrap=Bootstrap(replicates=20))
    population = zoo.population("test", epochs="one")
    accuracy = analysis.results[0].values["accuracy_original"]
    assert len(accuracy) == len(population)
    for row, member in enumerate(population.members):
        own = select(member.task, zoo.dataset().test)
        assert accuracy[row] == pytest.approx(float(classification(population.select([row]), own).accuracy_M), abs=0.02)
    assert next(r for r in analysis.results if r.name == "float16").value("agreement") > 0.99
    assert analysis.summary["pairwise_agreement"] is None
    assert "pairs" in render(analysis)


def test_of_several_layouts_one_is_chosen(tmp_path):
    recipe = dataclasses.replace(RECIPES["digits-mlp-mixed"], members=96, epochs=1, snapshot_epochs=(0, 1))
    zoo = generate_zoo(recipe, Store(tmp_path))
    assert len(zoo.layouts) > 1
    with pytest.raises(ValueError, match=r"has \d+ parameter layouts.*choose with --layout \(0: "):
        analyze(zoo, codecs=["float16"])
    with pytest.raises(ValueError, match="layout is 99; allowed: 0 to"):
        analyze(zoo, codecs=["float16"], layout=99)
    layout = zoo.layouts.index(zoo.architectures[1].layout)
    analysis = analyze(zoo, codecs=["float16"], layout=layout, bootstrap=Bootstrap(replicates=20))
    assert analysis.results[0].parameters == zoo.parameter_counts[layout]
    assert f"layout {layout}" in render(analysis)


@pytest.mark.parametrize("dataset", ["diabetes", "flowers", "robust_diabetes"])
def test_networks_without_classes_are_judged_by_their_outputs(tmp_path, dataset):
    recipe = dataclasses.replace(
        RECIPES["digits-mlp-seeds"],
        name=dataset.replace("_", "-"),
        dataset=f"own_tasks:{dataset}",
        axes={"hidden": (6,), "learning_rate": [1e-3, 1e-2]},
        members=32,
        epochs=3,
        snapshot_epochs=(0, 3),
        block_members=2,
        shard_members=16,
    )
    zoo = generate_zoo(recipe, Store(tmp_path))
    analysis = analyze(zoo, codecs=["float16", "uniform", "index"], bootstrap=Bootstrap(replicates=20))
    float16 = next(result for result in analysis.results if result.name == "float16")
    assert float16.value("output_r2") > 0.999
    assert float16.value("output_error") < 0.03
    assert float16.value("loss_reconstructed") == pytest.approx(float16.value("loss_original"), rel=0.01)
    assert analysis.summary["score_mean"] == pytest.approx(
        float(zoo.population("test", epochs="one").column("test_loss").mean()), rel=1e-3
    )
    assert analysis.summary["quality"] == "output_r2"
    assert set(analysis.summary["evaluators_left_out"]) == {"agreement", "accuracy-change", "kl"}
    index = next(result for result in analysis.results if result.name == "index")
    assert index.value("output_r2") > max(r.value("output_r2") for r in analysis.results if r.name in ZERO_RATE) - 1
    uniform = next(headline for headline in analysis.headlines if headline.codec == "uniform")
    assert list(uniform.rates) == ["an output R² of 0.99"]
    page = render(analysis)
    assert "agreement, which is about classes, and the data set has none" in page
    assert "R² of outputs on inputs with noise of 0.1 SD" in page


def test_imported_networks_have_no_untrained_counterparts(small_zoo):
    assert plan_analysis(small_zoo, codecs=["uniform"]).on_untrained()
    same = Zoo.open(small_zoo.uri)  # seeds are on record, as where a table of the user's says them
    same.recipe = Imported(
        name="nets", members=len(same), source_format="state-dicts", source_sha256="", dataset=small_zoo.recipe.dataset,
        snapshot_epochs=small_zoo.recipe.snapshot_epochs,
    )  # fmt: skip
    assert plan_analysis(same, codecs=["uniform"]).on_untrained() == []
