"""The result row against a loop over ordinary modules, and against payloads of known size."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from analysis.behavior import Reference
from analysis.intervals import Bootstrap
from analysis.measurement import CodecResult, code, measure
from trainables.codecs.codec import read_header, with_header
from zoo.architecture import mlp
from zoo.data import load_dataset
from zoo.population import Member, Population
from zoo.population.initialization import initial_weights


class Noisy:
    """Sends float16 weights and 3 bytes more a member; adds fixed noise when it decodes."""

    name = "noisy"
    shared_bytes = 77

    def __init__(self, noise=0.0, seed=0):
        self.noise, self.seed = noise, seed

    def compress(self, population):
        weights = population.weights_MP.half().numpy().tobytes()
        return with_header(len(population), weights + b"abc" * len(population))

    def decompress(self, payload):
        members, body = read_header(payload)
        weights_MP = torch.frombuffer(bytearray(body[: -3 * members]), dtype=torch.float16).float().view(members, -1)
        generator = torch.Generator().manual_seed(self.seed)
        return weights_MP + self.noise * torch.randn(weights_MP.shape[1], generator=generator)


def population_of(members):
    architectures = (mlp((1, 8, 8), (4,), 10, activation="relu"), mlp((1, 8, 8), (4,), 10, activation="tanh"))
    specs = tuple(Member(id=i, seed=i, init_scale=2.0) for i in range(members))
    return Population(
        weights_MP=initial_weights(architectures[0], specs),
        architectures=architectures,
        architecture_M=torch.arange(members) % 2,
        members=specs,
    )


@pytest.fixture(scope="module")
def images():
    return load_dataset("digits").test.first(60)


@pytest.fixture(scope="module")
def reference(images):
    return Reference(population_of(70), images)


def measured(codec, reference, **options):
    return measure(codec, reference, family="classical", bootstrap=Bootstrap(replicates=100), **options)


def test_equals_a_loop_over_modules(reference, images):
    codec = Noisy(0.1)
    result = measured(codec, reference, setting="noise=0.1")
    population = reference.population
    blocks = [population.select(range(64)), population.select(range(64, 70))]
    decoded_MP = torch.cat([codec.decompress(codec.compress(block)) for block in blocks])
    rows = []
    for index in range(70):
        architecture = population.architectures[int(population.architecture_M[index])]
        original, decoded = (architecture.to_module(w[index]) for w in (population.weights_MP, decoded_MP))
        with torch.no_grad():
            p, q = original(images.inputs).log_softmax(1), decoded(images.inputs).log_softmax(1)
            rolled = torch.roll(images.inputs, 1, dims=3)
            shifted = (original(rolled).argmax(1) == decoded(rolled).argmax(1)).float().mean().item()
        rows.append(
            {
                "original": (p.argmax(1) == images.targets).float().mean().item(),
                "decoded": (q.argmax(1) == images.targets).float().mean().item(),
                "agreement": (p.argmax(1) == q.argmax(1)).float().mean().item(),
                "kl": torch.nn.functional.kl_div(q, p, reduction="batchmean", log_target=True).item(),
                "shifted": shifted,
            }
        )
    table = {key: np.array([row[key] for row in rows]) for key in rows[0]}
    drop = 100 * (table["original"] - table["decoded"])
    assert result.agreement == pytest.approx(table["agreement"].mean(), abs=1e-6)
    assert result.agreement_p5 == pytest.approx(np.quantile(table["agreement"], 0.05), abs=1e-6)
    assert result.agreement_shifted == pytest.approx(table["shifted"].mean(), abs=1e-6)
    assert result.kl == pytest.approx(table["kl"].mean(), rel=1e-4)
    assert result.kl_p95 == pytest.approx(np.quantile(table["kl"], 0.95), rel=1e-4)
    assert result.accuracy_original == pytest.approx(table["original"].mean(), abs=1e-6)
    assert result.accuracy_reconstructed == pytest.approx(table["decoded"].mean(), abs=1e-6)
    assert result.accuracy_drop_pp == pytest.approx(drop.mean(), abs=1e-4)
    assert result.accuracy_shift_pp == pytest.approx(np.abs(drop).mean(), abs=1e-4)
    assert result.accuracy_shift_pp > abs(result.accuracy_drop_pp)
    residual = ((table["decoded"] - table["original"]) ** 2).sum()
    spread = ((table["original"] - table["original"].mean()) ** 2).sum()
    assert result.accuracy_r2 == pytest.approx(1 - residual / spread, abs=1e-5)
    error_MP = (decoded_MP - population.weights_MP).numpy()
    assert result.weight_mse == pytest.approx((error_MP**2).mean(), rel=1e-5)
    relative = np.linalg.norm(error_MP, axis=1) / np.linalg.norm(population.weights_MP.numpy(), axis=1)
    assert result.relative_l2 == pytest.approx(relative.mean(), rel=1e-5)
    assert result.accuracy_original_M == pytest.approx(tuple(table["original"]), abs=1e-6)
    assert result.agreement_M == pytest.approx(tuple(table["agreement"]), abs=1e-6)
    assert (result.codec, result.setting, result.members, result.images) == ("noisy", "noise=0.1", 70, 60)
    for metric in ("agreement", "kl", "accuracy_drop_pp", "accuracy_shift_pp"):
        low, value, high = (getattr(result, metric + suffix) for suffix in ("_low", "", "_high"))
        assert low < value < high


def test_bits_are_counted_from_payloads(reference):
    parameters = reference.population.parameters
    result = measured(Noisy(), reference)
    header = 1 + 2  # number of members and checksum
    expected = 70 * (2 * parameters + 3) + 2 * header
    assert result.payload_bytes == expected
    assert result.code_bits_per_weight == pytest.approx(8 * expected / (70 * parameters))
    assert result.code_bits_per_weight_single == pytest.approx(8 * (2 * parameters + 3 + header) / parameters)
    assert result.code_bits_per_weight_all == pytest.approx(8 * (expected - header) / (70 * parameters))
    assert result.shared_bytes == 77


def test_a_lossless_codec_loses_nothing(reference):
    exact = replace(reference.population, weights_MP=reference.population.weights_MP.half().float())
    result = measured(Noisy(), Reference(exact, reference.images))
    assert result.agreement == result.agreement_p5 == result.agreement_shifted == result.accuracy_r2 == 1
    assert result.kl == result.accuracy_drop_pp == result.accuracy_shift_pp == result.weight_mse == 0
    assert result.agreement_low == result.agreement_high == 1


def test_several_fits_are_averaged(reference):
    single = [measured(Noisy(0.1, seed), reference) for seed in range(3)]
    together = measured([Noisy(0.1, seed) for seed in range(3)], reference)
    assert together.fits == 3
    for field in ("agreement", "kl", "accuracy_shift_pp", "accuracy_r2", "weight_mse", "agreement_p5", "kl_p95"):
        assert getattr(together, field) == pytest.approx(np.mean([getattr(row, field) for row in single]), rel=1e-5)


def test_equally_accurate_originals_have_no_r2(images):
    one = population_of(1)
    assert measured(Noisy(0.1), Reference(one, images)).accuracy_r2 is None


def test_row_has_scalars_only(reference):
    row = measured(Noisy(), reference).row()
    assert not any(isinstance(value, tuple) for value in row.values())
    assert set(row) == {name for name in CodecResult.__dataclass_fields__ if not name.endswith("_M")}


def test_codecs_that_return_no_networks_are_refused(reference):
    class Wrong(Noisy):
        def decompress(self, payload):
            return super().decompress(payload)[:, :-1]

    class NotFinite(Noisy):
        def decompress(self, payload):
            return super().decompress(payload) / 0

    with pytest.raises(ValueError, match=r"'noisy' returned weights \(64, 309\)"):
        code(Wrong(), reference.population)
    with pytest.raises(ValueError, match="not finite"):
        code(NotFinite(), reference.population)
    with pytest.raises(ValueError, match="no codec"):
        measured([], reference)


def test_networks_without_finite_outputs_are_refused(reference, images):
    broken = replace(reference.population, weights_MP=torch.full_like(reference.population.weights_MP, torch.nan))
    with pytest.raises(ValueError, match="original population"):
        Reference(broken, images)
    with pytest.raises(ValueError, match="loud"):
        reference.behavior(torch.full_like(reference.population.weights_MP, 1e30), "loud")
    with pytest.raises(ValueError, match="at least one"):
        Reference(population_of(0), images)
