"""What networks do on images, next to what the originals do.

Shape letters: M members, P parameters, N images, C classes.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from zoo.data.examples import Examples
from zoo.population import Population

# Logits held at once: 16 MB of float32.
LOGITS_AT_ONCE = 4_000_000


@dataclass(frozen=True)
class Behavior:
    """What some networks do on some images, next to the originals.

    Attributes:
        correct_MN: Whether the prediction is right, uint8.
        agree_MN: Whether it is the original's, uint8.
        kl_MN: Divergence from the original in nats, float32.
        agree_shifted_MN: ``agree_MN`` on the images rolled by one pixel.
    """

    correct_MN: np.ndarray
    agree_MN: np.ndarray
    kl_MN: np.ndarray
    agree_shifted_MN: np.ndarray


class Reference:
    """The originals' behavior on the images, computed once for all codecs; holds 4·M·N·C bytes."""

    def __init__(self, population: Population, images: Examples) -> None:
        if not len(population) or not len(images):
            raise ValueError(f"there are {len(population)} members and {len(images)} images; both need at least one")
        self.population = population
        self.images = images
        self._inputs = images.inputs
        self._shifted = torch.roll(images.inputs, 1, dims=-1)
        self._log_p_MNC = torch.empty(len(population), len(images), population.architecture.classes)
        self._predicted_shifted_MN = torch.empty(len(population), len(images), dtype=torch.int64)
        for rows, part in self._parts():
            logits_MNC = _finite(part.logits(self._inputs), "the original population")
            self._log_p_MNC[rows] = torch.log_softmax(logits_MNC, -1)
            self._predicted_shifted_MN[rows] = part.logits(self._shifted).argmax(-1)
        self._predicted_MN = self._log_p_MNC.argmax(-1)
        self.correct_MN = (self._predicted_MN == images.targets).to(torch.uint8).numpy()

    @torch.no_grad()
    def behavior(self, weights_MP: Tensor, name: str) -> Behavior:
        """Applies other weights, one row for each member, and compares.

        Raises:
            ValueError: An output is not finite; the message calls the weights ``name``.
        """
        shape = (len(self.population), len(self.images))
        correct_MN, agree_MN, shifted_MN = (torch.empty(shape, dtype=torch.uint8) for _ in range(3))
        kl_MN = torch.empty(shape)
        for rows, part in self._parts():
            logits_MNC = _finite(part.logits(self._inputs, weights_MP[rows]), name)
            predicted_MN, log_p_MNC = logits_MNC.argmax(-1), self._log_p_MNC[rows]
            correct_MN[rows] = (predicted_MN == self.images.targets).to(torch.uint8)
            agree_MN[rows] = (predicted_MN == self._predicted_MN[rows]).to(torch.uint8)
            difference_MNC = log_p_MNC - torch.log_softmax(logits_MNC, -1)
            # Rounding can leave the sum a hair below zero.
            kl_MN[rows] = (log_p_MNC.exp() * difference_MNC).sum(-1).clamp_min(0)
            shifted = part.logits(self._shifted, weights_MP[rows]).argmax(-1)
            shifted_MN[rows] = (shifted == self._predicted_shifted_MN[rows]).to(torch.uint8)
        return Behavior(correct_MN.numpy(), agree_MN.numpy(), kl_MN.numpy(), shifted_MN.numpy())

    def _parts(self) -> Iterator[tuple[slice, Population]]:
        """Rows of the population, few enough for their logits to be held at once."""
        size = max(1, LOGITS_AT_ONCE // (len(self.images) * self.population.architecture.classes))
        for start in range(0, len(self.population), size):
            rows = slice(start, min(start + size, len(self.population)))
            yield rows, self.population.select(range(rows.start, rows.stop))


def _finite(logits_MNC: Tensor, name: str) -> Tensor:
    """The logits, all of them finite."""
    if not torch.isfinite(logits_MNC).all():
        members = int((~torch.isfinite(logits_MNC)).flatten(1).any(1).sum())
        raise ValueError(f"{members} networks of {name} have outputs that are not finite; leave them out")
    return logits_MNC
