"""Networks from noise: a flow whose velocity is learned, with conditions where wanted.

Lipman et al., "Flow Matching for Generative Modeling" (ICLR 2023, arXiv 2210.02747, section 4); on weights whose hidden
units are matched: "DeepWeightFlow" (arXiv 2601.05052). With the path of a diffusion this is its probability flow, as of
weights in "Neural Network Diffusion" (arXiv 2402.13144), there in the latents of an autoencoder.

Shape letters: M networks, P parameters, D coordinates of the flow, B networks of a batch, Q numbers of a condition.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass

import torch
from safetensors.torch import load as load_tensors
from safetensors.torch import save
from torch import Tensor, nn

from trainables.autoencoders.coordinates import Coordinates
from trainables.autoencoders.principal import principal_components
from trainables.encoders.supervised import Target
from trainables.generators.config import FlowConfig
from trainables.generators.generator import as_autoencoder, coordinates_of, fitted_networks, validate
from trainables.gradient_fit import GradientFit
from trainables.trainable import FitData
from zoo.architecture import Architecture
from zoo.config import from_json, to_json
from zoo.population import Population, single_architecture

MODEL_FILE, CONFIG_FILE = "model.safetensors", "config.json"
TIME_FEATURES = 32
# A path's share of noise below which a velocity is no longer told from the predicted network.
LEAST_NOISE = 0.02


@dataclass(frozen=True)
class Conditions:
    """Columns that can be wanted, as numbers: a standardized value or one-hot, and whether it is given.

    Attributes:
        targets: The columns.
    """

    targets: tuple[Target, ...]

    @property
    def width(self) -> int:
        """Q: numbers of a condition."""
        return sum(target.outputs + 1 for target in self.targets)

    def of_networks(self, population: Population) -> Tensor:
        """What is known of training networks: ``[M, Q]``."""
        parts = [torch.zeros(len(population), 0)]
        for target in self.targets:
            value_M = target.of_networks(population)
            if target.categories:
                given_M = value_M >= 0
                parts.append(nn.functional.one_hot(value_M.clamp_min(0), len(target.categories)) * given_M[:, None])
            else:
                given_M = torch.isfinite(value_M)
                parts.append(value_M.nan_to_num(0.0)[:, None])
            parts.append(given_M[:, None])
        return torch.cat([part.float() for part in parts], dim=1)

    def wanted(self, wanted: Mapping[str, float | str], count: int) -> Tensor:
        """What is wanted of all of so many networks: ``[M, Q]``.

        Raises:
            ValueError: A column is none of the conditions, or a category is unknown.
        """
        unknown = [name for name in wanted if name not in {target.name for target in self.targets}]
        if unknown:
            names = ", ".join(target.name for target in self.targets) or "none: fit with --set conditions=…"
            raise ValueError(f"{', '.join(unknown)} is wanted; conditions of this generator: {names}")
        numbers: list[float] = []
        for target in self.targets:
            given = target.name in wanted
            if target.categories:
                if given and str(wanted[target.name]) not in target.categories:
                    raise ValueError(
                        f"{target.name} {wanted[target.name]!r} is wanted; allowed: {', '.join(target.categories)}"
                    )
                numbers += [float(given and str(wanted[target.name]) == each) for each in target.categories]
            else:
                numbers.append((float(wanted[target.name]) - target.mean) / target.deviation if given else 0.0)
            numbers.append(float(given))
        return torch.tensor(numbers).reshape(1, -1).expand(count, -1)


class FlowModule(nn.Module):
    """Tells the velocity of the flow at a place and time.

    Args:
        config: Sizes.
        parameters: P.
        width: D.
        condition: Q.
    """

    directions_PD: Tensor
    center_P: Tensor
    scale_D: Tensor
    frequencies: Tensor

    def __init__(self, config: FlowConfig, parameters: int, width: int, condition: int) -> None:
        super().__init__()
        self.config = config
        self.register_buffer("directions_PD", torch.zeros(parameters if config.components else 0, width))
        self.register_buffer("center_P", torch.zeros(parameters))
        self.register_buffer("scale_D", torch.ones(width))
        self.register_buffer("frequencies", torch.exp(torch.linspace(0, math.log(200), TIME_FEATURES // 2)))
        self.enter = nn.Linear(width, config.width)
        self.told = nn.Linear(TIME_FEATURES + condition, config.width)
        self.blocks = nn.ModuleList(Block(config.width, config.dropout) for _ in range(config.depth))
        self.leave = nn.Linear(config.width, width)
        nn.init.zeros_(self.leave.weight)
        nn.init.zeros_(self.leave.bias)

    def coordinates(self, networks_MP: Tensor) -> Tensor:
        """The flow's coordinates of networks: ``[M, D]``, of deviation about 1."""
        centered_MP = networks_MP - self.center_P
        return (centered_MP @ self.directions_PD if self.config.components else centered_MP) / self.scale_D

    def networks(self, place_MD: Tensor) -> Tensor:
        """The inverse of :meth:`coordinates` within the components: ``[M, P]``."""
        scaled_MD = place_MD * self.scale_D
        return (scaled_MD @ self.directions_PD.T if self.config.components else scaled_MD) + self.center_P

    def forward(self, place_BD: Tensor, time_B: Tensor, condition_BQ: Tensor) -> Tensor:
        """What the configuration says is predicted: ``[B, D]``."""
        angle = time_B[:, None] * self.frequencies
        told = self.told(torch.cat([angle.sin(), angle.cos(), condition_BQ], dim=1))
        hidden = self.enter(place_BD)
        for block in self.blocks:
            hidden = block(hidden, told)
        predicted_BD: Tensor = self.leave(nn.functional.silu(hidden))
        return predicted_BD

    def velocity(self, place_BD: Tensor, time_B: Tensor, condition_BQ: Tensor) -> Tensor:
        """Of the flow: ``[B, D]``."""
        predicted_BD = self(place_BD, time_B, condition_BQ)
        if self.config.predicted == "velocity":
            return predicted_BD
        network, noise, network_rate, noise_rate = path(self.config.path, time_B[:, None])
        ratio = noise_rate / noise.clamp_min(LEAST_NOISE)
        return (network_rate - ratio * network) * predicted_BD + ratio * place_BD


