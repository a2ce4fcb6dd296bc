"""What the attention of a transformer autoencoder reads: how much the neurons of each layer take from each layer.

Shape letters: B networks, T tokens, R tokens that are read, H heads, G groups of tokens.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from trainables.autoencoders.autoencoder import Autoencoder, Latent
from trainables.transformers.blocks import Block
from trainables.transformers.networks import NetworkDecoder, NetworkEncoder
from zoo.population import Population


@dataclass(frozen=True)
class AttentionMap:
    """One block's attention, the mean over heads, networks and the tokens of a group.

    Attributes:
        name: Of the block.
        readers: Groups of tokens that read.
        read: Groups of tokens that are read.
        shares: How much of a reader's attention goes to all tokens of a group: rows add up to 1.
        even: What each group would have if all tokens were read alike.
    """

    name: str
    readers: list[str]
    read: list[str]
    shares: list[list[float]]
    even: list[float]


@torch.no_grad()
def attention_maps(
    autoencoder: Autoencoder, population: Population, latent: Latent, names: Sequence[str]
) -> list[AttentionMap]:
    """Attention of all blocks, encoder first; empty where the autoencoder has none.

    Args:
        autoencoder: Any autoencoder.
        population: Networks.
        latent: Theirs.
        names: What the layers of networks are called.
    """
    found = []
    encoder, decoder = autoencoder.encoder, autoencoder.decoder
    sizes = [len(index) for index in autoencoder.indices]
    if isinstance(encoder, NetworkEncoder):
        coordinates_MP, _ = autoencoder.coordinates.forward(population)
        groups = (["latent", *names], [1, *sizes]) if encoder.compression is not None else (list(names), sizes)
        found += _maps("encoder", encoder, lambda: encoder(coordinates_MP), *groups)
    if isinstance(decoder, NetworkDecoder):
        found += _maps("decoder", decoder, lambda: decoder(latent.values_MZ), list(names), sizes)
    return found


def _maps(
    name: str, module: nn.Module, apply: Callable[[], Tensor], names: list[str], sizes: list[int]
) -> list[AttentionMap]:
    """Of the blocks in a module, watched while it is applied."""
    noted: list[Tensor] = []

    def note(block: nn.Module, given: tuple[Tensor, int | None]) -> None:
        if isinstance(block, Block):
            noted.append(block.attention(*given)[0].mean((0, 1)))

    hooks = [block.register_forward_pre_hook(note) for block in module.modules() if isinstance(block, Block)]
    try:
        apply()
    finally:
        for hook in hooks:
            hook.remove()
    return [_grouped(f"{name}, block {number}", one_RT, names, sizes) for number, one_RT in enumerate(noted, 1)]


def _grouped(name: str, attention_RT: Tensor, names: list[str], sizes: list[int]) -> AttentionMap:
    """By groups of tokens; of the tokens that read, the first groups may be all there is."""
    given_RG = torch.stack([part.sum(1) for part in attention_RT.split(sizes, dim=1)], dim=1)
    ends = torch.tensor(sizes).cumsum(0).tolist()
    kept = [size for size, end in zip(sizes, ends, strict=True) if end <= len(given_RG)]
    rows = [part.mean(0) for part in given_RG.split(kept)]
    even = [size / sum(sizes) for size in sizes]
    return AttentionMap(name, names[: len(rows)], names, torch.stack(rows).tolist(), even)
