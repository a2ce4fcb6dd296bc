import dataclasses
import math

import pytest
import torch

from trainables.autoencoders.autoencoder import Autoencoder
from trainables.autoencoders.bottleneck import BOTTLENECKS, initial_steps
from trainables.autoencoders.config import NeuronAutoencoderConfig, RowAutoencoderConfig, TransformerAutoencoderConfig
from trainables.autoencoders.coordinates import AFFINE_VIEWS, Coordinates
from trainables.autoencoders.network import NetworkAutoencoder
from trainables.autoencoders.neuron import NeuronAutoencoder
from trainables.autoencoders.principal import principal_components
from trainables.autoencoders.receiver import known_before
from trainables.autoencoders.transformer import TransformerAutoencoder
from zoo.population import Population
from zoo.storage.zoo import Zoo
from zoo.views import Flat, permute


@pytest.fixture(scope="module")
def training(small_zoo: Zoo) -> Population:
    return small_zoo.population("train")


@pytest.fixture(scope="module")
def images(small_zoo: Zoo):
    return small_zoo.dataset().train


FAMILIES = (NeuronAutoencoder, NetworkAutoencoder)


def build(family, config, training: Population, images) -> tuple[Autoencoder, torch.Tensor]:
    coordinates = Coordinates.fit(config, training, images)
    coordinates_MP, _ = coordinates.forward(training)
    model = family(config, coordinates)
    model.initialize(coordinates_MP)
    return model, coordinates_MP


@pytest.mark.parametrize(
    ("field", "value", "allowed"),
    [
        ("latent", 0, "a whole number, 1 to 1,048,576"),
        ("encoder_width", 1_000_000, "a whole number, 1 to 16,384"),
        ("latent", 2.5, "whole number"),
        ("canonical", "maybe", "given, sorted, aligned"),
        ("gain", 1, "true or false"),
        ("bits_per_latent", 0.0, "0 < bits"),
        ("rate_loss", math.nan, "0 or more"),
        ("learning_rate", -1.0, "more than 0"),
        ("encoder_depth", 9, "0 to 8"),
        ("seed", -1, "0 to"),
    ],
)
def test_a_bad_configuration_names_field_value_and_what_is_allowed(field, value, allowed):
    with pytest.raises(ValueError, match=rf"RowAutoencoderConfig\.{field} is .*{allowed}"):
        RowAutoencoderConfig(**{field: value})


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("view", AFFINE_VIEWS)
def test_a_full_linear_path_starts_as_the_identity(family, view, training, images):
    # 40 centered networks span 39 dimensions; 66 hold any neuron.
    few = training.select(range(40))
    config = RowAutoencoderConfig(view=view, latent=39 if family is NetworkAutoencoder else 66, canonical="given")
    model, _ = build(family, config, few, images)
    restored_MP = model.decode(model.encode(few))
    assert torch.allclose(restored_MP, few.weights_MP, atol=2e-3 * float(few.weights_MP.abs().max()))


def test_ordering_hidden_units_keeps_every_function_and_forgets_the_order(training, images):
    few = training.select(range(8))
    generator = torch.Generator().manual_seed(0)
    shuffled = few.with_weights(
        permute(
            few.weights_MP,
            few.architecture,
            {
                name: torch.stack([torch.randperm(16, generator=generator) for _ in range(8)])
                for name in few.architecture.symmetry
            },
        )
    )
    x = images.first(50).inputs
    for canonical in ("sorted", "aligned"):
        coordinates = Coordinates.fit(RowAutoencoderConfig(canonical=canonical), training, images)
        prepared = coordinates.prepare(shuffled)
        assert torch.allclose(prepared.logits(x), few.logits(x), atol=1e-4)
        assert torch.equal(prepared.weights_MP, coordinates.prepare(few).weights_MP)
    given = Coordinates.fit(RowAutoencoderConfig(canonical="given"), training, images)
    assert torch.equal(given.prepare(shuffled).weights_MP, shuffled.weights_MP)


