from dataclasses import replace

import numpy as np
import pytest
import torch
from architectures import random_examples, random_weights

from trainables.codecs.distilled_rounding import distilled
from trainables.codecs.function_metric.codec import MetricCodec
from trainables.codecs.function_metric.config import FunctionMetricConfig
from zoo.architecture import cnn
from zoo.data import load_dataset
from zoo.data.examples import Examples
from zoo.population import Member, Population, single_architecture
from zoo.training.train import train_population

STEPS = 200


@pytest.fixture(scope="module", name="data")
def digits():
    return load_dataset("digits")


@pytest.fixture(scope="module", name="networks")
def trained_networks(data) -> Population:
    """Forty CNNs of two activations, interleaved."""
    architectures = tuple(cnn(data.input_shape, (6,), data.classes, activation=name) for name in ("relu", "tanh"))
    weights_MP = torch.empty(40, architectures[0].parameters)
    for number, architecture in enumerate(architectures):
        specs = [Member(id=i, seed=i, learning_rate=8e-3, init_scale=0.5 + i / 20) for i in range(20)]
        for snapshot in train_population(architecture, specs, data.train, epochs=8, snapshot_epochs=(8,)):
            weights_MP[2 * torch.tensor(list(snapshot.rows)) + number] = snapshot.weights_MP
    return Population(weights_MP=weights_MP, architectures=architectures, architecture_M=torch.arange(40) % 2)


@pytest.fixture(scope="module", name="codec")
def fitted(data, networks) -> MetricCodec:
    config = FunctionMetricConfig(step=0.06, distill_steps=STEPS, distill_price=6.0)
    return MetricCodec.fit(config, networks.select(range(24)), data.train)


def agreement(population, weights_MP, images) -> float:
    wanted_MN = population.logits(images.inputs).argmax(dim=2)
    return float((population.logits(images.inputs, weights_MP).argmax(dim=2) == wanted_MN).double().mean())


def test_held_out_networks_are_kept_better_on_unseen_images_at_fewer_bits(data, networks, codec):
    held_out = networks.select(range(24, 40))
    plain = MetricCodec.fit(replace(codec.sender.config, distill_steps=0), networks.select(range(24)), data.train)
    sizes, agreements = [], []
    for own in (plain, codec):
        payload = own.compress(held_out)
        sizes.append(len(payload))
        agreements.append(agreement(held_out, own.decompress(payload), data.test))
    assert sizes[1] < 0.97 * sizes[0]
    assert agreements[1] > agreements[0] + 0.005


def test_the_same_networks_give_the_same_bytes_from_a_restored_codec_too(networks, codec):
    held_out = networks.select([30, 25, 38])
    payload = codec.compress(held_out)
    assert codec.compress(held_out) == payload
    restored = MetricCodec.from_files(codec.to_files())
    assert restored.compress(held_out) == payload
    assert torch.equal(restored.decompress(payload), codec.decompress(payload))


def test_a_network_gets_the_same_symbols_alone_and_among_others(networks, codec):
    together = codec.symbols(networks.select(range(24, 40)))
    for row in (0, 9):
        alone = codec.symbols(networks.select([24 + row]))
        same = np.concatenate(
            [(own[0] == other[row]).ravel() for own, other in zip(alone.layers, together.layers, strict=True)]
        )
        assert same.mean() > 0.97  # sums of another order now and then decide a symbol


@pytest.mark.parametrize("bit", [0.0, 1e-3, 1.0])
def test_distance_plus_price_of_bits_never_rises(bit):
    architecture = cnn((1, 8, 8), (3,), 4, activation="relu")
    population = single_architecture(architecture, random_weights(architecture, 5), ())
    examples = Examples(random_examples(architecture, 100), torch.zeros(100, dtype=torch.int64))
    step = 0.1
    symbols_MQ = (population.weights_MP / step).round()

    def cost(found_MQ):
        wanted_MNC = population.logits(examples.inputs).log_softmax(2)
        given_MNC = population.logits(examples.inputs, found_MQ * step).log_softmax(2)
        return (wanted_MNC.exp() * (wanted_MNC - given_MNC)).sum(2).mean(1), found_MQ.abs().sum(1)

    found_MQ = distilled(
        population, examples, symbols_MQ, lambda s: s * step, torch.abs, softmax=True, steps=60, bit=bit
    )
    assert torch.equal(found_MQ, found_MQ.round())
    (before_M, bits_M), (after_M, fewer_M) = cost(symbols_MQ), cost(found_MQ)
    assert bool((after_M + bit * fewer_M <= before_M + bit * bits_M + 1e-6).all())
    if bit == 0:
        assert float(after_M.sum()) < float(before_M.sum())
    else:
        assert float(fewer_M.sum()) < float(bits_M.sum())


def test_a_network_that_overflows_gets_what_it_had():
    architecture = cnn((1, 8, 8), (3,), 4, activation="relu")
    population = single_architecture(architecture, random_weights(architecture, 3), ())
    examples = Examples(random_examples(architecture, 100), torch.zeros(100, dtype=torch.int64))
    scale_M1 = torch.tensor([[0.1], [1e38], [0.1]])
    symbols_MQ = (population.weights_MP / scale_M1).round()
    found_MQ = distilled(
        population, examples, symbols_MQ, lambda s: s * scale_M1, torch.abs, softmax=True, steps=60, bit=0.0
    )
    assert bool((found_MQ != symbols_MQ).any(dim=1)[[0, 2]].all())
    assert bool(torch.isfinite(found_MQ).all())
    assert torch.equal(found_MQ[1], symbols_MQ[1])


def test_outputs_that_are_numbers_come_closer(data, networks):
    numbers = Examples(data.train.values, torch.zeros(len(data.train), 10), data.train.scale)
    held_out, errors = networks.select(range(32, 40)), []
    for steps in (0, STEPS):
        config = FunctionMetricConfig(step=0.06, distill_steps=steps, distill_price=0.0)
        codec = MetricCodec.fit(config, networks.select(range(24)), numbers)
        decoded_MP = codec.decompress(codec.compress(held_out))
        wanted_MNC, given_MNC = (held_out.logits(data.test.inputs, w) for w in (held_out.weights_MP, decoded_MP))
        errors.append(float((wanted_MNC - given_MNC).square().mean() / wanted_MNC.var()))
    assert errors[1] < 0.9 * errors[0]


def test_settings_out_of_range_are_refused():
    with pytest.raises(ValueError, match=r"distill_steps is -1; allowed: a whole number, 0 or more"):
        FunctionMetricConfig(distill_steps=-1)
    with pytest.raises(ValueError, match="distill_price is -1"):
        FunctionMetricConfig(distill_price=-1)
    with pytest.raises(ValueError, match="distill_images is 0"):
        FunctionMetricConfig(distill_images=0)
