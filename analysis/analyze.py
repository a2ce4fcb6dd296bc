"""The whole analysis of a zoo: every codec and control, or what studies fitted, on test members and test examples."""

from __future__ import annotations

from typing import Any

from analysis.kept_rows import KeptRows, measure_rows
from analysis.plan import Plan, plan_analysis
from analysis.record import Analysis, Progress
from trainables.study_files import StudyRecord
from zoo.storage.store import Store
from zoo.storage.zoo import Zoo
from zoo.threads import one_thread

__all__ = ["Analysis", "analyze", "carry_out"]


def analyze(
    zoo: Zoo,
    *studies: StudyRecord,
    keep: Store | None = None,
    progress: Progress | None = None,
    **options: Any,
) -> Analysis:
    """Measures codecs, controls and the best trials of studies on held-out members and examples.

    Every codec is fitted on the same training members and training examples and measured on the same test members
    (one snapshot each) and test examples.

    Args:
        zoo: The zoo.
        studies: Studies on this zoo, of one kind; of predictors and encoders several.
        keep: Where rows are kept as they are measured, and looked for before that; nowhere by default.
        progress: Called with rows measured, rows in all, and the name of the next.
        options: What is measured; see :func:`analysis.plan.plan_analysis`.

    Raises:
        ZooError: A study is of another zoo, or a part of the zoo is missing or damaged.
        ValueError: An option is not allowed; the message says what is.
    """
    return carry_out(plan_analysis(zoo, *studies, **options), keep=keep, progress=progress)


@one_thread()
def carry_out(plan: Plan, *, keep: Store | None = None, progress: Progress | None = None) -> Analysis:
    """Measures what was planned, on one core: the products are small, and the same on machines with more."""
    kept = KeptRows(keep, plan.zoo.name)
    results = measure_rows(plan.rows, kept, progress)
    return plan.analysis(results + measure_rows(plan.further(results), kept))
