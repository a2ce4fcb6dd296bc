"""The set-based encoder: how networks are cut, attention over sets, and what a fit learns."""

import dataclasses

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from architectures import random_weights, small_net

from trainables.encoders.augmentation import permuted_networks
from trainables.encoders.entries import ENCODERS
from trainables.encoders.positions import sinusoids
from trainables.encoders.sne.chunks import KINDS, chunked, cut, kept_whole
from trainables.encoders.sne.config import SneConfig
from trainables.encoders.sne.encoder import Sne, tensor_places
from trainables.encoders.sne.sets import AttentionBlock, SetToVector
from trainables.trainable import FitData, run
from zoo.architecture import cnn, mlp
from zoo.data import load_dataset
from zoo.population import Member, Population
from zoo.population.initialization import initial_weights
from zoo.population.population import single_architecture

ARCHITECTURES = {
    "mlp": mlp((1, 4, 4), (5,), 3),
    "deeper": mlp((1, 4, 4), (6, 4), 3, bias=False),
    "cnn": cnn((1, 6, 6), (3, 4), 3),
    "batch norm": dataclasses.replace(small_net(), input_shape=(1, 8, 8)),
}
SMALL = SneConfig(
    chunk=7, element_width=4, width=8, heads=2, latent=8, epochs=10, batch_size=16, learning_rate=3e-2, invariance=0.0
)


def networks(architecture, members, seed=0):
    """Networks whose accuracy depends on the spread of their weights."""
    specs = [Member(id=i, seed=seed + i, init_scale=0.5 + (i % 10) / 5) for i in range(members)]
    weights_MP = initial_weights(architecture, specs)
    population = single_architecture(architecture, weights_MP, specs)
    return dataclasses.replace(population, columns={"test_accuracy": weights_MP.std(1).numpy().copy()})


def data():
    return FitData(
        training=(networks(ARCHITECTURES["mlp"], 48), networks(ARCHITECTURES["cnn"], 48, 1000)),
        validation=(networks(ARCHITECTURES["mlp"], 24, 5000), networks(ARCHITECTURES["cnn"], 24, 6000)),
        dataset=load_dataset("digits"),
    )


def module(config=SMALL, seed=0):
    torch.manual_seed(seed)
    return Sne(config, {}).eval()


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_every_weight_is_in_one_chunk_of_its_own_tensor(name):
    architecture = ARCHITECTURES[name]
    weights_MP = random_weights(architecture, 2, seed=0)
    layout = chunked(architecture.layout, 7)
    parts = list(cut(weights_MP, layout))
    chunks = [chunk for part in parts for chunk in part[1]]
    sets = {}
    for group in layout.layers:
        for numbers, kind, depth in zip(group.chunk_LT.tolist(), group.kind_L, group.depth_L, strict=True):
            sets[torch.cat([chunks[i] for i in numbers])] = (KINDS[kind], int(depth))
    assert len(sets) == len(architecture.layout)
    for spec in architecture.layout:
        wanted = weights_MP[1, spec.span]
        found = [values for values in sets if len(values) >= spec.size and torch.equal(values[: spec.size], wanted)]
        assert len(found) == 1
        assert not found[0][spec.size :].any(), "padded with zeros"
        kind, depth = sets.pop(found[0])
        layers = list(dict.fromkeys(other.name.rpartition(".")[0] for other in architecture.layout))
        assert depth == layers.index(spec.name.rpartition(".")[0])
        assert kind in {4: ["kernels"], 2: ["linear"], 1: ["bias", "normalization"]}[len(spec.shape)]


def test_kernels_are_chunks_of_their_own_and_linear_layers_are_cut():
    layout = chunked(ARCHITECTURES["cnn"].layout, 7)
    widths = {chunks.place_TN.shape[1]: chunks for chunks in layout.chunks}
    assert len(widths[9].place_TN) == 3 + 3 * 4
    assert widths[9].kept_TN is None
    assert len(widths[7].place_TN) == 2, "12 weights of the linear layer, padded to 14"
    assert int((~widths[7].kept_TN).sum()) == 2


