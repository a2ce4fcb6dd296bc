"""Zoos on object storage, generated and read by the serial API: the same as on disk, and with few requests."""

import json
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
import torch
from object_storage import (
    BUCKET,
    BUSY,
    CUT_DOWNLOAD,
    CUT_UPLOAD,
    PASS,
    Proxy,
    Rclone,
    moto_server,
    needs_moto,
    needs_rclone,
    use,
)
from safetensors.torch import load_file
from torch.utils.data import DataLoader

from analysis.card.facts import make_card
from cluster.cli import run
from zoo.generation.build import generate_zoo
from zoo.storage import backoff
from zoo.storage.errors import ZooError
from zoo.storage.removal import remove_unfinished
from zoo.storage.store import Store
from zoo.storage.verify import verify
from zoo.storage.zoo import Zoo

URI = f"s3://{BUCKET}/some/store"


@pytest.fixture(scope="module")
def rclone(tmp_path_factory):
    server = Rclone(tmp_path_factory.mktemp("rclone") / "data")
    yield server
    server.kill()


@pytest.fixture
def quick(monkeypatch):
    monkeypatch.setattr(backoff, "SHORTEST_WAIT_S", 0.01)
    monkeypatch.setattr(backoff, "LONGEST_WAIT_S", 0.2)
    monkeypatch.setenv(backoff.PATIENCE_VARIABLE, "10")


@pytest.fixture
def proxy(rclone, monkeypatch, quick):
    proxy = Proxy(rclone.url)
    use(monkeypatch, proxy.url)
    yield proxy
    proxy.close()


@pytest.fixture
def remote(small_zoo, proxy):
    """``small_zoo`` copied to object storage; the log holds nothing of that."""
    store = Store(URI)
    for path in small_zoo.store.list():
        store.put_new(path, small_zoo.store.read(path))
    proxy.log.clear()
    return store


def every_nth(number, what):
    """A disturbance of every so many requests."""
    count, lock = [0], threading.Lock()

    def disturb(method, path):
        with lock:
            count[0] += 1
            return what if count[0] % number == 0 else PASS

    return disturb


@needs_rclone
@pytest.mark.parametrize("what", [BUSY, CUT_UPLOAD, CUT_DOWNLOAD])
def test_zoo_is_that_of_the_disk_however_the_network_is(small_recipe, small_zoo, proxy, what):
    proxy.disturb = every_nth(7, what)
    store = Store(f"{URI}/{what.replace(' ', '-')}")
    zoo = generate_zoo(small_recipe, store, members=32)
    zoo = generate_zoo(small_recipe, store)  # goes on
    assert zoo.content_sha256 == small_zoo.content_sha256
    assert verify(zoo) == []
    here, there = small_zoo.population("train", epochs="last"), zoo.population("train", epochs="last")
    assert torch.equal(here.weights_MP, there.weights_MP)
    assert here.members == there.members


@needs_rclone
def test_server_that_is_away_during_generation(small_recipe, small_zoo, tmp_path, monkeypatch, quick):
    server = Rclone(tmp_path / "data")
    use(monkeypatch, server.url)
    revivals = []

    def kill_after_the_first(done, _total):
        if done == 16:
            server.kill()
            revivals.append(threading.Timer(0.8, server.start))
            revivals[0].start()

    zoo = generate_zoo(small_recipe, Store(URI), progress=kill_after_the_first)
    assert zoo.content_sha256 == small_zoo.content_sha256
    revivals[0].join()
    monkeypatch.setenv(backoff.PATIENCE_VARIABLE, "0.3")
    with pytest.raises(ZooError, match=f"{server.url} does not answer"):
        generate_zoo(
            replace(small_recipe, name="unlucky"), Store(URI), progress=lambda done, _: server.kill() if done else None
        )
    server.start()
    monkeypatch.setenv(backoff.PATIENCE_VARIABLE, "10")
    with pytest.raises(ZooError, match=r"unlucky-[0-9a-f]{8} in .* is unfinished: 1 shard but no manifest"):
        Zoo.open("unlucky", store=Store(URI))
    assert len(generate_zoo(replace(small_recipe, name="unlucky"), Store(URI))) == 64
    server.kill()


@needs_moto
def test_two_writers_at_once_on_a_server_that_honours_conditions(small_recipe, small_zoo, monkeypatch):
    with moto_server() as url:
        use(monkeypatch, url)
        store = Store(f"{URI}/two-writers")
        zoos = generated_twice_at_once(small_recipe, store)
        assert [zoo.content_sha256 for zoo in zoos] == [small_zoo.content_sha256] * 2
        files = store.list()
        assert len([path for path in files if path.endswith(".parquet")]) == 4
        assert len([path for path in files if "manifest" in path]) == 1
        assert verify(zoos[0]) == []


def generated_twice_at_once(recipe, store):
    with ThreadPoolExecutor(2) as pool:
        return list(pool.map(lambda _: generate_zoo(recipe, store), range(2)))


@needs_rclone
def test_opening_a_zoo_lists_no_shards(small_zoo, remote, proxy):
    for name in (small_zoo.name, f"{URI}/zoos/{small_zoo.name}"):
        proxy.log.clear()
        zoo = Zoo.open(name) if "/" in name else Zoo.open(name, store=remote)
        assert len(zoo) == 64
        assert not [request for request in proxy.log if "shards" in request.path]
        assert all("delimiter=/" in request.query for request in proxy.log if request.is_listing)
        assert len(proxy.log) <= 4
    proxy.log.clear()
    assert zoo.dataset().sha256 == zoo.manifest.dataset_sha256
    zoo.population(members=[3])
    assert not [request for request in proxy.log if request.is_listing]


