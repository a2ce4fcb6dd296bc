"""What hypernetworks are judged by, each metric declared once; free of torch."""

from __future__ import annotations

from zoo.metric import Metric

ADAPTED_ACCURACY = Metric(
    name="adapted_accuracy",
    label="accuracy with z alone",
    unit="share",
    direction="max",
    description="Accuracy on held-out examples of tasks that were not trained on, of which z alone was learned; the "
    "mean over tasks.",
)
FITTED_ACCURACY = Metric(
    name="fitted_accuracy",
    label="accuracy on training tasks",
    unit="share",
    direction="max",
    description="Accuracy on held-out examples of the tasks that the generator was trained on; the mean over tasks.",
)
HYPERNETWORK_METRICS = (ADAPTED_ACCURACY, FITTED_ACCURACY)
