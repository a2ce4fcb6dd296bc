"""Cards of all kinds of zoos: seeds, diverged, several layouts, tasks, memorisation, imported."""

import itertools
import json
import math
from dataclasses import replace

import pytest
import torch
from card_checks import matches
from published_layouts import tune_config, write_checkpoint_tree

from analysis.card.facts import make_card
from analysis.card.page import render
from analysis.card.usage import citation, regenerate_snippet
from zoo.data.class_tasks import select
from zoo.exchange.importing import open_source, store_source
from zoo.generation.build import generate_zoo
from zoo.recipes import DIGITS_MLP_DIVERSE, Axis, find_recipe
from zoo.storage.store import Store


def test_distances_before_and_after_the_best_permutation(tmp_path):
    """With three hidden units all permutations can be tried."""
    recipe = replace(
        DIGITS_MLP_DIVERSE,
        name="tiny",
        axes={**DIGITS_MLP_DIVERSE.axes, "hidden": (3,), "training_fraction": 1.0},
        members=6,
        epochs=1,
        snapshot_epochs=(0, 1),
        block_members=1,
        shard_members=6,
    )
    zoo = generate_zoo(recipe, Store(tmp_path), members=6)
    facts = make_card(zoo, images=20).layouts[0].distances
    population = zoo.population(epochs="last")
    first, first_bias, second, second_bias = population.architecture.tensors(population.weights_MP.double()).values()

    def flat(member, order):
        parts = (first[member][order], first_bias[member][order], second[member][:, order], second_bias[member])
        return torch.cat([part.flatten() for part in parts])

    def distance(a, b):
        return float((a - b).norm() / ((a.square().sum() + b.square().sum()) / 2).sqrt())

    raw, aligned = [], []
    for a, b in itertools.combinations(range(6), 2):
        orders = [list(order) for order in itertools.permutations(range(3))]
        fixed = flat(a, [0, 1, 2])
        raw.append(distance(fixed, flat(b, [0, 1, 2])))
        aligned.append(min(distance(fixed, flat(b, order)) for order in orders))
    assert facts.pairs == 15
    matches(facts.raw, raw)
    matches(facts.aligned, aligned)


def test_a_zoo_of_seeds_alone_is_not_for_compression(tmp_path):
    recipe = replace(
        find_recipe("digits-mlp-seeds"),
        members=8,
        epochs=10,
        snapshot_epochs=(10,),
        axes={"hidden": (16,), "learning_rate": 1e-2},
        block_members=2,
        shard_members=8,
    )
    card = make_card(generate_zoo(recipe, Store(tmp_path), members=8), images=200)
    verdicts = {use.purpose: use for use in card.uses}
    assert verdicts["Claims about weight compression"].verdict == "not suited"
    assert "not diverse enough" in verdicts["Claims about weight compression"].reason
    assert verdicts["Predicting hyper-parameters from weights"].reason == "Members differ in their seeds alone."
    assert [entry.snapshots for entry in card.behavior.agreement] == ["last"]


def test_diverged_snapshots_are_counted_and_left_out(tmp_path):
    recipe = replace(
        DIGITS_MLP_DIVERSE,
        name="wild",
        members=16,
        epochs=2,
        snapshot_epochs=(0, 1, 2),
        axes={
            **DIGITS_MLP_DIVERSE.axes,
            "optimizer": "sgd",
            "activation": "relu",
            "learning_rate": Axis(range=(0.1, 1e8)),
        },
        block_members=1,
        shard_members=16,
    )
    zoo = generate_zoo(recipe, Store(tmp_path), members=16)
    frame = zoo.members
    assert frame["diverged"].any()
    card = make_card(zoo, images=20)
    assert sum(facts.diverged for facts in card.epochs) == frame["diverged"].sum()
    kept = frame[(frame["epoch"] == 2) & ~frame["diverged"]]
    assert card.behavior.members == card.final.members == len(kept)
    assert any("have diverged" in limit for limit in card.limits)
    json.dumps(card.to_json(), allow_nan=False)


def test_several_layouts_have_a_section_each(tmp_path):
    recipe = replace(
        find_recipe("digits-mlp-mixed"), epochs=1, snapshot_epochs=(0, 1), block_members=1, shard_members=4
    )
    zoo = generate_zoo(recipe, Store(tmp_path), members=24)
    card = make_card(zoo, images=50)
    assert len(card.layouts) == len(zoo.layouts) > 1
    assert sum(layout.members for layout in card.layouts) == 24
    members = [layout.members for layout in card.layouts]
    assert members == sorted(members, reverse=True)
    assert {layout.parameters for layout in card.layouts} == set(zoo.parameter_counts)
    for layout in card.layouts:
        assert sum(math.prod(facts.shape) for facts in layout.tensors) in (layout.parameters, 0)
    assert card.behavior.members == 24
    assert card.behavior.agreement[0].pairs == 24 * 23 // 2
    (named,) = [entry for entry in card.varying if entry.name == "architecture"]
    assert {level.value: level.members for level in named.levels} == {
        layout.label: layout.members for layout in card.layouts
    }


