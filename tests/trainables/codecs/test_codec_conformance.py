"""What every codec promises: one suite for each entry of the registry, the controls and the learned codec."""

import re

import numpy as np
import pytest
import torch

from analysis.compression.codecs import CODECS, CodecFamily, find_codec, setting_name
from analysis.compression.controls import ZERO_RATE
from trainables.codecs.cells import numbers_of
from trainables.codecs.codec import Codec
from trainables.codecs.payloads import compress, compressor, decompress
from trainables.registry import find_trainable
from trainables.trainable import FitData, run
from zoo.evaluation import outputs

LEARNED = {
    "autoencoder, quantized": {"bottleneck": "quantized"},
    "autoencoder, float16 latents": {"bottleneck": "identity"},
}
CASES = [(name, place) for name, family in CODECS.items() for place in {0, len(family.settings) - 1}]
CASES += [(name, 0) for name in LEARNED]


@pytest.fixture(scope="module")
def networks(small_zoo):
    return (
        FitData(training=(small_zoo.population("train", epochs="last"),), validation=(), dataset=small_zoo.dataset()),
        small_zoo.population("test", epochs="one"),
    )


@pytest.fixture(scope="module", params=CASES, ids=[f"{name}-{place}" for name, place in CASES])
def codec(request, networks):
    name, place = request.param
    data, _ = networks
    if name in CODECS:
        return CODECS[name].codec(data, CODECS[name].settings[place])
    family = find_trainable("neuron-autoencoder")
    config = family.configuration({"latent": 8, "encoder_width": 16, "decoder_width": 16, "epochs": 1, **LEARNED[name]})
    return run(family.fit(config, data)).artifact()


def test_is_a_codec(codec):
    assert isinstance(codec, Codec)
    assert codec.name
    assert isinstance(codec.shared_bytes, int)
    assert codec.shared_bytes >= 0


@pytest.mark.parametrize("members", [1, 2, 7])
def test_returns_networks_of_the_same_shape(codec, networks, members):
    population = networks[1].select(range(members))
    payload = codec.compress(population)
    weights_MP = codec.decompress(payload)
    assert isinstance(payload, bytes)
    assert weights_MP.dtype == torch.float32
    assert weights_MP.shape == (members, population.parameters)
    assert torch.isfinite(weights_MP).all()


@pytest.mark.parametrize("name", CODECS)
def test_absurd_weights_are_coded_or_refused_in_words(networks, name):
    (training,), test = networks[0].training, networks[1].select(range(2))
    data = FitData(
        training=(training.with_weights(training.weights_MP * 1e30),), validation=(), dataset=networks[0].dataset
    )
    huge = test.with_weights(test.weights_MP * 1e30)
    try:
        codec = CODECS[name].codec(data, CODECS[name].settings[-1])
        rebuilt_MP = codec.decompress(codec.compress(huge))
    except ValueError as error:
        assert re.search("leave (such networks|members) out", str(error))  # noqa: PT017
    else:
        assert torch.isfinite(rebuilt_MP).all()


def test_symbols_in_cells_are_the_payload_s_or_there_are_none(codec, networks):
    """Read exactly they are the networks of the payload, and read with an error others that are near."""
    population = networks[1].select(range(5))
    why = CODECS[codec.name].no_symbols if codec.name in CODECS else ""
    if why:
        assert len(why.split()) > 3, "a sentence"
        with pytest.raises(ValueError, match=rf"codec '{re.escape(codec.name)}' has no method numbers\(\)"):
            numbers_of(codec, population)
        return
    numbers, decoded_MP = numbers_of(codec, population), codec.decompress(codec.compress(population))
    exact_MP = numbers.weights(numbers.groups)
    assert exact_MP.dtype == torch.float32
    examples = networks[0].dataset.train.first(50)
    # Some codecs send units in another order, and latents as float16.
    answers, expected = (outputs(population.with_weights(each), examples) for each in (exact_MP, decoded_MP))
    assert float((answers - expected).norm() / expected.norm()) < 1e-3
    assert {len(group) for group in numbers.groups} == {5}
    assert numbers.protected_bits >= 0
    drawn = np.random.default_rng(0)
    read = [group + 1e-4 * np.abs(group).max() * drawn.standard_normal(group.shape) for group in numbers.groups]
    moved = float((numbers.weights(read) - exact_MP).norm() / exact_MP.norm())
    assert 0 < moved < 0.1


def test_is_deterministic_and_leaves_its_input_alone(codec, networks):
    population = networks[1]
    before_MP = population.weights_MP.clone()
    first, second = codec.compress(population), codec.compress(population)
    assert first == second
    assert torch.equal(codec.decompress(first), codec.decompress(second))
    assert torch.equal(population.weights_MP, before_MP)


def test_a_payload_holds_all_that_is_needed(codec, networks):
    """Payloads of different sizes can be decoded in any order."""
    population = networks[1]
    payloads = [codec.compress(population.select(rows)) for rows in ([0], [1, 2, 3], [4])]
    forward = [codec.decompress(payload) for payload in payloads]
    backward = [codec.decompress(payload) for payload in reversed(payloads)][::-1]
    assert [len(weights_MP) for weights_MP in forward] == [1, 3, 1]
    assert all(torch.equal(a, b) for a, b in zip(forward, backward, strict=True))


