"""What members do on examples: the one path by which they are applied to data, and what is measured there."""

from zoo.evaluation.applying import apply, outputs
from zoo.evaluation.classes import Classification, agreement_matrix, classification, predictions
from zoo.evaluation.imitation import Imitation
from zoo.evaluation.measures import concordance_matrix, evaluate

__all__ = [
    "Classification",
    "Imitation",
    "agreement_matrix",
    "apply",
    "classification",
    "concordance_matrix",
    "evaluate",
    "outputs",
    "predictions",
]
