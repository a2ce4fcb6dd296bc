"""Per-layer standardization.

Shape letters: M members, P parameters.
"""

from __future__ import annotations

import torch
from torch import Tensor

from zoo.architecture import Architecture
from zoo.data.examples import Examples
from zoo.population import Population


class Standardized:
    """Every tensor's entries minus their mean, over their standard deviation; both fitted on training members.

    The standard deviation is rounded to a power of two, so that division loses nothing: every float32 weight
    comes back bit for bit if it is 0 or not tiny beside the mean (from 2e-9 of it upwards).

    Attributes:
        architecture: Fixes the layout.
        mean_P: float64, the same for all entries of a tensor.
        scale_P: float64, powers of two, the same for all entries of a tensor.
    """

    def __init__(self, architecture: Architecture, mean_P: Tensor, scale_P: Tensor) -> None:
        self.architecture = architecture
        self.mean_P = mean_P
        self.scale_P = scale_P

    @classmethod
    def fit(cls, training: Population, images: Examples) -> Standardized:  # noqa: ARG003
        """Fits mean and standard deviation on the rows whose weights are all finite.

        Raises:
            ValueError: There are none.
        """
        weights_MP = finite_rows(training.weights_MP).double()
        mean_P, scale_P = torch.zeros(training.parameters).double(), torch.ones(training.parameters).double()
        for spec in training.architecture.layout:
            entries = weights_MP[:, spec.span]
            mean_P[spec.span] = entries.mean().float().double()
            std = float(entries.std(correction=0))
            if std > 0:
                scale_P[spec.span] = 2.0 ** round(float(torch.log2(torch.tensor(std))))
        return cls(training.architecture, mean_P, scale_P)

    @classmethod
    def from_state(cls, architecture: Architecture, state: dict[str, Tensor]) -> Standardized:
        """The inverse of :meth:`state`."""
        sizes = torch.tensor([spec.size for spec in architecture.layout])
        mean_P, scale_P = (torch.repeat_interleave(state[key].double(), sizes) for key in ("mean", "scale"))
        return cls(architecture, mean_P, scale_P)

    def state(self) -> dict[str, Tensor]:
        """Mean and scale of each tensor of the layout, float32."""
        first = [spec.offset for spec in self.architecture.layout]
        return {"mean": self.mean_P[first].float(), "scale": self.scale_P[first].float()}

    def forward(self, weights_MP: Tensor) -> Tensor:
        """Standardized weights ``[M, P]``, float64."""
        return (weights_MP.double() - self.mean_P) / self.scale_P

    def inverse(self, coordinates: Tensor) -> Tensor:
        """The inverse of :meth:`forward`, float64."""
        return coordinates.double() * self.scale_P + self.mean_P


def finite_rows(weights_MP: Tensor) -> Tensor:
    """The rows without NaN or infinity.

    Raises:
        ValueError: There are none.
    """
    finite_MP = weights_MP[torch.isfinite(weights_MP).all(dim=1)]
    if not len(finite_MP):
        raise ValueError(f"none of the {len(weights_MP)} members has finite weights; nothing can be fitted on them")
    return finite_MP
