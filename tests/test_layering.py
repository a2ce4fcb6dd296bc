"""Who may import whom, checked on the source itself: statements in functions and under ``TYPE_CHECKING`` too."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
ALLOWED = {
    "zoo": set(),
    "trainables": {"zoo"},
    "search_spaces": {"zoo", "trainables"},
    "analysis": {"zoo", "trainables"},
    "cluster": {"zoo", "trainables", "search_spaces", "analysis"},
    "zooscale": {"zoo", "trainables", "search_spaces", "analysis", "cluster"},
}
FORBIDDEN = {
    "zoo": {"ray", "optuna"},
    "trainables": {"ray", "optuna"},
    "search_spaces": {"ray"},
    "analysis": {"ray", "optuna"},
    "cluster": set(),
    "zooscale": {"ray", "optuna"},
}
# The modules and packages of a room from the ground up: each may import itself and those of the floors below its own.
FLOORS = {
    "zoo": (
        ("words",),
        ("config",),
        ("metric", "streams", "threads"),
        ("architecture",),
        ("data",),
        ("population",),
        ("training",),
        ("evaluation", "views"),
        ("recipes",),
        ("storage",),
        ("generation",),
        ("exchange",),
    ),
    "trainables": (
        ("trainable", "metrics", "behavior", "pareto", "adam"),
        ("fidelity", "fit_data", "closed_form", "large_weights"),
        ("gradient_fit", "readouts", "transformers"),
        ("codecs",),
        ("autoencoders", "encoders", "tasks"),
        ("predictors",),
        ("hypernetworks", "generators", "aggregators"),
        ("registry",),
        ("study_files", "network_reader"),
        ("trials",),
    ),
    "analysis": (
        ("statistics",),
        ("evaluators",),
        ("measuring",),
        ("compression",),
        ("record",),
        ("kept_rows", "noisy_storage", "reading"),
        ("latents",),
        ("by_axis", "codec_plan", "generation", "held_out_tasks"),
        ("plan",),
        ("analyze",),
        ("pages", "tables"),
        ("report", "card", "tasks", "neurons"),
    ),
}
# What `zooscale --help` and reading a search space load must not bring in torch.
TORCH_FREE = [
    "zoo/config.py",
    "trainables/autoencoders/config.py",
    "trainables/tasks/config.py",
    "cluster/__main__.py",
    "cluster/cli.py",
    "zooscale/__init__.py",
]


def imported(source: str) -> Iterator[str]:
    """Every absolute module that a source text imports, wherever the statement stands."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "relative imports hide who imports whom"
            yield node.module or ""


def trespasses(room: str, source: str) -> set[str]:
    """What a source text of a room imports although it must not."""
    ours = set(ALLOWED) - ALLOWED[room] - {room}
    return {name for name in imported(source) if name.split(".")[0] in ours | FORBIDDEN[room] | {"tests"}}


@pytest.mark.parametrize("room", ALLOWED)
def test_rooms_import_downwards_only(room):
    files = sorted((ROOT / room).rglob("*.py"))
    assert files
    found = {str(file.relative_to(ROOT)): trespasses(room, file.read_text()) for file in files}
    assert {file: names for file, names in found.items() if names} == {}


@pytest.mark.parametrize(
    ("room", "source"),
    [
        ("zoo", "def f():\n    import ray.train"),
        ("zoo", "from trainables.codecs.codec import Codec"),
        ("analysis", "import optuna"),
        ("analysis", "from search_spaces.studies import STUDIES"),
        ("search_spaces", "from ray import tune"),
    ],
)
def test_a_trespass_is_seen(room, source):
    assert trespasses(room, source)


def sources(room: str) -> dict[str, str]:
    """The modules of a room with their texts; a package has the name of its folder."""
    texts = {}
    for file in (ROOT / room).rglob("*.py"):
        parts = file.relative_to(ROOT).with_suffix("").parts
        texts[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = file.read_text()
    return texts


def graph_of(texts: dict[str, str]) -> dict[str, set[str]]:
    """For each module, those among them that it imports; of a module's attribute, the module."""
    graph: dict[str, set[str]] = {}
    for name, text in texts.items():
        targets = set()
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.Import):
                targets |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                whole = [f"{node.module}.{alias.name}" for alias in node.names]
                targets |= {target if target in texts else str(node.module) for target in whole}
        graph[name] = (targets & set(texts)) - {name}
    return graph


def floor_of(room: str, module: str) -> int:
    """The floor of a module; the room itself, which says what it offers, is above all others."""
    if module == room:
        return len(FLOORS[room])
    part = module.split(".")[1]
    found = [number for number, floor in enumerate(FLOORS[room]) if part in floor]
    assert found, f"{module} is on no floor of {room}; give it one in FLOORS"
    return found[0]


def upwards(room: str, graph: dict[str, set[str]]) -> set[tuple[str, str]]:
    """Imports that go neither to a floor below nor to the same package: (who, whom), without the room's name."""
    return {
        (name.removeprefix(f"{room}."), target.removeprefix(f"{room}."))
        for name, targets in graph.items()
        for target in targets
        if floor_of(room, target) >= floor_of(room, name) and name.split(".")[1:2] != target.split(".")[1:2]
    }


@pytest.mark.parametrize("room", FLOORS)
def test_within_a_room_floors_import_those_below(room):
    found = upwards(room, graph_of(sources(room)))
    assert found == set(), "a module may import floors below its own, and its own package"


@pytest.mark.parametrize("room", ALLOWED)
def test_within_a_room_imports_make_no_circle(room):
    graph = graph_of({name: text for name, text in sources(room).items() if name != room})
    while graph:
        leaves = {name for name, targets in graph.items() if not targets}
        assert leaves, f"circular imports among {sorted(graph)}"
        graph = {name: targets - leaves for name, targets in graph.items() if name not in leaves}


def test_imports_in_functions_and_for_types_alone_are_seen():
    texts = {
        "zoo.data": "",
        "zoo.data.digits": "def load():\n    from zoo.storage.store import Store",
        "zoo.storage": "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from zoo.exchange import exporting",
        "zoo.storage.store": "from zoo.data import DATASETS, digits\nimport zoo.storage",
        "zoo.exchange": "",
        "zoo.exchange.exporting": "from zoo.storage.store import Store",
    }
    graph = graph_of(texts)
    assert graph["zoo.storage.store"] == {"zoo.data", "zoo.data.digits", "zoo.storage"}
    assert upwards("zoo", graph) == {("data.digits", "storage.store"), ("storage", "exchange.exporting")}


@pytest.mark.parametrize("file", TORCH_FREE)
def test_modules_behind_help_load_nothing_heavy(file):
    tree = ast.parse((ROOT / file).read_text())
    at_load = {
        name.split(".")[0]
        for node in tree.body
        if isinstance(node, ast.Import | ast.ImportFrom)
        for name in imported(ast.unparse(node))
    }
    assert not at_load & {"torch", "ray", "optuna", "pandas", "pyarrow", "numpy", "scipy", "plotly"}
