"""Robustness: attacks against a loop over networks and a closed form, and averaged noisy inference."""

import pytest
import torch
import torch.nn.functional as F

from analysis.evaluators.attacks import Attack
from analysis.evaluators.evaluator import EvaluationData, Subject
from analysis.evaluators.registry import find_evaluator
from analysis.evaluators.weight_noise import EXAMPLES, NoisyInference
from zoo.architecture import mlp
from zoo.data import Dataset
from zoo.data.examples import Examples
from zoo.data.task import Task
from zoo.population.population import single_architecture


@pytest.fixture(scope="module")
def networks(small_zoo):
    return next(iter(small_zoo.populations("train", epochs="last"))).select(range(6))


@pytest.fixture(scope="module")
def data(small_zoo):
    return EvaluationData(small_zoo.dataset(), small_zoo.dataset().test)


def value(name, population, data):
    (values_M,) = find_evaluator(name).run(Subject(population), None, data).values()
    return values_M


def test_fgsm_is_that_of_a_loop_over_modules(networks, data):
    examples = data.examples.first(EXAMPLES)
    expected = []
    for row in range(len(networks)):
        one = networks.select([row])
        module = one.architectures[int(one.architecture_M[0])].to_module(one.weights_MP[0])
        x = examples.inputs.clone().requires_grad_()
        F.cross_entropy(module(x), examples.targets).backward()
        moved = (examples.inputs + 0.1 * x.grad.sign()).clamp(0, 1)
        clean = module(examples.inputs).argmax(1) == examples.targets
        expected.append(((module(moved).argmax(1) == examples.targets) & clean).double().mean())
    torch.testing.assert_close(value("fgsm-0.1", networks, data), torch.stack(expected).float(), atol=1e-6, rtol=0)


def test_stronger_attacks_leave_less(networks, data):
    clean = value("weight-noise-0", networks, data)
    weak, strong, large = (value(name, networks, data) for name in ("fgsm-0.05", "pgd-0.05", "pgd-0.2"))
    assert (weak <= clean).all()
    assert float(strong.mean()) <= float(weak.mean())
    assert (large <= strong).all()
    assert float(large.mean()) < float(clean.mean()) - 0.2


@pytest.mark.parametrize("sure", [1, 1e4])
def test_of_linear_networks_attacks_reach_the_worst_case(sure):
    """Of two classes an L∞ ball of radius ε changes the answer just where the margin is below ε · |w₁ - w₂|₁.

    Also where networks are so sure that the gradient of their loss is 0 in float32.
    """
    generator = torch.Generator().manual_seed(0)
    architecture = mlp((6,), (), 2)
    weights_MP = sure * torch.randn(3, architecture.parameters, generator=generator)
    examples = Examples(torch.randn(80, 6, generator=generator), torch.arange(80) % 2)
    data = EvaluationData(Dataset("d", Task(loss="softmax", outputs=2), examples, examples, examples), examples)
    logits_MNC = architecture.logits(weights_MP, examples.inputs)
    margin_MN = (logits_MNC[..., 0] - logits_MNC[..., 1]) * (1 - 2 * examples.targets)
    rows_MCD = (
        architecture.tensors(weights_MP)["1.weight"]
        if "1.weight" in architecture.tensors(weights_MP)
        else next(tensor for tensor in architecture.tensors(weights_MP).values() if tensor.ndim == 3)
    )
    reach_M1 = 0.1 * (rows_MCD[:, 0] - rows_MCD[:, 1]).abs().sum(1, keepdim=True)
    expected = (margin_MN > reach_M1).double().mean(1)
    population = single_architecture(architecture, weights_MP)
    for name in ("fgsm-0.1", "pgd-0.1"):
        torch.testing.assert_close(value(name, population, data).double(), expected, atol=0.02, rtol=0)


def test_members_and_tasks_do_not_touch_each_other(networks, data, monkeypatch):
    together = value("pgd-0.1", networks, data)
    monkeypatch.setattr("analysis.evaluators.attacks.AT_ONCE", 1)
    assert float((value("fgsm-0.1", networks, data) - value("fgsm-0.1", networks.select([0]), data)[0])[0].abs()) < 1e-6
    assert len(together) == len(networks)


def test_more_steps_and_starts_are_no_weaker(networks, data):
    few, many = (float(value(name, networks, data).mean()) for name in ("pgd-0.05x5x1", "pgd-0.05x40x5"))
    assert many <= few


