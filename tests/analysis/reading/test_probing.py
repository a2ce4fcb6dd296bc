"""What embeddings tell, measured on test members: against readouts fitted by hand."""

import dataclasses
from types import SimpleNamespace

import numpy as np
import pytest
from encoder_study import write_encoders

from analysis.analyze import analyze
from analysis.plan import plan_analysis
from analysis.reading.held_out import PREDICTED, TRUE
from analysis.reading.members import ZooMembers
from analysis.reading.probing import Embedded
from analysis.reading.scopes import EVERY, scopes_of, with_untrained
from analysis.report.page import render
from analysis.statistics.groups import chosen_members
from analysis.statistics.intervals import Bootstrap
from trainables.readouts.columns import targets_of
from trainables.readouts.readout import Readouts
from trainables.readouts.scores import r2
from zoo.generation.build import generate_zoo
from zoo.storage.errors import ZooError
from zoo.storage.store import Store
from zoo.views import without_dead_inputs

NAMES = ("weight-statistics", "weights")


@pytest.fixture(scope="module")
def study(tmp_path_factory, small_zoo):
    """The first encoder has a second seed."""
    return write_encoders(Store(tmp_path_factory.mktemp("encoders")), small_zoo, dict(zip(NAMES, (2, 1), strict=True)))


@pytest.fixture(scope="module")
def analysis(small_zoo, study):
    return analyze(small_zoo, study, bootstrap=Bootstrap(replicates=20))


def row_of(analysis, name, setting):
    found = [r for r in analysis.results if r.name == name and r.setting.startswith(setting)]
    assert len(found) == 1
    return found[0]


@pytest.mark.parametrize(("scope", "epochs"), [("last snapshots", "last"), ("all snapshots", None)])
@pytest.mark.parametrize("name", NAMES)
def test_a_row_is_a_readout_of_embeddings_of_test_members(analysis, small_zoo, study, name, scope, epochs):
    encoder = study.artifact(NAMES.index(name), 0)
    parts = [small_zoo.population(split, epochs=epochs) for split in ("train", "validation", "test")]
    train = small_zoo.dataset().train

    parts = [without_dead_inputs(population, train) for population in parts]
    features = [encoder.embed(population).astype(np.float64) for population in parts]
    targets = [targets_of([population], "test_accuracy") for population in parts]
    predicted_M = Readouts(*features[:2]).fit("test_accuracy", *targets[:2]).predict(features[2])
    row = row_of(analysis, name, f"test_accuracy, {scope}")
    assert row.values[TRUE] == pytest.approx(targets[2])
    assert row.values[PREDICTED] == pytest.approx(predicted_M)
    assert row.value("r2") == pytest.approx(r2(targets[2], predicted_M))
    assert row.fits == 2 - NAMES.index(name)


def test_untrained_networks_count_where_they_are_asked_for(analysis, small_zoo, study):
    found = analyze(small_zoo, study, bootstrap=Bootstrap(replicates=20), untrained=True)
    epochs, train = small_zoo.recipe.snapshot_epochs, small_zoo.dataset().train
    assert epochs[0] == 0

    parts = [small_zoo.population(split, epochs=epochs) for split in ("train", "validation", "test")]
    parts = [without_dead_inputs(population, train) for population in parts]
    features = [study.artifact(1, 0).embed(population).astype(np.float64) for population in parts]
    targets = [targets_of([population], "epoch") for population in parts]
    predicted_M = Readouts(*features[:2]).fit("epoch", *targets[:2]).predict(features[2])
    row = row_of(found, NAMES[1], f"epoch, {EVERY}")
    assert row.values[TRUE] == pytest.approx(targets[2])
    assert row.values[PREDICTED] == pytest.approx(predicted_M)

    others = [result for result in found.results if result.question.snapshots != EVERY]
    assert [each.row() for each in others] == [each.row() for each in analysis.results]
    assert found.maps.columns["epoch"].min() > 0
    page = " ".join(render(found).split())
    assert f"{len(parts[2]) // len(epochs)} untrained test networks, 0 begin at the very weights" in page
    assert "--untrained" in page


