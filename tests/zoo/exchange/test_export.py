"""Export of members and zoos, and the way back."""

import json
import re
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from published_layouts import tune_config, write_checkpoint_tree

from zoo.architecture import Architecture
from zoo.exchange.copying import copy_zoo
from zoo.exchange.exported import open_exported
from zoo.exchange.exporting import export_zoo
from zoo.exchange.importing import open_source, store_source
from zoo.exchange.restoring import check_exported
from zoo.generation.build import generate_zoo
from zoo.recipes import RECIPES
from zoo.storage.errors import ZooError
from zoo.storage.store import Store
from zoo.storage.verify import verify
from zoo.storage.zoo import Zoo

TINY = {"members": 16, "block_members": 2, "shard_members": 4, "epochs": 1, "snapshot_epochs": (0, 1)}
KINDS = {
    "several layouts": RECIPES["digits-mlp-mixed"],
    "tasks": replace(RECIPES["digits-tasks-reversed"]),
    "subsets": replace(
        RECIPES["mnist-memorise-1"],
        dataset="digits",
        members=9,
        axes={**RECIPES["mnist-memorise-1"].axes, "subset_index": list(range(9))},
        batch_size=8,
    ),
    "cnn": replace(
        RECIPES["mnist-cnn-mixed"],
        dataset="digits",
        axes={**RECIPES["mnist-cnn-mixed"].axes, "hidden": (4,), "kernel": 3},
    ),
}


@pytest.fixture(scope="module", params=["diverse", "imported", *KINDS])
def zoo(request, small_zoo, tmp_path_factory) -> Zoo:
    """Zoos of every kind that a shard can hold."""
    if request.param == "diverse":
        return small_zoo
    folder = tmp_path_factory.mktemp("zoo")
    if request.param == "imported":
        write_checkpoint_tree(folder / "tree", [tune_config(1), tune_config(2, "relu", 0.5)], [0, 3])
        return store_source(open_source(folder / "tree"), Store(folder))
    name = request.param.replace(" ", "-")
    return generate_zoo(replace(KINDS[request.param], **{**TINY, "name": name}), Store(folder))


def same_files(one: Zoo, other: Zoo) -> bool:
    return [entry.sha256 for entry in one.manifest.shards] == [entry.sha256 for entry in other.manifest.shards]


def export(zoo: Zoo, target: Path, layout: str) -> None:
    if layout == "zoo":
        copy_zoo(zoo, Store(target))
    else:
        export_zoo(zoo, target, layout)


@pytest.mark.parametrize("layout", ["zoo", "parquet"])
def test_import_of_an_export_is_the_same_zoo(zoo, layout, tmp_path):
    export(zoo, tmp_path / "out", layout)
    source = open_source(tmp_path / "out")
    assert (source.format, source.members, source.epochs) == (layout, len(zoo), zoo.recipe.snapshot_epochs)
    assert source.parameters == zoo.parameter_counts
    back = store_source(source, Store(tmp_path / "store"))
    assert back.name == zoo.name
    assert back.content_sha256 == zoo.content_sha256
    assert back.recipe == zoo.recipe
    assert back.digest == zoo.digest
    pd.testing.assert_frame_equal(back.members, zoo.members)
    assert back.architectures == zoo.architectures
    assert verify(back) == []
    assert same_files(back, zoo)
    lost = Path(back.uri) / "shards" / back.manifest.shards[0].name
    lost.unlink()
    again = store_source(source, back.store)  # brings back the shard, and changes nothing else
    assert again.manifest == back.manifest
    assert verify(again) == []


@pytest.fixture(scope="module")
def exported(small_zoo, tmp_path_factory) -> Path:
    return export_zoo(small_zoo, tmp_path_factory.mktemp("export") / "out", "parquet")


