"""The architecture of a torch module, so that networks of one's own need no description beside the code they have.

The module is traced by ``torch.fx``, its layers are taken in the order in which they are applied, and what they compute
is compared with what the module computes: an architecture that is not the module's is never returned.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, fx, nn

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
    Shape,
)
from zoo.exchange.foreign.architectures import GivenArchitecture

Calls = dict[Any, Callable[..., nn.Module]]

EXAMPLES = 4
# In double precision; a batch norm with another epsilon is off by more.
TOLERANCE = 1e-7
INSTEAD = "describe its layers in a JSON file, see docs/import.md"
ACTIVATION_MODULES: dict[type[nn.Module], str] = {
    nn.ReLU: "relu",
    nn.LeakyReLU: "leaky_relu",
    nn.Tanh: "tanh",
    nn.Sigmoid: "sigmoid",
    nn.GELU: "gelu",
    nn.SiLU: "silu",
}
# Functions and methods of tensors that a module's ``forward`` may call, as the modules that do the same.
FUNCTIONS: Calls = {
    F.relu: nn.ReLU, torch.relu: nn.ReLU, F.leaky_relu: nn.LeakyReLU, F.gelu: nn.GELU, F.silu: nn.SiLU,
    torch.tanh: nn.Tanh, F.tanh: nn.Tanh, torch.sigmoid: nn.Sigmoid, F.sigmoid: nn.Sigmoid,
    F.max_pool2d: nn.MaxPool2d, F.avg_pool2d: nn.AvgPool2d, F.adaptive_avg_pool2d: nn.AdaptiveAvgPool2d,
    torch.flatten: nn.Flatten, F.log_softmax: nn.LogSoftmax, F.dropout: nn.Identity,
}  # fmt: skip
METHODS: Calls = {
    "relu": nn.ReLU, "tanh": nn.Tanh, "sigmoid": nn.Sigmoid, "flatten": nn.Flatten, "log_softmax": nn.LogSoftmax,
    "view": lambda *_: nn.Flatten(), "reshape": lambda *_: nn.Flatten(),
    "mean": lambda *_, **__: nn.AdaptiveAvgPool2d(1),
}  # fmt: skip
# Arguments of these functions that change nothing of what a trained network computes.
NO_SETTINGS = ("training", "dtype", "_stacklevel")


def architecture_of(module: nn.Module, input_shape: Shape) -> GivenArchitecture:
    """The architecture of a module whose layers follow one another, and what it calls their tensors.

    Dropout is left out, and a ``log_softmax`` at the end, which changes no comparison of outputs. Where the first layer
    is linear, examples of any shape are flattened before it.

    Args:
        module: With any weights.
        input_shape: Shape of one example, channels first.

    Raises:
        ValueError: It has layers or connections that an architecture cannot have here, or that are not recognized.
    """
    kind = type(module).__name__
    try:
        graph = fx.symbolic_trace(module).graph
    except Exception as error:  # it is the user's code, which can fail in every way
        raise ValueError(f"the forward of {kind} cannot be traced ({error}); {INSTEAD}") from error
    try:
        places = [(name, layer) for name, part in _applied(module, graph) for layer in _layers(name, part)]
        if places and isinstance(places[0][1], Linear) and len(input_shape) > 1:
            places.insert(0, ("", Flatten()))
        architecture = Architecture(tuple(input_shape), tuple(layer for _, layer in places))
        names = {}
        for spec in architecture.layout:
            number, _, leaf = spec.name.partition(".")
            names[spec.name] = f"{places[int(number)][0]}.{leaf}"
        _compare(module, architecture, names)
    except (KeyError, RuntimeError, TypeError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise ValueError(f"{kind} is not told by its layers in their order ({reason}); {INSTEAD}") from error
    return GivenArchitecture(architecture, names)


def _applied(module: nn.Module, graph: fx.Graph) -> Iterator[tuple[str, nn.Module]]:
    """The modules that are applied one after the other, with their names; functions have none."""
    node = next(iter(reversed(graph.nodes))).args[0]
    chain: list[fx.Node] = []
    while isinstance(node, fx.Node) and node.op != "placeholder":
        chain.append(node)
        node = node.args[0] if node.args else None
    if not isinstance(node, fx.Node):
        raise ValueError("it has not one output that is made of its input by layers")
    for node in reversed(chain):
        if node.op == "call_module":
            yield str(node.target), module.get_submodule(str(node.target))
            continue
        makes = (FUNCTIONS if node.op == "call_function" else METHODS).get(node.target)
        if makes is None:
            raise ValueError(f"it applies {node.target}, which is no known layer")
        settings = {name: value for name, value in node.kwargs.items() if name not in NO_SETTINGS}
        yield "", makes(*node.args[1:], **settings)


def _layers(name: str, module: nn.Module) -> tuple[Layer, ...]:
    """A module as layers here; settings that they do not have are noticed when the functions are compared."""
    if isinstance(module, nn.Dropout | nn.Dropout1d | nn.Dropout2d | nn.Identity | nn.LogSoftmax):
        return ()
    if type(module) in ACTIVATION_MODULES:
        return (Activate(function=ACTIVATION_MODULES[type(module)]),)
    if isinstance(module, nn.Linear):
        return (Linear(features=module.out_features, bias=module.bias is not None),)
    if isinstance(module, nn.Conv2d):
        kernel = module.kernel_size[0]
        padding = {"same": kernel // 2, "valid": 0}[module.padding] if isinstance(module.padding, str) else None
        return (
            Conv(
                channels=module.out_channels,
                kernel=kernel,
                stride=module.stride[0],
                padding=_one(module.padding) if padding is None else padding,
                bias=module.bias is not None,
            ),
        )
    if isinstance(module, nn.MaxPool2d):
        return (MaxPool(size=_one(module.kernel_size), stride=_one(module.stride)),)
    if isinstance(module, nn.AvgPool2d):
        return (AveragePool(size=_one(module.kernel_size), stride=_one(module.stride)),)
    if isinstance(module, nn.AdaptiveAvgPool2d):
        return (GlobalAveragePool(),)
    if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
        return (BatchNorm(),)
    if isinstance(module, nn.Flatten):
        return (Flatten(),)
    raise ValueError(f"{name} is {module}, which is no known layer")


def _one(value: Any) -> int:
    """A size that a module holds for both axes, or for each."""
    return int(value[0] if isinstance(value, tuple) else value)


def _compare(module: nn.Module, architecture: Architecture, names: dict[str, str]) -> None:
    """Raises ``ValueError`` where an architecture does not compute what a module computes, at weights at random."""
    generator = torch.Generator().manual_seed(0)
    twin = copy.deepcopy(module).double().eval()
    with torch.no_grad():
        state = {name: tensor for name, tensor in twin.state_dict().items() if tensor.is_floating_point()}
        if unused := set(state) - set(names.values()):
            raise ValueError(f"no layer has the tensor {min(unused)}")
        for name, tensor in state.items():
            values = torch.randn(tensor.shape, dtype=tensor.dtype, generator=generator)
            tensor.copy_(values.abs() + 0.1 if name.endswith("running_var") else values)
        x = torch.rand((EXAMPLES, *architecture.input_shape), dtype=torch.float64, generator=generator)
        weights_1P = architecture.flatten({ours: state[theirs][None] for ours, theirs in names.items()})
        found = architecture.logits(weights_1P, x)[0]
        wanted: Tensor = twin(x.flatten(1) if isinstance(architecture.layers[0], Flatten) else x)
        if found.shape != wanted.shape:
            raise ValueError(f"its outputs are {tuple(wanted.shape[1:])}, those of the layers {tuple(found.shape[1:])}")
        if float(wanted.logsumexp(-1).abs().max()) < TOLERANCE:  # the module ends with a log_softmax
            found = found.log_softmax(-1)
        difference = float((found - wanted).abs().max() / wanted.abs().max().clamp_min(1e-12))
    if not difference < TOLERANCE:
        raise ValueError(f"its outputs differ from theirs by {difference:.2g} of their size")
