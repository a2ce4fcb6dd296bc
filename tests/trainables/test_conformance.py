"""What every trainable promises: one suite for each entry of the registry, over networks of many kinds."""

import dataclasses
import functools
import json

import numpy as np
import pytest
import torch
from architectures import random_weights, small_net

from trainables.metrics import is_given
from trainables.registry import TRAINABLES, find_trainable
from trainables.trainable import Artifact, Fit, FitData, run
from zoo.architecture import Architecture, cnn, mlp
from zoo.config import from_json, to_json
from zoo.data.examples import Dataset, Examples
from zoo.data.task import Task
from zoo.population import Member, Population

# Settings that keep a fit of a few networks short.
SHORT = {"latent": 4, "encoder_width": 8, "decoder_width": 8, "epochs": 3, "batch_size": 8, "refine_steps": 3}
SHORT |= {
    "passes": 1,
    "graph_passes": 1,
    "width": 8,
    "heads": 2,
    "feedforward": 8,
    "projection": 8,
    "projection_output": 4,
    "projection_layers": 1,
}
SHORT |= {"integration_steps": 2, "repeats": 1, "z": 4, "steps": 3, "adapt_steps": 3}
SHORT |= {"set_size": 6, "queries": 5, "horizon": 4, "unroll": 2, "task_batch": 2, "batch_sizes": (2,)}
GENERAL = {"view": "standardized"}
MEMBERS = 24
KINDS = {
    "mlp": [mlp((1, 4, 4), (6,), 3)],
    "cnn": [cnn((1, 6, 6), (3, 4), 3)],
    "batch norm": [dataclasses.replace(small_net(), input_shape=(1, 8, 8))],
    "bias-free": [mlp((1, 4, 4), (5,), 3, activation="tanh", bias=False)],
    "mixed activations": [mlp((1, 4, 4), (6,), 3, activation=name) for name in ("relu", "tanh", "gelu")],
    "regression": [mlp((1, 4, 4), (6,), 2, activation="tanh")],
    "several labels": [mlp((1, 4, 4), (6,), 2)],
    "class tasks": [mlp((1, 4, 4), (6,), 2)],
}
CODECS = [name for name, trainable in TRAINABLES.items() if trainable.kind in ("codec", "autoencoder")]


@functools.cache
def examples(kind: str) -> Dataset:
    """Random pixels with random targets of the kind's task."""
    architecture = KINDS[kind][0]
    generator = torch.Generator().manual_seed(0)
    values = torch.randint(256, (60, *architecture.input_shape), generator=generator).to(torch.uint8)
    task = Task(loss="softmax", outputs=4 if kind == "class tasks" else architecture.classes)
    targets = torch.arange(60) % task.outputs
    if kind == "regression":
        task = Task(loss="squared", outputs=architecture.classes)
        targets = torch.randn(60, task.outputs, generator=generator)
    if kind == "several labels":
        task = Task(loss="sigmoid", outputs=architecture.classes)
        targets = torch.randint(2, (60, task.outputs), generator=generator).float()
    parts = (Examples(values[part::3], targets[part::3], 1 / 255) for part in range(3))
    return Dataset(kind, task, *parts)


def networks(architectures: list[Architecture], kind: str, members: int, seed: int) -> Population:
    """Random networks around a common mean, as trained ones are."""
    first = architectures[0]
    weights_MP = random_weights(first, 1, seed=99) + 0.3 * random_weights(first, members, seed=seed)
    tasks = ("1-3", "2-0") if kind == "class tasks" else ("",)
    return Population(
        weights_MP=weights_MP,
        architectures=tuple(architectures),
        architecture_M=torch.arange(members) % len(architectures),
        members=tuple(Member(id=i, seed=i, task=tasks[i % len(tasks)]) for i in range(members)),
        epochs=(1,) * members,
        columns={"test_accuracy": weights_MP.std(1).numpy()},  # what predictors predict
    )


