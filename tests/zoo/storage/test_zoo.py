import json
import logging
import pickle
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

import zoo.generation.shard_training as shard_training
from zoo.config import to_json
from zoo.evaluation import classification
from zoo.generation.build import generate_zoo
from zoo.generation.shard_training import train_shard
from zoo.recipes import RECIPES
from zoo.storage.catalog import list_zoos
from zoo.storage.errors import ZooError
from zoo.storage.rows import split_of
from zoo.storage.shards import encode_shard
from zoo.storage.store import Store
from zoo.storage.zoo import Zoo
from zoo.training.train import train_population


def shard_files(zoo):
    return [Path(zoo.uri, "shards", entry.name) for entry in zoo.manifest.shards]


# ---- what is in the zoo ----


def test_zoo_describes_itself(small_zoo, small_recipe):
    data = small_zoo.dataset()
    assert small_zoo.name == f"small-{small_recipe.digest(data.sha256)[:8]}"
    assert small_zoo.recipe == small_recipe
    assert small_zoo.parameters == 64 * 16 + 16 + 16 * 10 + 10
    assert [spec.name for spec in small_zoo.layout] == ["1.weight", "1.bias", "3.weight", "3.bias"]
    assert len(small_zoo) == 64
    assert set(small_zoo.architectures) == {
        small_recipe.member_architecture(shard * small_recipe.shard_members, data) for shard in range(4)
    }


def test_members_is_a_table_of_every_snapshot(small_zoo, small_recipe):
    frame = small_zoo.members
    assert "weights" not in frame
    assert list(zip(frame.member, frame.epoch, strict=True)) == [(m, e) for m in range(64) for e in (0, 1, 2)]
    assert frame.split.tolist() == [split_of(member, 2) for member in frame.member]
    member = small_recipe.member(37)
    row = frame[frame.member == 37].iloc[-1]
    assert row.seed == member.seed
    assert row.optimizer == member.optimizer
    assert row.learning_rate == member.learning_rate
    assert (
        row.activation
        == small_recipe.member_architecture(2 * small_recipe.shard_members, small_zoo.dataset()).layers[2].function
    )
    frame.loc[:, "epoch"] = 99
    assert small_zoo.members.epoch.max() == 2, "the caller's table is its own"


def test_a_population_knows_what_the_table_says_of_its_rows(small_zoo):
    frame = small_zoo.members
    few = Zoo.open(small_zoo.uri).population(members=[37, 2], epochs=(1,))
    for population in (small_zoo.population(members=[37, 2], epochs=(1,)), few):
        rows = frame[frame.member.isin([2, 37]) & (frame.epoch == 1)]
        names = ("split", "dataset", "test_accuracy", "train_loss", "generalization_gap", "epoch", "seed", "activation")
        for name in names:
            assert population.column(name).tolist() == rows[name].tolist()


def test_opening_and_the_table_read_no_weights(small_zoo, monkeypatch):
    read = []
    zoo = Zoo.open(small_zoo.uri)
    original = zoo._reader.read
    monkeypatch.setattr(
        zoo._reader, "read", lambda shard, columns, *a: read.extend(columns) or original(shard, columns, *a)
    )
    assert len(zoo.members) == 192
    assert read
    assert "weights" not in read


def test_one_member_reads_one_row_group(small_zoo, monkeypatch):
    zoo = Zoo.open(small_zoo.uri)
    _ = zoo.snapshots
    decoded = []
    original = zoo._reader._weights
    monkeypatch.setattr(zoo._reader, "_weights", lambda *arguments: decoded.append(arguments) or original(*arguments))
    monkeypatch.setattr(zoo._reader, "read", None)
    zoo.population(members=[37])
    assert decoded == [(2, [0])]


