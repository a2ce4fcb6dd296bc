"""What a population is: data sets, architectures, recipes, training, views of weights, storage.

The names below are loaded when they are first used, so that importing a light part of this package does not
import torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from zoo.architecture import Architecture, mlp
    from zoo.data import load_dataset
    from zoo.evaluation import evaluate
    from zoo.generation.build import generate_zoo
    from zoo.population import Member, Population
    from zoo.recipes import Recipe, find_recipe
    from zoo.storage.errors import ZooError
    from zoo.storage.store import Store
    from zoo.storage.verify import verify
    from zoo.storage.zoo import Zoo
    from zoo.training.train import train_population

__all__ = [
    "Architecture",
    "Member",
    "Population",
    "Recipe",
    "Store",
    "Zoo",
    "ZooError",
    "evaluate",
    "find_recipe",
    "generate_zoo",
    "load_dataset",
    "mlp",
    "train_population",
    "verify",
]

_HOMES = {
    "Architecture": "zoo.architecture",
    "mlp": "zoo.architecture",
    "load_dataset": "zoo.data",
    "evaluate": "zoo.evaluation",
    "Member": "zoo.population",
    "Population": "zoo.population",
    "Recipe": "zoo.recipes",
    "find_recipe": "zoo.recipes",
    "generate_zoo": "zoo.generation.build",
    "ZooError": "zoo.storage.errors",
    "Store": "zoo.storage.store",
    "verify": "zoo.storage.verify",
    "Zoo": "zoo.storage.zoo",
    "train_population": "zoo.training.train",
}


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module 'zoo' has no attribute {name!r}; it has {', '.join(__all__)}")
    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return __all__
