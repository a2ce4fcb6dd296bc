import itertools

import numpy as np
import pytest
import torch
from architectures import CONVOLUTIONAL, random_examples, random_permutations, random_weights

from trainables.codecs.classical.configs import UniformConfig
from trainables.codecs.classical.scalar import Uniform
from trainables.codecs.codec import Codec
from trainables.codecs.entropy import TableColumns
from trainables.codecs.function_metric.codec import MetricCodec
from trainables.codecs.function_metric.config import FunctionMetricConfig
from trainables.codecs.function_metric.networks import Networks
from trainables.codecs.function_metric.receiver import Receiver
from trainables.codecs.function_metric.rounding import bit_costs, round_with_feedback, rounded
from trainables.registry import find_trainable
from trainables.trainable import FitData, run
from zoo.architecture import Architecture, cnn, mlp, resnet
from zoo.architecture.activations import ACTIVATIONS
from zoo.data import load_dataset
from zoo.data.examples import Examples
from zoo.population import Member, Population, single_architecture
from zoo.training.train import train_population
from zoo.views.canonical import permute
from zoo.views.folding import Folding
from zoo.views.weight_layers import weight_layers


@pytest.fixture(scope="module", name="data")
def digits():
    return load_dataset("digits")


def trained(data, hidden=(6,), *, activation="relu", bias=True, members=40, epochs=3, rate=3e-3) -> Population:
    architecture = mlp(data.input_shape, hidden, data.classes, activation=activation, bias=bias)
    specs = [Member(id=i, seed=i, learning_rate=rate, init_scale=0.5 + i / members) for i in range(members)]
    snapshots = list(train_population(architecture, specs, data.train, epochs=epochs, snapshot_epochs=(epochs,)))
    rows = [row for snapshot in snapshots for row in snapshot.rows]
    weights_MP = torch.cat([snapshot.weights_MP for snapshot in snapshots])[np.argsort(rows)]
    return single_architecture(architecture, weights_MP, specs)


@pytest.fixture(scope="module", name="mixed")
def mixed_population(data) -> Population:
    """Members of three activations, interleaved."""
    parts = [
        trained(data, (8,), activation=name, members=40, epochs=6, rate=8e-3) for name in ("relu", "tanh", "sigmoid")
    ]
    order = [part * 40 + row for row, part in itertools.product(range(40), range(3))]
    return Population(
        weights_MP=torch.cat([part.weights_MP for part in parts])[order],
        architectures=tuple(part.architecture for part in parts),
        architecture_M=torch.arange(3).repeat_interleave(40)[order],
        members=tuple((parts[0].members + parts[1].members + parts[2].members)[i] for i in order),
    )


def agreement(population, weights_MP, images) -> torch.Tensor:
    original = population.logits(images.inputs).argmax(dim=2)
    return (population.logits(images.inputs, weights_MP=weights_MP).argmax(dim=2) == original).double().mean(dim=1)


def test_rate_falls_and_error_grows_with_the_step(data, mixed):
    held_out, training = mixed.select(range(30)), mixed.select(range(30, 120))
    bits, agreements = [], []
    for step in (0.01, 0.04, 0.16):
        codec = MetricCodec.fit(FunctionMetricConfig(step=step), training, data.train)
        payload = codec.compress(held_out)
        bits.append(8 * len(payload) / held_out.weights_MP.numel())
        agreements.append(float(agreement(held_out, codec.decompress(payload), data.test).mean()))
    assert bits[0] > bits[1] > bits[2]
    assert agreements[0] > agreements[1] > agreements[2]
    plain = Uniform.fit(UniformConfig(step=0.6), training, data.train)
    payload = plain.compress(held_out)
    plain_agreement = float(agreement(held_out, plain.decompress(payload), data.test).mean())
    assert agreements[1] > plain_agreement
    assert bits[1] < 0.3 * 8 * len(payload) / held_out.weights_MP.numel()


