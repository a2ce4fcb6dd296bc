from dataclasses import replace

import pytest
import torch
from architectures import random_examples, random_weights

from trainables.codecs.function_metric import refinement
from trainables.codecs.function_metric.codec import MetricCodec
from trainables.codecs.function_metric.config import FunctionMetricConfig
from trainables.codecs.function_metric.measuring import measured
from trainables.codecs.function_metric.refinement import Refinement, _Member
from zoo.architecture import Architecture, cnn, mlp
from zoo.data.examples import Examples
from zoo.population import single_architecture

SMALL = {
    "an mlp whose last layer is predicted": mlp((1, 4, 4), (5,), 4, activation="tanh"),
    "a cnn": cnn((1, 8, 8), (3,), 4, activation="relu"),
}


def fitted(architecture: Architecture, **settings):
    """(codec, population, what the encoder measures of it, its symbols without refinement)."""
    population = single_architecture(architecture, random_weights(architecture, 24))
    examples = Examples(random_examples(architecture, 300), torch.zeros(300, dtype=torch.int64))
    codec = MetricCodec.fit(FunctionMetricConfig(step=0.05, refine_rounds=2, **settings), population, examples)
    ((_, networks),) = measured(population, codec.sender.x, codec.sender.whitening, softmax=True)
    symbols, _ = codec.sender.encode(networks, refine=False)
    return codec, population, networks, symbols


@pytest.mark.parametrize("name", SMALL)
def test_refinement_lowers_error_and_bits_together(name):
    codec, _, networks, symbols = fitted(SMALL[name])
    common = codec.sender.refinement
    before = [torch.from_numpy(layer).float() for layer in symbols.layers]
    after = common(networks, symbols.exponents_ME, before)
    errors, bits = torch.zeros(2), torch.zeros(2)
    for row in range(len(symbols.exponents_ME)):
        member = _Member(common, networks, row, symbols.exponents_ME[row : row + 1])
        for number, layers in enumerate((before, after)):
            own = [layer[row : row + 1] for layer in layers]
            errors[number] += member.error(own)[0]
            bits[number] += member.bits(own)
    assert bits[1] < bits[0]
    assert errors[1] < 1.2 * errors[0]
    assert all(torch.equal(layer, layer.round()) for layer in after)


@pytest.mark.parametrize("name", SMALL)
def test_curvature_and_gradient_tell_what_small_changes_do(name, monkeypatch):
    monkeypatch.setattr(refinement, "DIRECTIONS", 64)
    codec, _, networks, symbols = fitted(SMALL[name])
    member = _Member(codec.sender.refinement, networks, 3, symbols.exponents_ME[3:4])
    layers = [torch.from_numpy(layer[3:4]).float() for layer in symbols.layers]
    error, gradient_Q = member.error(layers)
    generator = torch.Generator().manual_seed(0)
    moves = [0.02 * torch.randn(layer.shape, generator=generator) for layer in layers]
    move_Q = torch.cat([move.flatten() for move in moves])
    moved, _ = member.error([layer + move for layer, move in zip(layers, moves, strict=True)])
    squared = float(move_Q @ member.curvature(layers, 0) @ move_Q)
    assert moved - error == pytest.approx(2 * float(gradient_Q @ move_Q) + squared, rel=0.2, abs=0.05 * squared)


def test_payloads_of_refined_networks_come_back(monkeypatch):
    codec, population, _, _ = fitted(SMALL["a cnn"])
    payload = codec.compress(population)
    restored = MetricCodec.from_files(codec.to_files())
    assert restored.compress(population) == payload
    assert torch.equal(restored.decompress(payload), codec.decompress(payload))
    monkeypatch.setattr(refinement, "LARGEST_NETWORK", 10)
    with pytest.raises(ValueError, match=r"has [\d,]+ symbols; allowed: at most 10. Set refine_rounds to 0"):
        codec.compress(population)


def test_nothing_is_changed_where_outputs_do_not_depend_on_weights():
    codec, population, networks, symbols = fitted(SMALL["a cnn"])
    sender = replace(codec.sender, x=torch.zeros_like(codec.sender.x))
    layers = [torch.from_numpy(layer).float() for layer in symbols.layers]
    assert isinstance(sender.refinement, Refinement)
    after = sender.refinement(networks, symbols.exponents_ME, layers)
    weights_MP = population.architecture.flatten(sender.transform.all_tensors(after, symbols.exponents_ME))
    assert bool(torch.isfinite(weights_MP).all())
