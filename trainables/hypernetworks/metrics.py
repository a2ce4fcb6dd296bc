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
START_ACCURACY = Metric(
    name="start_accuracy",
    label="accuracy where z starts",
    unit="share",
    direction="max",
    description="Accuracy on held-out examples of tasks that were not trained on, without a step of adaptation: with z "
    "as computed from the task's description, else that of the mean or the nearest of training tasks; the mean over "
    "tasks.",
)
FITTED_ACCURACY = Metric(
    name="fitted_accuracy",
    label="accuracy on training tasks",
    unit="share",
    direction="max",
    description="Accuracy on held-out examples of the tasks that the generator was trained on; the mean over tasks.",
)
TASK_ACCURACY = Metric(
    name="task_accuracy",
    label="accuracy on held-out tasks",
    unit="share",
    direction="max",
    description="Accuracy on held-out examples of held-out tasks, each adapted to its labeled examples; the mean over "
    "tasks.",
)
TRAINABLE_NUMBERS = Metric(
    name="trainable_numbers",
    label="trainable numbers",
    direction="min",
    description="How many numbers of each task are fitted to its labeled examples.",
)
ADAPT_S = Metric(
    name="adapt_s",
    label="time to adapt",
    unit="s",
    direction="min",
    description="Time in which the numbers of one task are fitted, all held-out tasks at once.",
)
SET_ACCURACY = Metric(
    name="set_accuracy",
    label="accuracy on the set",
    unit="share",
    direction="max",
    description="Accuracy of a network on the labeled examples of the very set that it was made for; the mean over "
    "held-out sets.",
)
UNSEEN_ACCURACY = Metric(
    name="unseen_accuracy",
    label="accuracy on other examples",
    unit="share",
    direction="max",
    description="Accuracy of a network on examples that are not in the set that it was made for, of the same task; the "
    "mean over held-out sets.",
)
SET_METRICS = (UNSEEN_ACCURACY, SET_ACCURACY)
"""What networks made for sets of examples are judged by."""
HYPERNETWORK_METRICS = (ADAPTED_ACCURACY, FITTED_ACCURACY, START_ACCURACY)
