"""Trials in this process, one after the other: Optuna asks, a plain loop fits, Optuna is told; the same journal.

What Ray Tune does with more processes; a trial's result is a function of its configuration and the same either way.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import optuna
from optuna.trial import Trial, TrialState

from cluster.distributed.logs import TrialLogs
from cluster.distributed.study import (
    FAILURE,
    INTERRUPTED,
    SearchFolder,
    TrialEnd,
    load_study,
    new_sampler,
    note_end,
    note_proposal,
)
from search_spaces.studies import Study
from trainables.registry import find_trainable
from trainables.trainable import Fit, FitData
from trainables.trials import run_trial
from zoo.architecture import Architecture
from zoo.threads import one_thread


class HandOverError(Exception):
    """What remains is worth more processes; raised in the middle of a trial, which is then run again."""


def run_serially(
    study: Study,
    data: FitData,
    architectures: Sequence[Architecture],
    folder: SearchFolder,
    storage: optuna.storages.BaseStorage,
    *,
    trials: int,
    seed: int,
    on_epoch: Callable[[], None],
    on_end: Callable[[TrialEnd], None],
    leave: Callable[[int, float], bool],
) -> int:
    """Runs new trials of a study, all of them or until what remains is better done by more processes.

    Args:
        study: What to try.
        data: What the fits see.
        architectures: Those of the zoo's networks.
        folder: Where the study lies.
        storage: Its opened journal.
        trials: How many to run.
        seed: Of the sampler.
        on_epoch: Called after every epoch.
        on_end: Called at the end of every trial.
        leave: ``(trials done, share of the next one that is done) -> bool``; called after every epoch.

    Returns:
        How many have ended.
    """
    record = load_study(storage, folder.name, study)
    record.sampler = new_sampler(study, seed)
    propose, logs = study.bound_space(architectures), TrialLogs(folder.tensorboard)
    for done in range(trials):
        trial = record.ask()
        proposal = propose(trial)
        note_proposal(trial, proposal)

        def after_epoch(fit: Fit, said: Mapping[str, float], number: int = trial.number, ended: int = done) -> None:
            logs.add(number, fit.epoch, "fit", said)
            on_epoch()
            if leave(ended, fit.epoch / fit.epochs):
                raise HandOverError

        trainable = find_trainable(proposal.trainable)
        config = trainable.configuration(proposal.config)
        try:
            with one_thread():  # as on Ray
                outcome = run_trial(trainable, config, data, folder, trial.number, on_epoch=after_epoch)
        except HandOverError:
            logs.close(trial.number)
            _give_back(record, trial)
            return done
        epochs = getattr(config, "epochs", 1)
        logs.add(trial.number, epochs, "validated", outcome.metrics)
        logs.close(trial.number)
        failure = note_end(trial, study, outcome.metrics, outcome.seconds, outcome.failure)
        if failure is None:
            record.tell(trial, [outcome.metrics[name] for name in study.objectives])
        else:
            record.tell(trial, state=TrialState.FAIL)
        on_end(TrialEnd(trial.number, outcome.metrics, failure))
    return trials


def _give_back(record: optuna.Study, trial: Trial) -> None:
    """Ends a trial as interrupted and has its parameters proposed again."""
    trial.set_user_attr(FAILURE, INTERRUPTED)
    record.tell(trial, state=TrialState.FAIL)
    record.enqueue_trial(trial.params)
