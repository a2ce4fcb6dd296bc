"""Architectures as data: layer specifications, what follows from them, and ready ones by name."""

from zoo.architecture.architecture import Architecture
from zoo.architecture.builders import (
    ARCHITECTURES,
    cnn,
    cnn_2464,
    cnn_4970,
    cnn_strided,
    mlp,
    normalizing,
    resnet,
)
from zoo.architecture.convolution import AveragePool, Conv, GlobalAveragePool, MaxPool
from zoo.architecture.description import ARROW, LAYERS
from zoo.architecture.layers import Activate, AfterActivation, BatchStatistics, Flatten, Layer, Linear, Shape
from zoo.architecture.layout import Placed, TensorSpec
from zoo.architecture.normalization import BatchNorm
from zoo.architecture.rescale import Rescale
from zoo.architecture.residual import Residual
from zoo.architecture.symmetry import Axis

__all__ = [
    "ARCHITECTURES",
    "ARROW",
    "LAYERS",
    "Activate",
    "AfterActivation",
    "Architecture",
    "AveragePool",
    "Axis",
    "BatchNorm",
    "BatchStatistics",
    "Conv",
    "Flatten",
    "GlobalAveragePool",
    "Layer",
    "Linear",
    "MaxPool",
    "Placed",
    "Rescale",
    "Residual",
    "Shape",
    "TensorSpec",
    "cnn",
    "cnn_2464",
    "cnn_4970",
    "cnn_strided",
    "mlp",
    "normalizing",
    "resnet",
]
