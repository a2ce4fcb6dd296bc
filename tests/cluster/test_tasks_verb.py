"""Tasks of data sets as vectors, from the command line."""

import json

import pytest

from cluster.cli import run
from trainables.tasks.embeddings import TaskEmbeddings
from trainables.tasks.probe import PROBE_FILE, PROBE_WEIGHTS_FILE, TrainedProbe
from zoo.storage.store import Store

SMALL = ["--set", "channels=4", "--set", "epochs=1", "--set", "examples=20"]


def told(capsys, *arguments):
    assert run([*arguments, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_tasks_are_embedded_once_and_can_be_read(capsys, tmp_path):
    arguments = ["tasks", "digits", "--tasks", "0-1, 3-8,5-rest", "--store", str(tmp_path), *SMALL]
    first = told(capsys, *arguments)
    assert (first["tasks"], first["filters"], first["new"]) == (3, 12, True)
    assert first["probe"] == "resnet 4 on digits"
    assert set(first["nearest"]) < {"digits:0-1", "digits:3-8", "digits:5-rest"}
    assert told(capsys, *arguments)["new"] is False
    store = Store(tmp_path)
    (folder,) = store.folders("reports")
    files = {name: store.read(f"reports/{folder}/{name}") for name in store.files(f"reports/{folder}")}
    found = TaskEmbeddings.open(first["embeddings"])
    probe = TrainedProbe.from_files({name: files[name] for name in (PROBE_FILE, PROBE_WEIGHTS_FILE)})
    assert found.names == ("digits:0-1", "digits:3-8", "digits:5-rest")
    assert found.probe == (probe.name, probe.network.sha256)
    page = files["report.html"].decode()
    assert "Tasks of digits" in page
    assert "zooscale tasks digits" in page
    assert run(["list", "--store", str(tmp_path)]) == 0
    assert f"reports/{folder}/report.html" in capsys.readouterr().out


def test_other_options_are_other_embeddings(capsys, tmp_path):
    for more in ([], ["--seed", "1"], ["--set", "estimate=monte-carlo"], ["--probe", "tetris"]):
        arguments = ["tasks", "digits", "--tasks", "0-1,3-8", "--store", str(tmp_path), *SMALL, *more]
        assert told(capsys, *arguments)["new"] is True
    assert len(Store(tmp_path).folders("reports")) == 4


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["digits", "--tasks", "3"], "task is '3'; allowed: '' for the whole data set"),
        (["digits", "--tasks", "3-11,0-1"], "there are no images of its class 1"),
        (["digits", "--tasks", "whole"], "these are 1 tasks; allowed: 2 to 2,000"),
        (["nothing", "--tasks", "0-1"], "unknown data set 'nothing'"),
        (["digits", "--set", "estimat=exact"], "there is no field 'estimat'; did you mean 'estimate'?"),
    ],
)
def test_what_cannot_be_embedded_is_refused(arguments, message, capsys, tmp_path):
    assert run(["tasks", *arguments, "--store", str(tmp_path), "--set", "epochs=1", "--set", "channels=2"]) == 2
    assert message in capsys.readouterr().err
