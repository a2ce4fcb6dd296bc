"""Features of weights and behavior: the same for the same network, and those that slow references give."""

import dataclasses
import math
from itertools import product

import numpy as np
import pytest
import torch
from architectures import ARCHITECTURES, random_permutations, random_weights

from trainables.encoders.entries import ENCODERS
from trainables.encoders.weights_and_behavior.columns import quantiles, spectrum
from trainables.encoders.weights_and_behavior.config import WeightsAndBehaviorConfig
from trainables.encoders.weights_and_behavior.feature_perceptrons import FeaturePerceptrons, wanted_outputs
from trainables.encoders.weights_and_behavior.folds import Folds, drawn, keys_of
from trainables.encoders.weights_and_behavior.graphs import Graphs
from trainables.encoders.weights_and_behavior.inputs import Inputs, consensus_of
from trainables.encoders.weights_and_behavior.normal_scores import NormalScores
from trainables.encoders.weights_and_behavior.responses import agreement_columns
from trainables.encoders.weights_and_behavior.weights import weight_columns
from trainables.trainable import DivergedError, FitData, run
from zoo.architecture import Architecture, AveragePool, cnn, mlp
from zoo.data import load_dataset
from zoo.data.examples import Dataset, Examples
from zoo.data.task import Task
from zoo.population import Member
from zoo.population.population import single_architecture
from zoo.views import permute

ENTRY = ENCODERS["weights-and-behavior"]
DIGITS = load_dataset("digits")
FEATURES = WeightsAndBehaviorConfig(inputs=12, head=False)
SMALL = dataclasses.replace(FEATURES, head=True, width=8, passes=2, graph_passes=1)


def population(architecture, members=9, seed=1):
    weights_MP = random_weights(architecture, members, seed=seed)
    members = [Member(id=i, seed=i, learning_rate=1e-3 * (1 + i)) for i in range(members)]
    return single_architecture(architecture, weights_MP, members)


def dataset(architecture):
    """Random inputs of an architecture's shape."""
    generator = torch.Generator().manual_seed(0)
    values = torch.rand(60, *architecture.input_shape, generator=generator)
    parts = (Examples(values[part::3], torch.arange(20) % architecture.classes) for part in range(3))
    return Dataset("random", Task("softmax", architecture.classes), *parts)


def fitted(*architectures, config=FEATURES, data=None):
    training = tuple(population(architecture) for architecture in architectures)
    validation = tuple(population(architecture, 4, seed=2) for architecture in architectures)
    data = data or dataset(architectures[0])
    return run(ENTRY.fit(config, FitData(training=training, validation=validation, dataset=data))).artifact()


@pytest.mark.parametrize("kind", ARCHITECTURES)
def test_embeddings_do_not_depend_on_the_order_of_hidden_units(kind):
    architecture = ARCHITECTURES[kind]
    encoder, networks = fitted(architecture), population(architecture, 5, seed=3)
    moved_MP = permute(networks.weights_MP, architecture, random_permutations(architecture, 5, seed=4))
    wanted_MF, found_MF = encoder.embed(networks), encoder.embed(networks.with_weights(moved_MP))
    assert torch.equal(moved_MP, networks.weights_MP) == (not architecture.symmetry)
    close = np.isclose(found_MF, wanted_MF, atol=2e-3, rtol=2e-3, equal_nan=True)
    assert close.mean() > 0.998  # two classes that are equally probable may change places


@pytest.mark.parametrize("kind", ["one hidden layer", "cnn-4970"])
def test_a_head_does_not_depend_on_it_either_and_knows_its_training_networks_again(kind):
    architecture = ARCHITECTURES[kind]
    encoder, training = fitted(architecture, config=SMALL), population(architecture)
    moved_MP = permute(training.weights_MP, architecture, random_permutations(architecture, 9, seed=4))
    np.testing.assert_allclose(encoder.embed(training.with_weights(moved_MP)), encoder.embed(training), atol=2e-3)
    assert (encoder.head.folds.numbers(keys_of(moved_MP)) >= 0).all()
    assert (encoder.head.folds.numbers(keys_of(training.weights_MP * 1.001)) == -1).all()


