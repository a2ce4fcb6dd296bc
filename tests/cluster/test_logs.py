"""What TensorBoard finds of a search: every metric, and the table of hyper-parameters with every trial."""

import contextlib
import dataclasses

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.hparams.metadata import SESSION_START_INFO_TAG
from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData

from cluster.distributed import making
from cluster.distributed.search import search, search_folder
from cluster.studies import plan_study
from search_spaces.studies import DIGITS_AUTOENCODER, FUNCTION_METRIC_CONSTANTS
from trainables.metrics import FIDELITY_OF_CLASSES, RATE, WEIGHT_MSE

VALIDATED = {f"validated/{metric.name}" for metric in (*RATE, *FIDELITY_OF_CLASSES, WEIGHT_MSE)}


@pytest.fixture(autouse=True)
def no_ray(monkeypatch):
    monkeypatch.setattr(making, "ray_start_s", lambda: 1e6)


def logs(zoo, study, settings, **named):
    """For each trial of a search its scalars by name, and its row in the table of hyper-parameters."""
    plan = plan_study(study, zoo.uri, zoo.store.uri, named, settings)
    with contextlib.suppress(RuntimeError):  # all trials failed
        search(plan)
    found = []
    for folder in sorted(search_folder(plan).tensorboard.iterdir()):
        events = EventAccumulator(str(folder))
        events.Reload()
        scalars = {name: events.Scalars(name) for name in events.Tags()["scalars"]}
        data = HParamsPluginData.FromString(events.SummaryMetadata(SESSION_START_INFO_TAG).plugin_data.content)
        found.append((scalars, data.session_start_info.hparams))
    return found


def test_every_metric_and_every_setting_is_there(zoo_copy):
    small = ["latent=16", "encoder_width=8", "decoder_width=8"]
    ((scalars, parameters),) = logs(zoo_copy, DIGITS_AUTOENCODER, small, trials=1, epochs=2)
    assert set(scalars) >= VALIDATED | {"fit/loss"}
    assert [event.step for event in scalars["fit/loss"]] == [1, 2]
    assert [event.step for event in scalars["validated/agreement"]] == [2]
    assert parameters["state"].string_value == "complete"
    assert parameters["trainable"].string_value == "neuron-autoencoder"
    assert parameters["latent"].number_value == 16
    assert parameters["bottleneck"].string_value in ("quantized", "gaussian")


def test_trials_that_leave_a_limit_or_fail_are_in_the_table_too(zoo_copy):
    found = logs(zoo_copy, FUNCTION_METRIC_CONSTANTS, ["limits.agreement=1.5"], trials=2)
    assert [parameters["state"].string_value for _, parameters in found] == ["infeasible"] * 2
    assert all(set(scalars) >= VALIDATED for scalars, _ in found)
    diverging = dataclasses.replace(DIGITS_AUTOENCODER, settings={"learning_rate": 1e30, "latent": 16})
    ((_, parameters),) = logs(zoo_copy, diverging, [], trials=1, epochs=1)
    assert parameters["state"].string_value == "failed"
    assert parameters["learning_rate"].number_value == 1e30
