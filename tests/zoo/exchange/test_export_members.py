"""Export of single members, ONNX graphs, and the verbs import and export."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from published_layouts import tune_config, write_checkpoint_tree
from safetensors import safe_open
from safetensors.numpy import load_file

from cluster.cli import run
from zoo.architecture import (
    ARCHITECTURES,
    Activate,
    Architecture,
    AveragePool,
    BatchNorm,
    Conv,
    Flatten,
    GlobalAveragePool,
    Linear,
    MaxPool,
    Rescale,
    Residual,
)
from zoo.architecture.activations import ACTIVATIONS
from zoo.exchange.members import export_member


def test_a_member_as_safetensors_and_state_dict(small_zoo, tmp_path):
    expected = small_zoo.population(members=[7], epochs=[1])
    architecture = expected.architectures[int(expected.architecture_M[0])]
    export_member(small_zoo, 7, tmp_path / "seven.safetensors", epoch=1)
    export_member(small_zoo, 7, tmp_path / "seven.pt", epoch=1)
    state = torch.load(tmp_path / "seven.pt", weights_only=True)
    tensors = load_file(tmp_path / "seven.safetensors")
    assert set(state) == set(tensors) == {spec.name for spec in architecture.layout}
    for spec in architecture.layout:
        flat = expected.weights_MP[0, spec.span]
        assert torch.equal(state[spec.name].flatten(), flat)
        assert np.array_equal(tensors[spec.name].reshape(-1), flat.numpy())
    with safe_open(tmp_path / "seven.safetensors", "pt") as file:
        told = file.metadata()
    assert Architecture.from_json(json.loads(told["architecture"])) == architecture
    assert json.loads(told["member"])["id"] == 7
    assert told["epoch"] == "1"
    assert (tmp_path / "seven.pt").stat().st_size < 20_000  # the member alone, not the storage it is a view of


@pytest.mark.parametrize(
    ("member", "epoch", "name", "words"),
    [
        (99, None, "a.pt", "no member 99"),
        (0, 7, "a.pt", "0, 1, 2"),
        (0, None, "a.zip", r"names no format.*onnx \(\.onnx\)"),
        (0, None, "old.pt", "exists already"),
    ],
)
def test_a_member_that_cannot_be_exported(small_zoo, tmp_path, member, epoch, name, words):
    (tmp_path / "old.pt").write_text("old")
    with pytest.raises(ValueError, match=words):
        export_member(small_zoo, member, tmp_path / name, epoch=epoch)
    assert [entry.name for entry in tmp_path.iterdir()] == ["old.pt"]


def conv(channels: int, stride: int = 1) -> Conv:
    return Conv(channels=channels, kernel=3, stride=stride, padding=1, bias=False)


EVERYTHING = Architecture(
    (2, 13, 11),
    (
        Rescale(scale=2, offset=-0.5),
        *(Conv(channels=4, kernel=5, stride=2, padding=2), BatchNorm(), Activate(function="silu")),
        Residual(body=(conv(4), BatchNorm(), Activate(function="gelu"), conv(4), BatchNorm())),
        Residual(
            body=(conv(6, 2), Residual(body=(conv(6),)), Activate(function="tanh"), AveragePool(size=2, stride=1)),
            shortcut=(Conv(channels=6, kernel=1, stride=2, bias=False), BatchNorm(), MaxPool(size=2, stride=1)),
        ),
        *(MaxPool(size=2), Activate(function="leaky_relu"), Flatten()),
        *(Linear(features=7, bias=False), BatchNorm(), Activate(function="sigmoid"), Linear(features=3)),
    ),
)


def onnx_networks() -> dict[str, Architecture]:
    networks = {"everything": EVERYTHING}
    for name, build in ARCHITECTURES.items():
        networks[name] = build((1, 28, 28), (4, 6) if name in ("mlp", "cnn", "cnn-strided", "resnet") else (), 10)
    for function in ACTIVATIONS:
        networks[function] = ARCHITECTURES["mlp"]((3,), (5,), 2, activation=function)
    networks["pools"] = Architecture(
        (1, 9, 9), (Conv(channels=2, kernel=2), AveragePool(size=3), GlobalAveragePool(), Linear(features=2))
    )
    return networks


@pytest.mark.parametrize("name", onnx_networks())
def test_onnx_computes_the_same(name):
    pytest.importorskip("onnx")
    runtime = pytest.importorskip("onnxruntime")
    from zoo.exchange.onnx_graph import onnx_model

    architecture = onnx_networks()[name]
    generator = torch.Generator().manual_seed(0)
    weights_P = torch.randn(architecture.parameters, generator=generator) * 0.5
    for spec in architecture.layout:
        if spec.name.endswith("running_var"):
            weights_P[spec.span] = weights_P[spec.span].abs() + 0.1
    x = torch.randn(4, *architecture.input_shape, generator=generator)
    data = onnx_model(architecture, weights_P, {"zoo": "test"})
    session = runtime.InferenceSession(data, providers=["CPUExecutionProvider"])
    (logits,) = session.run(["logits"], {"images": x.numpy()})
    torch.testing.assert_close(
        torch.from_numpy(logits), architecture.logits(weights_P[None], x)[0], rtol=1e-3, atol=1e-4
    )
    assert session.get_modelmeta().custom_metadata_map == {"zoo": "test"}


def test_onnx_counts_a_negative_variance_as_zero():
    pytest.importorskip("onnx")
    runtime = pytest.importorskip("onnxruntime")
    from zoo.exchange.onnx_graph import onnx_model

    architecture = Architecture((1, 3, 3), (Conv(channels=2, kernel=2), BatchNorm(), Flatten(), Linear(features=2)))
    weights_P = torch.full((architecture.parameters,), 0.1)
    for spec in architecture.layout:
        if spec.name.endswith("running_var"):
            weights_P[spec.span] = -0.1  # as a lossy codec may make it
    x = torch.rand(2, 1, 3, 3, generator=torch.Generator().manual_seed(0))
    session = runtime.InferenceSession(onnx_model(architecture, weights_P, {}), providers=["CPUExecutionProvider"])
    (logits,) = session.run(["logits"], {"images": x.numpy()})
    torch.testing.assert_close(torch.from_numpy(logits), architecture.logits(weights_P[None], x)[0], rtol=1e-4, atol=0)


def test_a_member_as_onnx(small_zoo, tmp_path):
    pytest.importorskip("onnx")
    runtime = pytest.importorskip("onnxruntime")
    export_member(small_zoo, 3, tmp_path / "three.onnx")
    x = small_zoo.dataset().test.inputs[:32]
    session = runtime.InferenceSession(tmp_path / "three.onnx", providers=["CPUExecutionProvider"])
    expected = small_zoo.population(members=[3], epochs="last").logits(x)[0]
    torch.testing.assert_close(torch.from_numpy(session.run(None, {"images": x.numpy()})[0]), expected)


def test_onnx_without_its_package_says_what_to_install(small_zoo, tmp_path, monkeypatch):
    monkeypatch.delitem(sys.modules, "zoo.exchange.onnx_graph", raising=False)
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(ValueError, match=r"pip install onnx"):
        export_member(small_zoo, 3, tmp_path / "three.onnx")
    assert not list(tmp_path.iterdir())


def succeeds(capsys, arguments):
    capsys.readouterr()
    assert run([*arguments, "--json"]) == 0, capsys.readouterr().err
    return json.loads(capsys.readouterr().out)


def fails(capsys, arguments) -> str:
    capsys.readouterr()
    assert run(arguments) == 2
    return capsys.readouterr().err


def test_verbs(small_zoo, tmp_path, capsys):
    store, out = small_zoo.store.uri, str(tmp_path / "out")
    told = succeeds(capsys, ["export", "small", "--to", out, "--store", store, "--format", "parquet"])
    assert told["path"] == out
    assert told["format"] == "parquet"
    told = succeeds(capsys, ["import", out, "--store", str(tmp_path / "store"), "--dry-run"])
    assert (told["members"], told["epochs"], told["parameters"]) == (64, [0, 1, 2], [1210])
    assert not (tmp_path / "store").exists()
    told = succeeds(capsys, ["import", out, "--store", str(tmp_path / "store")])
    assert told["content_sha256"] == small_zoo.content_sha256
    file = str(tmp_path / "one.safetensors")
    told = succeeds(capsys, ["export", small_zoo.uri, "--to", file, "--member", "1", "--epoch", "2"])
    assert told["bytes"] == Path(file).stat().st_size
    told = succeeds(capsys, ["export", small_zoo.uri, "--to", str(tmp_path / "one.pt"), "--member", "1"])
    assert told["format"] == "state-dict"
    write_checkpoint_tree(tmp_path / "tree", [tune_config(seed) for seed in range(3)], [0, 1, 4])
    arguments = ["import", str(tmp_path / "tree"), "--store", str(tmp_path / "store"), "--name", "cnns"]
    told = succeeds(capsys, [*arguments, "--epochs", "1,4"])
    assert told["zoo"].startswith("cnns-")
    assert told["left_out"] == ["3 snapshots at other epochs than 1, 4"]
    assert run(["verify", "cnns", "--store", str(tmp_path / "store")]) == 0
    assert run(["list", "--store", str(tmp_path / "store")]) == 0


def test_bad_options_are_named(small_zoo, tmp_path, capsys):
    export = ["export", small_zoo.uri, "--to", str(tmp_path / "out")]
    assert "allowed for a zoo: parquet, small-cnn-zoo" in fails(capsys, [*export, "--format", "onnx"])
    assert "allowed for a member: safetensors" in fails(capsys, [*export, "--format", "parquet", "--member", "1"])
    assert "give --member too" in fails(capsys, [*export, "--epoch", "1"])
    assert "no member 64" in fails(capsys, [*export, "--format", "onnx", "--member", "64"])
    assert "--epochs is 'x'" in fails(capsys, ["import", str(tmp_path), "--epochs", "x"])
    assert "of no format" in fails(capsys, ["import", str(tmp_path)])
    assert f"there is no file or folder '{tmp_path / 'nowhere'}'" in fails(
        capsys, ["import", str(tmp_path / "nowhere")]
    )
    assert "copy it to a local folder" in fails(capsys, ["import", "s3://bucket/tree"])
    assert "export to a local path" in fails(
        capsys, ["export", small_zoo.uri, "--to", "s3://bucket/out", "--format", "parquet"]
    )
    assert "export to a local path" in fails(capsys, ["export", small_zoo.uri, "--to", "s3://b/a.pt", "--member", "1"])
    (tmp_path / "a.pt").touch()
    assert "there is no architecture file" in fails(capsys, ["import", str(tmp_path), "--architecture", "no.json"])
