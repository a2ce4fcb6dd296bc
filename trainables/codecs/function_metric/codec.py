"""The function-metric codec: a transform codec for networks, in closed form.

What it does, one layer after the other, for each network:

1. Gauge: batch norms are folded into the layers before them. Of all networks with these probabilities, the one
   without class mean, and for homogeneous activations with unit dependence of the logits on every hidden unit.
2. Where a layer's inputs have names (pixels), its rows are measured in the function metric (``zoo.views.metric``) and
   rotated into the principal components of all rows of all training members (rows are many, so the statistics are
   plentiful). Hidden units have no names, but what a row has for one unit can be such a row itself: the kernel of a
   convolution, the positions of a flattened image.
3. One step for each layer, proportional to the network's own logit spread and inversely to the logits' dependence
   on the layer's weights; sent as powers of √2.
4. Rounding by rate and distortion, with error feedback in the network's own metric: inputs and outputs still to be
   rounded make good for those already rounded, as far as the logits let them stand in for each other.
5. Every later layer is first refitted, by least squares, to what the decoded layers before it give it. The final
   layer's columns (what a hidden unit does) are coded in the principal components over classes, of a network with
   one hidden layer as differences to what the unit's decoded incoming weights make expect.
6. Where the configuration says so (``distill_steps``), the rounded network is then trained to do what the original
   does at fewer bits: ``trainables.codecs.distilled_rounding``.
7. The order of hidden units is not sent: they are sorted by one of their symbols, which is then coded as differences.

On 128 held-out members of ``digits-mlp-diverse`` (600 training members, one snapshot each) 97 % agreement took, by
interpolation, 1.80 bits a weight with steps 1-3 and plain rounding, 1.50 with error feedback and refit, 1.43 with
the prediction, 1.35 with rounding by rate and distortion (ideal code lengths so far), 1.30 with sorted units (bytes).
What did not help: a step for each unit by its outgoing weights, steps by decision margins instead of logit spread,
other shares of the steps between layers, visiting units by importance; for convolutions the exact Gauss-Newton matrix
of a layer in place of its Kronecker factors, weighting positions by the logits' dependence on them, a step for each
channel read by the pivots of error feedback, and training the layers still to come on the logits.

Shape letters: M members, N examples, H outputs of a layer, D inputs of an output with the bias, B entries of a unit, R
coefficients of a row, K directions of the logits, T tokens of a layer, E step exponents of a network, P parameters.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, MutableMapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from safetensors.torch import load, save
from torch import Tensor

from trainables.codecs.cells import Numbers
from trainables.codecs.entropy import Array, TableColumns
from trainables.codecs.function_metric.config import FunctionMetricConfig
from trainables.codecs.function_metric.encoder import Sender, step_exponents
from trainables.codecs.function_metric.measuring import LayerMetric, MeasuredTraining, measured
from trainables.codecs.function_metric.networks import Networks
from trainables.codecs.function_metric.receiver import Receiver
from trainables.codecs.function_metric.rounding import bit_costs
from trainables.codecs.function_metric.transform import Symbols, Transform
from zoo.architecture import Architecture
from zoo.config import canonical_json, from_json
from zoo.data.examples import Examples
from zoo.population import Population
from zoo.threads import one_thread
from zoo.views.folding import Folding
from zoo.views.weight_layers import weight_layers

RECEIVER_FILE, SENDER_FILE, FACTS_FILE = "receiver.safetensors", "sender.safetensors", "codec.json"
# Numbers that the training members' outputs may take up (512 MB).
TRAINING_ENTRIES = 2**27
# A network that disagrees with itself so many times as often as training members do on average, or more, has got steps
# that do not suit it: its outputs nearly tie, say, or most of their spread is in a class that it never predicts.
UNSUITED = 4
# It gets finer ones: by how much its step exponents are reduced, two for an octave, until it does not.
FINER = (2, 4, 6, 8)
# Training members whose symbols are distilled, to know how frequent such symbols are.
DISTILLED_MEMBERS = 64
# The exponent of a step, where it is not entropy coded.
EXPONENT_BITS = 8


@dataclass(frozen=True)
class MetricCodec:
    """See the module.

    Decoded networks compute what the originals do, but in another gauge and with the first hidden layer's units
    in another order, so errors of single weights mean nothing.

    Attributes:
        receiver: What must be known to decode.
        sender: What encodes.
        disagreement: Share of training examples for which training members and their reconstructions predict different
            classes; infinite where there are no classes.
        name: Name in tables.
    """

    receiver: Receiver
    sender: Sender
    disagreement: float
    name: str = "function-metric"

    @classmethod
    def fit(cls, config: FunctionMetricConfig, training: Population, examples: Examples) -> MetricCodec:
        """See :meth:`fit_sharing`; one fit alone."""
        return cls.fit_sharing(config, training, examples, {})

    # The same payload whatever the number of threads; batches of small systems of equations also failed in several.
    @classmethod
    @one_thread()
    def fit_sharing(
        cls,
        config: FunctionMetricConfig,
        training: Population,
        examples: Examples,
        shared: MutableMapping[Any, Any],
    ) -> MetricCodec:
        """Fits bases, prediction and tables on training members, evenly spaced.

        Args:
            config: How it is fitted and how it rounds.
            training: Training members; those with weights that are not finite do not count.
            examples: Training examples. Where their targets are class labels, what all logits have in common counts
                for nothing; where they are numbers it is coded too.
            shared: Where fits with several configurations keep what they measure of networks, for one another.

        Raises:
            ValueError: No training member is finite, or a batch norm cannot be folded.
        """
        softmax = not examples.targets.is_floating_point()
        finite = torch.nonzero(torch.isfinite(training.weights_MP).all(dim=1)).flatten()
        if not len(finite):
            raise ValueError(f"none of the {len(training)} training members has finite weights; nothing can be fitted")
        read = examples.first(max(config.images, config.distill_images if config.distill_steps else 0))
        outputs = sum(math.prod(layer.place.output_shape) for layer in weight_layers(folded_architecture(training)))
        most = max(1, min(config.training_members, TRAINING_ENTRIES // (config.images * outputs)))
        chosen = folded(training.select(finite[:: -(-len(finite) // most)]))
        found = MeasuredTraining.of(chosen, examples, config.images, shared)
        metrics, batches = found.metrics, found.batches
        transform = fitted_transform(
            Transform(training.architecture, config.step, softmax, {}), config, batches, metrics
        )
        moments = [metric.moment_DD if metric.layer.named else None for metric in metrics]
        sender = Sender(config, transform, moments, [metric.whitening for metric in metrics], read)
        if transform.predicts:
            first = [sender.encode(networks) for networks in batches]
            known_MTR = torch.cat([torch.from_numpy(symbols.layers[0]) for symbols, _ in first])
            targets_MTK = torch.cat([targets for _, targets in first])
            transform = transform.with_prediction(fitted_prediction(known_MTR, targets_MTK, config.prediction_ridge))
            sender = replace(sender, transform=transform)
        symbols = encoded(sender, batches)
        for _ in range(config.rounds):
            sender = replace(sender, costs=costs_of(transform, symbols))
            symbols = encoded(sender, batches)
        disagreement = math.inf
        if softmax:
            sizes = [len(networks.weights_MP) for networks in batches]
            parts = zip(batches, np.split(np.arange(sum(sizes)), np.cumsum(sizes)[:-1]), strict=True)
            lost = [sender.disagreement(networks, symbols.select(rows)) for networks, rows in parts]
            disagreement = float(torch.cat(lost).mean())
        if config.distill_steps:
            by_batch = torch.cat([rows for _, rows in chosen.groups()])
            rows = np.arange(0, len(by_batch), -(-len(by_batch) // DISTILLED_MEMBERS))
            own, symbols = chosen.select(by_batch[rows]), symbols.select(rows)
            distance_M = sender.distances(own, symbols)
            sender = replace(sender, distance=float(distance_M[torch.isfinite(distance_M)].mean().nan_to_num(0.0)))
            # Costs of rounded symbols are not those of distilled ones, and tables are to fit what encoding gives.
            for _ in range(max(1, config.rounds)):
                symbols = sender.distilled(own, encoded(sender, batches).select(rows))
                sender = replace(sender, costs=costs_of(transform, symbols))
        return cls(Receiver.fit(transform, symbols), sender, disagreement)

    @property
    def shared_bytes(self) -> int:
        """Size of the receiver as one file: bases, prediction and tables."""
        return len(self.receiver.to_bytes())

    def compress(self, population: Population) -> bytes:
        """See :class:`trainables.codecs.codec.Codec`."""
        return self.payload(self.symbols(population))

    @one_thread()
    def symbols(self, population: Population) -> Symbols:
        """See :class:`trainables.codecs.payloads.SymbolCodec`.

        Raises:
            ValueError: The population is empty, of another layout, or holds weights that are not finite.
        """
        if not len(population):
            raise ValueError("the population is empty; a payload holds at least one member")
        if population.architecture.layout != self.receiver.transform.architecture.layout:
            raise ValueError(
                f"the population has {population.parameters} parameters in another layout than the codec's "
                f"{self.receiver.transform.architecture.parameters}; fit a codec on a population of its layout"
            )
        if not bool(torch.isfinite(population.weights_MP).all()):
            raise ValueError("the population holds weights that are not finite; leave diverged members out")
        parts, rows = [], []
        population, sender = folded(population), self.sender
        for rows_M, networks in measured(population, sender.x, sender.whitening, softmax=sender.transform.softmax):
            rows.append(rows_M)
            parts.append(self._symbols(networks))
        order = torch.argsort(torch.cat(rows)).numpy()
        return sender.distilled(population, Symbols.joined(parts).select(order))

    def numbers(self, population: Population) -> Numbers:
        """See :class:`trainables.codecs.cells.InCells`: symbols by layer; exponents of steps are protected."""
        symbols = self.symbols(population)
        members = len(population)

        def weights(read: Sequence[Array]) -> Tensor:
            layers = (part.reshape(layer.shape) for part, layer in zip(read, symbols.layers, strict=True))
            return self.receiver.transform.weights(Symbols(symbols.exponents_ME, tuple(layers)))

        groups = tuple(layer.reshape(members, -1) for layer in symbols.layers)
        return Numbers(groups, EXPONENT_BITS * symbols.exponents_ME.shape[1], weights)

    def payload(self, symbols: Symbols) -> bytes:
        """See :class:`trainables.codecs.payloads.SymbolCodec`."""
        return self.receiver.encode(symbols)

    def _symbols(self, networks: Networks) -> Symbols:
        """The symbols of some networks, with finer steps for those that need them."""
        symbols, _ = self.sender.encode(networks)
        if math.isinf(self.disagreement):
            return symbols
        least_M = self.sender.disagreement(networks, symbols)
        for finer in FINER:
            unsuited_M = least_M > UNSUITED * self.disagreement
            if not bool(unsuited_M.any()):
                break
            rows_M = torch.nonzero(unsuited_M).flatten()
            chosen = networks.select(rows_M)
            candidate, _ = self.sender.encode(chosen, finer=finer)
            lost_M = self.sender.disagreement(chosen, candidate)
            better_M = lost_M < least_M[rows_M]
            symbols = symbols.replaced(rows_M[better_M].numpy(), candidate.select(better_M.numpy()))
            least_M[rows_M] = torch.minimum(lost_M, least_M[rows_M])
        return symbols

    def decompress(self, payload: bytes) -> Tensor:
        """See :class:`trainables.codecs.codec.Codec`."""
        return self.receiver.transform.weights(self.receiver.decode(payload))

    def to_files(self) -> dict[str, bytes]:
        """The receiver as it is counted, and beside it what encodes."""
        sender = self.sender
        costs = {
            f"costs.{index}.{part}": tensor
            for index, parts in enumerate(sender.costs)
            for part, tensor in enumerate(parts)
        }
        moments = {f"moment.{index}": moment for index, moment in enumerate(sender.moments) if moment is not None}
        whitening = {f"whitening.{index}": matrix for index, matrix in enumerate(sender.whitening)}
        tensors = {"inputs": sender.examples.values, **costs, **moments, **whitening}
        facts = {
            "config": sender.config,
            "scale": sender.examples.scale,
            "costs": [len(parts) for parts in sender.costs],
            "disagreement": None if math.isinf(self.disagreement) else self.disagreement,
            "distance": sender.distance,
        }
        return {
            RECEIVER_FILE: self.receiver.to_bytes(),
            SENDER_FILE: save({name: tensor.contiguous() for name, tensor in tensors.items()}),
            FACTS_FILE: canonical_json(facts).encode(),
        }

    @classmethod
    def from_files(cls, files: Mapping[str, bytes]) -> MetricCodec:
        """The inverse of :meth:`to_files`."""
        receiver, facts = Receiver.from_bytes(files[RECEIVER_FILE]), json.loads(files[FACTS_FILE])
        config, tensors = from_json(FunctionMetricConfig, facts["config"]), load(files[SENDER_FILE])
        costs = [[tensors[f"costs.{i}.{part}"] for part in range(count)] for i, count in enumerate(facts["costs"])]
        layers = range(len(receiver.transform.layers))
        moments = [tensors.get(f"moment.{index}") for index in layers]
        whitening = [tensors[f"whitening.{index}"] for index in layers]
        # Targets are not read.
        examples = Examples(tensors["inputs"], torch.zeros(len(tensors["inputs"]), dtype=torch.int64), facts["scale"])
        sender = Sender(config, receiver.transform, moments, whitening, examples, costs, facts["distance"])
        return cls(receiver, sender, math.inf if facts["disagreement"] is None else facts["disagreement"])


def check(config: FunctionMetricConfig, architectures: Sequence[Architecture]) -> dict[str, float]:  # noqa: ARG001
    """Raises ``ValueError`` for networks that it does not know; nothing else is known before a fit."""
    for architecture in architectures:
        Folding(architecture)
    return {}


def folded_architecture(population: Population) -> Architecture:
    """The population's architecture without batch norms."""
    return Folding(population.architecture).folded


