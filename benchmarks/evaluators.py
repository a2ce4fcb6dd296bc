"""What evaluators cost: networks a second, and how much faster they are than a loop over ordinary modules.

    python benchmarks/evaluators.py [--networks 32] [--looped 2] [--turns 3] [--only digits-mlp]
        [--evaluators fisher pgd-0.1] [--json FILE]

Networks are copies of an untrained one with a little noise on their weights, compared with copies that have more of it.
Its answers are the labels: attacks leave out what is wrong anyway, and of trained networks most is right. The loop does
the same for one ``torch.nn`` module after the other, on fewer of them, as one would write it down: an attack by
autograd, a forward pass for each noisy copy, Fisher information by one backward pass for each example and class, layers
by products of examples. Evaluators without such a loop have their rate alone. What is found of the originals alone is
found once for all codecs, and is known here; Fisher information, which is all of the originals, is measured anew. One
core, CPU time; both are timed in turn within one run, and ratios are medians over the turns.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from scipy.optimize import linear_sum_assignment
from torch import Tensor, nn

from analysis.evaluators import boundaries
from analysis.evaluators.attacks import RESTARTS, STEPS
from analysis.evaluators.evaluator import EvaluationData, Evaluator, Subject
from analysis.evaluators.fisher import EXAMPLES as FISHER_EXAMPLES
from analysis.evaluators.fisher import FISHER
from analysis.evaluators.layers import EXAMPLES as LAYER_EXAMPLES
from analysis.evaluators.registry import EVALUATORS
from analysis.evaluators.weight_noise import EXAMPLES
from zoo.architecture import Architecture, cnn_2464, mlp
from zoo.data.examples import Dataset, split_examples
from zoo.data.task import Task
from zoo.population import Member
from zoo.population.initialization import initial_weights
from zoo.population.population import single_architecture
from zoo.training.adversary import STEP_SHARE

ARCHITECTURES = {"digits-mlp": mlp((1, 8, 8), (16,), 10), "cnn-2464": cnn_2464((1, 28, 28), (), 10)}
EPSILON, NOISE, INFERENCES = 0.1, 0.1, 20
TEST_EXAMPLES = 500
HALVINGS = 14


def main() -> None:
    """Times every evaluator on each architecture and prints a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--networks", type=int, default=32)
    parser.add_argument("--looped", type=int, default=2, help="networks that the loop goes over")
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--only", choices=ARCHITECTURES, action="append")
    parser.add_argument("--evaluators", choices=EVALUATORS, nargs="+", default=list(EVALUATORS))
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    torch.set_num_threads(1)
    rows = []
    for name in given.only or ARCHITECTURES:
        architecture = ARCHITECTURES[name]
        data = examples(architecture)
        print(f"\n{name}: {given.networks} networks, loop over {given.looped}\n")
        print("| evaluator | networks/s | loop, networks/s | ratio |\n|---|---:|---:|---:|")
        for evaluator in given.evaluators:
            rates, looped = timed(evaluator, architecture, data, given)
            ratios = [rate / other for rate, other in zip(rates, looped, strict=True)] if looped else []
            row = {
                "architecture": name,
                "evaluator": evaluator,
                "networks_per_s": statistics.median(rates),
                "loop_networks_per_s": statistics.median(looped) if looped else None,
                "ratio": statistics.median(ratios) if ratios else None,
            }
            rows.append(row)
            loop = f"{row['loop_networks_per_s']:,.2f} | {row['ratio']:,.1f}×" if looped else "– | –"
            print(f"| {evaluator} | {row['networks_per_s']:,.1f} | {loop} |", flush=True)
    if given.json:
        given.json.write_text(json.dumps(rows, indent=1) + "\n")


def examples(architecture: Architecture) -> EvaluationData:
    """Random examples with the answers of an untrained network."""
    random = np.random.default_rng(0)
    values = random.random((TEST_EXAMPLES + 200, *architecture.input_shape), dtype=np.float32)
    labels = architecture.logits(untrained(architecture), torch.from_numpy(values))[0].argmax(1).numpy()
    task = Task("softmax", architecture.classes)
    dataset: Dataset = split_examples("random", values, labels, task=task, validation=100, test=TEST_EXAMPLES)
    return EvaluationData(dataset, dataset.test)