def test_a_head_gives_training_networks_what_it_makes_of_others():
    """Of targets that have nothing to do with features, nothing is told of training networks either."""
    generator = np.random.default_rng(0)
    features_MF, member_M = generator.normal(size=(240, 60)), np.arange(240) // 2
    number_M, category_M = features_MF[:, 0] + 0.1 * generator.normal(size=240), generator.choice(["a", "b"], 240)
    config = dataclasses.replace(SMALL, width=32, passes=20)
    columns, every_VF = [number_M, category_M], np.ones((1, 60), dtype=bool)
    draws = torch.Generator().manual_seed(0)
    fold_M = drawn(member_M, draws)
    by_fold = FeaturePerceptrons.fit(config, features_MF, columns, fold_M, every_VF, draws).outputs(features_MF)
    folds = Folds.of(fold_M, np.arange(1.0, 241))
    known, new = (folds.chosen(by_fold, np.arange(240.0) + first) for first in (1.0, 1000.0))
    assert np.corrcoef(known[:, 0], number_M)[0, 1] > 0.5
    is_a_M = category_M == "a"
    assert abs(np.corrcoef(known[:, 1], is_a_M)[0, 1]) < 0.2
    assert np.corrcoef(new[:, 1], is_a_M)[0, 1] > 0.5, "it has learned them by heart"
    np.testing.assert_array_equal(folds.numbers(np.arange(1.0, 241)), fold_M)
    assert (fold_M[::2] == fold_M[1::2]).all(), "members stay whole"
    assert set(fold_M) == set(range(5))


def test_each_view_of_a_head_depends_on_the_features_that_it_sees_and_on_no_other():
    features_MF = np.random.default_rng(0).normal(size=(40, 6))
    views_VF = np.array([[True] * 6, [False] * 4 + [True] * 2])
    draws = torch.Generator().manual_seed(0)
    head = FeaturePerceptrons.fit(SMALL, features_MF, [features_MF[:, 0]], np.arange(40) % 5, views_VF, draws)
    changed_MF = np.hstack([features_MF[:, :4] + 1, features_MF[:, 4:]])
    before, after = (head.outputs(each).mean(0) for each in (features_MF, changed_MF))
    assert before.shape == (40, 2)
    assert (before[:, 0] != after[:, 0]).all()
    np.testing.assert_array_equal(before[:, 1], after[:, 1])
    encoder = fitted(mlp((1, 8, 8), (6,), 10), config=SMALL, data=DIGITS)
    weights_F = np.array([name.startswith("weights, ") for name in encoder.names])
    assert 0 < weights_F.sum() < len(weights_F)
    first_EFH = encoder.head.perceptrons.perceptrons.layers[0][0].numpy()
    assert not first_EFH[1::2, np.tile(~weights_F, 2)].any()
    assert first_EFH[1::2, np.tile(weights_F, 2)].any(axis=(1, 2)).all()


def test_each_graph_is_fitted_without_its_fold_and_asked_about_that_fold_or_about_new_networks():
    networks = population(mlp((1, 8, 8), (4,), 10), 20)
    fold_M = np.arange(20) % 5
    order = np.where(fold_M == 0, (np.arange(20) + 5) % 20, np.arange(20))
    moved = dataclasses.replace(networks, members=tuple(networks.members[place] for place in order))
    before, after = (
        Graphs.fit(SMALL, FitData(training=(each,), validation=(each,), dataset=DIGITS), fold_M).outputs(networks)
        for each in (networks, moved)
    )
    assert [bool((before[fold] == after[fold]).all()) for fold in range(5)] == [True, False, False, False, False]
    encoder = fitted(networks.architecture, config=SMALL, data=DIGITS)
    for asked in (population(networks.architecture), population(networks.architecture, 4, seed=3)):
        by_fold = encoder.head.graphs.outputs(asked)
        own = [
            by_fold.mean(0)[row] if fold < 0 else by_fold[fold, row]
            for row, fold in enumerate(encoder.head.folds.numbers(keys_of(asked.weights_MP)))
        ]
        np.testing.assert_allclose(encoder.embed(asked)[:, -by_fold.shape[2] :], own, rtol=1e-6)
    without = fitted(networks.architecture, config=dataclasses.replace(SMALL, graph_passes=0), data=DIGITS)
    assert without.embed(networks).shape[1] + by_fold.shape[2] == encoder.embed(networks).shape[1]


