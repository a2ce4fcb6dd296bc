"""Speed of encoders: epochs of a hyper-representation's fit, and the embedding of 10,000 networks.

    python benchmarks/encoders.py fit [--preset tetris-seed] [--networks 2000] [--threads 1]
    python benchmarks/encoders.py epochs [--networks 256] [--only NAME] [--threads 1]
    python benchmarks/encoders.py embed [--networks 10000] [--only NAME] [--threads 2]

``fit`` runs ours and a straightforward implementation after the paper side by side, at the same sizes, on the same
random networks, one epoch each after a first step that is not counted. ``epochs`` takes an epoch of every encoder that
learns by gradient, with the preset "small", on CNNs of 4,970 parameters. ``embed`` embeds random CNNs of 4,970
parameters with every registered encoder at its default sizes; it has not to be fitted, since speed depends on shapes
alone. All say seconds of the clock and of the CPU: on a machine where others compute, the latter are those to compare.
"""

from __future__ import annotations

import argparse
import random
import time
from collections.abc import Callable, Iterator
from functools import partial
from importlib.util import find_spec
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from trainables.encoders.augmentation import ERASED
from trainables.encoders.config import HyperRepresentationConfig
from trainables.encoders.entries import ENCODERS
from trainables.encoders.hyper_representation import HyperRepresentationFit
from trainables.trainable import FitData
from zoo.architecture import Architecture, cnn_2464, cnn_4970, mlp
from zoo.data import load_dataset
from zoo.population import Member, Population
from zoo.views import permute
from zoo.views.canonical import widths
from zoo.views.tokens import neuron_indices

ASKED = 10_000
ARCHITECTURES = {
    "tetris-seed": mlp((1, 4, 4), (5,), 4, activation="tanh", bias=False),
    "mnist-seed": cnn_2464((1, 28, 28), (), 10),
    "unterthiner-mnist": cnn_4970((1, 28, 28), (), 10),
}
DRAWN_PERMUTATIONS = 1000


class Views(Dataset[tuple[Tensor, Tensor]]):
    """Two views of a network: each in one of the orders drawn beforehand, perhaps with a block erased."""

    def __init__(self, weights_MP: Tensor, architecture: Architecture, erase: float) -> None:
        self.weights_MP, self.erase = weights_MP, erase
        place = torch.arange(architecture.parameters, dtype=torch.float32)[None].repeat(DRAWN_PERMUTATIONS, 1)
        orders = {
            name: torch.rand(DRAWN_PERMUTATIONS, width).argsort(dim=1) for name, width in widths(architecture).items()
        }
        self.orders = permute(place, architecture, orders).long()

    def __len__(self) -> int:
        return len(self.weights_MP)

    def __getitem__(self, row: int) -> tuple[Tensor, Tensor]:
        return self._view(row), self._view(row)

    def _view(self, row: int) -> Tensor:
        view_P = self.weights_MP[row][self.orders[random.randrange(DRAWN_PERMUTATIONS)]]
        if random.random() < self.erase:
            length = int(random.uniform(*ERASED) * len(view_P))
            start = random.randint(0, len(view_P) - length)
            view_P[start : start + length] = 0
        return view_P


