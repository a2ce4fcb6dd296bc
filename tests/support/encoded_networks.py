"""Small random networks, and settings of encoders with which a fit to them takes moments."""

import dataclasses

import numpy as np
from architectures import random_weights

from zoo.architecture import cnn, mlp
from zoo.data import load_dataset
from zoo.population import Member
from zoo.population.population import single_architecture

DIGITS = load_dataset("digits")
PLAIN = mlp((1, 8, 8), (6,), 10)
OTHERS = {
    "deeper": mlp((1, 8, 8), (6, 6), 10),
    "wider": mlp((1, 8, 8), (9,), 10),
    "convolutions": cnn((1, 8, 8), (3, 4), 10),
    "fewer classes": mlp((1, 8, 8), (6,), 3),
    "smaller images": mlp((1, 4, 4), (6,), 10),
}
SHORT = {"latent": 4, "epochs": 2, "batch_size": 8, "passes": 1, "width": 8, "heads": 2, "feedforward": 8, "blocks": 1}
SHORT |= {"projection": 8, "projection_output": 4, "projection_layers": 1, "inputs": 16, "count": 4, "edge_width": 4}
SHORT |= {"graph_passes": 1}


def networks(architecture, members, seed):
    """Random networks of three learning rates; their accuracy depends on their weights."""
    weights_MP = random_weights(architecture, members, seed=seed)
    trained = [Member(id=i, seed=100 * seed + i, learning_rate=1e-3 * (1 + i % 3)) for i in range(members)]
    accuracy_M = np.clip(weights_MP.abs().mean(1).numpy(), 0, 1).astype(np.float64)
    population = single_architecture(architecture, weights_MP, trained, [1] * members)
    return dataclasses.replace(population, columns={"test_accuracy": accuracy_M})
