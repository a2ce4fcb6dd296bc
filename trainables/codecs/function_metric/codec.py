"""The function-metric codec: a transform codec for networks, in closed form.

What it does, one layer after the other, for each network:

1. Gauge: of all networks with these probabilities, the one without class mean, and for homogeneous activations
   with unit dependence of the logits on every hidden unit.
2. First layer: neurons' rows measured in the function metric (``zoo.views.metric``), rotated into the principal
   components of all rows of all training members (tokens are neurons, so the statistics are plentiful).
3. One step for each layer, proportional to the network's own logit spread and inversely to what the layer's
   outputs do to the logits; sent as powers of √2.
4. Rounding by rate and distortion, with error feedback: units still to be rounded make good for those already
   rounded, as far as the logits let them stand in for each other.
5. Every later layer is first refitted, by least squares, to what the decoded layers before it give it. Its
   columns (what a hidden unit does) are coded in the principal components over classes, as differences to what
   the unit's decoded incoming weights make expect.
6. The order of hidden units is not sent: they are sorted by their first coefficient, which is then coded as
   differences.

On 128 held-out members of ``digits-mlp-diverse`` (600 training members, one snapshot each) 97 % agreement took, by
interpolation, 1.80 bits a weight with steps 1-3 and plain rounding, 1.50 with error feedback and refit, 1.43 with
the prediction, 1.35 with rounding by rate and distortion (ideal code lengths so far), 1.30 with sorted units (bytes).
What did not help: a step for each unit by its outgoing weights, steps by decision margins instead of logit spread,
other shares of the steps between layers, visiting units by importance.

Shape letters: M members, N images, H units, D inputs of a layer with the bias, R coefficients of a first-layer
neuron, K classes less one, T tokens of a layer, E step exponents of a network, P parameters.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from safetensors.torch import load, save
from torch import Tensor

from trainables.codecs.entropy import TableColumns
from trainables.codecs.function_metric.config import FunctionMetricConfig
from trainables.codecs.function_metric.encoder import Sender, step_exponents
from trainables.codecs.function_metric.networks import Networks
from trainables.codecs.function_metric.receiver import Receiver
from trainables.codecs.function_metric.rounding import bit_costs
from trainables.codecs.function_metric.transform import Symbols, Transform
from zoo.architecture import Architecture
from zoo.config import canonical_json, from_json
from zoo.data.examples import Examples
from zoo.population import Population
from zoo.views.metric import Root
from zoo.views.moments import image_moment

RECEIVER_FILE, SENDER_FILE, FACTS_FILE = "receiver.safetensors", "sender.safetensors", "codec.json"
# Numbers that the training members' outputs may take up: 512 MB.
TRAINING_ENTRIES = 2**27
# Members encoded at once, and numbers held at once for their derivatives.
BATCH_MEMBERS = 64
BATCH_ENTRIES = 2**24


@dataclass(frozen=True)
class MetricCodec:
    """See the module.

    Decoded networks compute what the originals do, but in another gauge and with the first hidden layer's units
    in another order, so errors of single weights mean nothing.

    Attributes:
        receiver: What must be known to decode.
        sender: What encodes.
        name: Name in tables.
    """

    receiver: Receiver
    sender: Sender
    name: str = "function-metric"

    @classmethod
    def fit(cls, config: FunctionMetricConfig, training: Population, images: Examples) -> MetricCodec:
        """Fits bases, prediction and tables on training members, evenly spaced.

        Args:
            config: How it is fitted and how it rounds.
            training: Training members; those with weights that are not finite do not count.
            images: Training images.

        Raises:
            ValueError: No training member is finite, or the networks are not multilayer perceptrons.
        """
        check(config, training.architectures)
        finite = torch.nonzero(torch.isfinite(training.weights_MP).all(dim=1)).flatten()
        if not len(finite):
            raise ValueError(f"none of the {len(training)} training members has finite weights; nothing can be fitted")
        architecture = training.architecture
        x_ND = images.first(config.images).inputs.flatten(1)
        outputs = sum(weight.shape[0] for weight, _ in architecture.linear_layers)
        most = max(1, min(config.training_members, TRAINING_ENTRIES // (len(x_ND) * outputs)))
        chosen = training.select(finite[:: -(-len(finite) // most)])
        batches = [networks for _, networks in measured(chosen, x_ND)]
        moment_DD = image_moment(images, bias=architecture.linear_layers[0][1] is not None)
        transform = fitted_transform(architecture, config, batches, moment_DD)
        sender = Sender(config, transform, least_squares(transform.basis, moment_DD), x_ND, ())
        if transform.predicts:
            first = [sender.encode(networks) for networks in batches]
            known_MTR = torch.cat([torch.from_numpy(symbols.layers[0]) for symbols, _ in first])
            transform = transform.with_prediction(
                fitted_prediction(known_MTR, torch.cat([t for _, t in first]), config.prediction_ridge)
            )
            sender = replace(sender, transform=transform)
        symbols = encoded(sender, batches)
        for _ in range(config.rounds):
            costs = [
                [bit_costs(TableColumns.fit(part)) for part in transform.parts(index, layer)]
                for index, layer in enumerate(symbols.layers)
            ]
            sender = replace(sender, costs=costs)
            symbols = encoded(sender, batches)
        return cls(Receiver.fit(transform, symbols), sender)

    @property
    def shared_bytes(self) -> int:
        """Size of the receiver as one file: bases, prediction and tables."""
        return len(self.receiver.to_bytes())

    def compress(self, population: Population) -> bytes:
        """See :class:`trainables.codecs.codec.Codec`.

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
        for rows_M, networks in measured(population, self.sender.x_ND):
            rows.append(rows_M)
            parts.append(self.sender.encode(networks)[0])
        order = torch.argsort(torch.cat(rows)).numpy()
        return self.receiver.encode(Symbols.joined(parts).select(order))

    def decompress(self, payload: bytes) -> Tensor:
        """See :class:`trainables.codecs.codec.Codec`."""
        return self.receiver.transform.weights(self.receiver.decode(payload))

    def to_files(self) -> dict[str, bytes]:
        """The receiver as it is counted, and beside it what encodes."""
        costs = {
            f"costs.{index}.{part}": tensor
            for index, parts in enumerate(self.sender.costs)
            for part, tensor in enumerate(parts)
        }
        tensors = {"analysis": self.sender.analysis_DR, "inputs": self.sender.x_ND, **costs}
        facts = {"config": self.sender.config, "costs": [len(parts) for parts in self.sender.costs]}
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
        return cls(receiver, Sender(config, receiver.transform, tensors["analysis"], tensors["inputs"], costs))


