"""Where reconstructions go wrong: errors of layers by modules, of classes by a loop."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from analysis.evaluators.errors import ERRORS, layers
from analysis.evaluators.evaluator import EvaluationData, Subject
from analysis.measuring.evaluating import measure
from analysis.measuring.evaluation import Evaluation
from analysis.statistics.intervals import Bootstrap
from trainables.encoders.augmentation import permuted
from zoo.architecture import BatchNorm, Conv, cnn_4970, mlp
from zoo.architecture.architecture import Architecture
from zoo.architecture.layers import Flatten, Linear
from zoo.data import Dataset, Examples, Task, load_dataset
from zoo.population import Member
from zoo.population.initialization import initial_weights
from zoo.population.population import single_architecture

MEMBERS = 4


def networks(architecture, tasks=("",)):
    members = [Member(id=i, seed=i, init_scale=2.0, task=tasks[i % len(tasks)]) for i in range(MEMBERS)]
    return single_architecture(architecture, initial_weights(architecture, members), members)


def noisy(population, size=0.02):
    noise_MP = torch.randn(population.weights_MP.shape, generator=torch.Generator().manual_seed(1))
    return Subject(population.with_weights(population.weights_MP + size * noise_MP))


@pytest.fixture(scope="module")
def digits():
    dataset = load_dataset("digits")
    return EvaluationData(dataset, dataset.test.first(200))


def test_errors_of_layers_are_those_of_modules(digits):
    population = networks(mlp((1, 8, 8), (7, 5), 10))
    subject = noisy(population)
    values = ERRORS.run(subject, Subject(population), digits)
    modules = [
        [each.architecture.to_module(weights_P) for weights_P in each.weights_MP]
        for each in (population, subject.population)
    ]
    errors = []
    for number, shape in enumerate(("7×64", "5×7", "10×5")):
        found = values[f"layer_weight_error {number + 1} ({shape})"]
        for row, (before, after) in enumerate(zip(*modules, strict=True)):
            one, other = (
                [layer for layer in module if isinstance(layer, torch.nn.Linear)][number] for module in (before, after)
            )
            vectors = [torch.cat([layer.weight.flatten(), layer.bias]).detach().double() for layer in (one, other)]
            assert float(found[row]) == pytest.approx(float((vectors[1] - vectors[0]).norm() / vectors[0].norm()))
        errors.append(found)
    assert torch.equal(values["worst_layer_error"], torch.stack(errors).amax(0))


def test_a_permutation_of_hidden_units_is_no_error(digits):
    population = networks(mlp((1, 8, 8), (7,), 10))
    moved_MP = permuted(population.weights_MP, population.architecture, torch.Generator().manual_seed(0))
    values = ERRORS.run(Subject(population.with_weights(moved_MP)), Subject(population), digits)
    assert float(values["worst_layer_error"].max()) < 1e-6


@pytest.mark.parametrize(
    "architecture",
    [
        cnn_4970((1, 28, 28), (), 10),
        Architecture((1, 8, 8), (Conv(channels=3, kernel=3), BatchNorm(), Flatten(), Linear(features=10))),
    ],
)
def test_every_trained_weight_is_in_one_layer(architecture):
    places = torch.cat(list(layers(architecture).values()))
    assert torch.equal(places.sort().values, architecture.trainable.nonzero().flatten())


def test_errors_of_classes_are_counted_by_hand(digits):
    population = networks(mlp((1, 8, 8), (7,), 10))
    subject, original = noisy(population, 0.2), Subject(population)
    values = ERRORS.run(subject, original, digits)
    targets = digits.examples.targets
    for row in range(MEMBERS):
        before, after = (
            each.population.architecture.to_module(each.population.weights_MP[row])(digits.examples.inputs).detach()
            for each in (original, subject)
        )
        for label in range(10):
            its = targets == label
            one, other = before[its], after[its]
            changed = (one.argmax(1) != other.argmax(1)).double().mean()
            kl = F.kl_div(other.log_softmax(1), one.softmax(1), reduction="batchmean")
            right = [(each.argmax(1) == label).double().mean() for each in (one, other)]
            assert float(values[f"class_disagreement {label}"][row]) == pytest.approx(float(changed))
            assert float(values[f"class_kl {label}"][row]) == pytest.approx(float(kl), rel=1e-3, abs=1e-6)
            assert float(values[f"class_accuracy_drop_pp {label}"][row]) == pytest.approx(
                100 * float(right[0] - right[1])
            )


def test_classes_of_tasks_are_theirs_and_what_has_no_example_is_not_known(digits):
    population = networks(mlp((1, 8, 8), (6,), 2), tasks=("3-8", "0-1"))
    chosen = digits.examples.targets != 1  # "0-1" has no example of its second class
    data = EvaluationData(digits.dataset, digits.examples.select(chosen))
    values = ERRORS.run(noisy(population), Subject(population), data)
    assert {name for name in values if name.startswith("class_kl")} == {"class_kl 0", "class_kl 1"}
    assert torch.isnan(values["class_kl 1"]).tolist() == [False, True, False, True]
    assert not torch.isnan(values["class_kl 0"]).any()


def test_a_regression_has_layers_and_no_classes():
    generator = torch.Generator().manual_seed(0)
    examples = Examples(torch.randn(30, 3, generator=generator), torch.randn(30, 2, generator=generator))
    data = EvaluationData(Dataset("values", Task("squared", 2), examples, examples, examples), examples)
    population = networks(mlp((3,), (5,), 2))
    values = ERRORS.run(noisy(population), Subject(population), data)
    assert set(values) == {"layer_weight_error 1 (5×3)", "layer_weight_error 2 (2×5)", "worst_layer_error"}


def test_series_are_kept_for_each_member(digits):
    population = networks(mlp((1, 8, 8), (7,), 10))
    evaluation = Evaluation.of([ERRORS], digits.dataset, examples=200, inputs=(), bootstrap=Bootstrap(replicates=20))
    metrics, values = measure(evaluation, [noisy(population)], Subject(population))
    assert list(metrics) == ["worst_layer_error"]
    assert len(values["class_kl 7"]) == len(values["layer_weight_error 1 (7×64)"]) == MEMBERS
    assert np.isfinite(values["class_kl 7"]).all()


def test_networks_without_finite_outputs_are_refused(digits):
    population = networks(mlp((1, 8, 8), (7,), 10))
    weights_MP = population.weights_MP.clone()
    weights_MP[2, -1] = math.inf
    original = Subject(population.with_weights(weights_MP), "the original population")
    with pytest.raises(ValueError, match=r"not finite|NaN or infinite"):
        ERRORS.run(noisy(population), original, digits)
