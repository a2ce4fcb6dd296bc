"""The command line: words, exit codes, JSON, and that a dry run writes nothing."""

import contextlib
import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from stored_study import add_study

from analysis.codec_plan import TEST_MEMBERS
from cluster import cli
from cluster.cli import run

SMALL = ["--members", "64", "--epochs", "2", "--set", "shard_members=16"]


def fails(capsys, arguments, code):
    """Runs a command line that has to fail; returns the one line that it says."""
    assert run(arguments) == code
    captured = capsys.readouterr()
    assert captured.out == ""
    lines = captured.err.splitlines()
    assert lines
    assert lines[-1].startswith("zooscale: ")
    assert "Traceback" not in captured.err
    return lines[-1]


def succeeds(capsys, arguments):
    """Runs a command line with --json; returns what it prints."""
    assert run([*arguments, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def everything(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


VERBS = [
    "demo",
    "generate",
    "search",
    "fit",
    "analyze",
    "predict",
    "card",
    "verify",
    "list",
    "import",
    "export",
    "copy",
    "rm",
    "dashboard",
    "data",
]


def test_help_names_every_verb(capsys):
    assert run(["--help"]) == 0
    text = capsys.readouterr().out
    assert all(verb in text for verb in VERBS)


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_has_help(verb, capsys):
    assert run([verb, "--help"]) == 0
    assert "--store" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("verb", "defaults"),
    [
        ("generate", ["as many as CPUs"]),
        ("search", ["as many as CPUs"]),
        (
            "analyze",
            [f"{TEST_MEMBERS}; all for predictors and encoders", "all", "translation-1 for images, else noise-0.1"],
        ),
        ("dashboard", ["the newest"]),
    ],
)
def test_help_tells_defaults(verb, defaults, capsys):
    run([verb, "--help"])
    text = " ".join(capsys.readouterr().out.replace("│", " ").split())
    assert [words for words in defaults if f"(default: {words})" not in text] == []


def test_module_and_console_script_are_the_same():
    assert cli.app.info.name == "zooscale"
    done = subprocess.run(
        [sys.executable, "-m", "cluster", "list", "--store", "/nowhere"], capture_output=True, text=True
    )
    assert done.returncode == 2
    assert done.stderr.startswith("zooscale: there is no store /nowhere")


# A library that aborts when the process goes away, as Arrow's threads do now and then.
ABORTS = """
import ctypes, sys
from cluster.__main__ import main
c = ctypes.CDLL(None)
c.__cxa_atexit(ctypes.cast(c.abort, ctypes.c_void_p), None, None)
main()
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the C library's function has another name elsewhere")
@pytest.mark.parametrize(("arguments", "code"), [(["--version"], 0), (["list", "--store", "/nowhere"], 2)])
def test_a_library_that_fails_at_the_end_changes_no_exit_code(arguments, code):
    done = subprocess.run([sys.executable, "-c", ABORTS, *arguments], capture_output=True, text=True)
    assert done.returncode == code
    assert done.stdout.startswith("zooscale ") or done.stderr.startswith("zooscale: ")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["generat"], "No such command 'generat'"),
        (["generate"], "Missing argument"),
        (["generate", "digits-mlp-diverse", "--color"], "No such option"),
        (["generate", "digits-mlp-diverse", "--members", "0"], "--members is '0'; allowed: a whole number, 1 or more"),
        (["generate", "digits-mlp-diverse", "--set", "members=0"], "Recipe.members is 0"),
        (["generate", "digits-mlp-diverse", "--members", "many"], "--members is 'many'; allowed: a whole number"),
        (["generate", "digits-mlp-diverse", "--seed", "1.5"], "--seed is '1.5'; allowed: a whole number, 0 or more"),
        (["generate", "no_such_module:recipe"], "no_such_module"),
        (
            ["generate", "digits-mlp-diverse", "--set", "color=red"],
            "there is no field 'color'; those of all members are",
        ),
        (["generate", "digits-mlp-diverse", "--set", "color"], "field=value"),
        (["generate", "digits-mlp-diverse", "--set", "activation=swish"], "swish"),
        (["generate", "digits-mlp-diverse", "--dataset", "letters"], "known: cifar10"),
        (["generate", "digits-mlp-diverse", "--seed", "1", "--set", "seed=2"], "seed is given twice"),
        (["generate", "digits-mlp-diverse", "--store", "gopher://hole"], "cannot open store"),
        (["search", "digits-autoencoder"], "Missing option"),
        (["list", "--store", "/nowhere/at/all"], "there is no store /nowhere/at/all"),
        (["verify", "digits", "--store", "/nowhere/at/all"], "there is no store"),
        (["analyze", "--zoo", "digits", "--store", "/nowhere/at/all"], "there is no store"),
        (["search", "digits-autoencoder", "--zoo", "digits", "--store", "/nowhere/at/all"], "there is no store"),
        (["dashboard", "--store", "/nowhere/at/all"], "there is no store"),
        (["dashboard", "--port", "99999"], "--port is '99999'; allowed: a whole number, 1 to 65,534"),
        (["demo", "--trials", "0"], "--trials is '0'; allowed: a whole number, 1 or more"),
    ],
)
def test_bad_input_is_named_in_one_line(arguments, words, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert words in fails(capsys, arguments, 2)
    assert everything(tmp_path) == []


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["verify", "nothing"], "it has small-"),
        (["search", "digits-autoencoder", "--zoo", "nothing"], "it has small-"),
        (["search", "nothing", "--zoo", "small"], "cnn-autoencoder, dataset-to-network, digits-autoencoder"),
        (
            ["search", "digits-autoencoder", "--zoo", "small", "--set", "color=red"],
            "those of NeuronAutoencoderConfig are",
        ),
        (["search", "digits-autoencoder", "--zoo", "small", "--set", "latent=0"], "latent"),
        (["analyze", "--zoo", "nothing"], "it has small-"),
        (["analyze", "--zoo", "small", "--study", "nothing"], "nothing"),
        (["analyze", "--zoo", "small", "--codecs", "zip"], "known: "),
        (["dashboard", "--study", "nothing"], "there is no study 'nothing'"),
    ],
)
def test_what_a_store_does_not_have_is_named(arguments, words, capsys, small_zoo):
    before = everything(Path(small_zoo.store.uri))
    assert words in fails(capsys, [*arguments, "--store", small_zoo.store.uri], 2)
    assert everything(Path(small_zoo.store.uri)) == before


@pytest.mark.parametrize("options", [[], ["--dry-run"]])
def test_store_that_cannot_be_written(options, capsys, tmp_path):
    (tmp_path / "store").write_text("a file where the folder should be")
    words = fails(capsys, ["generate", "digits-mlp-diverse", *SMALL, *options, "--store", str(tmp_path / "store")], 2)
    assert "cannot" in words
    assert str(tmp_path / "store") in words


def test_unexpected_error_is_one_line_unless_debugging(capsys, monkeypatch, small_zoo):
    def broken(*_):
        raise KeyError("surprise")

    monkeypatch.setattr("cluster.verbs.list.existing_store", broken)
    monkeypatch.delenv("ZOOSCALE_DEBUG", raising=False)
    words = fails(capsys, ["list", "--store", small_zoo.store.uri], 1)
    assert "KeyError" in words
    assert "ZOOSCALE_DEBUG" in words
    monkeypatch.setenv("ZOOSCALE_DEBUG", "1")
    with pytest.raises(KeyError):
        run(["list", "--store", small_zoo.store.uri])


def test_interrupt_has_its_code(capsys, monkeypatch, small_zoo):
    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("cluster.verbs.list.existing_store", interrupted)
    assert "continues" in fails(capsys, ["list", "--store", small_zoo.store.uri], 130)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_signal_counts_though_another_error_is_noticed_first(number, code, capsys, monkeypatch, small_zoo):
    def interrupted(*_):
        with contextlib.suppress(KeyboardInterrupt):
            signal.raise_signal(number)
        raise RuntimeError("a worker has died")

    before = signal.getsignal(number)
    monkeypatch.setattr("cluster.verbs.list.existing_store", interrupted)
    assert "continues" in fails(capsys, ["list", "--store", small_zoo.store.uri], code)
    assert signal.getsignal(number) is before


def test_dry_run_of_generate_writes_nothing(capsys, tmp_path):
    store = tmp_path / "store"
    result = succeeds(capsys, ["generate", "digits-mlp-diverse", *SMALL, "--dry-run", "--store", str(store)])
    assert result["missing_members"] == 64
    assert result["bytes"] > 0
    assert result["seconds"] > 0
    assert everything(tmp_path) == []


@pytest.mark.parametrize("arguments", [["search", "digits-autoencoder"], ["analyze"]])
def test_dry_run_on_a_zoo_writes_nothing(arguments, capsys, small_zoo):
    before = everything(Path(small_zoo.store.uri))
    result = succeeds(capsys, [*arguments, "--zoo", "small", "--dry-run", "--store", small_zoo.store.uri])
    assert result["zoo"] == small_zoo.name
    assert result["seconds"] > 0
    assert everything(Path(small_zoo.store.uri)) == before


def test_dry_run_of_the_demo_writes_nothing(capsys, tmp_path):
    result = succeeds(capsys, ["demo", "--members", "64", "--dry-run", "--store", str(tmp_path / "store")])
    assert result["generate"]["missing_members"] == 64
    assert everything(tmp_path) == []
    parts = [result[verb] for verb in ("generate", "search", "analyze")]
    for key in ("seconds", "bytes"):
        assert all(part[key] > 0 for part in parts)
        assert result[key] == pytest.approx(sum(part[key] for part in parts), abs=0.1)


def test_sound_zoo_verifies(capsys, small_zoo):
    result = succeeds(capsys, ["verify", "small", "--store", small_zoo.store.uri])
    assert result["findings"] == []
    assert result["content_sha256"] == small_zoo.content_sha256
    assert succeeds(capsys, ["verify", small_zoo.uri])["zoo"] == small_zoo.name


def test_damaged_zoo_fails_verification(capsys, zoo_copy):
    shard = next((Path(zoo_copy.uri) / "shards").glob("*.parquet"))
    content = bytearray(shard.read_bytes())
    content[len(content) // 2] ^= 1
    shard.write_bytes(bytes(content))
    assert run(["verify", zoo_copy.uri, "--json"]) == 1
    findings = json.loads(capsys.readouterr().out)["findings"]
    assert shard.name in findings[0]["where"]
    assert run(["verify", zoo_copy.uri]) == 1
    assert findings[0]["kind"] in capsys.readouterr().out


def test_what_an_interrupted_extension_left_is_removed_when_asked(capsys, zoo_copy):
    extra = Path(zoo_copy.uri) / "shards" / "shard-0000064-0000080.parquet"
    extra.write_bytes(b"left by an interrupted extension")
    result = succeeds(capsys, ["verify", zoo_copy.uri, "--remove-unfinished"])
    assert (len(result["removed"]), result["findings"], extra.exists()) == (1, [], False)


def test_a_file_or_nothing_is_no_store(capsys, tmp_path):
    (tmp_path / "file").write_text("")
    said = fails(capsys, ["list", "--store", str(tmp_path / "file")], 2)
    assert said == f"zooscale: {tmp_path / 'file'} is a file; a store is a folder with zoos, studies and reports"
    for uri in (str(tmp_path / "nothing"), "memory://nothing"):
        assert f"there is no store {uri.replace('memory://', 'memory:///')}; name one" in fails(
            capsys, ["list", "--store", uri], 2
        )


def test_numbers_of_things_are_words(capsys, zoo_copy):
    unfinished = Path(zoo_copy.store.uri) / "zoos" / "other-12345678" / "shards"
    unfinished.mkdir(parents=True)
    (unfinished / "shard-0000000-0000016.parquet").write_bytes(b"half")
    add_study(zoo_copy.store, "one-12345678", zoo_copy.name)
    assert run(["list", "--store", zoo_copy.store.uri]) == 0
    told = capsys.readouterr().out
    assert "unfinished, 1 shard;" in told
    assert "1 of 1 trial  on" in told


def test_commands_to_paste_quote_what_the_shell_would_split(capsys, tmp_path):
    assert run(["data", "digits", "--store", str(tmp_path / "my store")]) == 0
    assert f"`zooscale data digits --stage --store '{tmp_path / 'my store'}'`" in capsys.readouterr().out
    unfinished = tmp_path / "my store" / "zoos" / "other-12345678"
    (unfinished / "shards").mkdir(parents=True)
    (unfinished / "shards" / "shard-0000000-0000016.parquet").write_bytes(b"half")
    said = fails(capsys, ["card", "other", "--store", str(tmp_path / "my store")], 2)
    assert f"`zooscale rm other-12345678 --store '{tmp_path / 'my store'}'` deletes it" in said


def test_list_shows_finished_and_unfinished_zoos(capsys, zoo_copy):
    unfinished = Path(zoo_copy.store.uri) / "zoos" / "other-12345678" / "shards"
    unfinished.mkdir(parents=True)
    (unfinished / "shard-0000000-0000016.parquet").write_bytes(b"half")
    result = succeeds(capsys, ["list", "--store", zoo_copy.store.uri])
    assert [(zoo["zoo"], zoo["complete"]) for zoo in result["zoos"]] == [
        ("other-12345678", False),
        (zoo_copy.name, True),
    ]
    assert (result["studies"], result["reports"]) == ([], [])
    assert run(["list", "--store", zoo_copy.store.uri]) == 0
    assert "unfinished" in capsys.readouterr().out


def test_list_shows_what_is_damaged_beside_the_rest(capsys, zoo_copy):
    store = Path(zoo_copy.store.uri)
    (store / "zoos" / "broken-12345678").mkdir()
    (store / "zoos" / "broken-12345678" / "manifest-0001.json").write_text("{")
    facts = {"trials_completed": 3, "trials_failed": 1, "zoo": {"name": zoo_copy.name}}
    whole, half = ({**facts, "study": {"trials": trials}} for trials in (4, 8))
    contents = {"bad": "{", "empty": "{}", "good": json.dumps(whole), "half": json.dumps(half), "list": "[]"}
    contents["one"] = json.dumps(
        {
            **facts,
            "trials_completed": 1,
            "trials_failed": 0,
            "study": {"trials": 16, "spaces": [], "trainables": ["uniform"]},
        }
    )
    for name, content in contents.items():
        (store / "studies" / name).mkdir(parents=True)
        (store / "studies" / name / "study.json").write_text(content)
    (store / "studies" / "running" / "live").mkdir(parents=True)
    result = succeeds(capsys, ["list", "--store", str(store)])
    assert {zoo["zoo"]: zoo["damaged"] is not None for zoo in result["zoos"]} == {
        "broken-12345678": True,
        zoo_copy.name: False,
    }
    assert [(study["study"], study["complete"], study["damaged"] is not None) for study in result["studies"]] == [
        ("bad", False, True),
        ("empty", False, True),
        ("good", True, False),
        ("half", False, False),
        ("list", False, True),
        ("one", True, False),
        ("running", False, False),
    ]
    assert run(["list", "--store", str(store)]) == 0
    lines = [line.strip() for line in capsys.readouterr().out.splitlines()]
    assert f"half  4 of 8 trials, 1 failed  on {zoo_copy.name}" in lines
    assert any(line.startswith("bad  damaged: ") for line in lines)
    assert any(line.startswith("broken-12345678  damaged: ") for line in lines)
    assert any(line.startswith("running  unfinished") for line in lines)


def test_complete_zoo_is_reused(capsys, tmp_path, small_recipe, small_zoo):
    given = [f"{field}={getattr(small_recipe, field)}" for field in ("name", "block_members", "shard_members")]
    settings = [part for assignment in given for part in ("--set", assignment)]
    arguments = ["generate", "digits-mlp-diverse", "--members", "64", "--epochs", "2", *settings]
    arguments += ["--set", "snapshot_epochs=0,1,2", "--store", small_zoo.store.uri]
    result = succeeds(capsys, arguments)
    assert result["trained_members"] == 0
    assert result["content_sha256"] == small_zoo.content_sha256


def test_the_installed_command_finds_modules_of_the_current_folder(tmp_path):
    (tmp_path / "mine.py").write_text(
        "from zoo.recipes import Recipe\n"
        "RECIPE = Recipe(name='mine', dataset='digits', members=3, epochs=1, snapshot_epochs=(1,))\n"
    )
    command = Path(sys.executable).with_name("zooscale")
    done = subprocess.run(
        [command, "generate", "mine:RECIPE", "--dry-run", "--json"], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["recipe"]["name"] == "mine"
