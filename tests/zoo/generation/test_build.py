import itertools
import uuid
from dataclasses import replace
from pathlib import Path

import pytest
import torch

import zoo.generation.build as build
import zoo.generation.shard_training as shard_training
from zoo.generation.build import generate_zoo, plan_generation, plan_shards
from zoo.generation.commit import commit, zoo_name
from zoo.generation.shard_training import train_shard
from zoo.recipes import Axis
from zoo.storage.errors import ZooError
from zoo.storage.manifest import shard_name, shard_path
from zoo.storage.shards import describe_shard, encode_shard
from zoo.storage.store import Store
from zoo.storage.zoo import Zoo
from zoo.training.train import train_population


def shard_files(zoo):
    return [Path(zoo.uri, "shards", entry.name) for entry in zoo.manifest.shards]


def store_shard(plan, store, members):
    store.put_new(
        shard_path(plan.name, shard_name(members)), encode_shard(train_shard(plan.recipe, plan.data, members))
    )


# ---- planning ----


def test_plan_splits_at_multiples_of_the_shard_size(small_recipe):
    def plan(first, end):
        return [(shard.start, shard.stop) for shard in plan_shards(small_recipe, first, end)]

    assert plan(0, 48) == [(0, 16), (16, 32), (32, 48)]
    assert plan(0, 20) == [(0, 16), (16, 20)]
    assert plan(20, 50) == [(20, 32), (32, 48), (48, 50)]
    assert plan(20, 21) == [(20, 21)]
    assert plan(16, 32) == [(16, 32)]
    assert plan(5, 5) == []
    assert shard_name(range(16, 20)) == "shard-0000016-0000020.parquet"


def test_train_shard_refuses_a_range_over_two_shards(small_recipe, small_zoo):
    for members in (range(8, 20), range(4, 4)):
        with pytest.raises(ValueError, match="not of one shard"):
            train_shard(small_recipe, small_zoo.dataset(), members)


def test_training_of_a_shard_is_told_by_the_examples_that_members_have_seen(small_recipe, small_zoo):
    tenth = Axis(choices=(0.1, 1.0))
    recipe = replace(small_recipe, axes={**small_recipe.axes, "training_fraction": tenth}, snapshot_epochs=(0, 1, 2))
    shares = []
    train_shard(recipe, small_zoo.dataset(), range(3, 9), shares.append)
    assert shares == sorted(shares)
    assert shares[0] == 0.0, "the initialization takes no training"
    assert shares[-1] == pytest.approx(1.0)
    steps = {round(after - before, 3) for before, after in itertools.pairwise(shares) if after > before}
    assert max(steps) > 4 * min(steps), "a member with a tenth of the examples is a tenth of the work"


@pytest.mark.parametrize("name", ["../evil", "a/b", "", ".hidden", "my recipe"])
def test_recipe_names_that_cannot_be_folders(small_recipe, name):
    with pytest.raises(ValueError, match=r"Recipe\.name is"):
        zoo_name(replace(small_recipe, name=name), "0" * 64)


@pytest.mark.parametrize("members", [0, -3])
def test_no_members(small_recipe, tmp_path, members):
    with pytest.raises(ValueError, match=f"members is {members}; allowed: 1 or more"):
        generate_zoo(small_recipe, Store(tmp_path), members=members)
    assert list(tmp_path.iterdir()) == []


# ---- generating: the same zoo however it comes about ----


def test_generation_is_reproducible_file_by_file(small_zoo, small_recipe):
    store = Store(f"memory://{uuid.uuid4()}/store")
    again = generate_zoo(small_recipe, store)
    assert again.content_sha256 == small_zoo.content_sha256
    assert again.manifest.shards == small_zoo.manifest.shards
    assert Zoo.open(again.uri).population(limit=2).weights_MP.shape == (4, again.parameters)


def test_shards_may_be_made_in_any_order_by_anyone(small_zoo, small_recipe, tmp_path):
    plan = plan_generation(small_recipe, Store(tmp_path))
    for shard in reversed(plan.missing):
        store_shard(plan, Store(tmp_path), shard)
    store_shard(plan, Store(tmp_path), plan.missing[0])
    assert commit(plan, Store(tmp_path)).content_sha256 == small_zoo.content_sha256


