"""Encoders fitted to what is known of networks: any torch module that embeds them, with one linear head a column.

Numbers are standardized and regressed by squared error, categories classified by cross-entropy; all columns weigh the
same. What is read from the embeddings afterwards is up to readouts, as for every encoder.

Shape letters: B networks of a batch, M members, E width of an embedding, K outputs of all heads.
"""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from types import MappingProxyType
from typing import Any, ClassVar, Self

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import load as load_tensors
from safetensors.torch import save
from torch import Tensor, nn

from trainables.encoders.config import SupervisedConfig
from trainables.encoders.encoder import differing, probe
from trainables.encoders.layouts import require_finite
from trainables.gradient_fit import GradientFit
from trainables.large_weights import bounded
from trainables.readouts.columns import categories_of, is_numeric, known, targets_of
from trainables.trainable import FitData, Reference, resolved
from zoo.config import from_json, to_json
from zoo.population import Population

MODEL_FILE, CONFIG_FILE = "model.safetensors", "config.json"


class NetworkModule(nn.Module, ABC):
    """A torch module that embeds networks; what a supervised encoder is made of.

    Args:
        config: Sizes.
        facts: What :meth:`facts_of` told of the training networks.

    Attributes:
        config_type: The class of its configuration.
        embedded_at_once: Networks that are embedded in one step.
    """

    config_type: ClassVar[type[SupervisedConfig]]
    embedded_at_once: ClassVar[int] = 64

    def __init__(self, config: Any, facts: Mapping[str, Any]) -> None:
        super().__init__()
        self.config = config
        self.facts = facts

    @classmethod
    def facts_of(cls, config: Any, data: FitData) -> dict[str, Any]:  # noqa: ARG003
        """What has to be known of training networks to build the module, as JSON; a layout, say.

        Raises:
            ValueError: The module cannot be built for these networks.
        """
        return {}

    def initialize(self, data: FitData) -> None:
        """Sets buffers from the training networks, such as scales; parameters have been drawn."""

    def require(self, population: Population) -> None:
        """Raises a ``ValueError`` for networks that cannot be embedded."""
        require_finite(population)

    @abstractmethod
    def forward(self, batch: Population) -> Tensor:
        """``embedding_BE`` of networks of one layout, differentiable; E is ``config.latent``."""

    def augmented(self, batch: Population, generator: torch.Generator) -> Population:  # noqa: ARG002
        """What a training step sees in place of a batch; the batch itself unless overridden."""
        return batch

    def embedded(self, batch: Population, generator: torch.Generator) -> tuple[Tensor, Tensor | None]:  # noqa: ARG002
        """``embedding_BE``, and what is minimized beside the columns' loss; ``None`` for nothing."""
        return self(batch), None


@dataclass(frozen=True)
class Target:
    """A column that a head predicts.

    Attributes:
        name: Of the column.
        categories: Its categories; empty where it is a number.
        mean: Of the training networks' numbers.
        deviation: Likewise.
    """

    name: str
    categories: tuple[str, ...]
    mean: float = 0.0
    deviation: float = 1.0

    @classmethod
    def of(cls, name: str, populations: Sequence[Population]) -> Target:
        """Of training networks.

        Raises:
            ValueError: They do not differ in this column.
        """
        column_M = targets_of(populations, name)
        column_M = column_M[known(column_M)]
        if len(np.unique(column_M)) < 2:
            raise ValueError(
                f"target {name!r} takes {len(np.unique(column_M))} values among the training networks; choose "
                "columns in which they differ, or targets=all"
            )
        if not is_numeric(column_M):
            return cls(name, categories_of(column_M))
        return cls(name, (), float(column_M.mean()), float(column_M.std()))

    @property
    def outputs(self) -> int:
        """How many outputs its head has."""
        return max(1, len(self.categories))

    def of_networks(self, population: Population) -> Tensor:
        """Standardized numbers float32 (NaN where unknown), or numbers of categories int64 (-1 where new): ``[M]``."""
        column_M = targets_of([population], self.name)
        if not self.categories:
            return torch.from_numpy((column_M - self.mean) / self.deviation).float()
        number_of = {category: number for number, category in enumerate(self.categories)}
        return torch.tensor([number_of.get(value, -1) for value in column_M.tolist()])

    def loss(self, outputs_BK: Tensor, target_B: Tensor) -> Tensor:
        """The mean over networks whose target is known, a scalar; 0 where none is."""
        if self.categories:
            summed = F.cross_entropy(outputs_BK, target_B, ignore_index=-1, reduction="sum")
            return summed / (target_B >= 0).sum().clamp_min(1)
        kept = torch.isfinite(target_B)
        return (outputs_BK[kept, 0] - target_B[kept]).square().sum() / kept.sum().clamp_min(1)


