"""Zoos in the layouts of other people, written from their descriptions with plain torch, numpy and csv.

Nothing here uses this project: what is imported must not depend on how it would be exported.
"""

from __future__ import annotations

import csv
import gzip
import json
import math
import sys
import types
from pathlib import Path, PosixPath

import numpy as np
import torch
from torch import nn

KERAS_SHAPES = [
    ("sequential/conv2d/bias:0", (16,)),
    ("sequential/conv2d/kernel:0", (3, 3, 1, 16)),
    ("sequential/conv2d_1/bias:0", (16,)),
    ("sequential/conv2d_1/kernel:0", (3, 3, 16, 16)),
    ("sequential/conv2d_2/bias:0", (16,)),
    ("sequential/conv2d_2/kernel:0", (3, 3, 16, 16)),
    ("sequential/dense/bias:0", (10,)),
    ("sequential/dense/kernel:0", (16, 10)),
]
ACTIVATIONS = {"tanh": nn.Tanh, "relu": nn.ReLU, "gelu": nn.GELU, "sigmoid": nn.Sigmoid, "leakyrelu": nn.LeakyReLU}


class PublishedCnn(nn.Module):
    """The small CNN of the model-zoo data sets, whose layers have numbers that depend on dropout."""

    def __init__(self, activation: str, dropout: float) -> None:
        super().__init__()
        act = ACTIVATIONS[activation]
        drop = [nn.Dropout(dropout)] if dropout > 0 else []
        self.module_list = nn.ModuleList(
            [
                *(nn.Conv2d(1, 8, 5), nn.MaxPool2d(2, 2), act(), *drop),
                *(nn.Conv2d(8, 6, 5), nn.MaxPool2d(2, 2), act(), *drop),
                *(nn.Conv2d(6, 4, 2), act(), nn.Flatten()),
                *(nn.Linear(36, 20), act(), *drop, nn.Linear(20, 10)),
            ]
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for layer in self.module_list:
            x = layer(x)
        return x


def tune_config(seed: int, activation: str = "tanh", dropout: float = 0.0, **changes: object) -> dict[str, object]:
    return {
        "model::type": "CNN",
        "model::channels_in": 1,
        "model::o_dim": 10,
        "model::nlin": activation,
        "model::dropout": dropout,
        "model::init_type": "kaiming_normal",
        "optim::optimizer": "adam",
        "optim::lr": 3e-4,
        "optim::wd": 1e-3,
        "optim::momentum": 0.9,
        "training::batchsize": 8,
        "training::epochs_train": 50,
        "seed": seed,
        "cuda": False,
        **changes,
    }


def write_checkpoint_tree(
    root: Path, configs: list[dict[str, object]], epochs: list[int], networks: list[nn.Module] | None = None
) -> list[nn.Module]:
    """A tree as Ray Tune leaves it; returns the networks, whose weights grow by 1 % an epoch."""
    networks = networks or []
    for number, config in enumerate(configs):
        torch.manual_seed(number)
        if len(networks) <= number:
            networks.append(PublishedCnn(str(config["model::nlin"]), float(str(config["model::dropout"]))))
        trial = root / f"NN_tune_trainable_{number:05d}_{number}_seed={config['seed']}"
        trial.mkdir(parents=True)
        (trial / "params.json").write_text(json.dumps(config))
        with (trial / "result.json").open("w") as results:
            for epoch in epochs:
                line = {
                    "train_loss": -999 if epoch == 0 else 2.0 - epoch / 100,
                    "train_acc": -999 if epoch == 0 else 0.5 + epoch / 1000 + number / 100,
                    "test_loss": 2.1 - epoch / 100,
                    "test_acc": 0.4 + epoch / 1000 + number / 100,
                    "training_iteration": epoch,
                    "trial_id": f"{number:08x}",
                    "time_this_iter_s": 1.5,
                    "config": config,
                }
                results.write(json.dumps(line) + "\n")
        for epoch in epochs:
            folder = trial / f"checkpoint_{epoch:06d}"
            folder.mkdir()
            torch.save(state_at(networks[number], epoch), folder / "checkpoints")
            torch.save({"state": {}, "param_groups": []}, folder / "optimizer")
            (folder / ".is_checkpoint").touch()
            (folder / ".tune_metadata").write_bytes(b"a pickle of Tune's own")
        (trial / "progress.csv").write_text("test_acc\n")
    (root / "config.json").write_text("{}")
    (root / "readme.md").touch()
    # The images, not the networks.
    images = torch.utils.data.TensorDataset(torch.zeros(2, 1, 28, 28), torch.zeros(2, dtype=torch.int64))
    torch.save({"trainset": images, "testset": images, "dataset_seed": 42}, root / "dataset.pt")
    return networks


def state_at(network: nn.Module, epoch: int) -> dict[str, torch.Tensor]:
    state = network.state_dict()  # it has versions of modules as an attribute, which are saved with it
    for name in state:
        state[name] = state[name] * (1 + epoch / 100)
    return state


def keras_forward(variables: dict[str, np.ndarray], images: np.ndarray, activation: str) -> np.ndarray:
    """The Keras network as Keras computes it: images [N, H, W, C], kernels [h, w, in, out], stride 2, no padding."""
    function = {"relu": lambda x: np.maximum(x, 0), "tanh": np.tanh}[activation]
    x = images.astype(np.float64)
    for name in ("conv2d", "conv2d_1", "conv2d_2"):
        kernel, bias = variables[f"sequential/{name}/kernel:0"], variables[f"sequential/{name}/bias:0"]
        rows, columns = (x.shape[1] - 3) // 2 + 1, (x.shape[2] - 3) // 2 + 1
        out = np.zeros((len(x), rows, columns, kernel.shape[3]))
        for row in range(rows):
            for column in range(columns):
                patch = x[:, 2 * row : 2 * row + 3, 2 * column : 2 * column + 3, :]
                out[:, row, column] = np.einsum("nhwi,hwio->no", patch, kernel)
        x = function(out + bias)
    pooled = x.mean(axis=(1, 2))
    return pooled @ variables["sequential/dense/kernel:0"] + variables["sequential/dense/bias:0"]


def write_small_cnn_zoo(
    root: Path, networks: int = 6, epochs: tuple[int, ...] = (0, 1, 86), dataset: str = "mnist"
) -> dict[tuple[str, int], dict[str, np.ndarray]]:
    """weights.npy, metrics.csv.gz and layout.csv; returns the variables of each (modeldir, step)."""
    root.mkdir(parents=True)
    with (root / "layout.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["varname", "start_idx", "end_idx", "shape", "size"])
        start = 0
        for name, shape in KERAS_SHAPES:
            size = math.prod(shape)
            writer.writerow([name, start, start + size, str(shape), size])
            start += size
    rng = np.random.default_rng(7)
    rows, lines, variables = [], [], {}
    for number in range(networks):
        directory = f"/some/where/{number}/workdir"
        config = {
            "config.activation": ("relu", "tanh")[number % 2],
            "config.b_init": "zeros",
            "config.dataset": dataset,
            "config.dnn_architecture": "cnn",
            "config.dropout": 0.1 * number,
            "config.epochs": 86,
            "config.epochs_between_checkpoints": 20,
            "config.init_std": 0.02 if number % 3 else "",
            "config.l2reg": 1e-4,
            "config.learning_rate": 0.01 / (number + 1),
            "config.num_layers": 3,
            "config.num_units": 16,
            "config.optimizer": ("adam", "rmsprop", "sgd")[number % 3],
            "config.random_seed": 42,
            "config.train_fraction": (0.1, 0.25, 0.5, 1.0)[number % 4],
            "config.w_init": ("glorot_normal", "RandomNormal", "TruncatedNormal")[number % 3],
        }
        for epoch in epochs:
            tensors = {name: rng.normal(0, 0.2, shape).astype(np.float32) for name, shape in KERAS_SHAPES}
            variables[directory, epoch] = tensors
            rows.append(np.concatenate([tensors[name].reshape(-1) for name, _ in KERAS_SHAPES]))
            metrics = {
                "modeldir": directory,
                "step": epoch,
                "test_accuracy": 0.1 + epoch / 1000 + number / 100,
                "test_loss": 2.3 - epoch / 100,
                "train_accuracy": 0.12 + epoch / 1000,
                "train_loss": 2.2 - epoch / 100,
            }
            lines.append(config | metrics)
    np.save(root / "weights.npy", np.stack(rows))
    with gzip.open(root / "metrics.csv.gz", "wt", newline="") as file:
        table = csv.DictWriter(file, fieldnames=list(lines[0]))
        table.writeheader()
        table.writerows(lines)
    return variables


def published_classes() -> dict[str, type]:
    """Classes of the names that the published pickles refer to; importable while a file is written."""
    classes = {}
    package = types.ModuleType("checkpoints_to_datasets")
    sys.modules[package.__name__] = package
    for module_name, class_name in (
        ("dataset_base", "ModelDatasetBase"),
        ("dataset_simclr", "SimCLRDataset"),
        ("dataset_google_simclr", "GoogleDatasetSimCLR"),
        ("random_erasing", "RandomErasingVector"),
    ):
        module = types.ModuleType(f"checkpoints_to_datasets.{module_name}")
        bases = (nn.Module,) if class_name == "RandomErasingVector" else (torch.utils.data.Dataset,)
        classes[class_name] = type(class_name, bases, {"__module__": module.__name__})
        setattr(module, class_name, classes[class_name])
        sys.modules[module.__name__] = module
    return classes


def forget_published_classes() -> None:
    for name in [name for name in sys.modules if name.split(".")[0] == "checkpoints_to_datasets"]:
        del sys.modules[name]


def write_published_dataset(
    path: Path,
    networks: int = 6,
    epochs: tuple[int, ...] = (5, 50),
    *,
    mode: str = "checkpoint",
    class_name: str = "ModelDatasetBase",
    properties: bool = True,
) -> dict[tuple[str, int], PublishedCnn]:
    """A dictionary of pickled dataset objects; returns the network of each (path, epoch)."""
    path.parent.mkdir(exist_ok=True)
    classes = published_classes()
    written = {}
    splits = {}
    try:
        for split, numbers in (
            ("trainset", range(networks - 2)),
            ("valset", [networks - 2]),
            ("testset", [networks - 1]),
        ):
            dataset = classes[class_name]()
            dataset.mode, dataset.train_val_test, dataset.use_bias = mode, split, True
            dataset.layer_lst = [(0, "conv2d"), (3, "conv2d"), (6, "conv2d"), (9, "fc"), (11, "fc")]
            dataset.root = [PosixPath("/netscratch/zoos/MNIST")]
            dataset.property_keys = {"result_keys": ["test_acc"], "config_keys": ["model::nlin"]}
            dataset.ds_split, dataset.weight_threshold = [0.7, 0.15, 0.15], float("inf")
            dataset.data_in, dataset.paths, dataset.epochs, dataset.labels_in = [], [], [], []
            told: dict[str, list[object]] = {
                "test_acc": [],
                "training_iteration": [],
                "ggap": [],
                "model::nlin": [],
                "optim::lr": [],
            }
            if class_name == "SimCLRDataset":
                dataset.erase_augment = classes["RandomErasingVector"]()
                dataset.erase_augment.p, dataset.erase_augment.scale = 0.5, (0.02, 0.33)
                dataset.add_noise_input, dataset.permute_layers = False, [0, 3]
                dataset.permutations_dct = {"layer_0": [[1, 0], [0, 1]]}
                dataset.permutations_index, dataset.permutation_index_list = [(0, 1)], [[1, 0, 2]]
                dataset.checkpoint_base = PublishedCnn("tanh", 0.0).state_dict()
            for number in numbers:
                activation, dropout = ("tanh", "relu")[number % 2], (0.0, 0.5)[number % 2]
                for epoch in epochs:
                    torch.manual_seed(1000 * number + epoch)
                    network = PublishedCnn(activation, dropout)
                    trial = PosixPath(f"/netscratch/zoos/MNIST/NN_tune_trainable_{number:05d}")
                    state = network.state_dict()
                    vector = torch.cat([tensor.flatten() for tensor in state.values()])
                    dataset.data_in.append(vector if mode == "vector" else state)
                    dataset.paths.append(trial)
                    dataset.epochs.append(epoch)
                    dataset.labels_in.append(f"{trial}#_#epoch_{epoch}")
                    for name, value in (
                        ("test_acc", 0.5 + number / 100),
                        ("training_iteration", epoch),
                        ("ggap", 0.02),
                        ("model::nlin", activation),
                        ("optim::lr", 1e-3),
                    ):
                        told[name].append(value)
                    written[str(trial), epoch] = network
            dataset.properties = told if properties else None
            splits[split] = dataset
        torch.save(splits, path)
    finally:
        forget_published_classes()
    return written
