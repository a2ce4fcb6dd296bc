"""Data sets: splits, hashes, and torchvision's loaders on small files in the original formats."""

import bz2
import gzip
import hashlib
import os
import pickle
import re
import struct
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import scipy.io
import torch
from torchvision import datasets

from zoo.data import DATASETS, Dataset, Examples, Task, load_dataset
from zoo.data.examples import split_examples
from zoo.data.tetris import SHAPES, load_tetris, placements
from zoo.data.vision import VISION, gray, load_vision


def numbers(*shape, high=256):
    return np.random.Generator(np.random.Philox(key=7)).integers(0, high, size=shape, dtype=np.uint8)


def test_digits_are_the_real_ones_in_disjoint_splits():
    data = load_dataset("digits")
    assert (len(data.train), len(data.validation), len(data.test)) == (997, 300, 500)
    assert data.input_shape == (1, 8, 8)
    assert float(data.train.inputs.max()) == 1.0
    rows = torch.cat([part.values.flatten(1) for part in (data.train, data.validation, data.test)])
    assert rows.int().sum() == 561718  # sum of all pixels of the published set
    assert len(set(data.test.targets.tolist())) == 10


def test_content_hash_is_pinned_and_sees_every_part():
    data = load_dataset("digits")
    assert data.sha256[:16] == "8379c9bab6da4249"
    assert load_dataset("digits").sha256 == data.sha256
    swapped = replace(data, validation=data.test, test=data.validation)
    assert swapped.sha256 != data.sha256
    scaled = replace(data, train=replace(data.train, scale=1.0))
    assert scaled.sha256 != data.sha256
    assert replace(data, task=Task("softmax", 11)).sha256 != data.sha256
    assert replace(data, task=Task("mine:loss", 10)).sha256 != data.sha256


def test_tetris_images_show_their_shape():
    data = load_tetris(count=400)
    assert data.input_shape == (1, 4, 4)
    assert load_tetris(count=400).sha256 == data.sha256
    assert load_tetris(seed=1, count=400).sha256 != data.sha256
    for pixels, label in zip(data.train.values.numpy(), data.train.targets.tolist(), strict=True):
        bright = (pixels[0] >= 150).astype(np.uint8)
        assert any((bright == mask).all() for mask in placements(SHAPES[label]))


@pytest.mark.parametrize(("shape", "count"), list(zip(SHAPES, (8, 9, 24, 24), strict=True)))
def test_tetris_placements_are_all_there(shape, count):
    assert len(placements(shape)) == count


def write_idx(folder: Path, name: str, array: np.ndarray, *, compress: bool = False) -> None:
    content = struct.pack(">BBBB", 0, 0, 8, array.ndim) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()
    folder.mkdir(parents=True, exist_ok=True)
    if compress:
        (folder / f"{name}.gz").write_bytes(gzip.compress(content))
    else:
        (folder / name).write_bytes(content)


@pytest.mark.parametrize(
    ("name", "folder"), [("mnist", "MNIST"), ("fashion_mnist", "FashionMNIST"), ("kmnist", "KMNIST")]
)
def test_idx_data_sets(tmp_path, name, folder):
    train, test = numbers(40, 28, 28), numbers(10, 28, 28, high=100)
    raw = tmp_path / folder / "raw"
    write_idx(raw, "train-images-idx3-ubyte", train)
    write_idx(raw, "train-labels-idx1-ubyte", np.arange(40, dtype=np.uint8) % 10)
    write_idx(raw, "t10k-images-idx3-ubyte", test)
    write_idx(raw, "t10k-labels-idx1-ubyte", np.arange(10, dtype=np.uint8))
    data = load_vision(name, tmp_path)
    assert (len(data.train), len(data.validation), len(data.test)) == (32, 8, 10)
    assert torch.equal(data.test.values[:, 0], torch.from_numpy(test))
    known = {image.tobytes(): label % 10 for label, image in enumerate(train)}
    for part in (data.train, data.validation):
        for image, label in zip(part.values.numpy(), part.targets.tolist(), strict=True):
            assert known.pop(image[0].tobytes()) == label
    assert not known


def written_mnist(root: Path) -> Path:
    """The folder of a small MNIST that can be read."""
    raw = root / "MNIST" / "raw"
    for part, count in (("train", 40), ("t10k", 10)):
        write_idx(raw, f"{part}-images-idx3-ubyte", numbers(count, 28, 28))
        write_idx(raw, f"{part}-labels-idx1-ubyte", np.arange(count, dtype=np.uint8) % 10)
    return raw


@pytest.mark.parametrize("keep", [0, 3, 10, 1000])
@pytest.mark.parametrize("file", ["train-images-idx3-ubyte", "t10k-labels-idx1-ubyte"])
def test_truncated_files_are_named(tmp_path, file, keep):
    path = written_mnist(tmp_path) / file
    path.write_bytes(path.read_bytes()[: min(keep, path.stat().st_size - 1)])
    said = rf"data set 'mnist': its files under {re.escape(str(tmp_path))} cannot be read \(.+: .+\); delete"
    with pytest.raises(ValueError, match=said):
        load_vision("mnist", tmp_path)