def test_columns_weigh_the_same_and_what_is_not_known_is_left_out():
    wanted_MK, count_K = wanted_outputs([np.array([1.0, np.nan, 3.0]), np.array(["a", "b", "c"])])
    np.testing.assert_allclose(wanted_MK[:, 0], [-1, np.nan, 1])
    np.testing.assert_allclose(wanted_MK[:, 1:].std(0), 1)
    np.testing.assert_allclose(count_K, [1, 1 / 3, 1 / 3, 1 / 3])


def test_scores_are_normal_and_hardly_move_where_many_networks_have_one_value():
    features_MF = np.exp(np.random.default_rng(0).normal(size=(4000, 2)) * 3)
    features_MF[:2000, 1] = 1.0
    scores = NormalScores.of(features_MF)
    column_M = scores(features_MF)[:, 0]
    assert abs(column_M.mean()) < 0.2
    assert column_M.std() == pytest.approx(1, abs=0.15)
    moved = scores(np.array([[1.0, 1.0], [1.0, 1.0 + 1e-6]]))[:, 1]
    assert abs(moved[1] - moved[0]) < 1e-3


def test_a_batch_is_embedded_like_its_networks_one_by_one_whatever_their_activations():
    architectures = tuple(mlp((1, 8, 8), (6,), 10, activation=name) for name in ("relu", "tanh"))
    networks = dataclasses.replace(
        population(architectures[0], 6), architectures=architectures, architecture_M=torch.arange(6) % 2
    )
    encoder = fitted(architectures[0], data=DIGITS)
    one_by_one = np.concatenate([encoder.embed(networks.select([row])) for row in range(6)])
    np.testing.assert_allclose(encoder.embed(networks), one_by_one, atol=2e-3, rtol=2e-3)


def test_networks_of_other_widths_depths_and_shapes_of_images_are_embedded():
    encoder = fitted(cnn((1, 8, 8), (3, 4), 10), data=DIGITS)
    for other in (cnn((1, 8, 8), (6, 9), 10), cnn((1, 8, 8), (3, 4, 5), 10), cnn((3, 12, 12), (3, 4), 10)):
        embedded = dict(zip(encoder.names, encoder.embed(population(other)).T, strict=True))
        for name in ("weights, 0 rows mean", "weights, last bias size", "seen agreement"):
            assert np.isfinite(embedded[name]).all()
    of_vectors = dict(zip(encoder.names, encoder.embed(population(mlp((5,), (4,), 10))).T, strict=True))
    assert np.isnan(of_vectors["seen agreement"]).all()
    assert np.isfinite(of_vectors["weights, last rows mean"]).all()


def test_inputs_and_consensus_of_another_data_set_take_the_place_of_the_stored_ones_and_no_label_is_read():
    architecture = mlp((1, 8, 8), (6,), 10)
    encoder, networks = fitted(architecture, data=DIGITS), population(architecture, 6, seed=3)
    other = dataset(architecture)
    shuffled = dataclasses.replace(
        other,
        **{part: Examples(getattr(other, part).values, torch.zeros(20).long()) for part in ("train", "validation")},
    )
    moved = encoder.on_inputs_of(other, [networks])
    np.testing.assert_array_equal(moved.embed(networks), encoder.on_inputs_of(shuffled, [networks]).embed(networks))
    given_MNC = networks.logits(other.train.inputs)
    agreed_N = consensus_of(torch.cat([given_MNC, networks.logits(other.validation.inputs)], dim=1))[:20]
    agreement_M = (given_MNC.argmax(2) == agreed_N).float().mean(1)
    whole = dataclasses.replace(encoder, config=dataclasses.replace(encoder.config, inputs=20))
    found = whole.on_inputs_of(other, [networks]).columns(networks)
    np.testing.assert_allclose(found["seen agreement"], agreement_M, atol=1e-6)
    assert not np.allclose(moved.embed(networks), encoder.embed(networks), equal_nan=True)
    kept = dataclasses.replace(encoder, config=dataclasses.replace(encoder.config, adapt=False))
    np.testing.assert_array_equal(kept.on_inputs_of(other, [networks]).embed(networks), encoder.embed(networks))


