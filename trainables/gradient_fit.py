"""Fits by gradient, one epoch at a time; they can be stopped and continued after any.

Shape letters: B batch.
"""

from __future__ import annotations

import json
import math
from abc import ABC, abstractmethod
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from safetensors.torch import load, save
from torch import Tensor, nn

from trainables.adam import AdamW
from trainables.closed_form import PROGRESS_FILE, require_same_config
from trainables.trainable import Artifact, DivergedError
from zoo.config import canonical_json

STATE_FILE = "state.safetensors"
GRADIENT_NORM = 1.0
# Seeds of epochs lie this far apart between seeds of fits.
SEED_STRIDE = 1_000_003
# A plateau: so many epochs that are no better than the best by this share; the learning rate is then multiplied.
PATIENCE = 10
SMALLEST_GAIN = 1e-4
PLATEAU_FACTOR = 0.3


class GradientFit(ABC):
    """A :class:`trainables.trainable.Fit` of a torch module; a subclass says what is minimized and what is left.

    Each step sees networks of one population, so that networks of several layouts can be fitted to. The learning
    rate falls to zero along a half cosine, or where the configuration has a field ``schedule`` that says "plateau", by
    a factor wherever the training loss has stayed for some epochs. Random draws are a function of (seed, epoch): a fit
    that continues from a state does what it would have done without the interruption.

    Args:
        config: With fields ``epochs``, ``seed``, ``learning_rate`` and ``batch_size``.
        module: What is fitted.
        sizes: How many networks each training population has.
        weight_decay: Of Adam, decoupled.

    Attributes:
        epoch: Epochs done.
        history: The mean loss of each of them.
    """

    def __init__(self, config: Any, module: nn.Module, sizes: Sequence[int], weight_decay: float = 0.0) -> None:
        require_networks(sizes)
        self.config = config
        self.module = module.eval()
        self.sizes = tuple(sizes)
        self.epoch = 0
        self.history: list[float] = []
        self.optimizer = AdamW(module.parameters(), lr=config.learning_rate, weight_decay=weight_decay)

    @property
    def epochs(self) -> int:
        """How many there are to be."""
        return int(self.config.epochs)

    def learning_rate(self, progress: float) -> float:
        """Adam's step size.

        Args:
            progress: Share of the fit that is done.
        """
        if getattr(self.config, "schedule", "cosine") == "plateau":
            return float(self.config.learning_rate * PLATEAU_FACTOR ** plateaus(self.history))
        return float(self.config.learning_rate * 0.5 * (1 + math.cos(math.pi * progress)))

    @abstractmethod
    def losses(self, population: int, rows_B: Tensor, generator: torch.Generator) -> Mapping[str, Tensor]:
        """What there is to say of a batch, scalars; the first is minimized.

        Args:
            population: Number of the training population.
            rows_B: Which of its networks.
            generator: For all that is drawn.
        """

    @abstractmethod
    def artifact(self) -> Artifact:
        """See :class:`trainables.trainable.Fit`."""

    @abstractmethod
    def validate(self) -> dict[str, float]:
        """See :class:`trainables.trainable.Fit`."""

    def batches(self, generator: torch.Generator) -> Iterator[tuple[int, Tensor]]:
        """(population, rows) of each step of an epoch, populations mixed; what does not fill a batch waits."""
        size = self.config.batch_size
        steps = []
        for population, count in enumerate(self.sizes):
            order = torch.randperm(count, generator=generator)
            steps += [(population, rows) for rows in order.split(size) if len(rows) == size or 0 < count < size]
        mixed = torch.randperm(len(steps), generator=generator).tolist() if len(self.sizes) > 1 else range(len(steps))
        for step in mixed:
            yield steps[step]

    def train_epoch(self) -> dict[str, float]:
        """Goes through the training networks once; returns means of :meth:`losses` and ``epoch``.

        Raises:
            DivergedError: The loss is not finite.
            RuntimeError: All epochs are done.
        """
        if self.epoch >= self.epochs:
            raise RuntimeError(f"all {self.epochs} epochs are done; to go on, begin a fit with more")
        seed = self.config.seed * SEED_STRIDE + self.epoch
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)  # of dropout
            return self._train_epoch(torch.Generator().manual_seed(seed))

    def _train_epoch(self, generator: torch.Generator) -> dict[str, float]:
        steps = list(self.batches(generator))
        sums: dict[str, float] = defaultdict(float)
        self.module.train()
        for step, (population, rows_B) in enumerate(steps):
            progress = (self.epoch + step / len(steps)) / self.epochs
            for group in self.optimizer.param_groups:
                group["lr"] = self.learning_rate(progress)
            losses = self.losses(population, rows_B, generator)
            loss = next(iter(losses.values()))
            if not torch.isfinite(loss):
                raise DivergedError(
                    f"the loss is {float(loss.detach())} in epoch {self.epoch + 1}, step {step + 1}; lower "
                    f"learning_rate ({self.config.learning_rate}) or the loss weights, or leave out networks whose "
                    "weights are very large"
                )
            self.optimizer.zero_grad(set_to_none=True)
            loss.backward()
            nn.utils.clip_grad_norm_(self.module.parameters(), GRADIENT_NORM)
            self.optimizer.step()
            for name, value in losses.items():
                sums[name] += float(value.detach())
        self.module.eval()
        self.epoch += 1
        means = {name: value / len(steps) for name, value in sums.items()}
        self.history.append(next(iter(means.values())))
        return means | {"epoch": self.epoch}

    def require_finite(self) -> None:
        """Raises a :class:`DivergedError` where a parameter is not finite."""
        if not all(torch.isfinite(parameter).all() for parameter in self.module.parameters()):
            raise DivergedError(f"after epoch {self.epoch} a parameter is not finite; lower learning_rate")

    def state(self) -> dict[str, bytes]:
        """See :class:`trainables.trainable.Fit`; the module, Adam's moments and the epoch."""
        tensors = {f"model.{name}": tensor for name, tensor in self.module.state_dict().items()}
        for index, moments in self.optimizer.state_dict()["state"].items():
            for name, tensor in moments.items():
                tensors[f"optimizer.{index}.{name}"] = tensor
        progress = {"config": self.config, "epoch": self.epoch, "history": self.history}
        return {
            STATE_FILE: save({name: tensor.contiguous() for name, tensor in tensors.items()}),
            PROGRESS_FILE: canonical_json(progress).encode(),
        }

    def load_state(self, state: Mapping[str, bytes]) -> None:
        """See :class:`trainables.trainable.Fit`; the data must be the same.

        Raises:
            ValueError: The state is of another configuration.
        """
        progress = json.loads(state[PROGRESS_FILE])
        require_same_config(progress["config"], self.config)
        tensors = load(state[STATE_FILE])
        self.module.load_state_dict(
            {name.removeprefix("model."): tensor for name, tensor in tensors.items() if name.startswith("model.")}
        )
        optimizer = self.optimizer.state_dict()
        optimizer["state"] = {}
        for name, tensor in tensors.items():
            if name.startswith("optimizer."):
                _, index, moment = name.split(".")
                optimizer["state"].setdefault(int(index), {})[moment] = tensor
        self.optimizer.load_state_dict(optimizer)
        self.epoch, self.history = progress["epoch"], progress["history"]


def plateaus(losses: Sequence[float]) -> int:
    """How often losses have stayed for more than ``PATIENCE`` epochs; as torch's ``ReduceLROnPlateau`` counts."""
    found, waited, best = 0, 0, math.inf
    for loss in losses:
        if loss < best * (1 - SMALLEST_GAIN):
            best, waited = loss, 0
        else:
            waited += 1
        if waited > PATIENCE:
            found, waited = found + 1, 0
    return found


def require_networks(sizes: Sequence[int]) -> None:
    """Raises a ``ValueError`` where training populations of these sizes hold no network."""
    if not sum(sizes):
        raise ValueError("the training population is empty; a fit needs networks")
