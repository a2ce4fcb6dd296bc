"""The ``lanes`` backend: sixteen members side by side in SIMD lanes, on a CPU.

Shape letters: M members, P parameters, N examples, C classes, G blocks, S steps, B batch, V groups of sixteen,
L lanes (16).
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Sequence
from functools import cache
from types import ModuleType
from typing import Any

import numpy as np
import torch
from torch import Tensor

from zoo.architecture import Architecture, mlp
from zoo.data.examples import Examples
from zoo.data.task import Task
from zoo.population import Member
from zoo.streams import Purpose
from zoo.training.dropout import require_counters
from zoo.training.grouping import batch_examples
from zoo.training.lanes import plan
from zoo.training.lanes.codes import LANES, OPTIMIZERS
from zoo.training.lanes.packing import Lanes
from zoo.training.lanes.program import Program, compiled

logger = logging.getLogger(__name__)

SWITCH = "ZOOSCALE_KERNEL"
# Groups of sixteen that a group of members has at most: enough that few lanes are idle, while the orders of members
# that each have their own stay small (8 bytes an example, twice).
GROUPS_AT_ONCE = 8
# Weights and moments of a group of members: 512 MiB.
STATE_FLOATS = 2**27
# Values and gradients of all examples of a step, which a batch norm needs.
MOST_WORK_BYTES = 4 * 2**30


class LanesBackend:
    """Trains sixteen members at once in a compiled kernel; see ``zoo.training.backend``.

    What a member's weights become depends on neither the other members nor its lane: the bits are the same.
    """

    def __init__(
        self,
        architecture: Architecture,
        task: Task,  # noqa: ARG002
        examples: Examples,
        device: torch.device,  # noqa: ARG002
    ) -> None:
        self.architecture = architecture
        self.examples = examples
        self.kernel = require_kernel()

    @staticmethod
    def obstacle(
        architecture: Architecture,
        members: Sequence[Member],
        task: Task,
        examples: Examples,
        device: torch.device,
    ) -> str | None:
        """See ``zoo.training.backend.BackendType``; what keeps members from a kernel that runs is logged, once."""
        obstacle = _not_wanted(device)
        if obstacle is None:
            obstacle = _unknown(architecture, examples) or _untrained(architecture, members, task, examples)
            if obstacle is not None:
                _tell(obstacle)
        if obstacle is None and isinstance(kernel := load_kernel(), str):
            return kernel
        return obstacle

    @staticmethod
    def members_at_once(architecture: Architecture, batch: int, device: torch.device) -> int:  # noqa: ARG004
        """See ``zoo.training.backend.BackendType``."""
        fit = STATE_FLOATS // (3 * LANES * architecture.parameters)
        return min(max(fit, 1), GROUPS_AT_ONCE) * LANES

    def start(self, members: Sequence[Member], weights_MP: Tensor, block: int, batch: int) -> LanesTrainer:
        return LanesTrainer(self.kernel, self.architecture, self.examples, members, weights_MP, block, batch)


class LanesTrainer:
    """One group of members in training."""

    def __init__(
        self,
        kernel: ModuleType,
        architecture: Architecture,
        examples: Examples,
        members: Sequence[Member],
        weights_MP: Tensor,
        block: int,
        batch: int,
    ) -> None:
        self.kernel = kernel
        self.members = members
        self.lanes = Lanes(len(members), block)
        self.program = compiled(architecture, batch, training=True)
        if any(member.dropout for member in members):
            require_counters(self.program.units, batch)
        self.optimizer = OPTIMIZERS.index(members[0].optimizer)
        self.data = kernel_data(kernel, self.program, examples)
        self.weights_VPL = lane_weights(kernel, self.program, self.lanes, weights_MP)
        thresholds_VL = self.lanes.thresholds(members)
        self.state = kernel.State(
            self.weights_VPL,
            kernel.aligned_vectors(len(self.lanes), self.program.trained),
            kernel.aligned_vectors(len(self.lanes), self.program.trained),
            self.lanes.settings(members),
            thresholds_VL,
            thresholds_VL.any(axis=1),
        )
        self.noise = kernel.Noise.of(architecture, self.program, self.lanes, members)
        self.attack = kernel.Attack.of(self.program, self.lanes, members, examples)
        self.work = kernel_work(kernel, self.program)
        self.steps = 0

    def run_epoch(self, epoch: int, examples_GSB: np.ndarray, targets_GSB: np.ndarray) -> None:
        steps = examples_GSB.shape[1]
        # The kernel checks no bounds.
        require_range("examples", examples_GSB, len(self.data.pixels))
        require_range("labels", targets_GSB, self.program.classes)
        drops = self.state.drops_V.any()
        schedule = self.kernel.Schedule(
            np.ascontiguousarray(examples_GSB, dtype=np.int64),
            np.ascontiguousarray(targets_GSB, dtype=np.int64),
            self.lanes.block_VL,
        )
        self.kernel.train_epoch(
            self.program,
            self.data,
            schedule,
            self.state,
            self.lanes.keys(Purpose.DROPOUT, self.members, epoch, steps if drops else 1),
            self.noise.of_epoch(self.lanes, self.members, epoch, steps),
            self.attack.of_epoch(self.lanes, self.members, epoch, steps),
            self.work,
            self.optimizer,
            self.steps,
        )
        self.steps += steps

    def begin_copy(self) -> Callable[[], Tensor]:
        weights_MP = np.empty((len(self.members), self.weights_VPL.shape[1]), dtype=np.float32)
        kernel_order_MP = self.lanes.gather(self.weights_VPL, np.empty_like(weights_MP))
        weights_MP[:, self.program.order] = kernel_order_MP
        copied = torch.from_numpy(weights_MP)
        return lambda: copied


def forward_obstacle(architecture: Architecture, examples: Examples) -> str | None:
    """Why the kernel cannot apply networks to examples (see :func:`logits`); ``None`` where it can."""
    obstacle = _not_wanted(torch.device("cpu")) or _unknown(architecture, examples)
    if obstacle is None and isinstance(kernel := load_kernel(), str):
        return kernel
    return obstacle


def logits(architecture: Architecture, weights_MP: Tensor, images: Examples) -> Tensor:
    """Applies every member to every image in the kernel.

    Args:
        architecture: One for which :func:`forward_obstacle` is ``None``.
        weights_MP: On the CPU.
        images: As bytes; nothing is converted but what is in work.

    Returns:
        ``logits_MNC`` float32 on the CPU; no gradients.

    Raises:
        RuntimeError: The kernel cannot run here.
    """
    kernel = require_kernel()
    program = compiled(architecture, max(1, len(images)), training=False)
    lanes = Lanes(len(weights_MP), len(weights_MP))
    weights_VPL = lane_weights(kernel, program, lanes, weights_MP)
    logits_VNCL = np.empty((len(lanes), len(images), program.classes, LANES), dtype=np.float32)
    kernel.apply(
        program,
        kernel_data(kernel, program, images),
        weights_VPL,
        kernel_work(kernel, program),
        logits_VNCL,
    )
    logits_MNC = np.empty((len(weights_MP), len(images), program.classes), dtype=np.float32)
    lanes.gather(logits_VNCL.reshape(len(lanes), -1, LANES), logits_MNC.reshape(len(weights_MP), -1))
    return torch.from_numpy(logits_MNC)


def _not_wanted(device: torch.device) -> str | None:
    """Why the kernel is not to be used at all; ``None`` where it may."""
    if device.type != "cpu":
        return "it runs on CPUs only"
    switch = os.environ.get(SWITCH, "")
    if switch not in ("", "lanes", "torch"):
        raise ValueError(f"{SWITCH} is {switch!r}; allowed: lanes, torch")
    return f"{SWITCH}=torch switches it off" if switch == "torch" else None


def _unknown(architecture: Architecture, examples: Examples) -> str | None:
    """Why the kernel cannot apply networks to examples, wherever it runs; ``None`` where it can."""
    if examples.values.dtype != torch.uint8:
        return f"it reads images as bytes, uint8, and these examples are {examples.values.dtype}"
    return plan.obstacle(architecture)


def _untrained(architecture: Architecture, members: Sequence[Member], task: Task, examples: Examples) -> str | None:
    """Why the kernel cannot train members of networks that it can apply; ``None`` where it can."""
    if not task.has_classes:
        return f"it knows no loss but softmax, and this one is {task.loss!r}"
    for member in members:
        if member.optimizer not in OPTIMIZERS:
            return f"it does not know the optimizer {member.optimizer!r}"
    if any(member.attack_steps for member in members) and (obstacle := plan.attack_obstacle(architecture)):
        return obstacle
    batch = max(batch_examples(member, examples) for member in members)
    needed = work_bytes(compiled(architecture, batch, training=True))
    if needed > MOST_WORK_BYTES:
        return (
            f"{batch} examples a step need {needed / 2**30:.1f} GiB, since a batch norm reads all of them, and it "
            f"takes up to {MOST_WORK_BYTES / 2**30:.1f}; a smaller batch would do"
        )
    return None


@cache
def _tell(obstacle: str) -> None:
    """Logs why the kernel is passed over: each reason once in a process."""
    logger.warning("the SIMD kernel for training cannot be used and torch is, several times slower: %s", obstacle)


def require_range(name: str, values: np.ndarray, count: int) -> None:
    """Raises ``ValueError`` for an index out of range."""
    if values.min() < 0 or values.max() >= count:
        raise ValueError(f"{name} go from {values.min()} to {values.max()}; allowed: 0 to {count - 1}")


def lane_weights(kernel: ModuleType, program: Program, lanes: Lanes, weights_MP: Tensor) -> np.ndarray:
    """Weights in lanes and in the kernel's order, ``[V, P, L]``: a copy."""
    ordered_MP = weights_MP.numpy()[:, program.order]
    return lanes.spread(ordered_MP, kernel.aligned_vectors(len(lanes), ordered_MP.shape[1]))


