"""Neural graphs: what does not change an embedding, what does, and what they learn."""

import dataclasses
import math

import numpy as np
import pytest
import torch
from architectures import ARCHITECTURES, random_examples, random_weights

from trainables.encoders.augmentation import permuted
from trainables.encoders.graph.config import MESSAGES, GraphConfig
from trainables.encoders.graph.encoder import Frequencies, Messages, NeuralGraph, cosines, without_scales
from trainables.encoders.graph.structure import network_graph
from trainables.encoders.supervised import SupervisedEncoder
from trainables.registry import find_trainable
from trainables.trainable import FitData, run
from zoo.architecture import cnn, mlp
from zoo.data import load_dataset
from zoo.population import Member, Population
from zoo.population.population import single_architecture

ENTRY = find_trainable("neural-graph")
SMALL = GraphConfig(width=16, edge_width=8, blocks=2, latent=8)
EVERY_ARCHITECTURE = pytest.mark.parametrize("architecture", ARCHITECTURES.values(), ids=ARCHITECTURES)


def module(config=SMALL):
    torch.manual_seed(0)
    return NeuralGraph(config, {}).eval()


def embedded(population, config=SMALL):
    """In float64, so that what is equal differs by far less than what is not."""
    with torch.no_grad():
        return module(config).double()(population.with_weights(population.weights_MP.double()))


def far(one, other):
    """Whether every network's embeddings differ by more than rounding."""
    return bool(((one - other).abs().amax(dim=1) > 1e-6).all())


def networks(architecture, members=4, seed=0):
    return single_architecture(architecture, random_weights(architecture, members, seed))


@EVERY_ARCHITECTURE
def test_edges_and_values_hold_every_weight_once(architecture):
    graph, population = network_graph(architecture), networks(architecture)
    tensors = architecture.tensors(population.weights_MP)
    parts = [*graph.edges, *graph.values]
    assert sorted(part.spec.name for part in parts) == sorted(tensors)
    for block in graph.edges:
        edges_MOIK = block.of(tensors[block.spec.name])
        counts = graph.units[block.target].count, graph.units[block.source].count, math.prod(block.grid)
        assert edges_MOIK.shape[1:] == counts
        assert torch.equal(block.back(edges_MOIK), tensors[block.spec.name])
    for value in graph.values:
        values_MUK = value.of(tensors[value.spec.name])
        assert values_MUK.shape[1:] == (graph.units[value.units].count, math.prod(value.grid))


@EVERY_ARCHITECTURE
def test_the_order_of_hidden_units_does_not_matter_and_everything_else_does(architecture):
    population = networks(architecture)
    other = permuted(population.weights_MP, architecture, torch.Generator().manual_seed(1))
    wanted = embedded(population)
    torch.testing.assert_close(embedded(population.with_weights(other)), wanted, rtol=0, atol=1e-12)
    for spec in architecture.layout:
        changed = population.weights_MP.clone()
        changed[:, spec.offset] += 0.5
        assert far(embedded(population.with_weights(changed)), wanted), spec.name


def test_an_order_that_changes_the_function_changes_the_embedding():
    architecture = mlp((1, 4, 4), (6, 6), 3)
    population = networks(architecture)
    tensors = architecture.tensors(population.weights_MP)
    for changed in (
        {"3.weight": tensors["3.weight"].flip(2)},  # what reads the first hidden layer, in another order than it
        {"1.weight": tensors["1.weight"].flip(2)},  # pixels have names
        {name: tensors[name].flip(1) for name in ("5.weight", "5.bias")},  # and so do classes
    ):
        other = population.with_weights(architecture.flatten({**tensors, **changed}))
        assert far(embedded(other), embedded(population))


def test_a_batch_is_a_loop_whatever_the_layouts():
    encoder = SupervisedEncoder(module())
    for population in (networks(mlp((1, 8, 8), (3, 4), 10), 5), networks(cnn((1, 8, 8), (3,), 10), 5)):
        one_by_one = [encoder.embed(population.select([row])) for row in range(5)]
        np.testing.assert_allclose(np.concatenate(one_by_one), encoder.embed(population), rtol=1e-4, atol=1e-5)