@pytest.mark.parametrize("part", ["statistics", "behavior", "head"])
def test_each_part_alone_comes_back_from_files(part):
    parts = {name: part in (name, "head") for name in ("statistics", "behavior")}
    parts |= {"head": part == "head", "passes": 1, "graph_passes": 1}
    encoder = fitted(mlp((1, 8, 8), (6,), 10), config=dataclasses.replace(FEATURES, **parts), data=DIGITS)
    networks = population(mlp((1, 8, 8), (6,), 10), 4, seed=5)
    again = ENTRY.from_files(encoder.to_files())
    assert encoder.names
    np.testing.assert_array_equal(again.embed(networks), encoder.embed(networks))


def test_embeddings_do_not_tell_the_activation_where_it_is_not_known():
    relu, tanh = (mlp((1, 8, 8), (6,), 10, activation=name) for name in ("relu", "tanh"))
    weights_MP = random_weights(relu, 4, seed=6)
    for known in (True, False):
        training = tuple(population(relu) for _ in range(1))
        mixed = dataclasses.replace(training[0], architectures=(relu, tanh), architecture_M=torch.arange(9) % 2)
        config = dataclasses.replace(FEATURES, activation_known=known)
        encoder = run(ENTRY.fit(config, FitData(training=(mixed,), validation=(mixed,), dataset=DIGITS))).artifact()
        first, second = (encoder.embed(single_architecture(each, weights_MP)) for each in (relu, tanh))
        assert np.array_equal(first, second) != known


def test_networks_that_differ_in_more_than_their_activation_stay_as_they_are_where_it_is_not_known():
    largest = cnn((1, 8, 8), (3,), 10)
    convolution, act, _, *rest = largest.layers
    average = Architecture((1, 8, 8), (convolution, act, AveragePool(size=2), *rest))
    networks = dataclasses.replace(
        population(largest), architectures=(largest, average), architecture_M=torch.arange(9) % 2
    )
    config = dataclasses.replace(FEATURES, activation_known=False)
    data = FitData(training=(networks,), validation=(networks,), dataset=DIGITS)
    encoder = run(ENTRY.fit(config, data)).artifact()
    by_each = [single_architecture(each, networks.weights_MP) for each in (largest, average)]
    first_MF, second_MF = map(encoder.embed, by_each)
    found_MF = encoder.embed(networks)
    np.testing.assert_allclose(found_MF[::2], first_MF[::2], atol=2e-3, rtol=2e-3)
    np.testing.assert_allclose(found_MF[1::2], second_MF[1::2], atol=2e-3, rtol=2e-3)
    assert not np.allclose(first_MF[1::2], second_MF[1::2], atol=0.1)


def test_labels_alone_make_agreement_accuracy():
    architecture = mlp((1, 8, 8), (6,), 10)
    networks = population(architecture)
    config = dataclasses.replace(FEATURES, labels=True, inputs=1000)
    encoder = fitted(architecture, config=config, data=DIGITS)
    column = encoder.embed(networks)[:, encoder.names.index("unseen agreement")]
    validation = DIGITS.validation
    right = (networks.logits(validation.inputs).argmax(2) == validation.targets).float().mean(1).numpy()
    low, high = encoder.range_2F[:, encoder.names.index("unseen agreement")].tolist()
    np.testing.assert_allclose(column, right.clip(low, high), atol=1e-6)


