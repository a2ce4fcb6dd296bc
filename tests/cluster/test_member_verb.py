"""``member``: one network of a zoo, in words and as JSON."""

import json

import pytest

from cluster.cli import run


def test_a_member_is_shown_with_its_snapshots_and_layers(small_zoo, capsys):
    assert run(["member", small_zoo.name, "7", "--store", small_zoo.store.uri, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    rows = small_zoo.members.query("member == 7")
    assert [row["epoch"] for row in told["snapshots"]] == rows["epoch"].tolist() == [0, 1, 2]
    assert [row["test_accuracy"] for row in told["snapshots"]] == rows["test_accuracy"].tolist()
    assert told["trained"]["learning_rate"] == rows["learning_rate"].iloc[0]
    assert told["split"] == rows["split"].iloc[0]
    population = small_zoo.population(members=[7], epochs=[0, 1, 2])
    norms = [list(row.values())[1:] for row in told["layer_norms"]]
    for layers, weights_P in zip(norms, population.weights_MP, strict=True):
        assert sum(norm**2 for norm in layers) == pytest.approx(float(weights_P.double().square().sum()))


def test_it_reads_well(small_zoo, capsys):
    assert run(["member", small_zoo.name, "7", "--store", small_zoo.store.uri]) == 0
    text = capsys.readouterr().out
    assert text.startswith(f"member 7 of {small_zoo.name}, in its ")
    assert "1×8×8 → 16 → 10" in text.splitlines()[0]
    assert "epoch  train loss" in text


def test_a_number_beyond_the_zoo_is_refused(small_zoo, capsys):
    assert run(["member", small_zoo.name, "64", "--store", small_zoo.store.uri]) == 2
    assert "has no member 64; allowed: 0 to 63" in capsys.readouterr().err