def test_a_truncated_archive_is_as_good_as_none(tmp_path, monkeypatch):
    raw = written_mnist(tmp_path)
    write_idx(raw, "train-images-idx3-ubyte", numbers(40, 28, 28), compress=True)
    (raw / "train-images-idx3-ubyte").unlink()
    archive = raw / "train-images-idx3-ubyte.gz"
    archive.write_bytes(archive.read_bytes()[:100])
    monkeypatch.setattr(datasets.MNIST, "mirrors", ["http://127.0.0.1:9/"])
    with pytest.raises(FileNotFoundError, match=r"'mnist' is not under .* and could not be downloaded"):
        load_vision("mnist", tmp_path)


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("train-labels-idx1-ubyte", np.arange(40, dtype=np.uint8), "labels go from 0 to 39; allowed: 0 to 9"),
        ("train-labels-idx1-ubyte", np.zeros(39, dtype=np.uint8), "there are 40 examples and 39 targets"),
        ("t10k-labels-idx1-ubyte", np.zeros(11, dtype=np.uint8), "there are 10 examples and 11 targets"),
        (
            "t10k-images-idx3-ubyte",
            numbers(10, 28, 27),
            r"test examples have shape \(1, 28, 27\); the training",
        ),
        ("t10k-images-idx3-ubyte", numbers(10, 28), "cannot be read .*3 dimension"),
    ],
)
def test_files_that_do_not_fit_each_other_are_refused(tmp_path, file, content, message):
    write_idx(written_mnist(tmp_path), file, content)
    with pytest.raises(ValueError, match=message):
        load_vision("mnist", tmp_path)


def test_a_missing_or_truncated_usps(tmp_path):
    with pytest.raises(FileNotFoundError, match="data set 'usps' is not under"):
        load_vision("usps", tmp_path, download=False)
    (tmp_path / "usps.bz2").write_bytes(bz2.compress(b"1 1:0.5")[:-4])
    with pytest.raises(ValueError, match=r"data set 'usps': its files under .* cannot be read"):
        load_vision("usps", tmp_path)


def test_usps(tmp_path):
    for split, name in (("train", "usps.bz2"), ("test", "usps.t.bz2")):
        pixels = numbers(20 if split == "train" else 5, 256) / 127.5 - 1
        lines = [
            f"{row % 10 + 1} " + " ".join(f"{i + 1}:{value:.6f}" for i, value in enumerate(values))
            for row, values in enumerate(pixels)
        ]
        (tmp_path / name).write_bytes(bz2.compress("\n".join(lines).encode()))
    data = load_vision("usps", tmp_path)
    assert data.input_shape == (1, 16, 16)
    assert (len(data.train), len(data.validation), len(data.test)) == (16, 4, 5)
    assert data.test.targets.tolist() == [0, 1, 2, 3, 4]


@pytest.mark.parametrize(
    ("name", "cls", "key"), [("cifar10", datasets.CIFAR10, "labels"), ("cifar100", datasets.CIFAR100, "fine_labels")]
)
def test_cifar(tmp_path, monkeypatch, name, cls, key):
    folder = tmp_path / cls.base_folder
    folder.mkdir()

    def write(file, content):
        (folder / file).write_bytes(pickle.dumps(content))
        return [file, hashlib.md5((folder / file).read_bytes()).hexdigest()]

    train, test = numbers(20, 3072), numbers(5, 3072, high=50)
    meta_key = "label_names" if name == "cifar10" else "fine_label_names"
    meta = write(cls.meta["filename"], {meta_key: [str(i) for i in range(10)]})
    monkeypatch.setattr(cls, "meta", {"filename": meta[0], "key": meta_key, "md5": meta[1]})
    monkeypatch.setattr(cls, "train_list", [write("train", {"data": train, key: [i % 10 for i in range(20)]})])
    monkeypatch.setattr(cls, "test_list", [write("test", {"data": test, key: list(range(5))})])
    data = load_vision(name, tmp_path)
    assert data.classes == VISION[name].classes
    assert data.input_shape == (3, 32, 32)
    assert torch.equal(data.test.values, torch.from_numpy(test.reshape(5, 3, 32, 32)))
    if name == "cifar10":
        in_gray = load_vision("cifar10_gray", tmp_path)
        assert in_gray.input_shape == (1, 32, 32)
        assert torch.equal(in_gray.test.values, torch.from_numpy(gray(data.test.values.numpy())))
        assert torch.equal(in_gray.test.targets, data.test.targets)


