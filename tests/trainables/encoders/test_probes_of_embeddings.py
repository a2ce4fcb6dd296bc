"""How encoders are judged: by readouts that are fitted to training networks and asked about validation networks."""

import dataclasses
from functools import partial

import numpy as np
import pytest
import torch

from trainables.encoders.encoder import differing, probe
from trainables.readouts.columns import targets_of
from trainables.trainable import FitData
from zoo.architecture import mlp
from zoo.data import load_dataset
from zoo.population import Member
from zoo.population.population import single_architecture

NET = mlp((1, 8, 8), (3,), 10)


class FirstWeights:
    """Embeds networks by their first weights, of which there are so many."""

    def __init__(self, count):
        self.count = count

    def embed(self, population):
        return population.weights_MP[:, : self.count].numpy()


def networks(members, seed):
    """The accuracy is a sum of the first three weights, the optimizer the sign of the first; the decay is chance."""
    generator = torch.Generator().manual_seed(seed)
    weights_MP = torch.randn(members, NET.parameters, generator=generator)
    chance_M = torch.rand(members, generator=generator).tolist()
    specs = [
        Member(id=i, seed=seed, optimizer="sgd" if first > 0 else "adam", weight_decay=chance)
        for i, (first, chance) in enumerate(zip(weights_MP[:, 0].tolist(), chance_M, strict=True))
    ]
    columns = {"test_accuracy": weights_MP[:, :3].sum(1).double().numpy(), "generalization_gap": np.ones(members)}
    return dataclasses.replace(single_architecture(NET, weights_MP, specs, [7] * members), columns=columns)


def data(training, *validation):
    return FitData(training=(training,), validation=validation, dataset=load_dataset("digits"))


def test_columns_that_differ_are_judged_each_on_validation_networks_alone():
    training, held_out = networks(60, 1), networks(40, 2)
    assert differing(partial(targets_of, [training])) == ("test_accuracy", "optimizer", "weight_decay")
    found = probe(FirstWeights(3), data(training, held_out.select(range(10)), held_out.select(range(10, 40))))
    # Of what is chance nothing is told, and no less than nothing.
    assert found["probe_r2"] == pytest.approx(0.5, abs=0.02)
    assert found["probe_accuracy"] > 0.9
    assert found["probe_score"] == pytest.approx((2 * found["probe_r2"] + found["probe_accuracy"]) / 3)
    by_heart = probe(FirstWeights(NET.parameters), data(training, held_out))
    assert by_heart["probe_r2"] < 0.35, "more weights than training networks tell these, not others"
    assert by_heart["probe_accuracy"] < 0.9


def test_what_is_the_same_or_unknown_for_all_is_not_judged():
    training = networks(30, 1)
    gaps = {"generalization_gap": np.where(np.arange(30) % 2, np.nan, 1.0), "test_accuracy": np.full(30, np.nan)}
    plain = dataclasses.replace(training, columns=gaps)
    assert differing(partial(targets_of, [plain])) == ("optimizer", "weight_decay")
    numbers = dataclasses.replace(plain, members=tuple(dataclasses.replace(m, optimizer="adam") for m in plain.members))
    assert set(probe(FirstWeights(3), data(numbers, numbers))) == {"probe_score", "probe_r2"}
