"""Speed of hypernetworks: networks made per second, and a training step through many of them against a loop.

    python benchmarks/making.py [--networks 64] [--examples 32] [--steps 5] [--only mlp] [--threads 1]

A step is what a fit does: weights of each task's vector, outputs on examples of its own, the loss, gradients of
generator and vectors. The loop makes the same weights and applies networks one by one with
``torch.func.functional_call``; "given" is the batched step for weights that are at hand. Seconds are of the CPU, each
the best of some turns, in alternation: others may compute on the machine.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.func import functional_call

from trainables.hypernetworks.config import HEADS, HypernetworkConfig
from trainables.hypernetworks.generator import WeightGenerator
from zoo.architecture import Architecture, cnn_strided, mlp

ARCHITECTURES = {
    "mlp": mlp((1, 28, 28), (8,), 2),
    "small cnn": cnn_strided((3, 32, 32), (8, 8, 8), 2, dense=(16,)),
    "published cnn": cnn_strided((3, 32, 32), (16, 16, 16, 16), 2, dense=(100, 100)),
}
Z = 100


def batched(architecture: Architecture, weights_TP: Tensor, inputs: Tensor) -> Tensor:
    """Outputs of all networks at once: ``[T, B, C]``."""
    return architecture.logits(weights_TP, inputs)


def looped(architecture: Architecture, weights_TP: Tensor, inputs: Tensor) -> Tensor:
    """The same, one network after another."""
    module = architecture.to_module(weights_TP[0].detach())
    outputs = []
    for weights_P, own in zip(weights_TP, inputs, strict=True):
        tensors = {spec.name: weights_P[spec.span].view(spec.shape) for spec in architecture.layout}
        outputs.append(functional_call(module, tensors, (own,)))
    return torch.stack(outputs)


def step(
    weights: Callable[[], Tensor], architecture: Architecture, apply: Callable[..., Tensor], inputs: Tensor
) -> float:
    """The loss of a training step, whose gradients are computed."""
    outputs_TBC = apply(architecture, weights(), inputs)
    loss = F.cross_entropy(outputs_TBC.flatten(0, 1), torch.zeros(outputs_TBC.shape[:2], dtype=torch.int64).flatten())
    loss.backward()
    return float(loss.detach())


def cpu_seconds(work: Callable[[], object]) -> float:
    """Of the CPU, over all threads."""
    began = time.process_time()
    work()
    return time.process_time() - began


def training(names: list[str], networks: int, examples: int, turns: int) -> None:
    """Prints what a training step takes."""
    print("| networks | batched, ms | loop, ms | given, ms | times as fast as the loop |\n|---|---:|---:|---:|---:|")
    for name in names:
        architecture = ARCHITECTURES[name]
        inputs = torch.rand(networks, examples, *architecture.input_shape)
        torch.manual_seed(0)
        generator = WeightGenerator(HypernetworkConfig(z=Z), architecture)
        z_TZ = torch.randn(networks, Z, requires_grad=True)
        given_TP = generator(z_TZ).detach().requires_grad_()
        ways: dict[str, Callable[[], float]] = {
            "batched": lambda: step(lambda: generator(z_TZ), architecture, batched, inputs),  # noqa: B023
            "loop": lambda: step(lambda: generator(z_TZ), architecture, looped, inputs),  # noqa: B023
            "given": lambda: step(lambda: given_TP, architecture, batched, inputs),  # noqa: B023
        }
        losses = [way() for way in ways.values()]
        if max(losses) - min(losses) > 1e-3:
            raise RuntimeError(f"the ways differ: losses {losses}")
        taken = [{each: cpu_seconds(way) for each, way in ways.items()} for _ in range(turns)]
        best = {each: min(turn[each] for turn in taken) for each in ways}
        ratio = best["loop"] / best["batched"]
        called = f"{networks} of {name}, {architecture.parameters:,} weights"
        columns = (*(f"{1e3 * best[each]:.1f}" for each in ways), f"{ratio:.1f}")
        print(f"| {called} | {' | '.join(columns)} |")


def making(names: list[str], networks: int, turns: int) -> None:
    """Prints how many networks are made in a second."""
    print(f"| networks made per second of CPU | {' | '.join(HEADS)} |\n|---|{'---:|' * len(HEADS)}")
    for name in names:
        architecture, cells = ARCHITECTURES[name], []
        for head in HEADS:
            generator = WeightGenerator(HypernetworkConfig(z=Z, head=head), architecture).requires_grad_(False)
            z_TZ = torch.randn(networks, Z)
            generator(z_TZ)
            seconds = min(cpu_seconds(lambda: generator(z_TZ)) for _ in range(turns))  # noqa: B023
            cells.append(f"{networks / seconds:,.0f}")
        print(f"| {name}, {architecture.parameters:,} weights | {' | '.join(cells)} |")


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--networks", type=int, default=64)
    parser.add_argument("--examples", type=int, default=32)
    parser.add_argument("--steps", type=int, default=5, help="turns of each way")
    parser.add_argument("--only", choices=list(ARCHITECTURES))
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    names = [arguments.only] if arguments.only else list(ARCHITECTURES)
    training(names, arguments.networks, arguments.examples, arguments.steps)
    print()
    making(names, arguments.networks, arguments.steps)


if __name__ == "__main__":
    main()
