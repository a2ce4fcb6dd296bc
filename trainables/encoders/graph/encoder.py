"""Neural graphs: hidden units are nodes, weights and kernels are edges; the order of units does not matter.

After Kofinas et al., "Graph Neural Networks for Learning Equivariant Representations of Neural Networks" (ICLR 2024,
arXiv 2403.12143, sections 3 and 4): nodes with biases, edges with weights, inputs and outputs told apart by an
embedding of their position, messages along edges in both directions, edges updated with their two nodes. Different
here: a layer's edges are one dense tensor, so that a round of messages is products and means over its axes, with no
lists of edges; kernels of any size are compared by frequency (a cosine transform) in place of padding; each tensor is
divided by its root mean square, whose logarithm is told beside it. Gauge: the scale of units of homogeneous
activations, after Kalogeropoulos et al., "Scale Equivariant Graph Metanetworks" (NeurIPS 2024, arXiv 2406.10685),
undone at the input.

Shape letters: B networks of a batch, U units, O units of an edge's target, I of its source, K entries of an edge,
F frequencies, C width of an edge, D width of a node, L blocks of edges, E width of an embedding.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from trainables.encoders.graph.config import GraphConfig
from trainables.encoders.graph.structure import (
    KINDS,
    POSITION,
    ROLES,
    Edges,
    Grid,
    NetworkGraph,
    Values,
    network_graph,
)
from trainables.encoders.supervised import NetworkModule, bare
from trainables.trainable import FitData
from zoo.architecture import Architecture
from zoo.architecture.activations import ACTIVATIONS
from zoo.population import Population

# Numbers that tell named units apart, half sines and half cosines.
IDENTITY = 16
# Below this a tensor counts as zero: its logarithm is told no lower.
SMALLEST_SCALE = 1e-3
# What is read of layers besides their mean: the first two and the last two.
ENDS = (0, 1, -1, -2)


class Frequencies(nn.Module):
    """A linear map of entries that lie on a grid, the same for grids of every size: of their lowest frequencies.

    Args:
        modes: Frequencies in each direction.
        outputs: Width of what is given.
    """

    def __init__(self, modes: int, outputs: int) -> None:
        super().__init__()
        self.modes = modes
        self.weight = nn.Parameter(torch.randn(modes, modes, outputs) / math.sqrt(2))
        self.energy = nn.Parameter(torch.randn(outputs) / 2)

    def forward(self, entries: Tensor, grid: Grid) -> Tensor:
        """``[…, K]`` to ``[…, outputs]``; beside frequencies, the root mean square of the entries is read."""
        height, width = (min(length, self.modes) for length in grid)
        weight = cosines(grid, self.modes).to(entries) @ self.weight[:height, :width].flatten(0, 1)
        size = entries.abs() if entries.shape[-1] == 1 else entries.square().mean(-1, keepdim=True).add(1e-12).sqrt()
        return torch.cat([entries, size], dim=-1) @ torch.cat([weight, self.energy[None]])


class Messages(nn.Module):
    """A round of messages: edges read their nodes, nodes read the edges that arrive and those that leave.

    Args:
        config: Sizes.
        context: How many numbers are known of each layer.
    """

    def __init__(self, config: GraphConfig, context: int) -> None:
        super().__init__()
        width, channels = config.width, config.edge_width
        self.messages = config.messages
        self.edge = nn.Linear(channels, channels)
        self.context = nn.Linear(context, channels, bias=False)
        # What an edge reads of its source and what it multiplies; likewise of its target.
        self.from_source = nn.Linear(width, 2 * channels)
        self.from_target = nn.Linear(width, 2 * channels)
        self.norm = nn.LayerNorm(width)
        self.update = nn.Sequential(nn.Linear(width + 4 * channels, 2 * width), nn.SiLU(), nn.Linear(2 * width, width))

    def forward(
        self, graph: NetworkGraph, nodes: list[Tensor], edges: list[Tensor], contexts: Sequence[Tensor]
    ) -> tuple[list[Tensor], list[Tensor]]:
        """New nodes ``[B, U, D]`` and edges ``[B, O, I, C]``."""
        normed = [self.norm(node) for node in nodes]
        sources, targets = ([part(node) for node in normed] for part in (self.from_source, self.from_target))
        arrived: list[Any] = [0.0] * len(nodes)
        left: list[Any] = [0.0] * len(nodes)
        updated = []
        for block, edge, context in zip(graph.edges, edges, contexts, strict=True):
            read, multiplied = sources[block.source].unsqueeze(1).chunk(2, dim=-1)
            made, weighed = targets[block.target].unsqueeze(2).chunk(2, dim=-1)
            made = made + self.context(context)[:, None, None]
            edge = edge + F.relu(self.edge(edge) + read + made)
            arrived[block.target] = arrived[block.target] + self.summed(edge, edge * multiplied, 2)
            left[block.source] = left[block.source] + self.summed(edge, edge * weighed, 1)
            updated.append(edge)
        for number, (node, seen) in enumerate(zip(nodes, normed, strict=True)):
            both = [
                each if isinstance(each, Tensor) else node.new_zeros(*node.shape[:2], 2 * edges[0].shape[-1])
                for each in (arrived[number], left[number])
            ]
            nodes[number] = node + self.update(torch.cat([seen, *both], dim=-1))
        return nodes, updated

    def summed(self, edge: Tensor, product: Tensor, axis: int) -> Tensor:
        """What arrives at units, summed over an axis of edges, by ``config.messages``."""
        count = edge.shape[axis]
        divisor = {"mean": count, "root": math.sqrt(count), "sum": 1.0}[self.messages]
        return torch.cat([edge.sum(axis), product.sum(axis)], dim=-1) / divisor


class NeuralGraph(NetworkModule):
    """Embeds networks of any layout, whatever the order of their hidden units.

    Args:
        config: Sizes.
        facts: None are needed.
    """

    config: GraphConfig
    config_type: ClassVar = GraphConfig
    mean: Tensor
    deviation: Tensor

    def __init__(self, config: GraphConfig, facts: Any) -> None:
        super().__init__(config, facts)
        width, channels = config.width, config.edge_width
        context = POSITION + 1 + (len(ACTIVATIONS) if config.told_activation else 0)
        self.kernels = Frequencies(config.modes, channels)
        self.kernel_context = nn.Linear(context, channels)
        self.kernel_layer = nn.Linear(channels, channels)
        self.values = Frequencies(config.modes, width)
        self.value_context = nn.Linear(context + len(KINDS), width)
        self.value_layer = nn.Linear(width, width)
        self.identity = nn.Linear(len(ROLES) + IDENTITY, width)
        self.rounds = nn.ModuleList(Messages(config, context) for _ in range(config.blocks))
        read = 2 * channels + 4 * width + context
        self.register_buffer("mean", torch.zeros(read))
        self.register_buffer("deviation", torch.ones(read))
        self.layer = nn.Sequential(
            nn.Linear(read, 2 * width),
            nn.SiLU(),
            nn.Dropout(config.dropout),
            nn.Linear(2 * width, width),
            nn.SiLU(),
        )
        self.to_latent = nn.Sequential(
            nn.Linear((1 + len(ENDS)) * width, 2 * width), nn.SiLU(), nn.Linear(2 * width, config.latent)
        )

    @torch.no_grad()
    def initialize(self, data: FitData) -> None:
        """What is read of layers is standardized as it is before training, over layers and networks."""
        read = [self.read(bare(population.select(range(min(64, len(population)))))) for population in data.training]
        read_NF = torch.cat([each.flatten(0, 1) for each in read])
        self.mean.copy_(read_NF.mean(0))
        self.deviation.copy_(read_NF.std(0, correction=0).clamp_min(1e-3))

    def require(self, population: Population) -> None:
        super().require(population)
        for architecture, _ in population.groups():
            graph = network_graph(architecture)
            if self.config.gauge:
                require_chain(architecture, graph)

    def augmented(self, batch: Population, generator: torch.Generator) -> Population:
        """With noise on the weights, of a share of each tensor's root mean square."""
        if not self.config.noise:
            return batch
        noise_BP = torch.randn(batch.weights_MP.shape, generator=generator)
        weights_BP = batch.weights_MP.clone()
        for spec in batch.architecture.layout:
            size_B1 = batch.weights_MP[:, spec.span].square().mean(1, keepdim=True).sqrt()
            weights_BP[:, spec.span] += self.config.noise * size_B1 * noise_BP[:, spec.span]
        return batch.with_weights(weights_BP)

    def forward(self, batch: Population) -> Tensor:
        layers_BLD = self.layer((self.read(batch) - self.mean) / self.deviation)
        count = layers_BLD.shape[1]
        ends = [layers_BLD[:, end] if -count <= end < count else layers_BLD[:, 0] * 0 for end in ENDS]
        return self.to_latent(torch.cat([layers_BLD.mean(1), *ends], dim=1))

    def read(self, batch: Population) -> Tensor:
        """What there is to know of each layer after all messages, ``[B, L, F]``."""
        rows_of: dict[NetworkGraph, list[Tensor]] = {}
        for architecture, rows in batch.groups():
            rows_of.setdefault(network_graph(architecture), []).append(rows)
        if len(rows_of) == 1:
            return self.read_alike(batch, next(iter(rows_of)))
        # Networks of one layout that differ in what is added to what, say.
        parts = [torch.cat(rows) for rows in rows_of.values()]
        read = [self.read_alike(batch.select(rows), graph) for graph, rows in zip(rows_of, parts, strict=True)]
        return torch.cat(read)[torch.cat(parts).argsort()]

    def read_alike(self, batch: Population, graph: NetworkGraph) -> Tensor:
        """:meth:`read` of networks that have the same graph."""
        tensors = batch.architecture.tensors(batch.weights_MP)
        if self.config.gauge:
            tensors = without_scales(batch, graph, tensors)
        told = [activations_of(batch)] if self.config.told_activation else []
        edges, contexts = [], []
        for block in graph.edges:
            scaled, scale_B1 = normalized(tensors[block.spec.name], math.sqrt(block.fan_in))
            context = torch.cat([scale_B1, scale_B1.new_tensor(block.position).expand(len(batch), -1), *told], dim=1)
            edge = self.kernels(block.of(scaled), block.grid) + self.kernel_context(context)[:, None, None]
            edges.append(self.kernel_layer(F.relu(edge)))
            contexts.append(context)
        first = edges
        nodes = self.nodes(batch, graph, tensors, told)
        for messages in self.rounds:
            nodes, edges = messages(graph, nodes, edges, contexts)
        layers = []
        for block, before, edge, context in zip(graph.edges, first, edges, contexts, strict=True):
            seen = [edge.mean((1, 2)), before.mean((1, 2))]
            for number in (block.source, block.target):
                seen += [nodes[number].mean(1), nodes[number].square().mean(1).add(1e-12).sqrt()]
            layers.append(torch.cat([*seen, context], dim=1))
        return torch.stack(layers, dim=1)

    def nodes(
        self, batch: Population, graph: NetworkGraph, tensors: dict[str, Tensor], told: list[Tensor]
    ) -> list[Tensor]:
        """What nodes know at the beginning, ``[B, U, D]`` each: their role, their name, their biases."""
        nodes = []
        for units in graph.units:
            role = torch.zeros(units.count, len(ROLES))
            role[:, ROLES.index(units.role)] = 1.0
            name = torch.zeros(units.count, IDENTITY) if units.role == "hidden" else waves(units.count)
            known = torch.cat([role, name], dim=1).to(batch.weights_MP)
            nodes.append(self.identity(known).expand(len(batch), -1, -1))
        for value in graph.values:
            scaled, scale_B1 = normalized(tensors[value.spec.name], 1.0)
            kind = [float(value.kind == kind) for kind in KINDS]
            fixed = scale_B1.new_tensor([*value.position, *kind]).expand(len(batch), -1)
            context = self.value_context(torch.cat([scale_B1, fixed, *told], dim=1)).unsqueeze(1)
            read = self.value_layer(F.relu(self.values(value.of(scaled), value.grid) + context))
            nodes[value.units] = nodes[value.units] + read
        return nodes


