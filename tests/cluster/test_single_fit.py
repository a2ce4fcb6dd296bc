"""``fit``: one trainable without a search, stored as a study of one trial; and what is refused before it starts."""

import dataclasses
import re
from pathlib import Path
from types import SimpleNamespace

import pytest

from cluster.cli import run
from cluster.distributed.runtime import ClusterError
from cluster.studies import StudyPlan, plan_study
from cluster.verbs.fit import Fit
from cluster.verbs.search import Search
from search_spaces.studies import CNN_AUTOENCODER, DIGITS_AUTOENCODER
from trainables.registry import find_trainable
from trainables.study_files import StudyRecord
from zoo.architecture import cnn_2464
from zoo.generation.build import generate_zoo
from zoo.recipes import Recipe, find_recipe
from zoo.recipes.axis import Axis
from zoo.storage.errors import ZooError
from zoo.storage.store import Store


def fit(zoo, trainable, *settings, **options):
    return Fit(trainable=trainable, zoo=zoo.uri, store=zoo.store.uri, settings=settings, **options)


def test_a_codec_is_fitted_and_read_as_a_study(zoo_copy):
    planned = fit(zoo_copy, "uniform", "step=0.5").plan()
    assert (planned.missing, planned.config) == (True, {"step": 0.5})
    assert "would fit uniform" in planned.text
    assert zoo_copy.store.folders("studies") == [], "a dry run writes nothing"
    done = fit(zoo_copy, "uniform", "step=0.5").run()
    assert done.new
    assert done.study_name == planned.study_name
    assert done.metrics["agreement"] > 0.8
    assert f"--zoo {zoo_copy.name}" in done.text
    record = StudyRecord.open(zoo_copy.store, "uniform")
    assert (record.kind, record.pareto_trials(), record.fits(0)) == ("codec", [0], [0])
    assert record.trainable(0).name == "uniform"
    assert record.config(0).step == 0.5
    test = zoo_copy.population("test", epochs="one")
    codec = record.artifact(0)
    assert codec.decompress(codec.compress(test)).shape == test.weights_MP.shape


def test_a_predictor_of_numbers_needs_no_accuracy(zoo_copy):
    done = fit(zoo_copy, "statistics-ridge").run()
    assert {"r2", "kendall_tau", "mean_absolute_error"} <= done.metrics.keys()
    assert StudyRecord.open(zoo_copy.store, "statistics-ridge").pareto_trials() == [0]


def test_a_preset_takes_the_place_of_defaults_and_settings_win_over_it(zoo_copy):
    planned = fit(zoo_copy, "example_trainables:SHIFTED", "latent=6", preset="tiny", epochs=3)
    _, _, config = planned.chosen()
    assert (config["encoder_width"], config["latent"], config["epochs"]) == (4, 6, 3)
    _, _, config = fit(zoo_copy, "example_trainables:SHIFTED", preset="tiny").chosen()
    assert (config["latent"], config["epochs"]) == (2, 1)
    with pytest.raises(ValueError, match=r"preset is 'small'; allowed: tiny"):
        fit(zoo_copy, "example_trainables:SHIFTED", preset="small").chosen()
    with pytest.raises(ValueError, match="uniform has no presets"):
        fit(zoo_copy, "uniform", preset="tiny").chosen()


def test_what_is_fitted_already_is_not_fitted_again(zoo_copy):
    first = fit(zoo_copy, "kmeans").run()
    again = fit(zoo_copy, "kmeans").run()
    assert (again.new, again.metrics) == (False, first.metrics)
    assert "was fitted before" in again.text
    assert not fit(zoo_copy, "kmeans").plan().missing
    assert fit(zoo_copy, "kmeans", "clusters=4").run().study_name != first.study_name


def test_an_autoencoder_is_fitted_with_its_logs(zoo_copy):
    small = ("latent=8", "encoder_width=8", "decoder_width=8")
    done = fit(zoo_copy, "neuron-autoencoder", *small, epochs=2, seed=3).run()
    assert (done.config["epochs"], done.config["seed"]) == (2, 3)
    planned = fit(zoo_copy, "neuron-autoencoder", *small, epochs=2, seed=4).plan()
    assert abs(planned.known_before["shared_bytes"] - done.metrics["shared_bytes"]) < 1000
    assert list(Path(done.uri).glob("live/tensorboard/trial-0000/events*"))


def test_one_of_the_users_own_is_found_again(zoo_copy):
    done = fit(zoo_copy, "example_trainables:SHIFTED", "latent=8", epochs=1).run()
    assert done.study_name.startswith("example_trainables-SHIFTED-")
    record = StudyRecord.open(zoo_copy.store, done.study_name)
    assert record.trainable(0).name == "example_trainables:SHIFTED"
    assert record.artifact(0).shared_bytes == done.metrics["shared_bytes"]