def test_coordinates_come_back_and_have_the_size_of_one(training, images):
    for gain in (True, False):
        coordinates = Coordinates.fit(RowAutoencoderConfig(gain=gain), training, images)
        coordinates_MP, gain_M = coordinates.forward(training)
        weights_MP = coordinates.prepare(training).weights_MP
        assert torch.allclose(coordinates.inverse(coordinates_MP, gain_M), weights_MP, atol=1e-4)
        assert 0.5 < float(coordinates_MP.square().mean().sqrt()) < 2
        assert (len(set(gain_M.tolist())) > 1) == gain


def test_a_transformer_starts_with_latents_of_unit_variance_and_learns_from_every_weight(training, images):
    config = TransformerAutoencoderConfig(latent=12, width=8, heads=2, feedforward=8)
    model, coordinates_MP = build(TransformerAutoencoder, config, training, images)
    latent_MZ = model.bottleneck.latent(model.encoded(coordinates_MP))
    assert torch.allclose(latent_MZ.mean(0), torch.zeros(12), atol=0.05)
    assert torch.allclose(latent_MZ.std(0), torch.ones(12), atol=0.05)
    coordinates_MP.requires_grad_()
    gradient_MP = torch.autograd.grad(model.decoder(model.encoded(coordinates_MP)).square().sum(), coordinates_MP)[0]
    assert (gradient_MP != 0).any(dim=0).all()


def test_networks_that_diverged_are_refused(training, images):
    coordinates = Coordinates.fit(RowAutoencoderConfig(), training, images)
    weights_MP = training.weights_MP.clone()
    weights_MP[3, 5] = math.nan
    with pytest.raises(ValueError, match=r"1 of \d+ networks .*rows \[3\]"):
        coordinates.forward(training.with_weights(weights_MP))


@pytest.mark.parametrize("family", [*FAMILIES, TransformerAutoencoder])
def test_the_folded_decoder_gives_the_same_weights(family, training, images):
    config = RowAutoencoderConfig(latent=12, decoder_width=8)
    if family is TransformerAutoencoder:
        config = TransformerAutoencoderConfig(latent=12, width=8, heads=2, feedforward=8, dropout=0.5)
    model, _ = build(family, config, training, images)
    model.eval()
    with torch.no_grad():
        model.decoder.mean.normal_(std=0.1)
        for layers in model.decoder.output_layers:
            layers[-1].weight.normal_(std=0.1)
        latent = model.encode(training)
        gain = torch.exp2(latent.gain_M / 4)[:, None]
        folded_MP = model.folded_decoder()(latent.values_MZ) * gain + model.coordinates.offset()
        expected_MP = model.decode(latent)
    assert torch.allclose(folded_MP, expected_MP, atol=1e-3 * float(expected_MP.abs().max()))


class Curved(Flat):
    """Cube roots of the weights."""

    def forward(self, weights_MP: torch.Tensor) -> torch.Tensor:
        return weights_MP.double().sign() * weights_MP.double().abs() ** (1 / 3)

    def inverse(self, coordinates: torch.Tensor) -> torch.Tensor:
        return coordinates.double() ** 3


def test_a_view_that_cannot_be_folded_is_refused(training, images, monkeypatch):
    monkeypatch.setitem(AFFINE_VIEWS, "curved", Curved)
    model, _ = build(NetworkAutoencoder, RowAutoencoderConfig(view="curved", latent=8), training, images)
    with pytest.raises(ValueError, match="'curved' cannot be taken into a decoder"):
        model.folded_decoder()


def test_principal_components_match_a_full_decomposition():
    generator = torch.Generator().manual_seed(1)
    rows = torch.randn(200, 30, generator=generator) * torch.linspace(3, 0.1, 30)
    rows -= rows.mean(0)
    directions, deviation = principal_components(rows, 5, seed=0)
    values, vectors = torch.linalg.eigh(rows.T @ rows / 200)
    assert torch.allclose(deviation, values.flip(0)[:5].sqrt(), rtol=1e-4)
    assert torch.allclose((directions.T @ vectors.flip(1)[:, :5]).abs(), torch.eye(5), atol=1e-2)
    with pytest.raises(ValueError, match="31 principal components need"):
        principal_components(rows, 31, seed=0)
    with pytest.raises(ValueError, match="are not finite: some weights are too large"):
        principal_components(rows / 0, 5, seed=0)