def test_a_consensus_is_that_of_networks_that_agree_not_of_the_many_that_do_not():
    generator = torch.Generator().manual_seed(0)
    true_N = torch.randint(5, (200,), generator=generator)
    good = torch.nn.functional.one_hot(true_N, 5).float() * 3 + torch.randn(6, 200, 5, generator=generator)
    bad = 6 * torch.nn.functional.one_hot(torch.zeros(200, dtype=torch.int64), 5).float()
    noise = torch.randn(12, 200, 5, generator=generator) * 4
    assert (consensus_of(torch.cat([good, noise])) == true_N).float().mean() > 0.97
    assert (consensus_of(torch.cat([good, bad[None]])) == true_N).float().mean() > 0.97


def test_agreement_counts_inputs_by_class():
    outputs_MNC = torch.tensor([[[2.0, 0, 0], [0, 1.0, 0], [0, 0, 3.0], [1.0, 0, 0]]])
    found = agreement_columns("x", outputs_MNC, torch.tensor([0, 1, 0, 1]))
    assert float(found["x agreement"]) == 0.5
    assert float(found["x classes 0 %"]) == float(found["x classes 100 %"]) == 0.5


def test_spectra_of_matrices_of_one_kind_are_alike_whatever_their_size():
    generator = torch.Generator().manual_seed(0)
    small, large = (torch.linalg.qr(torch.randn(1, n, n, generator=generator))[0] for n in (8, 32))
    for matrix in (small, large):
        assert float(spectrum("x", matrix)["x rank"]) == pytest.approx(1)
        assert float(spectrum("x", matrix)["x singular 0"]) == pytest.approx(0, abs=2e-4)
    values_MK = torch.randn(3, 17, generator=generator)
    torch.testing.assert_close(
        quantiles(values_MK, (0.1, 0.5)), torch.quantile(values_MK, torch.tensor([0.1, 0.5]), 1).T
    )


def test_weight_columns_are_those_of_loops_over_units_and_over_kernels():
    architecture = mlp((1, 2, 2), (5,), 3)
    weights_MP = random_weights(architecture, 3, seed=8)
    found = weight_columns(architecture, weights_MP)
    for row, tensors in enumerate(architecture.tensors(weights_MP[row : row + 1].double()) for row in range(3)):
        first_HD, bias_H, second_OH, last_O = (tensor[0] for tensor in tensors.values())
        incoming_H = [float(first_HD[unit].square().sum() + bias_H[unit] ** 2) for unit in range(5)]
        outgoing_H = [float(second_OH[:, unit].square().sum()) for unit in range(5)]
        pairs = list(zip(incoming_H, outgoing_H, strict=True))
        balance_H = [math.copysign(abs(made - read) ** 0.5, made - read) for made, read in pairs]
        ratio_H = [0.5 * math.log(made / read) for made, read in pairs]
        aligned = (second_OH @ first_HD).square().sum() * 5 / (first_HD.square().sum() * second_OH.square().sum())
        wanted = {
            "hidden last balance mean": np.mean(balance_H),
            "hidden last ratio deviation": np.std(ratio_H),
            "0-last alignment": math.log(aligned),
            "0 rows mean": np.mean([0.5 * math.log(float(first_HD[unit].square().sum())) for unit in range(5)]),
            "last bias with row sum": np.corrcoef(last_O, second_OH.sum(1))[0, 1],
        }
        assert {name: float(found[name][row]) for name in wanted} == pytest.approx(wanted, rel=1e-6)
    numbers = torch.tensor([[1.0, 2, 3], [4, 6, 5], [7, 8, 9]])
    weights_MP = torch.cat([numbers.flatten(), torch.ones(18)])[None]
    found = weight_columns(cnn((1, 6, 6), (1,), 2, bias=False), weights_MP)
    square = float(numbers.square().sum())
    pairs = [numbers[place] * numbers[place[0], place[1] + 1] for place in product(range(3), range(2))]
    assert float(found["0 kernel beside"]) == pytest.approx(float(sum(pairs)) / square)
    pairs = [numbers[place] * numbers[place[0] + 1, place[1]] for place in product(range(2), range(3))]
    assert float(found["0 kernel below"]) == pytest.approx(float(sum(pairs)) / square)
    assert float(found["0 kernel mean"]) == pytest.approx(9 * 5**2 / square)
    assert float(found["0 kernel middle"]) == pytest.approx(9 * 6**2 / square)


