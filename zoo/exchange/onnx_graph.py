"""A network as an ONNX graph, written layer by layer. Needs the ``onnx`` package, an extra of this one."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper
from torch import Tensor

from zoo.architecture import (
    Activate,
    Architecture,
    AveragePool,
    BatchNorm,
    Conv,
    Flatten,
    GlobalAveragePool,
    Layer,
    Linear,
    MaxPool,
    Rescale,
    Residual,
    Shape,
)
from zoo.architecture.activations import LEAKY_SLOPE
from zoo.architecture.normalization import EPSILON

# The first version with an exact GELU; runtimes since the end of 2023 know it.
OPSET, IR_VERSION = 20, 9


class Graph:
    """Collects the nodes of a network."""

    def __init__(self, tensors: Mapping[str, np.ndarray]) -> None:
        self.nodes: list[Any] = []
        self.constants: list[Any] = []
        self._tensors = tensors
        self._values = 0

    def add(self, kind: str, inputs: Sequence[str], **attributes: Any) -> str:
        """Adds a node; returns the name of its output."""
        self._values += 1
        output = f"{kind.lower()}_{self._values}"
        self.nodes.append(helper.make_node(kind, list(inputs), [output], name=output, **attributes))
        return output

    def tensor(self, name: str, lowest: float = -np.inf) -> str:
        """Adds one of the network's tensors under its name in the ``state_dict``, no entry below ``lowest``."""
        self.constants.append(numpy_helper.from_array(np.maximum(self._tensors[name], np.float32(lowest)), name))
        return name

    def number(self, name: str, value: float) -> str:
        """Adds a number that is no tensor of the network."""
        self.constants.append(numpy_helper.from_array(np.array(value, dtype=np.float32), name))
        return name


def onnx_model(architecture: Architecture, weights_P: Tensor, told: Mapping[str, str]) -> bytes:
    """The network as a serialized ONNX model, which has been checked.

    Its input ``images`` is ``[N, *input_shape]`` float32, scaled as in training; its output ``logits`` is ``[N, C]``.

    Args:
        architecture: The network's layers.
        weights_P: Its flat parameters.
        told: Metadata to put into the file.
    """
    tensors = {
        name: np.ascontiguousarray(tensor[0].detach().cpu().numpy())
        for name, tensor in architecture.tensors(weights_P[None]).items()
    }
    graph = Graph(tensors)
    output = _sequence(graph, architecture.layers, tuple(architecture.input_shape), "", "images")
    graph.nodes.append(helper.make_node("Identity", [output], ["logits"], name="logits"))
    value = helper.make_tensor_value_info
    model = helper.make_model(
        helper.make_graph(
            graph.nodes,
            "network",
            [value("images", onnx.TensorProto.FLOAT, ["N", *architecture.input_shape])],
            [value("logits", onnx.TensorProto.FLOAT, ["N", architecture.classes])],
            graph.constants,
        ),
        producer_name="zooscale",
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=IR_VERSION,
    )
    helper.set_model_props(model, dict(told))
    onnx.checker.check_model(model, full_check=True)
    data: bytes = model.SerializeToString()
    return data


def _sequence(graph: Graph, layers: Sequence[Layer], shape: Shape, prefix: str, value: str) -> str:
    for number, layer in enumerate(layers):
        if layer.kind not in NODES:
            raise ValueError(f"layer kind {layer.kind!r} cannot be exported to ONNX; known: {', '.join(NODES)}")
        value = NODES[layer.kind](graph, layer, shape, f"{prefix}{number}", value)
        shape = layer.output_shape(shape)
    return value


def _flatten(graph: Graph, layer: Any, shape: Shape, name: str, value: str) -> str:  # noqa: ARG001
    return graph.add("Flatten", [value], axis=1)


def _linear(graph: Graph, layer: Any, shape: Shape, name: str, value: str) -> str:  # noqa: ARG001
    return graph.add("Gemm", [value, *_weights(graph, layer, name)], transB=1)


def _conv(graph: Graph, layer: Any, shape: Shape, name: str, value: str) -> str:  # noqa: ARG001
    return graph.add(
        "Conv",
        [value, *_weights(graph, layer, name)],
        kernel_shape=[layer.kernel] * 2,
        strides=[layer.stride] * 2,
        pads=[layer.padding] * 4,
    )


def _weights(graph: Graph, layer: Any, name: str) -> list[str]:
    return [graph.tensor(f"{name}.{part}") for part in ("weight", "bias")[: 1 + layer.bias]]


def _pool(kind: str) -> Callable[[Graph, Any, Shape, str, str], str]:
    def add(graph: Graph, layer: Any, shape: Shape, name: str, value: str) -> str:  # noqa: ARG001
        stride = layer.size if layer.stride is None else layer.stride
        return graph.add(kind, [value], kernel_shape=[layer.size] * 2, strides=[stride] * 2)

    return add


def _global_average(graph: Graph, layer: Any, shape: Shape, name: str, value: str) -> str:  # noqa: ARG001
    return graph.add("Flatten", [graph.add("GlobalAveragePool", [value])], axis=1)


def _rescale(graph: Graph, layer: Any, shape: Shape, name: str, value: str) -> str:  # noqa: ARG001
    scaled = graph.add("Mul", [value, graph.number(f"{name}.scale", layer.scale)])
    return graph.add("Add", [scaled, graph.number(f"{name}.offset", layer.offset)])


def _batch_norm(graph: Graph, layer: Any, shape: Shape, name: str, value: str) -> str:  # noqa: ARG001
    parts = [graph.tensor(f"{name}.{part}") for part in ("weight", "bias", "running_mean")]
    parts.append(graph.tensor(f"{name}.running_var", lowest=0))  # as in Architecture.logits
    return graph.add("BatchNormalization", [value, *parts], epsilon=EPSILON)


def _residual(graph: Graph, layer: Any, shape: Shape, name: str, value: str) -> str:
    body = _sequence(graph, layer.body, shape, f"{name}.body.", value)
    return graph.add("Add", [body, _sequence(graph, layer.shortcut, shape, f"{name}.shortcut.", value)])


def _activate(graph: Graph, layer: Any, shape: Shape, name: str, value: str) -> str:  # noqa: ARG001
    if layer.function not in FUNCTIONS:
        raise ValueError(f"activation {layer.function!r} cannot be exported to ONNX; known: {', '.join(FUNCTIONS)}")
    return FUNCTIONS[layer.function](graph, value)


FUNCTIONS: dict[str, Callable[[Graph, str], str]] = {
    "relu": lambda graph, value: graph.add("Relu", [value]),
    "leaky_relu": lambda graph, value: graph.add("LeakyRelu", [value], alpha=LEAKY_SLOPE),
    "tanh": lambda graph, value: graph.add("Tanh", [value]),
    "sigmoid": lambda graph, value: graph.add("Sigmoid", [value]),
    "gelu": lambda graph, value: graph.add("Gelu", [value], approximate="none"),
    "silu": lambda graph, value: graph.add("Mul", [value, graph.add("Sigmoid", [value])]),
}

NODES: dict[str, Callable[[Graph, Any, Shape, str, str], str]] = {
    Flatten.kind: _flatten,
    Linear.kind: _linear,
    Conv.kind: _conv,
    MaxPool.kind: _pool("MaxPool"),
    AveragePool.kind: _pool("AveragePool"),
    GlobalAveragePool.kind: _global_average,
    BatchNorm.kind: _batch_norm,
    Rescale.kind: _rescale,
    Residual.kind: _residual,
    Activate.kind: _activate,
}
