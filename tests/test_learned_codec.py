import copy
import dataclasses

import pytest
import torch
from safetensors.torch import load

from trainables.autoencoder import layer_rows
from trainables.codec import Codec
from trainables.config import AutoencoderConfig
from trainables.fidelity import divergence, sharpness
from trainables.fit import AutoencoderFit
from trainables.learned_codec import CONFIG_FILE, MODEL_FILE, LearnedCodec
from trainables.receiver import DivergedError, Receiver

SETTINGS = [
    {"family": family, "bottleneck": bottleneck, "gain": gain}
    for family in ("neuron", "mlp")
    for bottleneck, gain in (("identity", True), ("quantised", True), ("quantised", False), ("gaussian", True))
]


@pytest.fixture(scope="module", params=SETTINGS, ids=lambda s: "-".join(str(v) for v in s.values()))
def codec(request, small_zoo) -> LearnedCodec:
    config = AutoencoderConfig(
        latent=12, encoder_width=16, decoder_width=16, batch_size=16, batch_images=16, epochs=1, **request.param
    )
    fit = AutoencoderFit(config, small_zoo.population("train"), small_zoo.dataset().train)
    fit.step()
    return fit.codec("learned")


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
    population = small_zoo.population("validation").select(range(5))
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
    estimate = codec.receiver.config.shared_bytes(layer_rows(small_zoo.population("train").architecture))
    assert abs(estimate - codec.shared_bytes) < 1000


def test_the_receiver_alone_can_read_payloads(codec, small_zoo):
    population = small_zoo.population("validation")
    payload = codec.compress(population)
    receiver = Receiver.from_bytes(codec.receiver.to_bytes())
    blind = copy.deepcopy(codec.autoencoder)
    with torch.no_grad():
        for parameter in blind.parameters():
            parameter.fill_(torch.nan)
    other = LearnedCodec(blind, receiver, codec.refiner, "other")
    assert torch.equal(other.decompress(payload), codec.decompress(payload))


def test_files_restore_the_codec(codec, small_zoo):
    files = codec.to_files()
    assert set(files) == {MODEL_FILE, CONFIG_FILE}
    restored = LearnedCodec.from_files(files)
    population = small_zoo.population("validation")
    payload = codec.compress(population)
    assert restored.compress(population) == payload
    assert torch.equal(restored.decompress(payload), codec.decompress(payload))
    assert restored.shared_bytes == codec.shared_bytes
    assert restored.name == codec.name == "learned"
    assert restored.to_files() == files


def test_bytes_are_fewer_with_wider_steps(small_zoo):
    sizes = []
    for bits in (1.0, 4.0):
        config = AutoencoderConfig(latent=12, bits_per_latent=bits)
        fit = AutoencoderFit(config, small_zoo.population("train"), small_zoo.dataset().train)
        sizes.append(len(fit.codec().compress(small_zoo.population("validation"))))
    assert sizes[0] < sizes[1]


def test_missing_files_are_named(codec):
    with pytest.raises(ValueError, match=f"{MODEL_FILE} is missing"):
        LearnedCodec.from_files({CONFIG_FILE: codec.to_files()[CONFIG_FILE]})


def test_a_truncated_float16_payload_is_refused(codec, small_zoo):
    if codec.receiver.symbols is not None:
        return
    payload = codec.compress(small_zoo.population("validation"))
    with pytest.raises(ValueError, match="truncated"):
        codec.decompress(payload[: len(payload) // 2])


def test_numbers_beyond_float16_are_refused(codec):
    huge = dataclasses.replace(codec.receiver, offset_P=torch.full_like(codec.receiver.offset_P, 1e6))
    with pytest.raises(DivergedError, match=r"offset leaves float16's range"):
        huge.to_bytes()


@pytest.mark.parametrize("bottleneck", ["quantised", "gaussian"])
def test_refinement_helps_held_out_networks_and_never_hurts_its_own_objective(small_zoo, bottleneck):
    population, images = small_zoo.population("validation"), small_zoo.dataset().validation
    objective = []
    for steps in (0, 40):
        config = AutoencoderConfig(latent=16, bottleneck=bottleneck, refine_steps=steps, rate_loss=0.3)
        fit = AutoencoderFit(config, small_zoo.population("train"), small_zoo.dataset().train)
        codec = fit.codec()
        restored_MP = codec.decompress(codec.compress(population))
        before, after = population.logits(images.inputs), population.logits(images.inputs, restored_MP)
        factor = sharpness(before, config.logit_spread)
        rate = fit.validate(population, images)["code_bits_per_weight"]
        objective.append(float(divergence(before * factor, after * factor).mean()) + config.rate_loss * rate)
    assert objective[1] < 0.95 * objective[0]
