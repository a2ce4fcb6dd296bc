"""The learned gradient: what it must not depend on, where it starts, what it can learn, and its fit."""

from dataclasses import replace

import pytest
import torch
from architectures import random_weights

from trainables.aggregators.aggregator import Aggregator, AggregatorFit, check
from trainables.aggregators.config import AggregatorConfig
from trainables.aggregators.corruption import Corruption, corrupted_sets
from trainables.aggregators.gradients import ExampleGradients, GradientSource
from trainables.aggregators.network import WeighingNetwork
from trainables.aggregators.rules import mean
from trainables.aggregators.training import train_with
from trainables.aggregators.unrolled import InnerNetworks, OptimizerState, moved
from trainables.registry import find_trainable
from trainables.trainable import FitData, run
from zoo.architecture import Architecture, cnn, mlp, resnet
from zoo.data import load_dataset
from zoo.data.task import Task
from zoo.population import Member, single_architecture
from zoo.population.initialization import initial_weights
from zoo.population.optimizers import find_optimizer
from zoo.training.train import train_population

DIGITS = mlp((1, 8, 8), (16,), 10)
NETWORKS = [DIGITS, mlp((1, 8, 8), (7, 5), 10, activation="tanh"), cnn((1, 8, 8), (3,), 10)]
SHORT = AggregatorConfig(steps=12, epochs=2, horizon=40, unroll=5, task_batch=4, set_size=60, batch_sizes=(8,))


def gradients(architecture: Architecture, examples: int = 8, members: int = 2, seed: int = 0) -> ExampleGradients:
    generator = torch.Generator().manual_seed(seed)
    inputs = torch.rand(members, examples, *architecture.input_shape, generator=generator)
    labels_MB = torch.randint(10, (members, examples), generator=generator)
    return GradientSource(architecture, Task("softmax", 10))(random_weights(architecture, members), inputs, labels_MB)


def learned(seed: int = 0) -> Aggregator:
    """One whose scores are no longer zero."""
    torch.manual_seed(seed)
    module = WeighingNetwork(8)
    torch.nn.init.normal_(module.score.weight)
    return Aggregator(module, replace(SHORT, width=8))


def permuted(of: ExampleGradients, order: torch.Tensor) -> ExampleGradients:
    layers = tuple(replace(layer, back=layer.back[:, order], read=layer.read[:, order]) for layer in of.layers)
    return replace(of, layers=layers, loss_MB=of.loss_MB[:, order])


