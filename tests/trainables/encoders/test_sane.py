"""Sequential autoencoders of networks: tokens, windows with halos, losses, and what a fit learns."""

import dataclasses

import numpy as np
import pytest
import torch
from architectures import random_weights, small_net

from trainables.encoders.augmentation import permuted
from trainables.encoders.contrast import nt_xent
from trainables.encoders.entries import ENCODERS
from trainables.encoders.hyper_representation import behavior_error
from trainables.encoders.sane.config import SaneConfig
from trainables.encoders.sane.encoder import SaneFit, canonical
from trainables.encoders.sane.module import Sane
from trainables.encoders.sane.tokens import in_windows, token_layout
from trainables.trainable import FitData, run
from zoo.architecture import cnn, mlp
from zoo.data import load_dataset
from zoo.population import Member
from zoo.population.initialization import initial_weights
from zoo.population.population import single_architecture
from zoo.views.tokens import neuron_rows

ARCHITECTURES = {
    "mlp": mlp((1, 8, 8), (5,), 10),
    "deeper": mlp((1, 8, 8), (6, 4), 10, bias=False),
    "cnn": cnn((1, 8, 8), (3, 4), 10),
    "batch norm": dataclasses.replace(small_net(), input_shape=(1, 8, 8)),
}
SMALL = SaneConfig(
    token=12, window=9, halo=2, width=16, blocks=1, heads=2, feedforward=16, latent=6, projection=4, epochs=8,
    batch_size=16, learning_rate=3e-3, precision="float32",
)  # fmt: skip


def networks(architecture, members, seed=0):
    """Networks whose size is told by a column."""
    specs = [Member(id=i, seed=seed + i, init_scale=0.3 + (i * 7 % 10) / 4) for i in range(members)]
    weights_MP = initial_weights(architecture, specs)
    population = single_architecture(architecture, weights_MP, specs)
    return dataclasses.replace(population, columns={"test_accuracy": weights_MP.square().mean(1).sqrt().numpy()})


def data():
    return FitData(
        training=(networks(ARCHITECTURES["mlp"], 48), networks(ARCHITECTURES["cnn"], 48, 1000)),
        validation=(networks(ARCHITECTURES["mlp"], 16, 5000), networks(ARCHITECTURES["cnn"], 16, 6000)),
        dataset=load_dataset("digits"),
    )


@pytest.mark.parametrize("width", [1, 5, 12, 100])
@pytest.mark.parametrize("name", ARCHITECTURES)
def test_tokens_are_the_rows_of_layers_cut_and_padded_and_come_back(name, width):
    architecture = ARCHITECTURES[name]
    weights_BP = random_weights(architecture, 2, seed=0)
    layout = token_layout(architecture, width)
    tokens, positions = [], []
    for layer, rows_MHD in enumerate(neuron_rows(architecture, weights_BP)):
        for row, numbers in enumerate(rows_MHD[1].tolist()):
            for start in range(0, len(numbers), width):
                part = numbers[start : start + width]
                tokens.append(part + [0.0] * (width - len(part)))
                positions.append([len(positions), layer, row])
    found = layout.tokens(weights_BP)
    assert torch.equal(found[1], torch.tensor(tokens))
    assert layout.position_T3.tolist() == positions
    assert int(layout.kept_TD.sum()) == architecture.parameters
    assert torch.equal(layout.weights(found + 5.0 * ~layout.kept_TD), weights_BP), "the padding is ignored"