def test_what_this_run_wrote_is_not_read_back_and_all_else_is(small_zoo, small_recipe, tmp_path, monkeypatch):
    read, original = [], Store.read
    monkeypatch.setattr(Store, "read", lambda self, path: read.append(path) or original(self, path))

    def shards_read():
        return [path.rpartition("/")[2] for path in read if path.endswith(".parquet")]

    store = Store(tmp_path)
    plan = plan_generation(small_recipe, store)
    store_shard(plan, store, plan.missing[1])
    assert generate_zoo(small_recipe, store).manifest.shards == small_zoo.manifest.shards
    assert shards_read() == [shard_name(plan.missing[1])]


def test_shard_that_is_gone_before_the_commit_is_missed(small_zoo, small_recipe, tmp_path):
    store = Store(tmp_path)
    plan = plan_generation(small_recipe, store, members=16)
    data = Path(small_zoo.uri, "shards", shard_name(plan.missing[0])).read_bytes()
    with pytest.raises(ZooError, match="is missing"):
        commit(plan, store, [describe_shard(data, "")])
    store.put_new(f"zoos/{plan.name}/shards/{shard_name(plan.missing[0])}", data)
    assert len(commit(plan, store, [describe_shard(data, "")])) == 16


def test_interrupted_generation_continues(small_zoo, small_recipe, tmp_path, monkeypatch):
    class Killed(BaseException):
        pass

    def die_after_two(done, _total):
        if done == 32:
            raise Killed

    with pytest.raises(Killed):
        generate_zoo(small_recipe, Store(tmp_path), progress=die_after_two)
    with pytest.raises(ZooError, match="unfinished: 2 shards"):
        Zoo.open("small", store=Store(tmp_path))
    built = []
    original = build.train_shard
    monkeypatch.setattr(build, "train_shard", lambda r, d, shard: built.append(shard) or original(r, d, shard))
    seen = []
    zoo = generate_zoo(small_recipe, Store(tmp_path), progress=lambda done, total: seen.append((done, total)))
    assert built == [range(32, 48), range(48, 64)]
    assert seen == [(32, 64), (48, 64), (64, 64)]
    assert zoo.content_sha256 == small_zoo.content_sha256


@pytest.mark.parametrize("damage", ["truncated", "empty", "other recipe", "other members"])
def test_leftover_shards_are_checked_before_they_are_listed(zoo_copy, small_recipe, damage):
    Path(zoo_copy.uri, "manifest-0001.json").unlink()
    file = shard_files(zoo_copy)[2]
    spoiled, message = {
        "truncated": (lambda: file.read_bytes()[:-50], "is corrupted or truncated.*delete the file"),
        "empty": (lambda: b"", "is corrupted or truncated.*delete the file"),
        "other recipe": (
            lambda: encode_shard(train_shard(replace(small_recipe, seed=9), zoo_copy.dataset(), range(32, 48))),
            "is of another recipe.*delete it",
        ),
        "other members": (shard_files(zoo_copy)[1].read_bytes, "holds members 16 to 31, not those of its name"),
    }[damage]
    file.write_bytes(spoiled())
    with pytest.raises(ZooError, match=f"{file.name} {message}"):
        generate_zoo(small_recipe, zoo_copy.store)
    with pytest.raises(ZooError, match="unfinished"):
        Zoo.open(zoo_copy.uri)
    file.unlink()
    assert generate_zoo(small_recipe, zoo_copy.store).content_sha256 == zoo_copy.content_sha256


@pytest.mark.parametrize(
    ("members", "ranges"),
    [
        (3, [(0, 3), (3, 16), (16, 32), (32, 48), (48, 64)]),
        (20, [(0, 16), (16, 20), (20, 32), (32, 48), (48, 64)]),
        (32, [(0, 16), (16, 32), (32, 48), (48, 64)]),
    ],
)
def test_extension_adds_shards_and_gives_the_zoo_made_at_once(small_zoo, small_recipe, tmp_path, members, ranges):
    store = Store(tmp_path)
    first = generate_zoo(small_recipe, store, members=members)
    assert [len(first), first.recipe.members] == [members, members]
    files = {path: store.read(path) for path in store.list()}
    second = generate_zoo(small_recipe, store)
    assert [(entry.first, entry.end) for entry in second.manifest.shards] == ranges
    assert second.name == first.name
    assert torch.equal(second.population().weights_MP, small_zoo.population().weights_MP)
    assert second.content_sha256 == small_zoo.content_sha256
    assert {path: store.read(path) for path in files} == files, "what was there stays as it was"
    manifests = [path.rpartition("/")[2] for path in store.list() if path.endswith("json")]
    assert manifests == ["manifest-0001.json", "manifest-0002.json"]


