"""Held-out tasks: rows of hypernetworks and of what they are compared with, and their page."""

import itertools
from dataclasses import replace

import pytest
import torch

from analysis.analyze import analyze
from analysis.held_out_tasks import adaptation
from analysis.held_out_tasks.adaptation import budgets
from analysis.held_out_tasks.ways import CONSTANT, DESCRIBED, EXAMPLES, LEARNED, OTHERS, UNADAPTED, adapted_weights
from analysis.plan import plan_analysis
from analysis.report.page import render
from analysis.statistics.intervals import Bootstrap
from trainables.fit_data import fit_data
from trainables.hypernetworks.adaptation import adapt, task_accuracies
from trainables.registry import find_trainable
from trainables.study_files import StudyFolder, StudyRecord
from trainables.tasks.task_examples import TaskExamples
from trainables.trainable import run
from zoo.config import to_json
from zoo.generation.build import generate_zoo
from zoo.recipes import RECIPES
from zoo.storage.errors import ZooError
from zoo.storage.store import Store


@pytest.fixture(scope="module")
def zoo(tmp_path_factory):
    recipe = replace(RECIPES["digits-tasks"], members=360, epochs=1, snapshot_epochs=(0, 1))
    return generate_zoo(recipe, Store(tmp_path_factory.mktemp("tasks")))


@pytest.fixture(scope="module")
def study(zoo):
    """One trial with two seeds."""
    return fitted(zoo, "supernet-0123abcd", seeds=2, z=16, steps=60, epochs=5, learning_rate=3e-3)


def fitted(zoo, name, seeds, **settings):
    """A study of one trial."""
    entry, rows = find_trainable("supernet"), []
    folder, data = StudyFolder(zoo.store, name), fit_data(zoo)
    for seed in range(seeds):
        config = entry.configuration({**settings, "seed": seed})
        fit = run(entry.fit(config, data))
        folder.write_artifact(entry, config, fit.artifact(), 0, seed)
        if not seed:
            rows.append({"trial": 0, "state": "complete", **to_json(config), **fit.validate()})
    facts = {"trainables": ["supernet"], "spaces": [], "objectives": ["adapted_accuracy"], "limits": {}}
    folder.export(facts, ("max",), zoo, rows)
    return StudyRecord.open(zoo.store, name)


@pytest.fixture(scope="module")
def analysis(zoo, study):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(adaptation, "STEPS", (5, 40))
        patch.setattr(adaptation, "LABELS", (5, None))
        patch.setattr(adaptation, "SHARED_STEPS", 20)
        return analyze(zoo, study, bootstrap=Bootstrap(replicates=50))


def test_every_way_has_a_row_for_each_budget(analysis):
    found = {(result.name, result.setting.split(", z=")[0]) for result in analysis.results}
    settings = {"5 labels a class, 40 steps", "all labels, 40 steps", "all labels, 5 steps"}
    assert {setting for name, setting in found if name == "supernet"} == settings
    for way in OTHERS:
        assert {setting for name, setting in found if name == way.name} == settings
    assert set(UNADAPTED) <= {name for name, _ in found}


def test_a_row_is_the_accuracy_of_adapted_networks_on_test_examples(analysis, zoo, study):
    row = next(r for r in analysis.results if r.setting.startswith("5 labels") and r.family == "learned")
    dataset = zoo.dataset()
    tasks = analysis.summary["tasks"]
    assert not set(tasks) & set(study.artifact(0, 0).tasks)
    fitted, judged = TaskExamples(tasks, dataset.train, 5), TaskExamples(tasks, dataset.test)
    possible = []
    for begin, rate in itertools.product((LEARNED.begin, *LEARNED.variants), LEARNED.learning_rates):
        of_fits = []
        for seed in range(2):
            made = study.artifact(0, seed)
            weights_TP = adapted_weights(begin, made, fitted, 40, rate, seed)
            of_fits.append(task_accuracies(made.architecture, made.task, weights_TP, judged))
        possible.append(float(torch.stack(of_fits).mean()))
    assert row.value("task_accuracy") in [pytest.approx(value) for value in possible]
    assert len(set(possible)) > len(LEARNED.learning_rates), "a prior changes what is found"
    assert (row.fits, row.members, row.value("trainable_numbers")) == (2, len(tasks), 16)
    assert row.metrics["task_accuracy"].low < row.value("task_accuracy") < row.metrics["task_accuracy"].high


