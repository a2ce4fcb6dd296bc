"""A data set becomes a network: what is read and written, learned and refused."""

import dataclasses

import pytest
import torch

from trainables.hypernetworks.labeled_sets import drawn_sets, scrambled
from trainables.hypernetworks.last_layer import before_last_layer
from trainables.hypernetworks.set_config import DatasetHypernetworkConfig
from trainables.hypernetworks.set_directions import STRENGTH, dual_regression, principal_directions, worst_examples
from trainables.hypernetworks.set_hypernetwork import DatasetHypernetwork, DatasetHypernetworkFit
from trainables.hypernetworks.set_network import SetNetwork
from trainables.registry import find_trainable
from trainables.trainable import FitData, run
from zoo.architecture import cnn, mlp
from zoo.data import load_dataset
from zoo.data.examples import Examples
from zoo.population import Member
from zoo.population.population import single_architecture
from zoo.training.grouping import training_examples

ARCHITECTURE = mlp((1, 8, 8), (8,), 10)
SHORT = DatasetHypernetworkConfig(
    set_size=50, queries=50, width=32, rank=8, task_batch=8, steps=60, epochs=3, learning_rate=1e-2
)


def networks(count, architecture=ARCHITECTURE, **changes):
    members = [Member(id=i, seed=i, **{**changes, "subset_index": i} if changes else {}) for i in range(count)]
    generator = torch.Generator().manual_seed(7)
    weights_MP = torch.randn(count, architecture.parameters, generator=generator) / 8
    return dataclasses.replace(single_architecture(architecture, weights_MP, members), epochs=(1,) * count)


def data_of(population):
    return FitData(training=(population,), validation=(population.select([0]),), dataset=load_dataset("digits"))


@pytest.fixture(scope="module")
def data():
    return data_of(networks(6))


@pytest.fixture(scope="module")
def fit(data):
    return run(DatasetHypernetworkFit(SHORT, data))


@pytest.fixture(scope="module")
def test_sets():
    generator = torch.Generator().manual_seed(5)
    return drawn_sets(load_dataset("digits").test, 10, count=4, size=50, queries=100, generator=generator)


def ridge_accuracy(sets, strength=10.0):
    """The mean accuracy on queries of ridge regression on inputs, fitted to each set."""
    found = []
    for inputs, labels_B, queries, query_labels_Q in zip(
        sets.inputs.flatten(2), sets.labels_TB, sets.queries.flatten(2), sets.query_labels_TQ, strict=True
    ):
        mean = inputs.mean(0)
        centered, one_hot = inputs - mean, torch.nn.functional.one_hot(labels_B, 10).float()
        rows = torch.linalg.solve(centered.T @ centered + strength * torch.eye(64), centered.T @ (one_hot - 0.1))
        found.append((((queries - mean) @ rows).argmax(1) == query_labels_Q).float().mean())
    return float(torch.stack(found).mean())


def test_one_pass_tells_more_of_other_examples_than_ridge_regression_on_the_same_set(fit, test_sets):
    weights_TP = fit.module(test_sets.inputs, test_sets.labels_TB)
    found = ARCHITECTURE.logits(weights_TP, test_sets.queries).argmax(2)
    accuracy = float((found == test_sets.query_labels_TQ).float().mean())
    assert accuracy > ridge_accuracy(test_sets) > 0.7
    assert fit.validate()["unseen_accuracy"] > 0.7


@pytest.mark.parametrize("output_layer", ["classes", "ridge"])
@pytest.mark.parametrize("changes", [{}, {"attention": "induced", "span": True}, {"regressed": True}])
def test_permuted_labels_give_the_permuted_network(output_layer, changes, test_sets):
    torch.manual_seed(0)
    module = SetNetwork(dataclasses.replace(SHORT, output_layer=output_layer, **changes), ARCHITECTURE).eval()
    order_C = torch.randperm(10)
    given, permuted = (
        ARCHITECTURE.logits(module(test_sets.inputs, labels_TB), test_sets.queries)
        for labels_TB in (test_sets.labels_TB, order_C[test_sets.labels_TB])
    )
    torch.testing.assert_close(permuted[..., order_C], given, atol=1e-3, rtol=1e-3)
    assert not torch.allclose(permuted, given, atol=1e-2)


