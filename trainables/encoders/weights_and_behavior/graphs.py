"""Neural graphs as a part of the head: what features sum up they may lose, graphs see every weight.

One graph is fitted without each fold of the training networks, to the same columns as the perceptrons; readouts see
what it says beside these.

Shape letters: M networks, R training networks of one layout, B networks of a batch, K outputs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from trainables.encoders.graph.config import GraphConfig
from trainables.encoders.graph.encoder import NeuralGraph
from trainables.encoders.supervised import SupervisedFit, SupervisedModule, bare
from trainables.encoders.weights_and_behavior.columns import under
from trainables.encoders.weights_and_behavior.config import WeightsAndBehaviorConfig
from trainables.encoders.weights_and_behavior.folds import FOLDS
from trainables.trainable import FitData
from zoo.population import Population

# Categories are told to be no less probable than this: readouts are linear.
LEAST_LOG_PROBABILITY = -5.0


class FitWithoutFold(SupervisedFit):
    """Fits a graph to some of the training networks.

    Args:
        config: Of the graph.
        data: What the fit sees.
        rows: Which networks of each training population, ``[R]`` each.
    """

    def __init__(self, config: GraphConfig, data: FitData, rows: Sequence[Tensor]) -> None:
        super().__init__(NeuralGraph, config, data)
        self.rows = rows
        self.sizes = tuple(len(rows_R) for rows_R in rows)

    def losses(self, population: int, rows_B: Tensor, generator: torch.Generator) -> Mapping[str, Tensor]:
        """See :class:`trainables.encoders.supervised.SupervisedFit`."""
        return super().losses(population, self.rows[population][rows_B], generator)


@dataclass(frozen=True)
class Graphs:
    """Fitted graphs with their heads, one for each fold.

    Attributes:
        modules: These.
        outputs_T: How many outputs each column has: 1 for numbers, else one a category.
        range_2K: The least and the largest that is told: of standardized numbers those of training networks.
    """

    modules: tuple[SupervisedModule, ...]
    outputs_T: Tensor
    range_2K: Tensor

    @classmethod
    def fit(cls, config: WeightsAndBehaviorConfig, data: FitData, fold_N: np.ndarray) -> Graphs:
        """Fits the graphs.

        Args:
            config: Passes and seed.
            data: What the fit sees.
            fold_N: The fold of each training network, populations one after the other.
        """
        by_population = torch.from_numpy(fold_N).split([len(population) for population in data.training])
        modules = []
        for fold in range(FOLDS):
            rows = [torch.nonzero(fold_R != fold)[:, 0] for fold_R in by_population]
            fit = FitWithoutFold(graph_config(config, fold), data, rows)
            for _ in range(fit.epochs):
                fit.train_epoch()
            fit.require_finite()
            modules.append(fit.module.eval())
        low, high = [], []
        for number, target in enumerate(fit.targets):
            if target.categories:
                low += [LEAST_LOG_PROBABILITY] * target.outputs
                high += [0.0] * target.outputs
            else:
                known = torch.cat([columns[number] for columns in fit.columns])
                known = known[torch.isfinite(known)]
                low.append(float(known.min()))
                high.append(float(known.max()))
        return cls(tuple(modules), torch.tensor([target.outputs for target in fit.targets]), torch.tensor([low, high]))

    @torch.no_grad()
    def outputs(self, population: Population) -> np.ndarray:
        """What each graph says: float32 ``[FOLDS, M, K]``, of categories the logarithm of their probabilities."""
        if not len(population):
            return np.zeros((FOLDS, 0, int(self.outputs_T.sum())), np.float32)
        plain = bare(population)
        batches = [plain.select(rows) for rows in torch.arange(len(plain)).split(NeuralGraph.embedded_at_once)]
        return np.stack([torch.cat([self._of(module, batch) for batch in batches]).numpy() for module in self.modules])

    def _of(self, module: SupervisedModule, batch: Population) -> Tensor:
        parts = module.heads(module.embed(batch)).split(self.outputs_T.tolist(), dim=1)
        told_BK = torch.cat([part if part.shape[1] == 1 else part.log_softmax(1) for part in parts], dim=1)
        # Of weights beyond all measure a graph may say nothing.
        return told_BK.nan_to_num(nan=0.0).clamp(self.range_2K[0], self.range_2K[1])

    def tensors(self) -> dict[str, Tensor]:
        """Everything as tensors; :meth:`from_tensors` is the inverse."""
        found = {"outputs": self.outputs_T, "range": self.range_2K}
        for fold, module in enumerate(self.modules):
            found |= {f"{fold}/{name}": tensor for name, tensor in module.state_dict().items()}
        return found

    @classmethod
    def from_tensors(cls, config: WeightsAndBehaviorConfig, tensors: Mapping[str, Tensor]) -> Graphs:
        """The inverse of :meth:`tensors`."""
        modules = []
        for fold in range(FOLDS):
            module = SupervisedModule(NeuralGraph(graph_config(config, fold), {}), int(tensors["outputs"].sum()))
            module.load_state_dict(under(f"{fold}/", tensors))
            modules.append(module.eval())
        return cls(tuple(modules), tensors["outputs"], tensors["range"])


def graph_config(config: WeightsAndBehaviorConfig, fold: int) -> GraphConfig:
    """Sizes of a graph, with a seed of its own for each fold."""
    return GraphConfig(epochs=config.graph_passes, seed=(FOLDS * config.seed + fold) % 2**32)
