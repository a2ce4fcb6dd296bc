"""What a training step costs by each rule that makes an update of gradients of examples, against the mean gradient.

    python benchmarks/aggregators.py [--networks 64] [--examples 32] [--turns 5] [--only digits-mlp] [--threads 1]

A step is that of Adam for all networks at once, each on examples of its own. "ordinary" differentiates the mean loss
and knows no gradient of an example; "mean" is the same update from gradients of examples in factors. Then, what
gradients of examples cost written out: from their factors, and by ``torch.func.vmap`` of ``grad`` over networks and
examples of an ordinary module. Milliseconds of the CPU for one network, each the best of some turns in alternation:
others may compute on the machine.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call, grad, vmap

from trainables.aggregators.aggregator import Aggregator
from trainables.aggregators.config import AggregatorConfig
from trainables.aggregators.gradients import GradientSource, Rule
from trainables.aggregators.network import WeighingNetwork
from trainables.aggregators.rules import RULES
from trainables.aggregators.training import RuleTrainer
from zoo.architecture import Architecture, cnn_strided, mlp
from zoo.data.task import Task
from zoo.population import Member
from zoo.population.initialization import initial_weights
from zoo.population.optimizers import Adam

ARCHITECTURES = {
    "digits-mlp": mlp((1, 8, 8), (16,), 10),
    "deep-mlp": mlp((1, 8, 8), (64, 64), 10),
    "mnist-mlp": mlp((1, 28, 28), (16,), 10),
    "cnn": cnn_strided((1, 8, 8), (4, 8), 10, kernel=3),
}
RATE = 1e-3


class Setting:
    """Networks, a minibatch for each, and the ways to take a step.

    Args:
        architecture: Of the networks.
        networks: How many.
        examples: Of each minibatch.
    """

    def __init__(self, architecture: Architecture, networks: int, examples: int) -> None:
        torch.manual_seed(0)
        self.architecture, self.task = architecture, Task("softmax", architecture.classes)
        self.start_MP = initial_weights(architecture, [Member(id=i, seed=i) for i in range(networks)])
        self.inputs = torch.rand(networks, examples, *architecture.input_shape)
        self.labels_MB = torch.randint(architecture.classes, (networks, examples))
        module = WeighingNetwork(AggregatorConfig().width)
        nn.init.normal_(module.score.weight)
        self.rules: dict[str, Rule] = {**RULES, "learned": Aggregator(module, AggregatorConfig())}

    def steps(self) -> dict[str, Callable[[], object]]:
        """A step by each rule."""
        leaf_MP = self.start_MP.clone()
        adam = Adam(leaf_MP, torch.full_like(leaf_MP, RATE), None)

        def ordinary() -> None:
            given_MP = leaf_MP.detach().requires_grad_()
            outputs_MBC = self.architecture.logits(given_MP, self.inputs)
            loss = F.cross_entropy(outputs_MBC.flatten(0, 1), self.labels_MB.flatten(), reduction="sum")
            adam.step(torch.autograd.grad(loss / self.labels_MB.shape[1], given_MP)[0])

        ways: dict[str, Callable[[], object]] = {"ordinary": ordinary}
        for name, rule in self.rules.items():
            trainer = RuleTrainer(
                rule, self.architecture, self.task, self.start_MP, optimizer="adam",
                learning_rates=[RATE] * len(self.start_MP),
            )  # fmt: skip
            ways[name] = partial(trainer.step, self.inputs, self.labels_MB)
        return ways

    def written_out(self) -> dict[str, Callable[[], Tensor]]:
        """Every example's gradient, in two ways."""
        source = GradientSource(self.architecture, self.task)
        module = self.architecture.to_module(self.start_MP[0])
        names = [name for name, _ in module.named_parameters()]
        tensors = self.architecture.tensors(self.start_MP)

        def loss(parameters: dict[str, Tensor], x: Tensor, label: Tensor) -> Tensor:
            return F.cross_entropy(functional_call(module, parameters, (x[None],)), label[None])

        by_member = vmap(vmap(grad(loss), in_dims=(None, 0, 0)))

        def by_vmap() -> Tensor:
            found = by_member({name: tensors[name] for name in names}, self.inputs, self.labels_MB)
            flat = self.architecture.flatten({name: part.flatten(0, 1) for name, part in found.items()})
            return flat.unflatten(0, self.labels_MB.shape)

        return {
            "factors": lambda: source(self.start_MP, self.inputs, self.labels_MB).rows(),
            "torch.func": by_vmap,
        }


def best_ms(ways: dict[str, Callable[[], object]], turns: int, networks: int) -> dict[str, float]:
    """Milliseconds of the CPU of each way for one network."""
    taken: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(turns + 1):  # the first turn warms up
        for name, way in ways.items():
            began = time.process_time()
            way()
            taken[name].append(time.process_time() - began)
    return {name: 1e3 * min(each[1:]) / networks for name, each in taken.items()}


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--networks", type=int, default=64)
    parser.add_argument("--examples", type=int, default=32)
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--only", choices=list(ARCHITECTURES))
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    chosen = [arguments.only] if arguments.only else list(ARCHITECTURES)
    settings = {name: Setting(ARCHITECTURES[name], arguments.networks, arguments.examples) for name in chosen}
    head = ["networks", *(name for name in next(iter(settings.values())).steps()), "learned / mean"]
    print(f"| {' | '.join(head)} |\n|---{'|---:' * (len(head) - 1)}|")
    for name, setting in settings.items():
        best = best_ms(setting.steps(), arguments.turns, arguments.networks)
        cells = (*(f"{value:.3f}" for value in best.values()), f"{best['learned'] / best['mean']:.1f}")
        print(f"| {name}, {setting.architecture.parameters:,} weights | {' | '.join(cells)} |")
    print("\n| gradients of examples written out | factors | torch.func | times as fast |\n|---|---:|---:|---:|")
    for name, setting in settings.items():
        ways = setting.written_out()
        ours, theirs = (way() for way in ways.values())
        torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=1e-4)
        best = best_ms(dict(ways), arguments.turns, arguments.networks)
        ratio = best["torch.func"] / best["factors"]
        print(f"| {name} | {best['factors']:.3f} | {best['torch.func']:.3f} | {ratio:.1f} |")


if __name__ == "__main__":
    main()