def test_networks_of_one_layout_that_read_other_images_have_graphs_of_their_own():
    architectures = mlp((1, 4, 4), (6,), 3), mlp((4, 2, 2), (6,), 3)
    assert architectures[0].layout == architectures[1].layout
    weights_MP, kind_M = random_weights(architectures[0], 5), torch.tensor([1, 0, 0, 1, 0])
    together = embedded(Population(weights_MP=weights_MP, architectures=architectures, architecture_M=kind_M))
    apart = [embedded(single_architecture(architecture, weights_MP)) for architecture in architectures]
    torch.testing.assert_close(together, torch.where(kind_M[:, None] == 0, *apart))
    assert far(*apart)


@pytest.mark.parametrize("messages", MESSAGES)
def test_messages_are_those_of_a_loop_over_edges(messages):
    architecture = mlp((1, 2, 2), (3, 2), 2)
    graph = network_graph(architecture)
    generator = torch.Generator().manual_seed(0)
    torch.manual_seed(0)
    layer = Messages(dataclasses.replace(SMALL, messages=messages), 1)
    nodes = [torch.randn(2, units.count, 16, generator=generator) for units in graph.units]
    edges = [
        torch.randn(2, graph.units[block.target].count, graph.units[block.source].count, 8, generator=generator)
        for block in graph.edges
    ]
    contexts = [torch.randn(2, 1, generator=generator) for _ in edges]
    with torch.no_grad():
        found_nodes, found_edges = layer(graph, list(nodes), edges, contexts)
        normed = [layer.norm(node) for node in nodes]
        sums = [torch.zeros(2, units.count, 2, 16) for units in graph.units]
        for number, block in enumerate(graph.edges):
            outputs, inputs = edges[number].shape[1:3]
            divisors = {"mean": (inputs, outputs), "root": (inputs**0.5, outputs**0.5), "sum": (1, 1)}[messages]
            for i in range(outputs):
                for j in range(inputs):
                    read, multiplied = layer.from_source(normed[block.source][:, j]).split(8, dim=1)
                    made, weighed = layer.from_target(normed[block.target][:, i]).split(8, dim=1)
                    edge = edges[number][:, i, j]
                    edge = edge + torch.relu(layer.edge(edge) + read + made + layer.context(contexts[number]))
                    torch.testing.assert_close(found_edges[number][:, i, j], edge)
                    sums[block.target][:, i, 0] += torch.cat([edge, edge * multiplied], dim=1) / divisors[0]
                    sums[block.source][:, j, 1] += torch.cat([edge, edge * weighed], dim=1) / divisors[1]
        for node, seen, both, found in zip(nodes, normed, sums, found_nodes, strict=True):
            wanted = node + layer.update(torch.cat([seen, both.flatten(2)], dim=2))
            torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-5)