def test_a_restored_zoo_can_be_extended(small_zoo, small_recipe, tmp_path):
    export_zoo(small_zoo, tmp_path / "out", "parquet")
    back = check_exported(open_exported(tmp_path / "out"), Store(tmp_path / "store"))(None)
    copy_zoo(small_zoo, Store(tmp_path / "copy"))
    longer = generate_zoo(small_recipe, back.store, members=72)
    assert len(longer) == 72
    assert verify(longer) == []
    assert copy_zoo(longer, Store(tmp_path / "copy")).manifest == longer.manifest
    with pytest.raises(ZooError, match=r"has zoo .* already, with 72 members"):
        copy_zoo(small_zoo, Store(tmp_path / "copy"))
    with pytest.raises(ValueError, match="expected the folder of a zoo, or a store with one; it holds none"):
        open_source(tmp_path, format_name="zoo")


def test_another_zoo_of_that_name_stays(small_zoo, small_recipe, exported, tmp_path):
    other = generate_zoo(small_recipe, Store(tmp_path / "store"), members=16)
    with pytest.raises(ZooError, match=r"has zoo .* already, with 16 members"):
        check_exported(open_exported(exported), other.store)(None)

    assert len(Zoo.open(small_zoo.name, store=other.store)) == 16


def test_the_target_must_be_new_and_is_whole_or_absent(small_zoo, tmp_path, monkeypatch):
    (tmp_path / "there").mkdir()
    with pytest.raises(ValueError, match="there exists already"):
        export_zoo(small_zoo, tmp_path / "there", "parquet")
    with pytest.raises(ValueError, match="unknown format 'zip'; known: parquet, small-cnn-zoo"):
        export_zoo(small_zoo, tmp_path / "new", "zip")
    monkeypatch.setattr("zoo.exchange.exporting.dataset_card", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        export_zoo(small_zoo, tmp_path / "new", "parquet")
    assert [entry.name for entry in tmp_path.iterdir()] == ["there"]


@pytest.mark.parametrize("layout", ["zoo", "parquet"])
def test_a_damaged_shard_is_not_exported(zoo_copy, layout, tmp_path):
    entry = zoo_copy.manifest.shards[1]
    path = Path(zoo_copy.uri) / "shards" / entry.name
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    with pytest.raises(ZooError, match=f"{entry.name} is damaged"):
        export(zoo_copy, tmp_path / "out", layout)
    path.unlink()
    with pytest.raises(ZooError, match=f"{entry.name} is missing"):
        export(zoo_copy, tmp_path / "out", layout)
    assert not list((tmp_path / "out").rglob("manifest-*"))
    assert layout == "zoo" or not (tmp_path / "out").exists()


def test_a_copy_does_not_replace_what_is_there(small_zoo, tmp_path):
    store = Store(tmp_path)
    path = f"zoos/{small_zoo.name}/shards/{small_zoo.manifest.shards[2].name}"
    store.put(path, b"something else")
    with pytest.raises(ZooError, match="is there already with other content"):
        copy_zoo(small_zoo, store)
    assert store.read(path) == b"something else"
    store.delete(path)
    done = []
    assert verify(copy_zoo(small_zoo, store, lambda *what: done.append(what))) == []
    assert done == [(number, 4) for number in range(1, 5)]


def change_weight(root: Path) -> None:
    rewrite(root, lambda table: table.assign(weights=table.weights.map(lambda w: np.roll(w, 1))))


def change_cell(root: Path) -> None:
    rewrite(root, lambda table: table.assign(learning_rate=table.learning_rate * 2))


def change_metric(root: Path) -> None:
    rewrite(root, lambda table: table.assign(test_accuracy=1.0))


def drop_column(root: Path) -> None:
    for path in root.glob("data/*"):
        pq.write_table(pq.read_table(path).drop_columns(["step"]), path)


def change_shard(root: Path, **changes: object) -> None:
    value = json.loads((root / "zoo.json").read_text())
    value["shards"][0] |= changes
    (root / "zoo.json").write_text(json.dumps(value))


def drop_row(root: Path) -> None:
    rewrite(root, lambda table: table.iloc[1:])


def rewrite(root: Path, change) -> None:
    path = next(root.glob("data/test-*"))
    schema = pq.read_schema(path)
    change(pd.read_parquet(path)).to_parquet(path, schema=schema, index=False)


def change_record(root: Path, **changes: object) -> None:
    value = json.loads((root / "zoo.json").read_text())
    (root / "zoo.json").write_text(json.dumps(value | changes))


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (change_weight, "not those that were exported"),
        (change_cell, "not those that were exported"),
        (change_metric, "metrics, steps or subsets of members 0 to"),
        (drop_row, "Rows are missing or repeated"),
        (lambda root: change_record(root, version=9), "version 9"),
        (lambda root: change_record(root, format="tar"), "format 'tar'"),
        (lambda root: change_record(root, digest="0" * 64), "of another recipe"),
        (lambda root: change_record(root, name="../../small-cb75be8d"), "of another recipe"),
        (lambda root: change_record(root, recipe={"kind": "dream"}), "'dream'"),
        (lambda root: change_record(root, recipe=[]), "damaged"),
        (lambda root: change_record(root, shards=[]), "do not follow one another"),
        (lambda root: change_shard(root, first=1), "do not follow one another"),
        (lambda root: change_shard(root, architecture=99), "another architecture than the"),
        (lambda root: change_shard(root, content_sha256="0" * 64), "not that of its shards"),
        (drop_column, "lacks the column step"),
        (lambda root: (root / "zoo.json").write_text("{"), "zoo.json is no JSON that can be read"),
    ],
)
def test_a_changed_export_is_refused_and_nothing_is_stored(exported, damage, words, tmp_path):
    copy = tmp_path / "copy"
    subprocess.run(["cp", "-r", exported, copy], check=True)
    damage(copy)
    store = Store(tmp_path / "store")
    with pytest.raises(ValueError, match=words):
        store_source(open_source(copy), store)
    assert store.list() == []


