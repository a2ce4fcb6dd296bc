import dataclasses
import hashlib
import io
import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from zoo.config import canonical_json
from zoo.generation.build import generate_zoo
from zoo.generation.shard_training import train_shard
from zoo.storage.errors import ZooError
from zoo.storage.rows import content_hash, sum_hashes, weights_of, weights_type
from zoo.storage.shards import _serialize, checksums, encode_shard, read_shard
from zoo.storage.store import Store
from zoo.storage.verify import verify

CHECKSUMS = ("footer_bytes", "footer_crc32", "weights_crc32")


def kinds(zoo):
    return [finding.kind for finding in verify(zoo.uri)]


def shard_file(zoo, index):
    return Path(zoo.uri, "shards", zoo.manifest.shards[index].name)


def edit_manifest(zoo, change):
    path = Path(zoo.uri, "manifest-0001.json")
    value = json.loads(path.read_text())
    change(value)
    path.write_text(json.dumps(value))


def forge(zoo, index, change, metadata=None):
    """Rewrites a shard, and the manifest so that every hash of it fits: only the content itself is wrong."""
    file = shard_file(zoo, index)
    header, table = read_shard(file.read_bytes(), "")
    raw = dict(table.schema.metadata)
    table = change(table)
    content = content_hash(table, header.architecture)
    raw[b"zooscale.content_sha256"] = canonical_json(content).encode()
    raw |= metadata or {}
    data = _serialize(table.replace_schema_metadata(raw), 48)
    file.write_bytes(data)

    def in_manifest(value):
        value["shards"][index].update(
            sha256=hashlib.sha256(data).hexdigest(), size_bytes=len(data), rows=len(table), content_sha256=content
        )
        value["shards"][index] |= checksums(data, pq.read_metadata(io.BytesIO(data)))
        value["content_sha256"] = sum_hashes([entry["content_sha256"] for entry in value["shards"]])

    edit_manifest(zoo, in_manifest)


def with_column(table, name, values):
    index = table.schema.get_field_index(name)
    field = table.schema.field(index)
    return table.set_column(index, field, pa.array(values, field.type))


def with_weights(table, weights_MP):
    index = table.schema.get_field_index("weights")
    column = pa.FixedSizeListArray.from_arrays(pa.array(weights_MP.reshape(-1)), type=weights_type(weights_MP.shape[1]))
    return table.set_column(index, table.schema.field(index), column)


def test_sound_zoo_has_no_findings(small_zoo, zoo_copy):
    assert verify(small_zoo) == []
    assert verify(small_zoo.uri) == []
    forge(zoo_copy, 1, lambda table: table)
    assert kinds(zoo_copy) == [], "the forgery of these tests is itself not noticed"


def test_missing_and_extra_shards(zoo_copy, small_recipe):
    shard_file(zoo_copy, 2).unlink()
    extra = Path(zoo_copy.uri, "shards", "shard-0000064-0000080.parquet")
    extra.write_bytes(encode_shard(train_shard(small_recipe, zoo_copy.dataset(), range(64, 80))))
    findings = verify(zoo_copy.uri)
    assert [(finding.kind, Path(finding.where).name) for finding in findings] == [
        ("missing shard", "shard-0000032-0000048.parquet"),
        ("extra shard", "shard-0000064-0000080.parquet"),
    ]
    assert "manifest lists it" in str(findings[0])


def test_shards_of_an_older_manifest_are_not_extra(small_recipe, tmp_path):
    generate_zoo(small_recipe, Store(tmp_path), members=16)
    assert verify(generate_zoo(small_recipe, Store(tmp_path), members=20)) == []


