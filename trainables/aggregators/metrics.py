"""What aggregators are judged by, each metric declared once; free of torch."""

from __future__ import annotations

from zoo.metric import Metric

AGGREGATED_ACCURACY = Metric(
    name="aggregated_accuracy",
    label="accuracy of networks trained by it",
    unit="share",
    direction="max",
    description="Accuracy, on examples with right labels that were not trained on, of networks whose updates it makes "
    "of the gradients of a minibatch's examples; the mean over networks.",
)


def _gain(name: str, label: str, other: str) -> Metric:
    return Metric(
        name=f"gain_over_{name}_pp",
        label=f"gain over {label}",
        unit="pp",
        direction="max",
        description=f"Accuracy of networks trained by it less that of the same networks trained by {other}, with the "
        "same optimizer and on the same minibatches, each at its best learning rate; in percentage points.",
    )


GAIN_OVER_MEAN_PP = _gain("mean", "the mean", "the mean gradient")
GAIN_OVER_TRIMMED_PP = _gain(
    "trimmed", "the trimmed mean", "the mean without the fifth at either end of each coordinate"
)
GAIN_OVER_CLIPPED_PP = _gain("clipped", "the clipped mean", "the mean of gradients cut to the median one's length")
GAIN_OVER_SMALL_LOSSES_PP = _gain(
    "small_losses", "small losses", "the mean over the four fifths of the examples with the smallest losses"
)
GAIN_OVER_ROBUST_LOSS_PP = _gain(
    "robust_loss", "the robust loss", "the gradient of the generalized cross-entropy, which weighs examples by p^0.7"
)
GAINS = {
    "mean": GAIN_OVER_MEAN_PP,
    "trimmed mean": GAIN_OVER_TRIMMED_PP,
    "clipped mean": GAIN_OVER_CLIPPED_PP,
    "small losses": GAIN_OVER_SMALL_LOSSES_PP,
    "robust loss": GAIN_OVER_ROBUST_LOSS_PP,
}
"""By the rule that is compared with."""
TUNED_RATE = Metric(
    name="tuned_rate",
    label="learning rate",
    description="The learning rate that was best on validation networks.",
)
AGGREGATOR_METRICS = (AGGREGATED_ACCURACY, GAIN_OVER_MEAN_PP)
