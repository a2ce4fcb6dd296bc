"""A store that cannot be written is found out before anything is trained, fitted, measured or read."""

import pytest

from cluster.cli import run
from zoo.storage.errors import ZooError
from zoo.storage.store import Store

CHECKED = "checked before any work"


@pytest.fixture
def unwritable(monkeypatch):
    """Every store refuses when it is asked, and fails the test where it is not."""

    def refuse(self, folder):
        raise ZooError(f"cannot write {self.join(folder)}: {CHECKED}")

    def written(self, path, data):
        pytest.fail(f"{path} is written")

    monkeypatch.setattr(Store, "check_writable", refuse)
    monkeypatch.setattr(Store, "put", written)
    monkeypatch.setattr(Store, "put_new", written)


WORK = {
    "generate": ("cluster.distributed.generation.train_shard", ["digits-mlp-diverse", "--members", "16"]),
    "search": ("cluster.distributed.search.make_fits", ["digits-predictor", "--zoo", "small"]),
    "fit": ("cluster.distributed.search.make_fits", ["uniform", "--zoo", "small"]),
    "analyze": ("cluster.verbs.analyze.write_report", ["--zoo", "small"]),
    "card": ("analysis.card.facts.make_card", ["small"]),
    "import": ("zoo.exchange.copying.copy_zoo", ["FOLDER"]),
    "copy": ("zoo.exchange.copying.copy_zoo", ["small", "--to", "OTHER"]),
    "data": ("zoo.data.load_dataset", ["digits", "--stage"]),
}


@pytest.mark.parametrize("verb", WORK)
def test_verbs_ask_before_any_work(verb, small_zoo, unwritable, monkeypatch, capsys, tmp_path):
    work, arguments = WORK[verb]
    monkeypatch.setattr(work, lambda *_, **__: pytest.fail("work has begun"))
    given = {"FOLDER": small_zoo.uri, "OTHER": str(tmp_path)}
    assert run([verb, *(given.get(word, word) for word in arguments), "--store", small_zoo.store.uri]) == 2
    assert CHECKED in capsys.readouterr().err


def test_asking_leaves_nothing(tmp_path):
    store = Store(tmp_path / "new" / "store")
    store.check_writable("zoos/x")
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "file").write_text("")
    with pytest.raises(ZooError, match=r"cannot write .*/file/zoos: .*Not a directory"):
        Store(tmp_path / "file").check_writable("zoos")
