"""Zoos of tasks, of memorisers and of several layouts: generated, stored, verified and read back."""

import io
import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
import torch

from cluster.verbs.generate import Generate
from zoo.architecture import mlp
from zoo.data import load_dataset
from zoo.data.class_tasks import select
from zoo.evaluation import classification
from zoo.generation.build import generate_zoo, plan_generation
from zoo.generation.shard_training import train_shard
from zoo.recipes import Axis, find_recipe
from zoo.storage.errors import ZooError
from zoo.storage.rows import split_of
from zoo.storage.shards import encode_shard
from zoo.storage.store import Store
from zoo.storage.verify import verify
from zoo.storage.zoo import Zoo
from zoo.training.grouping import training_examples
from zoo.training.train import train_population

DIGITS = load_dataset("digits")
FEW_TASKS = ("0-1", "1-0", "3-8", "8-3", "2-7", "7-2", "4-9", "9-4", "5-6", "6-5", "1-7", "7-1")
TASKS = replace(
    find_recipe("digits-tasks-reversed"),
    name="few-tasks",
    axes={"hidden": (8,), "task": list(FEW_TASKS), "learning_rate": 3e-3},
    members=48,
    block_members=2,
    shard_members=16,
    epochs=10,
    snapshot_epochs=(0, 10),
)
MEMORISERS = replace(
    find_recipe("mnist-memorise-2"),
    name="memorise",
    dataset="digits",
    members=19,
    axes={**find_recipe("mnist-memorise-2").axes, "subset_size": 50, "subset_index": list(range(19))},
    shard_members=8,
)
MIXED = replace(
    find_recipe("digits-mlp-mixed"),
    name="mixed",
    members=92,
    axes={
        **find_recipe("digits-mlp-mixed").axes,
        "hidden": Axis(choices=(8, 16), lengths=(1, 2), level="member"),
    },
    window_members=64,
    shard_members=4,
    epochs=2,
    snapshot_epochs=(0, 1, 2),
)


@pytest.fixture(scope="module")
def task_zoo(tmp_path_factory):
    return generate_zoo(TASKS, Store(tmp_path_factory.mktemp("tasks")))


@pytest.fixture(scope="module")
def memoriser_zoo(tmp_path_factory):
    return generate_zoo(MEMORISERS, Store(tmp_path_factory.mktemp("memorisers")))


@pytest.fixture(scope="module")
def mixed_zoo(tmp_path_factory):
    return generate_zoo(MIXED, Store(tmp_path_factory.mktemp("mixed")))


# ---- tasks ----


def test_members_learn_their_own_task_and_are_measured_on_it(task_zoo):
    assert verify(task_zoo) == []
    assert task_zoo.architectures[0].classes == 2
    last = task_zoo.members.query("epoch == 10")
    assert set(last.task) == set(FEW_TASKS)
    assert last.train_accuracy.mean() > 0.98
    assert last.test_accuracy.mean() > 0.95
    first = task_zoo.members.query("epoch == 0")
    assert first.test_accuracy.mean() == pytest.approx(0.5, abs=0.15)
    population = task_zoo.population(epochs="last")
    for row in (0, 17, 40):
        one = population.select([row])
        for split in ("train", "validation", "test"):
            found = classification(one, select(one.members[0].task, getattr(DIGITS, split)))
            assert last.iloc[row][f"{split}_accuracy"] == pytest.approx(float(found.accuracy_M[0]))
            assert last.iloc[row][f"{split}_loss"] == pytest.approx(float(found.loss_M[0]), abs=1e-5)


def test_reversed_labels_are_another_task(task_zoo):
    population = task_zoo.population(epochs="last")
    rows = {member.task: row for row, member in enumerate(population.members)}
    there, back = population.select([rows["3-8"]]), population.select([rows["8-3"]])
    images = select("3-8", DIGITS.test)
    assert classification(there, images).accuracy_M[0] > 0.9
    assert classification(back, images).accuracy_M[0] < 0.1


def test_a_task_and_its_reversal_are_in_one_split(task_zoo):
    frame = task_zoo.members
    frame["pair"] = ["-".join(sorted(task.split("-"))) for task in frame.task]
    assert (frame.groupby("pair").split.nunique() == 1).all()
    assert set(frame.split) == {"train", "validation", "test"}
    assert frame.split.tolist() == [split_of(0, 1, task) for task in frame.task]
    test_pairs = {member.task for member in task_zoo.population("test").members}
    assert not test_pairs & {member.task for member in task_zoo.population("train").members}


