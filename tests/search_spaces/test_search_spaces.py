import dataclasses
import subprocess
import sys

import optuna
import pytest

from search_spaces.spaces import SPACES, find_space
from search_spaces.studies import DIGITS_AUTOENCODER, STUDIES, find_study
from search_spaces.study import TRAINABLE, Study
from trainables.registry import TRAINABLES, find_trainable
from zoo.architecture import cnn_2464, mlp
from zoo.config import from_json, to_json

DIGITS = (mlp((1, 8, 8), (16,), 10),)
SPACE_OF = {
    "neuron-autoencoder": "neuron-autoencoder",
    "channel-autoencoder": "neuron-autoencoder",
    "network-autoencoder": "network-autoencoder",
    "transformer-autoencoder": "transformer-autoencoder",
    "function-metric": "function-metric",
    "statistics-ridge": "statistics-ridge",
    "statistics-boosting": "statistics-boosting",
    "weights": "weights",
    "weight-statistics": "weight-statistics",
    "hyper-representation": "hyper-representation",
    "neural-graph": "neural-graph",
    "probing": "probing",
    "sane": "sane",
    "sne": "sne",
    "weights-and-behavior": "weights-and-behavior",
    "supernet": "supernet",
    "dataset-hypernetwork": "dataset-hypernetwork",
    "component-density": "component-density",
    "latent-density": "latent-density",
    "flow": "flow",
    "learned-gradient": "learned-gradient",
}
OBJECTIVES = {
    "codec": ("code_bits_per_weight", "agreement"),
    "autoencoder": ("code_bits_per_weight", "agreement"),
    "predictor": ("r2", "kendall_tau"),
    "encoder": ("probe_score",),
    "hypernetwork": ("adapted_accuracy",),
    "dataset-hypernetwork": ("unseen_accuracy",),
    "generator": ("generated_accuracy", "novelty"),
    "aggregator": ("aggregated_accuracy",),
}


def study_of(name):
    """A study of one space, with the objectives of its kind."""
    objectives = OBJECTIVES.get(name) or OBJECTIVES[find_trainable(SPACE_OF[name]).kind]
    return Study(name="s", trainables=(SPACE_OF[name],), spaces=(name,), objectives=objectives)


def ask(study: Study, architectures=DIGITS, count=1):
    """Proposals and trials of a new Optuna study, told some objective."""
    search = optuna.create_study(
        directions=["minimize" if direction == "min" else "maximize" for direction in study.directions],
        sampler=optuna.samplers.TPESampler(seed=0, n_startup_trials=10),
    )
    space = study.bound_space(architectures)
    proposals = []
    for _ in range(count):
        trial = search.ask()
        proposals.append(space(trial))
        search.tell(trial, [1.0, 0.5][: len(study.objectives)])
    return proposals, search


@pytest.fixture(autouse=True)
def quiet():
    optuna.logging.set_verbosity(optuna.logging.ERROR)


@pytest.mark.parametrize("name", SPACES)
def test_a_space_suggests_fields_under_their_names(name):
    study = study_of(name)
    proposals, search = ask(study, count=20)
    trainable = find_trainable(SPACE_OF[name])
    for proposal, trial in zip(proposals, search.trials, strict=True):
        assert proposal.trainable == trainable.name
        assert set(proposal.config) == set(trainable.fields)
        assert to_json(trainable.configuration(proposal.config)) == proposal.config
        assert trial.params
        assert trial.params.items() <= proposal.config.items()


@pytest.mark.parametrize("name", SPACES)
def test_a_space_can_be_tested_with_a_fixed_trial(name):
    study = study_of(name)
    (proposal,), search = ask(study)
    suggested = find_space(name)(optuna.trial.FixedTrial(search.trials[0].params), {})
    assert suggested.items() <= proposal.config.items()


def test_a_preset_stands_below_epochs_space_and_settings():
    def space(trial, settings):
        return {"width": trial.suggest_categorical("width", [32])}

    study = Study(
        name="s", trainables=("hyper-representation",), preset="tetris-seed", objectives=("probe_score",),
        epochs=7, settings={"latent": 9},
    )  # fmt: skip
    trainable = find_trainable("hyper-representation")
    config = study.configuration(trainable, space(optuna.trial.FixedTrial({"width": 32}), {}))
    assert (config["width"], config["epochs"], config["latent"]) == (32, 7, 9)
    assert (config["feedforward"], config["schedule"]) == (512, "plateau")
    assert study.configuration(find_trainable("weights"), {}) == {"aligned": False}, "others have no such preset"
    with pytest.raises(ValueError, match=r"Study\.preset is 'tetris'; allowed: small, tetris-seed, tetris-hyp"):
        dataclasses.replace(study, preset="tetris")


def test_no_study_is_called_like_a_trainable():
    """Neither `search` nor `fit` could tell which is meant."""
    assert not set(STUDIES) & set(TRAINABLES)


@pytest.mark.parametrize("study", STUDIES.values(), ids=STUDIES)
def test_named_studies_propose_trials_within_their_limits(study):
    architectures = (cnn_2464((1, 28, 28), (), 10),) if "cnn" in study.name else DIGITS
    proposals, search = ask(study, architectures, count=12)
    assert all(study.epochs in (None, proposal.config.get("epochs", study.epochs)) for proposal in proposals)
    feasible = [all(excess <= 0 for excess in trial.constraints.values()) for trial in search.trials]
    assert sum(feasible) >= 3
    assert study.name == next(name for name, other in STUDIES.items() if other is study)
    assert study.description.endswith(".")
    assert study.kind == find_trainable(study.trainables[0]).kind