@pytest.mark.parametrize("where", ["weights", "footer", "end"])
def test_every_flipped_bit_is_found(zoo_copy, where):
    file = shard_file(zoo_copy, 1)
    data = bytearray(file.read_bytes())
    data[{"weights": len(data) // 2, "footer": len(data) - 400, "end": len(data) - 1}[where]] ^= 1
    file.write_bytes(bytes(data))
    assert "wrong file hash" in kinds(zoo_copy)


def test_truncated_shard(zoo_copy):
    file = shard_file(zoo_copy, 1)
    file.write_bytes(file.read_bytes()[:-1])
    findings = verify(zoo_copy.uri)
    assert [finding.kind for finding in findings] == ["wrong file hash", "unreadable shard"]
    assert all(finding.where == str(file) for finding in findings)


@pytest.mark.parametrize("hidden", [False, True])
def test_swapped_shards(zoo_copy, hidden):
    """Two files with each other's names; also where the manifest's hashes have been made to fit."""
    one, other = shard_file(zoo_copy, 1), shard_file(zoo_copy, 2)
    content = one.read_bytes()
    one.write_bytes(other.read_bytes())
    other.write_bytes(content)

    def swap(value):
        first, second = value["shards"][1:3]
        for key in ("sha256", "size_bytes", "content_sha256", "architecture", *CHECKSUMS):
            first[key], second[key] = second[key], first[key]

    if hidden:
        edit_manifest(zoo_copy, swap)
    findings = verify(zoo_copy.uri)
    assert {finding.where for finding in findings} == {str(one), str(other)}
    found = {finding.kind for finding in findings}
    assert found >= {"wrong members", "wrong members or epochs"}
    assert ("wrong file hash" in found) is not hidden


@pytest.mark.parametrize(("column", "value"), [("learning_rate", 0.5), ("seed", 7), ("dropout", 0.25)])
def test_member_that_was_not_trained_as_the_recipe_says(zoo_copy, column, value):
    def change(table):
        values = table[column].to_pylist()
        return with_column(table, column, [*values[:9], value, *values[10:]])

    forge(zoo_copy, 1, change)
    findings = verify(zoo_copy.uri)
    assert [finding.kind for finding in findings] == ["wrong specs"]
    assert "(19, 0)" in findings[0].detail


def test_values_that_no_member_can_have(zoo_copy):
    file = shard_file(zoo_copy, 1)
    _, table = read_shard(file.read_bytes(), "")
    file.write_bytes(_serialize(with_column(table, "optimizer", ["unheard of"] * 48), 48))
    findings = verify(zoo_copy.uri)
    assert [finding.kind for finding in findings] == ["wrong file hash", "wrong specs"]
    assert "Member.optimizer is 'unheard of'" in findings[1].detail


def test_another_recipe_or_data_set_under_the_same_digest(zoo_copy):
    recipe = canonical_json({**zoo_copy.recipe.identity(), "seed": 5}).encode()
    forge(zoo_copy, 1, lambda table: table, {b"zooscale.recipe": recipe})
    assert kinds(zoo_copy) == ["wrong recipe"]
    forge(zoo_copy, 2, lambda table: table, {b"zooscale.dataset_sha256": b'"' + b"0" * 64 + b'"'})
    assert kinds(zoo_copy) == ["wrong recipe", "wrong data set"]


def test_changed_weight_with_a_fitting_file_hash(zoo_copy):
    old = zoo_copy.manifest.shards[1].content_sha256

    def change(table):
        weights_MP = weights_of(table["weights"]).copy()
        weights_MP[3, 3] += 1e-6
        return with_weights(table, weights_MP)

    forge(zoo_copy, 1, change, {b"zooscale.content_sha256": canonical_json(old).encode()})
    assert kinds(zoo_copy) == ["wrong content hash"]


def test_content_hash_of_the_zoo(zoo_copy):
    edit_manifest(zoo_copy, lambda value: value.update(content_sha256="0" * 64))
    assert kinds(zoo_copy) == ["wrong content hash"]


def test_rows_lost(zoo_copy):
    forge(zoo_copy, 1, lambda table: table[:-3])
    assert kinds(zoo_copy) == ["wrong row count", "wrong members or epochs"]


def test_wrong_epoch(zoo_copy):
    forge(zoo_copy, 1, lambda table: with_column(table, "epoch", [0, 1, 1] * 16))
    assert kinds(zoo_copy) == ["wrong members or epochs"]
    assert "(16, 2)" in verify(zoo_copy.uri)[0].detail


def test_wrong_order(zoo_copy):
    forge(zoo_copy, 1, lambda table: table.take(pa.array(np.arange(48)[::-1])))
    assert kinds(zoo_copy) == ["wrong members or epochs"]


def test_wrong_split(zoo_copy):
    forge(zoo_copy, 1, lambda table: with_column(table, "split", ["test"] * 48))
    assert kinds(zoo_copy) == ["wrong split"]


def test_unmarked_nan_weights(zoo_copy):
    def change(table):
        weights_MP = weights_of(table["weights"]).copy()
        weights_MP[5, 3] = np.nan
        return with_weights(table, weights_MP)

    forge(zoo_copy, 1, change)
    findings = verify(zoo_copy.uri)
    assert [finding.kind for finding in findings] == ["unmarked divergence"]
    assert "(17, 2)" in findings[0].detail


def test_unmarked_nan_loss(zoo_copy):
    forge(zoo_copy, 1, lambda table: with_column(table, "test_loss", [float("nan")] + [1.0] * 47))
    assert kinds(zoo_copy) == ["unmarked divergence"]


def test_marks_without_divergence(zoo_copy):
    forge(zoo_copy, 1, lambda table: with_column(table, "diverged", [True] * 48))
    assert kinds(zoo_copy) == ["wrong divergence mark"]


def test_marked_nan_is_no_fault(zoo_copy):
    def change(table):
        weights_MP = weights_of(table["weights"]).copy()
        weights_MP[5, 3] = np.nan
        return with_column(with_weights(table, weights_MP), "diverged", [row == 5 for row in range(48)])

    forge(zoo_copy, 1, change)
    assert kinds(zoo_copy) == []


def test_wrong_schema_version(zoo_copy):
    forge(zoo_copy, 1, lambda table: table, {b"zooscale.schema_version": b"99"})
    findings = verify(zoo_copy.uri)
    assert [finding.kind for finding in findings] == ["unreadable shard"]
    assert "schema version 99" in findings[0].detail


def test_wrong_recipe_digest(zoo_copy):
    forge(zoo_copy, 1, lambda table: table, {b"zooscale.digest": b'"' + b"f" * 64 + b'"'})
    assert kinds(zoo_copy) == ["wrong recipe"]


def test_wrong_range_in_the_metadata(zoo_copy):
    forge(zoo_copy, 1, lambda table: table, {b"zooscale.members": b"[0,16]"})
    assert kinds(zoo_copy) == ["wrong members"]


def test_missing_column(zoo_copy):
    file = shard_file(zoo_copy, 1)
    _, table = read_shard(file.read_bytes(), "")
    file.write_bytes(_serialize(table.drop_columns(["dropout"]), 48))
    assert kinds(zoo_copy) == ["wrong file hash", "wrong schema"]


def test_wrong_checksums_in_the_manifest(zoo_copy):
    edit_manifest(zoo_copy, lambda value: value["shards"][1].update(footer_crc32=0))
    assert kinds(zoo_copy) == ["wrong checksums"]


def test_faults_of_several_shards_are_all_listed(zoo_copy):
    for index in (0, 3):
        file = shard_file(zoo_copy, index)
        file.write_bytes(file.read_bytes()[:100])
    assert len({finding.where for finding in verify(zoo_copy.uri)}) == 2


def test_zoo_that_cannot_be_opened_is_an_error(zoo_copy):
    Path(zoo_copy.uri, "manifest-0001.json").unlink()
    with pytest.raises(ZooError, match="unfinished"):
        verify(zoo_copy.uri)


def test_findings_are_plain_values(zoo_copy):
    shard_file(zoo_copy, 0).unlink()
    assert set(dataclasses.asdict(verify(zoo_copy)[0])) == {"kind", "where", "detail"}