@needs_rclone
def test_only_needed_columns_and_row_groups_are_fetched(small_zoo, remote, proxy):
    zoo = Zoo.open(small_zoo.name, store=remote)
    size = sum(entry.size_bytes for entry in zoo.manifest.shards)
    proxy.log.clear()
    assert zoo.snapshots.equals(small_zoo.snapshots)
    fetched = sum(request.answer for request in proxy.log)
    assert len(proxy.log) == 8, "a footer and the columns beside the weights, of each of 4 shards"
    assert fetched < 0.5 * size, "the small columns and footers of this zoo of tiny networks"
    proxy.log.clear()
    population = zoo.population(members=[37], epochs=[0, 1, 2])
    assert torch.equal(population.weights_MP, small_zoo.population(members=[37], epochs=[0, 1, 2]).weights_MP)
    (request,) = proxy.log
    assert request.path.endswith(zoo.manifest.shards[2].name)
    assert request.answer < zoo.manifest.shards[2].size_bytes


@needs_rclone
def test_one_member_of_a_zoo_just_opened_takes_three_requests_of_its_shard(small_zoo, remote, proxy):
    zoo = Zoo.open(small_zoo.name, store=remote)
    proxy.log.clear()
    population = zoo.population(members=[37])
    assert torch.equal(population.weights_MP, small_zoo.population(members=[37]).weights_MP)
    assert len(proxy.log) == 3, "the footer, the columns that members are told by, the weights"
    assert {request.path.rpartition("/")[2] for request in proxy.log} == {zoo.manifest.shards[2].name}


@needs_rclone
def test_data_loader_with_workers(small_zoo, remote):
    dataset = Zoo.open(small_zoo.name, store=remote).torch_dataset("test", columns=("member",))
    here = small_zoo.torch_dataset("test", columns=("member",))
    assert torch.equal(dataset[0]["weights"], here[0]["weights"])
    batches = list(DataLoader(dataset, batch_size=8, num_workers=1, multiprocessing_context="fork"))
    assert torch.equal(
        torch.cat([batch["weights"] for batch in batches]), torch.stack([item["weights"] for item in here])
    )


@pytest.mark.slow
@needs_rclone
def test_card_export_and_import(small_zoo, remote, tmp_path, capsys):
    def told(*words):
        assert run([*words, "--json"]) == 0
        return json.loads(capsys.readouterr().out)

    card = told("card", small_zoo.name, "--store", URI, "--members", "16", "--examples", "100")
    folder = f"reports/card-{small_zoo.name}"
    assert (card["card"], card["json"]) == (f"{URI}/{folder}/card.html", f"{URI}/{folder}/card.json")
    facts = json.loads(remote.read(f"{folder}/card.json"))
    here = make_card(small_zoo, members=16, examples=100).to_json()
    assert facts["about"].pop("address") == f"{URI}/zoos/{small_zoo.name}"
    assert here["about"].pop("address") == f"zoos/{small_zoo.name}"
    assert facts == json.loads(json.dumps(here))
    assert b"</html>" in remote.read(f"{folder}/card.html")

    for layout in ("zoo", "parquet"):
        out, there = str(tmp_path / layout), f"{URI}/again/{layout}"
        if layout == "zoo":
            assert told("copy", small_zoo.name, "--store", URI, "--to", out)["target"] == out
        else:
            assert told("export", small_zoo.name, "--store", URI, "--to", out, "--format", layout)["path"] == out
        assert told("import", out, "--store", there)["uri"] == f"{there}/zoos/{small_zoo.name}"
        again = Zoo.open(small_zoo.name, store=Store(there))
        assert again.content_sha256 == small_zoo.content_sha256
        assert verify(again) == []
        assert told("import", out, "--store", there)["content_sha256"] == small_zoo.content_sha256

    told("copy", small_zoo.name, "--store", URI, "--to", f"{URI}/copy")
    assert verify(Zoo.open(small_zoo.name, store=f"{URI}/copy")) == []

    file = tmp_path / "seven.safetensors"
    told("export", f"{URI}/zoos/{small_zoo.name}", "--member", "7", "--to", str(file))
    bias = load_file(file)["1.bias"]
    weights_P = small_zoo.population(members=[7], epochs="last").weights_MP[0]
    assert torch.equal(bias, weights_P[small_zoo.layout[1].span])


@needs_rclone
def test_faults_are_found(small_zoo, remote, tmp_path):
    folder = f"zoos/{small_zoo.name}/shards"
    names = [entry.name for entry in small_zoo.manifest.shards]
    contents = [remote.read(f"{folder}/{name}") for name in names]
    remote.put(f"{folder}/{names[0]}", contents[0][:-1])
    remote.put(f"{folder}/{names[1]}", contents[1] + b"more")
    remote.delete(f"{folder}/{names[2]}")
    remote.put(f"{folder}/extra.parquet", b"")
    zoo = Zoo.open(small_zoo.name, store=remote)
    found = {finding.where.rpartition("/")[2]: finding.kind for finding in reversed(verify(zoo))}
    assert found[names[0]] == found[names[1]] == "wrong file hash"
    assert (found[names[2]], found["extra.parquet"]) == ("missing shard", "extra shard")
    assert names[3] not in found
    for index in (0, 1):
        with pytest.raises(ZooError, match=f"{names[index]} is corrupted or truncated"):
            zoo._reader.read(index, ["member"])
    with pytest.raises(ZooError, match=f"{names[2]} is missing"):
        zoo._reader.read(2, ["member"])
    assert remove_unfinished(remote, small_zoo.name) == [f"{URI}/{folder}/extra.parquet"]
