"""Cards of all kinds of zoos: seeds, diverged, several layouts, tasks, memorization, imported, convolutions."""

import itertools
import json
import math
from dataclasses import replace

import pytest
import torch
from card_checks import matches, row_of
from published_layouts import tune_config, write_checkpoint_tree

from analysis.card.facts import make_card
from analysis.card.page import render
from analysis.card.usage import snippets
from analysis.card.verdicts import uses
from analysis.pages.numbers import counted
from zoo.data.class_tasks import select
from zoo.exchange.importing import open_source, store_source
from zoo.generation.build import generate_zoo
from zoo.recipes import DIGITS_MLP_DIVERSE, Axis, Recipe, find_recipe
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
    found = make_card(zoo, examples=20).distribution("distance", "alignment", 0)
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
    assert len(raw) == 15
    matches(row_of(found, "as stored"), raw)
    matches(row_of(found, "aligned"), aligned)


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
    card = make_card(generate_zoo(recipe, Store(tmp_path), members=8), examples=200)
    uses = card.uses.set_index("purpose")
    assert uses["verdict"]["Claims about weight compression"] == "not suited"
    assert "Not diverse enough" in uses["reason"]["Claims about weight compression"]
    assert (
        "Nothing else is known in which members differ." in uses["reason"]["Predicting hyper-parameters from weights"]
    )
    assert card.distribution("agreement", "snapshots")["value"].tolist() == ["last"]
    page = render(card)
    assert "Scores over epochs: there are snapshots of one epoch only." in page
    assert "Test scores by value: nothing varies but seeds, or no test scores are on record." in page


def use_of(card, purpose):
    """The verdict on a purpose and its reason."""
    return uses(card).set_index("purpose").loc[purpose]


def test_six_members_are_for_nothing_that_is_measured_on_held_out_ones(tmp_path):
    recipe = replace(DIGITS_MLP_DIVERSE, name="tiny", members=6, epochs=4, snapshot_epochs=(0, 1, 2, 4))
    card = make_card(generate_zoo(replace(recipe, block_members=1, shard_members=6), Store(tmp_path)), examples=50)
    assert "suited" not in card.uses["verdict"].tolist()
    held_out = card.groups("test_accuracy", "split").set_index("value")["members"]["test"]
    for purpose in ("Claims about weight compression", "Predicting scores from weights"):
        assert use_of(card, purpose)["verdict"] == "not suited"
        assert f"{counted(held_out, 'member')} held out for testing" in use_of(card, purpose)["reason"]


def test_where_all_have_one_minibatch_order_there_are_no_groups(tmp_path):
    axes = {**DIGITS_MLP_DIVERSE.axes, "order_seed": 7}
    recipe = replace(DIGITS_MLP_DIVERSE, name="one-order", axes=axes, epochs=1, snapshot_epochs=(1,), block_members=1)
    card = make_card(generate_zoo(replace(recipe, shard_members=12), Store(tmp_path), members=12), examples=20)
    assert any("All members have the same minibatch order" in limit for limit in card.limits)
    assert not any("by groups" in limit for limit in card.limits)
    assert "groups" not in use_of(card, "Claims about weight compression")["reason"]


def test_generation_counts_training_members_of_one_layout(tmp_path):
    recipe = replace(find_recipe("digits-mlp-mixed"), epochs=1, snapshot_epochs=(1,), block_members=1, shard_members=4)
    card = make_card(generate_zoo(recipe, Store(tmp_path), members=24), members=8, examples=20)
    assert (card.layouts["training"] <= card.layouts["members"]).all()
    assert card.layouts["training"].sum() == card.groups("test_accuracy", "split").iloc[0]["members"]
    said = f"{counted(card.layouts['training'].max(), 'training member')} of one layout"
    assert said in use_of(card, "Learning to generate networks")["reason"]


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
    card = make_card(zoo, examples=20)
    assert card.epochs["diverged"].sum() == frame["diverged"].sum()
    kept = frame[(frame["epoch"] == 2) & ~frame["diverged"]]
    assert card.about["sample"]["measured"] == card.histogram("test_accuracy")["count"].sum() == len(kept)
    assert any("have diverged" in limit for limit in card.limits)
    json.dumps(card.to_json(), allow_nan=False)
    render(card)


