"""The slow, obvious way to train one member: ``nn.Module``, ``torch.optim``, one minibatch at a time."""

from collections.abc import Iterator

import torch
from reference_dropout import dropout_factors
from reference_robustness import add_weight_noise, attacked
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from zoo.architecture import Architecture
from zoo.architecture.activations import ACTIVATIONS
from zoo.data.class_tasks import task_labels
from zoo.data.examples import Examples
from zoo.data.task import Loss
from zoo.population import Member
from zoo.training.grouping import minibatches, training_examples

ACTIVATION_MODULES = tuple(type(activation.module()) for activation in ACTIVATIONS.values())


def make_optimizer(member: Member, module: nn.Module) -> torch.optim.Optimizer:
    settings = {"lr": member.learning_rate, "weight_decay": member.weight_decay}
    match member.optimizer:
        case "sgd":
            return torch.optim.SGD(module.parameters(), **settings)
        case "momentum":
            return torch.optim.SGD(module.parameters(), momentum=0.9, **settings)
        case "adam":
            return torch.optim.Adam(module.parameters(), **settings)
        case "adamw":
            return torch.optim.AdamW(module.parameters(), **settings)
        case "rmsprop":
            return torch.optim.RMSprop(module.parameters(), **settings)
    raise AssertionError(member.optimizer)


class Dropout:
    """Multiplies the output of every activation module by given factors, units counted in order of execution."""

    def __init__(self, module: nn.Module) -> None:
        self.units = 0
        self.factors: Tensor | None = None  # [units, B]; where None, only the units are counted
        for part in module.modules():
            if isinstance(part, ACTIVATION_MODULES):
                part.register_forward_hook(self.apply)

    def apply(self, module: nn.Module, inputs: tuple[Tensor], output: Tensor) -> Tensor:
        first = self.units
        self.units += output[0].numel()
        if self.factors is None:
            return output
        return output * self.factors[first : self.units].T.reshape(output.shape)

    def begin_step(self, factors: Tensor) -> None:
        assert self.factors is None or self.units == len(self.factors)
        self.units, self.factors = 0, factors


def train_one(
    architecture: Architecture,
    member: Member,
    start_P: Tensor,
    data: Examples,
    epochs: int,
    loss: Loss = cross_entropy,
) -> Iterator[tuple[int, Tensor]]:
    """Yields (steps done, weights) after every step; ``loss`` is the mean over a batch."""
    module = architecture.to_module(start_P)
    optimizer = make_optimizer(member, module)
    dropout = Dropout(module)
    with torch.no_grad():
        module.eval()(data.inputs[:1])
    units = dropout.units
    module.train()
    targets = task_labels(member.task, data.targets)
    examples = training_examples(member, data)
    done = 0
    for epoch in range(1, epochs + 1):
        for step, batch in enumerate(minibatches(member, examples, epoch)):
            rows = torch.from_numpy(batch)
            factors = torch.from_numpy(dropout_factors([member], epoch, step, units, len(batch))[0])

            def loss_of(x: Tensor, rows: Tensor = rows, factors: Tensor = factors) -> Tensor:
                if member.dropout:
                    dropout.begin_step(factors)
                return loss(module(x), targets[rows])

            clean = {name: value.detach().clone() for name, value in module.named_parameters()}
            add_weight_noise(module, member, epoch, step)
            x = data.inputs[rows]
            if member.adversarial_epsilon:
                x = attacked(module, member, loss_of, x, (0, int(data.values.max()) * data.scale), epoch, step)
            optimizer.zero_grad()
            loss_of(x).backward()
            with torch.no_grad():
                for name, value in module.named_parameters():
                    value.copy_(clean[name])
            optimizer.step()
            done += 1
            yield done, architecture.from_module(module)