@pytest.mark.parametrize(
    ("hidden", "bias", "activation"),
    [((), True, "relu"), ((), False, "relu"), ((7,), False, "relu")]
    + [((7, 6), True, name) for name in ACTIVATIONS]
    + [((7, 6, 5), False, "tanh")],
)
def test_any_depth_and_activation_is_kept_at_a_small_step(data, hidden, bias, activation):
    population = trained(data, hidden, bias=bias, activation=activation, members=12)
    codec = MetricCodec.fit(FunctionMetricConfig(step=1e-4), population, data.train)
    weights_MP = codec.decompress(codec.compress(population))
    assert weights_MP.dtype == torch.float32
    inputs = data.train.first(300).inputs
    wanted_MNC = population.logits(inputs).log_softmax(dim=2)
    error_MNC = population.logits(inputs, weights_MP=weights_MP).log_softmax(dim=2) - wanted_MNC
    assert float(error_MNC.square().mean().sqrt()) < 0.01 * float(wanted_MNC.std())


def test_a_network_whose_spread_is_in_a_class_that_it_never_predicts_is_kept_too(data, mixed):
    """Its steps follow from that spread and lose all else, unless what is lost is found and repaired."""
    codec = MetricCodec.fit(FunctionMetricConfig(step=0.02), mixed, data.train)
    architecture, held_out = mixed.architecture, mixed.select(range(30))
    tensors = {name: tensor.clone() for name, tensor in architecture.tensors(held_out.weights_MP).items()}
    tensors["3.weight"][4, 9] *= 40
    tensors["3.bias"][4, 9] = -2000
    lopsided = held_out.with_weights(architecture.flatten(tensors))
    payload = codec.compress(lopsided)
    kept_M = agreement(lopsided, codec.decompress(payload), data.test)
    assert float(kept_M[4]) > 0.85 * float(kept_M.mean())
    assert len(payload) < 1.1 * len(codec.compress(held_out))


def test_decoding_is_deterministic_and_needs_the_shared_bytes_only(data, mixed):
    codec = MetricCodec.fit(FunctionMetricConfig(step=0.05), mixed, data.train)
    assert isinstance(codec, Codec)
    population = mixed.select([5, 0, 17])
    payload = codec.compress(population)
    assert codec.compress(population) == payload
    shared = codec.receiver.to_bytes()
    assert codec.shared_bytes == len(shared)
    receiver = Receiver.from_bytes(shared)
    weights_MP = codec.decompress(payload)
    assert torch.equal(codec.decompress(payload), weights_MP)
    assert torch.equal(receiver.transform.weights(receiver.decode(payload)), weights_MP)
    assert MetricCodec.fit(FunctionMetricConfig(step=0.05), mixed, data.train).receiver.to_bytes() == shared


def test_fits_to_the_same_networks_measure_them_once_and_are_as_without(data, mixed, monkeypatch):
    measured, measure = [], Networks.measure

    def counted(architecture, weights_MP, *arguments, **options):
        measured.append(len(weights_MP))
        return measure(architecture, weights_MP, *arguments, **options)

    training, trainable = mixed.select(range(90)), find_trainable("function-metric")
    fit_data = FitData(training=(training,), validation=(), dataset=data)
    for step in (0.03, 0.1):
        config = trainable.configuration({"step": step})
        alone = MetricCodec.fit(config, training, data.train)
        with monkeypatch.context() as patch:
            patch.setattr(Networks, "measure", counted)
            together = run(trainable.fit(config, fit_data)).artifact()
        assert together.to_files() == alone.to_files()
        assert sum(measured) == 90
    training.weights_MP[:] *= 1.5
    again = MetricCodec.fit_sharing(config, training, data.train, fit_data.shared)
    assert again.to_files() == MetricCodec.fit(config, training, data.train).to_files() != alone.to_files()


