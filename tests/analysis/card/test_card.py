"""The facts of a card against slow, direct computation."""

import itertools
import json
import math

import numpy as np
import pandas as pd
import pytest
import torch
from card_checks import matches

from analysis.card.behavior import multiplications
from analysis.card.distributions import distribution, even_edges, evenly_spaced, histogram
from analysis.card.facts import make_card
from analysis.card.hyperparameters import explained_variance, hyper_parameters, imported_columns
from analysis.card.page_tables import hyper_parameter_table
from analysis.card.record import SCHEMA_VERSION
from analysis.card.weights import in_words, tensor_facts
from analysis.card.words import attribute_words
from zoo.architecture import cnn, mlp
from zoo.population import Member, single_architecture
from zoo.recipes import Recipe
from zoo.storage.errors import ZooError
from zoo.storage.zoo import Zoo

MEMBERS, IMAGES = 24, 200


def words(text):
    return sorted(text.split(" "))


@pytest.fixture(scope="module")
def card(small_zoo):
    return make_card(small_zoo, members=MEMBERS, images=IMAGES)


@pytest.fixture(scope="module")
def sample(small_zoo):
    """The members that the card measures."""
    return sorted(np.random.default_rng(0).choice(len(small_zoo), MEMBERS, replace=False).tolist())


@pytest.fixture(scope="module")
def modules(small_zoo, sample):
    """Each sampled member's last snapshot as an ordinary module, and its logits on the first test images."""
    population = small_zoo.population(members=sample, epochs="last")
    images = small_zoo.dataset().test.first(IMAGES)
    found = {}
    for row, member in enumerate(population.members):
        architecture = population.architectures[population.architecture_M[row]]
        with torch.no_grad():
            found[member.id] = architecture.to_module(population.weights_MP[row])(images.inputs)
    return found, images.targets


def test_identity_is_the_manifests(card, small_zoo):
    identity = card.identity
    assert (identity.name, identity.digest, identity.members) == (small_zoo.name, small_zoo.digest, 64)
    assert identity.content_sha256 == small_zoo.content_sha256
    assert identity.snapshots == len(small_zoo.members) == 192
    assert identity.size_bytes == sum(
        small_zoo.store.size(path) for path in small_zoo.store.list("") if path.endswith(".parquet")
    )
    assert identity.address == f"zoos/{small_zoo.name}"


def test_provenance_has_every_field_of_the_recipe_with_its_words(card, small_recipe, small_zoo):
    fields = {field.name: field for field in card.provenance.fields}
    assert set(fields) == set(small_recipe.__dataclass_fields__)
    assert fields["axes"].value["learning_rate"] == small_recipe.axes["learning_rate"].to_json()
    assert card.provenance.words == small_recipe.description
    assert "weights are stored" in fields["snapshot_epochs"].meaning
    assert [name for name, field in fields.items() if not field.meaning] == []
    assert card.provenance.dataset_sha256 == small_zoo.manifest.dataset_sha256
    assert card.provenance.images == {"train": 997, "validation": 300, "test": 500}
    (trained,) = card.provenance.trained
    assert trained.shards == 4
    assert trained.environment["backend"]
    assert trained.environment["libraries"]["torch"]


def test_epochs_describe_all_snapshots(card, small_zoo):
    frame = small_zoo.members
    assert [facts.epoch for facts in card.epochs] == [0, 1, 2]
    for facts in card.epochs:
        rows = frame[(frame["epoch"] == facts.epoch) & ~frame["diverged"]]
        assert facts.snapshots == 64
        for name in ("train_loss", "validation_accuracy", "test_accuracy", "generalization_gap"):
            matches(facts.metrics[name], rows[name].to_numpy())


def test_final_histograms_count_every_member(card, small_zoo):
    frame = small_zoo.members
    last = frame[(frame["epoch"] == 2) & ~frame["diverged"]]
    shown = card.final.histograms["test_accuracy"]
    assert card.final.members == sum(shown.counts) == len(last)
    low, high = shown.edges[10], shown.edges[40]
    inside = ((last["test_accuracy"] >= low) & (last["test_accuracy"] < high)).sum()
    assert sum(shown.counts[10:40]) == inside
    labels = small_zoo.dataset().test.targets
    share = float(torch.bincount(labels).max()) / len(labels)
    assert card.final.chance_accuracy == pytest.approx(share + 2 * math.sqrt(share * (1 - share) / len(labels)))
    assert card.final.chance_share == pytest.approx((last["test_accuracy"] <= card.final.chance_accuracy).mean())


