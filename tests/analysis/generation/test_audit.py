"""The audit of generated networks: cases whose answers are known, and the analysis of generators with its page."""

import pytest
import torch

from analysis.analyze import analyze
from analysis.generation.audit import CRITERIA, Audit, nearest, overlaps, passed
from analysis.generation.making import CONTROLS, plan_making
from analysis.report.page import render
from analysis.statistics.intervals import Bootstrap
from trainables.fit_data import fit_data
from trainables.registry import find_trainable
from trainables.study_files import StudyFolder, StudyRecord
from trainables.trainable import run
from zoo.config import to_json
from zoo.evaluation import evaluate
from zoo.storage.store import Store


@pytest.fixture(scope="module")
def audit(small_zoo):
    training = next(iter(small_zoo.populations("train", epochs="last")))
    return Audit(training, small_zoo.dataset(), "")


def test_distances_are_to_the_nearest_other():
    one_MP = torch.tensor([[0.0, 0.0], [3.0, 4.0], [0.0, 1.0]], dtype=torch.float64)
    assert nearest(one_MP, one_MP).tolist() == [0, 0, 0]
    torch.testing.assert_close(
        nearest(one_MP, one_MP, same=True), torch.tensor([1.0, 18**0.5, 1.0], dtype=torch.float64)
    )


def test_overlaps_are_intersections_over_unions():
    wrong = torch.tensor([[1, 1, 0, 0], [0, 1, 1, 0], [0, 0, 0, 0]], dtype=torch.float64)
    assert overlaps(wrong, wrong).tolist() == [[1, pytest.approx(1 / 3), 0], [pytest.approx(1 / 3), 1, 0], [0, 0, 1]]


def test_training_networks_themselves_are_found_out(audit):
    found = audit.of_each(audit.training.select([0, 4, 7]))
    torch.testing.assert_close(found["nearest_distance"], torch.zeros(3).double(), atol=1e-9, rtol=0)
    torch.testing.assert_close(found["outside_hull"], torch.zeros(3).double(), atol=1e-6, rtol=0)
    torch.testing.assert_close(found["error_overlap"], torch.ones(3).double())
    accuracy_M = torch.from_numpy(audit.training.column("test_accuracy")[[0, 4, 7]])
    torch.testing.assert_close(found["accuracy"], accuracy_M.double(), atol=1e-6, rtol=0)


def test_means_stay_in_the_affine_hull_and_noise_leaves_it(audit):
    weights_KP = audit.training.weights_MP
    mean = audit.training.select([0]).with_weights(audit._training_weights[:5].mean(0, keepdim=True).float())
    noisy = audit.training.select([0]).with_weights(
        weights_KP[:1] + torch.randn(1, weights_KP.shape[1], generator=torch.Generator().manual_seed(0))
    )
    assert float(audit.of_each(mean)["outside_hull"]) < 0.2
    assert float(audit.of_each(noisy)["outside_hull"]) > 0.8


def test_fine_tuning_makes_untrained_networks_better(audit, small_zoo):
    untrained = next(iter(small_zoo.populations("test", epochs="one"))).select([0, 1])
    untrained = untrained.with_weights(
        0.3 * torch.randn(2, untrained.parameters, generator=torch.Generator().manual_seed(0))
    )
    found = audit.of_all(untrained)
    assert found["accuracy_after_100"] > max(found["accuracy_after_20"], found["best_accuracy"], 0.2)
    same = audit.of_all(audit.training.select([3, 3]))
    assert same["disagreement"] == 0
    assert same["ensemble_accuracy"] == pytest.approx(same["best_accuracy"])


USUAL = {"nearest_distance": 1.0, "outside_hull": 0.8, "error_overlap": 0.5, "disagreement": 0.1, "nearest_made": 1.2}


def test_the_audit_is_passed_by_networks_that_were_trained_apart():
    assert set(passed(USUAL, USUAL)) == set(CRITERIA)
    assert all(passed(USUAL, USUAL).values())
    near = {**USUAL, "nearest_distance": 0.97}  # held-out networks may by chance be a little closer
    assert all(passed(near, near).values())


@pytest.mark.parametrize(
    ("changes", "failed"),
    [
        ({"nearest_distance": 0.3, "outside_hull": 0.1, "error_overlap": 0.9}, {"new", "outside", "own errors"}),
        ({"disagreement": 0.01}, {"varied"}),
        ({"nearest_made": 0.1}, {"apart"}),
        ({"nearest_distance": 4.2}, {"of the kind"}),
    ],
)
def test_what_is_copied_all_alike_or_of_another_kind_fails_the_audit(changes, failed):
    found = passed({**USUAL, **changes}, USUAL)
    assert {name for name, met in found.items() if not met} == failed