def test_options_of_foreign_formats_do_not_go_with_an_export(exported):
    with pytest.raises(ValueError, match="imported as it was; leave --name away"):
        open_source(exported, name="mine")


def test_a_parquet_set_is_what_hugging_face_reads(small_zoo, tmp_path, monkeypatch):
    monkeypatch.setattr("zoo.exchange.exporting.FILE_BYTES", 200_000)
    export_zoo(small_zoo, tmp_path / "out", "parquet")
    files = sorted(path.name for path in (tmp_path / "out/data").iterdir())
    count = sum(name.startswith("train-") for name in files)
    assert count > 1
    assert f"train-00000-of-{count:05d}.parquet" in files
    card = (tmp_path / "out/README.md").read_text().split("---\n")[1]
    for split in ("train", "validation", "test"):
        assert f"- split: {split}\n        path: data/{split}-*.parquet" in card
        table = pd.concat(pd.read_parquet(path) for path in sorted((tmp_path / "out/data").glob(f"{split}-*")))
        assert set(table.split) == {split}
        assert len(table) == (small_zoo.members.split == split).sum()
        assert set(table.weights.map(len)) == {small_zoo.parameters}
    yaml = pytest.importorskip("yaml")
    (config,) = yaml.safe_load(card)["configs"]
    assert [entry["split"] for entry in config["data_files"]] == ["train", "validation", "test"]
    assert yaml.safe_load(card)["size_categories"] == ["n<1K"]


def test_members_of_several_layouts_share_one_parquet_set(tmp_path):
    zoo = generate_zoo(replace(KINDS["several layouts"], **{**TINY, "name": "mix"}), Store(tmp_path))
    export_zoo(zoo, tmp_path / "out", "parquet")
    table = pd.concat(pd.read_parquet(path) for path in (tmp_path / "out/data").iterdir())
    architectures = json.loads((tmp_path / "out/zoo.json").read_text())["architectures"]
    sizes = [Architecture.from_json(value).parameters for value in architectures]
    assert len(set(sizes)) > 1
    assert (table.weights.map(len) == table.architecture.map(lambda index: sizes[index])).all()


