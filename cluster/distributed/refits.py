"""Further fits of a study's best trials that differ in their seed alone, so that intervals cover the choice of it.

Imported when there are fits to make, after :func:`cluster.distributed.runtime.quieten`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import ray
import torch

from cluster.display import live, say
from cluster.distributed.runtime import runtime
from cluster.distributed.study import StudyFolder
from cluster.distributed.trainable import TrialData, store_codec
from trainables.autoencoders.config import AutoencoderConfig
from trainables.autoencoders.fit import AutoencoderFit, DivergedError
from zoo.storage.zoo import Zoo


@dataclass(frozen=True, slots=True)
class Refit:
    """A fit to be made.

    Attributes:
        trial: Number of the trial.
        fit: 1 for the first further one, and so on; the trial's own is 0.
        config: Configuration of the trial.
    """

    trial: int
    fit: int
    config: AutoencoderConfig

    @property
    def seeded(self) -> AutoencoderConfig:
        """The configuration with the seed of this fit."""
        return replace(self.config, seed=(self.config.seed + self.fit) % 2**32)


def fit_again(refit: Refit, data: TrialData, folder: str) -> str | None:
    """Makes a fit and stores its model.

    Args:
        refit: Which.
        data: What the trials of the study share.
        folder: Where the model goes.

    Returns:
        Why there is no model; ``None`` where there is.
    """
    torch.set_num_threads(1)  # fits are made side by side, one CPU each
    try:
        fit = AutoencoderFit(refit.seeded, data.training, data.training_images)
        while fit.epoch < fit.config.epochs:
            fit.step()
        store_codec(data.store, folder, fit.codec())
    except DivergedError as error:
        return str(error)
    return None


def refit(
    refits: Sequence[Refit], zoo: Zoo, folder: StudyFolder, validation_members: int, *, workers: int | None = None
) -> int:
    """Makes fits on a Ray cluster with a live display.

    Args:
        refits: Which.
        zoo: What the study searched on.
        folder: Where the study lies.
        validation_members: As in the study.
        workers: How many at the same time; by default as many as there are CPUs.

    Returns:
        How many have a model now.
    """
    failed = 0
    data = TrialData.of(zoo, folder.store, validation_members)
    with live("fit again", len(refits), "fits") as bar, runtime(folder.store, workers=workers) as cluster:
        shared, task = ray.put(data), ray.remote(num_cpus=1)(fit_again)
        waiting = list(reversed(refits))
        running: dict[ray.ObjectRef[str | None], Refit] = {}
        at_once = workers or max(cluster.cpus, 1)
        while waiting or running:
            while waiting and len(running) < at_once:
                one = waiting.pop()
                running[task.remote(one, shared, folder.checkpoint(one.trial, one.fit))] = one
            (ended,), _ = ray.wait(list(running), num_returns=1)
            one, failure = running.pop(ended), ray.get(ended)
            if failure is not None:
                failed += 1
                say(f"trial {one.trial} failed with seed {one.seeded.seed}: {failure}")
            bar.update(len(refits) - len(waiting) - len(running))
    return len(refits) - failed
