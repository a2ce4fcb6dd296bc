"""What to fit on which zoo: a study with the user's changes, checked before anything starts."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from cluster.display import say
from cluster.settings import changed, parse_assignments
from cluster.stores import open_zoo
from search_spaces.study import Study
from trainables.fit_data import fit_data
from trainables.metrics import in_place, is_given
from trainables.registry import find_trainable
from trainables.study_files import StudyFolder
from trainables.trainable import FitData, Trainable
from zoo.architecture import Architecture
from zoo.config import digest
from zoo.storage.store import Store
from zoo.storage.zoo import Zoo

LIMIT = "limits."


@dataclass(frozen=True, kw_only=True)
class StudyPlan:
    """What to fit, where.

    Attributes:
        study: The study with the user's changes.
        zoo: The zoo.
        folder: Where the study lies; its name is a function of study and zoo, not of the number of trials.
        architectures: Those of the networks that it sees.
        seed: Of the sampler, and by default of every fit.
    """

    study: Study
    zoo: Zoo
    folder: StudyFolder
    architectures: tuple[Architecture, ...]
    seed: int

    @property
    def layouts(self) -> tuple[Architecture, ...]:
        """Of the architectures, one for each parameter layout."""
        return tuple({architecture.layout: architecture for architecture in self.architectures}.values())

    @property
    def training_rows(self) -> int:
        """How many snapshots of training members fits see."""
        return sum(len(self.zoo.rows("train", architecture=architecture)) for architecture in self.layouts)

    @property
    def weights_bytes(self) -> int:
        """Size of the weights that fits see: training members with all their snapshots, and validation members."""
        size = 0
        for architecture in self.layouts:
            seen = len(self.zoo.rows("train", architecture=architecture))
            validation = len(self.zoo.rows("validation", epochs="one", architecture=architecture))
            size += 4 * architecture.parameters * (seen + min(validation, self.study.validation_members))
        return size

    def data(self, training_members: int | None = None) -> FitData:
        """What the fits see, of at most so many training members."""
        return fit_data(
            self.zoo,
            training_members=training_members,
            validation_members=self.study.validation_members,
            layout=self.study.layout,
        )


def plan_study(
    study: Study, zoo_name: str, store_uri: str, named: Mapping[str, Any], settings: Sequence[str] = ()
) -> StudyPlan:
    """Applies the user's changes, finds the zoo, and checks that its networks and its task can be fitted so.

    Args:
        study: The study.
        zoo_name: A zoo of the store, or its URI.
        store_uri: Where the study goes.
        named: ``trials``, ``epochs``, ``preset`` and ``seed``; ``None`` changes nothing.
        settings: ``field=value`` for fields of the study (``limits.METRIC=number`` for a limit), or of the trainable:
            those are then the same in all trials.

    Raises:
        ValueError: Unknown field, a value that is not allowed, networks that a trainable cannot take, or no such
            store.
        ZooError: No such zoo.
    """
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", study.name):
        raise ValueError(f"Study.name is {study.name!r}; allowed: letters, digits, dots, hyphens, underscores")
    study = changed_study(study, named, settings)
    trainables = study.check()
    zoo = open_zoo(zoo_name, store_uri)
    if study.layout is not None and study.layout >= len(zoo.layouts):
        raise ValueError(
            f"Study.layout is {study.layout}; zoo {zoo.name} has {len(zoo.layouts)}: 0 to {len(zoo.layouts) - 1}"
        )
    layouts = zoo.layouts if study.layout is None else (zoo.layouts[study.layout],)
    architectures = tuple(architecture for architecture in zoo.architectures if architecture.layout in layouts)
    for trainable in trainables:
        config = trainable.configuration(study.configuration(trainable, {}))
        trainable.known_before(config, architectures)
        if columns := trainable.columns(config):
            some = next(zoo.populations("train", limit=1))
            for column in columns:
                some.column(column)
        trainable.check_tasks(zoo.snapshots.take(zoo.rows("train"))["task"].unique().to_pylist())
    # That there are validation members, of the layout that is named, is found out before the study has a folder.
    zoo.rows("validation", epochs="one", architecture=None if study.layout is None else architectures[0])
    study = suited(study, trainables, zoo)
    name = f"{study.name}-{digest({'study': study.identity, 'zoo': zoo.content_sha256})[:8]}"
    folder = StudyFolder(Store(store_uri), name)
    seed = int(study.settings.get("seed", 0))
    return StudyPlan(study=study, zoo=zoo, folder=folder, architectures=architectures, seed=seed)


def changed_study(study: Study, named: Mapping[str, Any], settings: Sequence[str]) -> Study:
    """A study with the user's changes; see :func:`plan_study`."""
    limits = [text.removeprefix(LIMIT) for text in settings if text.startswith(LIMIT)]
    others = [text for text in settings if not text.startswith(LIMIT)]
    bounds = dict(study.limits)
    for text in limits:
        metric, _, value = text.partition("=")
        try:
            bounds[metric] = float(value)
        except ValueError as error:
            raise ValueError(f"--set {LIMIT}{text}: expected a number") from error
    of_study = [text for text in others if text.partition("=")[0] in Study.__dataclass_fields__]
    (values,) = parse_assignments(of_study, Study)
    shape = {name: value for name, value in named.items() if name != "seed"}
    chosen = [find_trainable(name) for name in values.get("trainables", ())]
    if chosen and not named.get("preset") and not any(study.preset in each.presets for each in chosen):
        values = {"preset": "", **values}  # the study's own is for those that are left out
    study = changed(study, shape, {**values, "limits": bounds})
    configs = [trainable.config for trainable in study.check()]
    _, *found = parse_assignments([text for text in others if text not in of_study], Study, *configs)
    fixed = {name: value for config in found for name, value in config.items()}
    seed = {} if named.get("seed") is None else {"seed": named["seed"]}
    return replace(study, settings={**study.settings, **fixed, **seed})


def suited(study: Study, trainables: Sequence[Trainable], zoo: Zoo) -> Study:
    """The study with objectives that the zoo's task has: where outputs are values, those that agreement stands for.

    Raises:
        ValueError: An objective or a limit has no counterpart; the message lists the metrics that there are.
    """
    softmax = zoo.dataset().task.has_classes
    if not study.spaces:  # a single fit has no rivals: whatever is measured is on record
        given = tuple(name for name in study.objectives if is_given(name, softmax=softmax))
        study = replace(study, objectives=given or study.objectives)
    metrics = study.metrics(trainables)
    names = {
        name: name if is_given(name, softmax=softmax) else in_place(name) for name in (*study.objectives, *study.limits)
    }
    missing = [name for name, other in names.items() if other not in metrics]
    if missing:
        measured = [name for name, metric in metrics.items() if metric.direction and is_given(name, softmax=softmax)]
        raise ValueError(
            f"{', '.join(missing)} is not measured on data set {zoo.recipe.dataset!r}, whose task has loss "
            f"{zoo.dataset().task.loss!r}; measured are {', '.join(measured)}: choose with --set objectives=…"
        )
    replaced = {name: other for name, other in names.items() if name != other}
    if not replaced:
        return study
    say(f"{study.name}: " + ", ".join(f"{other} takes the place of {name}" for name, other in replaced.items()))
    return replace(
        study,
        objectives=tuple(dict.fromkeys(names[name] for name in study.objectives)),
        limits={names[name]: limit for name, limit in study.limits.items()},
    )