def test_decoding_does_not_need_the_activation(data, mixed):
    codec = MetricCodec.fit(FunctionMetricConfig(step=0.05), mixed, data.train)
    payload = codec.compress(mixed.select(range(6)))
    shared = codec.receiver.to_bytes()
    other = shared.replace(b"relu", b"gelu")
    assert other != shared
    receiver = Receiver.from_bytes(other)
    assert torch.equal(receiver.transform.weights(receiver.decode(payload)), codec.decompress(payload))


def test_members_come_back_in_their_order(data, mixed):
    codec = MetricCodec.fit(FunctionMetricConfig(step=0.01), mixed, data.train)
    population = mixed.select([7, 3, 8, 100, 1, 0])
    own_M = agreement(population, codec.decompress(codec.compress(population)), data.test)
    for row in range(len(population)):
        alone = population.select([row])
        weights_MP = codec.decompress(codec.compress(alone))
        assert weights_MP.shape == (1, population.parameters)
        assert abs(float(agreement(alone, weights_MP, data.test)[0] - own_M[row])) < 0.02
    assert float(own_M.min()) > 0.9


def test_class_mean_and_order_of_units_cost_nothing(data, mixed):
    codec = MetricCodec.fit(FunctionMetricConfig(step=0.03), mixed, data.train)
    architecture = mixed.architecture
    tensors = dict(architecture.tensors(mixed.weights_MP))
    tensors["3.weight"] = tensors["3.weight"] + torch.linspace(-3, 3, 8)
    order_MH = torch.randperm(8, generator=torch.Generator().manual_seed(0)).repeat(len(mixed), 1)
    moved_MP = permute(architecture.flatten(tensors), architecture, {"1": order_MH})
    payload, moved = codec.compress(mixed), codec.compress(mixed.with_weights(moved_MP))
    assert abs(len(moved) - len(payload)) < 0.02 * len(payload)
    kept, own = (agreement(mixed, codec.decompress(p), data.test).mean() for p in (moved, payload))
    assert abs(float(kept - own)) < 0.01


def test_what_cannot_be_coded_is_refused(data, mixed):
    with pytest.raises(ValueError, match=r"step is 0; allowed: more than 0"):
        FunctionMetricConfig(step=0)
    with pytest.raises(ValueError, match=r"bit_price is -1"):
        FunctionMetricConfig(bit_price=-1)
    with pytest.raises(ValueError, match="none of the 120 training members has finite weights"):
        MetricCodec.fit(FunctionMetricConfig(), mixed.with_weights(mixed.weights_MP / 0), data.train)
    codec = MetricCodec.fit(FunctionMetricConfig(step=0.1), mixed, data.train)
    with pytest.raises(ValueError, match="empty"):
        codec.compress(mixed.select([]))
    with pytest.raises(ValueError, match="another layout"):
        codec.compress(trained(data, (5,), members=2, epochs=1))
    with pytest.raises(ValueError, match="not finite"):
        codec.compress(mixed.with_weights(mixed.weights_MP * float("inf")))
    with pytest.raises(ValueError, match="overflow"):
        codec.compress(mixed.with_weights(mixed.weights_MP.sign() * 1e25))


def test_networks_that_are_degenerate_are_coded(data, mixed):
    """All zero, all dead, or the same answer to every image."""
    weights_MP = mixed.weights_MP.clone()
    weights_MP[0] = 0
    tensors = mixed.architecture.tensors(weights_MP)
    tensors["1.bias"][3] = -1e4  # no ReLU unit of member 3 is ever on
    tensors["3.weight"][1] = 0
    codec = MetricCodec.fit(FunctionMetricConfig(step=0.03), mixed.with_weights(weights_MP), data.train)
    population = mixed.with_weights(weights_MP).select([0, 1, 2, 3])
    decoded_MP = codec.decompress(codec.compress(population))
    assert bool(torch.isfinite(decoded_MP).all())
    assert float(agreement(population, decoded_MP, data.test)[1:].min()) > 0.9