def test_finished_zoo_is_opened_not_made_again(zoo_copy, small_recipe, monkeypatch, caplog):
    monkeypatch.setattr(build, "train_shard", lambda *_: pytest.fail("trained again"))
    assert generate_zoo(small_recipe, zoo_copy.store).content_sha256 == zoo_copy.content_sha256
    fewer = generate_zoo(small_recipe, zoo_copy.store, members=10)
    assert len(fewer) == 64
    assert "has 64 members already; none are removed to make it 10" in caplog.text
    assert len(list(Path(zoo_copy.uri).glob("manifest-*"))) == 1


def test_lost_shard_of_a_finished_zoo_is_made_anew(zoo_copy, small_recipe):
    file = shard_files(zoo_copy)[1]
    whole = file.read_bytes()
    file.unlink()
    again = generate_zoo(small_recipe, zoo_copy.store)
    assert file.read_bytes() == whole
    assert again.manifest == zoo_copy.manifest


def test_lost_shard_that_comes_out_different_is_not_committed(zoo_copy, small_recipe, monkeypatch):
    shard_files(zoo_copy)[1].unlink()

    def other_bits(*arguments, **options):
        for snapshot in train_population(*arguments, **options):
            snapshot.weights_MP.add_(1e-6)
            yield snapshot

    monkeypatch.setattr(shard_training, "train_population", other_bits)
    with pytest.raises(ZooError, match="made anew, but with other weights"):
        generate_zoo(small_recipe, zoo_copy.store)


@pytest.mark.parametrize("members", [16, 32])
def test_two_processes_commit_at_once(members, small_recipe, tmp_path, monkeypatch):
    """Both find no manifest; the other one, which makes as many members or more, is a moment earlier."""
    store = Store(tmp_path)
    plan = plan_generation(small_recipe, store, members=16)
    store_shard(plan, store, plan.missing[0])
    original = Store.put_new

    def late(self, path, data):
        if path.endswith(".json"):
            monkeypatch.setattr(Store, "put_new", original)
            generate_zoo(small_recipe, store, members=members)
        return original(self, path, data)

    monkeypatch.setattr(Store, "put_new", late)
    if members == 16:
        zoo = commit(plan, store)
        assert len(zoo) == 16
    else:
        with pytest.raises(ZooError, match="32 members was written by another process just now"):
            commit(plan, store)
    assert len(list(tmp_path.rglob("manifest-*.json"))) == 1


def test_commit_before_all_shards_are_there(small_recipe, tmp_path):
    plan = plan_generation(small_recipe, Store(tmp_path), members=32)
    store_shard(plan, Store(tmp_path), plan.missing[0])
    with pytest.raises(ZooError, match=r"shard-0000016-0000032\.parquet is missing"):
        commit(plan, Store(tmp_path))
    assert not list(tmp_path.rglob("manifest*"))


def test_unwritable_store(small_recipe, tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(ZooError, match=r"cannot write .*choose another store"):
        generate_zoo(small_recipe, Store(tmp_path / "file"), members=1)


def test_number_of_threads_is_restored_and_does_not_matter(small_recipe, small_zoo):
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        data = encode_shard(train_shard(small_recipe, small_zoo.dataset(), range(16)))
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(threads)
    assert data == shard_files(small_zoo)[0].read_bytes()


def test_of_a_large_zoo_the_first_shards_can_stand_for_all(small_recipe, zoo_copy):
    plan = plan_generation(small_recipe, zoo_copy.store, members=1024, at_most=32)
    assert (len(plan.missing), plan.unplanned) == (2, 1024 - 64 - 32)
    assert (plan.missing_members, plan.missing_shards) == (1024 - 64, (1024 - 64) // 16)
    whole = plan_generation(small_recipe, zoo_copy.store, members=1024)
    assert (whole.unplanned, whole.missing_members, whole.missing_shards) == (0, 1024 - 64, len(whole.missing))
