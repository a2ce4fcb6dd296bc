import copy
import dataclasses

import pytest
import torch
from safetensors.torch import load
from torch import nn

from trainables.autoencoders.config import NetworkAutoencoderConfig
from trainables.autoencoders.entries import autoencoder
from trainables.autoencoders.learned_codec import CONFIG_FILE, MODEL_FILE, LearnedCodec, load_codec
from trainables.autoencoders.network import NetworkAutoencoder
from trainables.autoencoders.receiver import Receiver, family_of, known_before
from trainables.autoencoders.refine import MEMBERS_AT_ONCE, _Refinement
from trainables.autoencoders.rows import RowDecoder
from trainables.behavior import divergence, log_probabilities, sharpness
from trainables.codecs.codec import Codec, with_header
from trainables.codecs.payloads import compress, compressor, decompress
from trainables.fit_data import fit_data
from trainables.registry import find_trainable
from trainables.trainable import DivergedError, run


class GatedDecoder(RowDecoder):
    """One of a user's own: a further parameter and another forward pass."""

    def __init__(self, config, indices):
        super().__init__(config, indices)
        self.gate = nn.Parameter(torch.ones(self.latent_width(config, indices)))

    def forward(self, latent_MZ):
        return super().forward(torch.tanh(latent_MZ) * self.gate)


class GatedAutoencoder(NetworkAutoencoder):
    decoder_type = GatedDecoder


class UnfoldedAutoencoder(NetworkAutoencoder):
    """One whose decoder does not end in an affine layer."""

    folds = False


GATED = autoencoder("gated", GatedAutoencoder, NetworkAutoencoderConfig, description="With a gate.")
UNFOLDED = autoencoder("unfolded", UnfoldedAutoencoder, NetworkAutoencoderConfig, description="Not folded.")

SETTINGS = [
    {"family": family, "bottleneck": bottleneck, "gain": gain}
    for family in ("neuron-autoencoder", "network-autoencoder", "test_learned_codec:UNFOLDED")
    for bottleneck, gain in (("identity", True), ("quantized", True), ("quantized", False), ("gaussian", True))
]


@pytest.fixture(scope="module", params=SETTINGS, ids=lambda s: "-".join(str(v) for v in s.values()))
def codec(request, small_zoo) -> LearnedCodec:
    small = {"encoder_width": 16, "decoder_width": 16, "batch_size": 16, "batch_examples": 16}
    return fitted(small_zoo, **small, **request.param).artifact()


def fitted(zoo, family="neuron-autoencoder", epochs=1, **values):
    """A fit after its epochs; 0 leaves it as it begins."""
    trainable = find_trainable(family)
    config = trainable.configuration({"latent": 12, "epochs": max(epochs, 1), **values})
    fit = trainable.fit(config, fit_data(zoo))
    return run(fit) if epochs else fit


def test_it_is_a_codec_with_deterministic_payloads(codec, small_zoo):
    population = small_zoo.population("validation")
    assert isinstance(codec, Codec)
    payload = codec.compress(population)
    assert codec.compress(population) == payload
    restored_MP = codec.decompress(payload)
    assert torch.equal(codec.decompress(payload), restored_MP)
    assert restored_MP.dtype == torch.float32
    assert restored_MP.shape == population.weights_MP.shape
    assert torch.isfinite(restored_MP).all()


def test_a_network_is_coded_the_same_alone_and_in_a_block(codec, small_zoo):
    population = small_zoo.population("test").select(range(5))
    block_MP = codec.decompress(codec.compress(population))
    for row in range(5):
        alone_1P = codec.decompress(codec.compress(population.select([row])))
        # A symbol at the edge of its cell may fall to either side when sums are taken in another order.
        far = (alone_1P[0] - block_MP[row]).abs() > 1e-4 * block_MP[row].abs().max()
        assert float(far.float().mean()) < 0.1


def test_shared_bytes_are_those_of_the_receivers_file(codec, small_zoo):
    data = codec.receiver.to_bytes()
    assert codec.shared_bytes == len(data)
    tensors = load(data)
    assert all(tensor.dtype == torch.float16 for tensor in tensors.values())
    assert len(data) < 2 * sum(tensor.numel() for tensor in tensors.values()) + 3000
    # The constraint of a search is computed before anything is fitted.
    known = known_before(type(codec.autoencoder), codec.receiver.config, small_zoo.architectures)
    assert abs(known["shared_bytes"] - codec.shared_bytes) < 1000


def test_the_receiver_alone_can_read_payloads(codec, small_zoo):
    population = small_zoo.population("validation")
    payload = codec.compress(population)
    receiver = Receiver.from_bytes(codec.receiver.to_bytes(), type(codec.autoencoder), type(codec.receiver.config))
    blind = copy.deepcopy(codec.autoencoder)
    with torch.no_grad():
        for parameter in blind.parameters():
            parameter.fill_(torch.nan)
    other = LearnedCodec(blind, receiver, codec.refiner)
    assert torch.equal(other.decompress(payload), codec.decompress(payload))


def test_files_restore_the_codec(codec, small_zoo):
    files = codec.to_files()
    assert set(files) == {MODEL_FILE, CONFIG_FILE}
    restored = load_codec(type(codec.autoencoder), type(codec.receiver.config), files)
    population = small_zoo.population("validation")
    payload = codec.compress(population)
    assert restored.compress(population) == payload
    assert torch.equal(restored.decompress(payload), codec.decompress(payload))
    assert restored.shared_bytes == codec.shared_bytes
    assert restored.name == codec.name == "autoencoder"
    assert restored.to_files() == files