def test_what_is_said_of_a_study_does_not_make_it_another():
    said = dataclasses.replace(DIGITS_AUTOENCODER, description="Another sentence.", cost="a week", trials=99)
    assert said.identity == DIGITS_AUTOENCODER.identity
    assert dataclasses.replace(DIGITS_AUTOENCODER, epochs=99).identity != DIGITS_AUTOENCODER.identity


def test_limits_that_are_known_before_are_told_to_optuna():
    study = dataclasses.replace(DIGITS_AUTOENCODER, limits={"shared_bytes": 30_000})
    proposals, search = ask(study, count=30)
    family = find_trainable("neuron-autoencoder")
    over = [
        family.known_before(family.configuration(proposal.config), DIGITS)["shared_bytes"] - 30_000
        for proposal in proposals
    ]
    assert [trial.constraints["shared_bytes"] for trial in search.trials] == over
    assert min(over) < 0 < max(over)
    # Optuna keeps what is over the limit off the front.
    assert {trial.number for trial in search.best_trials} <= {i for i, value in enumerate(over) if value <= 0}


def test_limits_of_what_is_to_be_large_are_lower_ones():
    study = dataclasses.replace(DIGITS_AUTOENCODER, limits={"agreement": 0.9, "kl": 0.5})
    trainable = find_trainable("neuron-autoencoder")
    found = study.excesses(trainable, {"agreement": 0.95, "kl": 0.75, "shared_bytes": 1.0})
    assert found == {"agreement": pytest.approx(-0.05), "kl": 0.25}


def test_of_several_trainables_each_has_parameters_of_its_own():
    study = STUDIES["autoencoder-families"]
    proposals, search = ask(study, count=20)
    assert {proposal.trainable for proposal in proposals} == set(study.trainables)
    for proposal, trial in zip(proposals, search.trials, strict=True):
        own = {name.partition(".")[0] for name in trial.params if name != TRAINABLE}
        assert own == {proposal.trainable}
        prefix = proposal.trainable + "."
        params = {name.removeprefix(prefix): value for name, value in trial.params.items() if name != TRAINABLE}
        assert params.items() <= proposal.config.items()


def test_settings_win_over_the_space():
    study = dataclasses.replace(DIGITS_AUTOENCODER, settings={"bottleneck": "gaussian", "seed": 7})
    proposals, _ = ask(study, count=10)
    assert {(p.config["bottleneck"], p.config["seed"]) for p in proposals} == {("gaussian", 7)}


def test_a_study_without_a_space_is_a_single_fit():
    study = Study(name="s", trainables=("uniform",), settings={"step": 0.7}, trials=9)
    assert study.wanted_trials == 1
    (proposal,), search = ask(study)
    assert (proposal.trainable, dict(proposal.config)) == ("uniform", {"step": 0.7})
    assert not search.trials[0].params


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"trainables": ()}, r"Study\.trainables is"),
        ({"trainables": ("neuron-autoencoder", "uniform"), "spaces": ()}, "of one kind, not of autoencoder and codec"),
        ({"trainables": ("neuron",)}, "unknown trainable 'neuron'; known: .*neuron-autoencoder"),
        ({"spaces": ("neuron-autoencoder",) * 2}, r"Study\.spaces is .*one for each"),
        ({"spaces": ("neuron",)}, "unknown search space 'neuron'; known: .*neuron-autoencoder"),
        ({"objectives": ("agreement", "acuracy")}, r"Study\.objectives is .*'acuracy'.*allowed: one or more of code_"),
        ({"objectives": ("kl", "kl")}, r"Study\.objectives is .*each once"),
        ({"objectives": ()}, r"Study\.objectives is"),
        ({"limits": {"size": 3}}, r"Study\.limits is .*numbers for some of .*shared_bytes"),
        ({"trials": 0}, r"Study\.trials is 0; allowed: 1 or more"),
        ({"settings": {"latnet": 3}}, r"Study\.settings is .*latnet.* allowed: values for some of .*latent"),
        ({"settings": {"latent": 0}}, r"NeuronAutoencoderConfig\.latent is 0"),
    ],
)
def test_a_bad_study_is_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(DIGITS_AUTOENCODER, **changes)


def test_unknown_names_list_the_known_ones():
    with pytest.raises(ValueError, match=r"unknown study 'nothing'; known: .*digits-autoencoder"):
        find_study("nothing")
    with pytest.raises(ValueError, match=r"unknown search space 'nothing'; known: .*neuron-autoencoder"):
        find_space("nothing")
    with pytest.raises(ValueError, match=r"must be a search_spaces\.study\.Study"):
        find_study("zoo.recipes:RECIPES")
    with pytest.raises(ValueError, match="'uniform' is a trainable; fit it with `zooscale fit uniform`"):
        find_study("uniform")


def test_studies_are_plain_json_and_their_own_by_module():
    study = find_study("search_spaces.studies:DIGITS_AUTOENCODER")
    assert from_json(Study, to_json(study)) == study


def test_spaces_load_without_torch_and_ray():
    code = "import sys, search_spaces.studies; sys.exit(bool({'torch', 'ray', 'optuna'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
