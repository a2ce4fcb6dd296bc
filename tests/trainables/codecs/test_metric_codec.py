import itertools

import numpy as np
import pytest
import torch

from trainables.codecs.classical.configs import UniformConfig
from trainables.codecs.classical.scalar import Uniform
from trainables.codecs.codec import Codec
from trainables.codecs.entropy import TableColumns
from trainables.codecs.function_metric.codec import MetricCodec
from trainables.codecs.function_metric.config import FunctionMetricConfig
from trainables.codecs.function_metric.networks import Networks
from trainables.codecs.function_metric.receiver import Receiver
from trainables.codecs.function_metric.rounding import bit_costs, round_with_feedback, rounded
from zoo.architecture import mlp
from zoo.architecture.activations import ACTIVATIONS
from zoo.data import load_dataset
from zoo.population import Member, Population, single_architecture
from zoo.training.train import train_population
from zoo.views.canonical import permute


@pytest.fixture(scope="module", name="data")
def digits():
    return load_dataset("digits")


def trained(data, hidden=(6,), *, activation="relu", bias=True, members=40, epochs=3) -> Population:
    architecture = mlp(data.input_shape, hidden, data.classes, activation=activation, bias=bias)
    specs = [Member(id=i, seed=i, learning_rate=3e-3, init_scale=0.5 + i / members) for i in range(members)]
    snapshots = list(train_population(architecture, specs, data.train, epochs=epochs, snapshot_epochs=(epochs,)))
    rows = [row for snapshot in snapshots for row in snapshot.rows]
    weights_MP = torch.cat([snapshot.weights_MP for snapshot in snapshots])[np.argsort(rows)]
    return single_architecture(architecture, weights_MP, specs)


@pytest.fixture(scope="module", name="mixed")
def mixed_population(data) -> Population:
    """Members of three activations, interleaved."""
    parts = [trained(data, (8,), activation=name, members=40, epochs=12) for name in ("relu", "tanh", "sigmoid")]
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
def test_networks_measure_the_jacobian_in_a_gauge_of_the_same_function(data, activation):
    population = trained(data, (5, 4), activation=activation, members=3, epochs=1)
    x_ND = data.train.first(20).inputs.flatten(1)
    networks = Networks.measure(population.architecture, population.weights_MP, x_ND)

    def logits(outputs_NH, index, member):
        for layer in range(index, 2):
            rows_HD = networks.rows[layer + 1][member]
            outputs_NH = networks.activate(layer, outputs_NH) @ rows_HD[:, :-1].T + rows_HD[:, -1]
        return outputs_NH

    expected_MNC = population.logits(data.train.first(20).inputs).log_softmax(dim=2)
    for member, index in itertools.product(range(3), range(2)):
        outputs_NH = networks.targets[index][member]
        jacobian = torch.autograd.functional.jacobian(
            lambda z, i=index, m=member: logits(z, i, m).sum(dim=0), outputs_NH
        )
        gram_HH = torch.einsum("knh,kng->hg", jacobian, jacobian) / 20
        torch.testing.assert_close(networks.grams[index][member], gram_HH, rtol=1e-3, atol=1e-5)
        rotated_NK = logits(outputs_NH, index, member)
        centered_NC = expected_MNC[member] - expected_MNC[member].mean(dim=1, keepdim=True)
        torch.testing.assert_close(rotated_NK.norm(dim=1), centered_NC.norm(dim=1), rtol=1e-3, atol=1e-4)
    if activation == "relu":
        torch.testing.assert_close(networks.rows[2][..., :-1].norm(dim=1), torch.ones(3, 4))


def test_feedback_lowers_the_error_that_counts():
    generator = torch.Generator().manual_seed(0)
    mixing = torch.randn(50, 12, 6, generator=generator)
    gram_MTT = mixing @ mixing.transpose(1, 2)  # 12 tokens act through 6 directions only
    targets_MTK = 3 * torch.randn(50, 12, 7, generator=generator)

    def error(symbols_MTK):
        delta = targets_MTK - symbols_MTK
        return float(torch.einsum("mtk,mts,msk->", delta, gram_MTT, delta))

    costs = [None] * 12
    assert error(round_with_feedback(targets_MTK, gram_MTT, costs, FunctionMetricConfig(bit_price=0))) < 0.4 * error(
        targets_MTK.round()
    )
    identity = torch.eye(12).expand(50, -1, -1)
    assert torch.equal(
        round_with_feedback(targets_MTK, identity, costs, FunctionMetricConfig(bit_price=0)), targets_MTK.round()
    )


def test_rounding_weighs_bits_against_distortion():
    table = TableColumns.fit(np.array([[0]] * 90 + [[1]] * 5 + [[-1]] * 5))
    costs_KS = bit_costs(table)
    assert costs_KS[0, 64] < 0.3 < 3 < costs_KS[0, 65]
    assert bool((costs_KS[0, 66:].diff() >= 0).all())
    target_MK, ones_M = torch.tensor([[0.6], [0.95], [3.0]]), torch.ones(3)
    assert rounded(target_MK, ones_M, costs_KS, 0.0).flatten().tolist() == [1, 1, 3]
    assert rounded(target_MK, ones_M, costs_KS, 0.1).flatten().tolist() == [0, 1, 3]
    assert rounded(target_MK, ones_M, costs_KS, 100.0).flatten().tolist() == [0, 0, 0]
