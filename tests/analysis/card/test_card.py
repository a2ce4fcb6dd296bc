"""The facts of a card against slow, direct computation."""

import itertools
import json
import math

import numpy as np
import pandas as pd
import pytest
import torch
from card_checks import matches, row_of

from analysis.card.facts import make_card
from analysis.card.members import explained_variance, imported_columns, measured_columns
from analysis.card.page import render
from analysis.card.record import KEYS, Findings
from analysis.card.weights import describe_tensors
from analysis.statistics.groups import evenly_spaced
from zoo.architecture import mlp
from zoo.population import Member, single_architecture
from zoo.storage.errors import ZooError
from zoo.storage.zoo import Zoo

MEMBERS, EXAMPLES = 24, 200


@pytest.fixture(scope="module")
def card(small_zoo):
    return make_card(small_zoo, members=MEMBERS, examples=EXAMPLES)


@pytest.fixture(scope="module")
def sample(small_zoo):
    """The members that the card measures."""
    return sorted(np.random.default_rng(0).choice(len(small_zoo), MEMBERS, replace=False).tolist())


@pytest.fixture(scope="module")
def modules(small_zoo, sample):
    """Each sampled member's last snapshot as an ordinary module, and its logits on the first test examples."""
    population = small_zoo.population(members=sample, epochs="last")
    examples = small_zoo.dataset().test.first(EXAMPLES)
    found = {}
    for row, member in enumerate(population.members):
        architecture = population.architectures[population.architecture_M[row]]
        with torch.no_grad():
            found[member.id] = architecture.to_module(population.weights_MP[row])(examples.inputs)
    return found, examples.targets


def test_identity_is_the_manifests(card, small_zoo):
    about = card.about
    assert (about["zoo"], about["digest"], about["members"]) == (small_zoo.name, small_zoo.digest, 64)
    assert about["content_sha256"] == small_zoo.content_sha256
    assert about["snapshots"] == len(small_zoo.members) == 192
    assert about["size_bytes"] == sum(
        small_zoo.store.size(path) for path in small_zoo.store.list("") if path.endswith(".parquet")
    )
    assert about["address"] == f"zoos/{small_zoo.name}"


def test_provenance_has_every_field_of_the_recipe_with_its_words(card, small_zoo):
    about = card.about
    assert about["recipe"] == small_zoo.manifest.recipe
    assert about["description"] == small_zoo.recipe.description
    assert set(about["axis_meanings"]) == set(small_zoo.recipe.axes)
    assert "Step size." in render(card)
    assert "weights are stored" in about["recipe_meanings"]["snapshot_epochs"]
    assert [name for name, meaning in about["recipe_meanings"].items() if not meaning and name != "kind"] == []
    assert about["dataset_sha256"] == small_zoo.manifest.dataset_sha256
    assert about["dataset_sizes"] == {"train": 997, "validation": 300, "test": 500}
    (trained,) = about["made_with"]
    assert trained["shards"] == 4
    assert trained["environment"]["backend"]
    assert trained["environment"]["libraries"]["torch"]


def test_epochs_describe_all_snapshots(card, small_zoo):
    frame = small_zoo.members
    assert card.epochs["epoch"].tolist() == [0, 1, 2]
    assert card.epochs["snapshots"].tolist() == [64, 64, 64]
    for epoch in (0, 1, 2):
        kept = frame[(frame["epoch"] == epoch) & ~frame["diverged"]]
        for name in ("train_loss", "validation_accuracy", "test_accuracy", "generalization_gap"):
            matches(row_of(card.distribution(name, "epoch"), epoch), kept[name].to_numpy())
    trained = frame[(frame["epoch"] > 0) & ~frame["diverged"]]
    matches(card.distribution("test_accuracy", "trained"), trained["test_accuracy"].to_numpy())


def test_final_histograms_count_every_member(card, small_zoo):
    frame = small_zoo.members
    last = frame[(frame["epoch"] == 2) & ~frame["diverged"]]
    found = card.histogram("test_accuracy")
    assert found["count"].sum() == len(last)
    assert found["share"].sum() == pytest.approx(1)
    inside = (last["test_accuracy"] >= found["low"].iloc[5]) & (last["test_accuracy"] < found["low"].iloc[20])
    assert found["count"].iloc[5:20].sum() == inside.sum()
    labels = small_zoo.dataset().test.targets
    share = float(torch.bincount(labels).max()) / len(labels)
    chance = card.about["chance_score"]
    assert chance == pytest.approx(share + 2 * math.sqrt(share * (1 - share) / len(labels)))
    assert card.about["chance_share"] == pytest.approx((last["test_accuracy"] <= chance).mean())