def test_what_varies_is_found_and_counted(card, small_zoo):
    frame = small_zoo.members
    last = frame[frame["epoch"] == 2]
    varying = {entry.name: entry for entry in card.varying}
    for name in ("activation", "optimizer", "dropout", "initialization"):
        counts = last[name].value_counts()
        shown = {level.value: level.members for level in varying[name].levels}
        assert shown == {f"{v:g}" if isinstance(v, float) else v: n for v, n in counts.items()}
        for level in varying[name].levels:
            chosen = last[[f"{v:g}" == level.value if isinstance(v, float) else v == level.value for v in last[name]]]
            matches(level.test_accuracy, chosen["test_accuracy"].to_numpy())
    rate = varying["learning_rate"]
    assert (rate.kind, rate.logarithmic) == ("number", True)
    matches(rate.values, last["learning_rate"].to_numpy())
    assert sum(level.members for level in rate.levels) == sum(rate.histogram.counts) == 64
    assert varying["seed"].kind == "seed"
    assert varying["seed"].levels == ()
    assert varying["seed"].distinct == 64
    assert card.constant["batch_size"] == 32
    assert not set(card.constant) & set(varying)


def test_explained_variance_against_analysis_of_variance():
    generator = np.random.default_rng(0)
    groups = [generator.normal(mean, 1, 200) for mean in (0, 1, 3)]
    everything = np.concatenate(groups)
    within = sum(((g - g.mean()) ** 2).sum() for g in groups) / (600 - 3)
    expected = 1 - within / everything.var(ddof=1)
    assert explained_variance(groups) == pytest.approx(expected)
    noise = [generator.normal(0, 1, 50) for _ in range(8)]
    assert explained_variance(noise) < 0.05
    assert explained_variance([np.zeros(10), np.ones(10)]) == pytest.approx(1)
    assert explained_variance([np.arange(3.0)] * 2) is None
    assert explained_variance([np.ones(10), np.ones(10)]) is None


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
    assert card.behavior.members == MEMBERS
    for facts in card.behavior.classes:
        matches(facts.accuracy, by_class[facts.label])
    matches(card.behavior.calibration_error, errors, tolerance=1e-3)