@functools.cache
def fit_data(kind: str) -> FitData:
    training, validation = (networks(KINDS[kind], kind, count, seed) for count, seed in ((MEMBERS, 1), (7, 2)))
    return FitData(training=(training,), validation=(validation,), dataset=examples(kind))


def configuration(name: str, kind: str, **changes):
    trainable = find_trainable(name)
    values = {**SHORT, **(GENERAL if kind != "mlp" else {}), **changes}
    return trainable.configuration({field: value for field, value in values.items() if field in trainable.fields})


def begin(name: str, kind: str, **changes) -> Fit:
    """A fit of networks of a kind; the test is skipped where the trainable says that it does not know them."""
    trainable, data = find_trainable(name), fit_data(kind)
    config = configuration(name, kind, **changes)
    try:
        trainable.known_before(config, data.training[0].architectures)
        trainable.check_tasks(member.task for member in data.training[0].members)
        trainable.check_targets(data.dataset.task)
    except ValueError as error:
        pytest.skip(str(error))
    return trainable.fit(config, data)


@functools.cache
def fitted(name: str, kind: str) -> Fit:
    return run(begin(name, kind))


CASES = pytest.mark.parametrize(("name", "kind"), [(name, kind) for name in TRAINABLES for kind in KINDS])
CODEC_CASES = pytest.mark.parametrize(("name", "kind"), [(name, kind) for name in CODECS for kind in KINDS])


@CASES
def test_a_fit_changes_nothing_of_what_it_sees(name, kind):
    fitted(name, kind).validate()
    seen, fresh = fit_data(kind), fit_data.__wrapped__(kind)
    for population, untouched in ((seen.training[0], fresh.training[0]), (seen.validation[0], fresh.validation[0])):
        assert torch.equal(population.weights_MP, untouched.weights_MP)
    for split in ("train", "validation"):
        part, untouched = getattr(seen.dataset, split), getattr(examples.__wrapped__(kind), split)
        assert torch.equal(part.values, untouched.values)
        assert torch.equal(part.targets, untouched.targets)


@pytest.mark.parametrize("name", TRAINABLES)
def test_an_entry_is_named_like_its_key_and_its_configuration_is_plain(name):
    trainable = TRAINABLES[name]
    assert trainable.name == name
    assert trainable.description.endswith(".")
    config = trainable.config()
    assert from_json(trainable.config, json.loads(json.dumps(to_json(config)))) == config
    assert len({metric.name for metric in trainable.metrics}) == len(trainable.metrics)
    for setting in trainable.curve:
        trainable.configuration(setting)
    for values in trainable.presets.values():
        assert to_json(trainable.configuration(values)) != to_json(config), "a preset changes something"
    with pytest.raises(ValueError, match="its fields are"):
        trainable.configuration({"color": "red"})


@CASES
def test_gives_the_metrics_that_it_declares(name, kind):
    fit = fitted(name, kind)
    assert isinstance(fit, Fit)
    assert fit.epoch == fit.epochs
    metrics = fit.validate()
    softmax = fit_data(kind).dataset.task.loss == "softmax"
    declared = {metric.name for metric in TRAINABLES[name].metrics if is_given(metric.name, softmax=softmax)}
    if TRAINABLES[name].kind in ("predictor", "encoder"):  # of numbers or of categories, or of both
        assert set(metrics) <= declared
    else:
        assert set(metrics) == declared
    assert np.isfinite(list(metrics.values())).all()


