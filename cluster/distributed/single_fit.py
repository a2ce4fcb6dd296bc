"""One fit without a search: in this process, or where Ray is asked for in a worker."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cluster.display import live, say
from cluster.distributed.logs import LiveFolder, TrialLogs
from cluster.distributed.runtime import quieten, ray_is_asked_for, runtime
from cluster.studies import StudyPlan
from trainables.trainable import Fit, Trainable
from trainables.trials import Outcome, run_trial
from zoo.config import to_json
from zoo.threads import one_thread


def fit_alone(plan: StudyPlan, trainable: Trainable, config: Mapping[str, Any], *, workers: int | None = None) -> None:
    """Fits, validates and stores it, as trial 0 of a study.

    Raises:
        ClusterError: There is no cluster to run on.
        RuntimeError: The fit failed; the message says why.
    """
    folder = LiveFolder(plan.folder.store, plan.folder.name)
    say(f"fit {trainable.name} on {plan.zoo.name}")
    if ray_is_asked_for(workers):
        outcome = _on_ray(plan, trainable, config, workers)
    else:
        outcome = _here(plan, trainable, config, folder)
        folder.save_logs()
    if outcome.failure is not None:
        raise RuntimeError(f"the fit of {trainable.name} failed: {outcome.failure}")
    row = {
        "trial": 0,
        "state": "COMPLETE",
        "trainable": plan.study.trainables[0],
        **config,
        **outcome.metrics,
        "seconds": outcome.seconds,
        "failure": None,
    }
    folder.export(to_json(plan.study), plan.study.directions, plan.zoo, [row], seed=plan.seed)


def _here(plan: StudyPlan, trainable: Trainable, config: Mapping[str, Any], folder: LiveFolder) -> Outcome:
    configuration, logs = trainable.configuration(config), TrialLogs(folder.tensorboard)
    with live("fit", getattr(configuration, "epochs", 1), "epochs") as task, one_thread():

        def after_epoch(fit: Fit, said: Mapping[str, float]) -> None:
            logs.add(0, fit.epoch, "fit", said)
            task.update(fit.epoch, " · ".join(f"{name} {value:.3g}" for name, value in list(said.items())[:3]))

        outcome = run_trial(trainable, configuration, plan.data(), plan.folder, 0, on_epoch=after_epoch)
    logs.add(0, getattr(configuration, "epochs", 1), "validated", outcome.metrics)
    logs.close(0)
    return outcome


def _on_ray(plan: StudyPlan, trainable: Trainable, config: Mapping[str, Any], workers: int | None) -> Outcome:
    quieten()
    with runtime(plan.folder.store, workers=workers):
        import ray

        task = ray.remote(num_cpus=1)(run_trial)
        outcome: Outcome = ray.get(task.remote(trainable, trainable.configuration(config), plan.data(), plan.folder, 0))
    return outcome