def untrained(architecture: Architecture) -> Tensor:
    """One network, ``[1, P]``."""
    return initial_weights(architecture, [Member(id=0, seed=0)])


def timed(
    evaluator: str, architecture: Architecture, data: EvaluationData, given: argparse.Namespace
) -> tuple[list[float], list[float]]:
    """Networks a second in each turn by the evaluator, and by the loop where there is one."""
    loop = LOOPS.get(evaluator)
    rates, looped = [], []
    noise_2MP = torch.randn(2, given.networks, architecture.parameters, generator=torch.Generator().manual_seed(1))
    weights_MP = untrained(architecture) * (1 + 0.01 * noise_2MP[0])
    noisy_MP = weights_MP * (1 + 0.05 * noise_2MP[1])
    members = [Member(id=i, seed=i) for i in range(given.networks)]
    original = Subject(single_architecture(architecture, weights_MP, members))
    for turn in range(given.turns + 1):
        subject = Subject(single_architecture(architecture, noisy_MP, members))
        if evaluator == FISHER.name:
            original = Subject(original.population)
        took = seconds(lambda: by_blocks(EVALUATORS[evaluator], subject, original, data))  # noqa: B023
        if turn:  # the first one loads kernels, and finds what is known of the originals from then on
            rates.append(given.networks / took)
        if turn and loop is not None:
            modules = [architecture.to_module(one_P) for one_P in noisy_MP[: given.looped]]
            looped.append(given.looped / seconds(lambda: [loop(module, data) for module in modules]))  # noqa: B023
    return rates, looped


def by_blocks(evaluator: Evaluator, subject: Subject, original: Subject, data: EvaluationData) -> None:
    """What an analysis does: one block of members after the other."""
    for rows in subject.population.blocks():
        evaluator.run(subject.block(rows), original.block(rows), data)


def seconds(work: Callable[[], object]) -> float:
    """CPU seconds that some work takes."""
    started = time.process_time()
    work()
    return time.process_time() - started


def accuracy(module: nn.Module, data: EvaluationData) -> Tensor:
    """The share of right answers."""
    with torch.no_grad():
        return (module(data.examples.inputs).argmax(1) == data.examples.targets).float().mean()


def pgd(module: nn.Module, data: EvaluationData, steps: int = STEPS, restarts: int = RESTARTS) -> Tensor:
    """Projected gradient descent from several starts; of one step and none it is FGSM."""
    part = data.examples.first(EXAMPLES)
    right = module(part.inputs).argmax(1) == part.targets
    step = EPSILON if steps == 1 else STEP_SHARE * EPSILON / steps
    for _ in range(max(restarts, 1)):
        start = EPSILON * (2 * torch.rand_like(part.inputs) - 1) if restarts else torch.zeros_like(part.inputs)
        moved = part.inputs + start
        for _ in range(steps):
            moved = moved.detach().requires_grad_()
            (gradient,) = torch.autograd.grad(F.cross_entropy(module(moved), part.targets), moved)
            moved = part.inputs + (moved.detach() + step * gradient.sign() - part.inputs).clamp(-EPSILON, EPSILON)
        right &= module(moved).argmax(1) == part.targets
    return right.float().mean()


def noisy(module: nn.Module, data: EvaluationData, inferences: int = INFERENCES) -> Tensor:
    """The accuracy of the mean answer with noise on the weights."""
    part = data.examples.first(EXAMPLES)
    kept = [parameter.detach().clone() for parameter in module.parameters()]
    total = torch.zeros(len(part), 1)
    with torch.no_grad():
        for _ in range(inferences):
            for parameter, value in zip(module.parameters(), kept, strict=True):
                parameter.copy_(value + NOISE * value.square().mean().sqrt() * torch.randn_like(value))
            total = total + module(part.inputs).softmax(1)
        for parameter, value in zip(module.parameters(), kept, strict=True):
            parameter.copy_(value)
    return (total.argmax(1) == part.targets).float().mean()


