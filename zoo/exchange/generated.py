"""Networks that a program has made, as the source of a zoo: every verb reads it, and it says where they come from.

Shape letters: M networks, E epochs, P parameters.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from zoo.data.examples import Dataset
from zoo.exchange.foreign.source import ForeignNetwork, ForeignSnapshots, ForeignZoo, no_metrics
from zoo.exchange.storing import check_zoo
from zoo.population import Population
from zoo.storage.store import Store
from zoo.storage.zoo import Zoo

GENERATED = "generated"
# Snapshots of a zoo have epochs, and 0 is the initialization; these networks have one snapshot each.
EPOCH = 1


class GeneratedZoo(ForeignZoo):
    """Made networks as a source.

    Args:
        name: A name for the zoo.
        population: The networks.
        made: For each, what it was made by and of, as JSON values; "task" among them is its class task.
        dataset: Name of the data set that they are for.
    """

    format: ClassVar[str] = GENERATED

    def __init__(self, name: str, population: Population, made: Sequence[Mapping[str, Any]], dataset: str) -> None:
        architecture_of = [population.architectures[number] for number in population.architecture_M.tolist()]
        networks = [
            ForeignNetwork(
                origin=f"{GENERATED} {number}",
                architecture=architecture,
                known={"task": told["task"]} if told.get("task") else {},
                original=told,
            )
            for number, (architecture, told) in enumerate(zip(architecture_of, made, strict=True))
        ]
        super().__init__(name=name, networks=networks, epochs=(EPOCH,), dataset=dataset)
        self._population = population

    def read(self, chosen: Sequence[int]) -> ForeignSnapshots:
        """See :class:`zoo.exchange.foreign.source.ForeignZoo`."""
        weights_MEP = self._population.weights_MP[list(chosen)].unsqueeze(1).numpy()
        return ForeignSnapshots(weights_MEP=weights_MEP, metrics=no_metrics(len(chosen), 1))


def store_generated(
    name: str, population: Population, made: Sequence[Mapping[str, Any]], store: Store, dataset: str, data: Dataset
) -> Zoo:
    """Stores made networks as a zoo, with their metrics on a data set.

    Args:
        name: A name for the zoo.
        population: The networks.
        made: See :class:`GeneratedZoo`.
        store: Where.
        dataset: Name of the data set that they are for.
        data: The data set.

    Raises:
        ValueError: Weights are not finite, or the data set does not fit the networks.
        ZooError: The store cannot be read or written.
    """
    return check_zoo(GeneratedZoo(name, population, made, dataset), store, dataset=dataset, data=data)(None)