def test_weights_are_a_matrix_where_all_members_have_one_layout(small_zoo, tmp_path):
    export_zoo(small_zoo, tmp_path / "out", "parquet")
    for path in (tmp_path / "out/data").iterdir():
        assert pq.read_schema(path).field("weights").type == pa.list_(pa.float32(), 1210)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", ["diverse", "several layouts"])
def test_hugging_face_datasets_reads_a_parquet_set(kind, small_zoo, tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    datasets = pytest.importorskip("datasets")
    tiny = replace(KINDS["several layouts"], **{**TINY, "name": "mix"})
    zoo = small_zoo if kind == "diverse" else generate_zoo(tiny, Store(tmp_path))
    folder = str(export_zoo(zoo, tmp_path / "out", "parquet"))
    expected = zoo.members.groupby("split").size().to_dict()
    by_folder = datasets.load_dataset(folder, cache_dir=str(tmp_path / "cache"))
    assert {split: len(rows) for split, rows in by_folder.items()} == expected
    streamed = datasets.load_dataset(folder, streaming=True)
    files = {split: f"{folder}/data/{split}-*.parquet" for split in expected}
    by_files = datasets.load_dataset("parquet", data_files=files, cache_dir=str(tmp_path / "cache"))
    for split in expected:
        row, again, third = by_folder[split][0], next(iter(streamed[split])), by_files[split][0]
        assert row == again == third
        snapshot = zoo.population(members=[row["member"]], epochs=[row["epoch"]], include_diverged=True)
        assert row["weights"] == snapshot.weights_MP[0].tolist()
        assert row["split"] == split
    if kind == "diverse":
        assert by_folder["train"].features["weights"].length == zoo.parameters
        assert by_folder["train"].with_format("numpy")[:4]["weights"].shape == (4, zoo.parameters)


def test_the_readme_of_a_parquet_set_runs(small_zoo, tmp_path):
    pytest.importorskip("duckdb")
    export_zoo(small_zoo, tmp_path / "out", "parquet")
    (block,) = re.findall(r"```python\n(.*?)```", (tmp_path / "out/README.md").read_text(), flags=re.DOTALL)
    lines = [line.replace("FOLDER", str(tmp_path / "out")) for line in block.splitlines()]
    assert lines.pop(0) == "import datasets, duckdb, pandas"
    assert lines.pop(0).startswith("datasets.load_dataset(")
    exec("import duckdb, pandas\n" + "\n".join(lines))


def test_duckdb_and_pandas_read_a_zoo_as_it_lies(small_zoo):
    duckdb = pytest.importorskip("duckdb")
    shards = f"{small_zoo.uri}/shards/*.parquet"
    query = f"select member, epoch, test_accuracy, weights from '{shards}' order by member, epoch"
    rows = duckdb.sql(query).fetchall()
    frame = pd.concat(pd.read_parquet(path) for path in sorted(Path(small_zoo.uri, "shards").iterdir()))
    expected = small_zoo.population(epochs=[0, 1, 2], include_diverged=True)
    assert [row[:2] for row in rows] == list(zip(small_zoo.members.member, small_zoo.members.epoch, strict=True))
    np.testing.assert_array_equal(np.array([row[3] for row in rows], dtype=np.float32), expected.weights_MP.numpy())
    np.testing.assert_array_equal(np.stack(frame.weights), expected.weights_MP.numpy())
    best = duckdb.sql(f"select activation, max(test_accuracy) from '{shards}' group by 1").fetchall()
    assert dict(best) == pytest.approx(frame.groupby("activation").test_accuracy.max().to_dict())


def test_duckdb_reads_a_parquet_set(small_zoo, tmp_path):
    duckdb = pytest.importorskip("duckdb")
    export_zoo(small_zoo, tmp_path / "out", "parquet")
    query = f"select count(*), avg(test_accuracy), max(len(weights)) from '{tmp_path}/out/data/*.parquet'"
    assert duckdb.sql(query).fetchall()[0] == pytest.approx((192, small_zoo.members.test_accuracy.mean(), 1210))
