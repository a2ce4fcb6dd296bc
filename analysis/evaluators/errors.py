"""Where reconstructions go wrong: in which layers, and on which classes.

Shape letters: M members, N examples.
"""

from __future__ import annotations

import torch
from torch import Tensor

from analysis.evaluators.distances import matched
from analysis.evaluators.divergence import run as divergence
from analysis.evaluators.evaluator import EvaluationData, Evaluator, Measure, Subject, Values, required
from trainables import metrics
from zoo.architecture import Architecture
from zoo.metric import Metric

LAYER_ERROR = Metric(
    name="layer_weight_error",
    label="relative error of a layer's weights",
    direction="min",
    description="Length of the error of a layer's weights over their length, biases among them, with hidden units "
    "matched to the original's.",
)
# Of the examples of one class.
DISAGREEMENT = Metric(
    name="class_disagreement",
    label="disagreement by class",
    unit="share",
    direction="min",
    description="Share of a class's examples for which a network and its reconstruction predict different classes.",
)
DIVERGENCE = Metric(
    name="class_kl", label="KL divergence by class", unit="nats", direction="min", description=metrics.KL.description
)
DROP = Metric(
    name="class_accuracy_drop_pp",
    label="accuracy drop by class",
    unit="pp",
    direction="min",
    description=metrics.ACCURACY_DROP_PP.description,
)
OF_CLASSES = (DISAGREEMENT, DIVERGENCE, DROP)


def run(subject: Subject, original: Subject | None, data: EvaluationData) -> Values:
    """Errors of each layer, of each class where there are classes, and of the worst layer: ``[M]`` each.

    Classes are labels of the data set; where members have class tasks of their own, those of the tasks. What a member
    has no example of is NaN.
    """
    original = required(original)
    of_layers = layer_errors(subject, original)
    values = {f"{LAYER_ERROR.name} {name}": error_M for name, error_M in of_layers.items()}
    values["worst_layer_error"] = torch.stack(list(of_layers.values())).amax(0)
    if not data.dataset.task.has_classes:
        return values
    targets_MN = data.targets(subject.population).expand(len(subject), -1)
    before_MN, after_MN = original.predicted(data), subject.predicted(data)
    found = {
        DISAGREEMENT: (before_MN != after_MN).double(),
        DIVERGENCE: divergence(subject, original, data)["kl"].double(),
        DROP: 100 * ((before_MN == targets_MN).double() - (after_MN == targets_MN).double()),
    }
    for label in torch.unique(targets_MN[targets_MN >= 0]).tolist():
        is_MN = (targets_MN == label).double()
        for metric, each_MN in found.items():
            values[f"{metric.name} {label}"] = (each_MN * is_MN).sum(1) / is_MN.sum(1)
    return values


def layer_errors(subject: Subject, original: Subject) -> dict[str, Tensor]:
    """The relative error of each of :func:`layers` with hidden units matched to the original's, float64 ``[M]``."""
    before_MP = original.population.weights_MP.double()
    error_MP = matched(subject, original).double() - before_MP
    tiny = torch.finfo(torch.float64).tiny
    return {
        name: error_MP[:, places].norm(dim=1) / before_MP[:, places].norm(dim=1).clamp_min(tiny)
        for name, places in layers(original.population.architecture).items()
    }


def layers(architecture: Architecture) -> dict[str, Tensor]:
    """The places of each layer's weights in the vector, by the layer's number and the shape of its first tensor."""
    places: dict[str, list[Tensor]] = {}
    shapes: dict[str, str] = {}
    for spec in architecture.layout:
        if spec.trainable:
            layer = spec.name.rpartition(".")[0]
            shapes.setdefault(layer, "×".join(map(str, spec.shape)))
            places.setdefault(layer, []).append(torch.arange(spec.offset, spec.offset + spec.size))
    return {f"{number} ({shapes[layer]})": torch.cat(parts) for number, (layer, parts) in enumerate(places.items(), 1)}


ERRORS = Evaluator(
    name="errors",
    run=run,
    by_members=True,
    measures=(
        Measure(
            metric=Metric(
                name="worst_layer_error",
                label="relative error of the worst layer",
                direction="min",
                description=f"The worst of a network's layers. {LAYER_ERROR.description}",
            )
        ),
    ),
    series=(LAYER_ERROR.name, *(metric.name for metric in OF_CLASSES)),
    description="Where reconstructions go wrong: errors by layer, and by class.",
)