def test_what_varies_is_found_and_counted(card, small_zoo):
    frame = small_zoo.members
    last = frame[frame["epoch"] == 2]
    axes = card.axes.set_index("name")
    for name in ("activation", "optimizer", "dropout", "initialization"):
        levels = card.groups("test_accuracy", f"axis {name}")
        texts = last[name].map(lambda value: f"{value:g}" if isinstance(value, float) else value)
        assert dict(zip(levels["value"], levels["members"], strict=True)) == texts.value_counts().to_dict()
        for value in levels["value"]:
            matches(row_of(levels, value), last[texts == value]["test_accuracy"].to_numpy())
    assert (axes["kind"]["learning_rate"], axes["logarithmic"]["learning_rate"]) == ("number", True)
    matches(card.distribution("learning_rate"), last["learning_rate"].to_numpy())
    assert card.groups("test_accuracy", "axis learning_rate")["members"].sum() == 64
    assert card.histogram("learning_rate")["count"].sum() == 64
    assert (axes["kind"]["seed"], axes["distinct"]["seed"]) == ("seed", 64)
    assert (axes["kind"]["batch_size"], axes["value"]["batch_size"]) == ("constant", "32")
    assert set(axes.index) >= set(Member.__dataclass_fields__) & set(frame) - {"subset_size", "subset_index", "task"}
    explains = axes["explains"].dropna()
    assert explains.is_monotonic_decreasing


def explained(groups):
    """The share of the variance that lies between groups of values."""
    numbers = np.repeat(range(len(groups)), [len(group) for group in groups])
    return explained_variance(pd.Series(np.concatenate(groups)), pd.Categorical(numbers))


def test_explained_variance_against_analysis_of_variance():
    generator = np.random.default_rng(0)
    groups = [generator.normal(mean, 1, 200) for mean in (0, 1, 3)]
    everything = np.concatenate(groups)
    within = sum(((g - g.mean()) ** 2).sum() for g in groups) / (600 - 3)
    expected = 1 - within / everything.var(ddof=1)
    assert explained(groups) == pytest.approx(expected)
    assert explained([*groups[:2], np.append(groups[2], np.nan)]) == pytest.approx(expected)
    noise = [generator.normal(0, 1, 50) for _ in range(8)]
    assert explained(noise) < 0.05
    assert explained([np.zeros(10), np.ones(10)]) == pytest.approx(1)
    assert math.isnan(explained([np.arange(3.0)] * 2))
    assert math.isnan(explained([np.ones(10), np.ones(10)]))


def test_class_accuracy_and_calibration(card, modules):
    logits, labels = modules
    by_class = {label: [] for label in range(10)}
    errors = []
    for logits_NC in logits.values():
        confidence_N, predicted_N = logits_NC.softmax(1).max(1)
        correct_N = (predicted_N == labels).double()
        for label in by_class:
            by_class[label].append(float(correct_N[labels == label].mean()))
        error = 0.0
        for low in range(15):
            inside = (confidence_N > low / 15) & (confidence_N <= (low + 1) / 15)
            if inside.any():
                gap = correct_N[inside].mean() - confidence_N[inside].double().mean()
                error += float(inside.double().mean() * gap.abs())
        errors.append(error)
    assert card.about["sample"]["measured"] == MEMBERS
    for label, values in by_class.items():
        matches(row_of(card.distribution("class_accuracy", "class"), label), values)
    matches(card.distribution("calibration_error"), errors, tolerance=1e-3)


def test_agreement_of_last_snapshots(card, modules):
    logits, _ = modules
    predicted = {member: logits_NC.argmax(1) for member, logits_NC in logits.items()}
    pairs = [
        float((predicted[a] == predicted[b]).double().mean()) for a, b in itertools.combinations(sorted(predicted), 2)
    ]
    assert card.about["sample"]["compared"] == {"last": MEMBERS, "one": MEMBERS}
    matches(row_of(card.distribution("agreement", "snapshots"), "last"), pairs)


def test_agreement_of_one_snapshot_a_member_is_on_the_zoos_own_choice(card, small_zoo, sample):
    population = small_zoo.population(members=sample, epochs="one")
    examples = small_zoo.dataset().test.first(EXAMPLES)
    predicted_MN = population.logits(examples.inputs).argmax(-1)
    accuracy_M = (predicted_MN == examples.targets).double().mean(1)
    matches(row_of(card.distribution("compared_accuracy", "snapshots"), "one"), accuracy_M.numpy())
    found = card.matrix.pivot(index="member", columns="other", values="similarity")
    a, b = sample[3], sample[7]
    expected = float((predicted_MN[3] == predicted_MN[7]).double().mean())
    assert found[a][b] == found[b][a] == pytest.approx(expected, abs=1e-4)
    by_accuracy = [sample[row] for row in np.argsort(accuracy_M.numpy(), kind="stable")]
    assert card.matrix["member"].unique().tolist() == by_accuracy


