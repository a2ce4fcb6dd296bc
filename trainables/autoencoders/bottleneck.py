"""Bottlenecks: what happens to a latent between encoder and decoder, and what it costs.

A latent dimension has a step: the distance of two neighboring symbols once the latent is coded.

Shape letters: B batch, Z latent width.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn

# Entropy of a normal variable of unit variance quantized with step Δ is log2(√(2πe)/Δ) bits for a small Δ.
NORMAL_STEP = math.sqrt(2 * math.pi * math.e)
# A uniform error on (-½, ½) has this standard deviation.
UNIFORM_STD = 1 / math.sqrt(12)
FLOAT16_BITS = 16.0
# With more than this many deviations a step, a dimension is never sent; more would only be noise in training.
LARGEST_STEP = 8.0
SMALLEST_PROBABILITY = 1e-9


class Bottleneck(nn.Module):
    """What all bottlenecks offer; a new one is a subclass and an entry in ``BOTTLENECKS``.

    Attributes:
        outputs: Numbers that the encoder gives for each latent dimension.
    """

    outputs: int = 1

    def __init__(self, latent: int) -> None:
        super().__init__()
        self.latent_width = latent

    def initialize(self, step_Z: Tensor) -> None:
        """Sets the steps at which training starts, for latents of unit variance."""

    def forward(self, encoded: Tensor, noise_BZ: Tensor) -> tuple[Tensor, Tensor]:
        """In training: (latent as the decoder sees it ``[B, Z]``, estimated bits of each row ``[B]``).

        Args:
            encoded: The encoder's output ``[B, outputs · Z]``.
            noise_BZ: Independent uniform numbers in (0, 1).
        """
        raise NotImplementedError

    def latent(self, encoded: Tensor) -> Tensor:
        """The latent to be stored: ``[B, Z]``."""
        return encoded

    def coding_step(self, encoded: Tensor) -> Tensor | None:  # noqa: ARG002
        """The distance of two symbols in each dimension ``[Z]``, or ``None`` where latents stay float16.

        Args:
            encoded: The encoder's output on the training population.
        """
        return None


class Identity(Bottleneck):
    """Nothing: latents are stored as float16."""

    def forward(self, encoded: Tensor, noise_BZ: Tensor) -> tuple[Tensor, Tensor]:
        """See :class:`Bottleneck`."""
        return encoded, encoded.new_full((len(encoded),), FLOAT16_BITS * noise_BZ.shape[1])


class Quantized(Bottleneck):
    """Uniform quantization with learned steps.

    In training the decoder sees rounded latents, straight through for the gradient (of the steps too: Esser et al.,
    "Learned step size quantization", ICLR 2020). The rate is that of latents with additive uniform noise under a
    Laplace prior for each dimension: rounding hides the rate's gradient, and noise is worse than rounding where
    most symbols are zero (Minnen and Singh, "Channel-wise autoregressive entropy models for learned image
    compression", ICIP 2020).
    """

    def __init__(self, latent: int) -> None:
        super().__init__(latent)
        self.log_step_Z = nn.Parameter(torch.zeros(latent))
        self.location_Z = nn.Parameter(torch.zeros(latent))
        # Laplace's b of unit variance.
        self.log_scale_Z = nn.Parameter(torch.full((latent,), -0.5 * math.log(2)))

    def initialize(self, step_Z: Tensor) -> None:
        """See :class:`Bottleneck`."""
        with torch.no_grad():
            self.log_step_Z.copy_(step_Z.log())

    def forward(self, encoded: Tensor, noise_BZ: Tensor) -> tuple[Tensor, Tensor]:
        """See :class:`Bottleneck`."""
        step_Z = self.log_step_Z.exp()
        noisy_BZ = encoded + (noise_BZ - 0.5) * step_Z
        distance_BZ = (noisy_BZ - self.location_Z).abs()
        bits_BZ = laplace_bits(distance_BZ, 0.5 * step_Z, self.log_scale_Z.exp())
        symbols_BZ = encoded / step_Z
        symbols_BZ = symbols_BZ + (torch.round(symbols_BZ) - symbols_BZ).detach()
        return symbols_BZ * step_Z, bits_BZ.sum(1)

    def coding_step(self, encoded: Tensor) -> Tensor:  # noqa: ARG002
        """See :class:`Bottleneck`."""
        return self.log_step_Z.exp()


class Gaussian(Bottleneck):
    """A variational bottleneck (Kingma and Welling 2014): a normal posterior, a normal prior for each dimension.

    The rate is the KL divergence of the two. What is stored is the posterior's mean, quantized with the step whose
    error has the posterior's root mean square deviation over the training population.
    """

    outputs = 2

    log_deviation_Z: Tensor

    def __init__(self, latent: int) -> None:
        super().__init__(latent)
        self.register_buffer("log_deviation_Z", torch.zeros(latent))
        self.location_Z = nn.Parameter(torch.zeros(latent))
        self.log_scale_Z = nn.Parameter(torch.zeros(latent))

    def initialize(self, step_Z: Tensor) -> None:
        """See :class:`Bottleneck`."""
        deviation_Z = step_Z * UNIFORM_STD
        self.log_deviation_Z.copy_(deviation_Z.log())
        with torch.no_grad():
            # The variance of a posterior's draws over all networks of unit variance.
            self.log_scale_Z.copy_(0.5 * torch.log1p(deviation_Z**2))

    def forward(self, encoded: Tensor, noise_BZ: Tensor) -> tuple[Tensor, Tensor]:
        """See :class:`Bottleneck`."""
        mean_BZ, log_deviation_BZ = self._posterior(encoded)
        normal_BZ = math.sqrt(2) * torch.erfinv((2 * noise_BZ - 1).clamp(-1 + 1e-6, 1 - 1e-6))
        ratio_BZ = log_deviation_BZ - self.log_scale_Z
        offset_BZ = (mean_BZ - self.location_Z) * torch.exp(-self.log_scale_Z)
        nats_BZ = 0.5 * ((2 * ratio_BZ).exp() + offset_BZ**2 - 1) - ratio_BZ
        return mean_BZ + log_deviation_BZ.exp() * normal_BZ, nats_BZ.sum(1) / math.log(2)

    def latent(self, encoded: Tensor) -> Tensor:
        """See :class:`Bottleneck`."""
        return self._posterior(encoded)[0]

    def coding_step(self, encoded: Tensor) -> Tensor:
        """See :class:`Bottleneck`."""
        _, log_deviation_BZ = self._posterior(encoded)
        return (2 * log_deviation_BZ).exp().mean(0).sqrt() / UNIFORM_STD

    def _posterior(self, encoded: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and logarithm of the standard deviation; the encoder says by how much it leaves the initial one."""
        mean_BZ, change_BZ = encoded.chunk(2, dim=1)
        return mean_BZ, self.log_deviation_Z + 3 * torch.tanh(change_BZ / 3)


BOTTLENECKS: dict[str, Callable[[int], Bottleneck]] = {
    "identity": Identity,
    "quantized": Quantized,
    "gaussian": Gaussian,
}


def laplace_bits(distance: Tensor, half_step: Tensor, scale: Tensor) -> Tensor:
    """-log2 of the probability that a Laplace variable falls within half a step of a place.

    Args:
        distance: Of the place from the center, 0 or more.
        half_step: Half the step.
        scale: Laplace's b.
    """
    probability = _laplace_cdf(distance + half_step, scale) - _laplace_cdf(distance - half_step, scale)
    # Far out the two are equal to float32, and the exact logarithm is a straight line.
    tail = (half_step - distance) / scale + (0.5 * -torch.expm1(-2 * half_step / scale)).log()
    near = probability.clamp_min(SMALLEST_PROBABILITY).log()
    return -torch.where(distance > half_step, tail, near) / math.log(2)


def _laplace_cdf(x: Tensor, scale: Tensor) -> Tensor:
    """Distribution function of a Laplace variable around zero."""
    tail = 0.5 * torch.exp(-x.abs() / scale)
    return torch.where(x > 0, 1 - tail, tail)


def initial_steps(deviation_Z: Tensor, bits: float) -> Tensor:
    """Steps, in units of each dimension's deviation, of one quantizer for all dimensions.

    Equal steps before the division are what reverse water-filling asks for; their size gives normally distributed
    latents ``bits`` bits a dimension in the mean.
    """
    common = NORMAL_STEP * deviation_Z.log().mean().exp() / 2**bits
    return (common / deviation_Z).clamp_max(LARGEST_STEP)
