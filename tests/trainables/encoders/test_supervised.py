"""Encoders that learn from labels: what their fits learn, keep and refuse."""

import dataclasses
from typing import ClassVar

import numpy as np
import pytest
import torch
from torch import nn

from trainables.encoders.config import SupervisedConfig
from trainables.encoders.entries import supervised
from trainables.encoders.supervised import NetworkModule, Target
from trainables.trainable import FitData, run
from zoo.architecture import mlp
from zoo.data import load_dataset
from zoo.population import Member
from zoo.population.initialization import initial_weights
from zoo.population.population import single_architecture


class Spread(NetworkModule):
    """Embeds the deviation of a network's weights, for networks of any layout."""

    config_type: ClassVar = SupervisedConfig

    def __init__(self, config, facts):
        super().__init__(config, facts)
        self.net = nn.Sequential(nn.Linear(1, 16), nn.ReLU(), nn.Linear(16, config.latent))

    def forward(self, batch):
        return self.net(batch.weights_MP.std(dim=1, keepdim=True).log())


ENTRY = supervised("spread", Spread, SupervisedConfig, description="For tests.")
SHORT = SupervisedConfig(latent=8, epochs=30, batch_size=16, learning_rate=1e-2)


def networks(units, members, seed):
    """Networks of one of two initializations, whose accuracy depends on the spread of their weights."""
    architecture = mlp((1, 4, 4), (units,), 3)
    specs = [
        Member(id=i, seed=seed + i, init_scale=0.5 + (i % 10) / 5, optimizer="sgd" if i % 10 < 5 else "adam")
        for i in range(members)
    ]
    weights_MP = initial_weights(architecture, specs)
    accuracy_M = weights_MP.std(1).numpy().copy()
    accuracy_M[3] = np.nan
    return dataclasses.replace(
        single_architecture(architecture, weights_MP, specs), columns={"test_accuracy": accuracy_M}
    )


def data():
    return FitData(
        training=(networks(5, 80, 0), networks(9, 60, 1000)),
        validation=(networks(5, 30, 5000), networks(9, 20, 6000)),
        dataset=load_dataset("digits"),
    )


def test_a_fit_learns_numbers_and_categories_of_networks_of_several_layouts():
    fit = run(ENTRY.fit(SHORT, data()))
    assert {target.name for target in fit.targets} == {"test_accuracy", "init_scale", "optimizer"}
    found = fit.validate()
    assert found["probe_r2"] > 0.9
    assert found["probe_accuracy"] > 0.9
    with torch.no_grad():
        assert float(fit.losses(1, torch.arange(60), torch.Generator())["loss"]) < 0.15


def test_a_fit_goes_on_from_its_state_and_its_artifact_comes_back_from_files():
    straight, broken = (ENTRY.fit(dataclasses.replace(SHORT, epochs=4), data()) for _ in range(2))
    for _ in range(2):
        broken.train_epoch()
    again = ENTRY.fit(dataclasses.replace(SHORT, epochs=4), data())
    again.load_state(broken.state())
    population = data().validation[1]
    wanted = run(straight).artifact().embed(population)
    encoder = run(again).artifact()
    assert np.array_equal(encoder.embed(population), wanted)
    assert np.array_equal(ENTRY.from_files(encoder.to_files()).embed(population), wanted)
    assert encoder.embed(population.select([])).shape == (0, 8)


def test_unknown_targets_do_not_count():
    number = Target("test_accuracy", (), 2.0, 0.5)
    outputs_BK = torch.tensor([[1.0], [5.0]])
    assert float(number.loss(outputs_BK, torch.tensor([0.0, float("nan")]))) == 1.0
    category = Target("optimizer", ("adam", "sgd"))
    assert float(category.loss(torch.zeros(2, 2), torch.tensor([1, -1]))) == pytest.approx(np.log(2))
    assert float(category.loss(torch.zeros(2, 2), torch.tensor([-1, -1]))) == 0


def test_targets_in_which_networks_do_not_differ_or_that_are_no_columns_are_refused():
    with pytest.raises(ValueError, match="target 'weight_decay' takes 1 values among the training networks; choose"):
        ENTRY.fit(dataclasses.replace(SHORT, targets="weight_decay"), data())
    with pytest.raises(ValueError, match="nothing is known of these networks under 'color'; allowed: test_accuracy"):
        ENTRY.fit(dataclasses.replace(SHORT, targets="test_accuracy, color"), data())


def test_networks_that_are_not_finite_are_refused():
    odd = networks(5, 20, 0)
    odd.weights_MP[4, 2] = torch.inf
    with pytest.raises(ValueError, match="1 of 20 networks have weights that are NaN or infinite, the first in row 4"):
        ENTRY.fit(SHORT, dataclasses.replace(data(), training=(odd,)))