@pytest.mark.parametrize("attention", ["full", "induced", "none"])
@pytest.mark.parametrize("output_layer", ["pooled", "classes", "ridge"])
def test_the_order_of_examples_does_not_matter_unless_each_place_has_its_branch(attention, output_layer, test_sets):
    torch.manual_seed(0)
    changes = {"attention": attention, "output_layer": output_layer}
    order_B = torch.randperm(50)
    for embedding, alike in (("shared", True), ("slots", False)):
        module = SetNetwork(dataclasses.replace(SHORT, embedding=embedding, **changes), ARCHITECTURE)
        given = module(test_sets.inputs, test_sets.labels_TB)
        other = module(test_sets.inputs[:, order_B], test_sets.labels_TB[:, order_B])
        assert torch.allclose(given, other, atol=1e-4, rtol=1e-3) == alike


def test_the_last_layer_is_ridge_regression_on_the_hidden_values_of_the_set(test_sets):
    torch.manual_seed(0)
    module = SetNetwork(SHORT, ARCHITECTURE)
    weights_TP = module(test_sets.inputs, test_sets.labels_TB)
    hidden_BH = before_last_layer(ARCHITECTURE, weights_TP, test_sets.inputs)[0].double()
    hidden_BH = torch.cat([hidden_BH, torch.ones(50, 1)], dim=1)
    strength = module.strength.exp().double() * hidden_BH.square().mean() * 50
    one_hot_BC = torch.nn.functional.one_hot(test_sets.labels_TB[0], 10).double()
    rows_HC = torch.linalg.inv(hidden_BH.T @ hidden_BH + strength * torch.eye(9)) @ hidden_BH.T @ one_hot_BC
    logits_BC = ARCHITECTURE.logits(weights_TP, test_sets.inputs)[0]
    torch.testing.assert_close(logits_BC.double(), module.logit.double() * hidden_BH @ rows_HC, atol=1e-3, rtol=1e-3)


def test_where_regression_is_better_networks_are_as_good_for_inputs_in_any_order(test_sets):
    torch.manual_seed(0)
    wide = mlp((1, 8, 8), (40,), 10)
    module = SetNetwork(dataclasses.replace(SHORT, regressed=True), wide).eval()
    module.base_P.data *= 1e-3  # hidden values that tell nothing
    others = scrambled(test_sets, 1.0, torch.Generator().manual_seed(0))
    assert not torch.equal(others.queries, test_sets.queries)
    given, other = (wide.logits(module(sets.inputs, sets.labels_TB), sets.queries) for sets in (test_sets, others))
    torch.testing.assert_close(given, other, atol=1e-2, rtol=1e-2)
    accuracy = float((given.argmax(2) == test_sets.query_labels_TQ).float().mean())
    assert accuracy > ridge_accuracy(test_sets) > 0.7


def test_where_what_was_learned_is_better_it_is_kept(fit, test_sets):
    module = SetNetwork(dataclasses.replace(SHORT, regressed=True), ARCHITECTURE).eval()
    module.load_state_dict(fit.module.state_dict())
    learned_TP, either_TP = (each(test_sets.inputs, test_sets.labels_TB) for each in (fit.module, module))
    assert torch.equal(learned_TP, either_TP)
    noise = dataclasses.replace(test_sets, inputs=torch.randn_like(test_sets.inputs))
    learned_TP, either_TP = (each(noise.inputs, noise.labels_TB) for each in (fit.module, module))
    assert not torch.equal(learned_TP, either_TP)