class SupervisedModule(nn.Module):
    """What a fit trains: a network module and the heads.

    Args:
        embed: The module.
        outputs: How many numbers all heads give together.
    """

    def __init__(self, embed: NetworkModule, outputs: int) -> None:
        super().__init__()
        self.embed = embed
        self.heads = nn.Linear(embed.config.latent, outputs)


class SupervisedFit(GradientFit):
    """Fits a network module and its heads to all snapshots of the training members, of any layouts.

    Args:
        module_type: The class of the module, or where it is.
        config: Its configuration.
        data: What the fit sees.
    """

    module: SupervisedModule

    def __init__(self, module_type: Reference, config: SupervisedConfig, data: FitData) -> None:
        self.data = data
        self.targets = targets_for(config, data)
        found: type[NetworkModule] = resolved(module_type)  # type: ignore[assignment]
        facts = found.facts_of(config, data)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(config.seed)
            embed = found(config, facts)
            module = SupervisedModule(embed, sum(target.outputs for target in self.targets))
        for population in data.training:
            embed.require(population)
        embed.initialize(data)
        super().__init__(config, module, [len(each) for each in data.training], config.weight_decay)
        self.populations = [bare(population) for population in data.training]
        self.columns = [[target.of_networks(each) for target in self.targets] for each in data.training]

    def losses(self, population: int, rows_B: Tensor, generator: torch.Generator) -> Mapping[str, Tensor]:
        """``loss`` and, where the module has one, ``penalty``."""
        embed = self.module.embed
        batch = embed.augmented(self.populations[population].select(rows_B), generator)
        embedding_BE, penalty = embed.embedded(batch, generator)
        outputs = self.module.heads(embedding_BE).split([target.outputs for target in self.targets], dim=1)
        each = [
            target.loss(outputs_BK, column_M[rows_B])
            for target, outputs_BK, column_M in zip(self.targets, outputs, self.columns[population], strict=True)
        ]
        loss = torch.stack(each).mean()
        return {"loss": loss} if penalty is None else {"loss": loss + penalty, "penalty": penalty}

    def artifact(self) -> SupervisedEncoder:
        """See :class:`trainables.trainable.Fit`."""
        self.require_finite()
        return SupervisedEncoder(self.module.embed)

    def validate(self) -> dict[str, float]:
        """What probes tell of validation members."""
        return probe(self.artifact(), self.data)


class SupervisedEncoder:
    """A fitted network module; see :class:`trainables.encoders.encoder.Encoder`.

    Args:
        module: What was fitted.
    """

    def __init__(self, module: NetworkModule) -> None:
        self.module = module.eval()

    @torch.no_grad()
    def embed(self, population: Population) -> np.ndarray:
        """See :class:`trainables.encoders.encoder.Encoder`."""
        self.module.require(population)
        if not len(population):
            return np.zeros((0, self.module.config.latent), np.float32)
        plain = bare(bounded(population))
        rows = torch.arange(len(plain)).split(self.module.embedded_at_once)
        embedding_ME = torch.cat([self.module(plain.select(some)) for some in rows])
        # What many layers make of very large weights may have no number.
        return embedding_ME.nan_to_num(nan=0.0, posinf=0.0, neginf=0.0).numpy()

    def to_files(self) -> dict[str, bytes]:
        """See :class:`trainables.trainable.Artifact`."""
        facts = {"config": self.module.config, "facts": self.module.facts}
        tensors = {name: tensor.contiguous() for name, tensor in self.module.state_dict().items()}
        return {MODEL_FILE: save(tensors), CONFIG_FILE: json.dumps(to_json(facts), indent=2).encode()}

    @classmethod
    def from_files(cls, module_type: Reference, files: Mapping[str, bytes]) -> Self:
        """The inverse of :meth:`to_files`."""
        found: type[NetworkModule] = resolved(module_type)  # type: ignore[assignment]
        facts = json.loads(files[CONFIG_FILE])
        module = found(from_json(found.config_type, facts["config"]), facts["facts"])
        module.load_state_dict(load_tensors(files[MODEL_FILE]))
        return cls(module)


def targets_for(config: SupervisedConfig, data: FitData) -> list[Target]:
    """The columns that a fit is to learn.

    Raises:
        ValueError: There are none in which the training networks differ, or a name is not a column.
    """
    names = config.targets.split(",")
    if config.targets == "all":
        names = list(differing(partial(targets_of, data.training)))
    if not names:
        raise ValueError(
            "the training networks differ in nothing that the zoo knows of them; an encoder that learns from labels "
            "needs a zoo with measured accuracies"
        )
    return [Target.of(name.strip(), data.training) for name in names]


def bare(population: Population) -> Population:
    """Weights and architectures alone: rows of it are chosen fast, and no label can leak into an embedding."""
    return replace(population, members=(), epochs=(), columns=MappingProxyType({}))
