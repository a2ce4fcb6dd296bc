"""What encoders are judged by, each metric declared once; free of torch and numpy."""

from __future__ import annotations

from zoo.metric import Metric

PROBE_SCORE = Metric(
    name="probe_score",
    label="probe score",
    direction="max",
    description="Mean, over all that a zoo knows of its networks, of R² (at least 0) or accuracy of a linear readout.",
)
# Without a direction, since not every zoo has both kinds of columns: no study can optimize them.
PROBE_R2 = Metric(
    name="probe_r2",
    label="mean probe R²",
    description="Mean R² (at least 0) of linear readouts over the numbers that a zoo knows of its networks.",
)
PROBE_ACCURACY = Metric(
    name="probe_accuracy",
    label="mean probe accuracy",
    unit="share",
    description="Mean accuracy of linear readouts over the categories that a zoo knows of its networks.",
)
RECONSTRUCTION_R2 = Metric(
    name="reconstruction_r2",
    label="reconstruction R²",
    direction="max",
    description="Share of the weights' variance over networks that the decoder gives back.",
)
ENCODER_METRICS = (PROBE_SCORE, PROBE_R2, PROBE_ACCURACY)
"""Those of every encoder."""