def test_directions_are_those_of_ridge_regression(test_sets):
    inputs_TBX, labels_TB = test_sets.inputs.flatten(2).double(), test_sets.labels_TB
    centered_TBX = inputs_TBX - inputs_TBX.mean(1, keepdim=True)
    gram_TBB, one_hot_TBC = centered_TBX @ centered_TBX.mT, torch.nn.functional.one_hot(labels_TB, 10).double()
    dual_TBC, error_TB = dual_regression(gram_TBB, one_hot_TBC)
    values_TBH = gram_TBB @ principal_directions(dual_TBC, gram_TBB, 20)
    torch.testing.assert_close(values_TBH.square().mean(1), torch.ones(4, 18).double())
    torch.testing.assert_close(values_TBH[..., :9], -values_TBH[..., 9:])
    hardest = worst_examples(error_TB, gram_TBB, 51)
    assert (hardest[0] > 0).double().argmax(0).tolist()[:50] == error_TB[0].argsort(descending=True).tolist()
    assert torch.equal(hardest[..., 50], hardest[..., 0])

    size, every = float(centered_TBX[0].square().sum(1).mean()), torch.arange(50)

    def predicted(examples_BX, known, strength):
        mean_X, mean_C = inputs_TBX[0][known].mean(0), one_hot_TBC[0][known].mean(0)
        known_BX, known_BC = inputs_TBX[0][known] - mean_X, one_hot_TBC[0][known] - mean_C
        ridge_XX = known_BX.T @ known_BX + strength * size * torch.eye(64)
        return (examples_BX - mean_X) @ torch.linalg.solve(ridge_XX, known_BX.T @ known_BC) + mean_C

    def left_out(strength):
        found = [predicted(inputs_TBX[0, left], every != left, strength) for left in every]
        return (torch.stack(found) - one_hot_TBC[0]).square().sum(1)

    torch.testing.assert_close(error_TB[0], left_out(STRENGTH))
    errors = {strength: left_out(strength).mean() for strength in (1e-3, 0.1, 10.0)}
    best = dual_regression(gram_TBB, one_hot_TBC, tuple(errors))[1]
    torch.testing.assert_close(best[0].mean(), min(errors.values()))
    everything = predicted(inputs_TBX[0], every >= 0, STRENGTH) - one_hot_TBC[0].mean(0)
    torch.testing.assert_close(gram_TBB[0] @ dual_TBC[0], everything)
    spanned = values_TBH[0, :, :9]
    torch.testing.assert_close(spanned @ torch.linalg.lstsq(spanned, everything).solution, everything)


def test_a_share_of_sets_is_scrambled_each_in_one_order():
    generator = torch.Generator().manual_seed(0)
    sets = drawn_sets(load_dataset("digits").train, 10, count=64, size=3, queries=3, generator=generator)
    assert torch.equal(scrambled(sets, 0.0, generator).inputs, sets.inputs)
    found = scrambled(sets, 0.5, generator)
    changed_T = (found.inputs != sets.inputs).flatten(1).any(1)
    assert 0.2 < changed_T.float().mean() < 0.8
    assert torch.equal(changed_T, (found.queries != sets.queries).flatten(1).any(1))
    given, other = (torch.cdist(each.inputs.flatten(2), each.queries.flatten(2)) for each in (sets, found))
    torch.testing.assert_close(given, other, atol=1e-3, rtol=1e-3)


def test_sets_are_drawn_of_other_data_sets_too(data):
    config = dataclasses.replace(SHORT, datasets="digits, digits", scrambled=0.5, epochs=1, steps=3, regressed=True)
    fit = DatasetHypernetworkFit(config, data)
    assert [len(source) for source in fit.sources] == [997] * 3
    assert torch.isfinite(torch.tensor(list(fit.train_epoch().values()))).all()
    with pytest.raises(ValueError, match=r"data set 'tetris' has examples of shape .* choose a data set that is alike"):
        DatasetHypernetworkFit(dataclasses.replace(SHORT, datasets="tetris"), data)
    with pytest.raises(ValueError, match="datasets is 'digits'; allowed: none where there is a weight_loss"):
        dataclasses.replace(SHORT, datasets="digits", weight_loss=1.0, permute=False)


@pytest.mark.parametrize("view", ["fan_in", "flat", "standardized", "input_metric"])
def test_the_zoos_networks_are_learned_for_their_subsets(view):
    population = networks(3, subset_size=50)
    config = dataclasses.replace(
        SHORT, weight_loss=1.0, query_loss=0.0, permute=False, view=view, output_layer="pooled", head="linear"
    )
    fit = DatasetHypernetworkFit(config, data_of(population))
    train = load_dataset("digits").train
    assert fit.rows_MB[2].tolist() == training_examples(population.members[2], train).tolist()
    first = fit.train_epoch()["weight_loss"]
    assert run(fit).history[-1] < 0.5 * first
    again = DatasetHypernetwork.from_files(fit.artifact().to_files())
    own = train.select(fit.rows_MB[2])
    assert torch.equal(again.make([own]).weights_MP, fit.artifact().make([own]).weights_MP)


