"""What predictors are judged by, each metric declared once; free of torch and numpy."""

from __future__ import annotations

from zoo.metric import Metric

R2 = Metric(
    name="r2",
    label="R²",
    direction="max",
    description="Share of the target's variance over members that the predictions explain; 0 for the mean target.",
)
KENDALL_TAU = Metric(
    name="kendall_tau",
    label="Kendall τ_b",
    direction="max",
    description="Rank correlation of predicted and true values: 1 if any two members are in the right order.",
)
KENDALL_TAU_SHARE = Metric(
    name="kendall_tau_share",
    label="τ / τ_max",
    direction="max",
    description="Kendall τ_b divided by the largest one that predictions without ties can reach: members with equal"
    " targets have no right order, which caps it.",
)
# Without a direction, since not every zoo has it: an analysis measures it, and no study can optimize it.
KENDALL_TAU_WITHIN = Metric(
    name="kendall_tau_within",
    label="τ_b within strata",
    description="Kendall τ_b among members of equal hyper-parameters, a mean over their pairs: what weights tell beyond"
    " how members were trained. Left out where few members share their hyper-parameters.",
)
MEAN_ABSOLUTE_ERROR = Metric(
    name="mean_absolute_error",
    label="mean absolute error",
    direction="min",
    description="Mean over members of the distance between prediction and truth, in the target's own unit.",
)
ACCURACY = Metric(
    name="accuracy",
    label="accuracy",
    unit="share",
    direction="max",
    description="Share of members whose category is predicted.",
)
OF_NUMBERS = (R2, KENDALL_TAU, KENDALL_TAU_SHARE, KENDALL_TAU_WITHIN, MEAN_ABSOLUTE_ERROR)
OF_CATEGORIES = (ACCURACY,)
PREDICTOR_METRICS = (*OF_NUMBERS, *OF_CATEGORIES)
