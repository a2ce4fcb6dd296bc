"""What each reported quantity is called, in which unit it is shown, and what it means.

Tables, axis titles and the report's glossary all read from here, so that a metric has one name everywhere.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from analysis.pages.numbers import NOT_MEASURED, grouped, significant

NOT_REACHED = "not reached"


@dataclass(frozen=True, kw_only=True, slots=True)
class Metric:
    """A measured quantity of a codec.

    Attributes:
        name: Field of ``CodecResult``, spelled the same in tables and on axes.
        unit: Unit as shown.
        meaning: One or two sentences for a reader who has not seen it before.
        factor: What a stored value is multiplied with to be in ``unit``.
        digits: Digits after the point, or significant digits if ``significant``.
        significant: Whether ``digits`` counts significant digits.
    """

    name: str
    unit: str
    meaning: str
    factor: float = 1.0
    digits: int = 3
    significant: bool = True

    @property
    def title(self) -> str:
        """Name and unit, as written on an axis."""
        return f"{self.name} ({self.unit})" if self.unit else self.name

    def format(self, value: float | int | None) -> str:
        """Writes ``value`` in this metric's unit; a dash if it was not measured."""
        if value is None or math.isnan(value):
            return NOT_MEASURED
        scaled = value * self.factor
        return significant(scaled, self.digits) if self.significant else grouped(f"{scaled:z,.{self.digits}f}")


def _share(name: str, meaning: str) -> Metric:
    return Metric(name=name, unit="%", meaning=meaning, factor=100, digits=1, significant=False)


def _points(name: str, meaning: str) -> Metric:
    return Metric(name=name, unit="pp", meaning=meaning, digits=2, significant=False)


def _count(name: str, meaning: str) -> Metric:
    return Metric(name=name, unit="bytes", meaning=meaning, digits=0, significant=False)


_METRICS = (
    Metric(
        name="code_bits_per_weight",
        unit="bits",
        meaning="Bits of the payload divided by the weights in it, for blocks of 64 members. The shared part is"
        " left out, so it is the rate for infinitely many networks. Counted from real bytes.",
    ),
    _count(
        "shared_bytes",
        "What the receiver must hold before the first payload arrives: decoder, codebook, tables, prior.",
    ),
    _share("agreement", "Share of test images for which a network predicts the same class before and after."),
    _share("agreement_p5", "Agreement that 95 % of the members exceed: how bad the bad cases are."),
    _share("agreement_shifted", "Agreement on test images shifted by one pixel, which no codec was fitted to."),
    Metric(
        name="excess_agreement",
        unit="pp",
        factor=100,
        digits=1,
        significant=False,
        meaning="Agreement minus that of the best zero-rate control: what the bits buy beyond one good network.",
    ),
    _points("accuracy_shift_pp", "Mean over members of the absolute change in test accuracy."),
    _points("accuracy_drop_pp", "Mean over members of the signed loss in test accuracy; negative is a gain."),
    _share("accuracy_original", "Mean test accuracy of the original networks."),
    _share("accuracy_reconstructed", "Mean test accuracy of the reconstructed networks."),
    Metric(
        name="accuracy_r2",
        unit="",
        digits=3,
        significant=False,
        meaning="R² about the identity line between original and reconstructed accuracy: 1 if each network keeps"
        " its own accuracy, 0 or less if the codec merely returns networks of average or good accuracy.",
    ),
    Metric(
        name="kl",
        unit="nats",
        meaning="Kullback–Leibler divergence from the original network's class probabilities to the"
        " reconstructed ones, mean over members and test images.",
    ),
    Metric(name="kl_p95", unit="nats", meaning="Its 95th percentile over members."),
    Metric(
        name="code_bits_per_weight_single",
        unit="bits",
        meaning="code_bits_per_weight when every member has a payload of its own (on a fixed sample of members).",
    ),
    Metric(
        name="code_bits_per_weight_all",
        unit="bits",
        meaning="code_bits_per_weight when all measured members share one payload.",
    ),
    _count("payload_bytes", "Size of all payloads, in blocks of 64 members, as they would be sent."),
    Metric(
        name="weight_mse",
        unit="",
        meaning="Mean squared error of the weights. A diagnostic: equal errors can differ twofold in behavior, and it"
        " means nothing for codecs that return an equal function in other weights, as the function-metric codec does.",
    ),
    Metric(
        name="relative_l2",
        unit="",
        meaning="Length of the weight error divided by that of the weights; see weight_mse.",
    ),
    Metric(name="encode_s", unit="s", digits=2, meaning="Time to encode one member, in blocks of 64."),
    Metric(name="decode_s", unit="s", digits=2, meaning="Time to decode one member."),
)
METRICS = {metric.name: metric for metric in _METRICS}

DERIVED = {
    "total_bits_per_weight(N)": "8 · (payload_bytes / M + shared_bytes / N) / P: code plus the shared part,"
    " divided among the N networks that use it. P is the number of weights of a network.",
    "compression_ratio": "32 / total_bits_per_weight: how many times smaller than 32-bit floats.",
    "N*": "Break-even: the number of networks from which a codec with a shared part needs fewer bits in total"
    " than the best codec that has none and reaches the same quality. There is none if no such codec was measured.",
    "rate at a target": "Interpolated between the settings of a classical codec; for autoencoders, which are a codec"
    " each, that of the cheapest one measured that reaches the target, with its own shared_bytes and N*.",
    "zero-rate control": "A codec that sends nothing about the network: it always returns the decoded mean"
    " latent, the mean weights, the best constant member or an untrained network. It shows what a figure is worth.",
    "Pareto front": "The results for which no other has both a lower rate and a higher agreement.",
    "95 % interval": "Paired bootstrap over members and test images, and over seeds where a codec has several.",
}
