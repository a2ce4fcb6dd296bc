"""Attention blocks: the same as torch's, faster; and networks that go through them and back."""

import pytest
import torch
from torch import nn

from trainables.transformers.blocks import Blocks, Dropout, fast_products
from trainables.transformers.networks import NetworkDecoder, NetworkEncoder, token_indices
from zoo.architecture import cnn, mlp


def pair(dropout=0.0):
    """Blocks, and torch's own with the same parameters."""
    torch.manual_seed(0)
    layer = nn.TransformerEncoderLayer(16, 2, 24, dropout, norm_first=True, batch_first=True)
    reference = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
    blocks = Blocks(2, 16, 2, 24, dropout)
    for own, its in zip(blocks, reference.layers, strict=True):
        nn.init.normal_(its.self_attn.in_proj_bias)
        own.query.load_state_dict(
            {"weight": its.self_attn.in_proj_weight[:16], "bias": its.self_attn.in_proj_bias[:16]}
        )
        own.key_value.load_state_dict(
            {"weight": its.self_attn.in_proj_weight[16:], "bias": its.self_attn.in_proj_bias[16:]}
        )
        for name, other in {
            "attended": its.self_attn.out_proj, "attention_norm": its.norm1, "hidden_norm": its.norm2,
            "hidden": its.linear1, "out": its.linear2,
        }.items():  # fmt: skip
            getattr(own, name).load_state_dict(other.state_dict())
    return blocks, reference


def test_blocks_compute_what_torch_computes_and_so_do_their_gradients():
    blocks, reference = pair()
    tokens_BTD = torch.randn(5, 7, 16, requires_grad=True)
    torch.testing.assert_close(blocks(tokens_BTD), reference(tokens_BTD), rtol=1e-4, atol=1e-5)
    weights = torch.randn(5, 7, 16)
    ours, theirs = (
        torch.autograd.grad((module(tokens_BTD) * weights).sum(), tokens_BTD)[0] for module in (blocks, reference)
    )
    torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)


def test_tokens_that_are_read_are_those_of_the_whole():
    blocks, _ = pair()
    tokens_BTD = torch.randn(5, 7, 16)
    torch.testing.assert_close(blocks(tokens_BTD, 2), blocks(tokens_BTD)[:, :2])


def test_fast_products_are_close_and_leave_other_numbers_alone():
    blocks, _ = pair()
    tokens_BTD = torch.randn(5, 7, 16)
    exact = blocks(tokens_BTD)
    with fast_products("float32"):
        assert torch.equal(blocks(tokens_BTD), exact)
    with fast_products("bfloat16"):
        found = blocks(tokens_BTD)
    assert found.dtype == torch.float32
    assert 0 < (found - exact).square().mean().sqrt() < 0.01 * exact.std()


def test_dropout_drops_the_share_that_it_should_and_keeps_the_mean():
    torch.manual_seed(1)
    dropout = Dropout(0.1)
    x = torch.full((401, 503), 2.0)
    dropped = dropout(x)
    assert (dropped == 0).float().mean() == pytest.approx(0.1, abs=0.002)
    assert dropped.mean() == pytest.approx(2.0, abs=0.005)
    assert dropped.unique().tolist() == pytest.approx([0.0, 2 / 0.9], rel=1e-4)
    gone = (dropped == 0).float()
    neighbors = torch.corrcoef(torch.stack([gone.flatten()[:-1], gone.flatten()[1:]]))[0, 1]
    assert abs(neighbors) < 0.01
    assert not torch.equal(dropout(x), dropped)
    assert torch.equal(dropout.eval()(x), x)


@pytest.mark.parametrize("tokens", ["neuron", "weight"])
@pytest.mark.parametrize("architecture", [mlp((1, 4, 4), (5,), 3), cnn((1, 8, 8), (3, 4), 3)], ids=["mlp", "cnn"])
def test_networks_become_latents_and_latents_networks(architecture, tokens):
    class Sizes:
        width, blocks, heads, feedforward, latent, dropout = 16, 2, 2, 24, 6, 0.0

    indices = token_indices(tokens, architecture)
    weights_BP = torch.randn(3, architecture.parameters)
    for compression_token in (True, False):
        encoder = NetworkEncoder(Sizes(), indices, 6, compression_token=compression_token)
        latent_BE = encoder(weights_BP)
        assert latent_BE.shape == (3, 6)
        torch.testing.assert_close(encoder(weights_BP[1:2]), latent_BE[1:2], rtol=1e-4, atol=1e-5)
        moved_BP = weights_BP + torch.eye(architecture.parameters)[[0, 7, -1]]
        assert (encoder(moved_BP) != latent_BE).any(dim=1).all(), "every weight is read"
    decoder = NetworkDecoder(Sizes(), indices)
    decoded_BP = decoder(latent_BE)
    assert decoded_BP.shape == weights_BP.shape
    assert (decoded_BP.std(0) > 0).all(), "every weight is written"