def folded(population: Population) -> Population:
    """The same networks without batch norms."""
    foldings = [Folding(architecture) for architecture in population.architectures]
    if not foldings[0].norms:
        return population
    return replace(
        population,
        weights_MP=foldings[0].fold(population.weights_MP),
        architectures=tuple(folding.folded for folding in foldings),
    )


def encoded(sender: Sender, batches: Sequence[Networks]) -> Symbols:
    """The symbols of all batches, one after the other, as they are rounded."""
    return Symbols.joined([sender.encode(networks)[0] for networks in batches])


def costs_of(transform: Transform, symbols: Symbols) -> list[list[Tensor]]:
    """What symbols cost that are as frequent as these."""
    return [
        [bit_costs(TableColumns.fit(part)) for part in transform.parts(index, layer)]
        for index, layer in enumerate(symbols.layers)
    ]


def fitted_transform(
    transform: Transform, config: FunctionMetricConfig, batches: Sequence[Networks], metrics: Sequence[LayerMetric]
) -> Transform:
    """Adds bases from training networks; no prediction yet.

    Args:
        transform: Without any.
        config: Which coefficients are kept.
        batches: Training networks.
        metrics: How each layer's rows are measured.
    """
    exponents = [step_exponents(networks, transform) for networks in batches]
    for index, metric in enumerate(metrics):
        layer, root, read = metric.layer, metric.root, metric.layer.units * metric.layer.entries
        rows_ND = torch.cat(
            [
                root.apply(in_steps(transform, networks, exponents_ME, index, read).double()).flatten(0, -2)
                for networks, exponents_ME in zip(batches, exponents, strict=True)
            ]
        )
        variance_D, vectors_DD = principal(rows_ND)
        rank = len(variance_D)
        if layer.named:
            rank = max(1, int((variance_D.sqrt() > config.kept_deviation * config.step).sum()))
        basis_RD = root.undo(vectors_DD[:, :rank].T)
        transform = transform.with_basis(index, basis_RD.float(), metric.moment_DD.diagonal().sqrt().float())
        if layer.name == transform.final and not layer.named:
            columns_NK = torch.cat(
                [
                    (networks.rows[index].transpose(1, 2) / unit_scales(transform, exponents_ME, index))[:, :read]
                    .double()
                    .flatten(0, 1)
                    for networks, exponents_ME in zip(batches, exponents, strict=True)
                ]
            )
            transform = transform.with_class_basis(principal(columns_NK)[1].T.float())
    return transform


