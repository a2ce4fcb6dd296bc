import dataclasses
import json

import pytest
import torch

from trainables.autoencoders.config import NeuronAutoencoderConfig
from trainables.autoencoders.fit import AutoencoderFit
from trainables.closed_form import PROGRESS_FILE
from trainables.codecs.payloads import compress, decompress
from trainables.fidelity import measure, summary
from trainables.fit_data import fit_data
from trainables.registry import find_trainable
from trainables.trainable import DivergedError, Fit
from zoo.evaluation import classification, predictions
from zoo.storage.zoo import Zoo

SMALL = {"latent": 12, "encoder_width": 16, "decoder_width": 16, "batch_size": 16, "batch_examples": 16, "epochs": 4}


def new_fit(zoo: Zoo, family: str = "neuron-autoencoder", **changes) -> AutoencoderFit:
    trainable = find_trainable(family)
    return trainable.fit(trainable.configuration({**SMALL, **changes}), fit_data(zoo))


def drive(fit: Fit, epochs: int) -> list[dict[str, float]]:
    return [fit.train_epoch() for _ in range(epochs)]


@pytest.mark.parametrize("bottleneck", ["identity", "quantized", "gaussian"])
@pytest.mark.parametrize("family", ["neuron-autoencoder", "network-autoencoder"])
def test_fitting_lowers_the_loss(small_zoo, family, bottleneck):
    fit = new_fit(small_zoo, family=family, bottleneck=bottleneck, latent=12, learning_rate=3e-3)
    history = drive(fit, 4)
    assert [metrics["epoch"] for metrics in history] == [1, 2, 3, 4]
    assert history[-1]["loss"] < history[0]["loss"]


@pytest.mark.parametrize("bottleneck", ["identity", "quantized", "gaussian"])
def test_a_resumed_fit_continues_bit_for_bit(small_zoo, bottleneck):
    whole = new_fit(small_zoo, bottleneck=bottleneck)
    expected = drive(whole, 4)

    first = new_fit(small_zoo, bottleneck=bottleneck)
    drive(first, 2)
    state = {name: bytes(content) for name, content in first.state().items()}
    second = new_fit(small_zoo, bottleneck=bottleneck)
    drive(second, 1)  # what it did before must not matter
    second.load_state(state)
    assert second.epoch == 2
    assert drive(second, 2) == expected[2:]
    assert second.state() == whole.state()


def test_state_holds_no_pickle(small_zoo):
    fit = new_fit(small_zoo)
    fit.train_epoch()
    for content in fit.state().values():
        assert not content.startswith((b"\x80", b"PK"))


def test_a_state_of_another_configuration_is_refused(small_zoo):
    fit = new_fit(small_zoo)
    state = dict(fit.state())
    progress = json.loads(state[PROGRESS_FILE])
    progress["config"]["latent"] = 13
    state[PROGRESS_FILE] = json.dumps(progress).encode()
    with pytest.raises(ValueError, match=r"'latent': 13.*same configuration"):
        fit.load_state(state)


def test_behavior_loss_brings_functions_closer(small_zoo):
    weights_only = new_fit(small_zoo, behavior_loss=0.0, rate_loss=0.0, weight_loss=1.0, epochs=10, latent=6)
    behavior = new_fit(small_zoo, behavior_loss=1.0, rate_loss=0.0, weight_loss=0.1, epochs=10, latent=6)
    kl = []
    for fit in (weights_only, behavior):
        drive(fit, 10)
        kl.append(fit.validate()["kl"])
    assert kl[1] < kl[0]


def test_rate_loss_lowers_the_rate(small_zoo):
    rates = []
    for rate_loss in (0.0, 30.0):
        fit = new_fit(small_zoo, rate_loss=rate_loss, epochs=8, learning_rate=1e-2)
        drive(fit, 8)
        rates.append(fit.validate())
    assert rates[1]["code_bits_per_weight"] < rates[0]["code_bits_per_weight"]


