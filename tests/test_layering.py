"""Who may import whom, checked on the source itself."""

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
}
FORBIDDEN = {
    "zoo": {"ray", "optuna"},
    "trainables": {"ray", "optuna"},
    "search_spaces": {"ray"},
    "analysis": {"ray", "optuna"},
    "cluster": set(),
}
# What `zooscale --help` and reading a search space load must not bring in torch.
TORCH_FREE = ["zoo/config.py", "trainables/autoencoders/config.py", "cluster/__main__.py", "cluster/cli.py"]


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


def modules(room: str) -> dict[str, set[str]]:
    """For each module of a room, the modules of the same room that it imports at load time."""
    files = {}
    for file in (ROOT / room).rglob("*.py"):
        parts = file.relative_to(ROOT).with_suffix("").parts
        files[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = file
    graph = {}
    for name, file in files.items():
        tree = ast.parse(file.read_text())
        targets = set()
        for node in tree.body:
            if isinstance(node, ast.Import):
                targets |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                whole = [f"{node.module}.{alias.name}" for alias in node.names]
                targets |= {target if target in files else str(node.module) for target in whole}
        graph[name] = {target for target in targets if target in files} - {name}
    return graph


@pytest.mark.parametrize("room", ALLOWED)
def test_within_a_room_imports_make_no_circle(room):
    graph = modules(room)
    while graph:
        leaves = {name for name, targets in graph.items() if not targets}
        assert leaves, f"circular imports among {sorted(graph)}"
        graph = {name: targets - leaves for name, targets in graph.items() if name not in leaves}


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
