"""Speed of population training against the ways it is usually done, side by side in one run.

    python benchmarks/population.py [--json FILE] [--repeats 5] [--cases 64-16-10 ...]

Every method trains members of the same architecture on the same images with Adam, from the initial weights to a copy
of the trained ones, orders and gathering included. Rates are member-epochs per second of CPU time on one core; each
method is timed several times in turn with the others, so that a noisy machine disturbs all alike, and the median of
the ratios to the plain loop is reported. Peak is what the kernel's own multiply-adds reach in registers alone.
"""

from __future__ import annotations

import argparse
import datetime
import json
import math
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from zoo.architecture import Architecture, Conv, Linear, cnn_2464, cnn_4970, mlp
from zoo.data import Examples, load_dataset
from zoo.population import Member
from zoo.population.initialization import initial_weights
from zoo.training.train import train_population

LEARNING_RATE = 1e-3
BLOCK = 16


@dataclass(frozen=True, kw_only=True, slots=True)
class Case:
    """What is trained.

    Attributes:
        architecture: By name and sizes.
        images: How many of them.
        batch: Examples a step.
        epochs: Length of training.
        population: Members that are trained together.
        few: Members that slow methods are timed with.
    """

    architecture: Architecture
    images: int
    batch: int
    epochs: int
    population: int
    few: int

    @property
    def data(self) -> Examples:
        """Digits, enlarged where the network is for 28×28: speed depends on shapes alone, and they need no download."""
        digits = load_dataset("digits").train
        pixels = F.interpolate(digits.values.float(), size=self.architecture.input_shape[1:], mode="bilinear")
        repeat = -(-self.images // len(digits))
        rows = torch.arange(len(digits)).repeat(repeat)[: self.images]
        return Examples(pixels.round().to(torch.uint8)[rows], digits.targets[rows], digits.scale)

    @property
    def steps(self) -> int:
        """Optimizer steps of an epoch."""
        return self.images // self.batch

    @property
    def gflop(self) -> float:
        """Of one member's epoch, a multiply-add counting two: values, weight gradients, and input gradients.

        The first layer has no input gradient.
        """
        shapes = self.architecture.shapes
        layers = zip(self.architecture.layers, shapes, shapes[1:], strict=False)
        products = [
            math.prod(layer.slots(before)[0].shape) * math.prod(after[1:])
            for layer, before, after in layers
            if isinstance(layer, Linear | Conv)
        ]
        return 2 * (3 * sum(products) - products[0]) * self.steps * self.batch / 1e9


CASES = {
    "64-16-10": Case(
        architecture=mlp((1, 8, 8), (16,), 10), images=997, batch=64, epochs=10, population=256, few=2
    ),
    "784-8-10": Case(
        architecture=mlp((1, 28, 28), (8,), 10), images=3200, batch=64, epochs=2, population=64, few=2
    ),
    "cnn-2464": Case(architecture=cnn_2464((1, 28, 28), (), 10), images=640, batch=32, epochs=1, population=32, few=2),
    "cnn-4970": Case(architecture=cnn_4970((1, 28, 28), (), 10), images=640, batch=32, epochs=1, population=32, few=2),
}  # fmt: skip


def members_of(case: Case, count: int, block: int) -> list[Member]:
    return [
        Member(id=i, seed=i, learning_rate=LEARNING_RATE, batch_size=case.batch, order_seed=i // block)
        for i in range(count)
    ]


def plain_loop(case: Case, data: Examples, **adam: bool) -> Iterator[Tensor]:
    """The ordinary loop: one module, one optimizer, one minibatch at a time."""
    x, y = data.inputs, data.targets
    start = initial_weights(case.architecture, members_of(case, case.few, 1))
    for index in range(case.few):
        module = case.architecture.to_module(start[index])
        optimizer = torch.optim.Adam(module.parameters(), lr=LEARNING_RATE, **adam)  # type: ignore[arg-type]
        for _ in range(case.epochs):
            for rows in torch.randperm(len(x))[: case.steps * case.batch].view(case.steps, -1):
                optimizer.zero_grad()
                F.cross_entropy(module(x[rows]), y[rows]).backward()
                optimizer.step()
        yield case.architecture.from_module(module)


def vmapped(case: Case, data: Examples, count: int) -> Tensor:
    """``torch.func.vmap`` over members that share their minibatches, with a hand-written Adam."""
    x, y = data.inputs, data.targets
    architecture = case.architecture
    start = initial_weights(architecture, members_of(case, count, 1))
    module = architecture.to_module(start[0])
    weights = {name: tensor.clone() for name, tensor in architecture.tensors(start).items()}
    mean = {name: torch.zeros_like(tensor) for name, tensor in weights.items()}
    square = {name: torch.zeros_like(tensor) for name, tensor in weights.items()}

    def loss(parameters: dict[str, Tensor], inputs: Tensor, labels: Tensor) -> Tensor:
        return F.cross_entropy(torch.func.functional_call(module, parameters, (inputs,)), labels)

    gradient = torch.func.vmap(torch.func.grad(loss), in_dims=(0, None, None))
    step = 0
    for _ in range(case.epochs):
        for rows in torch.randperm(len(x))[: case.steps * case.batch].view(case.steps, -1):
            step += 1
            c1, c2 = 1 - 0.9**step, 1 - 0.999**step
            for name, g in gradient(weights, x[rows], y[rows]).items():
                mean[name].lerp_(g, 0.1)
                square[name].mul_(0.999).addcmul_(g, g, value=0.001)
                weights[name].addcdiv_(mean[name], (square[name] / c2).sqrt_().add_(1e-8), value=-LEARNING_RATE / c1)
    return architecture.flatten(weights)


def consume(iterator: Iterator[object]) -> None:
    for _ in iterator:
        pass


def train(case: Case, data: Examples, count: int, block: int, backend: str) -> None:
    """``train_population``, from members to their trained weights."""
    consume(
        train_population(
            case.architecture,
            members_of(case, count, block),
            data,
            epochs=case.epochs,
            snapshot_epochs=[case.epochs],
            backend=backend,
        )
    )


def methods(case: Case, data: Examples) -> dict[str, tuple[int, Callable[[], object]]]:
    """By name: how many members a run trains, and the run."""
    torch_backend = "closed-form" if case.architecture.is_mlp else "autograd"
    many = case.population
    found: dict[str, tuple[int, Callable[[], object]]] = {
        "per-model loop, Adam": (case.few, lambda: consume(plain_loop(case, data, foreach=False))),
        "per-model loop, foreach Adam": (case.few, lambda: consume(plain_loop(case, data, foreach=True))),
        "per-model loop, fused Adam": (case.few, lambda: consume(plain_loop(case, data, fused=True))),
        "torch.func.vmap, shared order": (BLOCK, lambda: vmapped(case, data, BLOCK)),
    }
    for backend in (torch_backend, "lanes"):
        count = many if backend != "autograd" else BLOCK
        for name, block in (("own order", 1), (f"order per {BLOCK}", BLOCK), ("shared order", count)):
            if block <= BLOCK or count > BLOCK:
                found[f"{backend}, {name}"] = (
                    count,
                    lambda count=count, block=block, backend=backend: train(case, data, count, block, backend),  # type: ignore[misc]
                )
    return found


def compare(case: Case, repeats: int, peak: float) -> list[dict[str, float | str]]:
    """Times all methods in turn, ``repeats`` times after one warm-up."""
    data = case.data
    rates: dict[str, list[float]] = {}
    for turn in range(repeats + 1):
        for name, (count, run) in methods(case, data).items():
            start = time.process_time()
            run()
            if turn:
                rates.setdefault(name, []).append(count * case.epochs / (time.process_time() - start))
    plain = rates["per-model loop, Adam"]
    fused = rates["per-model loop, fused Adam"]
    return [
        {
            "method": name,
            "member_epochs_per_s": statistics.median(values),
            "ratio_to_loop": statistics.median(v / p for v, p in zip(values, plain, strict=True)),
            "ratio_to_fused_loop": statistics.median(v / p for v, p in zip(values, fused, strict=True)),
            "gflops": statistics.median(values) * case.gflop,
            "share_of_peak": statistics.median(values) * case.gflop / peak,
        }
        for name, values in rates.items()
    ]


def worker(name: str, seconds: float) -> tuple[float, float]:
    """Member-epochs per second of wall time and of CPU time, of one process that trains again and again."""
    torch.set_num_threads(1)
    case = CASES[name]
    data = case.data
    train(case, data, case.population, BLOCK, "lanes")
    wall, cpu, done = time.perf_counter(), time.process_time(), 0
    while time.perf_counter() - wall < seconds:
        train(case, data, case.population, BLOCK, "lanes")
        done += case.population * case.epochs
    return done / (time.perf_counter() - wall), done / (time.process_time() - cpu)


def workers(name: str, repeats: int, seconds: float = 4.0) -> dict[str, float]:
    """How many times faster two processes are together than one alone: medians over turns.

    By wall time, which means something on an idle machine of two cores or more, and by CPU time, which shows what the
    processes cost each other in shared caches and memory alone.
    """
    ratios: list[tuple[float, float]] = []
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
        list(pool.map(worker, [name] * 2, [seconds] * 2))
        for _ in range(repeats):
            wall, cpu = pool.submit(worker, name, seconds).result()
            both = list(pool.map(worker, [name] * 2, [seconds] * 2))
            ratios.append((sum(w for w, _ in both) / wall, sum(c for _, c in both) / cpu))
    return {
        unit: statistics.median(values) for unit, values in zip(("wall", "cpu"), zip(*ratios, strict=True), strict=True)
    }


def fma_peak(seconds: float = 2.0) -> float:
    """GFLOP/s of multiply-adds on vectors that never leave the registers."""
    import numba

    from zoo.training.lanes.codes import LANES
    from zoo.training.lanes.cpu import registers
    from zoo.training.lanes.vectors import aligned_vectors, fma, load, store, vectors_of

    @numba.njit(nogil=True)
    def six(array: Any, count: int) -> None:
        v = vectors_of(array)
        x, y = load(v, 0), load(v, 1)
        a, b, c, d, e, f = load(v, 0), load(v, 1), load(v, 2), load(v, 3), load(v, 4), load(v, 5)
        for _ in range(count):
            a, b, c, d, e, f = fma(a, x, y), fma(b, x, y), fma(c, x, y), fma(d, x, y), fma(e, x, y), fma(f, x, y)
        store(v, 0, a + b + c + d + e + f)

    @numba.njit(nogil=True)
    def ten(array: Any, count: int) -> None:
        v = vectors_of(array)
        x, y = load(v, 0), load(v, 1)
        a, b, c, d, e = load(v, 0), load(v, 1), load(v, 2), load(v, 3), load(v, 4)
        f, g, h, i, j = load(v, 5), load(v, 6), load(v, 7), load(v, 8), load(v, 9)
        for _ in range(count):
            a, b, c, d, e = fma(a, x, y), fma(b, x, y), fma(c, x, y), fma(d, x, y), fma(e, x, y)
            f, g, h, i, j = fma(f, x, y), fma(g, x, y), fma(h, x, y), fma(i, x, y), fma(j, x, y)
        store(v, 0, a + b + c + d + e + f + g + h + i + j)

    run, chains = (ten, 10) if registers() == 32 else (six, 6)
    array = aligned_vectors(10)
    array[:] = np.random.default_rng(0).random(array.shape) / 2
    count, best = 1_000_000, 0.0
    run(array, count)
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        start = time.process_time()
        run(array, count)
        best = max(best, 2 * LANES * chains * count / (time.process_time() - start) / 1e9)
    return best


def compile_seconds() -> dict[str, float]:
    """CPU time until the kernel can run: compiled anew, and from the cache."""
    code = (
        "import time; from zoo.training.lanes.backend import load_kernel; t = time.process_time(); "
        "assert not isinstance(load_kernel(), str); print(time.process_time() - t)"
    )
    with tempfile.TemporaryDirectory() as home:
        return {
            name: float(
                subprocess.run(
                    [sys.executable, "-c", code], env=os.environ | {"HOME": home}, check=True, capture_output=True
                ).stdout
            )
            for name in ("cold", "cached")
        }


def print_table(title: str, case: Case, rows: list[dict[str, Any]]) -> None:
    print(f"### {title}, {case.images:,} images, batch {case.batch}, {case.epochs} epochs, Adam\n")
    print("| method | member-epochs/s | ratio to the loop | to the fused loop | GFLOP/s | share of peak |")
    print("|---|---:|---:|---:|---:|---:|")
    for row in rows:
        print(
            f"| {row['method']} | {row['member_epochs_per_s']:,.0f} | {row['ratio_to_loop']:.1f}× "
            f"| {row['ratio_to_fused_loop']:.1f}× | {row['gflops']:.1f} | {row['share_of_peak']:.0%} |"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--json", type=Path, help="also write the results to this file")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--cases", nargs="+", choices=CASES, default=list(CASES))
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    peak, compiling = fma_peak(), compile_seconds()
    report: dict[str, Any] = {
        "date": datetime.date.today().isoformat(),
        "machine": f"{platform.processor() or platform.machine()}, torch {torch.__version__}, "
        f"{torch.backends.cpu.get_cpu_capability()}, one thread",
        "fma_peak_gflops": peak,
        "compile_cpu_s": compiling,
        "cases": {},
    }
    print(
        f"{report['date']}, {report['machine']}, FMA peak {peak:.0f} GFLOP/s; the kernel compiles in "
        f"{compiling['cold']:.1f} s and loads in {compiling['cached']:.1f} s\n"
    )
    for title in arguments.cases:
        case = CASES[title]
        rows = compare(case, arguments.repeats, peak)
        together = workers(title, 3)
        report["cases"][title] = {"methods": rows, "two_workers": together}
        print_table(title, case, rows)
        print(
            f"\nTwo processes train {together['wall']:.2f}× as fast as one (lanes, order per {BLOCK}); "
            f"by CPU time {together['cpu']:.2f}×.\n",
            flush=True,
        )
    if arguments.json:
        arguments.json.write_text(json.dumps(report, indent=2) + "\n")


if __name__ == "__main__":
    main()
