"""Evaluation against one module at a time."""

import pytest
import torch
import torch.nn.functional as F

import zoo.evaluation as evaluation
from zoo.architecture import mlp
from zoo.data import load_dataset
from zoo.evaluation import agreement_matrix, evaluate, predictions
from zoo.population import Member, Population, single_architecture

DIGITS = load_dataset("digits").test


def population(members=6):
    architectures = tuple(mlp((1, 8, 8), (7,), 10, activation=name) for name in ("relu", "tanh"))
    weights = torch.randn(members, architectures[0].parameters, generator=torch.Generator().manual_seed(0))
    return Population(
        weights_MP=weights,
        architectures=architectures,
        architecture_M=torch.arange(members) % 2,
        members=tuple(Member(id=i, seed=i) for i in range(members)),
    )


@pytest.mark.parametrize("outputs_at_once", [evaluation.OUTPUTS_AT_ONCE, 777])
def test_loss_accuracy_and_predictions_equal_the_modules(monkeypatch, outputs_at_once):
    monkeypatch.setattr(evaluation, "OUTPUTS_AT_ONCE", outputs_at_once)
    members = population()
    result = evaluate(members, DIGITS)
    predicted = predictions(members, DIGITS)
    for row in range(len(members)):
        module = members.architectures[members.architecture_M[row]].to_module(members.weights_MP[row])
        logits = module(DIGITS.inputs)
        assert result.loss_M[row] == pytest.approx(F.cross_entropy(logits, DIGITS.labels).item(), rel=1e-5)
        assert result.accuracy_M[row] == pytest.approx((logits.argmax(1) == DIGITS.labels).double().mean().item())
        assert torch.equal(predicted[row], logits.argmax(1))


def test_a_diverged_member_is_marked_and_the_others_are_not():
    members = population()
    members.weights_MP[3, 5] = float("nan")
    result = evaluate(members, DIGITS)
    assert torch.isnan(result.loss_M).tolist() == [False, False, False, True, False, False]
    assert torch.isnan(result.accuracy_M).tolist() == [False, False, False, True, False, False]


def test_agreement_counts_equal_predictions():
    predicted = torch.tensor([[0, 1, 2, 3], [0, 1, 2, 0], [3, 3, 3, 3]])
    expected = [[1, 0.75, 0.25], [0.75, 1, 0], [0.25, 0, 1]]
    assert agreement_matrix(predicted).tolist() == expected


def test_the_widest_layer_says_how_many_images_go_at_once():
    architecture = mlp((1, 8, 8), (5000, 20), 10)
    wide = single_architecture(architecture, torch.zeros(2, architecture.parameters), [Member(id=0, seed=0)] * 2)
    assert evaluation.examples_at_once(wide) == evaluation.OUTPUTS_AT_ONCE // 10_000
