"""Bits a weight at 97 % agreement on a diverse zoo of CNNs with 2 464 parameters: ``python benchmarks/cnn_codec.py``.

The zoo is made for this: MNIST, four activations, four optimizers, learning rates, initializations, dropout, shares of
the training images and 1 to 4 epochs drawn at random. With ``--epochs`` every member is trained for so many on all
training images, without dropout and weight decay. Blocks of 16 share an activation and an optimizer, and a block lies
in one split, so that validation and test differ in these; with one of each, by ``--activations`` and ``--optimizers``,
they are drawn alike. Members are split as zoos are, without those that learned nothing.
Codecs are fitted on training members and training images and measured on held-out members and held-out images: those of
``--split validation`` while anything is tuned, those of ``test`` once.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from trainables.codecs.classical.configs import UniformConfig
from trainables.codecs.classical.scalar import Uniform
from trainables.codecs.entropy import Encoder, LaplaceColumns
from trainables.codecs.function_metric.codec import MetricCodec
from trainables.codecs.function_metric.config import FunctionMetricConfig
from trainables.codecs.function_metric.rounding import round_with_feedback
from zoo.architecture import Architecture, cnn_2464
from zoo.config import digest
from zoo.data import Dataset, load_dataset
from zoo.population import Member, Population
from zoo.storage.rows import split_of
from zoo.training.train import train_population
from zoo.views.moments import second_moment
from zoo.views.weight_layers import watched, weight_layers

ACTIVATIONS = ("relu", "tanh", "leaky_relu", "gelu")
OPTIMIZERS = ("adam", "adamw", "rmsprop", "momentum")
BLOCK = 16
EPOCHS = (1, 2, 3, 4)
PAYLOAD_MEMBERS = 64
# Of validation images; what answers nearly all with one class agrees with whatever is left of it.
FEWEST_RIGHT = 0.5
LEVEL = 0.97
# At one step: payloads of some networks and what they decode to.
Coded = tuple[int, Tensor]


@dataclass(frozen=True)
class Draws:
    """Which members the zoo has.

    Attributes:
        count: How many.
        every: Epochs of every member on all images, without dropout and weight decay; 0 draws these.
        activations: One for each block in turn.
        optimizers: Each block has one, drawn.
    """

    count: int
    every: int = 0
    activations: Sequence[str] = ACTIVATIONS
    optimizers: Sequence[str] = OPTIMIZERS

    @property
    def name(self) -> str:
        """Of its folder."""
        chosen = (self.activations, ACTIVATIONS), (self.optimizers, OPTIMIZERS)
        own = [name for names, every in chosen if tuple(names) != every for name in names]
        return "-".join([str(self.count), str(self.every or "drawn"), *own])

    def architectures(self, data: Dataset) -> tuple[Architecture, ...]:
        """One for each activation."""
        return tuple(cnn_2464(data.input_shape, (), data.classes, activation=name) for name in self.activations)

    def activation(self, number: Tensor) -> Tensor:
        """Which activations members of these numbers have."""
        return number // BLOCK % len(self.activations)

    def members(self) -> tuple[list[Member], list[int]]:
        """Members, and the epoch after which each is taken; a block shares activation, optimizer, images and order."""
        members: list[Member] = []
        epochs: list[int] = []
        for block in range(-(-self.count // BLOCK)):
            rng = np.random.Generator(np.random.Philox(key=[0, block]))
            optimizer = str(rng.choice(self.optimizers))
            fraction = float(rng.choice([0.1, 0.25, 0.5]))
            for _ in range(BLOCK):
                learning_rate = float(np.exp(rng.uniform(np.log(2e-3), np.log(8e-3))))
                members.append(
                    Member(
                        id=len(members),
                        seed=1000 + len(members),
                        initialization=str(rng.choice(["xavier_uniform", "xavier_normal", "kaiming_uniform"])),
                        init_scale=float(np.exp(rng.uniform(np.log(0.7), np.log(1.5)))),
                        optimizer=optimizer,
                        learning_rate=learning_rate * (10 if optimizer == "momentum" else 1),
                        weight_decay=float(rng.choice([0.0, 1e-4, 1e-3])),
                        dropout=float(rng.choice([0.0, 0.0, 0.1])),
                        batch_size=32,
                        training_fraction=fraction,
                        order_seed=block,
                        subset_seed=block,
                    )
                )
                epochs.append(int(rng.choice(EPOCHS)))
        if self.every:
            members = [replace(member, weight_decay=0.0, dropout=0.0, training_fraction=1.0) for member in members]
            epochs = [self.every] * len(epochs)
        return members[: self.count], epochs[: self.count]


def trained(draws: Draws, data: Dataset) -> Tensor:
    """Weights of all members ``[M, P]``."""
    members, epochs = draws.members()
    weights_MP = torch.full((len(members), 2464), torch.nan)
    activation_M = draws.activation(torch.arange(len(members)))
    for index, architecture in enumerate(draws.architectures(data)):
        rows = torch.nonzero(activation_M == index).flatten().tolist()
        own = [members[row] for row in rows]
        for snapshot in train_population(
            architecture, own, data.train, epochs=max(epochs), snapshot_epochs=sorted(set(epochs))
        ):
            for row, weights_P in zip(snapshot.rows, snapshot.weights_MP, strict=True):
                if epochs[rows[row]] == snapshot.epoch:
                    weights_MP[rows[row]] = weights_P
        print(f"trained {draws.activations[index]}", flush=True)
    return weights_MP


def population_of(weights_MP: Tensor, draws: Draws, data: Dataset) -> Population:
    """The members that are finite and learned something, with their numbers and splits as columns."""
    numbers_M = torch.arange(len(weights_MP))
    population = Population(
        weights_MP=weights_MP,
        architectures=draws.architectures(data),
        architecture_M=draws.activation(numbers_M),
        columns={"split": np.array([split_of(int(number), BLOCK) for number in numbers_M])},
    )
    population = population.select(torch.nonzero(torch.isfinite(weights_MP).all(dim=1)).flatten())
    accuracy_M, _ = answered(population, data)
    return population.select(torch.nonzero(accuracy_M >= FEWEST_RIGHT).flatten())


def of_split(population: Population, split: str, most: int) -> Population:
    """At most so many members of a split, evenly spaced."""
    rows = np.flatnonzero(population.columns["split"] == split)
    return population.select(rows[:: -(-len(rows) // most)].tolist())


def feedback_alone(members: Population, x: Tensor, step: float) -> Coded:
    """Error feedback under each network's own patch moments, and nothing else of the function-metric codec.

    A step for each tensor in proportion to the standard deviation of its weights, round to nearest, one Laplace
    distribution a tensor, fitted to the payload's own symbols (which counts nothing for it).
    """
    nearest = FunctionMetricConfig(bit_price=0)
    decoded_MP = torch.empty_like(members.weights_MP)
    symbols: dict[str, list[Tensor]] = {}
    for architecture, rows in members.groups():
        for batch in rows.split(8):
            weights_MP = members.weights_MP[batch]
            tensors = architecture.tensors(weights_MP)
            with torch.no_grad():
                inputs, _, _ = watched(architecture, weights_MP, x)
            decoded: dict[str, Tensor] = {}
            for layer in weight_layers(architecture):
                rows_MHD, moment = layer.rows(tensors), second_moment(layer.patches(inputs[layer.name]))
                scale_M11 = step * rows_MHD.flatten(1).std(dim=1)[:, None, None].clamp_min(1e-12)
                moment_MDD = moment.expand(len(batch), -1, -1)
                costs = [None] * layer.width
                symbols_MDH = round_with_feedback((rows_MHD / scale_M11).mT, moment_MDD, None, costs, nearest)
                symbols.setdefault(layer.name, []).append(symbols_MDH.flatten())
                decoded |= layer.tensors(symbols_MDH.mT * scale_M11)
            decoded_MP[batch] = architecture.flatten(decoded)
    encoder, scales = Encoder(), len(symbols) * len(members)
    for parts in symbols.values():
        symbols_N1 = torch.cat(parts).to(torch.int32).numpy()[:, None]
        encoder.add(LaplaceColumns.fit(symbols_N1), symbols_N1)
    return len(encoder.finish()) + scales, decoded_MP  # a byte for each step


def coded(codec: MetricCodec | Uniform, members: Population) -> Coded:
    """Bytes of the payloads of all members, a block of 64 each, and what they decode to."""
    payloads = [codec.compress(members.select(block)) for block in torch.arange(len(members)).split(PAYLOAD_MEMBERS)]
    return sum(map(len, payloads)), torch.cat([codec.decompress(payload) for payload in payloads])


def measured(
    name: str, step: float, members: Population, inputs: Tensor, work: Callable[[], Coded]
) -> dict[str, object]:
    """One row of the table."""
    began = time.process_time()
    size, decoded_MP = work()
    seconds = time.process_time() - began
    with torch.no_grad():
        predicted = [members.logits(inputs, weights_MP=w).argmax(dim=2) for w in (members.weights_MP, decoded_MP)]
    agreement_M = (predicted[0] == predicted[1]).double().mean(dim=1)
    row = {
        "codec": name,
        "step": step,
        "code_bits_per_weight": 8 * size / members.weights_MP.numel(),
        "agreement": float(agreement_M.mean()),
        "agreement_interval": 1.96 * float(agreement_M.std()) / len(agreement_M) ** 0.5,
        "agreement_p5": float(agreement_M.quantile(0.05)),
        "cpu_s": seconds,
    }
    print(" | ".join(f"{v:.4g}" if isinstance(v, float) else str(v) for v in row.values()), flush=True)
    return row


def fitted(config: FunctionMetricConfig, training: Population, data: Dataset, folder: Path) -> MetricCodec:
    """The codec, from the folder where it was fitted before: it takes most of the time."""
    place = folder / f"codec-{digest(config)[:8]}"
    if place.exists():
        return MetricCodec.from_files({file.name: file.read_bytes() for file in place.iterdir()})
    codec = MetricCodec.fit(config, training, data.train)
    place.mkdir()
    for name, content in codec.to_files().items():
        (place / name).write_bytes(content)
    return codec


def rate_at(rows: Sequence[dict[str, object]], level: float) -> float:
    """Bits a weight at a level of agreement, by linear interpolation; NaN where no two settings enclose it."""
    points = sorted((float(str(row["agreement"])), float(str(row["code_bits_per_weight"]))) for row in rows)
    agreements, bits = zip(*points, strict=True)
    return float(np.interp(level, agreements, bits, left=np.nan, right=np.nan))


def answered(population: Population, data: Dataset) -> tuple[Tensor, Tensor]:
    """Accuracies ``[M]`` and answers ``[M, N]`` on validation images."""
    images = data.validation.first(1000)
    with torch.no_grad():
        batches = torch.arange(len(population)).split(64)
        predicted_MN = torch.cat([population.select(rows).logits(images.inputs).argmax(dim=2) for rows in batches])
    return (predicted_MN == images.targets).double().mean(dim=1), predicted_MN


def described(population: Population, data: Dataset) -> str:
    """How diverse the zoo is, on validation images."""
    accuracy_M, predicted_MN = answered(population, data)
    counts_NC = torch.nn.functional.one_hot(predicted_MN, data.classes).sum(dim=0).double()
    pairs = len(population) * (len(population) - 1)
    agreement = (counts_NC * (counts_NC - 1)).sum(dim=1).mean() / pairs
    return (
        f"{len(population)} members, accuracy {100 * accuracy_M.mean():.1f} ± {100 * accuracy_M.std():.1f} %, "
        f"two members agree on {100 * agreement:.1f} % of the images"
    )


def main() -> None:
    """Trains the zoo unless it is in the folder, fits and measures the codecs, prints the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--folder", type=Path, default=Path("store/cnn-codec"), help="where the trained zoo and fitted codecs are kept"
    )
    parser.add_argument("--members", type=int, default=576)
    parser.add_argument("--epochs", type=int, default=0, help="of every member, on all images; 0: as drawn")
    parser.add_argument("--activations", nargs="+", choices=ACTIVATIONS, default=ACTIVATIONS)
    parser.add_argument("--optimizers", nargs="+", choices=OPTIMIZERS, default=OPTIMIZERS)
    parser.add_argument("--training-members", type=int, default=128, help="of them that codecs are fitted on")
    parser.add_argument("--held-out", type=int, default=128, help="members that are measured, at most")
    parser.add_argument("--images", type=int, default=1000, help="held-out images")
    parser.add_argument("--split", choices=("validation", "test"), default="validation")
    parser.add_argument("--steps", type=float, nargs="*", default=(0.016, 0.013))
    parser.add_argument("--bit-price", type=float, default=0.03)
    parser.add_argument("--distill-steps", type=int, default=2000, help="of training rounded networks; 0: none")
    parser.add_argument("--distill-price", type=float, default=6.0, help="what a bit is worth there")
    parser.add_argument("--distill-images", type=int, default=50_000, help="training images, without labels, for that")
    parser.add_argument("--encoder-images", type=int, default=512, help="training images that networks are measured on")
    parser.add_argument("--uniform-steps", type=float, nargs="*", default=(0.8, 0.5, 0.35))
    parser.add_argument("--feedback-steps", type=float, nargs="*", default=(0.7, 0.5, 0.35))
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    data = load_dataset("mnist")
    draws = Draws(arguments.members, arguments.epochs, arguments.activations, arguments.optimizers)
    folder = arguments.folder / draws.name
    file = folder / "zoo.safetensors"
    if not file.exists():
        weights_MP = trained(draws, data)
        folder.mkdir(parents=True, exist_ok=True)
        save_file({"weights": weights_MP}, file)
    zoo = population_of(load_file(file)["weights"], draws, data)
    print(described(zoo, data), flush=True)
    training = of_split(zoo, "train", arguments.training_members)
    held_out = of_split(zoo, arguments.split, arguments.held_out)
    images = getattr(data, arguments.split).first(arguments.images).inputs
    encoder_images = data.train.first(arguments.encoder_images).inputs
    print(f"{len(training)} training members, {len(held_out)} held out ({arguments.split})")
    print("codec | step | code bits per weight | agreement | ± (95 %, members) | 5th percentile | CPU s")
    curves: dict[str, list[dict[str, object]]] = {}
    for step in arguments.uniform_steps:
        uniform = Uniform.fit(UniformConfig(step=step), training, data.train)
        work = lambda codec=uniform: coded(codec, held_out)  # noqa: E731
        curves.setdefault("uniform", []).append(measured("uniform", step, held_out, images, work))
    for step in arguments.feedback_steps:
        work = lambda step=step: feedback_alone(held_out, encoder_images, step)  # noqa: E731
        curves.setdefault("feedback alone", []).append(measured("feedback alone", step, held_out, images, work))
    for step in arguments.steps:
        config = FunctionMetricConfig(
            step=step,
            bit_price=arguments.bit_price,
            distill_steps=arguments.distill_steps,
            distill_price=arguments.distill_price,
            distill_images=arguments.distill_images,
            images=len(encoder_images),
            training_members=len(training),
        )
        codec = fitted(config, training, data, folder)
        work = lambda codec=codec: coded(codec, held_out)  # noqa: E731
        curves.setdefault("function-metric", []).append(measured("function-metric", step, held_out, images, work))
        print(f"shared: {codec.shared_bytes} bytes")
    for name, rows in curves.items():
        print(f"{name}: {rate_at(rows, LEVEL):.2f} bits a weight at {LEVEL:.0%} agreement")
    if arguments.json:
        arguments.json.write_text(json.dumps([row for rows in curves.values() for row in rows], indent=1))


if __name__ == "__main__":
    main()
