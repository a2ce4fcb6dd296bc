"""The result row against a loop over ordinary modules, and against payloads of known size."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from analysis.compression.codecs import CODECS
from analysis.compression.measurement import code, coded, evaluated_codec
from analysis.evaluators.evaluator import Subject
from analysis.evaluators.registry import chosen_evaluators
from analysis.measuring.evaluation import Evaluation
from analysis.statistics.intervals import Bootstrap
from trainables.autoencoders.entries import AUTOENCODERS
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
    specs = tuple(Member(id=i, seed=i, order_seed=i // 5, init_scale=2.0) for i in range(members))
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
def original():
    return Subject(population_of(70), "the original population")


@pytest.fixture(scope="module")
def evaluation():
    digits = load_dataset("digits")
    return Evaluation.of(chosen_evaluators(None), digits, examples=60, bootstrap=Bootstrap(replicates=100))


def measured(codecs, original, evaluation, *, setting="", trial=None, encode_steps=0):
    fits = codecs if isinstance(codecs, list) else [codecs]
    called = {"name": fits[0].name if fits else "none", "setting": setting, "family": "classical", "trial": trial}
    cut = evaluated_codec(
        lambda population: coded(fits, population, encode_steps=encode_steps), lambda: original, evaluation, **called
    )
    return cut.measured()


def test_equals_a_loop_over_modules(original, evaluation, images):
    codec = Noisy(0.1)
    result = measured(codec, original, evaluation, setting="noise=0.1")
    population = original.population
    blocks = [population.select(range(64)), population.select(range(64, 70))]
    decoded_MP = torch.cat([codec.decompress(codec.compress(block)) for block in blocks])
    rows = []
    for index in range(70):
        architecture = population.architectures[int(population.architecture_M[index])]
        before, decoded = (architecture.to_module(w[index]) for w in (population.weights_MP, decoded_MP))
        with torch.no_grad():
            p, q = before(images.inputs).log_softmax(1), decoded(images.inputs).log_softmax(1)
            moved = torch.cat([images.inputs[..., :1], images.inputs[..., :-1]], dim=3)
            shifted = (before(moved).argmax(1) == decoded(moved).argmax(1)).float().mean().item()
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
    assert result.value("agreement") == pytest.approx(table["agreement"].mean(), abs=1e-6)
    assert result.value("agreement_p5") == pytest.approx(np.quantile(table["agreement"], 0.05), abs=1e-6)
    assert result.value("agreement_translation_1") == pytest.approx(table["shifted"].mean(), abs=1e-6)
    assert result.value("kl") == pytest.approx(table["kl"].mean(), rel=1e-4)
    assert result.value("kl_p95") == pytest.approx(np.quantile(table["kl"], 0.95), rel=1e-4)
    assert result.value("accuracy_original") == pytest.approx(table["original"].mean(), abs=1e-6)
    assert result.value("accuracy_reconstructed") == pytest.approx(table["decoded"].mean(), abs=1e-6)
    assert result.value("accuracy_drop_pp") == pytest.approx(drop.mean(), abs=1e-4)
    assert result.value("accuracy_shift_pp") == pytest.approx(np.abs(drop).mean(), abs=1e-4)
    assert result.value("accuracy_shift_pp") > abs(result.value("accuracy_drop_pp"))
    residual = ((table["decoded"] - table["original"]) ** 2).sum()
    spread = ((table["original"] - table["original"].mean()) ** 2).sum()
    assert result.value("accuracy_r2") == pytest.approx(1 - residual / spread, abs=1e-5)
    error_MP = (decoded_MP - population.weights_MP).numpy()
    assert result.value("weight_mse") == pytest.approx((error_MP**2).mean(), rel=1e-5)
    relative = np.linalg.norm(error_MP, axis=1) / np.linalg.norm(population.weights_MP.numpy(), axis=1)
    assert result.value("relative_l2") == pytest.approx(relative.mean(), rel=1e-5)
    assert result.values["accuracy_original"] == pytest.approx(tuple(table["original"]), abs=1e-6)
    assert result.values["agreement"] == pytest.approx(tuple(table["agreement"]), abs=1e-6)
    assert (result.name, result.setting) == ("noisy", "noise=0.1")
    assert (result.members, result.groups, result.examples, result.fits) == (70, 14, 60, 1)
    for metric in ("agreement", "kl", "accuracy_drop_pp", "accuracy_shift_pp"):
        found = result.metrics[metric]
        assert found.low < found.estimate < found.high


def test_bits_are_counted_from_payloads(original, evaluation):
    parameters = original.population.parameters
    result = measured(Noisy(), original, evaluation)
    header = 1 + 2  # number of members and checksum
    # Which of two architectures each has: the number of members, and a bit each.
    which = {64: 1 + 8, 6: 1 + 1, 1: 1 + 1, 70: 1 + 9}
    body = 2 * parameters + 3
    expected = 70 * body + 2 * header + which[64] + which[6]
    assert result.value("payload_bytes") == expected
    assert result.value("code_bits_per_weight") == pytest.approx(8 * expected / (70 * parameters))
    assert result.value("code_bits_per_weight_single") == pytest.approx(8 * (body + header + which[1]) / parameters)
    of_all = 70 * body + header + which[70]
    assert result.value("code_bits_per_weight_all") == pytest.approx(8 * of_all / (70 * parameters))
    assert result.shared_bytes == 77


def test_a_lossless_codec_loses_nothing(original, evaluation):
    exact = replace(original.population, weights_MP=original.population.weights_MP.half().float())
    result = measured(Noisy(), Subject(exact), evaluation)
    assert (
        result.value("agreement")
        == result.value("agreement_p5")
        == result.value("agreement_translation_1")
        == result.value("accuracy_r2")
        == 1
    )
    assert (
        result.value("kl")
        == result.value("accuracy_drop_pp")
        == result.value("accuracy_shift_pp")
        == result.value("weight_mse")
        == 0
    )
    assert result.metrics["agreement"].ends == (1, 1)


def test_several_fits_are_averaged(original, evaluation):
    single = [measured(Noisy(0.1, seed), original, evaluation) for seed in range(3)]
    together = measured([Noisy(0.1, seed) for seed in range(3)], original, evaluation)
    assert together.fits == 3
    for field in ("agreement", "kl", "accuracy_shift_pp", "accuracy_r2", "weight_mse", "agreement_p5", "kl_p95"):
        assert together.value(field) == pytest.approx(np.mean([row.value(field) for row in single]), rel=1e-5)


def test_equally_accurate_originals_have_no_r2(evaluation):
    assert measured(Noisy(0.1), Subject(population_of(1)), evaluation).value("accuracy_r2") is None


def test_row_has_scalars_only(original, evaluation):
    result = measured(Noisy(), original, evaluation)
    row = result.row()
    assert not any(isinstance(value, tuple) for value in row.values())
    assert {*result.metrics, "agreement_low", "agreement_high", "name", "examples"} <= set(row)
    assert row["kl"] == result.value("kl")
    assert len(result.to_json()["values"]["agreement_translation_1"]) == 70


def test_codecs_that_return_no_networks_are_refused(original, evaluation):
    class Wrong(Noisy):
        def decompress(self, payload):
            return super().decompress(payload)[:, :-1]

    class NotFinite(Noisy):
        def decompress(self, payload):
            return super().decompress(payload) / 0

    with pytest.raises(ValueError, match=r"'noisy' returned weights \(64, 309\)"):
        code(Wrong(), original.population)
    with pytest.raises(ValueError, match="not finite"):
        code(NotFinite(), original.population)
    with pytest.raises(ValueError, match="no codec"):
        measured([], original, evaluation)


def test_networks_without_finite_outputs_are_refused(original, evaluation):
    broken = replace(original.population, weights_MP=torch.full_like(original.population.weights_MP, torch.nan))
    for weights_MP, name in ((broken.weights_MP, "quiet"), (torch.full_like(broken.weights_MP, 1e30), "loud")):
        with pytest.raises(ValueError, match=f"networks? of {name} ha(s|ve) outputs that are not finite"):
            Subject(original.population.with_weights(weights_MP), name).outputs(evaluation.test)
    with pytest.raises(ValueError, match="has no members"):
        Subject(population_of(0))


def test_a_table_says_which_codecs_improve_a_code_when_they_encode(original, evaluation):
    assert measured(Noisy(), original, evaluation).value("encode_steps") == 0
    assert measured(Noisy(), original, evaluation, encode_steps=40).value("encode_steps") == 40
    assert [CODECS["function-metric"].steps({"distill_steps": steps}) for steps in (0, 2)] == [0, 2]
    assert CODECS["uniform"].steps({"step": 0.5}) == CODECS["index"].steps({}) == 0
    for autoencoder in AUTOENCODERS.values():
        assert autoencoder.steps_of(autoencoder.configuration({"refine_steps": 7})) == 7