@pytest.mark.parametrize("count", [5, 80], ids=["few", "many"])
@pytest.mark.parametrize("heads", [1, 2])
def test_attention_is_that_of_its_formula(count, heads):
    torch.manual_seed(0)
    block, pooled = AttentionBlock(4, heads), SetToVector(4, heads)
    sets_SND = torch.randn(3, count, 4)
    kept_SN = torch.rand(3, count) < 0.7

    def attend(query, key, value, kept):
        parts = []
        for q, k, v in zip(*(part.chunk(heads, dim=1) for part in (query, key, value)), strict=True):
            logits = (q @ k.T / q.shape[1] ** 0.5).masked_fill(~kept, -torch.inf)
            parts.append(logits.softmax(dim=1) @ v)
        return torch.cat(parts, dim=1)

    def rest(layer, found):
        return found + F.relu(layer.feedforward(found))

    for elements_ND, kept_N, seen, vector in zip(
        sets_SND, kept_SN, block(sets_SND, kept_SN), pooled(sets_SND, kept_SN), strict=True
    ):
        parts = block.query_key_value(elements_ND).chunk(3, dim=1)
        torch.testing.assert_close(seen, rest(block.rest, elements_ND + attend(*parts, kept_N)))
        key, value = (elements_ND @ matrix.flatten(0, 1).T for matrix in (pooled.key, pooled.value))
        wanted = rest(pooled.rest, attend(pooled.query[None], key, value + pooled.bias, kept_N))
        torch.testing.assert_close(vector, wanted[0])


def test_sinusoids_are_those_of_their_formula():
    wanted = [[np.sin(p), np.cos(p), np.sin(p / 100), np.cos(p / 100)] for p in range(3)]
    np.testing.assert_allclose(sinusoids(torch.arange(3), 4), wanted, rtol=1e-5)


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_networks_of_any_layout_are_embedded_one_by_one_as_in_a_batch(name):
    encoder = module()
    population = single_architecture(ARCHITECTURES[name], random_weights(ARCHITECTURES[name], 3, seed=0))
    embedding_BE = encoder(population)
    assert embedding_BE.shape == (3, 8)
    for row in range(3):
        torch.testing.assert_close(encoder(population.select([row]))[0], embedding_BE[row], rtol=1e-4, atol=1e-5)
    assert (embedding_BE[0] - embedding_BE[1]).abs().max() > 1e-4


def test_padding_does_not_count():
    """A layer of 20 weights, cut into chunks of 7 or of 20: what is padded must not be seen in either."""
    population = single_architecture(mlp((1, 1, 5), (), 4), torch.randn(2, 24))
    layout = chunked(population.architecture.layout, 7)
    encoder = module()
    for part, entries in zip(layout.chunks, cut(population.weights_MP, layout), strict=True):
        if part.kept_TN is not None:
            other = torch.where(part.kept_TN, entries, 1e3)
            torch.testing.assert_close(encoder.encode_chunks(part, other), encoder.encode_chunks(part, entries))
            return
    raise AssertionError("nothing is padded")


def test_places_of_entries_of_chunks_and_of_tensors_count():
    """Sets know no order: each must be told which place its elements have, and of which depth and kind they are."""
    population = single_architecture(mlp((1, 4, 4), (8, 8), 3), random_weights(mlp((1, 4, 4), (8, 8), 3), 3, seed=0))
    layout, encoder = chunked(population.architecture.layout, 8), module().double()
    replace, weights_BP = dataclasses.replace, population.weights_MP.double()
    chunks, entries = next(zip(layout.chunks, cut(weights_BP, layout), strict=True))
    seen_BTD, layers = encoder.see(layout, weights_BP), layout.layers[0]
    of_one_BTD = seen_BTD[:, : layers.chunk_LT.numel()]
    with torch.no_grad():
        pairs = {
            "entry": (encoder.encode_chunks(chunks, entries), encoder.encode_chunks(chunks, entries.flip(2))),
            "chunk": (
                encoder.encode_layers(layers, of_one_BTD),
                encoder.encode_layers(layers, of_one_BTD.unflatten(1, layers.chunk_LT.shape).flip(2).flatten(1, 2)),
            ),
        }
        for name in ("depth", "kind"):
            other = replace(chunks, **{f"{name}_T": getattr(chunks, f"{name}_T") + 1})
            pairs[f"{name} of chunks"] = (encoder.encode_chunks(chunks, entries), encoder.encode_chunks(other, entries))
            moved = tuple(replace(part, **{f"{name}_L": getattr(part, f"{name}_L") + 1}) for part in layout.layers)
            there = encoder.read([replace(layout, layers=moved)], [seen_BTD])
            pairs[f"{name} of tensors"] = (encoder.read([layout], [seen_BTD]), there)
    assert {name: bool((one - other).abs().max() > 1e-5) for name, (one, other) in pairs.items()} == dict.fromkeys(
        pairs, True
    )