class Straightforward(nn.Module):
    """The published architecture, out of torch's own layers."""

    def __init__(self, config: HyperRepresentationConfig, architecture: Architecture) -> None:
        super().__init__()
        self.indices = neuron_indices(architecture)
        self.place_P = torch.argsort(torch.cat([index.flatten() for index in self.indices]))
        self.counts = [len(index) for index in self.indices]
        tokens, width = sum(self.counts), config.width
        self.embedding = nn.ModuleList(nn.Linear(index.shape[1], width) for index in self.indices)
        self.compression = nn.Parameter(torch.randn(1, 1, width))
        self.position = nn.Parameter(torch.randn(tokens + 1, width))
        self.encoder = self._blocks(config)
        self.to_latent = nn.Linear(width, config.latent)
        self.from_latent = nn.Linear(config.latent, tokens * width)
        self.decoder_position = nn.Parameter(torch.randn(tokens, width))
        self.decoder = self._blocks(config)
        self.debedding = nn.ModuleList(nn.Linear(width, index.shape[1]) for index in self.indices)
        parts: list[nn.Module] = []
        for layer in range(config.projection_layers):
            inputs = config.projection if layer else config.latent
            parts += [nn.Linear(inputs, config.projection), nn.BatchNorm1d(config.projection), nn.ReLU()]
        self.projection = nn.Sequential(*parts, nn.Linear(config.projection, config.projection_output))

    @staticmethod
    def _blocks(config: HyperRepresentationConfig) -> nn.TransformerEncoder:
        layer = nn.TransformerEncoderLayer(
            config.width, config.heads, config.feedforward, config.dropout, norm_first=True, batch_first=True
        )
        return nn.TransformerEncoder(layer, config.blocks, enable_nested_tensor=False)

    def forward(self, weights_BP: Tensor) -> tuple[Tensor, Tensor]:
        """(latent, reconstruction)."""
        rows = [embed(weights_BP[:, index]) for embed, index in zip(self.embedding, self.indices, strict=True)]
        tokens = torch.cat([self.compression.expand(len(weights_BP), -1, -1), *rows], dim=1)
        latent = torch.tanh(self.to_latent(self.encoder(tokens + self.position)[:, 0]))
        tokens = self.from_latent(latent).unflatten(1, self.decoder_position.shape)
        parts = self.decoder(tokens + self.decoder_position).split(self.counts, dim=1)
        rows = [back(part).flatten(1) for back, part in zip(self.debedding, parts, strict=True)]
        return latent, torch.cat(rows, dim=1)[:, self.place_P]


def straightforward_steps(
    config: HyperRepresentationConfig, architecture: Architecture, weights_MP: Tensor
) -> Iterator[None]:
    """An epoch, one step at a time."""
    module = Straightforward(config, architecture).train()
    optimizer = torch.optim.Adam(module.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay)
    views = Views(weights_MP, architecture, config.erase)
    for one, other in DataLoader(views, batch_size=config.batch_size, shuffle=True, drop_last=True, num_workers=0):
        (latent_one, decoded_one), (latent_other, decoded_other) = module(one), module(other)
        projected = F.normalize(torch.cat([module.projection(latent_one), module.projection(latent_other)]), dim=1)
        similarity = projected @ projected.T / config.temperature
        similarity = similarity.masked_fill(torch.eye(len(projected), dtype=torch.bool), -torch.inf)
        contrast = F.cross_entropy(similarity, torch.arange(len(projected)).roll(len(one)))
        error = F.mse_loss(torch.cat([decoded_one, decoded_other]), torch.cat([one, other]))
        loss = config.contrast * contrast + (1 - config.contrast) * error
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        yield


class OneStep(HyperRepresentationFit):
    """A fit whose epochs are single steps."""

    def batches(self, generator: torch.Generator) -> Iterator[tuple[int, Tensor]]:
        """See :class:`trainables.gradient_fit.GradientFit`."""
        yield next(super().batches(generator))


