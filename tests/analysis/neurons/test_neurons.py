"""Statistics of neurons: cases whose answers are known, against modules with hooks, and over a zoo's snapshots."""

import math
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch

from analysis.neurons.activations import changes, effective_rank, hidden, of_units, selectivity
from analysis.neurons.page import render
from analysis.neurons.training import over_training
from analysis.statistics.intervals import Bootstrap
from zoo.architecture import cnn, mlp
from zoo.generation.build import generate_zoo
from zoo.recipes import RECIPES


@pytest.mark.parametrize("architecture", [mlp((1, 4, 4), (5, 3), 3), cnn((1, 8, 8), (3, 4), 3)], ids=["mlp", "cnn"])
def test_hidden_values_are_those_of_the_module(architecture):
    weights_MP = torch.randn(2, architecture.parameters, generator=torch.Generator().manual_seed(0))
    x = torch.rand(6, *architecture.input_shape, generator=torch.Generator().manual_seed(1))
    found = hidden(architecture, weights_MP, x)
    for member in range(2):
        seen = []
        module = architecture.to_module(weights_MP[member])
        for child in module.modules():
            if isinstance(child, torch.nn.ReLU):
                child.register_forward_hook(lambda _m, _i, out, seen=seen: seen.append(out.detach()))
        module(x)
        assert len(seen) == len(found)
        for values, given_MNU in zip(seen, found, strict=True):
            expected = values.flatten(2).mean(2) if values.ndim > 2 else values
            torch.testing.assert_close(given_MNU[member], expected)


def test_selectivity_is_1_for_one_class_and_0_for_all_alike():
    labels = torch.tensor([0, 0, 1, 1, 2, 2])
    given_MNU = torch.tensor([[0, 0, 1.0, 1.0, 0, 0], [1.0, 0, 1.0, 0, 1.0, 0], [0, 0, 2.0, 2.0, 1.0, 1.0]]).T[None]
    torch.testing.assert_close(selectivity(given_MNU, labels), torch.tensor([[1.0, 0.0, 1.5 / 2.5]]))


def test_sparsity_saturation_and_moments_by_hand():
    given_MNU = torch.tensor([[[0.0, 0.99], [0.0, -0.99], [0.5, 0.0], [0.7, 0.99]]])
    found = of_units(given_MNU, torch.tensor([0, 0, 1, 1]), "tanh")
    assert found["sparsity"].tolist() == [[0.5, 0.25]]
    assert found["saturation"].tolist() == [[0.0, 0.75]]
    torch.testing.assert_close(found["mean"], given_MNU.mean(1))
    torch.testing.assert_close(found["variance"], given_MNU.var(1, correction=0))
    assert math.isnan(of_units(given_MNU, torch.tensor([0, 0, 1, 1]), "relu")["saturation"][0, 0])


def test_the_effective_rank_counts_directions_that_vary():
    generator = torch.Generator().manual_seed(0)
    one = torch.randn(500, 1, generator=generator)
    all_alike = one.expand(-1, 6)
    independent = torch.linalg.qr(torch.randn(500, 6, generator=generator) - 0).Q
    independent = independent - independent.mean(0)
    ranks = effective_rank(torch.stack([all_alike, independent, torch.ones(500, 6)]))
    torch.testing.assert_close(ranks, torch.tensor([1.0, 6.0, 0.0]).double(), atol=0.02, rtol=0)


def test_units_that_swap_roles_are_told():
    before = torch.randn(2, 50, 4, generator=torch.Generator().manual_seed(0))
    after = before.clone()
    after[1] = before[1][:, [1, 0, 2, 3]]
    found = changes(before, after + 0.01)
    assert found["moved"].tolist() == [0.0, 0.5]
    assert found["split"].tolist() == [0.0, 0.0]
    assert found["kept"][0] == pytest.approx(1)
    assert found["kept"][1] < 0.9


def test_units_that_split_die_and_revive_are_told():
    """Unit 1 takes on the role that unit 0 has and keeps; units 2 and 3 were alike before, and are no heirs."""
    before = torch.randn(1, 200, 6, generator=torch.Generator().manual_seed(0))
    before[..., 3] = before[..., 2]
    before[..., 4] = 0
    after = before.clone()
    after[..., 1] = 2 * before[..., 0] + 0.5 * before[..., 1]
    after[..., 4], after[..., 5] = before[..., 5], 0
    found = changes(before, after)
    assert found["split"].tolist() == pytest.approx([1 / 6])
    assert found["died"].tolist() == found["revived"].tolist() == pytest.approx([1 / 6])