def test_agreement_of_last_snapshots(card, modules):
    logits, _ = modules
    predicted = {member: logits_NC.argmax(1) for member, logits_NC in logits.items()}
    pairs = [
        float((predicted[a] == predicted[b]).double().mean()) for a, b in itertools.combinations(sorted(predicted), 2)
    ]
    (facts,) = [entry for entry in card.behavior.agreement if entry.snapshots == "last"]
    assert (facts.members, facts.pairs) == (MEMBERS, MEMBERS * (MEMBERS - 1) // 2)
    matches(facts.agreement, pairs)
    a, b = facts.matrix_members[3], facts.matrix_members[7]
    expected = float((predicted[a] == predicted[b]).double().mean())
    assert facts.matrix[3][7] == facts.matrix[7][3] == pytest.approx(expected, abs=1e-4)


def test_of_many_members_some_are_compared(small_zoo, card, modules, monkeypatch):
    monkeypatch.setattr("analysis.card.behavior.COMPARED_MEMBERS", 10)
    few = make_card(small_zoo, members=MEMBERS, images=IMAGES).behavior
    logits, _ = modules
    compared = [sorted(logits)[row] for row in evenly_spaced(len(logits), 10)]
    predicted = {member: logits[member].argmax(1) for member in compared}
    equal = [float((predicted[a] == predicted[b]).double().mean()) for a, b in itertools.combinations(compared, 2)]
    assert [(facts.members, facts.pairs) for facts in few.agreement] == [(10, 45), (10, 45)]
    matches(few.agreement[0].agreement, equal)
    assert few.calibration_error == card.behavior.calibration_error
    assert few.classes == card.behavior.classes


def test_agreement_of_one_snapshot_a_member_is_on_the_zoos_own_choice(card, small_zoo, sample):
    (facts,) = [entry for entry in card.behavior.agreement if entry.snapshots == "one"]
    population = small_zoo.population(members=sample, epochs="one")
    images = small_zoo.dataset().test.first(IMAGES)
    predicted_MN = population.logits(images.inputs).argmax(-1)
    matches(facts.accuracy, (predicted_MN == images.targets).double().mean(1).numpy())


def test_tensors_against_the_weights_themselves(card, small_zoo, sample):
    population = small_zoo.population(members=sample, epochs=[0, 1, 2])
    (layout,) = card.layouts
    assert (layout.label, layout.members, layout.measured) == ("1×8×8 → 16 → 10", 64, MEMBERS)
    last = population.weights_MP[[epoch == 2 for epoch in population.epochs]]
    for facts, spec in zip(layout.tensors, population.architecture.layout, strict=True):
        assert (facts.name, facts.shape) == (spec.name, spec.shape)
        values = last[:, spec.span].double().flatten().numpy()
        matches(facts.values, values)
        assert facts.histogram.below + sum(facts.histogram.counts) + facts.histogram.above == len(values)
        for entry in facts.norms:
            rows = [epoch == entry.epoch for epoch in population.epochs]
            matches(entry.norm, population.weights_MP[rows][:, spec.span].double().norm(dim=1).numpy(), 1e-5)


def test_of_many_entries_some_are_drawn_from_all_places(monkeypatch):
    """Every second one would always be of the same rows of the tensor."""
    monkeypatch.setattr("analysis.card.weights.MOST_ENTRIES", 2000)
    architecture = mlp((2,), (), 2, bias=False)
    weights_MP = torch.tensor([[0.0, 1, 0, 1]]).repeat(1000, 1)
    population = single_architecture(architecture, weights_MP, [Member(id=i, seed=i) for i in range(1000)], [1] * 1000)
    (facts,) = tensor_facts(population, np.ones(1000, dtype=bool))
    assert facts.values.count == 2000
    assert facts.values.mean == pytest.approx(0.5, abs=0.05)


def test_says_how_many_of_the_sample_were_read(small_zoo, monkeypatch):
    monkeypatch.setattr("analysis.card.layouts.WEIGHT_BYTES", 5 * 4 * 1210 * 3)
    card = make_card(small_zoo, members=MEMBERS, images=10)
    assert (card.sample.members, card.sample.read, card.behavior.members) == (MEMBERS, 5, 5)
    assert card.layouts[0].measured == 5


def test_wide_layers_are_aligned_in_fewer_members(small_zoo, monkeypatch):
    monkeypatch.setattr("analysis.card.weights.MOST_ALIGNMENT_WORK", 2 * 3 * 16**3)
    distances = make_card(small_zoo, members=MEMBERS, images=10).layouts[0].distances
    assert (distances.members, distances.pairs) == (3, 3)


def test_shares_of_values_are_of_all_members():
    frame = pd.DataFrame({"test_accuracy": np.linspace(0, 1, 40)})
    varying, _ = hyper_parameters(frame, {"letter": [chr(97 + i // 2) for i in range(40)]})
    (row,) = hyper_parameter_table(varying, 40).rows
    assert row.cells[3].text.startswith("a (5 %)")
    assert row.cells[3].text.endswith("12 more")


def test_splits_and_what_keeps_to_them(card, small_zoo):
    frame = small_zoo.members
    last = frame[frame["epoch"] == 2]
    assert {facts.split: facts.members for facts in card.splits} == last["split"].value_counts().to_dict()
    shared = {facts.what: facts for facts in card.shared}
    assert shared["seed"].largest == 1
    assert (shared["minibatch order"].groups, shared["minibatch order"].largest) == (32, 2)
    assert shared["minibatch order"].across == 0
    assert "task" not in shared


def test_a_leak_between_splits_is_a_limit(small_zoo, monkeypatch):
    table = small_zoo.snapshots
    place = table.schema.get_field_index("seed")
    leaked = Zoo.open(small_zoo.uri)
    leaked.__dict__["snapshots"] = table.set_column(place, table.schema.field(place), [[7] * len(table)])
    card = make_card(leaked, members=4, images=10)
    assert {facts.what: facts.across for facts in card.shared}["seed"] == 1
    assert any("same seed lie in more than one split" in limit for limit in card.limits)


def test_verdicts_follow_from_the_facts(card):
    verdicts = {use.purpose: use for use in card.uses}
    compression = verdicts["Claims about weight compression"]
    (spread,) = [entry for entry in card.behavior.agreement if entry.snapshots == "one"]
    assert compression.verdict == "suited"
    assert spread.agreement.mean <= 0.85
    assert f"{100 * spread.agreement.mean:.1f} %" in compression.reason
    assert verdicts["Predicting accuracy from weights"].verdict == "with care"
    assert verdicts["Studying how training goes"].verdict == "not suited"


def test_goes_without_a_data_set_that_is_not_here(small_zoo, monkeypatch):
    def missing(self):
        raise ZooError("data set 'digits' has other content here")

    monkeypatch.setattr(Zoo, "dataset", missing)
    card = make_card(small_zoo, members=4)
    assert card.behavior is None
    assert card.unmeasured == "data set 'digits' has other content here."
    assert card.layouts[0].tensors
    assert {use.verdict for use in card.uses if "compression" in use.purpose} == {"not known"}


def test_json_has_a_stable_shape(card):
    value = json.loads(json.dumps(card.to_json(), allow_nan=False))
    assert value["schema_version"] == SCHEMA_VERSION == 1
    # Whoever changes these names raises SCHEMA_VERSION.
    assert {name: sorted(part) for name, part in value.items() if isinstance(part, dict)} == {
        "identity": words("name address digest content_sha256 created members snapshots shards size_bytes parameters"),
        "provenance": words(
            "recipe kind words fields dataset dataset_sha256 images classes input_shape environment trained"
        ),
        "sample": words("members read of seed images sections layouts"),
        "constant": sorted(card.constant),
        "final": words("members histograms chance_accuracy chance_share"),
        "behavior": words("members images classes calibration_error calibration_histogram agreement"),
    }
    assert {name: sorted(part[0]) for name, part in value.items() if isinstance(part, list) and part} == {
        "varying": words(
            "name meaning kind distinct unknown values histogram logarithmic levels other_levels explained"
        ),
        "epochs": words("epoch snapshots diverged metrics"),
        "splits": words("split members share test_accuracy"),
        "shared": words("what groups largest across"),
        "layouts": words("label architectures parameters members measured tensors distances"),
        "uses": words("purpose verdict reason"),
        "limits": sorted(card.limits[0]),
    }
    assert sorted(value["epochs"][0]["metrics"]["test_accuracy"]) == words(
        "count missing mean sd minimum p1 p5 p25 median p75 p95 p99 maximum"
    )


def test_same_zoo_gives_the_same_card(card, small_zoo):
    assert make_card(small_zoo, members=MEMBERS, images=IMAGES).to_json() == card.to_json()
    other = make_card(small_zoo, members=MEMBERS, images=IMAGES, seed=1)
    assert other.epochs == card.epochs
    assert other.behavior.calibration_error != card.behavior.calibration_error


@pytest.mark.parametrize(("options", "words"), [({"members": 1}, "members is 1"), ({"images": 0}, "images is 0")])
def test_too_small_a_sample_is_refused(small_zoo, options, words):
    with pytest.raises(ValueError, match=f"{words}; allowed"):
        make_card(small_zoo, **options)


def test_distribution_of_nothing_and_of_what_is_not_finite():
    assert distribution(np.array([np.nan, np.inf])).missing == 2
    assert distribution(np.empty(0)).mean is None
    assert distribution(np.array([1.0, np.nan, 3.0])).mean == 2
    flat = histogram(np.ones(5), even_edges(np.ones(5), 4))
    assert sum(flat.counts) == 5


def test_evenly_spaced_numbers():
    assert evenly_spaced(100, 5).tolist() == [0, 25, 50, 74, 99]
    assert evenly_spaced(3, 5).tolist() == [0, 1, 2]
    assert evenly_spaced(0, 5).tolist() == []


def test_words_of_source_are_found():
    assert (
        attribute_words(Member)["optimizer"]
        == "A name in OPTIMIZERS, or module:attribute of a PopulationOptimizer of your own."
    )
    assert set(attribute_words(Recipe)) == set(Recipe.__dataclass_fields__)


def test_imported_settings_become_columns():
    columns = imported_columns(['{"model::nlin": "tanh", "lr": 0.1, "nested": {"a": 1}}', '{"lr": 0.2}', None, ""])
    assert columns == {"imported model::nlin": ["tanh", None, None, None], "imported lr": [0.1, 0.2, None, None]}


def test_work_is_the_number_of_products():
    assert multiplications(mlp((1, 8, 8), (16,), 10)) == 64 * 16 + 16 * 10
    network = cnn((1, 8, 8), (4,), 10)
    first, linear = network.layout[0], network.layout[2]
    convolution = network.placed[0]
    assert multiplications(network) == math.prod(first.shape) * math.prod(convolution.output_shape[1:]) + math.prod(
        linear.shape
    )


def test_slow_networks_see_fewer_images(small_zoo, monkeypatch):
    monkeypatch.setattr("analysis.card.behavior.MOST_WORK", 300 * MEMBERS * multiplications(small_zoo.architectures[0]))
    assert make_card(small_zoo, members=MEMBERS, images=400).behavior.images == 300
    assert make_card(small_zoo, members=2 * MEMBERS, images=400).behavior.images == 200


def test_layers_in_words():
    assert in_words(mlp((1, 8, 8), (16, 4), 10, bias=False)) == "1×8×8 → 16 (no bias) → 4 (no bias) → 10 (no bias)"
