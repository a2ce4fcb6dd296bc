"""Networks from noise: a flow whose velocity is learned, with conditions where wanted.

Lipman et al., "Flow Matching for Generative Modeling" (ICLR 2023, arXiv 2210.02747, section 4); on weights whose hidden
units are matched: "DeepWeightFlow" (arXiv 2601.05052). With the path of a diffusion this is its probability flow, as of
weights in "Neural Network Diffusion" (arXiv 2402.13144), there in the latents of an autoencoder.

Shape letters: M networks, P parameters, D coordinates of the flow, B networks of a batch, Q numbers of a condition.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict

import torch
from safetensors.torch import load as load_tensors
from safetensors.torch import save
from torch import Tensor

from trainables.autoencoders.coordinates import Coordinates
from trainables.autoencoders.principal import principal_components
from trainables.encoders.supervised import Target
from trainables.generators.closed_form import coordinate_scale, noise_deviation
from trainables.generators.conditions import Conditions
from trainables.generators.config import FlowConfig
from trainables.generators.flow_module import FlowModule, path
from trainables.generators.generator import as_autoencoder, coordinates_of, fitted_networks, task_of, validate
from trainables.gradient_fit import GradientFit
from trainables.trainable import FitData
from zoo.architecture import Architecture
from zoo.config import from_json, to_json
from zoo.data.class_tasks import select
from zoo.population import Population, single_architecture

MODEL_FILE, CONFIG_FILE = "model.safetensors", "config.json"


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
        module.deviation_P.copy_(noise_deviation(config, networks_MP))
        if config.components:
            directions_PD, deviation_D = principal_components(networks_MP - center_P, width, config.seed)
            module.directions_PD.copy_(directions_PD)
            module.scale_D.copy_(deviation_D.clamp_min(1e-6))
        else:
            module.scale_D.copy_(coordinate_scale(networks_MP))
        self.place_MD = module.coordinates(networks_MP)
        self.condition_MQ = self.conditions.of_networks(training)
        name, self.task = task_of(training, data)
        self.examples = select(name, data.dataset.train)
        super().__init__(config, module, [len(training)], config.weight_decay)

    def batches(self, generator: torch.Generator) -> Iterator[tuple[int, Tensor]]:
        """Every network so many times an epoch, in a random order."""
        for _ in range(self.config.repeats):
            yield from super().batches(generator)

    def losses(self, population: int, rows_B: Tensor, generator: torch.Generator) -> Mapping[str, Tensor]:  # noqa: ARG002
        """``loss``, and if it has two parts, ``matching`` (mean squared error of what is predicted) and ``task``."""
        kept_B1 = (torch.rand(len(rows_B), 1, generator=generator) >= self.config.dropped).float()
        condition_BQ = self.condition_MQ[rows_B] * kept_B1
        matching = self._matching(self.place_MD[rows_B], condition_BQ, generator)
        if not self.config.task_loss:
            return {"loss": matching}
        task = self._task_loss(condition_BQ, generator)
        return {"loss": matching + self.config.task_loss * task, "matching": matching, "task": task}

    def _matching(self, target_BD: Tensor, condition_BQ: Tensor, generator: torch.Generator) -> Tensor:
        config = self.config
        if config.jitter:
            target_BD = target_BD + config.jitter * torch.randn(target_BD.shape, generator=generator)
        noise_BD = config.source * torch.randn(target_BD.shape, generator=generator)
        time_B = torch.rand(len(target_BD), generator=generator)
        network, noise, network_rate, noise_rate = path(config.path, time_B[:, None])
        predicted_BD = self.module(network * target_BD + noise * noise_BD, time_B, condition_BQ)
        if config.predicted == "velocity":
            target_BD = network_rate * target_BD + noise_rate * noise_BD
        return (predicted_BD - target_BD).square().mean()

    def _task_loss(self, condition_BQ: Tensor, generator: torch.Generator) -> Tensor:
        chosen = torch.randint(len(self.examples), (self.config.task_examples,), generator=generator)
        drawn = self.examples.select(chosen)
        weights_BP = self.coordinates.weights(self.module.made(condition_BQ, generator))
        outputs_BNC = self.coordinates.architecture.logits(weights_BP, drawn.inputs)
        targets = torch.cat([drawn.targets] * len(weights_BP))
        return self.task.losses()(outputs_BNC.flatten(0, 1), targets).mean()

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
        networks_MP = self.module.made(condition_MQ, torch.Generator().manual_seed(seed))
        return single_architecture(self.coordinates.architecture, self.coordinates.weights(networks_MP))

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
