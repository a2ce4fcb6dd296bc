"""Hyper-representations: augmentations, loss, and what a fit learns."""

import dataclasses
from functools import partial

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from trainables.encoders.augmentation import erased, noisy, permuted
from trainables.encoders.config import HyperRepresentationConfig
from trainables.encoders.contrast import nt_xent
from trainables.encoders.hyper_representation import (
    HyperRepresentationEncoder,
    HyperRepresentationFit,
    behavior_error,
)
from trainables.trainable import FitData, run
from zoo.architecture import cnn, mlp
from zoo.data import load_dataset
from zoo.data.examples import Dataset, Examples
from zoo.data.task import Task
from zoo.population import Member
from zoo.population.initialization import initial_weights
from zoo.population.population import single_architecture

SMALL = HyperRepresentationConfig(
    width=16, heads=2, feedforward=16, latent=8, projection=8, projection_output=4, projection_layers=1, dropout=0.0,
    learning_rate=3e-3, batch_size=32, epochs=12,
)  # fmt: skip
ARCHITECTURES = {"mlp": mlp((1, 4, 4), (5,), 3, activation="tanh"), "cnn": cnn((1, 8, 8), (3, 4), 3)}


def networks(architecture, members, seed=0):
    """Networks whose size is told by a column."""
    specs = [Member(id=i, seed=seed + i, init_scale=0.3 + (i * 7 % 10) / 4) for i in range(members)]
    weights_MP = initial_weights(architecture, specs)
    population = single_architecture(architecture, weights_MP, specs)
    return dataclasses.replace(population, columns={"test_accuracy": weights_MP.square().mean(1).sqrt().numpy()})


def tiny_images():
    """Images of the size that the networks take."""
    generator = torch.Generator().manual_seed(4)
    parts = [Examples(torch.rand(20, 1, 4, 4, generator=generator), torch.arange(20) % 3) for _ in range(3)]
    return Dataset("tiny", Task("softmax", 3), *parts)