def test_verify_finds_a_task_in_another_split(task_zoo, tmp_path):
    shutil.copytree(task_zoo.store.uri, tmp_path / "copy")
    zoo = Zoo.open(task_zoo.name, store=Store(tmp_path / "copy"))
    file = Path(zoo.uri, "shards", zoo.manifest.shards[1].name)
    table = pq.read_table(file)
    moved = table.set_column(
        table.schema.get_field_index("split"), table.schema.field("split"), [["test"] * len(table)]
    ).replace_schema_metadata(table.schema.metadata)
    pq.write_table(moved, file, use_dictionary=False)
    assert "wrong split" in {finding.kind for finding in verify(zoo)}


# ---- memorisers ----


def test_memorisers_fit_their_own_images_and_no_others(memoriser_zoo):
    assert verify(memoriser_zoo) == []
    last = memoriser_zoo.members.query("epoch == 60")
    assert last.train_accuracy.mean() > 0.99
    assert last.train_accuracy.min() >= 0.96
    assert last.test_accuracy.mean() < 0.9
    assert last.generalization_gap.mean() == pytest.approx((last.train_accuracy - last.test_accuracy).mean())


def test_subsets_are_disjoint_and_those_that_were_trained_on(memoriser_zoo):
    last = memoriser_zoo.members.query("epoch == 60")
    subsets = [set(subset) for subset in last.subset]
    assert {len(subset) for subset in subsets} == {50}
    assert len(set.union(*subsets)) == 19 * 50
    assert set(memoriser_zoo.members.query("member == 3").subset.map(tuple)) == {tuple(sorted(subsets[3]))}
    population = memoriser_zoo.population(epochs="last")
    for row in (0, 11):
        member = population.members[row]
        assert set(training_examples(member, DIGITS.train)) == subsets[row]
        rows = torch.tensor(sorted(subsets[row]))
        own = DIGITS.train.select(rows)
        accuracy = classification(population.select([row]), own).accuracy_M[0]
        assert last.iloc[row].train_accuracy == pytest.approx(float(accuracy))


def test_more_members_than_there_are_images_for(memoriser_zoo):
    with pytest.raises(
        ValueError, match=r"Recipe\.members is 20; allowed: up to 19, since there are 19 choices of subset_index"
    ):
        plan_generation(MEMORISERS, memoriser_zoo.store, members=20)
    assert len(memoriser_zoo.manifest.shards) == 3, "the last shard is smaller than others"


def test_a_shard_of_memorisers_does_not_depend_on_where_it_ends(memoriser_zoo):
    data = encode_shard(train_shard(MEMORISERS, DIGITS, range(8, 11)))
    rows = pq.read_table(io.BytesIO(data), columns=["weights"])["weights"].to_pylist()
    stored = memoriser_zoo.population(members=[8, 9, 10], epochs=MEMORISERS.snapshot_epochs)
    assert np.array_equal(np.array(rows, dtype=np.float32), stored.weights_MP.numpy())


# ---- several layouts ----


def test_a_mixed_zoo_is_read_layout_by_layout(mixed_zoo):
    assert verify(mixed_zoo) == []
    assert len(mixed_zoo.layouts) > 3
    assert mixed_zoo.parameter_counts == tuple(population.parameters for population in mixed_zoo.populations())
    seen = []
    for layout, population in zip(mixed_zoo.layouts, mixed_zoo.populations(), strict=True):
        assert population.architecture.layout == layout
        assert {architecture.layout for architecture in population.architectures} == {layout}
        chosen = mixed_zoo.population(architecture=population.architecture)
        assert torch.equal(chosen.weights_MP, population.weights_MP)
        seen += [member.id for member in population.members[::2]]
    assert sorted(seen) == list(range(92))
    sizes = {population.parameters: len(population) for population in mixed_zoo.populations("test", epochs="last")}
    assert sum(sizes.values()) == len(mixed_zoo.members.query("split == 'test' and epoch == 2"))


def test_what_is_stored_of_a_mixed_zoo_is_what_was_trained(mixed_zoo):
    # One that fills its shard, one that does not, and the one at the end, of which the zoo has a part.
    shards = list(MIXED.shards(0, 92))
    full, small = (
        next(s for s in shards if (s.end - s.first == MIXED.shard_members) == whole) for whole in (True, False)
    )
    assert shards[-1].end > 92
    for shard in (full, small, shards[-1]):
        architecture = MIXED.member_architecture(shard.first, DIGITS)
        members = [MIXED.member(index) for index in range(shard.first, min(shard.end, 92))]
        stored = mixed_zoo.population(members=[member.id for member in members], epochs="last")
        assert stored.architectures[int(stored.architecture_M[0])] == architecture
        for snapshot in train_population(architecture, members, DIGITS.train, epochs=2, snapshot_epochs=(2,)):
            assert torch.allclose(stored.weights_MP[list(snapshot.rows)], snapshot.weights_MP, atol=1e-6)
        found = classification(stored, DIGITS.test).accuracy_M.numpy()
        frame = mixed_zoo.members.query(f"epoch == 2 and {shard.first} <= member < {shard.end}")
        assert np.allclose(frame.test_accuracy, found)