def test_tasks_are_compared_within_themselves(tmp_path):
    recipe = replace(find_recipe("digits-tasks"), epochs=2, snapshot_epochs=(0, 2), shard_members=8, block_members=2)
    zoo = generate_zoo(recipe, Store(tmp_path), members=24)
    frame = zoo.members
    last = frame[frame["epoch"] == 2]
    card = make_card(zoo)
    assert {facts.task: facts.members for facts in card.tasks} == last["task"].value_counts().to_dict()
    for facts in card.tasks:
        matches(facts.test_accuracy, last[last["task"] == facts.task]["test_accuracy"].to_numpy())
    assert any(use.reason == "Members differ in their seeds and tasks alone." for use in card.uses)
    (agreement,) = card.behavior.agreement
    assert agreement.pairs == sum(n * (n - 1) // 2 for n in last["task"].value_counts())
    assert agreement.matrix == ()
    matches(agreement.accuracy, last["test_accuracy"].to_numpy())
    by_label = {facts.label: facts.members for facts in card.behavior.classes}
    assert by_label[3] == sum("3" in task.split("-") for task in last["task"])
    guesses = {}
    for task in last["task"].unique():
        labels = select(task, zoo.dataset().test).targets.numpy()
        share = max((labels == 0).mean(), (labels == 1).mean())
        guesses[task] = share + 2 * math.sqrt(share * (1 - share) / len(labels))
    assert len(set(guesses.values())) > 1
    assert card.final.chance_accuracy == pytest.approx(max(guesses.values()))
    assert card.final.chance_share == pytest.approx((last["test_accuracy"] <= last["task"].map(guesses)).mean())


def test_memorised_accuracy_stands_beside_held_out(tmp_path):
    recipe = replace(
        DIGITS_MLP_DIVERSE,
        name="memorise",
        axes={
            **DIGITS_MLP_DIVERSE.axes,
            "training_fraction": 1.0,
            "subset_seed": 0,
            "subset_size": 20,
            "subset_index": list(range(12)),
        },
        batch_size=20,
        members=12,
        epochs=40,
        snapshot_epochs=(0, 40),
        block_members=1,
        shard_members=12,
    )
    zoo = generate_zoo(recipe, Store(tmp_path), members=12)
    last = zoo.members.groupby("member").tail(1)
    facts = make_card(zoo, images=50).memorisation
    assert (facts.members, facts.sizes, facts.subsets) == (12, (20,), 12)
    matches(facts.memorised, last["train_accuracy"].to_numpy())
    matches(facts.held_out, last["test_accuracy"].to_numpy())
    assert facts.complete == pytest.approx((last["train_accuracy"] >= 0.99).mean())


def test_imported_zoos_say_what_their_source_says(tmp_path):
    root = tmp_path / "tune_zoo_mnist"
    configs = [tune_config(11), tune_config(12, "relu", 0.5), tune_config(13, "tanh", 0.5), tune_config(14, "relu")]
    write_checkpoint_tree(root, configs, [0, 5])
    zoo = store_source(open_source(root), Store(tmp_path / "store"))
    card = make_card(zoo, images=10)
    assert (card.provenance.kind, card.identity.members) == ("imported", 4)
    assert {field.name: field.value for field in card.provenance.fields}["source_format"]
    assert card.behavior is None
    assert "data set" in card.unmeasured
    assert any("imported" in limit for limit in card.limits)
    varying = {entry.name: entry for entry in card.varying}
    assert {level.value: level.members for level in varying["imported model::nlin"].levels} == {"relu": 2, "tanh": 2}
    last = zoo.members.groupby("member").tail(1)
    matches(card.epochs[-1].metrics["test_accuracy"], last["test_accuracy"].to_numpy())
    population = zoo.population(epochs=[5])
    spec = population.architecture.layout[0]
    matches(card.layouts[0].tensors[0].values, population.weights_MP[:, spec.span].double().flatten().numpy())
    assert "import the same source again" in regenerate_snippet(card)
    assert "imported with zooscale" in citation(card)
    assert "Where it was imported from" in render(card)
    json.dumps(card.to_json(), allow_nan=False)


@pytest.mark.parametrize("architecture", ["cnn", "resnet"])
def test_convolutions_are_described_and_aligned(tmp_path, architecture):
    recipe = replace(
        DIGITS_MLP_DIVERSE,
        name=architecture,
        architecture=architecture,
        axes={**DIGITS_MLP_DIVERSE.axes, "hidden": (4,)},
        members=4,
        epochs=1,
        snapshot_epochs=(0, 1),
        block_members=4,
        shard_members=4,
    )
    zoo = generate_zoo(recipe, Store(tmp_path), members=4)
    card = make_card(zoo, images=20)
    (layout,) = card.layouts
    assert "conv 4 3×3" in layout.label
    spec = {spec.name: spec for spec in zoo.layout}
    assert {facts.name: facts.trainable for facts in layout.tensors} == {n: s.trainable for n, s in spec.items()}
    trained_MP = zoo.population(epochs="last").weights_MP[:, zoo.architectures[0].trainable].double()
    distances = [
        float((a - b).norm() / ((a.square().sum() + b.square().sum()) / 2).sqrt())
        for a, b in itertools.combinations(trained_MP, 2)
    ]
    matches(layout.distances.raw, distances)
    assert layout.distances.aligned.mean < layout.distances.raw.mean