def test_a_decoder_of_ones_own_becomes_a_codec(small_zoo):
    fit = fitted(small_zoo, "test_learned_codec:GATED", batch_size=16)
    codec, population = fit.artifact(), small_zoo.population("validation")
    assert isinstance(codec.receiver.decoder, GatedDecoder)
    assert not torch.equal(codec.receiver.decoder.gate, torch.ones(12))
    payload = codec.compress(population)
    restored = find_trainable("test_learned_codec:GATED").from_files(codec.to_files())
    assert torch.equal(restored.decompress(payload), codec.decompress(payload))
    assert restored.compress(population) == payload
    # The receiver rounds the decoder to float16; the plain decoder would be far off.
    prepared = codec.autoencoder.coordinates.prepare(population)
    latent = codec.autoencoder.encode_prepared(prepared)
    with torch.no_grad():
        expected_MP = codec.autoencoder.decode(latent)
        received_MP = codec.receiver.weights(latent.values_MZ, latent.gain_M)
    assert torch.allclose(received_MP, expected_MP, atol=5e-3 * float(expected_MP.abs().max()))


def test_a_family_that_is_none_is_refused():
    with pytest.raises(
        ValueError, match=r"it must be a subclass of trainables\.autoencoders\.autoencoder\.Autoencoder"
    ):
        family_of(GatedDecoder)


def test_bytes_are_fewer_with_wider_steps(small_zoo):
    sizes = []
    for bits in (1.0, 4.0):
        fit = fitted(small_zoo, epochs=0, bits_per_latent=bits)
        sizes.append(len(fit.artifact().compress(small_zoo.population("validation"))))
    assert sizes[0] < sizes[1]


def test_missing_files_are_named(codec):
    with pytest.raises(ValueError, match=f"{MODEL_FILE} is missing"):
        load_codec(NetworkAutoencoder, NetworkAutoencoderConfig, {CONFIG_FILE: codec.to_files()[CONFIG_FILE]})


def test_a_truncated_payload_is_refused(codec, small_zoo):
    payload = codec.compress(small_zoo.population("validation"))
    with pytest.raises(ValueError, match="truncated"):
        codec.decompress(payload[: len(payload) // 2])


def test_fewer_float16_latents_than_networks_are_refused(small_zoo):
    codec = fitted(small_zoo, epochs=0, bottleneck="identity").artifact()
    # Its checksum is right: the mistake is the sender's.
    with pytest.raises(ValueError, match="payload of 5 networks has 0 bytes after its header; it is truncated"):
        codec.decompress(with_header(5, b""))


def test_numbers_beyond_float16_are_refused(codec):
    huge = dataclasses.replace(codec.receiver, offset_P=torch.full_like(codec.receiver.offset_P, 1e6))
    with pytest.raises(DivergedError, match=r"offset leaves float16's range"):
        huge.to_bytes()


@pytest.mark.parametrize("bottleneck", ["quantized", "gaussian"])
def test_refinement_helps_held_out_networks_and_never_hurts_its_own_objective(small_zoo, bottleneck):
    population, images = small_zoo.population("validation"), small_zoo.dataset().validation
    objective = []
    for steps in (0, 40):
        fit = fitted(small_zoo, epochs=0, latent=16, bottleneck=bottleneck, refine_steps=steps, rate_loss=0.3)
        config, codec = fit.config, fit.artifact()
        # On 512 examples symbols would be fitted to these.
        assert len(codec.refiner.examples) == len(small_zoo.dataset().train) > 512
        restored_MP = codec.decompress(codec.compress(population))
        before, after = population.logits(images.inputs), population.logits(images.inputs, restored_MP)
        factor = sharpness(before, config.logit_spread)
        rate = fit.validate()["code_bits_per_weight"]
        objective.append(float(divergence(before * factor, after * factor).mean()) + config.rate_loss * rate)
    assert objective[1] < 0.95 * objective[0]


def test_the_same_networks_are_refined_once_whatever_the_payload(small_zoo, monkeypatch):
    runs = []
    refine = _Refinement.run
    monkeypatch.setattr(_Refinement, "run", lambda self, latent: (runs.append(len(latent)), refine(self, latent))[1])
    fit = fitted(small_zoo, epochs=0, latent=8, refine_steps=3)
    codec, population = fit.artifact(), small_zoo.population("train").select(range(MEMBERS_AT_ONCE + 8))
    compressed = compressor(codec, population)
    block, everything = list(range(MEMBERS_AT_ONCE)), list(range(len(population)))
    payloads = [compressed(rows) for rows in (block, everything, [3])]
    assert runs == [MEMBERS_AT_ONCE, 8]
    assert payloads[:2] == [compress(codec, population.select(rows)) for rows in (block, everything)]
    assert [len(decompress(codec, payload, len(population.architectures))[0]) for payload in payloads] == [64, 72, 1]


def test_log_probabilities_are_those_of_torch():
    logits = torch.tensor([[[1000.0, 0.0, -3.0], [1.0, 1.0, 1.0], [-1e4, 2.0, 2.5]]], requires_grad=True)
    ours, torchs = log_probabilities(logits), logits.log_softmax(-1)
    torch.testing.assert_close(ours, torchs)
    weights = torch.tensor([0.2, -1.0, 3.0])
    gradients = [torch.autograd.grad((values * weights).sum(), logits)[0] for values in (ours, torchs)]
    torch.testing.assert_close(*gradients)