@pytest.mark.parametrize("way", [LEARNED, OTHERS[0]], ids=lambda way: way.name)
def test_all_ways_see_images_moved_as_those_of_the_fit_were(zoo, study, way):
    made, examples = study.artifact(0, 0), TaskExamples(["3-8", "8-3"], zoo.dataset().train)
    made.module.config = replace(made.module.config, shift=1)
    by_hand = way.begin(made, examples, 0)
    adapt(by_hand, made.architecture, made.task, examples.shifted(1), steps=5, learning_rate=0.01, batch=EXAMPLES)
    assert torch.equal(adapted_weights(way.begin, made, examples, 5, 0.01, 0), by_hand.weights())
    made.module.config = replace(made.module.config, shift=0)
    assert not torch.equal(adapted_weights(way.begin, made, examples, 5, 0.01, 0), by_hand.weights())


def test_the_vector_alone_beats_networks_that_have_not_seen_the_task(analysis):
    by_name = {
        result.name: result.value("task_accuracy") for result in analysis.results if "5 labels" not in result.setting
    }
    alone = next(r for r in analysis.results if r.family == "learned" and r.setting.startswith("all labels, 40"))
    assert alone.value("task_accuracy") > max(by_name["mean network"], by_name["shared network"])


def test_vectors_from_descriptions_have_rows_of_their_own(zoo, study):
    folder, entry = StudyFolder(zoo.store, "described-0123abcd"), find_trainable("supernet")
    config = entry.configuration({"z": 16, "steps": 60, "epochs": 5, "learning_rate": 3e-3, "describe": "class-means"})
    fit = run(entry.fit(config, fit_data(zoo)))
    folder.write_artifact(entry, config, fit.artifact(), 0, 0)
    facts = {"trainables": ["supernet"], "spaces": [], "objectives": ["adapted_accuracy"], "limits": {}}
    folder.export(facts, ("max",), zoo, [{"trial": 0, "state": "complete", **to_json(config), **fit.validate()}])
    plan = plan_analysis(zoo, StudyRecord.open(zoo.store, "described-0123abcd"), members=4)
    rows = {row.setting.split(", ")[0]: row for row in plan.rows if row.name == DESCRIBED}
    assert list(rows) == ["5 labels a class", "20 labels a class", "all labels"]
    made, dataset = plan.hypernetworks[0][0], zoo.dataset()
    for labels in (5, None):
        result = rows["all labels" if labels is None else f"{labels} labels a class"].measure()
        z_TZ = made.described(TaskExamples(plan.tasks, dataset.train, labels))
        assert result.value("task_accuracy") == pytest.approx(
            made.accuracy(z_TZ, TaskExamples(plan.tasks, dataset.test))
        )
        assert result.value("trainable_numbers") == 0
    assert DESCRIBED not in {row.name for row in plan_analysis(zoo, study).rows}


def test_the_constant_answer_is_the_commonest_label(analysis, zoo):
    row = next(result for result in analysis.results if result.name == CONSTANT)
    assert 0.45 < row.value("task_accuracy") < 0.6


def test_walks_begin_and_end_at_training_tasks(analysis, zoo, study):
    made, dataset = study.artifact(0, 0), zoo.dataset()
    for walk in analysis.summary["interpolation"]:
        for end, place in (("from", 0), ("to", -1)):
            number = made.tasks.index(walk[end])
            own = made.make(made.trained_vectors[[number]]).weights_MP
            accuracy = task_accuracies(made.architecture, made.task, own, TaskExamples([walk[end]], dataset.test))
            assert walk[f"accuracy_{end}"][place] == pytest.approx(float(accuracy[0]), abs=1e-6)


def test_budgets_that_a_class_has_too_few_examples_for_are_left_out():
    assert (100, 250) in list(budgets(101))
    assert (100, 250) not in list(budgets(100))


def test_the_page_names_every_way(analysis):
    page = render(analysis)
    for way in (*OTHERS, LEARNED):
        assert way.name in page
    assert "tasks-by-labels" in page


def test_a_zoo_without_test_tasks_says_what_it_lacks(tmp_path):
    recipe = RECIPES["digits-tasks"]
    axes = {**recipe.axes, "task": ["0-1", "0-2", "0-3", "0-9"]}  # of training and validation
    recipe = replace(recipe, members=48, epochs=1, snapshot_epochs=(0, 1), axes=axes)
    zoo = generate_zoo(recipe, Store(tmp_path))
    study = fitted(zoo, "lonely-0123abcd", seeds=1, z=4, steps=2, epochs=1)
    with pytest.raises(ZooError, match="no test members: splits go by the classes of tasks, and 4 tasks of other"):
        plan_analysis(zoo, study)


def test_fewer_tasks_can_be_measured(zoo, study):
    plan = plan_analysis(zoo, study, members=2)
    assert len(plan.tasks) == 2
