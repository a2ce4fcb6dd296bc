"""Each classical codec against an independent calculation of what it does."""

import numpy as np
import pytest
import torch
from sklearn.cluster import KMeans as ReferenceKMeans

from analysis.compression import controls
from trainables.codecs.classical.blocks import scale_codes, scales_of
from trainables.codecs.classical.configs import (
    KMeansConfig,
    LosslessConfig,
    PcaConfig,
    PruningConfig,
    Sz3Config,
    UniformConfig,
)
from trainables.codecs.classical.kmeans import KMeans, lloyd
from trainables.codecs.classical.lossless import ByteSplitZstd
from trainables.codecs.classical.pca import Pca
from trainables.codecs.classical.pruning import Pruning
from trainables.codecs.classical.scalar import Float16, Uniform
from trainables.codecs.classical.sz3 import Sz3
from zoo.architecture import mlp
from zoo.data import load_dataset
from zoo.population import Member, Population, single_architecture
from zoo.population.initialization import initial_weights

LAYOUT = mlp((1, 8, 8), (16,), 10)


def networks(members, first=0, **fields):
    specs = [Member(id=i, seed=i, initialization="normal", **fields) for i in range(first, first + members)]
    return single_architecture(LAYOUT, initial_weights(LAYOUT, specs), specs)


def laplace(members, scale=0.2, seed=0):
    weights_MP = np.random.default_rng(seed).laplace(scale=scale, size=(members, LAYOUT.parameters))
    return networks(members).with_weights(torch.from_numpy(weights_MP).float())


CONFIGS = {
    Uniform: UniformConfig,
    KMeans: KMeansConfig,
    Sz3: Sz3Config,
    Pruning: PruningConfig,
    Pca: PcaConfig,
    Float16: LosslessConfig,
    ByteSplitZstd: LosslessConfig,
}


def fitted(codec, training, **settings):
    return codec.fit(CONFIGS[codec](**settings), training, None)


def round_trip(codec, population):
    payload = codec.compress(population)
    return codec.decompress(payload), 8 * len(payload) / population.weights_MP.numel()


def test_scales_are_stored_within_five_per_cent():
    scales = np.geomspace(1e-5, 2e3, 500)
    assert np.abs(scales_of(scale_codes(scales)) / scales - 1).max() < 0.05
    assert scale_codes(np.array([0.0, 1e9])).tolist() == [0, 255]


def test_float16_is_torch_half():
    population = laplace(3)
    decoded_MP, bits = round_trip(fitted(Float16, population), population)
    assert torch.equal(decoded_MP, population.weights_MP.half().float())
    assert bits == pytest.approx(16, abs=0.02)
    far = population.with_weights(population.weights_MP * 1e6)
    assert torch.isfinite(round_trip(fitted(Float16, far), far)[0]).all()


def test_zstd_is_lossless_and_smaller():
    population = laplace(64)
    decoded_MP, bits = round_trip(fitted(ByteSplitZstd, population), population)
    assert torch.equal(decoded_MP, population.weights_MP)
    assert 20 < bits < 31


@pytest.mark.parametrize("step", [0.1, 0.5, 2.0])
def test_uniform_stays_within_half_a_step_at_the_rate_of_its_entropy(step):
    population = laplace(32)
    decoded_MP, bits = round_trip(fitted(Uniform, population, step=step), population)
    magnitude_M1 = population.weights_MP[:, :1024].abs().mean(1, keepdim=True)
    error_MP = (decoded_MP - population.weights_MP).abs() / magnitude_M1
    assert error_MP.max() <= 0.5 * step * 1.05
    assert error_MP.max() > 0.4 * step
    symbols = np.rint((decoded_MP / magnitude_M1 / step).numpy()).astype(int)
    _, counts = np.unique(symbols, return_counts=True)
    entropy = -(counts / counts.sum() * np.log2(counts / counts.sum())).sum()
    assert bits == pytest.approx(entropy, rel=0.04, abs=0.06)


