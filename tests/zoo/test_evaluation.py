"""Evaluation against one module at a time, and against scikit-learn."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from sklearn.metrics import accuracy_score, log_loss, r2_score, recall_score

from zoo.architecture import cnn_2464, mlp, resnet
from zoo.data import Examples, Task, load_dataset
from zoo.evaluation import (
    agreement_matrix,
    apply,
    applying,
    classes,
    classification,
    concordance_matrix,
    evaluate,
    outputs,
    predictions,
)
from zoo.population import Member, Population, single_architecture
from zoo.population.initialization import initial_weights

DIGITS = load_dataset("digits").test
METRICS = ("loss_M", "accuracy_M", "class_accuracy_MC", "calibration_error_M")


def population(members=6):
    architectures = tuple(mlp((1, 8, 8), (7,), 10, activation=name) for name in ("relu", "tanh"))
    weights = 0.3 * torch.randn(members, architectures[0].parameters, generator=torch.Generator().manual_seed(0))
    return Population(
        weights_MP=weights,
        architectures=architectures,
        architecture_M=torch.arange(members) % 2,
        members=tuple(Member(id=i, seed=i) for i in range(members)),
    )


def convolutional(build, shape, members=3):
    architecture = build(shape, (4, 6) if build is resnet else (), 10)
    specs = [Member(id=i, seed=i) for i in range(members)]
    return single_architecture(architecture, 2 * initial_weights(architecture, specs), specs)


def logits_of(members, row, images):
    module = members.architectures[members.architecture_M[row]].to_module(members.weights_MP[row])
    return module.eval()(images.inputs).detach()


def calibration_error(probabilities, labels, bins=15):
    """Guo et al. (2017), equation 3, image by image."""
    members_of_bin = [[] for _ in range(bins)]
    for image, row in enumerate(probabilities):
        confidence = float(row.max())
        place = next(b for b in range(bins) if confidence <= (b + 1) / bins)
        members_of_bin[place].append((confidence, float(row.argmax() == labels[image])))
    error = 0.0
    for members in members_of_bin:
        if members:
            confidences, correct = zip(*members, strict=True)
            error += len(members) / len(labels) * abs(np.mean(correct) - np.mean(confidences))
    return error


@pytest.mark.parametrize("members_at_once", [applying.MEMBERS_AT_ONCE, 2])
@pytest.mark.parametrize("outputs_at_once", [applying.OUTPUTS_AT_ONCE, 777])
def test_every_metric_equals_that_of_the_modules(monkeypatch, outputs_at_once, members_at_once):
    monkeypatch.setattr(applying, "OUTPUTS_AT_ONCE", outputs_at_once)
    monkeypatch.setattr(applying, "MEMBERS_AT_ONCE", members_at_once)
    members = population()
    result = classification(members, DIGITS)
    predicted = predictions(members, DIGITS)
    labels = DIGITS.targets.numpy()
    for row in range(len(members)):
        logits = logits_of(members, row, DIGITS)
        probabilities = F.softmax(logits.double(), 1).numpy()
        choice = logits.argmax(1)
        assert torch.equal(predicted[row], choice)
        assert result.loss_M[row] == pytest.approx(log_loss(labels, probabilities), rel=1e-5)
        assert result.accuracy_M[row] == pytest.approx(accuracy_score(labels, choice))
        recalls = recall_score(labels, choice, average=None, zero_division=0)
        assert result.class_accuracy_MC[row].tolist() == pytest.approx(recalls.tolist())
        assert result.calibration_error_M[row] == pytest.approx(calibration_error(probabilities, labels), rel=1e-5)


@pytest.mark.parametrize("kernel", ["lanes", "torch"])
@pytest.mark.parametrize(("build", "size"), [(cnn_2464, 28), (resnet, 8)])
def test_convolutional_members_are_measured_as_their_modules(monkeypatch, build, size, kernel):
    monkeypatch.setenv("ZOOSCALE_KERNEL", kernel)
    monkeypatch.setattr(applying, "OUTPUTS_AT_ONCE", 500_000)
    pixels = torch.randint(0, 256, (40, 1, size, size), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))
    images = Examples(pixels, torch.arange(40) % 10, 1 / 255)
    members = convolutional(build, (1, size, size))
    result = classification(members, images)
    for row in range(len(members)):
        logits = logits_of(members, row, images)
        assert torch.equal(predictions(members, images)[row], logits.argmax(1))
        assert result.loss_M[row] == pytest.approx(F.cross_entropy(logits, images.targets).item(), rel=1e-5)
        assert result.accuracy_M[row] == pytest.approx((logits.argmax(1) == images.targets).double().mean().item())


def test_a_diverged_member_is_marked_and_the_others_are_not():
    members = population()
    clean = classification(members, DIGITS)
    for bad in (float("nan"), float("inf"), float("-inf")):
        members.weights_MP[3, -1] = bad  # the last bias: one logit of ten
        result = classification(members, DIGITS)
        for name in METRICS:
            found = getattr(result, name)
            assert found.dtype == torch.float64
            assert torch.isnan(found[3]).all()
            assert torch.equal(found[[0, 1, 2, 4, 5]], getattr(clean, name)[[0, 1, 2, 4, 5]])


@pytest.mark.parametrize("kernel", ["lanes", "torch"])
@pytest.mark.parametrize("activation", ["relu", "tanh", "sigmoid"])
def test_a_diverged_convolutional_member_is_marked_too(monkeypatch, kernel, activation):
    """Neither an activation nor a maximum over a window may hide what is not a number."""
    monkeypatch.setenv("ZOOSCALE_KERNEL", kernel)
    pixels = torch.randint(0, 256, (10, 1, 28, 28), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))
    images = Examples(pixels, torch.arange(10), 1 / 255)
    architecture = cnn_2464((1, 28, 28), (), 10, activation=activation)
    specs = [Member(id=i, seed=i) for i in range(3)]
    weights_MP = initial_weights(architecture, specs)
    weights_MP[1, 7] = float("nan")
    result = classification(single_architecture(architecture, weights_MP, specs), images)
    for name in METRICS:
        assert torch.isnan(getattr(result, name)).view(3, -1).all(1).tolist() == [False, True, False]


def test_a_class_without_images_has_no_accuracy():
    few = Examples(DIGITS.values[:50], DIGITS.targets[:50] % 4, DIGITS.scale)
    accuracy_MC = classification(population(), few).class_accuracy_MC
    assert torch.isnan(accuracy_MC).tolist() == [[False] * 4 + [True] * 6] * 6


def test_a_certain_member_is_off_by_its_errors_and_one_that_knows_nothing_by_its_bias():
    architecture = mlp((1, 8, 8), (), 10)
    weights = torch.zeros(2, architecture.parameters)
    weights[0, -10] = 1000.0  # says class 0, always
    pair = single_architecture(architecture, weights, [Member(id=i, seed=i) for i in range(2)])
    zeros = float((DIGITS.targets == 0).double().mean())
    result = classification(pair, DIGITS)
    assert result.calibration_error_M.tolist() == pytest.approx([1 - zeros, abs(zeros - 0.1)], rel=1e-6)
    assert result.class_accuracy_MC[0].tolist() == [1] + [0] * 9


def test_labels_beyond_the_logits_are_refused():
    with pytest.raises(ValueError, match="labels go up to 10; the members have 10 logits"):
        classification(population(), Examples(DIGITS.values[:2], torch.tensor([0, 10]), DIGITS.scale))


@pytest.mark.parametrize("outputs_at_once", [applying.OUTPUTS_AT_ONCE, 10])
def test_agreement_counts_equal_predictions(monkeypatch, outputs_at_once):
    monkeypatch.setattr(classes, "OUTPUTS_AT_ONCE", outputs_at_once)
    predicted = torch.tensor([[0, 1, 2, 3], [0, 1, 2, 0], [3, 3, 3, 3]])
    expected = [[1, 0.75, 0.25], [0.75, 1, 0], [0.25, 0, 1]]
    assert agreement_matrix(predicted).tolist() == expected


def test_the_widest_layer_says_how_many_images_go_at_once():
    def at_once(members):
        return applying._examples_at_once(members.architecture, len(members))

    architecture = mlp((1, 8, 8), (5000, 20), 10)
    wide = single_architecture(architecture, torch.zeros(2, architecture.parameters), [Member(id=0, seed=0)] * 2)
    assert at_once(wide) == applying.OUTPUTS_AT_ONCE // 10_000
    images = convolutional(cnn_2464, (1, 28, 28), members=5)
    assert at_once(images) == applying.OUTPUTS_AT_ONCE // (5 * 8 * 24 * 24)
    blocks = convolutional(resnet, (1, 8, 8), members=2)
    assert at_once(blocks) == applying.OUTPUTS_AT_ONCE // (2 * 4 * 8 * 8)


def test_no_piece_makes_larger_outputs_than_allowed(monkeypatch):
    """Members are taken a few at a time, so that many members leave room for images."""
    monkeypatch.setattr(applying, "OUTPUTS_AT_ONCE", 20_000)
    monkeypatch.setenv("ZOOSCALE_KERNEL", "torch")
    many = population(150)
    seen = []
    original = type(many.architecture).logits

    def watched(architecture, weights_MP, x, *rest):
        seen.append((len(weights_MP), len(x)))
        return original(architecture, weights_MP, x, *rest)

    monkeypatch.setattr(type(many.architecture), "logits", watched)
    classification(many, DIGITS)
    assert {members for members, _ in seen} == {64, 11}
    assert all(members * images * 10 <= 20_000 for members, images in seen)
    assert sum(members * images for members, images in seen) == 150 * len(DIGITS)


def test_of_several_largest_logits_the_first_counts():
    same = population(2)
    same = same.with_weights(torch.zeros_like(same.weights_MP))
    result = classification(same, DIGITS)
    assert result.class_accuracy_MC.tolist() == [[1.0] + [0.0] * 9] * 2
    assert set(predictions(same, DIGITS).unique().tolist()) == {0}


def test_every_row_is_applied_to_every_example_once():
    members = population(150)
    other_MP = members.weights_MP.flip(0)
    for weights_MP in (None, other_MP):
        outputs_MNC = torch.full((150, len(DIGITS), 10), torch.nan)
        for rows, span, part_MNC in apply(members, DIGITS, weights_MP):
            assert outputs_MNC[rows, span].isnan().all()
            outputs_MNC[rows, span] = part_MNC
        torch.testing.assert_close(outputs_MNC, members.logits(DIGITS.inputs, weights_MP), rtol=1e-4, atol=1e-4)
        assert torch.equal(outputs(members, DIGITS, weights_MP), outputs_MNC)


def test_numbers_are_applied_as_images_are():
    members = convolutional(cnn_2464, (1, 28, 28))
    values = torch.rand(5, 1, 28, 28, generator=torch.Generator().manual_seed(1))
    numbers = Examples(values, torch.arange(5))
    torch.testing.assert_close(outputs(members, numbers), members.logits(values))


SPLIT = np.random.Generator(np.random.Philox(key=2))
NUMBERS = Examples(
    torch.from_numpy(SPLIT.normal(size=(30, 6)).astype(np.float32)),
    torch.from_numpy(SPLIT.normal(size=(30, 3)).astype(np.float32)),
)


def of_numbers(members=5):
    architectures = tuple(mlp((6,), (4,), 3, activation=name) for name in ("relu", "tanh"))
    weights = torch.randn(members, architectures[0].parameters, generator=torch.Generator().manual_seed(3))
    return Population(weights_MP=weights, architectures=architectures, architecture_M=torch.arange(members) % 2)


def absolute(outputs_NC, targets_NC):
    return (outputs_NC - targets_NC).abs().sum(1)


@pytest.mark.parametrize("outputs_at_once", [applying.OUTPUTS_AT_ONCE, 77])
def test_regression_is_judged_by_error_and_share_of_variance(monkeypatch, outputs_at_once):
    monkeypatch.setattr(applying, "OUTPUTS_AT_ONCE", outputs_at_once)
    members = of_numbers()
    found = evaluate(members, NUMBERS, Task("squared", 3))
    outputs_MNC = members.logits(NUMBERS.inputs)
    assert list(found) == ["loss", "r2"]
    for row in range(5):
        assert found["loss"][row] == pytest.approx(F.mse_loss(outputs_MNC[row], NUMBERS.targets).item(), rel=1e-5)
        assert found["r2"][row] == pytest.approx(r2_score(NUMBERS.targets.numpy(), outputs_MNC[row].numpy()), rel=1e-5)


def test_share_of_variance_of_targets_that_do_not_vary():
    members = of_numbers(2)
    members = members.with_weights(torch.zeros_like(members.weights_MP))
    for value, expected in ((0.0, 1.0), (2.0, 0.0)):
        constant = Examples(NUMBERS.values, torch.full((30, 3), value))
        assert r2_score(constant.targets.numpy(), np.zeros((30, 3))) == expected
        assert evaluate(members, constant, Task("squared", 3))["r2"].tolist() == [expected] * 2


def test_several_labels_are_judged_each():
    members = of_numbers()
    labels = Examples(NUMBERS.values, (NUMBERS.targets > 0).float())
    found = evaluate(members, labels, Task("sigmoid", 3))
    outputs_MNC = members.logits(labels.inputs)
    for row in range(5):
        loss = F.binary_cross_entropy_with_logits(outputs_MNC[row], labels.targets)
        assert found["loss"][row] == pytest.approx(loss.item(), rel=1e-5)
        right = (outputs_MNC[row].sigmoid() > 0.5) == labels.targets.bool()
        assert found["accuracy"][row] == pytest.approx(right.double().mean().item())


def test_a_loss_of_the_users_own_judges_alone():
    members = of_numbers()
    found = evaluate(members, NUMBERS, Task("test_evaluation:absolute", 3))
    expected_M = (members.logits(NUMBERS.inputs) - NUMBERS.targets).abs().sum(2).mean(1)
    assert list(found) == ["loss"]
    torch.testing.assert_close(found["loss"].float(), expected_M)


@pytest.mark.parametrize("loss", ["squared", "sigmoid", "test_evaluation:absolute"])
def test_of_a_member_that_diverged_nothing_is_known(loss):
    members = of_numbers()
    weights_MP = members.weights_MP.clone()
    weights_MP[3] = torch.inf
    labels = Examples(NUMBERS.values, (NUMBERS.targets > 0).float())
    for values_M in evaluate(members.with_weights(weights_MP), labels, Task(loss, 3)).values():
        assert values_M.isnan().tolist() == [False, False, False, True, False]


def test_classes_are_judged_by_their_task_too():
    found, expected = evaluate(population(), DIGITS, Task("softmax", 10)), classification(population(), DIGITS)
    assert torch.equal(found["loss"], expected.loss_M)
    assert torch.equal(found["accuracy"], expected.accuracy_M)


def test_a_task_of_other_outputs_is_refused():
    with pytest.raises(ValueError, match="the task needs 2 outputs; the members have 3"):
        evaluate(of_numbers(), Examples(NUMBERS.values, NUMBERS.targets[:, :2]), Task("squared", 2))
    with pytest.raises(ValueError, match=r"examples: targets are torch\.float32"):
        evaluate(of_numbers(), NUMBERS, Task("softmax", 3))


def test_concordance_against_its_definition():
    outputs_MNC = torch.randn(4, 50, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    outputs_MNC[1] = outputs_MNC[0]
    outputs_MNC[2] = outputs_MNC[0] + 5
    found_MM = concordance_matrix(outputs_MNC)
    torch.testing.assert_close(found_MM, found_MM.T)
    assert float(found_MM[0, 1]) == pytest.approx(1)
    assert float(found_MM[0, 2]) < 0.2
    a, b = outputs_MNC[0], outputs_MNC[3]
    shared = 2 * ((a - a.mean(0)) * (b - b.mean(0))).sum()
    scale = (
        (a - a.mean(0)).square().sum() + (b - b.mean(0)).square().sum() + 50 * (a.mean(0) - b.mean(0)).square().sum()
    )
    assert float(found_MM[0, 3]) == pytest.approx(float(shared / scale))