def unit_scales(transform: Transform, exponents_ME: Array, index: int) -> Tensor:
    """What a symbol of each of a layer's tokens would be worth at a step of 1: ``[M, T, 1]``."""
    return (replace(transform, step=1.0).scales(index, exponents_ME)).unsqueeze(2)


def in_steps(transform: Transform, networks: Networks, exponents_ME: Array, index: int, read: int) -> Tensor:
    """A layer's rows, or what they have for each unit, in steps: ``[M, H, D]`` or ``[M, H, U, B]``."""
    layer, scales_MT1 = transform.layers[index], unit_scales(transform, exponents_ME, index)
    rows_MHD = networks.rows[index]
    if layer.named:
        return rows_MHD / scales_MT1
    return (rows_MHD / scales_MT1.transpose(1, 2))[..., :read].unflatten(2, (layer.units, layer.entries))


def principal(rows_ND: Tensor) -> tuple[Tensor, Tensor]:
    """Mean squares and orthonormal directions (columns) of the rows' principal components, largest first."""
    values_D, vectors_DD = torch.linalg.eigh(rows_ND.T @ rows_ND / len(rows_ND))
    return values_D.flip(0).clamp_min(0), vectors_DD.flip(1)


def fitted_prediction(symbols_MTR: Tensor, targets_MTK: Tensor, ridge: float) -> Tensor:
    """Ridge regression of a unit's last-layer coefficients on its first-layer symbols: ``[R, K]``."""
    known = symbols_MTR.double().flatten(0, 1)
    wanted = targets_MTK[:, : symbols_MTR.shape[1]].double().flatten(0, 1)
    gram_RR = known.T @ known
    gram_RR += (ridge * gram_RR.diagonal().mean() + 1e-9) * torch.eye(len(gram_RR), dtype=torch.float64)
    return torch.linalg.solve(gram_RR, known.T @ wanted).float()