def fisher_diagonal(module: nn.Module, data: EvaluationData) -> list[Tensor]:
    """The exact diagonal of the Fisher information: a backward pass for each example and class."""
    part = data.examples.first(FISHER_EXAMPLES)
    parameters = list(module.parameters())
    total = [torch.zeros_like(parameter) for parameter in parameters]
    for one in part.inputs:
        logs = module(one[None]).log_softmax(1)[0]
        for log in logs:
            found = torch.autograd.grad(log, parameters, retain_graph=True)
            for sum_, gradient in zip(total, found, strict=True):
                sum_ += log.detach().exp() * gradient.square() / len(part)
    return total


def boundary_distance(module: nn.Module, data: EvaluationData) -> list[float]:
    """Distances from each example: along random directions, and along DeepFool's."""
    length, found = boundaries.ray_length(data.examples.inputs), []
    for one in data.examples.first(boundaries.EXAMPLES).inputs:
        drawn = torch.randn(boundaries.DIRECTIONS, *one.shape)
        ways = [way / way.norm().clamp_min(1e-12) for way in (*drawn, deepfool(module, one))]
        found += [crossing(module, one, way, length) for way in ways]
    return found


def deepfool(module: nn.Module, one: Tensor) -> Tensor:
    """The way from an example to the nearest boundary of the linearized network, step by step."""
    way = torch.zeros_like(one)
    order = module(one[None])[0].argsort(descending=True)
    for _ in range(boundaries.STEPS):
        moved = (one + (1 + boundaries.OVERSHOOT) * way).requires_grad_()
        logits = module(moved[None])[0]
        if logits.argmax() != order[0]:
            break
        steps = []
        for rival in order[1 : 1 + boundaries.RIVALS]:
            margin = logits[order[0]] - logits[rival]
            (gradient,) = torch.autograd.grad(margin, moved, retain_graph=True)
            steps.append(-gradient * margin.detach() / gradient.square().sum().clamp_min(1e-12))
        way = way + min(steps, key=lambda step: float(step.norm()))
    return way


@torch.no_grad()
def crossing(module: nn.Module, one: Tensor, direction: Tensor, length: float) -> float:
    """How far along a ray the answer changes: a grid, then bisection."""
    answer, low, high = module(one[None]).argmax(), 0.0, length
    for distance in np.geomspace(boundaries.NEAREST * length, length, boundaries.GRID):
        if module((one + distance * direction)[None]).argmax() != answer:
            high = float(distance)
            break
        low = float(distance)
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        changed = module((one + middle * direction)[None]).argmax() != answer
        low, high = (low, middle) if changed else (middle, high)
    return high


def layers(module: nn.Module, data: EvaluationData) -> list[float]:
    """Linear CKA of every layer with every layer, by centered products of examples, and units matched in each."""
    x, center_NN = data.examples.first(LAYER_EXAMPLES).inputs, torch.eye(LAYER_EXAMPLES) - 1 / LAYER_EXAMPLES
    pair = []
    for _ in range(2):  # the original and its reconstruction
        values, given = x, []
        with torch.no_grad():
            for part in module.children():
                values = part(values)
                if not isinstance(part, nn.Linear | nn.Conv2d | nn.MaxPool2d | nn.Flatten):
                    given.append(values)
        pair.append([*given, values])
    grams = [[center_NN @ (each.flatten(1) @ each.flatten(1).T) @ center_NN for each in one] for one in pair]
    for one, other in zip(*pair, strict=True):
        rows = [each.transpose(0, 1).flatten(1).numpy() for each in (one, other)]
        linear_sum_assignment(rows[0] @ rows[1].T, maximize=True)
    return [float((one * other).sum() / (one.norm() * other.norm())) for one in grams[0] for other in grams[1]]


LOOPS: dict[str, Callable[[nn.Module, EvaluationData], object]] = {
    "accuracy": accuracy,
    "fgsm-0.1": lambda module, data: pgd(module, data, steps=1, restarts=0),
    "pgd-0.1": pgd,
    "weight-noise-0.1": lambda module, data: noisy(module, data, inferences=1),
    "weight-noise-0.1x20": noisy,
    "fisher": fisher_diagonal,
    "boundary-distance": boundary_distance,
    "layers": layers,
}


if __name__ == "__main__":
    main()
