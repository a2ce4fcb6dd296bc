"""Every command that a document shows is one of today: verbs, options, names, fields of ``--set``; nothing is run."""

import argparse
import importlib.util
import re
import sys
from pathlib import Path

import pytest
from documented_commands import BASH, commands
from readme_blocks import modules

from analysis.compression.codecs import find_codec
from analysis.evaluators.inputs import ALLOWED, in_words
from analysis.evaluators.registry import chosen_evaluators
from cluster.cli import app, find_verbs
from cluster.studies import changed_study
from cluster.verbs.analyze import split_names
from cluster.verbs.fit import study_of_one
from cluster.verbs.generate import chosen_recipe
from search_spaces.studies import STUDIES, find_study
from trainables.registry import TRAINABLES, find_trainable
from zoo.config import lookup
from zoo.data import DATASETS
from zoo.recipes import RECIPES, find_recipe

ROOT = Path(__file__).resolve().parents[1]
DOCUMENTS = [ROOT / "README.md", ROOT / "benchmarks/README.md", *sorted(ROOT.glob("docs/**/*.md"))]
# Zoos that documents make otherwise: from Python, or from a folder.
OWN_ZOOS = {"nets", "own-start"}
# What a reader fills in, or what is said elsewhere.
LEFT_OPEN = re.compile(r"[A-Z]+|…")
# Of benchmarks that have --set, what they fit.
FITTED = {"supernet": "supernet", "sets": "dataset-hypernetwork"}


class Given(Exception):  # noqa: N818
    """What a command line asks for, in place of doing it."""


@pytest.fixture
def only_read(tmp_path, monkeypatch):
    """Verbs and benchmarks end where their options are read; modules of a reader's own can be imported."""

    def give(self):
        raise Given(self)

    for verb in find_verbs().values():
        for name in ("run", "plan"):
            if hasattr(verb, name):
                monkeypatch.setattr(verb, name, give)
    parse = argparse.ArgumentParser.parse_args

    def give_options(self):
        words = [word for word in sys.argv[1:] if word != "…"]
        for action in self._actions if len(words) < len(sys.argv[1:]) else ():
            action.required = False  # what is needed is said elsewhere
        give(parse(self, words))

    monkeypatch.setattr(argparse.ArgumentParser, "parse_args", give_options)
    for name, text in modules().items():
        (tmp_path / name).write_text(text)
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    monkeypatch.syspath_prepend(tmp_path)
    known = set(sys.modules)
    yield
    for name in set(sys.modules) - known:
        if Path(getattr(sys.modules[name], "__file__", None) or "/").parent in (tmp_path, ROOT / "benchmarks"):
            del sys.modules[name]


def check(words, monkeypatch):
    """Raises what is wrong with a command."""
    name, *rest = words
    if name == "make":
        targets = re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
        assert set(rest) <= set(targets)
    elif name == "python" and rest[0] != "-c":
        check_benchmark(Path(rest[0]), rest[1:], monkeypatch)
    elif name == "zooscale":
        check_verb(rest)
    elif name != "python":
        raise ValueError(f"{name!r} is no command that is known here")


def check_verb(words):
    if len(words) < 2:
        known = {"--version", "--install-completion", *find_verbs()}
        assert set(words) <= known, f"there is no verb {words[0]}"
        return
    given = asked(app, words, standalone_mode=False)
    verb, options = type(given).__name__.lower(), {name: getattr(given, name) for name in given.__slots__}
    for name in split_names(f"{options.get('zoo') or ''},{options.get('on') or ''}"):
        check_name(name, {*RECIPES, *OWN_ZOOS})
    if verb == "generate":
        named = {name: options.get(name) for name in ("members", "dataset", "epochs", "seed")}
        chosen_recipe(given.recipe, named, given.settings)
    elif verb in ("search", "fit"):
        study = find_study(given.study) if verb == "search" else study_of_one(given.trainable)
        named = {name: options.get(name) for name in ("trials", "epochs", "preset", "seed")}
        changed_study(study, named, given.settings)
    elif verb in ("analyze", "make"):
        own = {name.replace(".py", "") for name in modules()}
        for name in split_names(given.study or ""):
            first = name.partition("-")[0]
            check_name(first if first in own else name, {*STUDIES, *TRAINABLES, *own})
    elif verb == "trainables" and given.name:
        find_trainable(given.name)
    if verb == "analyze":
        chosen_evaluators(split_names(given.evaluators))
        for codec in split_names(given.codecs) or ():
            find_codec(codec)
        for inputs in split_names(given.inputs) or ():
            assert in_words(inputs)[0] != inputs or inputs in DATASETS, f"{inputs}; allowed: {ALLOWED}, data sets"
    for dataset in (options.get("dataset"), *options.get("datasets", ())):
        check_dataset(dataset)


