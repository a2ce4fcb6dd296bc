import math

import pytest
import torch

from trainables.codecs.classical.configs import LosslessConfig
from trainables.codecs.classical.scalar import Float16
from trainables.codecs.payloads import compress, decompress
from trainables.codecs.validation import validate_codec
from trainables.trainable import FitData
from zoo.architecture import mlp
from zoo.data import load_dataset
from zoo.population import Population, single_architecture

ACTIVATIONS = ("relu", "tanh", "gelu", "sigmoid", "leaky_relu", "silu")


@pytest.fixture(scope="module", name="data")
def digits():
    return load_dataset("digits")


def of_several(data, members: int, activations=ACTIVATIONS) -> Population:
    architectures = tuple(mlp(data.input_shape, (3,), data.classes, activation=name) for name in activations)
    generator = torch.Generator().manual_seed(0)
    return Population(
        weights_MP=torch.randn(members, architectures[0].parameters, generator=generator).half().float(),
        architectures=architectures,
        architecture_M=torch.randint(len(activations), (members,), generator=generator),
    )


@pytest.mark.parametrize("members", [1, 2, 7, 64, 300])
@pytest.mark.parametrize("count", [1, 2, 6])
def test_payloads_tell_the_architecture_of_every_network(data, members, count):
    population = of_several(data, members, ACTIVATIONS[:count])
    codec = Float16.fit(LosslessConfig(), population, data.train)
    payload = compress(codec, population)
    weights_MP, architecture_M = decompress(codec, payload, count)
    assert torch.equal(weights_MP, population.weights_MP)
    assert torch.equal(architecture_M, population.architecture_M)
    own = math.ceil(members * math.log2(count) / 8) + (members > 127) + 1 if count > 1 else 0
    assert len(payload) == len(codec.compress(population)) + own


def test_a_rate_counts_the_activations_where_there_are_several(data):
    several = of_several(data, 64)
    alike = single_architecture(several.architecture, several.weights_MP)
    codec = Float16.fit(LosslessConfig(), alike, data.train)
    rates = [
        validate_codec(codec, FitData(training=(zoo,), validation=(zoo,), dataset=data))["code_bits_per_weight"]
        for zoo in (alike, several)
    ]
    assert rates[1] - rates[0] == pytest.approx(8 * 22 / several.weights_MP.numel())


def test_a_payload_without_its_end_is_refused(data):
    population = of_several(data, 5)
    codec = Float16.fit(LosslessConfig(), population, data.train)
    payload = compress(codec, population)
    for short in (b"", payload[:1], payload[:9]):
        with pytest.raises(ValueError, match="truncated"):
            decompress(codec, short, len(ACTIVATIONS))
