"""What networks withstand by how they were trained: evaluators for each group of members, with intervals."""

import numpy as np
import pytest

from analysis.by_axis import measured_by
from analysis.evaluators.evaluator import EvaluationData, Subject
from analysis.evaluators.registry import find_evaluator
from analysis.intervals import Bootstrap


def test_each_group_has_the_mean_over_its_members_alone(small_zoo):
    calls = []
    table = measured_by(
        small_zoo, ["optimizer"], ["fgsm-0.1", "weight-noise-0"], bootstrap=Bootstrap(replicates=50),
        progress=lambda *counts: calls.append(counts),
    )  # fmt: skip
    population = small_zoo.population(epochs="last")
    values_M = find_evaluator("fgsm-0.1").run(
        Subject(population), None, EvaluationData(small_zoo.dataset(), small_zoo.dataset().test)
    )["accuracy_fgsm_0_1"]
    optimizers = population.column("optimizer")
    assert sorted(set(optimizers)) == table.optimizer.unique().tolist()
    assert len(table) == 2 * len(set(optimizers))
    for row in table[table.metric == "accuracy_fgsm_0_1"].itertuples():
        chosen = optimizers == row.optimizer
        assert row.members == chosen.sum()
        assert row.estimate == pytest.approx(float(values_M[chosen].double().mean()))
    known = table.dropna()
    assert ((known.low <= known.estimate) & (known.estimate <= known.high)).all()
    assert calls == [(done, len(table)) for done in range(1, len(table) + 1)]


def test_several_columns_are_grouped_by_together(small_zoo):
    table = measured_by(small_zoo, ["activation", "optimizer"], ["weight-noise-0"], bootstrap=Bootstrap(replicates=20))
    population = small_zoo.population(epochs="last")
    pairs = set(zip(population.column("activation"), population.column("optimizer"), strict=True))
    assert list(zip(table.activation, table.optimizer, strict=True)) == sorted(pairs)
    assert table.members.sum() == len(population)
    assert np.isfinite(table.estimate).all()


@pytest.mark.parametrize(
    ("columns", "evaluators", "message"),
    [
        ([], ["fgsm-0.1"], "columns is empty; name at least one"),
        (["adversarial_radius"], ["fgsm-0.1"], "nothing is known of these networks under 'adversarial_radius'"),
        (["optimizer"], ["agreement"], "evaluator 'agreement' compares with originals"),
        (["optimizer"], ["fgsm-2"], "E more than 0, at most 1"),
    ],
)
def test_what_cannot_be_measured(small_zoo, columns, evaluators, message):
    with pytest.raises(ValueError, match=message):
        measured_by(small_zoo, columns, evaluators)