@lru_cache(maxsize=256)
def cosines(grid: Grid, modes: int) -> Tensor:
    """An orthonormal cosine transform (DCT-II) of a grid, its lowest frequencies alone: ``[K, F]``."""
    along = []
    for length in grid:
        place, frequency = torch.arange(length)[:, None] + 0.5, torch.arange(min(length, modes))[None]
        wave = torch.cos(math.pi * place * frequency / length) * math.sqrt(2 / length)
        wave[:, 0] /= math.sqrt(2)
        along.append(wave)
    return torch.einsum("hi,wj->hwij", *along).flatten(2).flatten(0, 1)


def waves(count: int) -> Tensor:
    """Sines and cosines that tell the units 0 to ``count`` - 1 apart: ``[U, IDENTITY]``."""
    rates = 10_000 ** (-torch.arange(IDENTITY // 2) / (IDENTITY // 2))
    angles = torch.arange(count)[:, None] * rates
    return torch.cat([angles.sin(), angles.cos()], dim=1)


def normalized(tensor: Tensor, factor: float) -> tuple[Tensor, Tensor]:
    """(a tensor ``[B, …]`` over its root mean square, the logarithm of that times ``factor``, ``[B, 1]``)."""
    size_B1 = tensor.flatten(1).square().mean(1, keepdim=True).sqrt()
    scaled = tensor / size_B1.clamp_min(1e-12).reshape(-1, *(1 for _ in tensor.shape[1:]))
    return scaled, (size_B1 * factor).clamp_min(SMALLEST_SCALE).log()


def activations_of(batch: Population) -> Tensor:
    """Which activation functions each network has: ``[B, activations]``, 0 or 1."""
    has = [[float(name in each.activation.split(",")) for name in ACTIVATIONS] for each in batch.architectures]
    return batch.weights_MP.new_tensor(has)[batch.architecture_M]


def homogeneous(architecture: Architecture) -> bool:
    """Whether a scale of any hidden unit can be undone by the layer that reads it."""
    names = [name for name in architecture.activation.split(",") if name]
    return all(ACTIVATIONS[name].homogeneous for name in names)


def without_scales(batch: Population, graph: NetworkGraph, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Every hidden unit with incoming weights and bias of norm 1, its outgoing weights multiplied by what it had.

    The function stays the same. Networks with other than homogeneous activations stay as they are.
    """
    tensors = dict(tensors)
    rows_B = torch.tensor([homogeneous(each) for each in batch.architectures])[batch.architecture_M]
    for number, units in enumerate(graph.units):
        if units.role != "hidden":
            continue
        made: list[Edges | Values] = [block for block in graph.edges if block.target == number]
        made += [value for value in graph.values if value.units == number]
        size_BU = torch.stack([each.of(tensors[each.spec.name]).square().flatten(2).sum(2) for each in made]).sum(0)
        size_BU = torch.where((size_BU > 0) & rows_B[:, None], size_BU, 1.0).sqrt()
        for each in made:
            scale = size_BU.reshape(*size_BU.shape, *(1 for _ in tensors[each.spec.name].shape[2:]))
            tensors[each.spec.name] = tensors[each.spec.name] / scale
        for block in graph.edges:
            if block.source == number:
                tensors[block.spec.name] = block.back(block.of(tensors[block.spec.name]) * size_BU[:, None, :, None])
    return tensors


def require_chain(architecture: Architecture, graph: NetworkGraph) -> None:
    """Raises a ``ValueError`` where units' scales cannot be undone one layer after the other."""
    made = [block.target for block in graph.edges]
    kinds = {value.kind for value in graph.values}
    if len(set(made)) < len(made) or kinds - {"bias"} or any(math.prod(each.blocks[:1]) > 1 for each in graph.edges):
        raise ValueError(
            f"gauge is True, but {architecture.summary} has residual connections or batch norms, whose scales are no "
            "symmetry of single layers; allowed for them: False"
        )
