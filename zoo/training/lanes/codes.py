"""What program and kernel call things: kinds of steps, activation functions, optimizers, and the record of a step."""

from __future__ import annotations

import numpy as np

LANES = 16

# Kinds of step.
PRODUCT, ACTIVATION, MAXIMUM, MEAN, MOMENTS, NORM, COPY, SUM = range(8)

FUNCTIONS = ("relu", "leaky_relu", "tanh", "sigmoid", "gelu", "silu")
RELU, LEAKY_RELU, TANH, SIGMOID, GELU, SILU = range(len(FUNCTIONS))
# Functions whose derivative is had from their value; for the others the argument is kept.
KEEPS_VALUE = (RELU, LEAKY_RELU, TANH, SIGMOID)

OPTIMIZERS = ("sgd", "momentum", "adam", "adamw", "rmsprop")
SGD, MOMENTUM, ADAM, ADAMW, RMSPROP = range(len(OPTIMIZERS))

STEP = np.dtype(
    [
        (name, np.int64)
        for name in (
            "kind",
            "function",  # of an activation
            "source",  # where the input of the first example begins
            "source_size",  # and how much further that of the next
            "target",
            "target_size",
            "positions",  # outputs of one example: positions x channels
            "channels",
            "rows",  # table: where in the input the window of each position begins
            "columns",  # table: what a window consists of, relative to its beginning
            "depth",  # its length
            "outs",  # table: where the outputs of each position begin
            "weight",  # of a product, [depth, channels], or of a norm
            "bias",  # -1: none
            "weight_rows",  # table: where in the weight each row begins
            "taps",  # a product's kernel positions: depth / input channels
            "clears",  # how much of the gradient of an example's input becomes 0 before anything is added to it
            "adds",  # whether that gradient is added to what is there, from windows or steps before
            "first",  # whether the input is the image
            "unit",  # an activation's first unit in the numbering of dropout
            "mean",  # a norm's running mean among the parameters
            "variance",
            "statistics",  # where what it keeps begins
            "apart",  # how many statistics lie between one position and the next; 0: they share them
        )
    ]
)