def test_a_few_members_are_found_without_the_table_of_all(small_zoo, monkeypatch):
    whole = Zoo.open(small_zoo.uri)
    _ = whole.snapshots
    for members in ([37], [63, 0, 17], [5, 5]):
        zoo = Zoo.open(small_zoo.uri)
        read = []
        original = zoo._reader.read
        monkeypatch.setattr(zoo._reader, "read", lambda shard, *a, o=original, r=read: r.append(shard) or o(shard, *a))
        few, same = zoo.population(members=members), whole.population(members=members)
        assert torch.equal(few.weights_MP, same.weights_MP)
        assert (few.members, few.epochs) == (same.members, same.epochs)
        assert set(read) == {member // 16 for member in members}
        assert "snapshots" not in zoo.__dict__
    with pytest.raises(ZooError, match="no snapshots with split 'train', epochs None among the members named"):
        Zoo.open(small_zoo.uri).population(
            "train", members=[int(small_zoo.members.query("split == 'test'").member.iloc[0])]
        )


def test_a_process_that_reads_one_member_imports_little(small_zoo):
    """A member takes 5 ms; to import these takes 10 to 250 ms."""
    code = (
        "import sys\n"
        "import numpy as np\n"
        "from zoo.storage.zoo import Zoo\n"
        f"zoo = Zoo.open({small_zoo.uri!r})\n"
        "assert len(zoo.population(members=[37], epochs='last')) == 1\n"
        "assert len(zoo._reader.weights(np.arange(192))) == 192\n"
        "heavy = {'pandas', 'pyarrow.compute', 'numpy.ma'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_weights_and_metrics_are_those_of_training(small_zoo, small_recipe):
    data = small_zoo.dataset()
    members = [small_recipe.member(i) for i in range(32, 48)]
    architecture = small_recipe.member_architecture(2 * small_recipe.shard_members, data)
    population = small_zoo.population(members=range(32, 48), epochs=[0, 1, 2])
    assert [(m.id, e) for m, e in zip(population.members, population.epochs, strict=True)] == [
        (member, epoch) for member in range(32, 48) for epoch in (0, 1, 2)
    ]
    assert list(population.members[::3]) == members
    weights_MEP = population.weights_MP.unflatten(0, (16, 3))
    for snapshot in train_population(architecture, members, data.train, epochs=2, snapshot_epochs=(0, 1, 2)):
        stored = weights_MEP[list(snapshot.rows), snapshot.epoch]
        assert torch.allclose(stored, snapshot.weights_MP, atol=1e-6)
    frame = small_zoo.members.query("32 <= member < 48")
    for split in ("validation", "test"):
        found = classification(population, getattr(data, split))
        assert np.allclose(frame[f"{split}_loss"], found.loss_M.numpy(), atol=1e-5)
        assert np.allclose(frame[f"{split}_accuracy"], found.accuracy_M.numpy())
    assert np.allclose(frame.generalization_gap, frame.train_accuracy - frame.test_accuracy)


def test_architecture_of_each_row(small_zoo):
    population = small_zoo.population(epochs="last")
    names = small_zoo.members.query("epoch == 2").activation.tolist()
    found = [population.architectures[index].layers[2].function for index in population.architecture_M.tolist()]
    assert found == names
    assert len(set(names)) == 4


# ---- selection ----


def test_splits_partition_the_members(small_zoo):
    parts = {split: {m.id for m in small_zoo.population(split).members} for split in ("train", "validation", "test")}
    assert set.union(*parts.values()) == set(range(64))
    assert sum(len(part) for part in parts.values()) == 64
    assert all(split_of(member, 2) == split for split, part in parts.items() for member in part)


def test_members_that_share_images_and_order_are_in_one_split(small_zoo):
    shared = small_zoo.members.groupby(["order_seed", "subset_seed"])
    assert (shared.member.nunique() == 2).all()
    assert (shared.split.nunique() == 1).all()


def test_a_zoo_too_small_for_a_split_says_what_to_do(small_recipe, tmp_path):
    recipe = replace(small_recipe, name="tiny", block_members=16, epochs=1, snapshot_epochs=(1,))
    zoo = generate_zoo(recipe, Store(tmp_path), members=16)
    message = "no test members: with 16 members in blocks of 16, make it larger or set block_members lower"
    with pytest.raises(ZooError, match=message):
        zoo.population("test")


@pytest.mark.parametrize(("task", "split"), [("0-1", "validation"), ("2-9", "train")])
def test_a_zoo_whose_tasks_leave_a_split_empty_says_so(task, split, tmp_path):
    recipe = RECIPES["digits-tasks"]
    recipe = replace(recipe, members=16, epochs=1, snapshot_epochs=(1,), axes={**recipe.axes, "task": task})
    zoo = generate_zoo(recipe, Store(tmp_path))
    message = f"no {split} members: splits go by the classes of tasks, and 1 task of other splits are all it has; take"
    with pytest.raises(ZooError, match=message):
        zoo.population(split)


def test_epochs(small_zoo):
    def epochs(choice):
        return small_zoo.population(epochs=choice).epochs

    assert epochs(None) == (1, 2) * 64
    assert epochs("last") == (2,) * 64
    assert epochs([0]) == (0,) * 64
    assert epochs([2, 0]) == (0, 2) * 64
    one = small_zoo.population(epochs="one")
    assert [m.id for m in one.members] == list(range(64))
    assert 16 < one.epochs.count(1) < 48
    assert small_zoo.population(epochs="one", members=[5, 40]).epochs == (one.epochs[5], one.epochs[40])


def test_members_and_epochs_may_be_arrays(small_zoo):
    population = small_zoo.population(members=np.array([3, 5]), epochs=np.array([0, 2]))
    assert [member.id for member in population.members] == [3, 3, 5, 5]
    assert population.epochs == (0, 2, 0, 2)


def test_limit_takes_the_first_members_of_the_split(small_zoo):
    every = sorted({m.id for m in small_zoo.population("train").members})
    some = small_zoo.population("train", limit=7)
    assert sorted({m.id for m in some.members}) == every[:7]
    assert len(some) == 14


def test_bad_selections(small_zoo):
    for call, message in [
        (lambda: small_zoo.population("training"), "split is 'training'; allowed: train, validation, test"),
        (lambda: small_zoo.population(epochs=[1, 7]), r"epochs is \[1, 7\].*has: 0, 1, 2"),
        (lambda: small_zoo.population(epochs="first"), "epochs is 'first'"),
        (lambda: small_zoo.population(epochs=5), "epochs is 5; allowed: 'last', 'one', or a list of"),
        (lambda: small_zoo.population(members=[3, 64]), "has no member 64; it has 0 to 63"),
        (lambda: small_zoo.population(limit=0), "limit is 0"),
    ]:
        with pytest.raises(ValueError, match=message):
            call()
    with pytest.raises(ZooError, match="no snapshots with split 'test'"):
        small_zoo.population("test", members=[0])


def test_diverged_members_are_kept_marked_and_left_out_by_default(small_recipe, tmp_path, monkeypatch, caplog):
    def with_divergence(*arguments, **options):
        for snapshot in train_population(*arguments, **options):
            if 0 in snapshot.rows and snapshot.epoch == 2:
                snapshot.weights_MP[snapshot.rows.index(0), 3] = float("nan")
            yield snapshot

    monkeypatch.setattr(shard_training, "train_population", with_divergence)
    recipe = replace(
        small_recipe,
        name="diverging",
        axes={**small_recipe.axes, "optimizer": "adam", "training_fraction": 1.0},
    )
    zoo = generate_zoo(recipe, Store(tmp_path), members=16)
    frame = zoo.members
    assert frame[frame.diverged][["member", "epoch"]].to_numpy().tolist() == [[0, 2]]
    assert np.isnan(frame.test_loss[2])
    assert len(frame) == 48
    with caplog.at_level(logging.WARNING, logger="zoo"):
        left = zoo.population(epochs="last")
    assert [m.id for m in left.members] == list(range(1, 16))
    assert "1 of 16 chosen snapshots diverged and are left out" in caplog.text
    everyone = zoo.population(epochs="last", include_diverged=True)
    assert len(everyone) == 16
    assert torch.isnan(everyone.weights_MP[0, 3])
    assert [m.id for m in zoo.population(epochs="last", limit=3).members] == [1, 2, 3]


# ---- the torch data set ----


def test_torch_dataset_equals_the_population(small_zoo):
    population = small_zoo.population("train")
    dataset = small_zoo.torch_dataset("train", columns=("member", "epoch", "test_accuracy", "activation"))
    assert len(dataset) == len(population)
    for index in (0, 17, len(dataset) - 1):
        item = dataset[index]
        assert torch.equal(item["weights"], population.weights_MP[index])
        assert item["member"] == population.members[index].id
        assert item["epoch"] == population.epochs[index]
        assert isinstance(item["activation"], str)
    shuffled = torch.randperm(len(dataset), generator=torch.Generator().manual_seed(0)).tolist()
    batch = torch.stack([item["weights"] for item in dataset.__getitems__(shuffled)])
    assert torch.equal(batch, population.weights_MP[shuffled])


def test_torch_dataset_in_loader_workers(small_zoo):
    dataset = small_zoo.torch_dataset("train", "last")
    loader = DataLoader(dataset, batch_size=8, num_workers=1, multiprocessing_context="fork")
    weights = torch.cat([batch["weights"] for batch in loader])
    assert torch.equal(weights, small_zoo.population("train", epochs="last").weights_MP)
    again = pickle.loads(pickle.dumps(dataset))
    assert torch.equal(again[3]["weights"], dataset[3]["weights"])


def test_torch_dataset_keeps_few_row_groups(small_zoo, monkeypatch):
    monkeypatch.setattr("zoo.storage.torch_dataset.CACHED_ROW_GROUPS", 2)
    dataset = small_zoo.torch_dataset()
    for index in range(0, len(dataset), 5):
        _ = dataset[index]
    assert len(dataset._cache) == 2


# ---- finding and opening ----


def test_open_by_address_name_and_beginning(small_zoo):
    assert Zoo.open(small_zoo.uri).content_sha256 == small_zoo.content_sha256
    assert Zoo.open(Path(small_zoo.uri)).name == small_zoo.name
    for name in (small_zoo.name, "small", "sma"):
        assert Zoo.open(name, store=small_zoo.store).uri == small_zoo.uri
    assert Zoo.open("small", store=small_zoo.store.uri).uri == small_zoo.uri


def test_open_finds_names_in_the_default_store(small_zoo, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "store").symlink_to(small_zoo.store.uri)
    assert Zoo.open("small").content_sha256 == small_zoo.content_sha256
    assert Zoo.open(f"./store/zoos/{small_zoo.name}").content_sha256 == small_zoo.content_sha256


def test_unknown_zoo_lists_those_there_are(small_zoo, tmp_path):
    with pytest.raises(ZooError, match=f"there is no zoo 'big'.*it has {small_zoo.name}"):
        Zoo.open("big", store=small_zoo.store)
    with pytest.raises(ZooError, match="it has none: `zooscale generate RECIPE` makes one"):
        Zoo.open("big", store=Store(tmp_path))
    with pytest.raises(ZooError, match="is not the address of a zoo"):
        Zoo.open(str(tmp_path / "somewhere"))


def test_ambiguous_beginning(zoo_copy):
    other = Path(zoo_copy.uri).with_name("smaller-00000000")
    Path(zoo_copy.uri).with_name("smaller-00000000").mkdir()
    (other / "manifest-0001.json").write_bytes(Path(zoo_copy.uri, "manifest-0001.json").read_bytes())
    with pytest.raises(ZooError, match=f"beginning of several zoos.*{zoo_copy.name}, smaller-00000000"):
        Zoo.open("sma", store=zoo_copy.store)
    assert Zoo.open("small", store=zoo_copy.store).name == zoo_copy.name, "the whole name of its recipe"
    assert Zoo.open("small-", store=zoo_copy.store).name == zoo_copy.name


def test_zoo_without_manifest_says_how_far_it_got(zoo_copy):
    Path(zoo_copy.uri, "manifest-0001.json").unlink()
    shard_files(zoo_copy)[0].unlink()
    with pytest.raises(ZooError, match=r"unfinished: 3 shards but no manifest.*`zooscale generate small`"):
        Zoo.open("small", store=zoo_copy.store)
    assert [(listing.name, listing.complete, listing.shards) for listing in list_zoos(zoo_copy.store)] == [
        (zoo_copy.name, False, 3)
    ]


def edit_manifest(zoo, change):
    path = Path(zoo.uri, "manifest-0001.json")
    value = json.loads(path.read_text())
    change(value)
    path.write_text(json.dumps(value))


def test_manifest_of_another_recipe(zoo_copy):
    edit_manifest(zoo_copy, lambda value: value["recipe"].update(seed=5))
    with pytest.raises(ZooError, match="is of another recipe"):
        Zoo.open(zoo_copy.uri)


def test_manifest_copied_from_another_zoo(zoo_copy):
    other = Path(zoo_copy.uri).with_name("small-12345678")
    Path(zoo_copy.uri).rename(other)
    with pytest.raises(ZooError, match="is of another recipe"):
        Zoo.open(str(other))


def test_damaged_manifests(zoo_copy):
    path = Path(zoo_copy.uri, "manifest-0001.json")
    whole = path.read_bytes()
    for damaged in (whole[:200], b"", b"[]", whole.replace(b'"rows"', b'"lines"', 1)):
        path.write_bytes(damaged)
        with pytest.raises(ZooError, match=r"manifest-0001\.json is damaged .*Delete it"):
            Zoo.open(zoo_copy.uri)
    path.write_bytes(whole)
    edit_manifest(zoo_copy, lambda value: value["shards"].pop(1))
    with pytest.raises(ZooError, match="do not make up members 0 to 63 without gaps"):
        Zoo.open(zoo_copy.uri)
    path.write_bytes(whole)
    edit_manifest(zoo_copy, lambda value: value.update(schema_version=7))
    with pytest.raises(ZooError, match="schema version 7; this release reads 2"):
        Zoo.open(zoo_copy.uri)


def test_damaged_shards_name_the_file(zoo_copy):
    file = shard_files(zoo_copy)[1]
    whole = file.read_bytes()
    where = f"{file.name} is corrupted or truncated.*zooscale verify"
    file.write_bytes(whole[:-100])
    with pytest.raises(ZooError, match=where):
        _ = Zoo.open(zoo_copy.uri).members
    middle = bytearray(whole)
    middle[len(whole) // 2] ^= 0x10
    file.write_bytes(bytes(middle))
    with pytest.raises(ZooError, match=where):
        Zoo.open(zoo_copy.uri).population()
    file.write_bytes(whole[:-4] + b"XXXX")
    with pytest.raises(ZooError, match=where):
        _ = Zoo.open(zoo_copy.uri).members
    file.unlink()
    with pytest.raises(ZooError, match=f"{file.name} is missing; run the `zooscale generate` or `zooscale import`"):
        _ = Zoo.open(zoo_copy.uri).members


def test_shard_of_another_zoo_is_refused(zoo_copy, small_recipe):
    file = shard_files(zoo_copy)[1]
    stranger = encode_shard(train_shard(replace(small_recipe, seed=9), zoo_copy.dataset(), range(16, 32)))
    file.write_bytes(stranger)
    edit_manifest(zoo_copy, lambda value: value["shards"][1].update(size_bytes=len(stranger)))
    with pytest.raises(ZooError, match="of another zoo"):
        _ = Zoo.open(zoo_copy.uri).members


def test_data_set_of_other_content(zoo_copy, monkeypatch):
    other = replace(zoo_copy.dataset(), validation=zoo_copy.dataset().validation.first(5))
    monkeypatch.setattr("zoo.storage.zoo.find_dataset", lambda *_: other)
    with pytest.raises(ZooError, match=r"was trained on .* Use the same files"):
        zoo_copy.dataset()


def test_names_of_zoos_are_found_without_torch():
    code = "import sys, zoo.storage.catalog, zoo.storage.store; print({'torch', 'pyarrow'} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], check=True, capture_output=True).stdout == b"set()\n"


def test_recipe_json_of_the_manifest_is_the_recipe(small_zoo, small_recipe):
    assert dict(small_zoo.manifest.recipe) == to_json(small_recipe)