def our_steps(fit: OneStep) -> Iterator[None]:
    """An epoch, one step at a time, each as the fit itself takes it."""
    for _ in range(fit.sizes[0] // fit.config.batch_size):
        fit.train_epoch()
        yield


def seconds(work: Callable[[], object]) -> tuple[float, float]:
    """How long it takes: (by the clock, of the CPU over all threads)."""
    clock, cpu = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - clock, time.process_time() - cpu


def networks(architecture: Architecture, count: int) -> Population:
    """Random networks, of which something is known."""
    generator = torch.Generator().manual_seed(0)
    return Population(
        weights_MP=0.3 * torch.randn(count, architecture.parameters, generator=generator),
        architectures=(architecture,),
        architecture_M=torch.zeros(count, dtype=torch.int64),
        members=tuple(Member(id=i, seed=i) for i in range(count)),
        epochs=(1,) * count,
        columns={"test_accuracy": np.linspace(0, 1, count)},
    )


def fit_data(architecture: Architecture, count: int) -> FitData:
    """What a fit sees of them."""
    population = networks(architecture, count)
    return FitData(training=(population,), validation=(population.select(range(8)),), dataset=images(architecture))


def images(architecture: Architecture) -> Any:
    """Some data set of the networks' inputs."""
    return load_dataset("tetris" if architecture.input_shape == (1, 4, 4) else "mnist")


def compare_fits(preset: str, count: int) -> None:
    """Prints what an epoch of both implementations takes."""
    entry, architecture = ENCODERS["hyper-representation"], ARCHITECTURES[preset]
    print("| implementation | networks | seconds | of the CPU | CPU ms a network | times as fast |")
    print("|---|---:|---:|---:|---:|---:|")
    base = 0.0
    for name in ("straightforward", "ours, float32", "ours, bfloat16"):
        precision = name.partition(", ")[2] or "float32"
        config = entry.configuration({**entry.presets[preset], "precision": precision, "epochs": 1_000_000})
        torch.manual_seed(0)
        data = fit_data(architecture, count + config.batch_size)
        if name == "straightforward":
            steps = straightforward_steps(config, architecture, data.training[0].weights_MP)
        else:
            steps = our_steps(OneStep(config, data))
        next(steps)
        done = 0

        def rest(steps: Iterator[None] = steps, size: int = config.batch_size) -> None:
            nonlocal done
            for _ in steps:
                done += size

        clock, cpu = seconds(rest)
        base = base or cpu / done
        print(f"| {name} | {done:,} | {clock:.1f} | {cpu:.1f} | {1e3 * cpu / done:.2f} | {base / (cpu / done):.2f} |")


def time_epochs(count: int, only: str | None) -> None:
    """Prints what an epoch of each encoder that learns by gradient takes."""
    data = fit_data(ARCHITECTURES["unterthiner-mnist"], count)
    print("| encoder | seconds | of the CPU | CPU ms a network |\n|---|---:|---:|---:|")
    for name, entry in ENCODERS.items():
        if only not in (None, name) or "small" not in entry.presets:
            continue
        fit = entry.fit(entry.configuration({**entry.presets["small"], "epochs": 2}), data)
        fit.train_epoch()
        clock, cpu = seconds(fit.train_epoch)
        print(f"| {name} | {clock:.1f} | {cpu:.1f} | {1e3 * cpu / count:.1f} |", flush=True)


def time_embeddings(count: int, only: str | None) -> None:
    """Prints what each encoder takes."""
    architecture = ARCHITECTURES["unterthiner-mnist"]
    population = networks(architecture, count)
    data = fit_data(architecture, 64)
    print(f"| encoder | width | networks | seconds | of the CPU | CPU seconds for {ASKED:,} |")
    print("|---|---:|---:|---:|---:|---:|")
    for name, entry in ENCODERS.items():
        if only not in (None, name):
            continue
        if name == "nfn" and find_spec("nfn") is None:
            print(f"| {name} | – | not installed: pip install nfn einops | – | – | – |")
            continue
        fit: Any = entry.fit(entry.config(), data)
        if fit.epochs == 1:
            fit.train_epoch()
        encoder = fit.artifact()
        width = encoder.embed(population.select(range(8))).shape[1]
        clock, cpu = seconds(partial(encoder.embed, population))
        scaled = f"{cpu:.1f}" if count == ASKED else f"{cpu * ASKED / count:.0f} (scaled)"
        print(f"| {name} | {width:,} | {count:,} | {clock:.1f} | {cpu:.1f} | {scaled} |", flush=True)


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("what", choices=["fit", "epochs", "embed"])
    parser.add_argument("--preset", choices=list(ARCHITECTURES), default="tetris-seed")
    parser.add_argument("--networks", type=int, help="2,000 to fit to, 256 for epochs, 10,000 to embed")
    parser.add_argument("--only", choices=list(ENCODERS), help="one encoder")
    parser.add_argument("--threads", type=int, help="2 to embed, else 1")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads or (2 if arguments.what == "embed" else 1))
    if arguments.what == "fit":
        compare_fits(arguments.preset, arguments.networks or 2000)
    elif arguments.what == "epochs":
        time_epochs(arguments.networks or 256, arguments.only)
    else:
        time_embeddings(arguments.networks or ASKED, arguments.only)


if __name__ == "__main__":
    main()
