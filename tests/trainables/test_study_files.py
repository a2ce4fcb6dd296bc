"""Finding a study: by its name, the beginning of it, and the zoo that it is on."""

import json
from types import SimpleNamespace

import pandas as pd
import pytest

from trainables.study_files import StudyRecord
from zoo.storage.errors import ZooError
from zoo.storage.store import Store

TRIALS = pd.DataFrame({"trial": [0], "state": ["COMPLETE"]})


@pytest.fixture
def store():
    """Studies that begin alike: on a zoo, on the same one after it has grown, and on another."""
    store = Store("memory://study-files")
    for name, digest, content in (("s-1", "a", "x"), ("s-2", "a", "y"), ("s-3", "b", "z")):
        facts = {"zoo": {"digest": digest, "content_sha256": content}}
        store.put(f"studies/{name}/study.json", json.dumps(facts).encode())
        store.put(f"studies/{name}/trials.parquet", TRIALS.to_parquet(index=False))
    return store


@pytest.mark.parametrize(("digest", "content", "name"), [("a", "x", "s-1"), ("a", "y", "s-2"), ("b", "w", "s-3")])
def test_of_studies_that_begin_alike_that_on_the_zoo_is_meant(store, digest, content, name):
    zoo = SimpleNamespace(digest=digest, content_sha256=content)
    assert StudyRecord.open(store, "s", zoo).name == name


def test_a_study_without_a_counterpart_names_those_that_are_there(store, caplog):
    def on(digest, name, **settings):
        facts = {
            "zoo": {"digest": digest, "content_sha256": digest, "name": digest},
            "study": {"name": name, **settings},
        }
        store.put(f"studies/{name}/study.json", json.dumps(facts).encode())
        store.put(f"studies/{name}/trials.parquet", TRIALS.to_parquet(index=False))
        return SimpleNamespace(digest=digest, content_sha256=digest, name=f"zoo-{digest}")

    here, there = on("here", "own-1", trials=2), on("there", "own-2", trials=3)
    own = StudyRecord.open(store, "own-1")
    assert own.counterpart(there).name == "own-2", "the only one of this name"
    assert caplog.messages == ["own-1 is compared with own-2, which has other settings: trials 3, not 2"]
    on("there", "other-3", trials=2)
    assert own.counterpart(there).name == "other-3", "settings decide"
    on("there", "own-4", trials=2)
    assert own.counterpart(there).name == "own-4", "of the same settings the one of this name"
    assert StudyRecord.open(store, "own-4").counterpart(here).name == "own-1"
    assert len(caplog.messages) == 1, "the same settings need no word"
    with pytest.raises(
        ZooError, match=r"no study on zoo-z has the settings of own-1; .* it: none\. .*search own --zoo"
    ):
        own.counterpart(SimpleNamespace(digest="z", content_sha256="z", name="zoo-z"))
    on("here", "wide-8", trials=2, settings={"width": 8})
    on("there", "wide-9", trials=2, settings={"width": 16})
    on("there", "wide-10", trials=4)
    with pytest.raises(
        ZooError, match=r"wide-10 \(trials 4, not 2, width default, not 8\), wide-9 \(width 16, not 8\)"
    ):
        StudyRecord.open(store, "wide-8").counterpart(there)
    on("there", "again-5", trials=9)
    on("there", "again-6", trials=9)
    on("here", "further-7", trials=9)
    with pytest.raises(
        ZooError, match=r"several studies on zoo-there have the settings of further-7: again-5, again-6"
    ):
        StudyRecord.open(store, "further-7").counterpart(there)


def test_where_the_zoo_does_not_decide_the_name_has_to(store):
    for zoo in (None, SimpleNamespace(digest="a", content_sha256="w"), SimpleNamespace(digest="c", content_sha256="w")):
        with pytest.raises(ZooError, match=r"'s' is the beginning of several studies: s-1, s-2.*name one in full"):
            StudyRecord.open(store, "s", zoo)
    assert StudyRecord.open(store, "s-3").name == "s-3"