def test_a_depth_is_not_taken_for_a_kind_nor_for_an_entry():
    """Sums of encodings have no order: places of each sort must have numbers of their own."""
    depths, kinds, entries = torch.meshgrid(torch.arange(10), torch.arange(5), torch.arange(33), indexing="ij")
    places_PW = tensor_places(depths.flatten(), kinds.flatten(), 32) + sinusoids(entries.flatten(), 32)
    assert torch.pdist(places_PW.double()).min() > 0.1


def test_permuted_networks_of_several_architectures_compute_what_they_did():
    architectures = tuple(mlp((1, 4, 4), (5,), 3, activation=name) for name in ("relu", "tanh"))
    population = Population(
        weights_MP=random_weights(architectures[0], 6, seed=0),
        architectures=architectures,
        architecture_M=torch.tensor([1, 0, 0, 1, 0, 1]),
    )
    moved = permuted_networks(population, torch.Generator().manual_seed(0))
    x = torch.rand(5, 1, 4, 4)
    torch.testing.assert_close(moved.logits(x), population.logits(x))
    assert ((moved.weights_MP != population.weights_MP).any(dim=1)).all()


@torch.no_grad()
@pytest.mark.parametrize("chunk", [1, 4, 7, 16])
@pytest.mark.parametrize("name", ARCHITECTURES)
def test_the_penalty_is_half_the_squared_distance_to_permuted_networks(name, chunk):
    """Whichever chunks an order moves as a whole, of which only the place is computed anew."""
    encoder = module(dataclasses.replace(SMALL, chunk=chunk, invariance=0.3))
    population = single_architecture(ARCHITECTURES[name], random_weights(ARCHITECTURES[name], 4, seed=0))
    generators = [torch.Generator().manual_seed(0) for _ in range(2)]
    wanted_BE = encoder(population)
    embedding_BE, penalty = encoder.embedded(population, generators[1])
    torch.testing.assert_close(embedding_BE, wanted_BE)
    moved_BE = encoder(permuted_networks(population, generators[0]))
    distances = [float((one - other).norm() ** 2) for one, other in zip(wanted_BE, moved_BE, strict=True)]
    assert float(penalty) == pytest.approx(0.3 * 0.5 * np.mean(distances), rel=1e-3)
    assert float(penalty) > 0
    assert module().embedded(population, generators[1])[1] is None


def test_kernels_and_rows_move_as_a_whole_and_biases_do_not():
    layout = ARCHITECTURES["cnn"].layout
    whole = dict(zip((spec.name for spec in layout), kept_whole(ARCHITECTURES["cnn"], 4), strict=True))
    assert {name for name, kept in whole.items() if kept} == {
        spec.name for spec in layout if len(spec.shape) > 2 or spec is layout[-1]
    }
    first, last = ARCHITECTURES["mlp"].layout[0], ARCHITECTURES["mlp"].layout[2]
    assert (len(first.shape), len(last.shape)) == (2, 2)
    assert kept_whole(ARCHITECTURES["mlp"], 8)[::2] == (True, False), "rows of 16 in chunks of 8; columns are mixed"


def test_scales_are_those_of_the_training_networks():
    encoder = module()
    encoder.initialize(data())
    weights = [population.architecture.tensors(population.weights_MP) for population in data().training]
    linear = torch.cat([tensor.flatten() for part in weights for tensor in part.values() if tensor.ndim == 3])
    assert float(encoder.scale_K[KINDS.index("linear")]) == pytest.approx(float(linear.square().mean().sqrt()), 1e-5)
    assert float(encoder.scale_K[KINDS.index("normalization")]) == 1, "there are none"


@pytest.mark.parametrize("invariance", [0.0, 1e-4])
def test_a_fit_learns_of_mixed_networks_and_comes_back_from_files(invariance):
    fit = ENCODERS["sne"].fit(dataclasses.replace(SMALL, invariance=invariance), data())
    first = fit.train_epoch()
    run(fit)
    with torch.no_grad():
        last = fit.losses(0, torch.arange(48), torch.Generator().manual_seed(0))
    assert ("penalty" in last) == (invariance > 0)
    assert float(last["loss"]) < 0.5 * first["loss"]
    encoder = fit.artifact()
    again = ENCODERS["sne"].from_files(encoder.to_files())
    deeper = networks(ARCHITECTURES["deeper"], 20)
    assert np.array_equal(again.embed(deeper), encoder.embed(deeper))
    assert fit.validate()["probe_r2"] > 0.7


def test_wrong_configurations_say_what_is_allowed():
    with pytest.raises(ValueError, match="heads is 3; allowed: a divisor of width, which is 8"):
        dataclasses.replace(SMALL, heads=3)
    with pytest.raises(ValueError, match="epochs is 0"):
        dataclasses.replace(SMALL, epochs=0)
