"""Groups of members by how they were trained: what each is and withstands, gains, and examples of other groups."""

import dataclasses

import numpy as np
import pytest

from analysis.analyze import analyze, carry_out
from analysis.by_axis import rows_by, surrogates
from analysis.evaluators import evaluator
from analysis.evaluators.evaluator import EvaluationData, Subject
from analysis.evaluators.registry import find_evaluator
from analysis.plan import plan_analysis
from analysis.report.page import render
from analysis.statistics.intervals import Bootstrap
from analysis.tables import results_frame

BOOTSTRAP = Bootstrap(replicates=50)


@pytest.fixture(scope="module")
def found(small_zoo):
    return analyze(
        small_zoo, by=["optimizer"], evaluators=["accuracy", "fgsm-0.1", "transfer-0.1x3x1"], bootstrap=BOOTSTRAP
    )


def test_each_group_has_the_mean_over_its_members_alone(small_zoo, found):
    population = small_zoo.population(epochs="last")
    values_M = find_evaluator("fgsm-0.1").run(
        Subject(population), None, EvaluationData(small_zoo.dataset(), small_zoo.dataset().test)
    )["accuracy_fgsm_0_1"]
    optimizers = population.column("optimizer")
    alone = [result for result in found.results if not result.setting]
    assert [result.name for result in alone] == [f"optimizer={name}" for name in sorted(set(optimizers))]
    for result in alone:
        chosen = optimizers == result.name.removeprefix("optimizer=")
        assert result.members == chosen.sum()
        measured = result.metrics["accuracy_fgsm_0_1"]
        assert measured.estimate == pytest.approx(float(values_M[chosen].double().mean()))
        assert measured.low is None or measured.low <= measured.estimate <= measured.high
        assert {"accuracy", "accuracy_translation_1"} <= set(result.metrics)
    frame = results_frame(found.results)
    assert {"name", "setting", "accuracy", "accuracy_low", "accuracy_fgsm_0_1_gain_pp"} <= set(frame)


def test_gains_are_differences_from_the_first_group(found):
    first, *others = (result for result in found.results if not result.setting)
    assert not any(name.endswith("_gain_pp") for name in first.metrics)
    for result in others:
        for name in ("accuracy", "accuracy_fgsm_0_1"):
            gain = result.metrics[f"{name}_gain_pp"]
            expected = 100 * (np.mean(result.values[name]) - np.mean(first.values[name]))
            assert gain.estimate == pytest.approx(expected)
            assert gain.low is None or gain.low <= gain.estimate <= gain.high


def test_examples_are_made_on_every_group(found):
    names = {result.name for result in found.results}
    pairs = {(result.name, result.setting): result for result in found.results if result.setting}
    assert set(pairs) == {(name, other) for name in names for other in names}
    for (name, _), result in pairs.items():
        own = next(each for each in found.results if (each.name, each.setting) == (name, ""))
        assert result.value("accuracy_transfer_0_1x3x1") <= own.value("accuracy") + 0.05


def test_another_network_of_the_same_order_is_attacked(small_zoo):
    population = small_zoo.population(epochs="last")
    other = surrogates(population, population)
    orders = [member.order_seed for member in population.members]
    for mine, theirs in zip(population.members, other.members, strict=True):
        assert mine.id != theirs.id
        assert mine.order_seed == theirs.order_seed or orders.count(mine.order_seed) == 1
    with pytest.raises(ValueError, match="alone in its group"):
        surrogates(population.select([0]), population.select([0]))


def test_several_columns_are_grouped_by_together(small_zoo):
    plan = plan_analysis(small_zoo, by=["activation", "optimizer"], evaluators=["weight-noise-0"])
    population = small_zoo.population(epochs="last")
    pairs = set(zip(population.column("activation"), population.column("optimizer"), strict=True))
    assert list(plan.groups) == [f"activation={one}, optimizer={other}" for one, other in sorted(pairs)]
    assert sorted(plan.members) == sorted(member.id for member in population.members)
    assert len(plan.rows) == len(pairs)
    few = plan_analysis(small_zoo, by=["activation"], evaluators=["accuracy"], members=10)
    assert len(few.members) == 10


def test_only_who_needs_all_examples_applies_networks_to_them(small_zoo, monkeypatch):
    asked = []
    outputs = evaluator.outputs

    def counted(population, examples):
        asked.extend([len(examples)] * len(population))
        return outputs(population, examples)

    monkeypatch.setattr(evaluator, "outputs", counted)
    names = ["accuracy", "boundary-distance"]
    plan = plan_analysis(small_zoo, by=["optimizer"], evaluators=names, inputs=[], bootstrap=BOOTSTRAP)
    carry_out(plan)
    assert len(plan.rows) == len(names) * len(plan.groups)
    assert asked == [len(small_zoo.dataset().test)] * len(plan.members)


def test_the_page_shows_groups_gains_and_transfer(found):
    page = render(found)
    for text in (
        "Group by group", "accuracy under FGSM, ε = 0.1", "Gains over optimizer=", "Examples made on other networks",
        "--by optimizer", "accuracy on images moved by 1 pixel",
    ):  # fmt: skip
        assert text in page
    without = dataclasses.replace(found, results=[result for result in found.results if not result.setting])
    assert "There is no section “examples made on other networks”" in render(without)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"by": []}, "by is empty; name at least one"),
        ({"by": ["adversarial_radius"]}, "nothing is known of these networks under 'adversarial_radius'"),
        ({"by": ["optimizer"], "evaluators": ["agreement"]}, "evaluator 'agreement' compares with originals"),
        ({"by": ["optimizer"], "evaluators": ["fgsm-2"]}, "E more than 0, at most 1"),
        ({"by": ["optimizer"], "codecs": ["uniform"]}, r"groups of networks does not take codecs \(for codecs\)"),
    ],
)
def test_what_cannot_be_measured(small_zoo, options, message):
    with pytest.raises(ValueError, match=message):
        plan_analysis(small_zoo, **options)


def test_networks_of_which_a_value_is_not_known_are_a_group_of_their_own(small_zoo):
    population = small_zoo.population(epochs="last").select(range(4))
    columns = {
        "learning_rate": np.array([np.nan, 0.5, np.nan, 0.25]),
        "optimizer": np.array(["sgd", "", "sgd", "adam"]),
    }
    partly_known = dataclasses.replace(population, columns=population.columns | columns)
    assert list(rows_by(partly_known, ["learning_rate"]).items()) == [
        ((0.25,), [3]),
        ((0.5,), [1]),
        (("not known",), [0, 2]),
    ]
    assert list(rows_by(partly_known, ["optimizer"])) == [("adam",), ("sgd",), ("not known",)]
    assert list(rows_by(partly_known, ["task"])) == [("",)]  # the whole data set