def data_of(architecture):
    dataset = load_dataset("digits") if architecture.input_shape == (1, 8, 8) else tiny_images()
    return FitData(
        training=(networks(architecture, 96),), validation=(networks(architecture, 24, 5000),), dataset=dataset
    )


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_permuted_networks_compute_the_same_and_are_not_the_same(name):
    architecture = ARCHITECTURES[name]
    weights_MP = networks(architecture, 6).weights_MP
    moved_MP = permuted(weights_MP, architecture, torch.Generator().manual_seed(0))
    x = torch.rand(5, *architecture.input_shape, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(architecture.logits(moved_MP, x), architecture.logits(weights_MP, x))
    assert ((moved_MP != weights_MP).any(dim=1)).all()
    orders = {tuple(torch.argsort(moved_MP[i]).tolist()) for i in range(6)}
    assert len(orders) == 6


def test_one_block_of_a_network_is_erased_with_the_given_probability():
    weights_MP = torch.ones(2000, 300)
    gone_MP = erased(weights_MP, 0.5, torch.Generator().manual_seed(0)) == 0
    share_M = gone_MP.float().mean(1)
    assert (share_M > 0).float().mean() == pytest.approx(0.5, abs=0.04)
    assert share_M[share_M > 0].min() > 0.01
    assert share_M.max() < 0.34
    edges_M = (gone_MP[:, 1:] != gone_MP[:, :-1]).sum(1)
    assert edges_M.max() <= 2, "a block is contiguous"
    assert torch.equal(erased(weights_MP, 0.0, torch.Generator().manual_seed(0)), weights_MP)


def test_noise_is_relative_to_each_network():
    weights_MP = torch.ones(2, 20_000) * torch.tensor([[1.0], [100.0]])
    added_M = (noisy(weights_MP, 0.1, torch.Generator().manual_seed(0)) - weights_MP).std(1)
    torch.testing.assert_close(added_M, torch.tensor([0.1, 10.0]), rtol=0.03, atol=0)


@pytest.mark.parametrize("views", [2, 3])
def test_the_contrastive_loss_is_that_of_its_formula(views):
    generator = torch.Generator().manual_seed(0)
    views_BVE = torch.randn(4, views, 3, generator=generator)
    of = {(network, view): views_BVE[network, view] for network in range(4) for view in range(views)}
    terms = []
    for (network, view), one in of.items():
        similar = {
            key: torch.exp(F.cosine_similarity(one, other, dim=0) / 0.3)
            for key, other in of.items()
            if key != (network, view)
        }
        own = [value for (other, _), value in similar.items() if other == network]
        terms += [-torch.log(value / sum(similar.values())) for value in own]
    assert float(nt_xent(views_BVE, 0.3)) == pytest.approx(float(torch.stack(terms).mean()), rel=1e-5)


@pytest.mark.parametrize("name", ARCHITECTURES)
@pytest.mark.parametrize(
    "changes",
    [
        {"contrast": 0.0, "views": 1},
        {"contrast": 1.0},
        {"layer_loss": True, "precision": "float32"},
        {"contrast": 0.5, "views": 3},
        {"tokens": "weight", "compression_token": False, "epochs": 4},
    ],
    ids=str,
)
def test_a_fit_learns_what_its_loss_asks(name, changes):
    data = data_of(ARCHITECTURES[name])
    fit = HyperRepresentationFit(dataclasses.replace(SMALL, **changes), data)
    first = fit.train_epoch()
    run(fit)
    again = HyperRepresentationFit(dataclasses.replace(SMALL, **changes), data)
    again.load_state(fit.state())
    generators = (torch.Generator().manual_seed(9) for _ in range(2))
    last, same = (
        {k: float(v.detach()) for k, v in f.losses(0, torch.arange(32), g).items()}
        for f, g in zip((fit, again), generators, strict=True)
    )
    assert last == same
    assert last["loss"] < 0.9 * first["loss"]


def test_the_loss_is_that_of_its_formula():
    """What is reconstructed is whole and without noise, in another order of units; all in deviations of tensors."""
    settings = {"contrast": 0.3, "structure": 0.6, "queries": 7, "views": 3, "erase": 1.0, "noise": 0.1}
    config = dataclasses.replace(SMALL, layer_loss=True, precision="float32", **settings)
    data = data_of(ARCHITECTURES["mlp"])
    (training,) = data.training
    training.weights_MP.add_(0.01 * torch.randn(training.weights_MP.shape, generator=torch.Generator().manual_seed(2)))
    fit = HyperRepresentationFit(config, data)
    generators = [torch.Generator().manual_seed(1) for _ in range(2)]
    rows_B = torch.tensor([4, 1, 7])
    with torch.no_grad():
        found = fit.losses(0, rows_B, generators[0])
        batch, module = training.select(rows_B), fit.module
        views_WP = permuted(batch.weights_MP.repeat_interleave(3, dim=0), batch.architecture, generators[1])
        seen_WP = noisy(erased(views_WP, 1.0, generators[1]), 0.1, generators[1])
        chosen = torch.randint(20, (7,), generator=generators[1])
        tensors = training.architecture.tensors(training.weights_MP).values()
        deviation_P = torch.cat([tensor.std().expand(tensor[0].numel()) for tensor in tensors])
        latent_WE = torch.tanh(module.encoder(seen_WP / deviation_P))
        rebuilt_WP = module.decoder(latent_WE)
        contrast = nt_xent(module.projection(latent_WE).unflatten(0, (3, 3)), config.temperature)
        error = (rebuilt_WP - views_WP / deviation_P).square().mean()
        behavior = behavior_error(batch, rebuilt_WP * deviation_P, data.dataset.train.select(chosen).inputs)
    wanted = 0.3 * contrast + 0.7 * (0.6 * error + 0.4 * behavior)
    assert float(found["loss"]) == pytest.approx(float(wanted), rel=1e-5)


@pytest.mark.parametrize(
    "build", [partial(mlp, (1, 4, 4), (5,), 3), partial(cnn, (1, 8, 8), (3, 4), 3)], ids=ARCHITECTURES
)
def test_the_behavioral_loss_compares_outputs_and_no_order_of_units_changes_it(build):
    """Against a loop over networks and views; a permuted view in the place of the reconstruction costs nothing."""
    architectures = tuple(build(activation=name) for name in ("relu", "tanh"))
    population = dataclasses.replace(
        networks(architectures[0], 4), architectures=architectures, architecture_M=torch.tensor([0, 1, 1, 0])
    )
    generator = torch.Generator().manual_seed(0)
    x = torch.rand(6, *architectures[0].input_shape, generator=generator)
    views_WP = permuted(population.weights_MP.repeat_interleave(3, dim=0), population.architecture, generator)
    assert float(behavior_error(population, views_WP, x)) == pytest.approx(0, abs=1e-9)
    decoded_WP = views_WP + 0.1 * torch.randn(views_WP.shape, generator=generator)
    errors = [
        (population.select([row]).logits(x, decoded_WP[3 * row + view][None]) - population.select([row]).logits(x))
        for row in range(4)
        for view in range(3)
    ]
    assert float(behavior_error(population, decoded_WP, x)) == pytest.approx(
        float(torch.stack(errors).square().mean()), rel=1e-5
    )


def test_a_fit_with_the_behavioral_loss_alone_brings_outputs_closer():
    data = data_of(ARCHITECTURES["mlp"])
    settings = {"contrast": 0.0, "structure": 0.0, "erase": 0.0, "queries": 16, "views": 1, "learning_rate": 1e-2}
    fit = HyperRepresentationFit(dataclasses.replace(SMALL, **settings), data)
    first = fit.train_epoch()
    assert first["loss"] == first["behavior_error"]
    while fit.epoch < fit.epochs:
        last = fit.train_epoch()
    assert last["behavior_error"] < 0.8 * first["behavior_error"]


def test_embeddings_tell_the_size_of_networks_and_come_back_from_files():
    data = data_of(ARCHITECTURES["mlp"])
    fit = run(
        HyperRepresentationFit(
            dataclasses.replace(SMALL, contrast=0.0, erase=0.0, permute=False, epochs=120, latent=16), data
        )
    )
    found = fit.validate()
    assert found["probe_r2"] > 0.4
    encoder = fit.artifact()
    again = HyperRepresentationEncoder.from_files(encoder.to_files())
    population = data.validation[0]
    embedded_ME = encoder.embed(population)
    assert embedded_ME.shape == (24, 16)
    assert np.array_equal(again.embed(population), embedded_ME)
    # Numbers are sums of products that were rounded to 8 bits, in an order that depends on the batch.
    np.testing.assert_allclose(encoder.embed(population.select([3, 5])), embedded_ME[[3, 5]], atol=0.02)


def test_networks_that_cannot_be_embedded_are_refused():
    data = data_of(ARCHITECTURES["mlp"])
    encoder = HyperRepresentationFit(SMALL, data).artifact()
    with pytest.raises(ValueError, match="fitted to networks of 103 parameters; these have 163 or"):
        encoder.embed(networks(mlp((1, 4, 4), (8, 2), 3), 2))
    odd = data.validation[0].weights_MP.clone()
    odd[2, 4] = float("nan")
    with pytest.raises(ValueError, match="1 of 24 networks have weights that are NaN or infinite, the first in row 2"):
        encoder.embed(data.validation[0].with_weights(odd))
    broken = dataclasses.replace(data, training=(data.validation[0].with_weights(odd),))
    with pytest.raises(ValueError, match="1 of 24 networks have weights that are NaN or infinite, the first in row 2"):
        HyperRepresentationFit(SMALL, broken)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"heads": 3}, "heads is 3; allowed: a divisor of width"),
        ({"contrast": 1.5}, "contrast"),
        ({"tokens": "x"}, "tokens"),
        ({"views": 1}, r"views is 1; allowed: 2 to 64 where contrast is 0\.1"),
        ({"structure": -0.1}, "structure"),
        ({"precision": "half"}, "precision is 'half'; allowed: bfloat16, float32"),
    ],
)
def test_wrong_configurations_say_what_is_allowed(changes, said):
    with pytest.raises(ValueError, match=said):
        dataclasses.replace(SMALL, **changes)
