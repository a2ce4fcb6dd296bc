"""What holds for every evaluator of the registry, and for one of the user's own, on every kind of network."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter

from analysis.evaluators.evaluator import EvaluationData, Evaluator, Measure, Subject
from analysis.evaluators.inputs import shifted
from analysis.evaluators.registry import DEFAULT, EVALUATORS, chosen_evaluators, find_evaluator
from analysis.measuring.evaluating import Evaluating, measure
from analysis.measuring.evaluation import Evaluation
from analysis.statistics.intervals import Bootstrap
from zoo.architecture import cnn, mlp
from zoo.data import load_dataset
from zoo.data.examples import split_examples
from zoo.data.task import Task
from zoo.metric import Metric
from zoo.population import Member
from zoo.population import population as of_populations
from zoo.population.initialization import initial_weights
from zoo.population.population import single_architecture

MEMBERS = 20
PERFECT = {"max": 1, "min": 0}
# Values have no classes to draw, and class tasks have no labels that all networks share.
WITHOUT_LABELS = {"fisher_monte_carlo", "fisher_empirical"}


def curves():
    """Two values of a point in space: a regression with float inputs."""
    points = np.random.default_rng(0).normal(size=(300, 3)).astype(np.float32)
    values = np.stack([points[:, 0] * points[:, 1], np.sin(points[:, 2])], axis=1)
    return split_examples("curves", points, values, task=Task("squared", 2), validation=50, test=70)


def networks(architecture, seed=0, tasks=("",)):
    members = [
        Member(id=i, seed=seed + i, order_seed=i, init_scale=2.0, task=tasks[i % len(tasks)]) for i in range(MEMBERS)
    ]
    return single_architecture(architecture, initial_weights(architecture, members), members)


CASES = {
    "mlp": lambda: (networks(mlp((1, 8, 8), (6,), 10)), load_dataset("digits")),
    "cnn": lambda: (networks(cnn((1, 8, 8), (3,), 10)), load_dataset("digits")),
    "class tasks": lambda: (networks(mlp((1, 8, 8), (6,), 2), tasks=("3-8", "8-3", "0-1")), load_dataset("digits")),
    "regression": lambda: (networks(mlp((3,), (6,), 2)), curves()),
}


@pytest.fixture(scope="module", params=CASES)
def case(request):
    return CASES[request.param]()


def evaluation_of(names, dataset, **options):
    options = {"inputs": (), "examples": 60, "bootstrap": Bootstrap(replicates=20), **options}
    return Evaluation.of([find_evaluator(name) for name in names], dataset, **options)


def noisy(population, scale=0.05):
    noise_MP = torch.randn(population.weights_MP.shape, generator=torch.Generator().manual_seed(1))
    return Subject(population.with_weights(population.weights_MP + scale * noise_MP))


@pytest.mark.parametrize("name", EVALUATORS)
def test_gives_what_it_declares_or_says_why_not(case, name):
    population, dataset = case
    evaluation = evaluation_of([name], dataset)
    if not evaluation.evaluators:
        assert evaluation.left_out[name]
        return
    evaluator = evaluation.evaluators[0]
    original = Subject(population)
    given = evaluator.values(noisy(population), original, evaluation.test)
    metric_sources = {name for name in given if not evaluator.of_series(name)}
    assert {measure.source for measure in evaluator.measures} - metric_sources <= WITHOUT_LABELS
    metrics, values = measure(evaluation, [noisy(population)], original)
    assert list(metrics) == [each.metric.name for each in evaluator.measures if each.source in metric_sources]
    for measured in metrics.values():
        assert np.isfinite(measured.estimate)
        assert measured.low is None or measured.low <= measured.estimate <= measured.high
    assert {len(of_members) for of_members in values.values()} == {MEMBERS}


@pytest.mark.parametrize("name", EVALUATORS)
def test_blocks_of_members_have_the_same_values_as_all_at_once(case, name, monkeypatch):
    monkeypatch.setattr(of_populations, "BLOCK", 16)
    evaluation = evaluation_of([name], case[1])
    if not evaluation.evaluators:
        return
    evaluator, (population, _) = evaluation.evaluators[0], case
    assert evaluator.by_members, "each evaluator of ours is run on blocks"
    at_once = evaluator.values(noisy(population), Subject(population), evaluation.test)
    evaluating = Evaluating(evaluation, [noisy(population)], Subject(population))
    units = evaluating.units
    assert [unit.block for unit in units] == [0, 1]
    found = {unit: evaluating.values(unit) for unit in reversed(units)}
    together = evaluating.joined(evaluator, evaluation.test, found)
    assert set(together) == set(at_once)
    for each, values in at_once.items():
        expected = values.to(torch.float32).reshape(MEMBERS, -1).numpy()
        np.testing.assert_array_equal(together[each][0], expected, err_msg=each)


def test_an_evaluator_that_needs_all_members_is_given_them(case, monkeypatch):
    monkeypatch.setattr(of_populations, "BLOCK", 16)
    seen = []

    def ranks(subject, original, data):
        seen.append(len(subject))
        return {"rank": subject.population.weights_MP[:, 0].argsort().argsort().float()}

    metric = Metric(name="rank", label="rank", description="Place among all members by the first weight.")
    evaluator = Evaluator(
        name="ranks",
        run=ranks,
        by_members=False,
        measures=(Measure(metric=metric),),
        needs_original=False,
        description="-",
    )
    population, dataset = case
    metrics, values = measure(Evaluation.of([evaluator], dataset, inputs=()), [Subject(population)])
    assert seen == [MEMBERS]
    assert sorted(values["rank"]) == list(range(MEMBERS))
    assert metrics["rank"].estimate == (MEMBERS - 1) / 2


@pytest.mark.parametrize(
    "name", [name for name, evaluator in EVALUATORS.items() if evaluator.needs_original and not evaluator.any_original]
)
def test_a_perfect_reconstruction_has_perfect_scores(case, name):
    population, dataset = case
    metrics, _ = measure(evaluation_of([name], dataset), [Subject(population)], Subject(population))
    for metric_name, measured in metrics.items():
        if metric_name.endswith("_original"):
            assert metrics[metric_name.replace("original", "reconstructed")].estimate == measured.estimate
        elif not metric_name.endswith("_reconstructed"):
            assert measured.estimate == pytest.approx(PERFECT[measured.metric.direction], abs=1e-6)


def test_subjects_without_originals_are_measured_by_what_needs_none(case):
    population, dataset = case
    generated = replace(population, members=(), epochs=())
    evaluation = evaluation_of(EVALUATORS, dataset, paired=False)
    metrics, _ = measure(evaluation, [Subject(generated)])
    assert set(evaluation.left_out) >= {name for name, evaluator in EVALUATORS.items() if evaluator.needs_original}
    assert set(metrics) == {m.metric.name for evaluator in evaluation.evaluators for m in evaluator.measures}
    with pytest.raises(ValueError, match="compares with originals; give one"):
        EVALUATORS["weights"].run(Subject(generated), None, evaluation.test)


def test_fits_are_averaged_and_widen_the_interval(case):
    population, dataset = case
    evaluation, original = evaluation_of(["weights"], dataset), Subject(population)
    near, far = noisy(population, 0.01), noisy(population, 0.1)
    alone = [measure(evaluation, [subject], original)[0]["relative_l2"] for subject in (near, far)]
    together = measure(evaluation, [near, far], original)[0]["relative_l2"]
    assert together.estimate == pytest.approx((alone[0].estimate + alone[1].estimate) / 2)
    assert together.low < alone[1].low
    assert together.high > alone[0].high


@pytest.mark.parametrize(
    "inputs",
    ["translation-1", "translation-3", "noise-0.1", "noise-2", "impulse-0.2", "blur-0.7", "contrast-0.5", "digits"],
)
def test_shifted_inputs_are_other_examples_of_the_same_shape(inputs):
    digits = load_dataset("digits")
    test = digits.test.first(40)
    data = shifted(inputs, digits, test)
    assert data.examples.values.shape == test.values.shape
    assert data.examples.values.dtype == test.values.dtype
    assert torch.equal(shifted(inputs, digits, test).examples.values, data.examples.values), "the same each time"
    assert torch.equal(data.examples.values, test.values) == (inputs == "digits")
    assert data.named("agreement") == "agreement_" + inputs.replace("-", "_").replace(".", "_")


def test_translation_moves_to_the_right_and_repeats_the_edge():
    digits = load_dataset("digits")
    moved = shifted("translation-2", digits, digits.test).examples.values
    assert torch.equal(moved[..., 2:], digits.test.values[..., :-2])
    assert torch.equal(moved[..., 0], digits.test.values[..., 0])


def test_corruptions_are_what_they_say():
    digits = load_dataset("digits")
    values = digits.test.values.float()
    flat = replace(digits.test, values=torch.full_like(digits.test.values, 7))
    assert torch.equal(shifted("blur-1", digits, flat).examples.values, flat.values)
    blurred = shifted("blur-1", digits, digits.test).examples.values.float()
    assert float(blurred.var()) < 0.8 * float(values.var())
    expected = gaussian_filter(values.numpy(), (0, 0, 1, 1), mode="nearest", truncate=3)
    assert np.abs(blurred.numpy() - expected).max() <= 0.51  # whole steps of a pixel
    impulses = shifted("impulse-0.2", digits, digits.test).examples.values
    changed = impulses != digits.test.values
    assert set(impulses[changed].unique().tolist()) == {0, 16}
    moved = 0.1 * (2 - float((values == 0).float().mean()) - float((values == 16).float().mean()))
    assert float(changed.float().mean()) == pytest.approx(moved, abs=0.01)
    plain = shifted("contrast-0", digits, digits.test).examples.values.float()
    assert torch.equal(plain, values.mean((1, 2, 3), keepdim=True).round().expand_as(plain))


def test_noise_of_numbers_has_its_size():
    dataset = curves()
    values = dataset.test.values
    noise = shifted("noise-0.5", dataset, dataset.test).examples.values - values
    assert float(noise.std() / values.std()) == pytest.approx(0.5, rel=0.1)


def test_agreement_falls_with_the_noise_of_the_inputs():
    population, dataset = CASES["mlp"]()
    evaluation = evaluation_of(["agreement"], dataset, inputs=("noise-0.1", "noise-3", "noise-0.1"))
    metrics, _ = measure(evaluation, [noisy(population)], Subject(population))
    assert list(metrics) == ["agreement", "agreement_p5", "agreement_noise_0_1", "agreement_noise_3"]
    assert metrics["agreement_noise_3"].metric.label == "agreement on inputs with noise of 3 SD"
    assert metrics["agreement_noise_0_1"].estimate != metrics["agreement"].estimate


@pytest.mark.parametrize(
    ("inputs", "said"),
    [
        ("translation-0", "1 pixel at least"),
        ("translation-8", "more than 8 pixels wide"),
        ("blur", r"allowed are translation-K, .*, contrast-C and data sets; unknown data set 'blur'"),
        ("blur-0", "more than 0 to blur them by"),
        ("blur-3", "need images of more than 9 pixels"),
        ("impulse-1.5", "allowed are shares more than 0, at most 1"),
        ("tetris", r"have shape \(1, 4, 4\); networks of this zoo take \(1, 8, 8\)"),
    ],
)
def test_inputs_that_cannot_be_say_what_is_allowed(inputs, said):
    digits = load_dataset("digits")
    with pytest.raises(ValueError, match=said):
        shifted(inputs, digits, digits.test)


def test_numbers_cannot_be_translated():
    dataset = curves()
    with pytest.raises(ValueError, match=r"this data set's inputs have shape \(3,\)"):
        shifted("translation-1", dataset, dataset.test)


def confidence(subject, original, data: EvaluationData):
    """How sure networks are, which needs no original."""
    return {"confidence": subject.outputs(data).softmax(-1).amax(-1)}


CONFIDENCE = Evaluator(
    name="confidence",
    run=confidence,
    by_members=True,
    needs_original=False,
    judges="classes",
    measures=(
        Measure(
            metric=Metric(name="confidence", label="confidence", unit="share", description="Largest probability."),
            shifted=True,
        ),
    ),
    description="How sure networks are.",
)


def test_an_evaluator_of_the_users_own_is_measured_like_any_other(case):
    population, dataset = case
    evaluation = Evaluation.of([CONFIDENCE], dataset, inputs=("noise-0.1",), bootstrap=Bootstrap(replicates=20))
    if evaluation.left_out:
        assert dataset.task.loss == "squared"
        return
    metrics, values = measure(evaluation, [Subject(population)])
    assert list(metrics) == ["confidence", "confidence_noise_0_1"]
    assert len(values["confidence_noise_0_1"]) == MEMBERS
    assert metrics["confidence"].estimate == pytest.approx(np.mean(values["confidence"]), abs=1e-5)


def test_an_evaluator_that_gives_something_else_is_told(case):
    population, dataset = case
    wrong = {
        "declares confidence": lambda *_: {"certainty": torch.zeros(MEMBERS)},
        r"expected \(20,\), or \(20, 60\)": lambda *_: {"confidence": torch.zeros(7)},
    }
    for said, run in wrong.items():
        evaluator = replace(CONFIDENCE, run=run, judges="any")
        with pytest.raises(ValueError, match=said):
            measure(Evaluation.of([evaluator], dataset, examples=60, inputs=()), [Subject(population)])


def test_names_are_found_or_listed():
    assert [evaluator.name for evaluator in chosen_evaluators(None)] == list(DEFAULT)
    assert chosen_evaluators(["accuracy", "kl"])[-1].name == "accuracy"
    with pytest.raises(ValueError, match=r"unknown evaluator 'curvature'; known: .*agreement"):
        chosen_evaluators(["curvature"])
    with pytest.raises(ValueError, match="several evaluators give the metric 'confidence'"):
        Evaluation.of([CONFIDENCE, replace(CONFIDENCE, name="other")], load_dataset("digits"))
