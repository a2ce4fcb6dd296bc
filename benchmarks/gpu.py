"""Speed of population training on a GPU: large populations of the MLP 784-8-10 and of the two published CNNs.

    python benchmarks/gpu.py [--json FILE] [--members 4096] [--images 6400] [--epochs 3]

Each population is trained twice, for one epoch and for more; the difference is what an epoch costs, the rest what
starting costs (initial weights, images to the device, the capture of a step). Adam; blocks of 16 members share their
minibatch order, as in zoos. The share of peak is of the float32 rate of a large matrix product on the same device.
"""

from __future__ import annotations

import argparse
import datetime
import json
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F

from zoo.architecture import Architecture, Conv, Linear, cnn_2464, cnn_4970, mlp
from zoo.data import Examples, Task, load_dataset
from zoo.population import Member
from zoo.training.backend import choose_backend
from zoo.training.train import train_population

BLOCK = 16
MNIST_SHAPE = (1, 28, 28)


@dataclass(frozen=True, slots=True)
class Case:
    """What is trained.

    Attributes:
        title: What the table calls it.
        architecture: Of all members.
        batch: Examples a step.
    """

    title: str
    architecture: Architecture
    batch: int


CASES = (
    Case("MLP 784-8-10", mlp(MNIST_SHAPE, (8,), 10), 64),
    Case("CNN 2 464", cnn_2464(MNIST_SHAPE, (), 10), 32),
    Case("CNN 4 970", cnn_4970(MNIST_SHAPE, (), 10), 32),
)


def obstacle(device: torch.device) -> str | None:
    """Why there is nothing to measure."""
    if device.type != "cuda" or torch.cuda.is_available():
        return None
    if torch.version.cuda is None:
        return f"torch {torch.__version__} is built without CUDA; install the default wheel"
    return f"torch {torch.__version__} is built for CUDA {torch.version.cuda}, but sees no GPU or driver"


def flops_per_example(architecture: Architecture) -> int:
    """Multiply-adds count two: forward, weight gradient, and input gradient of all but the first layer."""
    products = []
    for place in architecture.placed:
        if isinstance(place.layer, Conv):
            _, height, width = place.output_shape
            products.append((*place.layer.slots(place.shape)[0].shape, height, width))
        elif isinstance(place.layer, Linear):
            products.append(place.layer.slots(place.shape)[0].shape)
    sizes = [torch.Size(shape).numel() for shape in products]
    return 2 * (2 * sum(sizes) + sum(sizes[1:]))


def product_peak(device: torch.device, size: int = 8192) -> float:
    """FLOP/s of a large float32 matrix product."""
    size = size if device.type == "cuda" else 1024
    a, b = torch.randn(2, size, size, device=device)
    best = 0.0
    for _ in range(10):
        start = now(device)
        a @ b
        best = max(best, 2 * size**3 / (now(device) - start))
    return best


def now(device: torch.device) -> float:
    """Seconds, once the device has done all it was told."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()


def mnist_like(count: int) -> Examples:
    """Digits enlarged to 28×28: the speed depends on shapes alone, and they need no download."""
    digits = load_dataset("digits").train
    pixels = F.interpolate(digits.values.float(), size=28, mode="bilinear").round().to(torch.uint8)
    repeat = -(-count // len(digits))
    return Examples(pixels.repeat(repeat, 1, 1, 1)[:count], digits.targets.repeat(repeat)[:count], digits.scale)


def measure(case: Case, count: int, images: Examples, epochs: int, device: torch.device) -> dict[str, Any]:
    """Trains one population for one epoch and for more."""
    members = [Member(id=i, seed=i, batch_size=case.batch, order_seed=i // BLOCK) for i in range(count)]

    def seconds(length: int) -> float:
        start = now(device)
        for _ in train_population(
            case.architecture, members, images, epochs=length, snapshot_epochs=[length], device=device
        ):
            pass
        return now(device) - start

    seconds(1)  # libraries load and choose their kernels
    one, several = seconds(1), seconds(1 + epochs)
    epoch = (several - one) / epochs
    examples = len(images) // case.batch * case.batch
    return {
        "case": case.title,
        "backend": choose_backend(case.architecture, members, Task("softmax", 10), images, device)[0],
        "members": count,
        "images": examples,
        "batch": case.batch,
        "model_epochs_per_s": count / epoch,
        "start_s": one - epoch,
        "flop_per_s": count * examples * flops_per_example(case.architecture) / epoch,
        "peak_memory_gb": torch.cuda.max_memory_allocated(device) / 1e9 if device.type == "cuda" else 0.0,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--json", type=Path, help="also write the results to this file")
    parser.add_argument("--members", type=int, default=4096)
    parser.add_argument("--images", type=int, default=6400, help="training images of an epoch")
    parser.add_argument("--epochs", type=int, default=3, help="epochs over which the cost of one is measured")
    parser.add_argument("--device", default="cuda", help="cpu only tries the command, with few members and images")
    arguments = parser.parse_args()
    device = torch.device(arguments.device)
    reason = obstacle(device)
    if reason:
        sys.exit(f"nothing measured: {reason}")
    peak = product_peak(device)
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else "CPU"
    report: dict[str, Any] = {
        "date": datetime.date.today().isoformat(),
        "machine": f"{name}, torch {torch.__version__}",
        "peak_flop_per_s": peak,
        "cases": [],
    }
    print(f"{report['date']}, {report['machine']}, float32 matrix product {peak / 1e12:.1f} TFLOP/s\n")
    print("| case | backend | members | images | batch | model-epochs/s | start s | TFLOP/s | share of peak | GB |")
    print("|---|---|---:|---:|---:|---:|---:|---:|---:|---:|")
    images = mnist_like(arguments.images)
    for case in CASES:
        row = measure(case, arguments.members, images, arguments.epochs, device)
        report["cases"].append(row)
        print(
            f"| {row['case']} | {row['backend']} | {row['members']:,} | {row['images']:,} | {row['batch']} "
            f"| {row['model_epochs_per_s']:,.0f} | {row['start_s']:.1f} | {row['flop_per_s'] / 1e12:.2f} "
            f"| {row['flop_per_s'] / peak:.0%} | {row['peak_memory_gb']:.1f} |",
            flush=True,
        )
    if arguments.json:
        arguments.json.write_text(json.dumps(report, indent=2) + "\n")


if __name__ == "__main__":
    main()