def test_uniform_does_not_depend_on_scale():
    population = laplace(8)
    codec = fitted(Uniform, population, step=0.5)
    decoded_MP, bits = round_trip(codec, population)
    larger_MP, larger_bits = round_trip(codec, population.with_weights(population.weights_MP * 16))
    assert torch.allclose(larger_MP, 16 * decoded_MP)
    assert larger_bits == bits


@pytest.mark.parametrize("clusters", [2, 5, 16])
def test_lloyd_is_as_good_as_sklearn(clusters):
    values = np.random.default_rng(0).standard_t(4, size=3000)
    centers = lloyd(values, clusters, iterations=200)
    inertia = ((values[:, None] - centers) ** 2).min(1).sum()
    reference = ReferenceKMeans(clusters, n_init=10, random_state=0).fit(values[:, None])
    assert inertia <= 1.05 * reference.inertia_
    nearest = np.abs(values[:, None] - centers).argmin(1)
    moved = [values[nearest == k].mean() for k in range(clusters)]
    assert centers == pytest.approx(moved, rel=1e-3, abs=1e-3)  # a fixed point


def test_lloyd_with_few_distinct_values():
    assert lloyd(np.array([1.0, 1.0, 3.0]), 8).tolist() == [1.0, 3.0]
    assert lloyd(np.zeros(5), 4).tolist() == [0.0]


def test_kmeans_uses_no_more_than_its_clusters_and_beats_the_grid():
    population = laplace(64)
    decoded_MP, bits = round_trip(fitted(KMeans, population, clusters=8), population)
    scale_M1 = torch.from_numpy(scales_of(scale_codes(population.weights_MP[:, :1024].abs().mean(1).numpy())))[:, None]
    assert len(torch.unique((decoded_MP[:, :1024] / scale_M1 * 1e4).round())) <= 8
    assert bits < 3.1
    grid = torch.clamp(torch.round(population.weights_MP / 0.25), -4, 3) * 0.25
    error = (decoded_MP - population.weights_MP).square().mean()
    assert error < (grid - population.weights_MP).square().mean()


@pytest.mark.parametrize("step", [None, 0.5])
def test_pruning_keeps_the_largest(step):
    population = laplace(5)
    decoded_MP, bits = round_trip(fitted(Pruning, population, keep=0.1, step=step), population)
    for original_P, decoded_P in zip(population.weights_MP, decoded_MP, strict=True):
        largest = set(original_P.abs().topk(121).indices.tolist())
        assert set(decoded_P.nonzero().flatten().tolist()) == largest
        kept = sorted(largest)
        if step is None:
            assert torch.equal(decoded_P[kept], original_P[kept].half().float())
        else:
            magnitude = original_P[kept].abs().mean()
            assert (decoded_P[kept] - original_P[kept]).abs().max() <= 0.5 * step * magnitude * 1.05
    positions = -(0.1 * np.log2(0.1) + 0.9 * np.log2(0.9))
    assert bits == pytest.approx(positions + (1.6 if step is None else 0.3), abs=0.1)


def test_pca_equals_numpy_svd():
    generator = np.random.default_rng(0)
    factors = generator.normal(size=(300, 20)) * np.geomspace(1, 0.05, 20)
    weights_MP = factors @ generator.normal(size=(20, LAYOUT.parameters)) * 0.05 + generator.normal(size=(1, 1210))
    training = networks(250).with_weights(torch.from_numpy(weights_MP[:250]).float())
    test = networks(50).with_weights(torch.from_numpy(weights_MP[250:]).float())
    decoded_MP, _ = round_trip(fitted(Pca, training, components=6, step=0.01), test)
    mean_P = weights_MP[:250].mean(0)
    _, _, basis = np.linalg.svd(weights_MP[:250] - mean_P, full_matrices=False)
    expected_MP = mean_P + (weights_MP[250:] - mean_P) @ basis[:6].T @ basis[:6]
    missed = np.square(expected_MP - weights_MP[250:]).mean()
    assert np.square(decoded_MP.numpy() - weights_MP[250:]).mean() == pytest.approx(missed, rel=0.02)
    assert np.square(decoded_MP.numpy() - expected_MP).mean() < 0.01 * np.square(weights_MP[250:] - mean_P).mean()


