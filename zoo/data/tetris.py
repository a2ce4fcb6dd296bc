"""TETRIS: 4×4 gray images of four tetromino classes, generated from a seed.

The data set of Schürholt et al., "Self-Supervised Representation Learning on Neural Network Weights for
Model Characteristic Prediction" (NeurIPS 2021), section 4, made anew from its description.
"""

from __future__ import annotations

import numpy as np

from zoo.data.examples import Dataset, split_examples
from zoo.data.task import Task

# One tetromino a class: I, O, T, L; the other three are their mirror images or ambiguous on a 4×4 grid.
SHAPES = (
    ((1, 1, 1, 1),),
    ((1, 1), (1, 1)),
    ((1, 1, 1), (0, 1, 0)),
    ((1, 0), (1, 0), (1, 1)),
)
SIDE = 4


def placements(shape: tuple[tuple[int, ...], ...]) -> np.ndarray:
    """All distinct rotations and positions of a shape in the square, as ``[K, 4, 4]`` masks."""
    masks = {}
    for turns in range(4):
        turned = np.rot90(np.array(shape, dtype=np.uint8), turns)
        height, width = turned.shape
        for top in range(SIDE - height + 1):
            for left in range(SIDE - width + 1):
                mask = np.zeros((SIDE, SIDE), dtype=np.uint8)
                mask[top : top + height, left : left + width] = turned
                masks[mask.tobytes()] = mask
    return np.stack(list(masks.values()))


def load_tetris(seed: int = 0, count: int = 4000) -> Dataset:
    """Gray images: the shape bright (150 to 255), the background dark (0 to 105), both uniformly noisy."""
    generator = np.random.Generator(np.random.Philox(key=seed))
    labels = np.arange(count) % len(SHAPES)
    pixels = generator.integers(0, 106, size=(count, 1, SIDE, SIDE), dtype=np.uint8)
    for label, shape in enumerate(SHAPES):
        masks = placements(shape)
        rows = np.flatnonzero(labels == label)
        pixels[rows, 0] += 150 * masks[generator.integers(len(masks), size=len(rows))]
    validation = test = count // 5
    return split_examples(
        "tetris", pixels, labels, task=Task("softmax", len(SHAPES)), scale=1 / 255, validation=validation, test=test
    )
