"""What is measured of codecs and autoencoders, each metric declared once; free of torch.

Objectives and limits of studies, columns of tables, TensorBoard's names and axis labels are made from these.
"""

from __future__ import annotations

from zoo.metric import Metric

CODE_BITS_PER_WEIGHT = Metric(
    name="code_bits_per_weight",
    label="code bits per weight",
    unit="bits/weight",
    direction="min",
    description="Bytes of the payloads of blocks of 64 members, in bits a weight; what is shared is not in it.",
)
SHARED_BYTES = Metric(
    name="shared_bytes",
    label="shared bytes",
    unit="bytes",
    direction="min",
    description="What a receiver must hold before it can read the first payload: decoder, codebook, prior.",
)
AGREEMENT = Metric(
    name="agreement",
    label="agreement",
    unit="share",
    direction="max",
    description="Share of examples for which a network and its reconstruction predict the same class.",
)
ACCURACY_DROP_PP = Metric(
    name="accuracy_drop_pp",
    label="accuracy drop",
    unit="pp",
    direction="min",
    description="Accuracy of the originals less that of the reconstructions, in percentage points; negative is a gain.",
)
ACCURACY_SHIFT_PP = Metric(
    name="accuracy_shift_pp",
    label="mean |Δaccuracy|",
    unit="pp",
    direction="min",
    description="Mean over members of the absolute change of accuracy, in percentage points, better or worse.",
)
KL = Metric(
    name="kl",
    label="KL divergence",
    unit="nats",
    direction="min",
    description="Mean over examples of the Kullback–Leibler divergence from the original's predicted distribution to "
    "the reconstruction's.",
)
OUTPUT_ERROR = Metric(
    name="output_error",
    label="relative output error",
    direction="min",
    description="Root mean square error of a reconstruction's outputs, relative to the standard deviation of the "
    "original's over examples.",
)
OUTPUT_R2 = Metric(
    name="output_r2",
    label="R² of outputs",
    direction="max",
    description="1 less the squared error of a reconstruction's outputs over the variance of the original's outputs.",
)
WEIGHT_MSE = Metric(
    name="weight_mse",
    label="weight MSE",
    direction="min",
    description="Mean squared error of a weight; equal functions in other weights are charged for it here alone.",
)

RATE = (CODE_BITS_PER_WEIGHT, SHARED_BYTES)
FIDELITY_OF_CLASSES = (AGREEMENT, ACCURACY_DROP_PP, ACCURACY_SHIFT_PP, KL)
"""Where outputs are logits of classes."""
FIDELITY_OF_VALUES = (OUTPUT_ERROR, OUTPUT_R2)
"""Where outputs are the predicted values themselves."""
CODEC_METRICS = (*RATE, *FIDELITY_OF_CLASSES, *FIDELITY_OF_VALUES, WEIGHT_MSE)

_OF_TASK = {metric.name: True for metric in FIDELITY_OF_CLASSES} | {metric.name: False for metric in FIDELITY_OF_VALUES}
# Of generated networks, declared with their kind.
_OF_TASK |= {"generated_accuracy": True}


def is_given(name: str, *, softmax: bool) -> bool:
    """Whether a metric is measured where outputs are logits of classes, or where they are not."""
    return _OF_TASK.get(name, softmax) == softmax


def in_place(name: str) -> str:
    """What takes the place of a metric of classes where there are none; empty where nothing does."""
    return {AGREEMENT.name: OUTPUT_ERROR.name, "generated_accuracy": "generated_loss"}.get(name, "")