def kernel_data(kernel: ModuleType, program: Program, images: Examples) -> Any:
    """Images as the kernel takes them: no copy."""
    pixels = np.ascontiguousarray(images.values.flatten(1).numpy())
    return kernel.Data(pixels, np.array([images.scale * program.scale, program.offset], dtype=np.float32))


def work_bytes(program: Program) -> int:
    """Memory for values and gradients of the examples of a step that are kept."""
    return 2 * program.pieces.kept * program.values * LANES * 4


def kernel_work(kernel: ModuleType, program: Program) -> Any:
    """Memory for one group of sixteen."""
    examples, own_examples = program.pieces.kept, program.pieces.own_kept
    return kernel.Work(
        numbers=np.zeros(examples * program.image_size, dtype=np.float32),
        vectors=kernel.aligned_vectors(own_examples * program.image_size),
        values=kernel.aligned_vectors(examples * program.values),
        slopes=kernel.aligned_vectors(examples * program.values),
        statistics=kernel.aligned_vectors(program.statistics),
        gradient=kernel.aligned_vectors(program.trained),
        labels=np.zeros((examples, LANES), dtype=np.int32),
        begins=np.zeros(examples * LANES, dtype=np.int64),
        nothing=kernel.aligned_vectors(1),
        one=np.ones(1, dtype=np.float32),
    )


