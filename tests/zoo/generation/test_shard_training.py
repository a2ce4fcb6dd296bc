"""What members are measured on: in training the examples that each of them saw."""

import numpy as np
import pytest
import torch

from zoo.architecture import mlp
from zoo.data import load_dataset
from zoo.data.class_tasks import select
from zoo.evaluation import evaluate
from zoo.generation import shard_training
from zoo.generation.shard_training import measure
from zoo.population import Member, single_architecture
from zoo.population.initialization import initial_weights
from zoo.training.grouping import training_examples

DIGITS = load_dataset("digits")
FRACTIONS = {"training_fraction": 0.25, "subset_seed": 5}
SUBSETS = {"subset_size": 40, "subset_index": 2, "subset_seed": 5}


def population(*specs):
    """Two networks of each kind of member, one after the other."""
    members = [Member(id=i, seed=i, **spec) for i, spec in enumerate(specs * 2)]
    architecture = mlp((1, 8, 8), (5,), 10)
    return single_architecture(architecture, initial_weights(architecture, members), members)


@pytest.mark.parametrize("most", [10_000, 30])
def test_training_metrics_are_those_on_the_examples_that_a_member_saw(most):
    specs = ({}, FRACTIONS, SUBSETS, {**FRACTIONS, "subset_seed": 6}, {"training_fraction": 0.5})
    networks = population(*specs)
    metrics = measure(networks, DIGITS, most)
    for row, member in enumerate(networks.members):
        own = np.sort(training_examples(member, DIGITS.train))[:most]
        found = evaluate(networks.select([row]), DIGITS.train.select(torch.from_numpy(own)), DIGITS.task)
        for name, value_M in found.items():
            assert metrics[f"train_{name}"][row] == pytest.approx(value_M.item(), rel=1e-6)


def test_of_a_class_task_as_well():
    networks = population({"task": "3-8"}, {"task": "3-8", **FRACTIONS}, {"task": "8-3", **SUBSETS})
    networks = single_architecture(
        mlp((1, 8, 8), (5,), 2), initial_weights(mlp((1, 8, 8), (5,), 2), networks.members), networks.members
    )
    metrics = measure(networks, DIGITS, 10_000)
    for row, member in enumerate(networks.members):
        own = torch.from_numpy(np.sort(training_examples(member, DIGITS.train)))
        labels = select(member.task, DIGITS.train.select(own)).targets
        outputs_NC = networks.select([row]).logits(DIGITS.train.select(own).inputs)[0]
        assert metrics["train_accuracy"][row] == pytest.approx((outputs_NC.argmax(-1) == labels).double().mean().item())


def test_members_that_see_the_same_examples_are_measured_together(monkeypatch):
    calls = []

    def counted(members, examples, task):
        calls.append((len(members), len(examples)))
        return evaluate(members, examples, task)

    monkeypatch.setattr(shard_training, "evaluate", counted)
    measure(population({}, {"subset_seed": 1}, FRACTIONS, SUBSETS), DIGITS, 10_000)
    count = len(DIGITS.train)
    assert sorted(calls[:3]) == sorted([(4, count), (2, round(count / 4)), (2, 40)])
    assert calls[3:] == [(8, len(DIGITS.validation)), (8, len(DIGITS.test))]