def test_kernels_of_any_size_are_read_by_frequency():
    for grid in ((3, 3), (1, 5), (28, 28)):
        transform = cosines(grid, 64)
        torch.testing.assert_close(transform.T @ transform, torch.eye(math.prod(grid)), rtol=0, atol=1e-4)
    torch.manual_seed(0)
    read = Frequencies(4, 5)
    flat = read.weight[0, 0]
    for side in (2, 3, 6):  # a constant kernel of norm 1 has one frequency, whatever its size
        entries = torch.full((side * side,), 1 / side)
        torch.testing.assert_close(read(entries, (side, side)), flat + read.energy / side, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("architecture", [mlp((1, 4, 4), (6, 5), 3), cnn((1, 6, 6), (3, 4), 3)], ids=["mlp", "cnn"])
def test_a_gauge_undoes_scales_of_homogeneous_activations_alone(architecture):
    config = dataclasses.replace(SMALL, gauge=True)
    population, graph = networks(architecture), network_graph(architecture)
    tensors = architecture.tensors(population.weights_MP)
    x = random_examples(architecture, 5)
    plain = architecture.flatten(without_scales(population, graph, tensors))
    torch.testing.assert_close(population.logits(x, plain), population.logits(x), rtol=1e-4, atol=1e-4)

    scaled = dict(tensors)
    hidden = next(number for number, units in enumerate(graph.units) if units.role == "hidden")
    for part in (*graph.edges, *graph.values):
        if hidden in (getattr(part, "target", None), getattr(part, "units", None)):
            scaled[part.spec.name] = 3 * scaled[part.spec.name]
        if getattr(part, "source", None) == hidden:
            scaled[part.spec.name] = scaled[part.spec.name] / 3
    other = population.with_weights(architecture.flatten(scaled))
    torch.testing.assert_close(other.logits(x), population.logits(x), rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(embedded(other, config), embedded(population, config), rtol=0, atol=1e-6)
    assert far(embedded(other), embedded(population))

    layers = tuple(
        dataclasses.replace(layer, function="tanh") if layer.kind == "activate" else layer
        for layer in architecture.layers
    )
    curved = networks(dataclasses.replace(architecture, layers=layers))
    assert torch.equal(architecture.flatten(without_scales(curved, graph, tensors)), curved.weights_MP)


def test_a_gauge_is_refused_where_scales_belong_to_several_layers():
    gauge = NeuralGraph(dataclasses.replace(SMALL, gauge=True), {})
    with pytest.raises(ValueError, match=r"gauge is True, but .* has residual connections or batch norms.*: False"):
        gauge.require(networks(ARCHITECTURES["resnet"]))
    gauge.require(networks(ARCHITECTURES["cnn-4970"]))


def test_activations_are_told_only_where_asked():
    architectures = tuple(mlp((1, 4, 4), (6,), 3, activation=name) for name in ("relu", "tanh"))
    weights_MP = random_weights(architectures[0], 1).expand(2, -1)
    population = Population(weights_MP=weights_MP, architectures=architectures, architecture_M=torch.arange(2))
    one, other = embedded(population)
    torch.testing.assert_close(one, other)
    told = embedded(population, dataclasses.replace(SMALL, told_activation=True))
    assert far(told[:1], told[1:])


def data():
    """Networks of two layouts whose accuracy depends on how their layers fit together."""

    def population(architecture, members, seed):
        found = networks(architecture, members, seed)
        first, *_, last = (spec for spec in architecture.layout if spec.name.endswith("weight"))
        tensors = architecture.tensors(found.weights_MP)
        product = torch.einsum("moi,mhd->moihd", tensors[last.name], tensors[first.name]).diagonal(dim1=2, dim2=3)
        accuracy_M = product.sum(-1).square().sum((1, 2)).log().numpy()
        members = tuple(Member(id=number, seed=number) for number in range(members))
        return dataclasses.replace(found, members=members, columns={"test_accuracy": accuracy_M})

    layouts = [mlp((1, 4, 4), (units,), 3) for units in (5, 9)]
    return FitData(
        training=tuple(population(layout, 200, 0) for layout in layouts),
        validation=tuple(population(layout, 60, 9) for layout in layouts),
        dataset=load_dataset("digits"),
    )


@pytest.mark.slow
def test_learns_what_depends_on_how_layers_fit_together():
    config = dataclasses.replace(SMALL, epochs=25, batch_size=20, learning_rate=5e-3)
    found = run(ENTRY.fit(config, data())).validate()
    assert found["probe_r2"] > 0.5


def test_noise_is_a_share_of_each_tensor_and_drawn_from_the_generator_alone():
    noisy = NeuralGraph(dataclasses.replace(SMALL, noise=0.1), {})
    population = networks(mlp((1, 8, 8), (32,), 10))
    first, second = (noisy.augmented(population, torch.Generator().manual_seed(3)).weights_MP for _ in range(2))
    assert torch.equal(first, second)
    for spec in population.architecture.layout[:1]:
        before = population.weights_MP[:, spec.span]
        share_M = (first[:, spec.span] - before).std(dim=1) / before.square().mean(dim=1).sqrt()
        torch.testing.assert_close(share_M, torch.full_like(share_M, 0.1), rtol=0.1, atol=0)


@pytest.mark.parametrize(
    "change", [{"messages": "max"}, {"blocks": 0}, {"dropout": 1.0}, {"noise": -1.0}, {"latent": 0}]
)
def test_configurations_name_what_is_not_allowed(change):
    with pytest.raises(ValueError, match=f"{next(iter(change))}"):
        GraphConfig(**change)
