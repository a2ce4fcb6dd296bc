"""Settings that were published with encoders; free of torch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

# Schürholt, Kostadinov and Borth (NeurIPS 2021, arXiv 2110.15288), as in the scripts of
# github.com/HSG-AIML/NeurIPS_2021-Weight_Space_Learning: what all of them share is the configuration's defaults. Their
# "epochs" are reports to Ray Tune, each after ten passes over the snapshots; here passes are counted. The learning rate
# falls by 0.3 where the training loss stays; gradients are clipped here and were not there.
_PUBLISHED: Mapping[str, Any] = {"schedule": "plateau"}
_TETRIS: Mapping[str, Any] = {
    **_PUBLISHED,
    "width": 256,
    "feedforward": 512,
    "latent": 50,
    "contrast": 0.5,
    "projection": 50,
    "projection_output": 20,
    "projection_layers": 3,
    "epochs": 1000,
}
_MNIST_SEED: Mapping[str, Any] = {**_PUBLISHED, "epochs": 500}
_MNIST_HYP: Mapping[str, Any] = {**_MNIST_SEED, "blocks": 4, "heads": 2}
_UNTERTHINER: Mapping[str, Any] = {
    **_PUBLISHED, "width": 512, "blocks": 4, "feedforward": 1000, "latent": 1200,
}  # fmt: skip

# "small" here and below is ours: minutes of one core on some thousand snapshots. The others are
# named like the zoos that they were published for.
HYPER_REPRESENTATION: Mapping[str, Mapping[str, Any]] = {
    "small": {
        "width": 128,
        "feedforward": 256,
        "latent": 128,
        "dropout": 0.0,
        # A latent this small cannot tell the random order of units, which reconstruction asks for.
        "contrast": 0.5,
        "layer_loss": True,
        "projection": 64,
        "projection_layers": 2,
        "learning_rate": 1e-3,
        "batch_size": 64,
        "epochs": 20,
    },
    "tetris-seed": _TETRIS,
    "tetris-hyp": {**_TETRIS, "feedforward": 900},
    "mnist-seed": _MNIST_SEED,
    "mnist-hyp-1-fix-seed": {**_MNIST_HYP, "feedforward": 1000, "contrast": 0.5},
    "mnist-hyp-1-rand-seed": {**_MNIST_HYP, "projection_output": 20, "contrast": 0.15},
    "mnist-hyp-5-fix-seed": {**_MNIST_SEED, "projection_output": 20, "contrast": 0.5},
    "mnist-hyp-5-rand-seed": {**_MNIST_HYP, "latent": 500, "projection_layers": 2, "contrast": 0.5},
    "unterthiner-mnist": {**_UNTERTHINER, "epochs": 200},
    "unterthiner-f-mnist": {**_UNTERTHINER, "epochs": 200, "contrast": 0.85},
    "unterthiner-svhn": {**_UNTERTHINER, "epochs": 250, "contrast": 0.85},
    "unterthiner-cifar10": {**_UNTERTHINER, "epochs": 250, "contrast": 0.5},
    # Layer-wise loss (NeurIPS 2022, arXiv 2209.14733, section 3.1). That paper's own sizes lie with its data and not
    # with its code; these are those of mnist-seed.
    "generative": {**_MNIST_SEED, "layer_loss": True},
    # With the behavioral loss too (arXiv 2503.17138), which was published for SANE.
    "behavioral": {**_MNIST_SEED, "layer_loss": True, "structure": 0.1},
}

# Kahana et al. (ICLR 2025, arXiv 2410.10811), as in github.com/jonkahana/ProbeGen for the CNNs of Unterthiner et al.:
# one target by squared error. There the last of six linear layers gives the prediction; here it gives the embedding,
# and the head after it is linear too. Outputs are standardized here, and gradients clipped.
PROBING: Mapping[str, Mapping[str, Any]] = {
    "probegen": {
        "targets": "test_accuracy",
        "probes": "generator",
        "count": 128,
        "hidden": "none",
        "layers": 5,
        "latent": 256,
        "learning_rate": 3e-4,
        "weight_decay": 0.0,
        "batch_size": 32,
        "epochs": 150,
    },
}

# Kofinas et al. (ICLR 2024, arXiv 2403.12143), as in the scripts of github.com/mkofinas/neural-graphs for the CNNs of
# Unterthiner et al.: widths, rounds and steps of their graph network and of their transformer. Messages are those of
# ours in both; their learning rate stays, ours falls.
_SMALL_CNN_ZOO: Mapping[str, Any] = {
    "targets": "test_accuracy", "blocks": 4, "learning_rate": 1e-3, "weight_decay": 5e-4, "epochs": 300,
}  # fmt: skip
NEURAL_GRAPH: Mapping[str, Mapping[str, Any]] = {
    "small": {"epochs": 40},
    "graph-network": {**_SMALL_CNN_ZOO, "width": 256, "edge_width": 256, "latent": 256, "batch_size": 128},
    "graph-transformer": {**_SMALL_CNN_ZOO, "width": 128, "edge_width": 64, "latent": 256, "batch_size": 192},
}

# Zhou et al. (NeurIPS 2023, arXiv 2302.14040), as in github.com/AllanYangZhou/nfn for the CNNs of Unterthiner et al.;
# there the last of three equivariant layers has 5 channels, and the prediction's cross-entropy is minimized.
NFN: Mapping[str, Mapping[str, Any]] = {
    "small-cnn-zoo": {
        "targets": "test_accuracy", "channels": 16, "blocks": 3, "width": 1000, "learning_rate": 1e-3,
        "weight_decay": 0.0, "batch_size": 8, "epochs": 50,
    },
}  # fmt: skip

# Schürholt, Mahoney and Borth (ICML 2024, arXiv 2406.09997), as in the scripts of github.com/HSG-AIML/SANE. The
# learning rate rises there for 30 % of the steps and then falls; here it only falls.
_SANE: Mapping[str, Any] = {
    "halo": 0, "blocks": 8, "latent": 128, "learning_rate": 1e-4, "weight_decay": 3e-9, "batch_size": 32, "epochs": 50,
}  # fmt: skip
SANE: Mapping[str, Mapping[str, Any]] = {
    "small": {"embedding": "layers", "contrast": 0.5, "epochs": 15},
    "cifar10-cnn": {**_SANE, "token": 289, "window": 64, "width": 1024, "heads": 8, "feedforward": 4096},
    "cifar100-resnet18": {**_SANE, "token": 288, "window": 256, "width": 2048, "heads": 16, "feedforward": 8192},
}

# Andreis et al. (NeurIPS 2024, arXiv 2305.16625): blocks and pooling are published with the method, and are the
# configuration's defaults. No code of theirs was found among public repositories, nor a text that gives the sizes of a
# chunk and of elements and the steps of their fits: there is no preset of their own.
SNE: Mapping[str, Mapping[str, Any]] = {"small": {"heads": 2, "batch_size": 16, "epochs": 8}}
