"""Networks in lanes that learn from others: what Python sees of ``zoo.training.lanes.teaching``.

Shape letters: M members, P parameters, N examples, B those of a step, C classes, V groups of sixteen, L lanes (16).
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from zoo.architecture import Architecture
from zoo.data.examples import Examples
from zoo.training.lanes.backend import kernel_data, kernel_work, lane_weights, require_kernel, require_range
from zoo.training.lanes.packing import LANES, Lanes
from zoo.training.lanes.program import compiled


class LaneStudents:
    """Members that are to predict given probabilities on examples.

    Args:
        architecture: One for which :func:`zoo.training.lanes.forward_obstacle` is ``None``, without batch norms.
        examples: As bytes.
        wanted_MNC: Probabilities of the classes, float32 on the CPU.
        batch: Examples of a step, at most.

    Raises:
        RuntimeError: The kernel cannot run here.
    """

    def __init__(self, architecture: Architecture, examples: Examples, wanted_MNC: Tensor, batch: int) -> None:
        kernel = self._kernel = require_kernel()
        self._program = compiled(architecture, batch, training=True)
        self._lanes = Lanes(len(wanted_MNC), len(wanted_MNC))
        self._data, self._work = kernel_data(kernel, self._program, examples), kernel_work(kernel, self._program)
        rows_MX = wanted_MNC.flatten(1).numpy()
        wanted_VXL = self._lanes.spread(rows_MX, kernel.aligned_vectors(len(self._lanes), rows_MX.shape[1]))
        self._wanted_VNCL = wanted_VXL.reshape(len(self._lanes), *wanted_MNC.shape[1:], LANES)

    def gradients(self, weights_MP: Tensor, chosen_B: Tensor) -> Tensor:
        """The gradients ``[M, P]`` of each member's mean KL divergence, on the chosen examples."""
        from zoo.training.lanes.teaching import student_gradients

        chosen = np.ascontiguousarray(chosen_B.numpy(), dtype=np.int64)
        require_range("examples", chosen, len(self._data.pixels))  # the kernel checks no bounds
        weights_VPL = lane_weights(self._kernel, self._program, self._lanes, weights_MP)
        gradients_VPL = self._kernel.aligned_vectors(len(self._lanes), weights_VPL.shape[1])
        student_gradients(self._program, self._data, chosen, weights_VPL, self._wanted_VNCL, self._work, gradients_VPL)
        gathered_MP = self._lanes.gather(gradients_VPL, np.empty(tuple(weights_MP.shape), dtype=np.float32))
        gradients_MP = np.empty_like(gathered_MP)
        gradients_MP[:, self._program.order] = gathered_MP
        return torch.from_numpy(gradients_MP)
