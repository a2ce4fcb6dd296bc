"""Networks as vectors of comparable size: canonical form, view, gain, centring; and the way back.

A coordinate has the place of a weight: views used here give P coordinates in the layout of the weights.

Shape letters: M members, P parameters.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from trainables.autoencoders.config import AutoencoderConfig
from trainables.autoencoders.input_metric import InputBasis, InputMetric
from zoo.architecture import Architecture
from zoo.config import lookup
from zoo.data.examples import Examples
from zoo.population import Population, single_architecture
from zoo.views import View
from zoo.views.align import align
from zoo.views.canonical import canonicalize
from zoo.views.standardize import Standardized
from zoo.views.tokens import Flat

# Views whose inverse is an affine map of one vector, which a decoder can take in.
AFFINE_VIEWS: dict[str, type[View]] = {
    "flat": Flat,
    "standardized": Standardized,
    "input_metric": InputMetric,
    "input_basis": InputBasis,
}
GAIN_STEPS_PER_OCTAVE = 4
SMALLEST_GAIN = 1e-12


@dataclass(frozen=True)
class Coordinates:
    """Weights ⇄ centered coordinates whose size is about 1.

    Attributes:
        view: A fitted view whose inverse is affine.
        order: How :meth:`prepare` orders hidden units: "given", "sorted" or "aligned".
        reference_P: What "aligned" aligns to.
        gain: Whether each network is divided by its own size, not all by the mean size of the training population.
        mean_P: Mean of the training population's coordinates after division by the gain.
        common_gain: The gain of every network where ``gain`` is false, in quarter octaves.
    """

    view: View
    order: str
    reference_P: Tensor
    gain: bool
    mean_P: Tensor
    common_gain: int

    @classmethod
    def fit(cls, config: AutoencoderConfig, training: Population, images: Examples) -> Coordinates:
        """Fits the view and the mean to a training population.

        Args:
            config: Says which view, and whether networks are made canonical and divided by their size.
            training: Networks with finite weights.
            images: Training images, for views that measure weights by their effect.
        """
        first = cls(
            view=lookup(AFFINE_VIEWS, config.view, "affine view").fit(training, images),
            order=config.canonical,
            reference_P=training.weights_MP[0],
            gain=config.gain,
            mean_P=torch.zeros(training.parameters),
            common_gain=0,
        )
        training = first.prepare(training)
        size = first.view.forward(training.weights_MP).square().mean().sqrt()
        sized = replace(first, common_gain=int(_quarter_octaves(size)))
        coordinates_MP, _ = sized.forward_prepared(training)
        return replace(sized, mean_P=coordinates_MP.mean(0))

    @staticmethod
    def blank_view(name: str, architecture: Architecture) -> View:
        """A view of the right shapes: fitted to two random networks on two random examples."""
        generator = torch.Generator().manual_seed(0)
        population = single_architecture(architecture, torch.randn(2, architecture.parameters, generator=generator))
        values = torch.randint(256, (2, *architecture.input_shape), generator=generator).to(torch.uint8)
        examples = Examples(values if values.ndim == 4 else values.float(), torch.zeros(2, dtype=torch.int64))
        view: View = lookup(AFFINE_VIEWS, name, "affine view").fit(population, examples)
        return view

    @property
    def parameters(self) -> int:
        """P."""
        return len(self.reference_P)

    def prepare(self, population: Population) -> Population:
        """The networks that are encoded: equal functions, hidden units in order.

        Raises:
            ValueError: A weight is not finite.
        """
        finite_M = torch.isfinite(population.weights_MP).all(1)
        if not finite_M.all():
            rows = torch.nonzero(~finite_M).flatten().tolist()
            raise ValueError(
                f"{len(rows)} of {len(population)} networks have weights that are not finite (rows {rows[:5]}…); "
                "leave diverged members out"
            )
        if self.order == "sorted":
            return population.with_weights(canonicalize(population.weights_MP, population.architecture))
        if self.order == "aligned":
            aligned = align(population.weights_MP, population.architecture, self.reference_P)
            return population.with_weights(aligned.weights_MP)
        return population

    def forward(self, population: Population) -> tuple[Tensor, Tensor]:
        """(``coordinates_MP``, gain of each network in quarter octaves ``[M]`` int64)."""
        return self.forward_prepared(self.prepare(population))

    def forward_prepared(self, population: Population) -> tuple[Tensor, Tensor]:
        """The same for networks that went through :meth:`prepare`."""
        coordinates_MP = self.view.forward(population.weights_MP).float()
        gain_M = torch.full((len(population),), self.common_gain)
        if self.gain:
            gain_M = _quarter_octaves(coordinates_MP.square().mean(1).sqrt())
        return coordinates_MP / _factor(gain_M)[:, None] - self.mean_P, gain_M

    def inverse(self, coordinates_MP: Tensor, gain_M: Tensor) -> Tensor:
        """``weights_MP`` (of the canonical networks); differentiable in the coordinates."""
        return self.view.inverse((coordinates_MP + self.mean_P) * _factor(gain_M)[:, None]).float()

    def weights(self, coordinates_MP: Tensor) -> Tensor:
        """The inverse where all networks have the common gain: ``weights_MP``; differentiable in the coordinates."""
        return self.inverse(coordinates_MP, torch.full((len(coordinates_MP),), self.common_gain))

    def linear_inverse(self, rows_KP: Tensor) -> Tensor:
        """The view's inverse without its constant: ``[K, P]`` to ``[K, P]``."""
        return (self.view.inverse(rows_KP) - self.view.inverse(torch.zeros(1, self.parameters))).float()

    def offset(self) -> Tensor:
        """``offset_P``: the weights whose coordinates are zero."""
        return self.view.inverse(torch.zeros(1, self.parameters))[0].float()

    @property
    def architecture(self) -> Architecture:
        """Gives the layout."""
        return self.view.architecture

    def tensors(self) -> dict[str, Tensor]:
        """Everything fitted, for :meth:`from_tensors`."""
        own = {"reference": self.reference_P, "mean": self.mean_P, "common_gain": torch.tensor(self.common_gain)}
        return own | {f"view.{name}": tensor for name, tensor in self.view.state().items()}

    @classmethod
    def from_tensors(
        cls, config: AutoencoderConfig, architecture: Architecture, tensors: Mapping[str, Tensor]
    ) -> Coordinates:
        """The inverse of :meth:`tensors`."""
        state = {name.removeprefix("view."): t for name, t in tensors.items() if name.startswith("view.")}
        return cls(
            view=lookup(AFFINE_VIEWS, config.view, "affine view").from_state(architecture, state),
            order=config.canonical,
            reference_P=tensors["reference"],
            gain=config.gain,
            mean_P=tensors["mean"],
            common_gain=int(tensors["common_gain"]),
        )


def scale_by_gain(weights_MP: Tensor, gain_M: Tensor) -> Tensor:
    """Multiplies each row by its gain, given in quarter octaves."""
    return weights_MP * _factor(gain_M)[:, None]


def _quarter_octaves(size: Tensor) -> Tensor:
    return torch.round(GAIN_STEPS_PER_OCTAVE * torch.log2(size.clamp_min(SMALLEST_GAIN))).long()


def _factor(gain_M: Tensor) -> Tensor:
    return torch.exp2(gain_M.float() / GAIN_STEPS_PER_OCTAVE)