def test_initial_steps_give_normal_latents_the_asked_bits():
    deviation_Z = torch.tensor([4.0, 1.0, 0.5])
    latents = torch.randn(200_000, 3, generator=torch.Generator().manual_seed(0))
    symbols = torch.round(latents / initial_steps(deviation_Z, 5.0)).long()
    entropy = 0.0
    for column in symbols.T:
        share = column.unique(return_counts=True)[1] / len(column)
        entropy -= float((share * share.log2()).sum())
    assert entropy / 3 == pytest.approx(5.0, abs=0.03)


@pytest.mark.parametrize("name", BOTTLENECKS)
def test_bottlenecks_pass_gradients_to_latent_and_steps(name):
    bottleneck = BOTTLENECKS[name](6)
    bottleneck.initialize(torch.full((6,), 0.3))
    generator = torch.Generator().manual_seed(0)
    encoded = torch.randn(32, 6 * bottleneck.outputs, generator=generator, requires_grad=True)
    latent_BZ, bits_B = bottleneck(encoded, torch.rand(32, 6, generator=generator))
    assert latent_BZ.shape == (32, 6)
    assert bits_B.shape == (32,)
    assert torch.isfinite(bits_B).all()
    ((latent_BZ**2).sum() + bits_B.sum()).backward()
    assert encoded.grad is not None
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in bottleneck.parameters())
    assert (latent_BZ - bottleneck.latent(encoded)).abs().max() < (1e-6 if name == "identity" else 1.0)


def test_quantized_latents_lie_on_the_grid_and_cost_what_their_prior_says():
    bottleneck = BOTTLENECKS["quantized"](1)
    bottleneck.initialize(torch.tensor([0.25]))
    encoded = torch.tensor([[0.0], [0.4], [-3.0], [60.0]])
    with torch.no_grad():
        latent, bits = bottleneck(encoded, torch.full((4, 1), 0.5))
    assert torch.allclose(latent, torch.tensor([[0.0], [0.5], [-3.0], [60.0]]))
    laplace = torch.distributions.Laplace(torch.zeros(1).double(), torch.full((1,), math.sqrt(0.5)).double())
    near = encoded[:3].double()
    probability = laplace.cdf(near + 0.125) - laplace.cdf(near - 0.125)
    assert torch.allclose(bits[:3].double(), -probability[:, 0].log2(), rtol=1e-4)
    # -log2 of a probability that float32 cannot hold: the tail is a straight line.
    assert float(bits[3] - bits[2]) == pytest.approx(57 / math.sqrt(0.5) / math.log(2), rel=1e-3)


def test_gaussian_rate_is_the_divergence_of_posterior_and_prior():
    bottleneck = BOTTLENECKS["gaussian"](3)
    bottleneck.initialize(torch.tensor([0.5, 1.0, 2.0]))
    mean = torch.tensor([[0.3, -1.0, 2.0]])
    with torch.no_grad():
        _, bits = bottleneck(torch.cat([mean, torch.zeros(1, 3)], 1), torch.full((1, 3), 0.4))
    deviation = torch.tensor([0.5, 1.0, 2.0]) / math.sqrt(12)
    prior = torch.distributions.Normal(torch.zeros(3), (1 + deviation**2).sqrt())
    expected = torch.distributions.kl_divergence(torch.distributions.Normal(mean, deviation), prior).sum() / math.log(2)
    assert float(bits) == pytest.approx(float(expected), rel=1e-5)
    step = bottleneck.coding_step(torch.cat([mean, torch.zeros(1, 3)], 1))
    assert torch.allclose(step, torch.tensor([0.5, 1.0, 2.0]))


def test_shared_bytes_grow_with_the_decoder_alone(training):
    base = NeuronAutoencoderConfig()

    def shared_bytes(**changes):
        config = dataclasses.replace(base, **changes)
        return known_before(NeuronAutoencoder, config, training.architectures)["shared_bytes"]

    assert shared_bytes(decoder_width=2 * base.decoder_width) > shared_bytes()
    with pytest.raises(ValueError, match=r"the decoder would have 1,076,122,813 numbers; allowed: up to 134,217,728"):
        shared_bytes(decoder_width=2**14, decoder_depth=3)
    assert shared_bytes(encoder_width=512) == pytest.approx(shared_bytes(), abs=8)  # the number itself is stored too