def test_what_needs_one_layout_says_so(mixed_zoo):
    message = f"zoo {mixed_zoo.name}: there are .* parameter layouts .*and .* more.*populations()"
    for ask in (
        lambda: mixed_zoo.population(),
        lambda: mixed_zoo.layout,
        lambda: mixed_zoo.parameters,
    ):
        with pytest.raises(ZooError, match=message):
            ask()
    first, end = next((shard.first, shard.end) for shard in MIXED.shards(0, 92) if shard.end - shard.first > 1)
    alike = mixed_zoo.population(members=[first, end - 1])
    assert len(alike) == 4, "where what is chosen has one, none needs to be named"
    with pytest.raises(ValueError, match=r"no member of zoo mixed-.* has the layout of that architecture with 800"):
        mixed_zoo.population(architecture=mlp((1, 8, 8), (8, 16), 10, bias=False))


def test_one_member_of_a_mixed_zoo_reads_one_row_group(mixed_zoo, monkeypatch):
    zoo = Zoo.open(mixed_zoo.uri)
    _ = zoo.snapshots
    read = []
    original = zoo._reader._weights
    monkeypatch.setattr(zoo._reader, "_weights", lambda *arguments: read.append(arguments) or original(*arguments))
    zoo.population(members=[42])
    shard = [entry.first <= 42 < entry.end for entry in zoo.manifest.shards].index(True)
    assert read == [(shard, [0])]
    with pytest.raises(ValueError, match=r"rows have \d+ and \d+ parameters"):
        zoo._reader.weights(np.arange(len(zoo.snapshots)))


def test_torch_dataset_of_one_layout(mixed_zoo):
    architecture = mixed_zoo.architectures[2]
    dataset = mixed_zoo.torch_dataset(architecture=architecture)
    population = mixed_zoo.population(architecture=architecture)
    assert len(dataset) == len(population)
    assert torch.equal(dataset[5]["weights"], population.weights_MP[5])
    lengths = {len(item["weights"]) for item in mixed_zoo.torch_dataset(epochs="last").__getitems__(range(92))}
    assert lengths == set(mixed_zoo.parameter_counts)


def test_a_mixed_zoo_that_is_extended_is_the_one_made_at_once(mixed_zoo, tmp_path):
    store = Store(tmp_path)
    end = next(shard.first for shard in MIXED.shards(20, 92) if shard.end - shard.first > 2) + 1
    generate_zoo(MIXED, store, members=end)
    extended = generate_zoo(MIXED, store, members=92)
    assert extended.content_sha256 == mixed_zoo.content_sha256
    assert len(extended.manifest.shards) == len(mixed_zoo.manifest.shards) + 1, "the shard it ended in is in two parts"


def test_any_reader_sees_tasks_and_subsets(task_zoo, memoriser_zoo):
    frame = pd.read_parquet(Path(memoriser_zoo.uri, "shards"))
    assert {len(subset) for subset in frame.subset} == {50}
    frame = pd.read_parquet(Path(task_zoo.uri, "shards"))
    assert set(frame.task) == set(FEW_TASKS)
    assert {len(subset) for subset in frame.subset} == {0}
    metadata = pq.read_schema(Path(task_zoo.uri, "shards", task_zoo.manifest.shards[0].name)).metadata
    assert json.loads(metadata[b"zooscale.recipe"])["axes"]["task"]["choices"] == list(FEW_TASKS)


def test_the_verb_describes_a_zoo_of_several_layouts(mixed_zoo, task_zoo):
    assert task_zoo.parameter_counts == (538,)
    told = Generate(recipe="test_special_zoos:MIXED", store=mixed_zoo.store.uri, members=92).run()
    assert told.parameters == mixed_zoo.parameter_counts
    assert "nothing was missing" in told.text
    low, high = min(mixed_zoo.parameter_counts), max(mixed_zoo.parameter_counts)
    assert f"snapshots of {low:,} to {high:,} (in {len(mixed_zoo.layouts)} layouts) parameters" in told.text