@pytest.mark.parametrize("activation", ["relu", "gelu"])
@pytest.mark.parametrize("name", ["mlp", "cnn", "resnet"])
def test_networks_are_measured_in_a_gauge_of_the_same_function(activation, name):
    architecture = Folding(architecture_of(name, activation)).folded
    weights_MP, x = random_weights(architecture, 3), random_examples(architecture, 20)
    coordinates = [torch.eye(layer.width if layer.named else layer.entries) for layer in weight_layers(architecture)]
    networks = Networks.measure(architecture, weights_MP, x, coordinates, softmax=True)
    tensors = {}
    for layer, rows_MHD in zip(weight_layers(architecture), networks.rows, strict=True):
        final = layer.outputs != rows_MHD.shape[1]
        tensors |= layer.tensors(networks.directions_KC.T @ rows_MHD if final else rows_MHD)
        if activation == "relu" and not final:
            assert float(networks.sensitivities[0].gram_MHH.diagonal(dim1=1, dim2=2).max()) < 1.001
    expected_MNC = architecture.logits(weights_MP, x).log_softmax(dim=2)
    torch.testing.assert_close(architecture.apply(tensors, x).log_softmax(dim=2), expected_MNC, rtol=1e-3, atol=1e-4)


def architecture_of(name, activation="relu") -> Architecture:
    if name == "mlp":
        return mlp((1, 4, 4), (5, 4), 4, activation=activation)
    return {"cnn": cnn, "resnet": resnet}[name]((1, 8, 8), (4, 6), 4, activation=activation)


def test_feedback_lowers_the_error_that_counts():
    generator = torch.Generator().manual_seed(0)
    mixing = torch.randn(50, 12, 6, generator=generator)
    gram_MTT = mixing @ mixing.transpose(1, 2)  # 12 tokens act through 6 directions only
    targets_MTK = 3 * torch.randn(50, 12, 7, generator=generator)

    def error(symbols_MTK):
        delta = targets_MTK - symbols_MTK
        return float(torch.einsum("mtk,mts,msk->", delta, gram_MTT, delta))

    nearest = FunctionMetricConfig(bit_price=0)
    costs = [None] * 12
    assert error(round_with_feedback(targets_MTK, gram_MTT, None, costs, nearest)) < 0.4 * error(targets_MTK.round())
    identity = torch.eye(12).expand(50, -1, -1)
    assert torch.equal(round_with_feedback(targets_MTK, identity, None, costs, nearest), targets_MTK.round())


@pytest.mark.parametrize("price", [0.0, 0.1])
def test_feedback_between_entries_is_that_of_the_kronecker_product(price):
    generator = torch.Generator().manual_seed(0)
    grams = [torch.randn(9, size, size, generator=generator) for size in (5, 4)]
    tokens_MTT, entries_MKK = (gram @ gram.mT + torch.eye(gram.shape[1]) for gram in grams)
    targets_MTK = 3 * torch.randn(9, 5, 4, generator=generator)
    config = FunctionMetricConfig(bit_price=price, damping=1e-9)
    tables = [TableColumns.fit(np.arange(-size, size)[:, None]) for size in range(1, 6)]
    costs = [bit_costs(table) for table in tables] if price else [None] * 5
    both = torch.einsum("mts,mkl->mtksl", tokens_MTT, entries_MKK).flatten(3, 4).flatten(1, 2)
    each = [cost for cost in costs for _ in range(4)]
    apart = round_with_feedback(targets_MTK.flatten(1)[..., None], both, None, each, config)
    together = round_with_feedback(targets_MTK, tokens_MTT, entries_MKK, costs, config)
    assert torch.equal(together.flatten(1), apart[..., 0])


CONVOLUTIONS = [
    pytest.param(name, marks=[pytest.mark.slow] if name in {"cnn-4970", "cnn-2464 in color"} else [])
    for name in CONVOLUTIONAL
    if name != "norms of vectors and of images"
]


def convolutional(name, members=4) -> tuple[Population, Examples]:
    architecture = CONVOLUTIONAL[name]
    examples = Examples(random_examples(architecture, 96), torch.zeros(96, dtype=torch.int64))
    return single_architecture(architecture, random_weights(architecture, members), ()), examples