def test_where_all_have_diverged_there_is_a_page(tmp_path):
    recipe = replace(
        DIGITS_MLP_DIVERSE,
        name="lost",
        epochs=1,
        snapshot_epochs=(1,),
        axes={**DIGITS_MLP_DIVERSE.axes, "optimizer": "sgd", "activation": "relu", "learning_rate": 1e30},
        block_members=1,
        shard_members=4,
    )
    zoo = generate_zoo(recipe, Store(tmp_path), members=4)
    assert zoo.members["diverged"].all()
    card = make_card(zoo, examples=20)
    assert card.absent == "all members of the sample have diverged"
    assert use_of(card, "Predicting scores from weights")["verdict"] == "not suited"
    assert "No test scores are on record." in use_of(card, "Predicting scores from weights")["reason"]
    page = render(card)
    assert "Scores of last snapshots: none are on record." in page


def test_several_layouts_have_a_section_each(tmp_path):
    recipe = replace(
        find_recipe("digits-mlp-mixed"), epochs=1, snapshot_epochs=(0, 1), block_members=1, shard_members=4
    )
    zoo = generate_zoo(recipe, Store(tmp_path), members=24)
    card = make_card(zoo, examples=50)
    assert len(card.layouts) == len(zoo.layouts) > 1
    assert card.layouts["members"].sum() == 24
    assert card.layouts["members"].is_monotonic_decreasing
    assert set(card.layouts["parameters"]) == set(zoo.parameter_counts)
    for layout, tensors in card.tensors.groupby("layout"):
        sizes = [math.prod(map(int, shape.split("×"))) for shape in tensors["shape"]]
        assert sum(sizes) == card.layouts["parameters"][layout]
    assert card.about["sample"]["measured"] == 24
    assert card.distribution("agreement", "snapshots")["count"].iloc[0] == 24 * 23 // 2
    levels = card.groups("test_accuracy", "axis architecture").set_index("value")["members"]
    assert levels.to_dict() == card.layouts.set_index("label")["members"].to_dict()
    page = render(card)
    for layout in card.layouts.itertuples():
        assert f'data-figure="entries-{layout.layout}"' in page or layout.layout >= card.about["sample"]["sections"]


