"""What keeps a device busy while torch trains: all state in place, steps captured once, copies beside training.

A captured step runs the same operations on the same memory every time, without the host. So a step here takes no
arguments: which minibatch is next, and how many steps are done, are tensors on the device that the step itself reads
and advances. On a CPU the same step is called as it is.

Shape letters: N examples, G blocks, S steps, B batch, D inputs.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import cached_property
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from zoo.data.examples import Examples

logger = logging.getLogger(__name__)

# Steps done one by one before one is captured: libraries choose their algorithms and allocate in the first ones.
WARM_UP_STEPS = 3

# On a CPU, parameters, gradient and two moments of a group should stay in a core's share of the cache, and outputs of
# convolutions not go far beyond it. Other devices are fast once they have much to do at a time: 6 000 MLPs 784-8-10,
# or layers whose outputs take 5 GB.
CPU_PARAMETERS = 160_000
CPU_OUTPUTS = 4_000_000
DEVICE_PARAMETERS = 40_000_000
DEVICE_OUTPUTS = 1_200_000_000


class Stepper(Protocol):
    """How a device runs steps and copies."""

    def run(self, step: Callable[[], None], count: int) -> None:
        """Does a step ``count`` times; always the same step, which may go on after the call returns."""

    def put(self, target: Tensor, source: np.ndarray) -> None:
        """Copies into a tensor on the device, after the steps begun so far."""

    def begin_copy(self, source: Tensor) -> Callable[[], Tensor]:
        """Begins to copy a tensor that nobody writes any more to the CPU; calling the result waits for the copy."""


class EagerStepper:
    """Calls each step as it is: CPUs, and devices without graphs."""

    def run(self, step: Callable[[], None], count: int) -> None:
        for _ in range(count):
            step()

    def put(self, target: Tensor, source: np.ndarray) -> None:
        target.copy_(torch.from_numpy(source))

    def begin_copy(self, source: Tensor) -> Callable[[], Tensor]:
        copied = source.cpu()
        return lambda: copied


class GraphStepper:
    """Captures a step after some have been done, and replays it from then on.

    Attributes:
        done: Steps done one by one.
        replay: The captured step, once there is one.
    """

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.done = 0
        self.replay: Callable[[], None] | None = None

    @cached_property
    def side(self) -> torch.cuda.Stream:
        """A stream beside the current one; only one, since each keeps memory for itself."""
        return torch.cuda.Stream(self.device)

    def run(self, step: Callable[[], None], count: int) -> None:
        for _ in range(count):
            if self.replay is None and self.done >= WARM_UP_STEPS:
                self.replay = self.capture(step)
            if self.replay is None:
                self.warm_up(step)
                self.done += 1
            else:
                self.replay()

    def warm_up(self, step: Callable[[], None]) -> None:
        """Does one step beside the current stream, as capturing requires."""
        current = torch.cuda.current_stream(self.device)
        self.side.wait_stream(current)
        with torch.cuda.stream(self.side):
            step()
        current.wait_stream(self.side)

    def capture(self, step: Callable[[], None]) -> Callable[[], None]:
        """Records a step without doing it; where it cannot be recorded, it is itself what is replayed."""
        graph = torch.cuda.CUDAGraph()
        try:
            with torch.cuda.device(self.device), torch.cuda.graph(graph):
                step()
        except RuntimeError as error:
            logger.warning("a training step cannot be captured on %s and is run as it is: %s", self.device, error)
            return step
        return graph.replay

    def put(self, target: Tensor, source: np.ndarray) -> None:
        target.copy_(torch.from_numpy(source).pin_memory(), non_blocking=True)

    def begin_copy(self, source: Tensor) -> Callable[[], Tensor]:
        target = torch.empty(source.shape, dtype=source.dtype, pin_memory=True)
        self.side.wait_stream(torch.cuda.current_stream(self.device))
        with torch.cuda.stream(self.side):
            target.copy_(source, non_blocking=True)
            source.record_stream(self.side)
        copied = self.side.record_event()

        def wait() -> Tensor:
            copied.synchronize()
            return target

        return wait


def stepper(device: torch.device) -> Stepper:
    """What runs the steps of one group on a device."""
    return GraphStepper(device) if device.type == "cuda" else EagerStepper()


def exact_convolutions() -> AbstractContextManager[None]:
    """Lets GPUs convolve in float32, always in the same order: by default they round inputs to 10 bits (TF32)."""
    return torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True, allow_tf32=False)


class DeviceExamples:
    """Examples kept on a device as they are stored, converted one minibatch at a time.

    Pixels as bytes are a quarter of the memory, and gathering them is faster than gathering floats once there are more
    images than the cache holds.

    Attributes:
        values_ND: uint8 or float32.
        scale: What one step of a byte is worth.
        targets: Labels int64 ``[N]``, or numbers float32 ``[N, K]``; on the CPU.
    """

    def __init__(self, examples: Examples, device: torch.device) -> None:
        self.values_ND = examples.values.flatten(1).to(device)
        self.scale = examples.scale
        self.targets = examples.targets

    def gather(self, rows: Tensor, bytes_out: Tensor, out: Tensor) -> None:
        """Writes examples as inputs.

        Args:
            rows: Which examples, int32 or int64.
            bytes_out: A buffer for their pixels, uint8 ``[rows, D]``; not used where they are float32.
            out: The inputs, float32 ``[rows, D]``.
        """
        if self.values_ND.dtype == torch.uint8:
            torch.index_select(self.values_ND, 0, rows, out=bytes_out)
            torch.mul(bytes_out, self.scale, out=out)
        else:
            out.copy_(self.values_ND.index_select(0, rows))


class Minibatches:
    """The minibatches of an epoch on the device, one after the other.

    Attributes:
        step: The step within the epoch, from 0, int64 ``[1]``; whoever does the step advances it.
        inputs: The present minibatch, block by block: float32 ``[G·B, D]``, the caller's buffer.
        targets: Its targets: labels int64 ``[G·B]``, or numbers float32 ``[G·B, K]``.
    """

    def __init__(self, examples: DeviceExamples, inputs: Tensor) -> None:
        device, count = inputs.device, len(inputs)
        self.examples = examples
        self.inputs = inputs
        self.step = torch.zeros(1, dtype=torch.int64, device=device)
        self.targets = examples.targets.new_empty(count, *examples.targets.shape[1:], device=device)
        of_bytes = count if examples.values_ND.dtype == torch.uint8 else 0
        self.bytes = torch.empty(of_bytes, inputs.shape[1], dtype=torch.uint8, device=device)
        # Rows and targets of each step; labels are int32 too, since a large population has gigabytes of them.
        self.rows_SB = torch.empty(0, count, dtype=torch.int32, device=device)
        kind = torch.int32 if self.targets.dtype == torch.int64 else torch.float32
        self.targets_SB = self.targets.new_empty(0, *self.targets.shape, dtype=kind)

    def begin_epoch(self, stepper: Stepper, examples_GSB: np.ndarray, targets_GSB: np.ndarray) -> None:
        """Puts an epoch's minibatches on the device; the number of steps is the same every time."""
        blocks, steps, batch = examples_GSB.shape
        if not len(self.rows_SB):
            self.rows_SB = self.rows_SB.new_empty(steps, blocks * batch)
            self.targets_SB = self.targets_SB.new_empty(steps, *self.targets.shape)
        rows = np.ascontiguousarray(examples_GSB.swapaxes(0, 1), dtype=np.int32)
        of_labels = self.targets.dtype == torch.int64
        targets = np.ascontiguousarray(targets_GSB.swapaxes(0, 1), dtype=np.int32 if of_labels else np.float32)
        stepper.put(self.rows_SB, rows.reshape(self.rows_SB.shape))
        stepper.put(self.targets_SB, targets.reshape(self.targets_SB.shape))
        self.step.zero_()

    def gather(self) -> None:
        """Fills inputs and targets with the present minibatch."""
        self.targets.copy_(self.targets_SB.index_select(0, self.step)[0])
        self.examples.gather(self.rows_SB.index_select(0, self.step)[0], self.bytes, self.inputs)


def members_within(parameters: int, outputs: int, device: torch.device) -> int:
    """How many members to train in one group: as many as the device keeps at hand.

    Args:
        parameters: Parameters of one member.
        outputs: Outputs of one member's layers in one step.
        device: Where.
    """
    limits = (CPU_PARAMETERS, CPU_OUTPUTS) if device.type == "cpu" else (DEVICE_PARAMETERS, DEVICE_OUTPUTS)
    return max(1, min(limits[0] // parameters, limits[1] // outputs))