def test_examples_made_on_the_network_itself_are_as_strong_and_on_others_weaker(networks, data):
    own = value("pgd-0.05", networks, data)
    transfer = find_evaluator("transfer-0.05").run
    (itself,) = transfer(Subject(networks), Subject(networks), data).values()
    torch.testing.assert_close(itself, own)
    others = networks.select([*range(1, len(networks)), 0])
    (from_others,) = transfer(Subject(networks), Subject(others), data).values()
    clean = value("weight-noise-0", networks, data).float()
    assert (from_others <= clean).all()
    assert float(from_others.mean()) > float(own.mean())
    for row in range(len(networks)):  # as one by one
        (one,) = transfer(Subject(networks.select([row])), Subject(others.select([row])), data).values()
        assert float((one - from_others[row]).abs()) < 0.03  # random starts fall on other examples


def test_noisy_inference_is_attacked_through_its_mean(networks, data):
    few = networks.select([0, 1])
    without = value("pgd-0.05-noise-0x3", few, data)
    torch.testing.assert_close(without, value("pgd-0.05", few, data), atol=0.02, rtol=0)
    noisy, attacked = value("weight-noise-0.3x10", few, data), value("pgd-0.05-noise-0.3x10", few, data)
    assert float(attacked.mean()) < float(noisy.mean()) - 0.05


def test_averaging_inferences_restores_what_noise_takes(networks, data):
    clean, noisy, averaged = (
        value(name, networks, data) for name in ("weight-noise-0", "weight-noise-0.6", "weight-noise-0.6x200")
    )
    assert float(noisy.mean()) < float(clean.mean()) - 0.05
    assert float(averaged.mean()) > float(noisy.mean()) + 0.05


def test_noisy_members_are_answered_together_as_one_by_one(networks, data, monkeypatch):
    together = value("weight-noise-0.6x5", networks, data)
    largest = max(networks.parameters, EXAMPLES * networks.architecture.classes)
    monkeypatch.setattr("analysis.evaluators.weight_noise.AT_ONCE", 5 * largest)
    assert torch.equal(value("weight-noise-0.6x5", networks, data), together)


def test_noise_is_relative_to_each_tensor(networks):
    member = networks.select([0])
    x = torch.zeros(1, *member.architecture.input_shape)
    architecture = member.architectures[int(member.architecture_M[0])]
    expected = architecture.logits(member.weights_MP, x).log_softmax(2)
    none = NoisyInference(0.0, 7).logits(
        architecture,
        member.weights_MP,
        len(x),
        lambda weights_KP: architecture.logits(weights_KP, x),
        [torch.Generator()],
    )
    torch.testing.assert_close(none, expected)


def test_a_ball_of_no_size_changes_nothing(networks, data):
    attack = Attack(epsilon=0.0, steps=3, restarts=2, metric="m")
    torch.testing.assert_close(
        attack.run(Subject(networks), None, data)["m"], value("weight-noise-0", networks, data).float()
    )


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("pgd-3", "evaluator 'pgd-3': allowed are fgsm-E, pgd-E, .* with E more than 0, at most 1"),
        ("fgsm-0.1x5", "evaluator 'fgsm-0.1x5': allowed are fgsm-E, pgd-E"),
        ("transfer-0.1-noise-0.5x20", "allowed are fgsm-E"),
        ("pgd-0.1x0", "evaluator 'pgd-0.1x0' has 0 steps; allowed: 1 to 10,000"),
        ("pgd-0.1x20x0", "has 0 starts"),
        ("pgd-0.1-noise-0.5x2000", "has 2000 inferences; allowed: 1 to 1,000"),
        ("fgsm-0", "allowed are fgsm-E"),
        ("weight-noise-0.1x0", "allowed are weight-noise-R and weight-noise-RxK with K from 1 to 100,000"),
        ("pgd", "unknown evaluator 'pgd'"),
    ],
)
def test_strengths_out_of_range_are_refused(name, said):
    with pytest.raises(ValueError, match=said):
        find_evaluator(name)


@pytest.mark.parametrize("name", ["fgsm-0.1", "pgd-0.1", "transfer-0.1", "weight-noise-0.1"])
def test_networks_without_finite_outputs_are_refused(name, networks, data):
    weights_MP = networks.weights_MP.clone()
    weights_MP[2] = float("nan")
    broken = Subject(networks.with_weights(weights_MP), "codec 'x'")
    with pytest.raises(ValueError, match="1 network of codec 'x' has outputs that are not finite; leave it out"):
        find_evaluator(name).run(broken, Subject(networks), data)