@cache
def load_kernel() -> ModuleType | str:
    """The kernel, compiled and tried, or why it cannot run here; then one message is logged."""
    try:
        # Numba is loaded here and no earlier: it takes a second.
        from zoo.training.lanes import cpu

        obstacle = cpu.obstacle()
        if obstacle is None:
            from zoo.training.lanes import kernel

            _try(kernel)
            return kernel
    except Exception as error:
        lines = str(error).strip().splitlines()
        obstacle = f"{type(error).__name__}: {lines[0] if lines else 'no message'}"
    logger.warning(
        "the SIMD kernel for training cannot run here and torch is used instead, several times slower: %s", obstacle
    )
    return f"its kernel cannot run here: {obstacle}"


def require_kernel() -> ModuleType:
    """The kernel; ``RuntimeError`` where it cannot run."""
    kernel = load_kernel()
    if isinstance(kernel, str):
        raise RuntimeError(kernel)
    return kernel


def _try(kernel: ModuleType) -> None:
    """Trains the smallest network for a step: this compiles everything, and shows that it runs.

    Raises:
        RuntimeError: What comes out is not what the gradient says.
    """
    images = Examples(torch.full((1, 1, 1, 1), 2, dtype=torch.uint8), torch.tensor([1]), 0.5)
    member = Member(id=0, seed=0, optimizer="sgd", learning_rate=1.0, batch_size=1)
    architecture = mlp((1, 1, 1), (), 2, bias=False)
    trainer = LanesTrainer(kernel, architecture, images, [member], torch.zeros(1, 2), 1, 1)
    trainer.run_epoch(1, np.zeros((1, 1, 1), dtype=np.int64), np.ones((1, 1, 1), dtype=np.int64))
    if trainer.begin_copy()().tolist() != [[-0.5, 0.5]]:
        raise RuntimeError("it computed a wrong gradient")