@CASES
def test_goes_on_from_its_state_bit_for_bit(name, kind):
    whole, first, second = (begin(name, kind) for _ in range(3))
    run(whole)
    for _ in range(whole.epochs // 2):
        first.train_epoch()
    state = {file: bytes(content) for file, content in first.state().items()}
    assert not any(content.startswith((b"\x80", b"PK")) for content in state.values()), "no pickles"
    second.load_state(state)
    assert second.epoch == first.epoch
    run(second)
    assert second.artifact().to_files() == whole.artifact().to_files()
    assert second.validate() == whole.validate()


@CASES
def test_the_artifact_comes_back_from_its_files(name, kind):
    artifact = fitted(name, kind).artifact()
    assert isinstance(artifact, Artifact)
    files = artifact.to_files()
    assert TRAINABLES[name].from_files(files).to_files() == files


@CODEC_CASES
def test_a_codec_codes_networks_that_it_has_not_seen(name, kind):
    codec, population = fitted(name, kind).artifact(), fit_data(kind).validation[0]
    payload = codec.compress(population)
    decoded_MP = codec.decompress(payload)
    assert decoded_MP.shape == population.weights_MP.shape
    assert decoded_MP.dtype == torch.float32
    assert torch.isfinite(decoded_MP).all()
    again = TRAINABLES[name].from_files(codec.to_files())
    assert again.compress(population) == payload
    assert torch.equal(again.decompress(payload), decoded_MP)
    assert again.shared_bytes == codec.shared_bytes


@CODEC_CASES
def test_shared_bytes_that_are_told_before_are_true(name, kind):
    fit = fitted(name, kind)
    known = TRAINABLES[name].known_before(configuration(name, kind), fit_data(kind).training[0].architectures)
    if known:
        assert abs(known["shared_bytes"] - fit.artifact().shared_bytes) < 1000


@pytest.mark.parametrize("name", CODECS)
def test_a_codec_refuses_what_it_cannot_code(name):
    codec, population = fitted(name, "mlp").artifact(), fit_data("mlp").validation[0]
    with pytest.raises(ValueError, match="empty"):
        codec.compress(population.select([]))
    with pytest.raises(ValueError, match="finite"):
        codec.compress(population.with_weights(population.weights_MP / 0))
    with pytest.raises(ValueError, match="layout"):
        codec.compress(networks([mlp((1, 4, 4), (9,), 3)], "mlp", 2, 0))


@pytest.mark.parametrize("name", CODECS)
def test_a_zoo_of_several_layouts_is_taken_or_refused_before(name):
    parts = [fit_data("mlp"), fit_data("bias-free")]
    training, validation = (tuple(getattr(part, split)[0] for part in parts) for split in ("training", "validation"))
    data = FitData(training=training, validation=validation, dataset=parts[0].dataset)
    trainable, config = TRAINABLES[name], configuration(name, "mixed")
    architectures = [architecture for population in training for architecture in population.architectures]
    if trainable.kind == "autoencoder":
        with pytest.raises(ValueError, match=r"2 .*--set layout=0 to 1"):
            trainable.known_before(config, architectures)
        return
    trainable.known_before(config, architectures)
    fit = run(trainable.fit(config, data))
    assert np.isfinite(list(fit.validate().values())).all()
    codec = trainable.from_files(fit.artifact().to_files())
    for population in validation:
        assert codec.decompress(codec.compress(population)).shape == population.weights_MP.shape
    with pytest.raises(ValueError, match="layout"):
        codec.compress(networks([mlp((1, 4, 4), (9,), 3)], "mlp", 2, 0))


def test_another_configurations_state_is_refused():
    for name, change in (("uniform", {"step": 0.5}), ("neuron-autoencoder", {"latent": 3})):
        with pytest.raises(ValueError, match="same configuration"):
            begin(name, "mlp", **change).load_state(run(begin(name, "mlp")).state())


def test_trainables_of_ones_own_keep_the_name_by_which_they_are_found():
    assert find_trainable("example_trainables:SHIFTED").name == "example_trainables:SHIFTED"
    with pytest.raises(ValueError, match=r"unknown trainable 'unifrom'; did you mean 'uniform'\? known: .*uniform"):
        find_trainable("unifrom")
    with pytest.raises(ValueError, match=r"is a function; it must be a trainables\.trainable\.Trainable"):
        find_trainable("zoo.config:digest")