@pytest.mark.parametrize("architecture", NETWORKS)
def test_weights_move_with_examples_and_the_update_stays(architecture):
    given, rule, order = (
        gradients(architecture),
        learned(),
        torch.randperm(8, generator=torch.Generator().manual_seed(1)),
    )
    moved_by = permuted(given, order)
    for before, after in zip(rule.weights(given), rule.weights(moved_by), strict=True):
        torch.testing.assert_close(before[:, :, order], after, rtol=1e-3, atol=1e-4)
        assert before.std() > 1e-3, "or nothing would be tested"
    torch.testing.assert_close(rule(given), rule(moved_by), rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("architecture", NETWORKS)
@pytest.mark.parametrize("examples", [1, 7, 32])
def test_weights_are_shares(architecture, examples):
    for weights_MHB in learned().weights(gradients(architecture, examples)):
        torch.testing.assert_close(weights_MHB.sum(2), torch.ones(weights_MHB.shape[:2]))
        assert (weights_MHB > 0).all()


@pytest.mark.parametrize("architecture", NETWORKS)
@pytest.mark.parametrize("examples", [7, 32])
def test_it_starts_as_the_mean_to_the_last_bit(architecture, examples):
    given = gradients(architecture, examples)
    assert torch.equal(Aggregator(WeighingNetwork(16), SHORT)(given), given.mean())


def test_it_sees_no_scale_of_gradients():
    given = gradients(DIGITS)
    longer = replace(given, layers=tuple(replace(layer, back=1000 * layer.back) for layer in given.layers))
    for before, after in zip(learned().weights(given), learned().weights(longer), strict=True):
        torch.testing.assert_close(before, after, rtol=1e-3, atol=1e-6)


def test_examples_without_a_gradient_do_no_harm():
    given = gradients(DIGITS)
    none = replace(given, layers=tuple(replace(layer, back=0 * layer.back) for layer in given.layers))
    assert torch.isfinite(learned()(none)).all()


def test_it_comes_back_from_its_files_to_the_last_bit():
    rule, given = learned(), gradients(DIGITS)
    again = Aggregator.from_files(rule.to_files())
    assert again.config == rule.config
    assert torch.equal(again(given), rule(given))


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_unrolled_steps_are_those_of_the_optimizers_and_have_derivatives(optimizer):
    generator = torch.Generator().manual_seed(0)
    weights_TP, rate_T = torch.randn(3, 5, generator=generator), torch.tensor([0.1, 0.01, 1.0])
    expected = weights_TP.clone()
    reference = find_optimizer(optimizer)(expected, rate_T[:, None].expand(3, 5).contiguous(), None)
    state = OptimizerState.of(weights_TP)
    factor = torch.ones((), requires_grad=True)
    for _ in range(4):
        update_TP = torch.randn(3, 5, generator=generator)
        update_TP[:, 0] = 0  # as of a dead input
        reference.step(update_TP.clone())
        weights_TP = moved(optimizer, weights_TP, factor * update_TP, rate_T, state)
    torch.testing.assert_close(weights_TP.detach(), expected, rtol=1e-4, atol=1e-5)
    (slope,) = torch.autograd.grad(weights_TP.sum(), factor)
    assert torch.isfinite(slope)


def digits_data(architecture: Architecture = DIGITS) -> FitData:
    def population(ids: range):
        members = [Member(id=number, seed=number) for number in ids]
        return single_architecture(architecture, initial_weights(architecture, members), members)

    return FitData(
        training=(population(range(12)),), validation=(population(range(12, 15)),), dataset=load_dataset("digits")
    )


def test_the_best_weighting_of_a_step_is_the_example_that_helps_most():
    """A small step lowers the queries' loss by its inner product with their gradient: linear in weights."""
    given, task = gradients(DIGITS, examples=6, members=1), Task("softmax", 10)
    weights_TP, generator = random_weights(DIGITS, 1), torch.Generator().manual_seed(9)
    queries, labels_1Q = (
        torch.rand(1, 20, 1, 8, 8, generator=generator),
        torch.randint(10, (1, 20), generator=generator),
    )
    of_queries_1P = GradientSource(DIGITS, task)(weights_TP, queries, labels_1Q).mean()
    best = int((given.rows()[0] @ of_queries_1P[0]).argmax())
    score_B = torch.zeros(6, requires_grad=True)
    descent = torch.optim.Adam([score_B], lr=0.2)
    for _ in range(60):
        shares = [score_B.softmax(0)[None, None]] * len(given.layers)
        after_TP = moved("sgd", weights_TP, given.weighted(shares), torch.tensor([1e-3]), OptimizerState.of(weights_TP))
        outputs_QC = DIGITS.logits(after_TP, queries)[0]
        descent.zero_grad()
        task.losses()(outputs_QC, labels_1Q[0]).mean().backward()
        descent.step()
    assert int(score_B.argmax()) == best
    assert float(score_B.detach().softmax(0)[best]) > 0.9


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_an_unroll_of_one_step_has_the_derivative_of_finite_differences(optimizer):
    """Where there is no later step, it is no approximation that gradients of examples count as constants."""
    config, data = replace(SHORT, unroll=1, task_batch=3, queries=200), load_dataset("digits")

    def loss(strength):
        generator, members = torch.Generator().manual_seed(0), [Member(id=0, seed=0)]
        inner = InnerNetworks(
            config, DIGITS, members, data.train, data.validation, data.task,
            optimizer=optimizer, batch=8, generator=generator,
        )  # fmt: skip
        for _ in range(3):  # Adam's first step tells signs alone
            inner.unroll(mean, generator)

        def rule(gradients):
            shares_M1B = (-strength * gradients.loss_MB).softmax(1).unsqueeze(1)
            return gradients.weighted([shares_M1B] * len(gradients.layers))

        return inner.unroll(rule, generator)

    strength = torch.tensor(1.0, requires_grad=True)
    (slope,) = torch.autograd.grad(loss(strength), strength)
    with torch.no_grad():
        difference = (loss(torch.tensor(1.05)) - loss(torch.tensor(0.95))) / 0.1
    assert abs(float(slope)) > 3e-4, "or nothing would be tested"
    assert float(slope) == pytest.approx(float(difference), rel=0.05)


def test_a_fit_changes_how_examples_are_weighed():
    fit = run(AggregatorFit(SHORT, digits_data()))
    (_, weights_MHB), given = fit.artifact().weights(gradients(DIGITS)), 1 / 8
    assert (weights_MHB - given).abs().max() > 0.01
    assert fit.validate()["gain_over_mean_pp"] != 0


def test_inner_networks_start_anew_at_times_of_their_own():
    data, generator = load_dataset("digits"), torch.Generator().manual_seed(0)
    inner = InnerNetworks(
        SHORT, DIGITS, [Member(id=0, seed=0)], data.train, data.validation, data.task, optimizer="adam", batch=8,
        generator=generator,
    )  # fmt: skip
    ages = []
    for _ in range(12):
        loss = inner.unroll(mean, generator)
        assert torch.isfinite(loss)
        ages.append(inner.state.steps_T.tolist())
    assert max(max(each) for each in ages) <= SHORT.horizon
    assert any(len(set(each)) > 1 for each in ages), "early and late steps are seen side by side"
    inner.weights_TP[1] = torch.nan
    inner.unroll(mean, generator)
    assert torch.isfinite(inner.weights_TP).all()


def test_corrupted_sets_are_as_corrupted_as_asked():
    examples = load_dataset("digits").train
    asked = [Corruption(), Corruption(label_noise=0.2), Corruption(label_noise=0.4, outliers=0.1)]
    sets = corrupted_sets(examples, 10, asked, 100, torch.Generator().manual_seed(0))
    assert sets.wrong_TN.sum(1).tolist() == [0, 20, 40]
    assert sets.outlier_TN.sum(1).tolist() == [0, 0, 10]
    true_TN = examples.targets[sets.rows_TN]
    assert torch.equal(sets.labels_TN != true_TN, sets.wrong_TN), "a wrong label is another one"
    whole = ~sets.outlier_TN
    assert torch.equal(sets.inputs[whole], examples.inputs[sets.rows_TN[whole]])
    assert all(len(set(rows.tolist())) == 100 for rows in sets.rows_TN)
    with pytest.raises(ValueError, match="sets of 2000 examples; allowed: 1 to 997"):
        corrupted_sets(examples, 10, asked, 2000, torch.Generator())


@pytest.mark.parametrize("architecture", [DIGITS, cnn((1, 8, 8), (3,), 10)])
def test_with_the_mean_members_are_trained_as_ever(architecture):
    data = load_dataset("digits").train.first(200)
    members = [
        Member(id=0, seed=0, learning_rate=3e-3, batch_size=32),
        Member(id=1, seed=1, learning_rate=1e-2, batch_size=32, weight_decay=1e-3),
        Member(id=2, seed=2, optimizer="sgd", learning_rate=0.1, batch_size=20, order_seed=4, training_fraction=0.5),
    ]
    found = train_with(mean, architecture, members, data, epochs=2)
    for snapshot in train_population(architecture, members, data, epochs=2, snapshot_epochs=(2,), backend="autograd"):
        torch.testing.assert_close(found.weights_MP[list(snapshot.rows)], snapshot.weights_MP, rtol=1e-3, atol=2e-5)
    trained = train_with(learned(), architecture, members, data, epochs=1)
    assert torch.isfinite(trained.weights_MP).all()


def test_a_fit_says_where_there_are_too_few_examples():
    with pytest.raises(ValueError, match="set_size is 600; allowed: 1 to 498, half of the training examples of digits"):
        AggregatorFit(replace(SHORT, set_size=600), digits_data())


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"label_noise": (1.0,)}, "label_noise is .*shares from 0 to below 1"),
        ({"outliers": ()}, "outliers is .*shares"),
        ({"optimizers": ("adamw",)}, "optimizers is .*sgd, adam"),
        ({"batch_sizes": (1,)}, "batch_sizes is .*2 or more"),
        ({"unroll": 400}, "unroll is 400; allowed: up to horizon, which is 300"),
        ({"label_noise": 0.2}, r"label_noise is 0\.2; allowed: several values"),
        ({"width": 0}, "width is 0"),
    ],
)
def test_bad_settings_say_what_is_allowed(values, message):
    with pytest.raises(ValueError, match=message):
        AggregatorConfig(**values)
    with pytest.raises(ValueError, match=r"Corruption\.label_noise is 1\.5"):
        Corruption(label_noise=1.5)


def test_networks_that_it_cannot_train_are_told_of_before():
    normalized = resnet((1, 8, 8), (4,), 10)
    with pytest.raises(ValueError, match="without normalization"):
        check(SHORT, [normalized])
    with pytest.raises(ValueError, match="needs classes"):
        find_trainable("learned-gradient").check_targets(Task("squared", 1))
    members = [Member(id=0, seed=0, dropout=0.1)]
    with pytest.raises(ValueError, match=r"member 0 has dropout 0\.1"):
        train_with(mean, DIGITS, members, load_dataset("digits").train, epochs=1)
    with pytest.raises(ValueError, match="no members to train"):
        train_with(mean, DIGITS, [], load_dataset("digits").train, epochs=1)
