"""How long work takes on this machine: measured here and now, or measured once and remembered in the user's cache."""

from __future__ import annotations

import contextlib
import json
import math
import os
import platform
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from cluster.distributed.runtime import ray_is_asked_for, workers_at_once
from trainables.registry import find_trainable
from trainables.trainable import DivergedError, FitData, Trainable
from zoo.architecture import Architecture
from zoo.data.examples import Dataset
from zoo.generation.build import GenerationPlan
from zoo.recipes import Recipe
from zoo.storage.store import Store
from zoo.threads import one_thread
from zoo.training.backend import choose_backend
from zoo.training.train import planned_groups, train_population

if TYPE_CHECKING:
    from cluster.studies import StudyPlan  # imports what a generation has no need of

# Until Ray was started on this machine for the first time.
FIRST_RAY_START_S = 20.0
# Compressed weights take 0.85 of their size, and the other columns about 130 bytes a row.
WEIGHTS_SHARE, ROW_BYTES = 0.85, 130
# What evaluation adds to training.
EVALUATION_SHARE = 1.15
# Fits are tried on so many training members; of a search, so many configurations that it may propose.
FIT_MEMBERS, FIT_CONFIGURATIONS = 64, 2
# Training is tried on so many examples; those are divided among so many shards where layouts differ, of each so many
# members. So many shards are looked at to see how large networks are.
CALIBRATION_EXAMPLES, CALIBRATION_SHARDS, CALIBRATION_MEMBERS, SAMPLED_SHARDS = 6400, 4, 256, 64


def worth_ray(remaining_s: float, cpus: int, start_s: float) -> bool:
    """Whether work ends sooner on a Ray that has to be started for it than in this process.

    Args:
        remaining_s: What the work takes on one core.
        cpus: How many cores it can be divided among.
        start_s: What starting and ending Ray takes, see :func:`ray_start_s`.
    """
    return start_s + remaining_s / cpus < remaining_s


def duration(
    rounds: Sequence[int], each_s: float, workers: int | None, store: Store, each_bytes: int = 0
) -> tuple[bool, int, float]:
    """Where and how long rounds of so many tasks run, each of which takes ``each_s`` on one core.

    Args:
        rounds: How many tasks there are in each; the next one begins when all of them are done.
        each_s: What one takes.
        workers: How many processes were asked for.
        store: Where results go.
        each_bytes: The memory that one takes, where that bounds how many run at the same time.

    Returns:
        Whether on Ray, else in this process; how many processes; seconds.

    Raises:
        ClusterError: There cannot be so many processes, or they cannot reach the store.
    """
    ray, processes, seconds = False, 1, 0.0
    at_once = workers_at_once(store, workers, each_bytes) if any(rounds) else 1
    for count in filter(None, rounds):
        cpus = min(at_once, count)
        if ray_is_asked_for(workers) or worth_ray(count * each_s, cpus, ray_start_s()):
            ray, processes = True, max(processes, cpus)
            seconds += ray_start_s() + each_s * math.ceil(count / cpus)
        else:
            seconds += count * each_s
    return ray, processes, seconds


def ray_start_s() -> float:
    """What starting Ray with its workers, and ending it, takes on this machine, as it was measured before."""
    return remembered_s("start of Ray", FIRST_RAY_START_S)


def remember_ray_start(seconds: float) -> None:
    """Notes what starting and ending Ray took now."""
    remember_s("start of Ray", seconds)


def remembered_s(what: str, first_guess: float) -> float:
    """What something takes on this machine, as it was measured before; ``first_guess`` where it never was."""
    return _remembered().get(_key(what), first_guess)


def remember_s(what: str, seconds: float) -> None:
    """Notes what something took now; half of what is remembered then comes from it.

    A cache that cannot be written is none.
    """
    known = _remembered()
    known[_key(what)] = (known.get(_key(what), seconds) + seconds) / 2
    with contextlib.suppress(OSError):
        _cache().parent.mkdir(parents=True, exist_ok=True)
        partial = _cache().with_suffix(f".{os.getpid()}")
        partial.write_text(json.dumps(known, indent=1))
        partial.replace(_cache())


def _cache() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "zooscale" / "seconds.json"


def _key(what: str) -> str:
    """Machines may share a home folder."""
    return f"{platform.node()}, {os.cpu_count()} CPUs: {what}"


def _remembered() -> dict[str, float]:
    try:
        return {str(key): float(seconds) for key, seconds in json.loads(_cache().read_text()).items()}
    except (OSError, ValueError, TypeError, AttributeError):
        return {}


def count_members(shards: Sequence[range]) -> int:
    """How many members some shards hold."""
    return sum(map(len, shards))


def some_shards(plan: GenerationPlan, count: int = SAMPLED_SHARDS) -> Sequence[range]:
    """Some of the missing shards, evenly apart; where none is missing, of all."""
    shards = plan.missing or plan.shards
    return shards[:: math.ceil(len(shards) / count)]