def test_of_many_members_some_are_compared(small_zoo, card, modules, monkeypatch):
    monkeypatch.setattr("analysis.card.behavior.COMPARED_MEMBERS", 10)
    few = make_card(small_zoo, members=MEMBERS, examples=EXAMPLES)
    logits, _ = modules
    compared = [sorted(logits)[row] for row in evenly_spaced(len(logits), 10)]
    predicted = {member: logits[member].argmax(1) for member in compared}
    equal = [float((predicted[a] == predicted[b]).double().mean()) for a, b in itertools.combinations(compared, 2)]
    assert few.about["sample"]["compared"] == {"last": 10, "one": 10}
    matches(row_of(few.distribution("agreement", "snapshots"), "last"), equal)
    for metric, by in (("calibration_error", ""), ("class_accuracy", "class")):
        pd.testing.assert_frame_equal(
            few.distribution(metric, by).reset_index(drop=True), card.distribution(metric, by).reset_index(drop=True)
        )


def test_tensors_against_the_weights_themselves(card, small_zoo, sample):
    population = small_zoo.population(members=sample, epochs=[0, 1, 2])
    (layout,) = card.layouts.itertuples()
    assert (layout.label, layout.members, layout.measured) == ("1×8×8 → 16 → 10", 64, MEMBERS)
    last = population.weights_MP[[epoch == 2 for epoch in population.epochs]]
    for row, spec in zip(card.tensors.itertuples(), population.architecture.layout, strict=True):
        assert (row.tensor, row.shape) == (spec.name, "×".join(map(str, spec.shape)))
        values = last[:, spec.span].double().flatten().numpy()
        matches(card.distribution("entry", layout=0, tensor=spec.name), values)
        for epoch in (0, 1, 2):
            rows = [each == epoch for each in population.epochs]
            norms = population.weights_MP[rows][:, spec.span].double().norm(dim=1).numpy()
            matches(row_of(card.distribution("norm", "epoch", 0, spec.name), epoch), norms, 1e-5)


def test_of_many_entries_some_are_drawn_from_all_places(monkeypatch):
    """Every second one would always be of the same rows of the tensor."""
    monkeypatch.setattr("analysis.card.weights.MOST_ENTRIES", 2000)
    architecture = mlp((2,), (), 2, bias=False)
    weights_MP = torch.tensor([[0.0, 1, 0, 1]]).repeat(1000, 1)
    population = single_architecture(architecture, weights_MP, [Member(id=i, seed=i) for i in range(1000)], [1] * 1000)
    findings = Findings()
    describe_tensors(population, np.ones(1000, dtype=bool), findings, 0)
    tables = findings.tables()
    assert len(tables["tensors"]) == 1
    assert tables["distributions"]["count"][0] == 2000
    assert tables["distributions"]["mean"][0] == pytest.approx(0.5, abs=0.05)


def test_says_how_many_of_the_sample_were_read(small_zoo, monkeypatch):
    monkeypatch.setattr("analysis.card.weights.WEIGHT_BYTES", 5 * 4 * 1210 * 3)
    card = make_card(small_zoo, members=MEMBERS, examples=10)
    sample = card.about["sample"]
    assert (sample["members"], sample["read"], sample["measured"]) == (MEMBERS, 5, 5)
    assert card.layouts["measured"][0] == 5
    assert "5 of 24 members drawn at random (seed 0), for their weights are large," in render(card)


def test_wide_layers_are_aligned_in_fewer_members(small_zoo, monkeypatch):
    monkeypatch.setattr("analysis.card.weights.MOST_ALIGNMENT_WORK", 2 * 3 * 16**3)
    card = make_card(small_zoo, members=MEMBERS, examples=10)
    assert card.layouts["compared"][0] == 3
    assert card.distribution("distance", "alignment", 0)["count"].tolist() == [3, 3]


def test_splits_and_what_keeps_to_them(card, small_zoo):
    frame = small_zoo.members
    last = frame[frame["epoch"] == 2]
    splits = card.groups("test_accuracy", "split")
    assert dict(zip(splits["value"], splits["members"], strict=True)) == last["split"].value_counts().to_dict()
    shared = card.shared.set_index("what")
    assert shared["largest"]["seed"] == 1
    assert shared.loc["minibatch order"].tolist() == [32, 2, 0, 6]
    assert "task" not in shared.index


