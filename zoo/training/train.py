"""Training whole populations: the same result as one member at a time, many times faster.

Shape letters: M members, P parameters, B batch, C classes.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from zoo.architecture import Activate, Architecture
from zoo.data.images import Images
from zoo.population import Member
from zoo.training.closed_form import ClosedFormMlps, supports, with_constant
from zoo.training.grouping import Group, dropout_masks, group_members, minibatches
from zoo.training.initialisation import initial_weights
from zoo.training.optimizers import OPTIMIZERS


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Some members' weights at the end of one epoch.

    Attributes:
        rows: Which of the members given to :func:`train_population` these are.
        epoch: Epochs done; 0 is the initialisation.
        steps: Optimizer steps done.
        weights_MP: Their weights, float32 on the CPU; not touched again.
    """

    rows: tuple[int, ...]
    epoch: int
    steps: int
    weights_MP: Tensor


def train_population(
    architecture: Architecture,
    members: Sequence[Member],
    data: Images,
    *,
    epochs: int,
    snapshot_epochs: Sequence[int],
    initial_MP: Tensor | None = None,
    device: str | torch.device = "cpu",
) -> Iterator[Snapshot]:
    """Trains every member and yields their weights along the way.

    Members differ in anything that a :class:`~zoo.population.Member` says. Those with equal optimizer, batch size
    and number of examples are trained together, fastest where blocks of them share a minibatch order; groups
    follow one another, so memory is bounded by one group. A member that diverges goes on with non-finite weights
    and does not touch the others.

    Args:
        architecture: The architecture of all members, any MLP.
        members: How each one is trained.
        data: Training images.
        epochs: Length of training.
        snapshot_epochs: When to yield: increasing, from 0 (the initialisation) to ``epochs``.
        initial_MP: Initial weights, one row a member, in place of those drawn from the members' seeds.
        device: Where to compute.

    Yields:
        Each (member, snapshot epoch) exactly once, group by group and in order of epochs within a group.

    Raises:
        ValueError: No members, snapshot epochs out of order or range, images or labels that do not fit the
            architecture, or an architecture with layers that cannot be trained.
    """
    if not members:
        raise ValueError("there are no members to train; give at least one")
    wanted = list(snapshot_epochs)
    if wanted != sorted(set(wanted)) or not wanted or wanted[0] < 0 or wanted[-1] > epochs:
        raise ValueError(f"snapshot epochs are {wanted}; allowed: increasing, each from 0 to epochs ({epochs})")
    if tuple(data.pixels.shape[1:]) != architecture.input_shape:
        raise ValueError(
            f"images have shape {tuple(data.pixels.shape[1:])}; the architecture takes {architecture.input_shape}"
        )
    if int(data.labels.max()) >= architecture.classes:
        raise ValueError(
            f"labels go up to {int(data.labels.max())}; the architecture has {architecture.classes} logits"
        )
    if not supports(architecture):
        raise ValueError("only MLPs can be trained: linear layers with one activation between each two")
    if initial_MP is not None and initial_MP.shape != (len(members), architecture.parameters):
        raise ValueError(
            f"initial weights have shape {tuple(initial_MP.shape)}; "
            f"expected ({len(members)}, {architecture.parameters})"
        )
    inputs = with_constant(architecture, data.inputs.flatten(1).to(device))
    onehot = F.one_hot(data.labels, architecture.classes).float().to(device)
    for group in group_members(architecture, members, len(data)):
        chosen = [members[row] for row in group.rows]
        start_MP = initial_weights(architecture, chosen) if initial_MP is None else initial_MP[list(group.rows)]
        yield from _train_group(architecture, group, chosen, start_MP.to(device), inputs, onehot, wanted)


@torch.no_grad()
def _train_group(
    architecture: Architecture,
    group: Group,
    members: Sequence[Member],
    start_MP: Tensor,
    inputs: Tensor,
    onehot: Tensor,
    wanted: Sequence[int],
) -> Iterator[Snapshot]:
    """Trains one group; see :func:`train_population`."""
    examples, device = len(inputs), inputs.device
    leaders = members[:: group.block]
    batch = minibatches(leaders[0], examples, 1).shape[1]
    model = ClosedFormMlps(architecture, start_MP, group.block, inputs, batch)
    decays = torch.tensor([member.weight_decay for member in members], device=device)
    optimizer = OPTIMIZERS[members[0].optimizer](
        model.parameters,
        model.expand(torch.tensor([member.learning_rate for member in members], device=device)),
        model.expand(decays) if decays.any() else None,
    )
    hidden = _hidden_units(architecture)
    dropout = any(member.dropout for member in members) and bool(hidden)
    if 0 in wanted:
        yield Snapshot(group.rows, 0, 0, model.flat().cpu())
    for epoch in range(1, wanted[-1] + 1):
        order_GSB = np.stack([minibatches(leader, examples, epoch) for leader in leaders])
        steps = order_GSB.shape[1]
        order = torch.from_numpy(order_GSB).transpose(0, 1).contiguous().to(device)
        masks = _epoch_masks(members, epoch, steps, hidden, batch, device) if dropout else None
        for step in range(steps):
            rows = order[step].flatten()
            labels_GCB = onehot.index_select(0, rows).view(len(leaders), batch, -1).transpose(1, 2)
            model.compute_gradient(
                rows, labels_GCB.unsqueeze(1), None if masks is None else [mask[step] for mask in masks]
            )
            optimizer.step(model.gradient)
        if epoch in wanted:
            yield Snapshot(group.rows, epoch, optimizer.steps, model.flat().cpu())


def _hidden_units(architecture: Architecture) -> list[int]:
    """How many units each activation has: those that dropout acts on."""
    return [
        shape[0]
        for layer, shape in zip(architecture.layers, architecture.shapes, strict=False)
        if isinstance(layer, Activate)
    ]


def _epoch_masks(
    members: Sequence[Member], epoch: int, steps: int, hidden: Sequence[int], batch: int, device: torch.device
) -> list[Tensor]:
    """Dropout factors of one epoch, for each hidden layer ``[steps, M, H, B]``."""
    masks = torch.ones(steps, len(members), sum(hidden), batch)
    for row, member in enumerate(members):
        if member.dropout:
            masks[:, row] = torch.from_numpy(dropout_masks(member, epoch, steps, sum(hidden), batch))
    bounds = [0, *itertools.accumulate(hidden)]
    # One contiguous tensor a layer: the training step multiplies by it as it stands.
    return [masks[:, :, a:b].contiguous().to(device) for a, b in itertools.pairwise(bounds)]
