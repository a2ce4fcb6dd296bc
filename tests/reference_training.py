"""The slow, obvious way to train one member: ``nn.Module``, ``torch.optim``, one minibatch at a time."""

from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from zoo.architecture import Architecture
from zoo.data import Images
from zoo.population import Member
from zoo.training.grouping import dropout_masks, minibatches


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


def train_one(
    architecture: Architecture, member: Member, start_P: Tensor, data: Images, epochs: int
) -> Iterator[tuple[int, Tensor]]:
    """Yields (steps done, weights) after every step."""
    module = architecture.to_module(start_P)
    optimizer = make_optimizer(member, module)
    linear = [layer for layer in module if isinstance(layer, nn.Linear)]
    units = sum(layer.out_features for layer in linear[:-1])
    done = 0
    for epoch in range(1, epochs + 1):
        batches = minibatches(member, len(data), epoch)
        steps, batch = batches.shape
        masks = torch.from_numpy(dropout_masks(member, epoch, steps, units, batch)) if member.dropout else None
        for step in range(steps):
            rows = torch.from_numpy(batches[step])
            x = data.inputs[rows]
            offset = 0
            for layer in module:
                x = layer(x)
                if masks is not None and not isinstance(layer, nn.Linear | nn.Flatten):
                    x = x * masks[step, offset : offset + x.shape[1]].T
                    offset += x.shape[1]
            optimizer.zero_grad()
            F.cross_entropy(x, data.labels[rows]).backward()
            optimizer.step()
            done += 1
            yield done, architecture.from_module(module)