def check_benchmark(script, words, monkeypatch):
    assert (ROOT / script).is_file(), f"there is no {script}"
    if not words:  # its name alone
        return
    specification = importlib.util.spec_from_file_location(f"benchmark_{script.stem}", ROOT / script)
    module = importlib.util.module_from_spec(specification)
    monkeypatch.setitem(sys.modules, module.__name__, module)
    specification.loader.exec_module(module)
    # Numbers that the reader is to fill in.
    monkeypatch.setattr(sys, "argv", [re.sub(r"^(STEP|N|PRICE)$", "1", word) for word in (script.name, *words)])
    given = asked(module.main)
    for dataset in (getattr(given, "dataset", None), *(getattr(given, "others", None) or ())):
        check_dataset(dataset)
    if hasattr(given, "recipe"):
        find_recipe(given.recipe)
    if hasattr(given, "zoo"):
        check_name(given.zoo, RECIPES)
    if script.stem in FITTED:
        check_fields(FITTED[script.stem], getattr(given, "preset", ""), given.settings)
    for fit in given.fits if script.stem == "generators" else ():
        name, preset, settings = [*fit.split("/"), "", ""][:3]
        check_fields(name, preset, settings.split(",") if settings else ())


def check_fields(name, preset, settings):
    trainable = find_trainable(name)
    assert preset in ("", *trainable.presets), f"{preset}; {name} has {', '.join(trainable.presets)}"
    unknown = {setting.partition("=")[0] for setting in settings} - set(trainable.fields)
    assert not unknown, f"{name} has no {', '.join(unknown)}"


def check_name(name, known):
    """That a zoo or a study is called after something that there is."""
    if LEFT_OPEN.fullmatch(name) or name in known:
        return
    without = re.sub(r"-[0-9a-f]{8}$", "", name)
    assert without in known, f"{name} is called after nothing that there is"


def check_dataset(name):
    if name and not name.startswith("mine:"):
        lookup(DATASETS, name, "data set")


def asked(call, *arguments, **options):
    """What a program would do; ``None`` where it has only printed something."""
    try:
        call(*arguments, **options)
    except Given as given:
        return given.args[0]
    return None


@pytest.mark.skipif(BASH is None, reason="commands are read by bash")
@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda document: str(document.relative_to(ROOT)))
def test_commands_are_those_of_today(document, only_read, monkeypatch):
    faults = []
    for words in commands(document):
        try:
            check(words, monkeypatch)
        except (Exception, SystemExit) as error:
            faults.append(f"{' '.join(words)}\n    {type(error).__name__}: {error}")
    assert not faults, "\n".join(faults)


@pytest.mark.parametrize(
    ("command", "error"),
    [
        ("zooscale generate digits-mlp-diverse --networks 3", "No such option"),
        ("zooscale analyse --zoo digits-mlp-diverse", "No such command"),
        ("zooscale generate digits-mlp-varied", "unknown recipe"),
        ("zooscale generate digits-mlp-diverse --set width=3", "no field 'width'"),
        ("zooscale generate digits-mlp-diverse --set hidden=wide", "whole number"),
        ("zooscale generate digits-mlp-diverse --dataset letters", "unknown data set"),
        ("zooscale search digits-encoder --zoo digits-mlp-diverse", "unknown study"),
        ("zooscale search digits-encoders --zoo digits-mlp-diverse --set latents=3", "no field 'latents'"),
        ("zooscale fit sne --zoo digits-mlp-diverse --preset published", "preset"),
        ("zooscale fit digits-encoders --zoo digits-mlp-diverse", "unknown trainable"),
        ("zooscale analyze --zoo digits-mlp-varied-0123abcd", "called after nothing"),
        ("zooscale analyze --zoo digits-mlp-diverse --study digits-encoder", "called after nothing"),
        ("zooscale analyze --zoo digits-mlp-diverse --codecs gzip", "unknown codec"),
        ("zooscale analyze --zoo digits-mlp-diverse --evaluators kappa", "unknown evaluator"),
        ("zooscale analyze --zoo digits-mlp-diverse --inputs fog-1", "fog-1"),
        ("zoo-scale list", "no command"),
        ("zooscale lists", "no verb lists"),
        ("make coffee", "coffee"),
        ("python benchmarks/coffee.py --hot", "coffee"),
        ("python benchmarks/encoders.py embed --net 3 --cups 4", "2"),
        ("python benchmarks/supernet.py digits-tasks --work FOLDER --set depth=3", "depth"),
    ],
)
def test_commands_of_another_day_are_found_out(command, error, only_read, monkeypatch):
    with pytest.raises((Exception, SystemExit), match=error):
        check(command.split(), monkeypatch)


def test_commands_are_read_as_a_shell_reads_them(tmp_path):
    (tmp_path / "document.md").write_text(
        "Run `zooscale\nlist`, or:\n\n"
        '    set="--set a=1"  # as before\n'
        "    for name in one two; do\n        zooscale fit $name $set \\\n            --epochs 3\n    done\n"
        "    studies=$(zooscale list | grep x); RAY=1 python benchmarks/a.py 'b c'; zoscale list\n\n"
        "```python\n    zooscale is a package\n```\n"
    )
    fits = [["zooscale", "fit", name, "--set", "a=1", "--epochs", "3"] for name in ("one", "two")]
    others = [["zooscale", "list"], ["python", "benchmarks/a.py", "b c"], ["zoscale", "list"], ["zooscale", "list"]]
    assert list(commands(tmp_path / "document.md")) == [*fits, *others]