def test_symbols_decided_on_once_give_the_same_payloads(codec, networks):
    """Up to roundings that may tip over, as networks are encoded in other company."""
    population = networks[1]
    compressed = compressor(codec, population)
    for rows in (list(range(len(population))), [0], [3, 1]):
        payload, alone = compressed(rows), compress(codec, population.select(rows))
        assert len(payload) == pytest.approx(len(alone), abs=2 + 0.02 * len(alone))
        decoded_MP = decompress(codec, payload, len(population.architectures))[0]
        expected_MP = decompress(codec, alone, len(population.architectures))[0]
        near_MP = torch.isclose(decoded_MP, expected_MP, rtol=1e-3, atol=1e-3)
        assert near_MP.float().mean() > 0.9
    assert compressed(list(range(len(population)))) == compress(codec, population)


def test_rows_keep_their_order(codec, networks):
    """A permuted population decodes to permuted networks, up to roundings that may tip over."""
    population = networks[1]
    order = list(range(len(population)))[::-1]
    there = codec.decompress(codec.compress(population))
    back = codec.decompress(codec.compress(population.select(order)))
    assert (there[order] - back).norm() <= 0.02 * back.norm()


def test_corrupted_payloads_are_refused(codec, networks):
    payload = codec.compress(networks[1])
    for position in {0, 1, 2, len(payload) // 2, len(payload) - 1}:
        damaged = bytearray(payload)
        damaged[position] ^= 0x10
        with pytest.raises(ValueError, match=r"corrupted|truncated"):
            codec.decompress(bytes(damaged))
    for length in {0, 1, 2, len(payload) - 1}:
        with pytest.raises(ValueError, match=r"corrupted|truncated"):
            codec.decompress(payload[:length])


def test_weights_that_are_not_finite_are_refused(codec, networks):
    population = networks[1]
    broken_MP = population.weights_MP.clone()
    broken_MP[1, 5] = torch.nan
    with pytest.raises(ValueError, match="finite"):
        codec.compress(population.with_weights(broken_MP))


def test_an_empty_population_is_refused(codec, networks):
    with pytest.raises(ValueError, match="empty"):
        codec.compress(networks[1].select([]))


def test_an_extreme_network_is_coded(codec, networks):
    """All zero, or a thousand times larger than any training member: rarer symbols, not a crash."""
    population = networks[1].select([0, 1])
    strange_MP = torch.stack([torch.zeros(population.parameters), 1000 * population.weights_MP[1]])
    weights_MP = codec.decompress(codec.compress(population.with_weights(strange_MP)))
    assert torch.isfinite(weights_MP).all()


@pytest.mark.parametrize("name", [name for name, family in CODECS.items() if len(family.settings) > 1])
def test_settings_are_in_order_of_rate(name, networks):
    data, test = networks
    settings = CODECS[name].settings
    sizes = [len(CODECS[name].codec(data, setting).compress(test)) for setting in settings[::3]]
    assert sizes == sorted(sizes)
    assert len({setting_name(setting) for setting in settings}) == len(settings)


@pytest.mark.parametrize(
    ("name", "setting"),
    [
        ("uniform", {"step": 0}),
        ("kmeans", {"clusters": 1}),
        ("kmeans", {"clusters": 257}),
        ("pruning", {"keep": 1.1}),
        ("pruning+uniform", {"keep": 0.5, "step": -1.0}),
        ("pca", {"components": 0, "step": 0.5}),
        ("sz3", {"bound": 0.0}),
        ("index", {"known": 0}),
    ],
)
def test_impossible_settings_are_refused(name, setting, networks):
    data, _ = networks
    with pytest.raises(ValueError, match="allowed"):
        CODECS[name].codec(data, setting)


def test_unknown_codecs_are_named():
    with pytest.raises(ValueError, match=r"unknown codec 'uniforn'; did you mean 'uniform'\? known: .*uniform"):
        find_codec("uniforn")
    with pytest.raises(ValueError, match=r"must be a trainables\.trainable\.Trainable"):
        find_codec("zoo.config:digest")
    with pytest.raises(ValueError, match="of kind 'autoencoder'"):
        find_codec("example_trainables:SHIFTED")
    assert isinstance(find_codec("uniform"), CodecFamily)


def test_controls_are_marked():
    assert {name for name, family in CODECS.items() if family.family == "control"} == {
        *(set(ZERO_RATE) - {"mean latent"}),  # fitted with a learned codec, so not in the registry
        "index",
    }


def test_zero_rate_controls_send_nothing(networks):
    data, test = networks
    for name in set(ZERO_RATE) & set(CODECS):
        payload = CODECS[name].codec(data, {}).compress(test)
        assert len(payload) == 3
        assert np.ptp(CODECS[name].codec(data, {}).decompress(payload).numpy(), axis=0).max() == 0
