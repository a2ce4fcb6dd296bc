"""A verb is a dataclass of options: its command, help, JSON and dry run are made from it."""

import json
import subprocess
import sys
from dataclasses import dataclass, fields
from typing import Annotated, get_type_hints

import pytest
import typer

from cluster import options
from cluster.cli import find_verbs, run
from cluster.verb import Planned, Result, command

LIGHT = """
import sys
from cluster.cli import find_verbs, run
find_verbs()
run(["--help"])
run(["search", "--help"])
run(["list", "--store", "memory://nothing"])
print([name for name in ("torch", "ray", "optuna", "numpy", "pandas", "pyarrow") if name in sys.modules])
"""


@dataclass(frozen=True, kw_only=True)
class Counted(Result):
    """How many."""

    count: int
    words: tuple[str, ...]

    @property
    def text(self) -> str:
        return f"{self.count} of {', '.join(self.words)}"

    @property
    def exit_code(self) -> int:
        return self.count % 2


@dataclass(frozen=True, kw_only=True, slots=True)
class Count(Planned):
    """Count the letters of words."""

    letter: Annotated[str, typer.Argument(help="What to count.")]
    words: Annotated[tuple[str, ...], typer.Option("--word", help="Where; repeatable.")] = ()
    store: options.Store = "./store"
    seed: options.Seed = None

    def plan(self) -> Counted:
        return Counted(count=0, words=self.words)

    def run(self) -> Counted:
        return Counted(count=sum(word.count(self.letter) for word in self.words), words=self.words)


def call(*arguments):
    app = typer.Typer(add_completion=False)
    app.command("count")(command(Count))
    return app(list(arguments), standalone_mode=False)


def test_options_become_a_command(capsys):
    assert call("a", "--word", "banana", "--word", "apple") == 0
    assert capsys.readouterr().out == "4 of banana, apple\n"
    assert call("a", "--word", "banana") == 1, "the exit code is the result's"


def test_json_has_the_fields_of_the_result(capsys):
    call("a", "--word", "banana", "--json")
    assert json.loads(capsys.readouterr().out) == {"count": 3, "words": ["banana"]}


def test_dry_run_tells_the_options_and_runs_nothing(capsys):
    call("a", "--word", "banana", "--seed", "3", "--dry-run", "--json")
    told = json.loads(capsys.readouterr().out)
    assert told.pop("options") == {"letter": "a", "words": ["banana"], "store": "./store", "seed": 3}
    assert told == {"count": 0, "words": ["banana"]}


def test_help_is_that_of_the_fields(capsys):
    call("--help")
    text = " ".join(capsys.readouterr().out.replace("│", " ").split())
    for words in ("Count the letters of words.", "What to count.", "Where; repeatable.", "--dry-run", "--json"):
        assert words in text


def test_the_same_from_python():
    assert Count(letter="p", words=("apple",)).run() == Counted(count=2, words=("apple",))
    with pytest.raises(TypeError, match="letter"):
        Count()


@pytest.mark.parametrize(("name", "verb"), find_verbs().items())
def test_every_option_has_a_help(name, verb, capsys):
    assert run([name, "--help"]) == 0
    text = capsys.readouterr().out
    assert verb.__doc__
    hints = get_type_hints(verb, include_extras=True)
    assert [field.name for field in fields(verb) if not hints[field.name].__metadata__[0].help] == []
    assert ("--dry-run" in text) == issubclass(verb, Planned)
    assert ("--json" in text) == verb.answers


def test_help_and_list_load_nothing_slow():
    done = subprocess.run([sys.executable, "-c", LIGHT], capture_output=True, text=True, check=True)
    assert done.stdout.strip().endswith("[]")
