"""Everything that a notebook or a script needs, under one name; the packages beside this one have the rest.

    from zooscale import Import, Search, Zoo

    imported = Import(path="nets", dataset="digits", epochs="20").run()
    zoo = Zoo.open(imported.zoo, store="./store")

What is here is loaded when it is first used: ``import zooscale`` loads neither torch nor Ray. The verbs of the command
line (``Analyze`` to ``Verify``) are dataclasses of their options, with ``run()`` and, where they work for long,
``plan()``; both return what ``--json`` prints.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from analysis.analyze import analyze as analyze
    from analysis.evaluators.registry import EVALUATORS as EVALUATORS
    from analysis.statistics.intervals import Bootstrap as Bootstrap
    from cluster.verbs.analyze import Analyze as Analyze
    from cluster.verbs.card import Card as Card
    from cluster.verbs.export import Export as Export
    from cluster.verbs.fit import Fit as Fit
    from cluster.verbs.generate import Generate as Generate
    from cluster.verbs.import_ import Import as Import
    from cluster.verbs.predict import Predict as Predict
    from cluster.verbs.search import Search as Search
    from cluster.verbs.tasks import Tasks as Tasks
    from cluster.verbs.verify import Verify as Verify
    from search_spaces.studies import STUDIES as STUDIES
    from search_spaces.study import Study as Study
    from trainables.aggregators.training import train_with as train_with
    from trainables.fit_data import fit_data as fit_data
    from trainables.network_reader import network_reader as network_reader
    from trainables.network_reader import network_readers as network_readers
    from trainables.network_reader import predict_all as predict_all
    from trainables.registry import TRAINABLES as TRAINABLES
    from trainables.registry import find_trainable as find_trainable
    from trainables.study_files import StudyRecord as StudyRecord
    from trainables.tasks.embedding import embed_tasks as embed_tasks
    from trainables.tasks.embeddings import TaskEmbeddings as TaskEmbeddings
    from trainables.tasks.probe_training import train_probe as train_probe
    from zoo.architecture import Architecture as Architecture
    from zoo.architecture import cnn as cnn
    from zoo.architecture import mlp as mlp
    from zoo.architecture import resnet as resnet
    from zoo.data import DATASETS as DATASETS
    from zoo.data import load_dataset as load_dataset
    from zoo.data.examples import Dataset as Dataset
    from zoo.data.examples import Examples as Examples
    from zoo.data.examples import split_examples as split_examples
    from zoo.data.task import Task as Task
    from zoo.evaluation import evaluate as evaluate
    from zoo.exchange.exporting import export_zoo as export_zoo
    from zoo.exchange.foreign.torch_module import architecture_of as architecture_of
    from zoo.exchange.importing import open_source as open_source
    from zoo.exchange.importing import store_source as store_source
    from zoo.exchange.members import export_member as export_member
    from zoo.generation.build import generate_zoo as generate_zoo
    from zoo.population import Member as Member
    from zoo.population import Population as Population
    from zoo.recipes import RECIPES as RECIPES
    from zoo.recipes import Axis as Axis
    from zoo.recipes import Recipe as Recipe
    from zoo.recipes import find_recipe as find_recipe
    from zoo.storage.catalog import list_zoos as list_zoos
    from zoo.storage.errors import ZooError as ZooError
    from zoo.storage.store import Store as Store
    from zoo.storage.verify import verify as verify
    from zoo.storage.zoo import Zoo as Zoo
    from zoo.training.train import train_population as train_population
    from zoo.views import NeuronTokens as NeuronTokens
    from zoo.views import Standardized as Standardized

_HOMES = {
    "analysis.analyze": ("analyze",),
    "analysis.evaluators.registry": ("EVALUATORS",),
    "analysis.statistics.intervals": ("Bootstrap",),
    "cluster.verbs.analyze": ("Analyze",),
    "cluster.verbs.card": ("Card",),
    "cluster.verbs.export": ("Export",),
    "cluster.verbs.fit": ("Fit",),
    "cluster.verbs.generate": ("Generate",),
    "cluster.verbs.import_": ("Import",),
    "cluster.verbs.predict": ("Predict",),
    "cluster.verbs.search": ("Search",),
    "cluster.verbs.tasks": ("Tasks",),
    "cluster.verbs.verify": ("Verify",),
    "search_spaces.studies": ("STUDIES",),
    "search_spaces.study": ("Study",),
    "trainables.aggregators.training": ("train_with",),
    "trainables.fit_data": ("fit_data",),
    "trainables.network_reader": ("network_reader", "network_readers", "predict_all"),
    "trainables.registry": ("TRAINABLES", "find_trainable"),
    "trainables.study_files": ("StudyRecord",),
    "trainables.tasks.embedding": ("embed_tasks",),
    "trainables.tasks.embeddings": ("TaskEmbeddings",),
    "trainables.tasks.probe_training": ("train_probe",),
    "zoo.architecture": ("Architecture", "cnn", "mlp", "resnet"),
    "zoo.data": ("DATASETS", "load_dataset"),
    "zoo.data.examples": ("Dataset", "Examples", "split_examples"),
    "zoo.data.task": ("Task",),
    "zoo.evaluation": ("evaluate",),
    "zoo.exchange.exporting": ("export_zoo",),
    "zoo.exchange.foreign.torch_module": ("architecture_of",),
    "zoo.exchange.importing": ("open_source", "store_source"),
    "zoo.exchange.members": ("export_member",),
    "zoo.generation.build": ("generate_zoo",),
    "zoo.population": ("Member", "Population"),
    "zoo.recipes": ("RECIPES", "Axis", "Recipe", "find_recipe"),
    "zoo.storage.catalog": ("list_zoos",),
    "zoo.storage.errors": ("ZooError",),
    "zoo.storage.store": ("Store",),
    "zoo.storage.verify": ("verify",),
    "zoo.storage.zoo": ("Zoo",),
    "zoo.training.train": ("train_population",),
    "zoo.views": ("NeuronTokens", "Standardized"),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}
__all__ = sorted(_HOME_OF)


def __getattr__(name: str) -> object:
    if name not in _HOME_OF:
        raise AttributeError(f"module 'zooscale' has no attribute {name!r}; it has {', '.join(__all__)}")
    return getattr(importlib.import_module(_HOME_OF[name]), name)


def __dir__() -> list[str]:
    return __all__