@pytest.mark.parametrize("count", [3, 9, 12, 13, 14, 18, 40])
def test_windows_are_joined_in_order_and_see_their_halo(count):
    tokens_BTD = torch.arange(2.0 * count).view(2, count, 1)
    where_TD = torch.arange(float(count)).unsqueeze(1)

    def apply(tokens, where):
        assert torch.equal(tokens % count, where.expand_as(tokens)), "positions go with their tokens"
        assert tokens.shape[1] == min(count, 4 + 2 * 3)
        ends = torch.stack([tokens[:, 0], tokens[:, -1]], dim=2).expand(-1, tokens.shape[1], -1)
        return torch.cat([tokens, ends], dim=2)

    found = in_windows(apply, tokens_BTD, where_TD, 4, 3)
    assert torch.equal(found[..., :1], tokens_BTD)
    place_T = torch.arange(count)
    if count > 10:
        inner = (place_T // 4 * 4 >= 3) & (place_T // 4 * 4 + 7 <= count)
        assert torch.equal(found[0, inner, 1], (place_T // 4 * 4 - 3)[inner].float())
        assert torch.equal(found[0, inner, 2], (place_T // 4 * 4 + 6)[inner].float())


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_embeddings_do_not_depend_on_the_order_of_units_nor_on_the_batch(name):
    architecture = ARCHITECTURES[name]
    population = single_architecture(architecture, random_weights(architecture, 5, seed=0))
    torch.manual_seed(0)
    encoder = SaneFit(SMALL, data()).artifact()
    embedded_ME = encoder.embed(population)
    assert embedded_ME.shape == (5, 6)
    moved_MP = permuted(population.weights_MP, architecture, torch.Generator().manual_seed(0))
    np.testing.assert_allclose(encoder.embed(population.with_weights(moved_MP)), embedded_ME, rtol=1e-3, atol=1e-5)
    np.testing.assert_allclose(encoder.embed(population.select([3])), embedded_ME[[3]], rtol=1e-3, atol=1e-5)
    assert np.abs(embedded_ME[0] - embedded_ME[1]).max() > 1e-3
    assert encoder.embed(population.select([])).shape == (0, 6)


def test_the_loss_is_that_of_its_formula():
    config = dataclasses.replace(SMALL, window=1000, noise=0.2, contrast=0.3, structure=0.6, queries=20, views=3)
    fit = SaneFit(config, data())
    generators = [torch.Generator().manual_seed(1) for _ in range(2)]
    rows_B = torch.tensor([4, 1, 7])
    with torch.no_grad():
        found = fit.losses(1, rows_B, generators[0])
        batch = canonical(fit.data.training[1].select(rows_B))
        architecture, module = batch.architecture, fit.module
        others = [permuted(batch.weights_MP, architecture, generators[1]) for _ in range(2)]
        views_VP = torch.stack([batch.weights_MP, *others], dim=1).flatten(0, 1)
        factors_VP = 1 + 0.2 * torch.randn(views_VP.shape, generator=generators[1])
        chosen = torch.randint(len(fit.data.dataset.train), (20,), generator=generators[1])
        latent_VTZ = module.latents(views_VP * factors_VP, architecture)
        decoded_VP = module.rebuilt(latent_VTZ, architecture)
        contrast = nt_xent(module.projection(latent_VTZ.mean(1)).unflatten(0, (3, 3)), config.temperature)
        error = ((decoded_VP - views_VP) / module.scale(architecture)).square().mean()
        behavior = behavior_error(batch, decoded_VP, fit.data.dataset.train.select(chosen).inputs)
    wanted = 0.3 * contrast + 0.7 * (0.6 * error + 0.4 * behavior)
    assert float(found["loss"]) == pytest.approx(float(wanted), rel=1e-4)


def test_scales_are_root_mean_squares_by_depth_and_kind():
    training = data().training
    facts = Sane.facts_of(SMALL, training)
    first, second = (population.architecture.tensors(population.weights_MP) for population in training)
    last = torch.cat([list(first.values())[-2].flatten(), list(second.values())[-2].flatten()])
    assert facts["scales"]["last.weight"] == pytest.approx(float(last.square().mean().sqrt()), rel=1e-5)
    assert facts["layers"] == 3
    one = Sane(
        dataclasses.replace(SMALL, layer_loss=False),
        Sane.facts_of(dataclasses.replace(SMALL, layer_loss=False), training),
    )
    assert len(one.scale(ARCHITECTURES["mlp"]).unique()) == 1
    scale_P = Sane(SMALL, facts).scale(ARCHITECTURES["deeper"])
    assert len(scale_P.unique()) == 3, "the first, the second as of the CNN, the last"


def test_embeddings_of_layers_stand_by_depth_with_the_last_one_last():
    module = Sane(dataclasses.replace(SMALL, embedding="layers"), Sane.facts_of(SMALL, data().training))
    for name, kept in (("mlp", [0, 2]), ("cnn", [0, 1, 2])):
        layout = module.layout(ARCHITECTURES[name])
        latent_BTZ = torch.randn(2, len(layout.place_TD), 6)
        found = module.pooled(latent_BTZ, ARCHITECTURES[name]).reshape(2, 3, 12)
        for layer, place in enumerate(kept):
            of_layer = latent_BTZ[:, layout.position_T3[:, 1] == layer].numpy()
            np.testing.assert_allclose(found[:, place, :6], of_layer.mean(1), rtol=1e-4, atol=1e-6)
            np.testing.assert_allclose(found[:, place, 6:], of_layer.std(1), rtol=1e-4)
        assert np.isnan(np.delete(found, kept, axis=1)).all()
        assert found.reshape(2, -1).shape[1] == module.width


def test_a_fit_reconstructs_mixed_networks_goes_on_from_its_state_and_comes_back_from_files():
    config = dataclasses.replace(SMALL, latent=12, contrast=0.01, epochs=20, views=2, noise=0.0)
    straight, broken = SaneFit(config, data()), SaneFit(config, data())
    for _ in range(5):
        broken.train_epoch()
    again = SaneFit(config, data())
    again.load_state(broken.state())
    found = run(straight).validate()
    assert found == run(again).validate()
    assert found["reconstruction_r2"] > 0.4 > broken.validate()["reconstruction_r2"]
    encoder = straight.artifact()
    copy = ENCODERS["sane"].from_files(encoder.to_files())
    deeper = networks(ARCHITECTURES["deeper"], 20)
    assert np.array_equal(copy.embed(deeper), encoder.embed(deeper))


def test_networks_that_are_not_finite_and_wrong_configurations_are_refused():
    odd = data().validation[0]
    odd.weights_MP[2, 4] = float("nan")
    with pytest.raises(ValueError, match="1 of 16 networks have weights that are NaN or infinite, the first in row 2"):
        SaneFit(SMALL, data()).artifact().embed(odd)
    for changes, said in (
        ({"heads": 3}, "a divisor of width"),
        ({"embedding": "x"}, "mean, layers"),
        ({"views": 1}, "2 to"),
    ):
        with pytest.raises(ValueError, match=said):
            dataclasses.replace(SMALL, **changes)