@pytest.mark.parametrize("name", CONVOLUTIONS)
def test_convolutions_and_residuals_are_kept_at_a_small_step(name):
    population, examples = convolutional(name)
    codec = MetricCodec.fit(FunctionMetricConfig(step=1e-4, rounds=1), population, examples)
    payload = codec.compress(population)
    weights_MP = codec.decompress(payload)
    assert weights_MP.shape == population.weights_MP.shape
    wanted_MNC = population.logits(examples.inputs).log_softmax(dim=2)
    error_MNC = population.logits(examples.inputs, weights_MP=weights_MP).log_softmax(dim=2) - wanted_MNC
    assert float(error_MNC.square().mean().sqrt()) < 0.01 * float(wanted_MNC.std())
    receiver = Receiver.from_bytes(codec.receiver.to_bytes())
    assert torch.equal(receiver.transform.weights(receiver.decode(payload)), weights_MP)
    assert MetricCodec.from_files(codec.to_files()).compress(population) == payload
    broken = bytearray(payload)
    broken[len(payload) // 2] ^= 1
    with pytest.raises(ValueError, match="checksum"):
        codec.decompress(bytes(broken))


def test_the_order_of_channels_costs_nothing():
    training, examples = convolutional("cnn", members=48)
    codec = MetricCodec.fit(FunctionMetricConfig(step=0.05), training.select(range(32)), examples)
    population = training.select(range(32, 48))
    moves = random_permutations(population.architecture, len(population))
    moved = population.with_weights(permute(population.weights_MP, population.architecture, moves))
    payload, moved_payload = codec.compress(population), codec.compress(moved)
    assert abs(len(moved_payload) - len(payload)) < 0.03 * len(payload)
    outputs, moved_outputs = (population.logits(examples.inputs, codec.decompress(p)) for p in (payload, moved_payload))
    original = population.logits(examples.inputs)
    errors = [float((own - original).square().mean()) for own in (outputs, moved_outputs)]
    assert abs(errors[0] - errors[1]) < 0.2 * errors[0]


def test_where_outputs_are_numbers_their_mean_is_kept(data):
    population = trained(data, (7,), members=12)
    numbers = Examples(data.train.inputs, torch.zeros(len(data.train), 10))
    codec = MetricCodec.fit(FunctionMetricConfig(step=1e-4), population, numbers)
    inputs = data.train.first(300).inputs
    wanted_MNC = population.logits(inputs)
    decoded_MP = codec.decompress(codec.compress(population))
    error_MNC = population.logits(inputs, weights_MP=decoded_MP) - wanted_MNC
    assert float(error_MNC.square().mean().sqrt()) < 0.01 * float(wanted_MNC.std())


def test_a_batch_norm_that_cannot_be_folded_is_refused():
    population, examples = convolutional("norms of vectors and of images")
    with pytest.raises(ValueError, match="does not follow a linear layer or a convolution"):
        MetricCodec.fit(FunctionMetricConfig(), population, examples)


def test_rounding_weighs_bits_against_distortion():
    table = TableColumns.fit(np.array([[0]] * 90 + [[1]] * 5 + [[-1]] * 5))
    costs_KS = bit_costs(table)
    assert costs_KS[0, 64] < 0.3 < 3 < costs_KS[0, 65]
    assert bool((costs_KS[0, 66:].diff() >= 0).all())
    target_MK, ones_MK = torch.tensor([[0.6], [0.95], [3.0]]), torch.ones(3, 1)
    assert rounded(target_MK, ones_MK, costs_KS, 0.0).flatten().tolist() == [1, 1, 3]
    assert rounded(target_MK, ones_MK, costs_KS, 0.1).flatten().tolist() == [0, 1, 3]
    assert rounded(target_MK, ones_MK, costs_KS, 100.0).flatten().tolist() == [0, 0, 0]