def test_svhn(tmp_path, monkeypatch):
    lists = {}
    for split, count in (("train", 20), ("test", 5)):
        file = tmp_path / f"{split}_32x32.mat"
        labels = (np.arange(count) % 10 + 1).astype(np.uint8)[:, None]  # SVHN calls the digit 0 class 10
        scipy.io.savemat(file, {"X": numbers(32, 32, 3, count), "y": labels})
        lists[split] = ["http://localhost/none", file.name, hashlib.md5(file.read_bytes()).hexdigest()]
    monkeypatch.setattr(datasets.SVHN, "split_list", lists)
    data = load_vision("svhn", tmp_path)
    assert data.input_shape == (3, 32, 32)
    assert data.test.targets.tolist() == [1, 2, 3, 4, 5]
    assert torch.equal(data.test.values, torch.from_numpy(numbers(32, 32, 3, 5)).permute(3, 2, 0, 1))
    gray = load_vision("svhn_gray", tmp_path)
    assert (gray.name, gray.input_shape) == ("svhn_gray", (1, 32, 32))


def test_shades_of_gray_are_the_mean_of_the_colors():
    pixels = numbers(5000, 3, 4, 4)
    found = gray(pixels)
    assert found.dtype == np.uint8
    assert found.shape == (5000, 1, 4, 4)
    assert (np.abs(found[:, 0] - pixels.astype(np.int64).sum(axis=1) / 3) <= 0.5).all()
    assert gray(np.full((1, 3, 2, 2), 200, dtype=np.uint8)).tolist() == [[[[200, 200], [200, 200]]]]


def test_a_data_set_that_cannot_be_found_says_where_it_belongs(tmp_path, monkeypatch):
    monkeypatch.setattr(datasets.MNIST, "mirrors", ["http://127.0.0.1:9/"])
    with pytest.raises(FileNotFoundError, match=rf"not under {re.escape(str(tmp_path))}.*ZOOSCALE_DATA"):
        load_vision("mnist", tmp_path)


def test_the_root_comes_from_the_environment(tmp_path, monkeypatch):
    monkeypatch.setenv("ZOOSCALE_DATA", str(tmp_path / "here"))
    monkeypatch.setattr(datasets.MNIST, "mirrors", ["http://127.0.0.1:9/"])
    with pytest.raises(FileNotFoundError, match="here"):
        load_dataset("mnist")


@pytest.mark.skipif(
    not (Path(os.environ.get("ZOOSCALE_DATA", "")) / "MNIST").is_dir(), reason="ZOOSCALE_DATA has no MNIST"
)
def test_real_mnist():
    data = load_dataset("mnist")
    assert (len(data.train), len(data.validation), len(data.test)) == (55_000, 5_000, 10_000)


def no_images():
    return {}


def test_unknown_and_malformed_data_sets_are_refused():
    with pytest.raises(ValueError, match="unknown data set 'imagenet'; known: cifar10"):
        load_dataset("imagenet")
    with pytest.raises(ValueError, match=r"must return a zoo\.data\.Dataset"):
        load_dataset("test_data:no_images")
    pixels = torch.zeros(3, 1, 2, 2, dtype=torch.uint8)
    with pytest.raises(ValueError, match="expected uint8"):
        Examples(pixels.double(), torch.zeros(3, dtype=torch.int64))
    with pytest.raises(ValueError, match=r"scale is 0\.5; allowed: 1 where values are float32"):
        Examples(pixels.float(), torch.zeros(3, dtype=torch.int64), 0.5)
    with pytest.raises(ValueError, match="expected labels, int64 \\[3\\]"):
        Examples(pixels, torch.zeros(2, dtype=torch.int64), 1.0)
    good = Examples(pixels, torch.tensor([0, 1, 2]), 1.0)
    with pytest.raises(ValueError, match="'x', train: labels go from 0 to 2; allowed: 0 to 1"):
        Dataset("x", Task("softmax", 2), good, good, good)
    with pytest.raises(ValueError, match="no validation examples"):
        Dataset("x", Task("softmax", 3), good, good.first(0), good)


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ({}, "test is None and test_values are not given; give one of the two"),
        (
            {"test": 2, "test_values": numbers(3, 1, 2, 2), "test_targets": np.arange(3)},
            "test is 2 and test_values are",
        ),
        ({"test_values": numbers(3, 1, 2, 2)}, "test_targets is None; give test_values and test_targets together"),
        ({"test": 2, "test_targets": np.arange(3)}, "test_values is None; give"),
        ({"test": 8}, "validation 2 and test 8 of 10 examples; allowed: together 1 to 9"),
        ({"test": -1}, "validation 2 and test -1 of 10 examples"),
    ],
)
def test_splits_that_share_images_or_leave_none_are_refused(parts, message):
    with pytest.raises(ValueError, match=message):
        split_examples(
            "x", numbers(10, 1, 2, 2), np.arange(10), task=Task("softmax", 10), scale=1.0, validation=2, **parts
        )


def test_the_registry_has_the_published_data_sets():
    assert set(DATASETS) == {
        "digits", "tetris", "mnist", "fashion_mnist", "kmnist", "usps", "cifar10", "cifar100", "svhn",
        "cifar10_gray", "svhn_gray", "digits_scenes", "digits_turned_scenes", "mnist_scenes", "fashion_mnist_scenes",
        "cifar100_scenes", "digits_scenes_counted", "digits_turned_scenes_counted",
    }  # fmt: skip