def test_pca_from_more_members_than_parameters():
    small = mlp((1, 2, 2), (3,), 2)
    specs = [Member(id=i, seed=i) for i in range(400)]
    training = single_architecture(small, initial_weights(small, specs), specs)
    codec = fitted(Pca, training, components=99, step=0.02)
    assert codec.basis_KP.shape[0] <= small.parameters
    decoded_MP, _ = round_trip(codec, training)
    assert (decoded_MP - training.weights_MP).abs().mean() < 0.02 * training.weights_MP.std()


def test_pca_counts_what_is_shared():
    codec = fitted(Pca, laplace(40), components=10, step=0.5)
    mean, basis, factors, distributions = 2 * 1210, 10 * 1210, 2 * 10, 4 * 10
    assert codec.shared_bytes == mean + basis + factors + distributions + 4


def test_sz3_keeps_its_bound_and_is_silent(capfd):
    population = laplace(20)
    decoded_MP, bits = round_trip(fitted(Sz3, population, bound=0.3), population)
    magnitude_M1 = population.weights_MP.abs().mean(1, keepdim=True)
    assert ((decoded_MP - population.weights_MP).abs() / magnitude_M1).max() <= 0.3 * 1.05
    assert 1 < bits < 5
    assert capfd.readouterr() == ("", "")


def test_mean_weights():
    training = laplace(30)
    codec = controls.fit_mean_weights(training)
    decoded_MP, bits = round_trip(codec, laplace(64, seed=1))
    assert torch.allclose(decoded_MP, training.weights_MP.mean(0).expand(64, -1), atol=1e-4)
    assert bits < 0.001
    assert codec.shared_bytes == 2 * 1210


def test_constant_member_is_the_one_that_agrees_most():
    images = load_dataset("digits").train
    training = networks(12, init_scale=2.0)
    predicted_MN = training.logits(images.first(500).inputs).argmax(-1)
    agreement_M = [float((predicted_MN == row).double().mean()) for row in predicted_MN]
    decoded_MP, _ = round_trip(controls.fit_constant_member(training, images), training)
    best = int(np.argmax(agreement_M))
    assert torch.equal(decoded_MP[0], training.weights_MP[best].half().float())


def test_index_finds_the_network_of_least_divergence():
    images = load_dataset("digits").train
    tanh = mlp((1, 8, 8), (16,), 10, activation="tanh")
    mixed = networks(30, init_scale=3.0)
    training = Population(
        weights_MP=mixed.weights_MP,
        architectures=(LAYOUT, tanh),
        architecture_M=torch.arange(30) % 2,
        members=mixed.members,
    )
    codec = controls.Index.fit(training, images, known=30)
    test = training.select(range(0, 30, 3)).with_weights(
        training.weights_MP[::3] + 0.1 * torch.randn(10, 1210, generator=torch.Generator().manual_seed(0))
    )
    decoded_MP, _ = round_trip(codec, test)
    x = images.first(controls.INDEX_IMAGES).inputs
    for row in range(len(test)):
        one = test.select([row])
        log_p = one.logits(x).log_softmax(-1)[0]
        candidates = [one.logits(x, w[None].half().float()).log_softmax(-1)[0] for w in training.weights_MP]
        divergences = [float((log_p.exp() * (log_p - log_q)).sum()) for log_q in candidates]
        assert torch.equal(decoded_MP[row], training.weights_MP[int(np.argmin(divergences))].half().float())
    assert len(codec.compress(test)) == 3 + int(np.ceil(10 * 5 / 8))  # header, five bits each
    assert codec.shared_bytes == 2 * 30 * 1210


def test_controls_that_need_images_say_so():
    with pytest.raises(ValueError, match="training images"):
        controls.fit_constant_member(laplace(2))
    with pytest.raises(ValueError, match="training images"):
        controls.Index.fit(laplace(2), known=2)
