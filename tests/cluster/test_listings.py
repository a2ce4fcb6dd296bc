"""What there is by name: listed, completed by the shell, suggested where a name is nearly right."""

import json
import os
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest

from analysis.evaluators.registry import EVALUATORS
from cluster import options
from cluster.cli import run
from search_spaces.studies import STUDIES
from trainables.registry import TRAINABLES
from zoo.recipes import RECIPES


def entries(capsys, *arguments):
    assert run([*arguments, "--json"]) == 0
    return json.loads(capsys.readouterr().out)["entries"]


@pytest.mark.parametrize(
    ("verb", "registry"),
    [("recipes", RECIPES), ("studies", STUDIES), ("trainables", TRAINABLES), ("evaluators", EVALUATORS)],
)
def test_everything_is_listed_with_a_sentence(verb, registry, capsys):
    found = entries(capsys, verb)
    assert [next(iter(entry.values())) for entry in found] == list(registry)
    assert [entry for entry in found if not entry["description"].endswith(".")] == []
    assert run([verb]) == 0
    head, *lines = capsys.readouterr().out.splitlines()
    assert head.split()[0] == verb.removesuffix("s").replace("studie", "study")
    assert [line.split()[0] for line in lines] == list(registry)


def test_recipes_tell_cost_and_expectation(capsys):
    diverse = next(entry for entry in entries(capsys, "recipes") if entry["recipe"] == "digits-mlp-diverse")
    assert diverse["members"] == RECIPES["digits-mlp-diverse"].members
    assert 0 < diverse["core_minutes"] < 1
    assert "Expected: test accuracy" in diverse["description"]


def test_trainables_of_one_kind(capsys):
    kinds = {entry["kind"] for entry in entries(capsys, "trainables", "--kind", "codec")}
    assert kinds == {"codec"}
    assert run(["trainables", "--kind", "codecs"]) == 2
    assert "did you mean 'codec'? allowed: codec, autoencoder, encoder, predictor" in capsys.readouterr().err


def test_of_one_trainable_fields_and_presets_are_shown(capsys):
    assert run(["trainables", "hyper-representation"]) == 0
    out = capsys.readouterr().out
    assert "tetris-seed: schedule=plateau width=256" in out
    assert "Passes over the training snapshots." in out
    assert run(["trainables", "neuron-autoencoder", "--json"]) == 0
    fields = {entry["field"]: entry for entry in json.loads(capsys.readouterr().out)["fields"]}
    assert fields["latent"]["default"] == 40
    assert all(entry["description"] for entry in fields.values()), "inherited fields are described too"
    assert run(["trainables", "hyper-representations"]) == 2
    assert "did you mean 'hyper-representation'" in capsys.readouterr().err


def test_version_is_that_of_the_distribution(capsys):
    assert run(["--version"]) == 0
    assert capsys.readouterr().out.startswith(f"zooscale {metadata.version('zooscale')} (Python {sys.version[:4]}")


def complete(folder, *words):
    """What bash would offer for the last of some words."""
    asked = {"_ZOOSCALE_COMPLETE": "complete_bash", "COMP_WORDS": " ".join(words), "COMP_CWORD": str(len(words) - 1)}
    script = Path(sys.executable).with_name("zooscale")
    done = subprocess.run([script], env={**os.environ, **asked}, capture_output=True, text=True, cwd=folder)
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


def test_the_shell_completes_verbs_options_and_names(tmp_path):
    (tmp_path / "store" / "zoos" / "mine-12345678").mkdir(parents=True)
    assert complete(tmp_path, "zooscale", "gener") == ["generate"]
    assert complete(tmp_path, "zooscale", "generate", "x", "--mem") == ["--members"]
    assert complete(tmp_path, "zooscale", "search", "digits-p") == ["digits-predictor"]
    assert complete(tmp_path, "zooscale", "card", "mi") == ["mine-12345678"]


def test_names_are_completed_without_torch():
    code = (
        "import sys; from cluster import options; print([*options.study_names(), *options.trainable_names()], "
        "options.recipe_names() and 'torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.endswith(" False\n")
    assert options.recipe_names() == sorted(RECIPES)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["generat"], "Did you mean 'generate'? See: zooscale --help"),
        (["generate"], "Missing argument 'recipe'. See: zooscale generate --help"),
        (["generate", "digits-mlp-divers"], "did you mean 'digits-mlp-diverse'? `zooscale recipes` lists all"),
        (["generate", "digits-tasks", "--member", "3"], "--members"),
    ],
)
def test_what_was_nearly_right_is_named(arguments, words, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert run(arguments) == 2
    assert words in capsys.readouterr().err