def test_a_fit_that_fails_says_why_and_leaves_nothing_to_measure(zoo_copy):
    for _ in range(2):
        with pytest.raises(RuntimeError, match=r"the fit of neuron-autoencoder failed: .*learning_rate"):
            fit(zoo_copy, "neuron-autoencoder", "learning_rate=1e30", "latent=8", epochs=2).run()
    record = StudyRecord.open(zoo_copy.store, "neuron-autoencoder")
    assert (len(record.trials), record.pareto_trials()) == (1, [])


@pytest.mark.parametrize("verb", ["plan", "run"])
def test_more_workers_than_memory_holds_are_refused(zoo_copy, monkeypatch, verb):
    monkeypatch.setenv("RAY_ADDRESS", "local")
    verb_of = fit(zoo_copy, "float16", workers=100_000)
    with pytest.raises(ClusterError, match="100,000 workers do not fit into this machine's memory"):
        getattr(verb_of, verb)()


def test_a_study_is_not_fitted_but_searched(zoo_copy):
    with pytest.raises(ValueError, match=r"is a study; `zooscale search digits-autoencoder --zoo .*` runs it"):
        fit(zoo_copy, "digits-autoencoder").plan()


@pytest.mark.parametrize(
    ("trainable", "settings", "message"),
    [
        ("zip", (), "unknown trainable 'zip'; known: .*uniform"),
        ("uniform", ("stap=1",), "there is no field 'stap'; .*those of UniformConfig are step"),
        ("uniform", ("step=0",), r"UniformConfig\.step is 0\.0; allowed: more than 0"),
        ("statistics-ridge", ("target=tset_accuracy",), r"under 'tset_accuracy'; allowed: .*test_accuracy, gen"),
        ("sne", ("targets=test_accuracy, acuracy",), r"nothing is known of these networks under 'acuracy'; allowed"),
        ("uniform", ("layout=4",), r"Study\.layout is 4; zoo small-\w+ has 1: 0 to 0"),
        ("uniform", ("limits.size=4",), r"Study\.limits is .*numbers for some of"),
        ("uniform", ("limits.shared_bytes=few",), "expected a number"),
    ],
)
@pytest.mark.parametrize("verb", ["plan", "run"])
def test_bad_settings_are_refused_before_anything_starts(small_zoo, trainable, settings, message, verb):
    with pytest.raises(ValueError, match=message):
        getattr(fit(small_zoo, trainable, *settings), verb)()


def test_dry_run_says_the_same_as_the_run_of_what_needs_many_networks(zoo_copy, monkeypatch):
    rows = len(zoo_copy.rows("train"))
    monkeypatch.setattr("cluster.estimates.FIT_MEMBERS", 8)
    latent = 5 * rows // 6  # more than 8 members have snapshots for, fewer than all
    wide = fit(zoo_copy, "network-autoencoder", f"latent={latent}", "encoder_width=8", "decoder_width=8", epochs=1)
    assert wide.plan().seconds > 0
    assert wide.run().metrics["agreement"] > 0
    wider = fit(zoo_copy, "network-autoencoder", f"latent={rows + 1}", epochs=1)
    words = f"{rows + 1} principal components need as many rows and coordinates; there are {rows} rows"
    with pytest.raises(ValueError, match=words):
        wider.plan()
    with pytest.raises(RuntimeError, match=words):
        wider.run()


def test_dry_run_of_a_search_leaves_out_what_will_fail(zoo_copy, monkeypatch):
    family, rows = find_trainable("network-autoencoder"), len(zoo_copy.rows("train"))
    tried = [(family, family.configuration({"latent": latent, "epochs": 1})) for latent in (rows + 1, 16)]
    monkeypatch.setattr("cluster.estimates._configurations", lambda plan: tried)
    search = Search(study="digits-network-autoencoder", zoo=zoo_copy.uri, store=zoo_copy.store.uri, trials=2)
    assert search.plan().seconds > 0
    tried.pop()
    with pytest.raises(ValueError, match="principal components need as many rows"):
        search.plan()


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return Store(tmp_path_factory.mktemp("kinds"))


@pytest.fixture(scope="module")
def mixed(store):
    return generate_zoo(
        dataclasses.replace(find_recipe("digits-mlp-mixed"), members=96, epochs=1, snapshot_epochs=(0, 1)), store
    )


@pytest.fixture(scope="module")
def pairs(store):
    return generate_zoo(
        dataclasses.replace(find_recipe("digits-tasks"), members=64, epochs=1, snapshot_epochs=(0, 1)), store
    )


@pytest.fixture(scope="module")
def regression(store):
    axes = {"hidden": (8,), "activation": "tanh", "learning_rate": Axis(range=(1e-3, 1e-2))}
    recipe = Recipe(
        name="diabetes",
        dataset="own_tasks:diabetes",
        members=64,
        axes=axes,
        batch_size=16,
        epochs=2,
        snapshot_epochs=(0, 2),
        block_members=2,
        shard_members=32,
    )
    return generate_zoo(recipe, store)