def test_one_network_made_again_and_again_is_found_out(audit, small_zoo):
    """It is good and new, outside the hull, with errors of its own; but it is one."""
    held_out = next(iter(small_zoo.populations("test", epochs="last"))).select(range(6))
    one = held_out.with_weights(held_out.weights_MP[:1].expand(6, -1).clone())
    usual, found = (
        {**{k: float(v.mean()) for k, v in audit.of_each(each).items()}, **audit.of_all(each)}
        for each in (held_out, one)
    )
    assert found["nearest_made"] == 0
    verdicts = passed({**found, "nearest_distance": 1.0}, usual)
    assert not verdicts["varied"]
    assert not verdicts["apart"]


def test_a_network_that_is_trained_on_the_task_alone_is_far_and_alone(audit, small_zoo):
    entry = find_trainable("task-alone")
    config = entry.configuration({"noise": 0.1, "steps": 150})
    made = run(entry.fit(config, fit_data(small_zoo))).artifact().generate(6, seed=1)
    found = audit.of_each(made)
    trained = audit.of_each(audit.training.select(range(8)))
    assert found["accuracy"].mean() > trained["accuracy"].mean() - 0.15
    assert found["nearest_made"].max() < found["nearest_distance"].min()


def test_the_loss_is_the_cross_entropy(audit):
    networks = audit.training.select([0, 4])
    wanted = evaluate(networks, audit.test, audit.dataset.task)["loss"]
    torch.testing.assert_close(audit.of_each(networks)["test_loss"], wanted, atol=1e-6, rtol=1e-5)


@pytest.fixture(scope="module")
def study(tmp_path_factory, small_zoo):
    entry, store = find_trainable("component-density"), Store(tmp_path_factory.mktemp("generators"))
    folder, config = StudyFolder(store, "density-0123abcd"), entry.configuration({"components": 8})
    fit = run(entry.fit(config, fit_data(small_zoo)))
    folder.write_artifact(entry, config, fit.artifact(), 0)
    rows = [{"trial": 0, "state": "complete", **to_json(config), **fit.validate()}]
    facts = {"trainables": [entry.name], "spaces": [], "objectives": ["generated_accuracy"], "limits": {}}
    folder.export(facts, ("max",), small_zoo, rows)
    return StudyRecord.open(store, "density-0123abcd")


def test_generators_are_measured_beside_trained_networks_and_controls(small_zoo, study):
    analysis = analyze(small_zoo, study, members=8, bootstrap=Bootstrap(replicates=20))
    assert set(CONTROLS) | {"component-density"} == {result.name for result in analysis.results}
    trained, copies = (
        next(result for result in analysis.results if result.name == name)
        for name in ("held-out networks", "noisy-copies")
    )
    assert copies.value("nearest_distance") < trained.value("nearest_distance")
    page = render(analysis)
    assert "without a step of training" in page
    assert "Two of them predict different classes for" in page
    assert {"noise=0.1", "networks=3"} <= {result.setting for result in analysis.results}
    assert "accuracy-by-nearest-distance" in page


def test_what_cannot_be_judged_is_refused(small_zoo, study):
    with pytest.raises(ValueError, match="members is 1; generators are judged by 2 networks or more"):
        plan_making(small_zoo, study=study, members=1, bootstrap=Bootstrap())


def test_generated_networks_have_decision_boundaries_beside_trained_ones(small_zoo, study):
    analysis = analyze(
        small_zoo, study, members=6, evaluators=["boundary-distance"], bootstrap=Bootstrap(replicates=20)
    )
    for result in analysis.results:
        assert result.value("boundary_random") > result.value("boundary_adversarial") > 0
        assert len(result.values["boundary_adversarial"]) == result.members
        assert result.value("nearest_distance") is not None
    page = render(analysis)
    assert "boundary distance, adversarial direction" in page
    assert 'data-figure="plane-0-0"' in page
    assert 'data-figure="plane-1-1"' in page
    assert "--evaluators boundary-distance" in page
    without = render(analyze(small_zoo, study, members=6, bootstrap=Bootstrap(replicates=20)))
    assert "decision boundaries were not measured (analyze --evaluators boundary-distance)" in without


def test_generated_networks_are_not_compared_with_originals(small_zoo, study):
    with pytest.raises(ValueError, match="evaluator 'boundaries' compares with originals, which generated networks"):
        plan_making(small_zoo, study=study, members=6, bootstrap=Bootstrap(), evaluators=["boundaries"])
