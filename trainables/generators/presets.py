"""Settings of generators: those of a publication, and of our own; free of torch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

# DeepWeightFlow (arXiv 2601.05052) for 784-32-32-10 on MNIST: 99 components of 100 networks, 30 000 steps. Components
# have deviation 1 here and their own there; the module is a residual block here and one hidden layer there.
FLOW: Mapping[str, Mapping[str, Any]] = {
    "deepweightflow": {
        "view": "flat",
        "components": 99,
        "predicted": "velocity",
        "source": 0.01,
        "jitter": 0.001,
        "width": 512,
        "depth": 1,
        "dropout": 0.1,
        "integration_steps": 100,
        "learning_rate": 5e-4,
        "weight_decay": 1e-5,
        "batch_size": 8,
        "repeats": 50,
        "epochs": 50,
    },
    # p-diff (arXiv 2402.13144): a diffusion in the latents of an autoencoder, that of principal components here
    # and of convolutions there; drawn along its probability flow here, and in 1 000 random steps there.
    "p-diff": {
        "path": "diffusion",
        "components": 128,
        "jitter": 0.1,
        "integration_steps": 100,
        "weight_decay": 2e-6,
        "epochs": 100,
    },
    # Networks that the flow makes in four steps are trained on the task while it is matched.
    "with-task": {"task_loss": 0.1, "solver": "euler", "integration_steps": 4, "epochs": 10},
    # The same with noise where it does little to outputs; small, for networks of some 10 000 weights on one core.
    "leveled": {
        "task_loss": 0.2,
        "view": "input_basis",
        "noise": 0.17,
        "noise_kind": "leveled",
        "solver": "euler",
        "integration_steps": 2,
        "width": 64,
        "learning_rate": 3e-3,
        "batch_size": 16,
        "epochs": 30,
    },
}