def check(config: FunctionMetricConfig, architectures: Sequence[Architecture]) -> dict[str, float]:  # noqa: ARG001
    """Raises ``ValueError`` for networks that it does not know; nothing else is known before a fit."""
    for architecture in architectures:
        architecture.require_mlp("the codec 'function-metric'", "use the other codecs")
    return {}


def measured(population: Population, x_ND: Tensor) -> Iterator[tuple[Tensor, Networks]]:
    """Yields the population in batches of one architecture: (rows, networks)."""
    widest = max(weight.shape[0] for weight, _ in population.architecture.linear_layers)
    entries = len(x_ND) * population.architecture.classes * widest
    size = min(BATCH_MEMBERS, max(1, BATCH_ENTRIES // entries))
    for architecture, group in population.groups():
        for rows_M in group.split(size):
            yield rows_M, Networks.measure(architecture, population.weights_MP[rows_M], x_ND)


def encoded(sender: Sender, batches: Sequence[Networks]) -> Symbols:
    """The symbols of all batches, one after the other."""
    return Symbols.joined([sender.encode(networks)[0] for networks in batches])


def fitted_transform(
    architecture: Architecture, config: FunctionMetricConfig, batches: Sequence[Networks], moment_DD: Tensor
) -> Transform:
    """Bases from training networks; no prediction yet.

    Args:
        architecture: Gives the layout.
        config: The codec's step, and which coefficients are kept.
        batches: Training networks.
        moment_DD: Second moment of the first layer's inputs.
    """
    root = Root.of(moment_DD, symmetric=False)
    unit = Transform(architecture, 1.0, {})
    first, last = [], []
    for networks in batches:
        exponents_ME = step_exponents(networks)
        scaled_MHD = networks.rows[0] / unit.scales(0, exponents_ME).unsqueeze(2)
        first.append(root.apply(scaled_MHD.double()).flatten(0, 1))
        if len(networks.rows) > 1:
            index = len(networks.rows) - 1
            units = unit.units(index)
            columns_MTK = networks.rows[index].transpose(1, 2) / unit.scales(index, exponents_ME).unsqueeze(2)
            last.append(columns_MTK[:, :units].double().flatten(0, 1))
    variance_D, vectors_DD = principal(torch.cat(first))
    rank = max(1, int((variance_D.sqrt() > config.kept_deviation * config.step).sum()))
    classes = architecture.classes - 1
    return Transform.of(
        architecture,
        config.step,
        basis_RD=root.undo(vectors_DD[:, :rank].T).float(),
        importance_D=moment_DD.diagonal().sqrt().float(),
        class_basis_KK=(principal(torch.cat(last))[1].T if last else torch.eye(classes)).float(),
    )


def principal(rows_ND: Tensor) -> tuple[Tensor, Tensor]:
    """Mean squares and orthonormal directions (columns) of the rows' principal components, largest first."""
    values_D, vectors_DD = torch.linalg.eigh(rows_ND.T @ rows_ND / len(rows_ND))
    return values_D.flip(0).clamp_min(0), vectors_DD.flip(1)


def least_squares(basis_RD: Tensor, moment_DD: Tensor) -> Tensor:
    """The ``[D, R]`` that turns rows into those coefficients of a basis which are nearest in the function metric."""
    basis = basis_RD.double()
    gram_RR = basis @ moment_DD @ basis.T
    gram_RR += 1e-9 * gram_RR.diagonal().mean() * torch.eye(len(basis), dtype=torch.float64)
    return torch.linalg.solve(gram_RR, basis @ moment_DD).T.float()


def fitted_prediction(symbols_MTR: Tensor, targets_MTK: Tensor, ridge: float) -> Tensor:
    """Ridge regression of a unit's last-layer coefficients on its first-layer symbols: ``[R, K]``."""
    known = symbols_MTR.double().flatten(0, 1)
    wanted = targets_MTK[:, : symbols_MTR.shape[1]].double().flatten(0, 1)
    gram_RR = known.T @ known
    gram_RR += (ridge * gram_RR.diagonal().mean() + 1e-9) * torch.eye(len(gram_RR), dtype=torch.float64)
    return torch.linalg.solve(gram_RR, known.T @ wanted).float()