def test_tasks_are_compared_within_themselves(tmp_path):
    recipe = replace(find_recipe("digits-tasks"), epochs=2, snapshot_epochs=(0, 2), shard_members=8, block_members=2)
    zoo = generate_zoo(recipe, Store(tmp_path), members=24)
    frame = zoo.members
    last = frame[frame["epoch"] == 2]
    card = make_card(zoo)
    assert card.tasks.set_index("task")["members"].to_dict() == last["task"].value_counts().to_dict()
    for task in card.tasks["task"]:
        found = row_of(card.distribution("test_accuracy", "task"), task)
        matches(found, last[last["task"] == task]["test_accuracy"].to_numpy())
    assert card.uses["reason"].str.contains("Nothing else is known in which members differ.").any()
    (agreement,) = card.distribution("agreement", "snapshots").itertuples()
    assert agreement.count == sum(n * (n - 1) // 2 for n in last["task"].value_counts())
    assert len(card.matrix) == 0
    matches(card.distribution("compared_accuracy", "snapshots"), last["test_accuracy"].to_numpy())
    by_label = card.groups("class_accuracy", "class").set_index("value")["members"]
    assert by_label[3] == sum("3" in task.split("-") for task in last["task"])
    guesses = {}
    for task in last["task"].unique():
        labels = select(task, zoo.dataset().test).targets.numpy()
        share = max((labels == 0).mean(), (labels == 1).mean())
        guesses[task] = share + 2 * math.sqrt(share * (1 - share) / len(labels))
    assert len(set(guesses.values())) > 1
    assert card.about["chance_score"] == pytest.approx(max(guesses.values()))
    assert card.about["chance_share"] == pytest.approx((last["test_accuracy"] <= last["task"].map(guesses)).mean())
    # What is learned across tasks shows on tasks that nothing was fitted to.
    held_out = (card.tasks["split"] == "test").sum()
    assert f"{held_out} of them for testing alone" in use_of(card, "Learning across tasks")["reason"]
    nothing_held_out = replace(card, tasks=card.tasks.assign(split="train"))
    assert use_of(nothing_held_out, "Learning across tasks")["verdict"] == "not suited"
    page = render(card)
    assert 'data-figure="scores-by-task"' in page
    assert "Matrix of members: members have different tasks." in page


def test_tasks_against_the_rest_have_no_table_of_pairs(tmp_path):
    recipe = replace(find_recipe("digits-tasks"), epochs=1, snapshot_epochs=(0, 1), shard_members=8, block_members=1)
    tasks = ["0-rest", "1-rest", "2-rest", "3-rest"]
    zoo = generate_zoo(replace(recipe, axes={**recipe.axes, "task": tasks}), Store(tmp_path), members=24)
    card = make_card(zoo)
    assert set(card.tasks["task"]) == set(zoo.members["task"]) <= set(tasks)
    by_label = card.groups("class_accuracy", "class").set_index("value")["members"]
    assert set(by_label.index) <= {0, 1, 2, 3}  # the rest is no class
    assert 'data-figure="scores-by-task"' in render(card)


def test_memorized_accuracy_stands_beside_held_out(tmp_path):
    recipe = replace(
        DIGITS_MLP_DIVERSE,
        name="memorize",
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
    card = make_card(zoo, examples=50)
    (row,) = card.subsets.itertuples()
    assert (row.size, row.members, row.subsets) == (20, 12, 12)
    matches(card.distribution("train_accuracy", "subset_size"), last["train_accuracy"].to_numpy())
    matches(card.distribution("test_accuracy", "subset_size"), last["test_accuracy"].to_numpy())
    assert row.complete == pytest.approx((last["train_accuracy"] >= 0.99).mean())
    assert "Studying memorization" in card.uses["purpose"].tolist()
    assert "12 members are trained on 12 small subsets (20 examples)." in render(card)


def test_imported_zoos_say_what_their_source_says(tmp_path):
    root = tmp_path / "tune_zoo_mnist"
    configs = [tune_config(11), tune_config(12, "relu", 0.5), tune_config(13, "tanh", 0.5), tune_config(14, "relu")]
    write_checkpoint_tree(root, configs, [0, 5])
    zoo = store_source(open_source(root), Store(tmp_path / "store"))
    card = make_card(zoo, examples=10)
    assert (card.about["imported"], card.about["members"]) == (True, 4)
    assert card.about["recipe"]["source_format"]
    assert "data set" in card.absent
    assert any("imported" in limit for limit in card.limits)
    assert "imported model::nlin" not in card.axes["name"].tolist(), "it is the column of the activation"
    assert "imported model::type" in card.axes["name"].tolist()
    levels = card.groups("test_accuracy", "axis activation").set_index("value")["members"]
    assert levels.to_dict() == {"relu": 2, "tanh": 2}
    last = zoo.members.groupby("member").tail(1)
    matches(row_of(card.distribution("test_accuracy", "epoch"), 5), last["test_accuracy"].to_numpy())
    population = zoo.population(epochs=[5])
    spec = population.architecture.layout[0]
    values = population.weights_MP[:, spec.span].double().flatten().numpy()
    matches(card.distribution("entry", layout=0, tensor=spec.name), values)
    again = snippets(card)["Regenerate"].splitlines()
    assert again[2] == "zooscale import SOURCE --format checkpoints --name tune_zoo_mnist --epochs 0,5"
    assert "imported with zooscale" in snippets(card)["Cite"]
    page = render(card)
    assert "Where it was imported from" in page
    assert ">Imported with<" in page
    assert "rained with<" not in page.replace("Imported with<", "")


def test_names_of_files_are_no_hyper_parameters(tmp_path):
    root = tmp_path / "nets"
    configs = [tune_config(number, folder=f"/runs/net-{number}.pt", batch=number % 2) for number in range(8)]
    write_checkpoint_tree(root, configs, [5])
    card = make_card(store_source(open_source(root), Store(tmp_path / "store")), examples=10)
    kinds = card.axes.set_index("name")["kind"]
    assert (kinds["imported folder"], kinds["imported batch"]) == ("name", "choice")
    assert "folder" not in use_of(card, "Predicting hyper-parameters from weights")["reason"]
    assert "8 names" in render(card)
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
    card = make_card(zoo, examples=20)
    (layout,) = card.layouts.itertuples()
    assert "conv 4 3×3" in layout.label
    assert set(layout.activations.split(", ")) == {
        place.layer.function for each in zoo.architectures for place in each.activations
    }
    spec = {spec.name: spec.trainable for spec in zoo.layout}
    assert card.tensors.set_index("tensor")["trainable"].to_dict() == spec
    trained_MP = zoo.population(epochs="last").weights_MP[:, zoo.architectures[0].trainable].double()
    distances = [
        float((a - b).norm() / ((a.square().sum() + b.square().sum()) / 2).sqrt())
        for a, b in itertools.combinations(trained_MP, 2)
    ]
    found = card.distribution("distance", "alignment", 0)
    matches(row_of(found, "as stored"), distances)
    assert row_of(found, "aligned")["mean"].iloc[0] < row_of(found, "as stored")["mean"].iloc[0]
    render(card)


@pytest.mark.parametrize(
    ("dataset", "score"), [("diabetes", "r2"), ("flowers", "accuracy"), ("robust_diabetes", "loss")]
)
def test_zoos_without_classes_are_described_by_their_own_metrics(tmp_path, dataset, score):
    recipe = Recipe(
        name="values",
        dataset=f"own_tasks:{dataset}",
        members=12,
        axes={"hidden": (8,), "activation": "tanh", "learning_rate": Axis(range=(1e-3, 1e-2))},
        epochs=4,
        snapshot_epochs=(0, 4),
        block_members=2,
        shard_members=12,
    )
    zoo = generate_zoo(recipe, Store(tmp_path))
    card = make_card(zoo)
    last = zoo.members.groupby("member").tail(1)
    assert card.score.name == score
    matches(row_of(card.distribution(f"test_{score}", "epoch"), 4), last[f"test_{score}"].to_numpy())
    assert card.histogram(f"test_{score}")["count"].sum() == 12
    explains = card.axes.set_index("name")["explains"]["learning_rate"]
    assert math.isnan(explains) or 0 <= explains <= 1
    population, test = zoo.population(epochs="last"), zoo.dataset().test
    outputs_MNC = population.logits(test.inputs).double()
    pairs = [
        float(
            2 * ((a - a.mean(0)) * (b - b.mean(0))).sum()
            / ((a - a.mean(0)).square().sum() + (b - b.mean(0)).square().sum()
               + len(test) * (a.mean(0) - b.mean(0)).square().sum())
        )
        for a, b in itertools.combinations(outputs_MNC, 2)
    ]  # fmt: skip
    matches(row_of(card.distribution("concordance", "snapshots"), "last"), pairs, tolerance=1e-5)
    assert card.about["chance_share"] == (pytest.approx((last["test_r2"] <= 0).mean()) if score == "r2" else None)
    assert "Agreement between members was not measured." in use_of(card, "Claims about weight compression")["reason"]
    assert any("moved by a pixel" in limit for limit in card.limits) == (len(test.inputs.shape) == 4)
    page = render(card)
    assert "Accuracy by class: the task has no classes." in page
    assert f"test_<wbr>{score}" in page
    assert 'data-figure="matrix"' in page
    json.dumps(card.to_json(), allow_nan=False)