def some_architectures(plan: GenerationPlan) -> list[Architecture]:
    """Those of some shards."""
    return [plan.recipe.member_architecture(shard.start, plan.data) for shard in some_shards(plan)]


def generation_bytes(plan: GenerationPlan) -> int:
    """About how large the missing shards of a zoo will be."""
    pairs = list(zip(some_shards(plan), some_architectures(plan), strict=True))
    parameters = sum(len(shard) * each.parameters for shard, each in pairs) / sum(len(shard) for shard, _ in pairs)
    return round(plan.missing_members * len(plan.recipe.snapshot_epochs) * (parameters * 4 * WEIGHTS_SHARE + ROW_BYTES))


def members_together(plan: GenerationPlan) -> float:
    """How many members of a shard are trained together: a mean over the members of a few missing shards."""
    shards = some_shards(plan, CALIBRATION_SHARDS)
    groups = [
        group
        for shard in shards
        for group, *_ in planned_groups(
            plan.recipe.member_architecture(shard.start, plan.data),
            [plan.recipe.member(index) for index in shard],
            plan.data.train,
            plan.data.task,
            torch.device("cpu"),
        )
    ]
    return count_members(shards) / len(groups)


def member_s(plan: GenerationPlan) -> float:
    """What training and measuring a missing member takes on one core, from an epoch on a few examples here and now."""
    layouts = {architecture.layout for architecture in some_architectures(plan)}
    some = [shard[:CALIBRATION_MEMBERS] for shard in some_shards(plan, min(CALIBRATION_SHARDS, len(layouts)))]
    return EVALUATION_SHARE * plan.recipe.epochs * _epoch_s(plan.recipe, plan.data, some)


def _epoch_s(recipe: Recipe, data: Dataset, shards: Sequence[range]) -> float:
    """What an epoch of a member takes on one core: a mean over the members of some shards."""
    # Compiles where that was never done here.
    choose_backend(recipe.member_architecture(0, data), [recipe.member(0)], data.task, data.train, torch.device("cpu"))
    examples, share = data.train, 1.0
    if not recipe.member(0).subset_size:  # a member with a subset sees no more examples than those, wherever they lie
        examples = data.train.first(CALIBRATION_EXAMPLES // len(shards))
        share = len(examples) / len(data.train)
    seconds = 0.0
    with one_thread():  # as in a worker
        for shard in shards:
            architecture = recipe.member_architecture(shard.start, data)
            members = [recipe.member(index) for index in shard]
            started = time.perf_counter()
            for _ in train_population(architecture, members, examples, task=data.task, epochs=1, snapshot_epochs=(1,)):
                pass
            seconds += time.perf_counter() - started
    return seconds / count_members(shards) / share


def fit_cost(plan: StudyPlan) -> tuple[float, int]:
    """Seconds on one core and bytes of a fit of a study: means over some configurations that it may propose.

    Beginning and an epoch are measured on a few members, or on all where a few are too few; the validation is the real
    one. Configurations that do not suit the zoo are left out, as their trials would fail.

    Raises:
        ValueError: None of them suits the zoo.
        DivergedError: None of them can be fitted.
    """
    configurations, found = _configurations(plan), []
    failure: Exception | None = None
    for members in (FIT_MEMBERS, None):
        data = plan.data(members)
        growth = plan.training_rows / sum(len(population) for population in data.training)
        with one_thread():  # as in a trial
            for trainable, config in [configurations[0], *configurations]:  # the first of a process takes longer
                try:
                    found.append(_fit_seconds(trainable, config, data, growth))
                except (DivergedError, ValueError) as error:
                    failure = error
        if found:
            break
    else:
        raise failure or ValueError(f"study {plan.study.name} proposes nothing to fit")
    counted = found[1:] or found
    return sum(seconds for seconds, _ in counted) / len(counted), sum(size for _, size in counted) // len(counted)


def _fit_seconds(trainable: Trainable, config: Any, data: FitData, growth: float) -> tuple[float, int]:
    """What a fit would take with ``growth`` times the training members, and the bytes of its artifact."""
    started = time.perf_counter()
    fit = trainable.fit(config, data)
    begun = time.perf_counter()
    fit.train_epoch()
    trained = time.perf_counter()
    fit.validate()
    seconds = growth * (begun - started + fit.epochs * (trained - begun)) + time.perf_counter() - trained
    return seconds, sum(len(content) for content in fit.artifact().to_files().values())


def _configurations(plan: StudyPlan) -> list[tuple[Trainable, Any]]:
    """Some of what a study may propose."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    draw = optuna.create_study(
        sampler=optuna.samplers.RandomSampler(seed=plan.seed), directions=["minimize"] * len(plan.study.objectives)
    )
    propose = plan.study.bound_space(plan.architectures)
    proposals = [propose(draw.ask()) for _ in range(min(FIT_CONFIGURATIONS, plan.study.wanted_trials))]
    found = [(find_trainable(proposal.trainable), proposal.config) for proposal in proposals]
    return [(trainable, trainable.configuration(config)) for trainable, config in found]