def test_shared_beginnings_are_counted(small_zoo):
    members = chosen_members(small_zoo, None)
    networks = with_untrained(ZooMembers(zoo=small_zoo, members=members))
    assert networks.untrained() == (len(members), 0)
    networks.__dict__["validation"] = networks.test  # as if the same seeds had been drawn there
    assert networks.untrained() == (len(members), len(members))


def test_a_zoo_without_untrained_networks_is_refused_where_they_are_asked_for(small_recipe, tmp_path):
    recipe = dataclasses.replace(small_recipe, snapshot_epochs=small_recipe.snapshot_epochs[1:])
    zoo = generate_zoo(recipe, Store(tmp_path / "zoo"))
    study = write_encoders(Store(tmp_path / "encoders"), zoo, {NAMES[0]: 1})
    with pytest.raises(ZooError, match="has no untrained networks, its first snapshots are of epoch"):
        plan_analysis(zoo, study, untrained=True)


def test_all_columns_in_which_networks_differ_are_told(analysis, small_zoo):
    settings = {tuple(result.setting.split(", ")[:2]) for result in analysis.results}
    told = {scope: {target for target, where in settings if where == scope} for scope in dict(map(reversed, settings))}
    assert told["all snapshots"] - told["last snapshots"] == {"epoch"}
    recipe_fields = {"optimizer", "activation", "learning_rate", "test_accuracy", "generalization_gap"}
    assert recipe_fields <= told["last snapshots"]
    for target in ("seed", "id", "batch_size"):
        assert target not in told["all snapshots"], "what only tells members apart, or is the same for all"
    for scope, targets in told.items():
        for target in targets:
            assert row_of(analysis, "hyper-parameters", f"{target}, {scope}").family == "control"


def test_snapshots_of_a_member_are_one_group(small_zoo, study):
    plan = plan_analysis(small_zoo, study)
    for held_out in plan.scopes:
        of_member: dict[int, set[int]] = {}
        for member, group in zip(held_out.test.column("id"), held_out.groups, strict=True):
            of_member.setdefault(int(member), set()).add(int(group))
        assert all(len(groups) == 1 for groups in of_member.values())
        assert len(held_out.groups) == len(held_out.test)
    last, every = plan.scopes
    assert len(every.test) > len(last.test)


def test_networks_of_one_snapshot_are_told_of_once(small_recipe, tmp_path):
    recipe = dataclasses.replace(small_recipe, name="once", snapshot_epochs=(small_recipe.epochs,))
    zoo = generate_zoo(recipe, Store(tmp_path))
    (scope,) = scopes_of(ZooMembers(zoo=zoo, members=chosen_members(zoo, None)), (), Bootstrap())
    assert scope.snapshots == "last snapshots"


class Looking:
    """An encoder that tells which data set it has inputs of."""

    def __init__(self, dataset="its own"):
        self.dataset = dataset

    def embed(self, population):
        return np.full((len(population), 1), hash(self.dataset) % 1000, np.float32)

    def to_files(self):
        return {}

    def on_inputs_of(self, dataset, networks):
        assert len(networks) == 1
        return Looking(dataset.name)


def test_an_encoder_that_looks_at_inputs_has_those_of_the_networks_data_set(small_zoo):
    own = ZooMembers(zoo=small_zoo, members=chosen_members(small_zoo, None))
    manifest = SimpleNamespace(dataset_sha256="of another")
    zoo = SimpleNamespace(name="other", manifest=manifest)
    other = SimpleNamespace(zoo=zoo, dataset=SimpleNamespace(name="clothes"), training=own.training)
    embedded = Embedded(Looking(), own)
    assert set(embedded.of(own, own.test).ravel()) == {hash("its own") % 1000}
    assert set(embedded.of(other, own.validation).ravel()) == {hash("clothes") % 1000}
    unknown = SimpleNamespace(zoo=zoo, dataset=None, training=own.training)
    assert set(Embedded(Looking(), own).of(unknown, own.test).ravel()) == {hash("its own") % 1000}


def test_the_report_is_rendered(analysis):
    page = render(analysis)
    assert "weight-statistics" in page
    assert "hyper-parameters" in page
    (last, *_) = analysis.summary["means"]
    assert f"Mean over {len(last['columns'])} columns, last snapshots" in page
    assert f"lead of {last['first']}" in page
