"""Fits by gradient: the learning rate's schedules, and that a fit goes on where it was."""

import random
from dataclasses import dataclass, replace

import pytest
import torch
from torch import nn

from trainables.gradient_fit import PLATEAU_FACTOR, GradientFit, plateaus
from trainables.trainable import DivergedError


@dataclass(frozen=True)
class Settings:
    schedule: str = "plateau"
    epochs: int = 60
    seed: int = 0
    learning_rate: float = 0.1
    batch_size: int = 4


class LineFit(GradientFit):
    """Fits a line to points that have noise, so that the loss stays where the noise is."""

    def __init__(self, config):
        self.x_N1 = torch.linspace(-1, 1, 8)[:, None]
        self.y_N1 = 3 * self.x_N1 + torch.randn(8, 1, generator=torch.Generator().manual_seed(0))
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            super().__init__(config, nn.Linear(1, 1), [8])
        self.rates = []

    def losses(self, population, rows_B, generator):
        self.rates.append(self.optimizer.param_groups[0]["lr"])
        return {"loss": (self.module(self.x_N1[rows_B]) - self.y_N1[rows_B]).square().mean()}

    def artifact(self):
        raise NotImplementedError

    def validate(self):
        return {}


def test_plateaus_are_counted_as_torch_does():
    draw = random.Random(0)
    losses = [2 ** -(i / 20) if i < 60 else 0.12 + draw.uniform(0, 0.1) for i in range(160)]
    weight = nn.Parameter(torch.zeros(1))
    scheduler = torch.optim.lr_scheduler.ReduceLROnPlateau(torch.optim.SGD([weight], lr=1.0), factor=PLATEAU_FACTOR)
    for epoch, loss in enumerate(losses):
        scheduler.step(loss)
        rate = scheduler.get_last_lr()[0]
        assert PLATEAU_FACTOR ** plateaus(losses[: epoch + 1]) == pytest.approx(rate)
    assert plateaus(losses) > 3


def test_the_rate_falls_at_plateaus_and_a_fit_goes_on_with_it():
    whole = LineFit(Settings())
    while whole.epoch < 60:
        whole.train_epoch()
    assert whole.rates[0] == 0.1
    assert whole.rates[-1] == pytest.approx(0.1 * PLATEAU_FACTOR ** plateaus(whole.history[:-1]))
    assert whole.rates[-1] < 0.1
    first, second = LineFit(Settings()), LineFit(Settings())
    while first.epoch < 40:
        first.train_epoch()
    second.load_state(first.state())
    while second.epoch < 60:
        second.train_epoch()
    assert second.rates == whole.rates[-len(second.rates) :]
    assert torch.equal(second.module.weight, whole.module.weight)


def test_without_a_word_of_it_the_rate_falls_to_zero_along_a_half_cosine():
    fit = LineFit(replace(Settings(), schedule="cosine", epochs=4))
    while fit.epoch < 4:
        fit.train_epoch()
    assert fit.rates == sorted(fit.rates, reverse=True)
    assert fit.rates[0] == 0.1
    assert fit.rates[4] == pytest.approx(0.05)


def test_an_epoch_goes_once_through_each_population_in_full_batches_and_mixes_them():
    fit = LineFit(Settings())
    fit.sizes = (10, 3, 0, 8)
    steps = list(fit.batches(torch.Generator().manual_seed(0)))
    assert sorted((population, len(rows)) for population, rows in steps) == [(0, 4), (0, 4), (1, 3), (3, 4), (3, 4)]
    for population in (0, 1, 3):
        seen = torch.cat([rows for number, rows in steps if number == population]).tolist()
        assert len(set(seen)) == len(seen)
        assert set(seen) <= set(range(fit.sizes[population]))
    orders = {tuple(number for number, _ in fit.batches(torch.Generator().manual_seed(seed))) for seed in range(9)}
    assert len(orders) > 1


def test_a_loss_that_is_not_finite_ends_a_fit_and_so_does_a_step_too_many():
    fit = LineFit(replace(Settings(), epochs=1))
    fit.y_N1[3] = torch.inf
    with pytest.raises(
        DivergedError, match=r"is inf in epoch 1, step [12]; lower learning_rate \(0\.1\) .*are very large"
    ):
        fit.train_epoch()
    done = LineFit(replace(Settings(), epochs=1))
    done.train_epoch()
    with pytest.raises(RuntimeError, match="all 1 epochs are done"):
        done.train_epoch()
    other = LineFit(replace(Settings(), epochs=2))
    with pytest.raises(ValueError, match="continue with the same configuration"):
        other.load_state(done.state())