def test_validation_counts_real_bytes_of_held_out_members(small_zoo):
    fit = new_fit(small_zoo)
    fit.train_epoch()
    population, images = fit.data.validation[0], small_zoo.dataset().validation
    metrics = fit.validate()
    codec = fit.artifact()
    payloads = [compress(codec, population.select(rows)) for rows in torch.arange(len(population)).split(64)]
    bits = 8 * sum(map(len, payloads)) / (len(population) * population.parameters)
    assert metrics["code_bits_per_weight"] == bits
    assert metrics["shared_bytes"] == codec.shared_bytes
    restored = population.with_weights(
        torch.cat([decompress(codec, payload, len(population.architectures))[0] for payload in payloads])
    )
    same = predictions(population, images) == predictions(restored, images)
    assert metrics["agreement"] == pytest.approx(float(same.double().mean()))
    change = 100 * (classification(population, images).accuracy_M - classification(restored, images).accuracy_M)
    assert metrics["accuracy_drop_pp"] == pytest.approx(float(change.mean()))
    assert metrics["accuracy_shift_pp"] == pytest.approx(float(change.abs().mean()))


def test_measure_finds_no_difference_where_there_is_none(small_zoo):
    population, images = small_zoo.population("validation"), small_zoo.dataset().validation
    found = summary([measure(population, population.weights_MP, images, small_zoo.dataset().task)])
    assert found == {"agreement": 1.0, "accuracy_drop_pp": 0.0, "accuracy_shift_pp": 0.0, "kl": 0.0}


def test_a_diverged_fit_says_so(small_zoo):
    fit = new_fit(small_zoo, behavior_loss=0.0, learning_rate=1e30)
    with pytest.raises(DivergedError, match=r"lower learning_rate \(1e\+30\)"):
        drive(fit, 4)


def test_a_diverged_decoder_is_not_validated(small_zoo):
    fit = new_fit(small_zoo)
    with torch.no_grad():
        fit.module.decoder.mean[0] = float("nan")
    with pytest.raises(DivergedError, match="not finite"):
        fit.validate()


def test_a_fit_ends_after_its_epochs(small_zoo):
    fit = new_fit(small_zoo, epochs=1)
    fit.train_epoch()
    with pytest.raises(RuntimeError, match="all 1 epochs are done"):
        fit.train_epoch()


def test_an_empty_population_is_refused(small_zoo):
    data = fit_data(small_zoo)
    empty = dataclasses.replace(data, training=(data.training[0].select([]),))
    with pytest.raises(ValueError, match="training population is empty"):
        find_trainable("neuron-autoencoder").fit(NeuronAutoencoderConfig(), empty)


@pytest.mark.parametrize("bottleneck", ["identity", "quantized", "gaussian"])
def test_noise_on_latents_is_a_share_of_each_network_s_largest_symbol(small_zoo, bottleneck):
    fit = new_fit(small_zoo, bottleneck=bottleneck, latent_noise=0.25)
    with torch.no_grad():
        encoded = fit.module.encoded(fit.coordinates_MP)
        latent_MZ = fit.module.bottleneck.latent(encoded)
        noise_MZ = fit._cell_noise(latent_MZ, encoded, torch.Generator().manual_seed(0))
        step_Z = fit.module.bottleneck.coding_step(encoded)
    step_Z = 1.0 if step_Z is None else step_Z
    ratio_M = (noise_MZ / step_Z).std(1) / (latent_MZ / step_Z).abs().amax(1)
    torch.testing.assert_close(ratio_M, torch.full_like(ratio_M, 0.25), rtol=0.3, atol=0)


def test_latents_that_were_fitted_with_noise_withstand_it_better(small_zoo):
    kl = []
    for latent_noise in (0.0, 0.1):
        fit = new_fit(small_zoo, bottleneck="identity", latent_noise=latent_noise, epochs=12, learning_rate=3e-3)
        drive(fit, 12)
        population = fit.data.validation[0]
        latent = fit.module.encode(population)
        generator = torch.Generator().manual_seed(1)
        largest_M1 = latent.values_MZ.abs().amax(1, keepdim=True)
        noisy_MZ = latent.values_MZ + 0.1 * largest_M1 * torch.randn(latent.values_MZ.shape, generator=generator)
        weights_MP = fit.module.decode(dataclasses.replace(latent, values_MZ=noisy_MZ)).detach()
        data = small_zoo.dataset()
        kl.append(float(measure(population, weights_MP, data.validation, data.task)["kl"].mean()))
    assert kl[1] < 0.9 * kl[0]
