"""A phase-change memory cell as a channel: what is read of a level is that level with noise that depends on it.

The deviation is the published fit to measurements of a million cells (Joshi et al., Nature Communications 11, 2473,
2020; the equation "programming noise" of aihwkit's statistical model): a quadratic polynomial of the level, in
microsiemens. The array of Isik et al. (arXiv 2102.07725) is a table of measurements that was not published; theirs
is noisier, which ``noise`` is for. Drift and the noise of single readings are left out: a network is read back right
after it is written.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from zoo.config import require

# σ in microsiemens at level g in [0, 1]: c0 + c1 g + c2 g². Level 1 is a conductance of 25 microsiemens.
DEVIATION = (0.2635, 1.9650, -1.1731)
FULL_SCALE = 25.0


@dataclass(frozen=True, kw_only=True, slots=True)
class CellChannel:
    """Analog cells that hold a level from 0 to 1 each.

    Readings are not cut off at 0 and 1, so that the mean of several cells has the level as its mean.

    Attributes:
        noise: The deviation, in those of the published cell; 0 for cells without noise.
    """

    noise: float = 1.0

    def __post_init__(self) -> None:
        require(self.noise >= 0 and math.isfinite(self.noise), self, "noise", "0 or more")

    def deviation(self, levels: np.ndarray) -> np.ndarray:
        """Standard deviation of what one cell gives for each level."""
        constant, linear, square = DEVIATION
        return self.noise * (constant + linear * levels + square * levels**2) / FULL_SCALE

    def read(self, levels: np.ndarray, cells: int, generator: np.random.Generator) -> np.ndarray:
        """The mean of what so many cells give that hold the same level: its variance is that of one, divided by them.

        Args:
            levels: What was written, 0 to 1.
            cells: How many cells hold each.
            generator: Where the noise comes from.

        Raises:
            ValueError: A level is outside of 0 to 1, or there is no cell.
        """
        if cells < 1:
            raise ValueError(f"cells is {cells}; allowed: 1 or more")
        if levels.size and not (levels.min() >= 0 and levels.max() <= 1):
            raise ValueError(f"levels go from {levels.min():g} to {levels.max():g}; a cell holds 0 to 1")
        # The mean of independent Gaussian readings is Gaussian: one draw does for all of them.
        return levels + self.deviation(levels) / math.sqrt(cells) * generator.standard_normal(levels.shape)

    def information_bits(self, points: int = 400) -> float:
        """Bits that one reading tells of a level drawn evenly from 0 to 1: what no digital use so written exceeds.

        I(X; Y) = h(Y) - E[log2(σ(X) √(2πe))], the density of Y by the trapezoidal rule.

        Args:
            points: Levels of the grid; spaced by less than the deviation.

        Raises:
            ValueError: Without noise there is no bound.
        """
        if self.noise == 0:
            raise ValueError("cells without noise hold any number of bits; give a noise above 0")
        levels = (np.arange(points) + 0.5) / points
        sigma = self.deviation(levels)
        margin = 6 * sigma.max()
        y = np.linspace(-margin, 1 + margin, 4 * points)
        density = (np.exp(-0.5 * ((y[:, None] - levels) / sigma) ** 2) / (sigma * math.sqrt(2 * math.pi))).mean(1)
        surprise = np.where(density > 0, -density * np.log2(np.maximum(density, 1e-300)), 0.0)
        return float(np.trapezoid(surprise, y) - np.log2(sigma * math.sqrt(2 * math.pi * math.e)).mean())
