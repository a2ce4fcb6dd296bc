import dataclasses
import subprocess
import sys

import optuna
import pytest

from search_spaces.spaces import SPACES, find_space
from search_spaces.studies import SHARED_BYTES, STUDIES, Study, find_study
from trainables.autoencoders.config import AutoencoderConfig
from zoo.config import from_json, to_json

DIGITS = ((16, 65), (10, 17))


def ask(study: Study, layers=DIGITS, count=1):
    """Configurations and trials that a new Optuna study proposes, told some objective."""
    search = optuna.create_study(
        directions=["minimize" if mode == "min" else "maximize" for mode in study.modes],
        sampler=optuna.samplers.TPESampler(seed=0, n_startup_trials=10),
    )
    space = study.bound_space(layers)
    configurations = []
    for _ in range(count):
        trial = search.ask()
        configurations.append(space(trial))
        search.tell(trial, [1.0, 0.5])
    return configurations, search


@pytest.fixture(autouse=True)
def quiet():
    optuna.logging.set_verbosity(optuna.logging.ERROR)


@pytest.mark.parametrize("name", SPACES)
def test_a_space_returns_every_field_under_its_name(name):
    study = Study(name="s", space=name)
    configurations, search = ask(study, count=20)
    fields = {field.name for field in dataclasses.fields(AutoencoderConfig)}
    for configuration, trial in zip(configurations, search.trials, strict=True):
        assert set(configuration) == fields
        assert to_json(from_json(AutoencoderConfig, configuration)) == configuration
        assert trial.params.items() <= configuration.items()


@pytest.mark.parametrize("name", SPACES)
def test_a_space_can_be_tested_with_a_fixed_trial(name):
    configurations, search = ask(Study(name="s", space=name))
    fixed = optuna.trial.FixedTrial(search.trials[0].params)
    assert find_space(name)(fixed, {"epochs": 10}) == configurations[0]


@pytest.mark.parametrize("study", STUDIES.values(), ids=STUDIES)
def test_named_studies_propose_trials_within_the_limit(study):
    configurations, search = ask(study, count=12)
    assert all(configuration["epochs"] == study.epochs for configuration in configurations)
    feasible = [trial.constraints[SHARED_BYTES] <= 0 for trial in search.trials]
    assert sum(feasible) >= 3


def test_the_constraint_is_the_size_of_the_decoder_over_the_limit():
    study = Study(name="s", space="neuron-autoencoder", shared_bytes_limit=30_000)
    configurations, search = ask(study, count=30)
    over = [from_json(AutoencoderConfig, c).shared_bytes(DIGITS) - 30_000 for c in configurations]
    assert [trial.constraints[SHARED_BYTES] for trial in search.trials] == over
    assert min(over) < 0 < max(over)
    # Optuna keeps what is over the limit off the front.
    assert {trial.number for trial in search.best_trials} <= {i for i, value in enumerate(over) if value <= 0}


def test_settings_win_over_the_space():
    study = Study(name="s", space="any-autoencoder", settings={"bottleneck": "gaussian", "seed": 7})
    configurations, _ = ask(study, count=10)
    assert {(c["bottleneck"], c["seed"]) for c in configurations} == {("gaussian", 7)}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"modes": ("min",)}, r"Study\.modes is"),
        ({"modes": ("min", "up")}, r"Study\.modes is"),
        ({"metrics": ("agreement", "acuracy")}, r"Study\.metrics is .*'acuracy'.*allowed: one or more of agreement, "),
        ({"metrics": ("kl", "kl")}, r"Study\.metrics is .*each once"),
        ({"metrics": (), "modes": ()}, r"Study\.metrics is"),
        ({"space": "neuron"}, "unknown search space 'neuron'; known: .*neuron-autoencoder"),
        ({"trials": 0}, r"Study\.trials is 0; allowed: 1 or more"),
        ({"settings": {"latnet": 3}}, "has no field latnet"),
        ({"settings": {"latent": 0}}, r"AutoencoderConfig\.latent is 0"),
    ],
)
def test_a_bad_study_is_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        Study(**{"name": "s", "space": "neuron-autoencoder"} | changes)


def test_unknown_names_list_the_known_ones():
    with pytest.raises(ValueError, match=r"unknown study 'nothing'; known: .*digits-autoencoder"):
        find_study("nothing")
    with pytest.raises(ValueError, match=r"unknown search space 'nothing'; known: .*neuron-autoencoder"):
        find_space("nothing")
    with pytest.raises(ValueError, match=r"must be a search_spaces\.studies\.Study"):
        find_study("zoo.recipes:RECIPES")


def test_studies_are_plain_json_and_their_own_by_module():
    study = find_study("search_spaces.studies:DIGITS_AUTOENCODER")
    assert from_json(Study, to_json(study)) == study


def test_spaces_load_without_torch_and_ray():
    code = "import sys, search_spaces.studies; sys.exit(bool({'torch', 'ray', 'optuna'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
