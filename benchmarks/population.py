"""Speed of population training against the ways it is usually done, side by side in one run.

    python benchmarks/population.py [--json FILE] [--repeats 5]

Every method trains members of the same architecture on the same images with Adam at batch 64. Rates are
member-epochs per second of CPU time on one core; each method is timed several times in turn with the others, so that
a noisy machine disturbs all alike, and the median of the ratios to the plain loop is reported.
"""

from __future__ import annotations

import argparse
import datetime
import json
import platform
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from zoo.architecture import Architecture, mlp
from zoo.data import Images, load_dataset
from zoo.population import Member
from zoo.training.initialisation import initial_weights
from zoo.training.train import train_population

BATCH = 64
LEARNING_RATE = 1e-3
BLOCK = 16


@dataclass(frozen=True, slots=True)
class Method:
    """One way of training.

    Attributes:
        name: What the table calls it.
        members: How many members it is timed with.
        run: Trains that many members for one epoch.
    """

    name: str
    members: int
    run: Callable[[], object]


def members_of(count: int, block: int) -> list[Member]:
    return [
        Member(id=i, seed=i, learning_rate=LEARNING_RATE, batch_size=BATCH, order_seed=i // block) for i in range(count)
    ]


def plain_loop(architecture: Architecture, data: Images, count: int, *, fused: bool) -> Iterator[Tensor]:
    """The ordinary loop: one module, one optimizer, one minibatch at a time."""
    x, y = data.inputs, data.labels
    start = initial_weights(architecture, members_of(count, 1))
    for index in range(count):
        module = architecture.to_module(start[index])
        optimizer = torch.optim.Adam(module.parameters(), lr=LEARNING_RATE, fused=fused)
        order = torch.randperm(len(x))
        for step in range(len(x) // BATCH):
            rows = order[step * BATCH : (step + 1) * BATCH]
            optimizer.zero_grad()
            F.cross_entropy(module(x[rows]), y[rows]).backward()
            optimizer.step()
        yield architecture.from_module(module)


def vmapped(architecture: Architecture, data: Images, count: int) -> Tensor:
    """``torch.func.vmap`` over members that share their minibatches, with a hand-written Adam."""
    x, y = data.inputs, data.labels
    module = architecture.to_module(initial_weights(architecture, members_of(1, 1))[0])
    weights = {
        k: v.clone() for k, v in architecture.tensors(initial_weights(architecture, members_of(count, 1))).items()
    }
    mean = {k: torch.zeros_like(v) for k, v in weights.items()}
    square = {k: torch.zeros_like(v) for k, v in weights.items()}

    def loss(parameters: dict[str, Tensor], inputs: Tensor, labels: Tensor) -> Tensor:
        return F.cross_entropy(torch.func.functional_call(module, parameters, (inputs,)), labels)

    gradient = torch.func.vmap(torch.func.grad(loss), in_dims=(0, None, None))
    order = torch.randperm(len(x))
    for step in range(len(x) // BATCH):
        rows = order[step * BATCH : (step + 1) * BATCH]
        gradients = gradient(weights, x[rows], y[rows])
        c1, c2 = 1 - 0.9 ** (step + 1), 1 - 0.999 ** (step + 1)
        for name, g in gradients.items():
            mean[name].lerp_(g, 0.1)
            square[name].mul_(0.999).addcmul_(g, g, value=0.001)
            weights[name].addcdiv_(mean[name], (square[name] / c2).sqrt_().add_(1e-8), value=-LEARNING_RATE / c1)
    return architecture.flatten(weights)


def consume(iterator: Iterator[object]) -> None:
    for _ in iterator:
        pass


def flops_per_example(architecture: Architecture) -> int:
    """Multiply-adds count two: forward, weight gradient, and input gradient of all but the first layer."""
    sizes = [weight.size for weight, _ in architecture.linear_layers]
    return 2 * (2 * sum(sizes) + sum(sizes[1:]))


def gemm_peak(seconds: float = 1.0) -> float:
    """GFLOP/s of a large float32 matrix product on one core."""
    a, b = torch.randn(1024, 1024), torch.randn(1024, 1024)
    best = 0.0
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        start = time.process_time()
        for _ in range(4):
            a @ b
        best = max(best, 4 * 2 * 1024**3 / (time.process_time() - start) / 1e9)
    return best


def compare(
    architecture: Architecture, data: Images, population: int, loop_members: int, repeats: int
) -> list[dict[str, float | str]]:
    """Times all methods in turn, ``repeats`` times after one warm-up."""

    def own(count: int, block: int) -> Callable[[], object]:
        chosen = members_of(count, block)
        return lambda: consume(train_population(architecture, chosen, data, epochs=1, snapshot_epochs=[1]))

    methods = [
        Method(
            "per-model loop", loop_members, lambda: consume(plain_loop(architecture, data, loop_members, fused=False))
        ),
        Method(
            "per-model loop, fused Adam",
            loop_members,
            lambda: consume(plain_loop(architecture, data, loop_members, fused=True)),
        ),
        Method("torch.func.vmap, shared order", population, lambda: vmapped(architecture, data, population)),
        Method("train_population, own order", population, own(population, 1)),
        Method(f"train_population, order per {BLOCK}", population, own(population, BLOCK)),
        Method("train_population, shared order", population, own(population, population)),
    ]
    rates: dict[str, list[float]] = {method.name: [] for method in methods}
    for turn in range(repeats + 1):
        for method in methods:
            start = time.process_time()
            method.run()
            if turn:
                rates[method.name].append(method.members / (time.process_time() - start))
    plain = rates["per-model loop"]
    work = flops_per_example(architecture) * (len(data) // BATCH * BATCH) / 1e9
    return [
        {
            "method": name,
            "member_epochs_per_s": statistics.median(values),
            "ratio_to_loop": statistics.median(v / p for v, p in zip(values, plain, strict=True)),
            "gflops": statistics.median(values) * work,
        }
        for name, values in rates.items()
    ]


def mnist_like(count: int) -> Images:
    """Digits enlarged to 28×28: the speed depends on shapes alone, and they need no download."""
    digits = load_dataset("digits").train
    pixels = F.interpolate(digits.pixels.float(), size=28, mode="bilinear").round().to(torch.uint8)
    repeat = -(-count // len(digits))
    return Images(pixels.repeat(repeat, 1, 1, 1)[:count], digits.labels.repeat(repeat)[:count], digits.scale)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--json", type=Path, help="also write the results to this file")
    parser.add_argument("--repeats", type=int, default=5)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    peak = gemm_peak()
    cases = {
        "MLP 64-16-10, 997 images": (mlp((1, 8, 8), (16,), 10), load_dataset("digits").train, 256, 4),
        "MLP 784-8-10, 3 200 images": (mlp((1, 28, 28), (8,), 10), mnist_like(3200), 64, 2),
    }
    report = {
        "date": datetime.date.today().isoformat(),
        "machine": f"{platform.processor() or platform.machine()}, torch {torch.__version__}, "
        f"{torch.backends.cpu.get_cpu_capability()}, one thread",
        "gemm_peak_gflops": peak,
        "cases": {},
    }
    print(f"{report['date']}, {report['machine']}, GEMM peak {peak:.0f} GFLOP/s\n")
    for title, (architecture, data, population, loop_members) in cases.items():
        rows = compare(architecture, data, population, loop_members, arguments.repeats)
        report["cases"][title] = rows
        print(f"### {title}, batch {BATCH}, Adam\n")
        print("| method | member-epochs/s | ratio to the loop | GFLOP/s | share of GEMM peak |")
        print("|---|---:|---:|---:|---:|")
        for row in rows:
            share = row["gflops"] / peak
            print(
                f"| {row['method']} | {row['member_epochs_per_s']:,.0f} | {row['ratio_to_loop']:.1f}× "
                f"| {row['gflops']:.1f} | {share:.0%} |"
            )
        print()
    if arguments.json:
        arguments.json.write_text(json.dumps(report, indent=2) + "\n")


if __name__ == "__main__":
    main()