@pytest.fixture(scope="module")
def zoo(tmp_path_factory):
    recipe = replace(RECIPES["digits-mlp-diverse"], epochs=4, snapshot_epochs=(0, 1, 2, 4), block_members=2)
    return generate_zoo(recipe, str(tmp_path_factory.mktemp("neurons")), members=96)


def test_every_snapshot_layer_and_part_has_its_rows(zoo):
    found = over_training(zoo, members=6, examples=80)
    assert set(found.layers["epoch"]) == {0, 1, 2, 4}
    assert len(found.layers) == 6 * 4 * 2
    assert len(found.units) == 6 * 4 * 2 * 16
    first = found.layers[found.layers["epoch"] == 0]
    assert first["moved"].isna().all()
    one = found.units[(found.units["member"] == found.units["member"].min()) & (found.units["part"] == "test")]
    population = next(iter(zoo.populations(members=[int(one["member"].iloc[0])], epochs="last")))
    architecture = population.architectures[int(population.architecture_M[0])]
    (given,) = hidden(architecture, population.weights_MP, zoo.dataset().test.first(80).inputs)
    at_last = one[one["epoch"] == 4].sort_values("unit")["mean"].to_numpy()
    np.testing.assert_allclose(at_last, given[0].mean(0).numpy(), rtol=1e-5, atol=1e-6)


def test_cumulative_means_go_over_all_epochs_so_far(zoo):
    found = over_training(zoo, members=2, examples=40)
    keys = ["member", "layer", "part", "unit"]
    single = found.units.sort_values("epoch").groupby(keys)["mean"].apply(list)
    summed = found.cumulative("mean").sort_values("epoch").groupby(keys)["mean"].apply(list)
    for key, values in single.items():
        np.testing.assert_allclose(
            summed[key], [np.mean(values[: n + 1]) for n in range(len(values))], rtol=1e-5, atol=1e-7
        )


def test_the_page_shows_units_layers_and_the_gap(zoo):
    found = over_training(zoo, members=12, examples=60)
    told = found.with_gap(Bootstrap(replicates=30))
    assert (told["low"] <= told["tau"]).all()
    assert set(told["where"]) == {"mean"}  # all networks have one hidden layer
    page = render(zoo, found, Bootstrap(replicates=30))
    for words in ("class selectivity", "effective rank", "Neuron by neuron", "generalization gap"):
        assert words in page


def test_a_cumulative_mean_settles_where_units_wander(zoo):
    """Of independent steps the mean over t epochs moves by 1 / √(3 t) of them."""
    found = over_training(zoo, members=2, examples=20)
    random, epochs = np.random.default_rng(0), np.arange(1, 31)
    walks_UE = random.standard_normal((400, len(epochs))).cumsum(1)
    index = pd.MultiIndex.from_product([range(400), epochs], names=["unit", "epoch"])
    units = pd.DataFrame({"mean": walks_UE.ravel()}, index=index).reset_index()
    told = replace(found, units=units.assign(member=0, layer=1, part="test")).settling("mean").set_index("epoch")
    ratio = told["cumulative"] / told["single"]
    for epoch in (10, 20, 30):
        assert ratio[epoch] == pytest.approx((3 * epoch) ** -0.5, rel=0.1)


def test_depths_are_compared_with_each_other_and_members_are_of_all_of_them(tmp_path):
    recipe = replace(RECIPES["digits-depths"], epochs=3, snapshot_epochs=(0, 1, 3))
    zoo = generate_zoo(recipe, str(tmp_path), members=96)
    found = over_training(zoo, members=18, examples=50)
    depths = found.layers.groupby("member")["depth"].first()
    assert depths.value_counts().to_dict() == dict.fromkeys(range(1, 7), 3)
    one = found.of_members("last")
    deep = found.layers[(found.layers["part"] == "test") & (found.layers["depth"] == 4) & (found.layers["layer"] == 4)]
    at_last = deep[deep["epoch"] == 3].set_index("member")["variance"]
    np.testing.assert_allclose(one["variance"][at_last.index], at_last)
    np.testing.assert_allclose(one["kept"][at_last.index], deep.groupby("member")["kept"].mean())
    told = found.with_gap(Bootstrap(replicates=20))
    assert set(told["where"]) == {"first", "last", "mean"}
    page = render(zoo, found, Bootstrap(replicates=20))
    for words in ("Depth by depth", "in one depth", "Networks of 6 hidden layers"):
        assert words in page


def test_zoos_without_what_is_needed_are_refused(zoo, tmp_path):
    recipe = replace(RECIPES["digits-mlp-seeds"], epochs=1, snapshot_epochs=(1,), block_members=2)
    one_epoch = generate_zoo(recipe, str(tmp_path), members=32)
    with pytest.raises(ValueError, match="has snapshots of epoch 1 alone; neurons over training need two or more"):
        over_training(one_epoch)