class Block(nn.Module):
    """A residual block that is told the time and the condition."""

    def __init__(self, width: int, dropout: float) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.one, self.other = nn.Linear(width, width), nn.Linear(width, width)
        self.dropout = nn.Dropout(dropout)

    def forward(self, hidden: Tensor, told: Tensor) -> Tensor:
        """``[B, width]``."""
        inner = nn.functional.silu(self.one(nn.functional.silu(self.norm(hidden) + told)))
        return hidden + self.other(self.dropout(inner))


def path(name: str, time: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Shares of network and noise at times from 0 (noise) to 1 (network), and their rates of change."""
    if name == "linear":
        return time, 1 - time, torch.ones_like(time), -torch.ones_like(time)
    angle = 0.5 * math.pi * time
    return angle.sin(), angle.cos(), 0.5 * math.pi * angle.cos(), -0.5 * math.pi * angle.sin()


class FlowFit(GradientFit):
    """Fits a flow to the training networks of one layout.

    Args:
        config: Its configuration.
        data: What the fit sees.
    """

    module: FlowModule

    def __init__(self, config: FlowConfig, data: FitData) -> None:
        training = fitted_networks(config, data)
        self.data = data
        self.coordinates = coordinates_of(config, training, data)
        networks_MP, _ = self.coordinates.forward(training)
        center_P = networks_MP.mean(0)
        names = [name.strip() for name in config.conditions.split(",") if name.strip()]
        self.conditions = Conditions(tuple(Target.of(name, [training]) for name in names))
        width = min(config.components, len(networks_MP) - 1) or training.parameters
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(config.seed)
            module = FlowModule(config, training.parameters, width, self.conditions.width)
        module.center_P.copy_(center_P)
        if config.components:
            directions_PD, deviation_D = principal_components(networks_MP - center_P, width, config.seed)
            module.directions_PD.copy_(directions_PD)
            module.scale_D.copy_(deviation_D.clamp_min(1e-6))
        else:
            module.scale_D.fill_(float((networks_MP - center_P).square().mean().sqrt().clamp_min(1e-6)))
        self.place_MD = module.coordinates(networks_MP)
        self.condition_MQ = self.conditions.of_networks(training)
        super().__init__(config, module, [len(training)], config.weight_decay)

    def batches(self, generator: torch.Generator) -> Iterator[tuple[int, Tensor]]:
        """Every network so many times an epoch, in a random order."""
        for _ in range(self.config.repeats):
            yield from super().batches(generator)

    def losses(self, population: int, rows_B: Tensor, generator: torch.Generator) -> Mapping[str, Tensor]:  # noqa: ARG002
        """``loss``: the mean squared error of what is predicted."""
        config, module = self.config, self.module
        target_BD = self.place_MD[rows_B]
        if config.jitter:
            target_BD = target_BD + config.jitter * torch.randn(target_BD.shape, generator=generator)
        noise_BD = torch.randn(target_BD.shape, generator=generator)
        time_B = torch.rand(len(rows_B), generator=generator)
        kept_B1 = (torch.rand(len(rows_B), 1, generator=generator) >= config.dropped).float()
        network, noise, network_rate, noise_rate = path(config.path, time_B[:, None])
        predicted_BD = module(network * target_BD + noise * noise_BD, time_B, self.condition_MQ[rows_B] * kept_B1)
        if config.predicted == "velocity":
            target_BD = network_rate * target_BD + noise_rate * noise_BD
        return {"loss": (predicted_BD - target_BD).square().mean()}

    def artifact(self) -> Flow:
        """See :class:`trainables.trainable.Fit`."""
        self.require_finite()
        return Flow(self.module, self.coordinates, self.conditions)

    def validate(self) -> dict[str, float]:
        """See :func:`trainables.generators.generator.validate`."""
        return validate(self.artifact(), self.data)


class Flow:
    """A fitted flow; see :class:`trainables.generators.generator.NetworkGenerator`.

    Args:
        module: What was fitted.
        coordinates: Weights ⇄ the coordinates that the module knows.
        conditions: What can be wanted.
    """

    def __init__(self, module: FlowModule, coordinates: Coordinates, conditions: Conditions) -> None:
        self.module, self.coordinates, self.conditions = module.eval(), coordinates, conditions

    @torch.no_grad()
    def generate(self, count: int, *, seed: int = 0, wanted: Mapping[str, float | str] | None = None) -> Population:
        """See :class:`trainables.generators.generator.NetworkGenerator`."""
        condition_MQ = self.conditions.wanted(wanted or {}, count)
        place_MD = torch.randn(count, len(self.module.scale_D), generator=torch.Generator().manual_seed(seed))
        steps = self.module.config.integration_steps
        for step in range(steps):
            place_MD = self._advanced(place_MD, step / steps, 1 / steps, condition_MQ)
        networks_MP = self.module.networks(place_MD)
        gain_M = torch.full((count,), self.coordinates.common_gain)
        return single_architecture(self.coordinates.architecture, self.coordinates.inverse(networks_MP, gain_M))

    def _advanced(self, place_MD: Tensor, time: float, step: float, condition_MQ: Tensor) -> Tensor:
        """One step of fourth-order Runge-Kutta."""

        def velocity(at_MD: Tensor, when: float) -> Tensor:
            time_M = torch.full((len(at_MD),), when)
            guidance = self.module.config.guidance
            wanted = self.module.velocity(at_MD, time_M, condition_MQ)
            if guidance == 1 or not self.conditions.targets:
                return wanted
            free = self.module.velocity(at_MD, time_M, torch.zeros_like(condition_MQ))
            return free + guidance * (wanted - free)

        one = velocity(place_MD, time)
        two = velocity(place_MD + step / 2 * one, time + step / 2)
        three = velocity(place_MD + step / 2 * two, time + step / 2)
        four = velocity(place_MD + step * three, time + step)
        return place_MD + step / 6 * (one + 2 * two + 2 * three + four)

    def to_files(self) -> dict[str, bytes]:
        """See :class:`trainables.trainable.Artifact`."""
        tensors = {f"module.{name}": tensor for name, tensor in self.module.state_dict().items()}
        tensors |= {f"coordinates.{name}": tensor for name, tensor in self.coordinates.tensors().items()}
        facts = {
            "config": self.module.config,
            "architecture": self.coordinates.architecture.to_json(),
            "conditions": [asdict(target) for target in self.conditions.targets],
            "width": len(self.module.scale_D),
        }
        return {
            MODEL_FILE: save({name: tensor.contiguous() for name, tensor in tensors.items()}),
            CONFIG_FILE: json.dumps(to_json(facts), indent=2).encode(),
        }

    @classmethod
    def from_files(cls, files: Mapping[str, bytes]) -> Flow:
        """The inverse of :meth:`to_files`."""
        facts, tensors = json.loads(files[CONFIG_FILE]), load_tensors(files[MODEL_FILE])
        config, architecture = from_json(FlowConfig, facts["config"]), Architecture.from_json(facts["architecture"])
        conditions = Conditions(
            tuple(Target(**{**each, "categories": tuple(each["categories"])}) for each in facts["conditions"])
        )
        module = FlowModule(config, architecture.parameters, facts["width"], conditions.width)
        module.load_state_dict(_own(tensors, "module."))
        coordinates = Coordinates.from_tensors(as_autoencoder(config), architecture, _own(tensors, "coordinates."))
        return cls(module, coordinates, conditions)


def _own(tensors: Mapping[str, Tensor], beginning: str) -> dict[str, Tensor]:
    return {name.removeprefix(beginning): t for name, t in tensors.items() if name.startswith(beginning)}