def test_sets_are_drawn_as_asked_for():
    train = load_dataset("digits").train
    numbers = Examples(torch.arange(997.0).unsqueeze(1), train.targets)
    generator = torch.Generator().manual_seed(0)
    sets = drawn_sets(numbers, 10, count=6, size=30, queries=70, generator=generator, permute=True, classes=3)
    for inputs, labels_B, queries, query_labels_Q in zip(
        sets.inputs, sets.labels_TB, sets.queries, sets.query_labels_TQ, strict=True
    ):
        rows = torch.cat([inputs, queries]).flatten().long()
        assert len(rows.unique()) == 100
        pairs = {
            (int(a), int(b)) for a, b in zip(train.targets[rows], torch.cat([labels_B, query_labels_Q]), strict=True)
        }
        assert len(pairs) == len({a for a, _ in pairs}) == len({b for _, b in pairs}) == 3
    assert any(
        (train.targets[s.flatten().long()] != labels).any()
        for s, labels in zip(sets.inputs, sets.labels_TB, strict=True)
    )


def test_sets_of_any_size_are_read_and_what_cannot_be_read_is_refused(fit, data, test_sets):
    made, test = fit.artifact(), data.dataset.test
    sizes = made.make([test.select(slice(count)) for count in (1, 20, 200)])
    assert sizes.weights_MP.shape == (3, ARCHITECTURE.parameters)
    assert torch.isfinite(sizes.weights_MP).all()
    torch.manual_seed(0)
    slots = DatasetHypernetwork(SetNetwork(dataclasses.replace(SHORT, embedding="slots"), ARCHITECTURE), made.task)
    with pytest.raises(ValueError, match="the set has 20 examples; a branch for each place was fitted, for 50: give"):
        slots.make([test.select(slice(20))])
    with pytest.raises(ValueError, match=r"the set has examples of shape \(1, 4, 4\); the networks read \(1, 8, 8\)"):
        made.make([Examples(torch.zeros(5, 1, 4, 4), torch.zeros(5, dtype=torch.int64))])
    with pytest.raises(ValueError, match=r"set 1 .*labels go from 0 to 12; allowed: 0 to 9"):
        made.make([test, Examples(test.values, test.targets.clamp(max=8) * 12 // 8, test.scale)])
    with pytest.raises(ValueError, match="the set is empty; give one labeled example or more"):
        made.make([test.select(slice(0))])
    with pytest.raises(ValueError, match="there are no sets; give one or more"):
        made.make([])


def test_what_cannot_be_fitted_is_refused(data):
    with pytest.raises(ValueError, match=r"sets of 400 examples with 1 others need 401; there are 300: take a smaller"):
        DatasetHypernetworkFit(dataclasses.replace(SHORT, set_size=400), data)
    with pytest.raises(ValueError, match="sets of 12 classes are asked for; the data set has 10"):
        DatasetHypernetworkFit(dataclasses.replace(SHORT, classes=12), data)
    weights = dataclasses.replace(SHORT, weight_loss=1.0, permute=False)
    with pytest.raises(ValueError, match=r"weight_loss needs networks .*this zoo's have 0 examples \(0: no subset\)"):
        DatasetHypernetworkFit(weights, data)
    with pytest.raises(ValueError, match="permute is True; allowed: false where there is a weight_loss"):
        dataclasses.replace(SHORT, weight_loss=1.0)
    with pytest.raises(ValueError, match="span is true, which is for a linear first layer"):
        SetNetwork(dataclasses.replace(SHORT, span=True), cnn((1, 8, 8), (3, 4), 10))
    with pytest.raises(ValueError, match="regressed is true, which is for linear first and last layers with biases"):
        SetNetwork(
            dataclasses.replace(SHORT, regressed=True, output_layer="pooled"), mlp((1, 8, 8), (8,), 10, bias=False)
        )
    squared = dataclasses.replace(data.dataset.task, loss="squared")
    with pytest.raises(
        ValueError, match="dataset-hypernetwork needs classes to tell apart; this data set's loss is 'sq"
    ):
        find_trainable("dataset-hypernetwork").check_targets(squared)