def test_a_layout_without_validation_members_is_refused_before_anything_starts(tmp_path):
    recipe = find_recipe("digits-mlp-mixed")
    few = dataclasses.replace(recipe, members=40, block_members=4, seed=5, epochs=1, snapshot_epochs=(0, 1))
    few_of_each = generate_zoo(few, str(tmp_path))
    assert len(few_of_each.rows("validation")), "there are some of other layouts"
    for verb in ("plan", "run"):
        with pytest.raises(
            ZooError, match="no snapshots with split 'validation', epochs 'one' in this parameter layout"
        ):
            getattr(fit(few_of_each, "neuron-autoencoder", "layout=0", epochs=1), verb)()


def test_of_several_layouts_each_has_its_codec_or_one_is_chosen(mixed):
    assert len(mixed.layouts) > 1
    done = fit(mixed, "float16").run()
    assert done.metrics["agreement"] > 0.99
    with pytest.raises(ValueError, match=r"--set layout=0 to \d"):
        plan_study(DIGITS_AUTOENCODER, mixed.uri, mixed.store.uri, {})
    largest = max(range(len(mixed.layouts)), key=lambda layout: len(rows_of(mixed, layout)))
    plan = plan_study(DIGITS_AUTOENCODER, mixed.uri, mixed.store.uri, {}, [f"layout={largest}"])
    (training,) = plan.data().training
    assert training.architecture.layout == mixed.layouts[largest]
    assert {architecture.layout for architecture in plan.architectures} == {mixed.layouts[largest]}


def rows_of(zoo, layout):
    architecture = next(a for a in zoo.architectures if a.layout == zoo.layouts[layout])
    return zoo.rows("train", architecture=architecture)


def test_members_with_class_tasks_are_judged_on_their_own_classes(pairs):
    exact, rough = fit(pairs, "float16").run().metrics, fit(pairs, "uniform", "step=5").run().metrics
    assert exact["agreement"] > 0.99
    assert rough["agreement"] < exact["agreement"]
    done = fit(pairs, "neuron-autoencoder", "latent=8", epochs=1).run()
    assert 0.4 < done.metrics["agreement"] <= 1


def test_where_there_are_no_classes_outputs_are_compared(regression):
    metrics = fit(regression, "float16").run().metrics
    assert metrics["output_error"] < 0.01
    assert metrics["output_r2"] > 0.999
    assert not {"agreement", "kl", "accuracy_drop_pp"} & set(metrics)
    rough = fit(regression, "neuron-autoencoder", "latent=4", epochs=1).run().metrics
    assert metrics["output_error"] < rough["output_error"]
    plan = plan_study(DIGITS_AUTOENCODER, regression.uri, regression.store.uri, {})
    assert plan.study.objectives == ("code_bits_per_weight", "output_error")
    with pytest.raises(ValueError, match=r"kl is not measured on data set 'own_tasks:diabetes'.*output_error"):
        plan_study(DIGITS_AUTOENCODER, regression.uri, regression.store.uri, {}, ["limits.kl=0.5"])


def test_cnns_keep_to_the_limit_of_their_study_by_default():
    (family,) = CNN_AUTOENCODER.check()
    config = family.configuration(CNN_AUTOENCODER.configuration(family, {}))
    known = family.known_before(config, [cnn_2464((1, 28, 28), (), 10)])
    assert known["shared_bytes"] < CNN_AUTOENCODER.limits["shared_bytes"]


def test_a_fit_that_fails_says_why_in_a_line(zoo_copy, capsys, monkeypatch):
    huge = lambda plan, members=None, data=StudyPlan.data: with_huge_weights(data(plan, members))  # noqa: E731
    monkeypatch.setattr(StudyPlan, "data", huge)
    assert run(["fit", "uniform", "--zoo", zoo_copy.uri, "--store", zoo_copy.store.uri]) == 1
    last = capsys.readouterr().err.splitlines()[-1]
    assert re.fullmatch(
        r"zooscale: the fit of uniform failed: a number is \S+ quantization steps, and symbols reach 2\.1e\+09: "
        r"the weights are too large for this codec; leave such networks out",
        last,
    )


def with_huge_weights(data):
    populations = {
        part: tuple(population.with_weights(population.weights_MP * 1e30) for population in getattr(data, part))
        for part in ("training", "validation")
    }
    return dataclasses.replace(data, **populations)


@pytest.mark.parametrize("verb", [Fit, Search])
def test_a_dry_run_tells_of_a_full_disk(zoo_copy, monkeypatch, verb):
    options = {"trainable": "uniform"} if verb is Fit else {"study": "function-metric-constants", "trials": 2}
    asked = verb(zoo=zoo_copy.uri, store=zoo_copy.store.uri, **options)
    assert (asked.plan().lack_of_space, asked.plan().exit_code) == ("", 0)
    monkeypatch.setattr("shutil.disk_usage", lambda _: SimpleNamespace(free=17))
    planned = asked.plan()
    assert planned.exit_code == 1
    assert "and the disk has 17 B free; make it smaller, or name another --store" in planned.text.splitlines()[-1]
