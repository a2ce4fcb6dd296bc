"""The function-metric codec's configuration; free of torch, so that search spaces and ``--help`` load fast."""

from __future__ import annotations

from dataclasses import dataclass

from zoo.config import require


@dataclass(frozen=True, kw_only=True, slots=True)
class FunctionMetricConfig:
    """How the function-metric codec is fitted and how it rounds; the keys of a trial.

    Attributes:
        step: Step of the quantizer, as a share of a network's own spread of outputs.
        bit_price: Distortion that a bit is worth, in squared steps; 0 rounds to the nearest. At high rates uniform
            rounding trades at ln(2)/6 = 0.116; what is saved on early layers is partly spent again on later ones.
        kept_deviation: A coefficient of the first layer is kept if its standard deviation, over the training members'
            neurons, is more than this share of the step: below it would nearly always be zero.
        damping: Share of the mean diagonal added to a Gram matrix before errors are fed back through its inverse.
        refit_ridge: Ridge of a layer's refit to what the decoded layers before it give, towards zero: the mean square
            of its inputs is multiplied by this over the square of a typical weight in steps (at least 1). Rounding
            has a mean square of 1/12.
        prediction_ridge: Ridge of the prediction of the last layer's columns, beside the mean square of the symbols.
        rounds: How often symbols are chosen anew by what they cost: costs come from the symbols chosen before. So often
            training members are distilled too, at least once.
        distill_steps: Steps in which rounded networks are trained to do what the originals do, when networks are
            encoded; 0 leaves symbols as they were rounded. A thousand steps take small CNNs about a second of CPU each.
        distill_price: What a bit is worth there, for each symbol: this share of the distance from their originals that
            rounding alone leaves training members on average. Networks that rounding changes more get more bits.
        distill_images: Training examples for that, without their labels.
        images: Training examples on which networks are measured.
        training_members: Training members that the statistics are taken from, at most.
    """

    step: float = 0.04
    bit_price: float = 0.08
    kept_deviation: float = 0.25
    damping: float = 0.01
    refit_ridge: float = 0.01
    prediction_ridge: float = 1e-3
    rounds: int = 2
    distill_steps: int = 0
    distill_price: float = 6.0
    distill_images: int = 8192
    images: int = 512
    training_members: int = 1024

    def __post_init__(self) -> None:
        require(0 < self.step <= 10, self, "step", "more than 0, at most 10")
        for name in ("bit_price", "kept_deviation"):
            require(0 <= getattr(self, name) <= 10, self, name, "0 to 10")
        require(0 <= self.distill_price <= 1000, self, "distill_price", "0 to 1000")
        for name in ("damping", "refit_ridge", "prediction_ridge"):
            require(0 < getattr(self, name) <= 1, self, name, "more than 0, at most 1")
        for name in ("rounds", "distill_steps"):
            require(
                type(getattr(self, name)) is int and getattr(self, name) >= 0, self, name, "a whole number, 0 or more"
            )
        for name in ("images", "distill_images", "training_members"):
            require(type(getattr(self, name)) is int and getattr(self, name) > 0, self, name, "a whole number above 0")