def test_a_leak_between_splits_is_a_limit(small_zoo):
    table = small_zoo.snapshots
    place = table.schema.get_field_index("seed")
    leaked = Zoo.open(small_zoo.uri)
    leaked.__dict__["snapshots"] = table.set_column(place, table.schema.field(place), [[7] * len(table)])
    card = make_card(leaked, members=4, examples=10)
    assert card.shared.set_index("what")["across"]["seed"] == 1
    assert any("same seed lie in more than one split" in limit for limit in card.limits)


def test_verdicts_follow_from_the_facts(card):
    verdicts = card.uses.set_index("purpose")
    agreement = row_of(card.distribution("agreement", "snapshots"), "one")["mean"].iloc[0]
    assert agreement <= 0.85
    assert f"{100 * agreement:.1f} %" in verdicts["reason"]["Claims about weight compression"]
    for purpose in ("Claims about weight compression", "Predicting scores from weights"):
        assert verdicts["verdict"][purpose] == "with care"
        said = "12 members held out for testing (wanted: at least 30); they are of 6 groups of one minibatch order"
        assert said in verdicts["reason"][purpose]
    assert verdicts["verdict"]["Studying how training goes"] == "not suited"


def test_goes_without_a_data_set_that_is_not_here(small_zoo, monkeypatch):
    def missing(self):
        raise ZooError("data set 'digits' has other content here")

    monkeypatch.setattr(Zoo, "dataset", missing)
    card = make_card(small_zoo, members=4)
    assert card.absent == "data set 'digits' has other content here"
    assert len(card.matrix) == len(card.distribution("class_accuracy", "class")) == 0
    assert len(card.tensors) == 4
    assert card.uses.set_index("purpose")["verdict"]["Claims about weight compression"] == "not known"
    assert "Nothing was measured on examples: data set" in render(card)


def test_json_holds_the_tables_as_they_are(card):
    value = json.loads(json.dumps(card.to_json(), allow_nan=False))
    assert set(value) == set(card.__dataclass_fields__)
    for name in ("distributions", "histograms", "axes", "epochs", "layouts", "tensors", "shared", "matrix", "uses"):
        again = pd.DataFrame(**value[name])
        pd.testing.assert_frame_equal(again, getattr(card, name), check_dtype=False)
    assert value["distributions"]["columns"][: len(KEYS)] == list(KEYS)
    assert value["metrics"]["test_accuracy"]["unit"] == "share"
    assert not card.distributions.duplicated(list(KEYS)).any()


def test_same_zoo_gives_the_same_card(card, small_zoo):
    assert make_card(small_zoo, members=MEMBERS, examples=EXAMPLES).to_json() == card.to_json()
    other = make_card(small_zoo, members=MEMBERS, examples=EXAMPLES, seed=1)
    assert other.epochs.equals(card.epochs)
    assert not other.distribution("calibration_error").equals(card.distribution("calibration_error"))


@pytest.mark.parametrize(("options", "words"), [({"members": 1}, "members is 1"), ({"examples": 0}, "examples is 0")])
def test_too_small_a_sample_is_refused(small_zoo, options, words):
    with pytest.raises(ValueError, match=f"{words}; allowed"):
        make_card(small_zoo, **options)


def test_metrics_of_columns_are_those_that_the_task_declares(small_zoo):
    score, metrics = measured_columns(["member", "train_loss", "test_accuracy", "generalization_gap"], None)
    assert (score.name, metrics["test_accuracy"].unit, metrics["train_loss"].unit) == ("accuracy", "share", "nats")
    assert "On training examples." in metrics["train_loss"].description
    score, metrics = measured_columns(["train_loss", "train_r2", "test_loss", "test_r2", "training_fraction"], None)
    assert (score.name, list(metrics)) == ("r2", ["train_loss", "train_r2", "test_loss", "test_r2"])
    score, metrics = measured_columns(["test_loss"], small_zoo.dataset())
    assert (score.name, list(metrics)) == ("loss", ["test_loss"])
    score, _ = measured_columns(["test_loss", "test_word_error"], None)
    assert (score.name, score.label) == ("word_error", "word error")


def test_imported_settings_become_columns():
    columns = imported_columns(['{"model::nlin": "tanh", "lr": 0.1, "nested": {"a": 1}}', '{"lr": 0.2}', None, ""])
    assert columns == {"imported model::nlin": ["tanh", None, None, None], "imported lr": [0.1, 0.2, None, None]}


def test_slow_networks_see_fewer_examples(small_zoo, monkeypatch):
    monkeypatch.setattr("analysis.card.behavior.MOST_WORK", 300 * MEMBERS * small_zoo.architectures[0].multiplications)
    assert make_card(small_zoo, members=MEMBERS, examples=400).about["sample"]["examples_used"] == 300
    assert make_card(small_zoo, members=2 * MEMBERS, examples=400).about["sample"]["examples_used"] == 200
