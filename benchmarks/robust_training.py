"""What noise on weights and adversarial examples cost in training, and what the kernel saves.

    python benchmarks/robust_training.py [--members 64] [--turns 3] [--only digits-robust] [--json FILE]

The networks of the recipes digits-robust and f-mnist-robust and the CNN of 2 464 parameters, in blocks of 16 that share
their minibatches, trained as ever by each backend, then with noise on the weights of random neurons, by FGSM, by PGD of
5 steps, and with both. Rates are member-epochs per second of CPU time on one core, medians over turns, in which all
ways take their turn. A way that a backend refuses is left out, with the reason. Images are random: speed depends on
shapes alone.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from pathlib import Path
from typing import Any

import torch

from zoo.architecture import cnn_2464, mlp
from zoo.data import Examples
from zoo.population import Member
from zoo.training.train import train_population

BLOCK = 16
# By recipe: the network, images of an epoch, batch, and the radius of attacks.
CASES = {
    "digits-robust": (mlp((1, 8, 8), (32,), 10), 1024, 32, 0.1),
    "f-mnist-robust": (mlp((1, 28, 28), (64,), 10), 1024, 64, 0.05),
    "cnn-2464": (cnn_2464((1, 28, 28), (), 10), 512, 32, 0.05),
}
NOISE = {"weight_noise": 0.5, "weight_noise_share": 0.25}
BACKENDS = ("lanes", "closed-form", "autograd")


def main() -> None:
    """Times every way on both networks and prints a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--members", type=int, default=64, help="a multiple of 16")
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--only", choices=CASES, action="append")
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    torch.set_num_threads(1)
    rows = []
    for name in given.only or CASES:
        architecture, images, batch, epsilon = CASES[name]
        examples = random_images(architecture.input_shape, images)
        ways: dict[str, dict[str, Any]] = {
            "as ever": {},
            "noise on weights": NOISE,
            "FGSM": {"adversarial_epsilon": epsilon},
            "PGD, 5 steps": {"adversarial_epsilon": epsilon, "adversarial_steps": 5},
            "noise and FGSM": {**NOISE, "adversarial_epsilon": epsilon},
        }
        found: dict[tuple[str, str], list[float]] = {}
        for turn in range(given.turns + 1):
            for way, options in ways.items():
                members = [
                    Member(id=i, seed=i, order_seed=i // BLOCK, batch_size=batch, learning_rate=1e-3, **options)
                    for i in range(given.members)
                ]
                for backend in BACKENDS:
                    started = time.process_time()
                    try:
                        for _ in train_population(
                            architecture, members, examples, epochs=1, snapshot_epochs=(1,), backend=backend
                        ):
                            pass
                    except ValueError as error:
                        if not turn:
                            print(f"{name}, {way}: {error}")
                        continue
                    if turn:  # the first one compiles
                        rate = given.members / (time.process_time() - started)
                        found.setdefault((way, backend), []).append(rate)
        print(f"\n{name}: {architecture.parameters:,} parameters, batch {batch}\n")
        print("| | " + " | ".join(BACKENDS) + " |\n|---" + "|---:" * len(BACKENDS) + "|")
        for way in ways:
            rates = [
                statistics.median(found[way, backend]) if (way, backend) in found else None for backend in BACKENDS
            ]
            print(
                f"| {way} | "
                + " | ".join(
                    "–" if rate is None else f"{rate:,.3g}" if rate < 100 else f"{rate:,.0f}" for rate in rates
                )
                + " |",
                flush=True,
            )
            rows += [
                {"recipe": name, "way": way, "backend": backend, "member_epochs_per_s": rate}
                for backend, rate in zip(BACKENDS, rates, strict=True)
            ]
    if given.json:
        given.json.write_text(json.dumps(rows, indent=1) + "\n")


def random_images(shape: tuple[int, ...], count: int) -> Examples:
    """Random bytes with random labels."""
    generator = torch.Generator().manual_seed(0)
    values = torch.randint(0, 256, (count, *shape), generator=generator).to(torch.uint8)
    return Examples(values, torch.randint(0, 10, (count,), generator=generator), 1 / 255)


if __name__ == "__main__":
    main()