def test_images_become_gray_and_are_resized_where_networks_read_others():
    inputs = Inputs({"seen": torch.rand(2, 3, 8, 8)}, 1.0, {}, 10)
    given = inputs.adapted((1, 8, 8))
    torch.testing.assert_close(given["seen"], inputs.sets["seen"].mean(1, keepdim=True))
    assert inputs.adapted((3, 5, 5))["seen"].shape == (2, 3, 5, 5)
    assert inputs.adapted((64,)) is None


def test_a_head_of_networks_of_several_layouts_sees_which_features_there_are():
    layouts = (mlp((1, 8, 8), (6,), 10), mlp((1, 8, 8), (5, 4), 10), cnn((1, 8, 8), (3, 4), 10))
    encoder = fitted(*layouts, config=SMALL, data=DIGITS)
    gaps = len(encoder.head.perceptrons.standardization.gaps_G)
    assert gaps > 0, "features that some of the networks do not have"
    assert encoder.head.perceptrons.perceptrons.layers[0][0].shape[1] == 2 * len(encoder.names) + gaps
    parts = [encoder.embed(population(each, 3, seed=7)) for each in layouts]
    assert {part.shape for part in parts} == {parts[0].shape}
    assert np.isfinite(np.concatenate(parts)[:, -2:]).all()
    again = ENTRY.from_files(encoder.to_files())
    np.testing.assert_array_equal(again.embed(population(layouts[2], 3, seed=7)), parts[2])
    assert encoder.embed(population(layouts[0], 0)).shape == (0, parts[0].shape[1])


def test_a_layout_of_which_there_is_one_network_is_no_part_of_what_its_fold_is_fitted_without():
    many, one = population(mlp((1, 8, 8), (4,), 10)), population(mlp((1, 8, 8), (3, 2), 10), 1)
    data = FitData(training=(many, one), validation=(many,), dataset=DIGITS)
    encoder = run(ENTRY.fit(SMALL, data)).artifact()
    assert np.isfinite(encoder.embed(one)[:, -encoder.head.graphs.range_2K.shape[1] :]).all()


def test_refuses_weights_that_are_not_finite_and_settings_that_leave_nothing():
    networks = population(mlp((1, 8, 8), (6,), 10))
    broken_MP = networks.weights_MP.clone()
    broken_MP[2, 5] = torch.nan
    encoder = fitted(networks.architecture, data=DIGITS)
    with pytest.raises(ValueError, match="1 of 9 networks have weights that are NaN or infinite, the first in row 2"):
        encoder.embed(networks.with_weights(broken_MP))
    with pytest.raises(ValueError, match="allowed: true for at least one of statistics, behavior"):
        WeightsAndBehaviorConfig(statistics=False, behavior=False)
    few = FitData(training=(networks.select([0, 1, 2]),), validation=(networks,), dataset=DIGITS)
    with pytest.raises(ValueError, match="of 3 members; a head needs 5 or more: take more members or head=false"):
        run(ENTRY.fit(SMALL, few))
    same = dataclasses.replace(networks, members=tuple(Member(id=i, seed=i) for i in range(9)))
    with pytest.raises(ValueError, match="differ in nothing that the zoo knows of them"):
        run(ENTRY.fit(SMALL, dataclasses.replace(few, training=(same,))))
    wild = dataclasses.replace(SMALL, learning_rate=100.0, passes=200, graph_passes=0)
    with pytest.raises(DivergedError, match="after 200 steps a perceptron's weight is not finite; lower learning_rate"):
        fitted(networks.architecture, config=wild, data=DIGITS)
    with pytest.raises(ValueError, match="labels is True; allowed: false where consensus is false"):
        WeightsAndBehaviorConfig(labels=True, consensus=False)
