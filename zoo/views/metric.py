"""What measures weights by what they do: roots of second moments, and the directions of logits that count.

A neuron's row w (incoming weights and bias) acts through w·x. With the second moment M = E[x xᵀ] of its inputs
(1 appended for the bias), E[(w·x - w'·x)²] = |(w - w')·F|² for any F with F·Fᵀ = M; multiplied by the rms s of
the logits' dependence on the neuron (``zoo.views.sensitivity``), that is the squared error of the logits, to first
order and with the activation's slope taken as 1.

Shape letters: M members, L layers, H neurons of a layer, D inputs of a layer with the bias, C classes.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

# Directions that hardly occur in the inputs keep this share of the mean squared input.
MOMENT_FLOOR = 1e-4


def class_rotation(classes: int) -> Tensor:
    """An orthonormal ``[C, C]`` matrix whose first row is the mean over classes (Helmert, 1876)."""
    rotation_CC = torch.zeros(classes, classes, dtype=torch.float64)
    rotation_CC[0] = 1 / math.sqrt(classes)
    for k in range(1, classes):
        rotation_CC[k, :k] = 1 / math.sqrt(k * (k + 1))
        rotation_CC[k, k] = -k / math.sqrt(k * (k + 1))
    return rotation_CC


@dataclass(frozen=True)
class Root:
    """A factor F of a second moment, F·Fᵀ = M: ``basis · diag(scale)``, times ``basisᵀ`` where symmetric.

    Attributes:
        basis_DD: Orthonormal eigenvectors as columns, largest first.
        scale_D: Square roots of the eigenvalues, floored.
        symmetric: The symmetric root commutes with permutations of units, which hidden layers need. The other
            loses less to rounding and leaves the coordinates in order of importance.
    """

    basis_DD: Tensor
    scale_D: Tensor
    symmetric: bool

    @classmethod
    def of(cls, moment_DD: Tensor, *, symmetric: bool, floor: float = MOMENT_FLOOR) -> Root:
        """The root of a second moment; inputs that never occur become coordinates of their own, the last ones.

        ``floor`` is the share of the mean squared input that directions keep which hardly occur.
        """
        diagonal_D = moment_DD.diagonal()
        live = torch.nonzero(diagonal_D > 0).flatten()
        dead = torch.nonzero(diagonal_D <= 0).flatten()
        values, vectors = torch.linalg.eigh(moment_DD[live][:, live])
        least = floor * diagonal_D[live].mean() if len(live) else torch.ones(1, dtype=torch.float64)
        basis_DD = torch.zeros_like(moment_DD)
        basis_DD[live.unsqueeze(1), torch.arange(len(live))] = vectors.flip(1)
        basis_DD[dead, len(live) + torch.arange(len(dead))] = 1
        eigenvalues_D = torch.cat([values.flip(0).clamp_min(0), torch.zeros(len(dead), dtype=torch.float64)])
        return cls(basis_DD, (eigenvalues_D + least).sqrt(), symmetric)

    @property
    def matrix(self) -> Tensor:
        """F itself, ``[D, D]``."""
        return self.apply(torch.eye(len(self.scale_D), dtype=torch.float64))

    def apply(self, rows_MHD: Tensor) -> Tensor:
        """``rows · F``."""
        scaled = rows_MHD @ self.basis_DD * self.scale_D
        return scaled @ self.basis_DD.T if self.symmetric else scaled

    def undo(self, coordinates_MHD: Tensor) -> Tensor:
        """The inverse of :meth:`apply`."""
        rotated = coordinates_MHD @ self.basis_DD if self.symmetric else coordinates_MHD
        return rotated / self.scale_D @ self.basis_DD.T
