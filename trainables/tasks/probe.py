"""Probe networks: a trained network without its head, in whose filters tasks are embedded.

Shape letters: N examples, D features, F filters.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import load, save
from torch import Tensor, nn

from zoo.architecture import Architecture, Linear
from zoo.data.examples import Examples

Filters = nn.Conv2d | nn.Linear
# Of ImageNet, which torchvision's networks are trained on.
IMAGENET_MEAN, IMAGENET_DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
EXAMPLES_AT_ONCE = 256
PROBE_FILE, PROBE_WEIGHTS_FILE = "probe.json", "probe.safetensors"


@dataclass(frozen=True)
class ProbeNetwork:
    """A fixed network from images to features.

    Attributes:
        name: What it is called where embeddings are compared: only those of one probe can be.
        module: ``[N, *input_shape]`` to features ``[N, D]``; in evaluation mode, its parameters fixed.
        input_shape: (channels, height, width) that it takes.
    """

    name: str
    module: nn.Module
    input_shape: tuple[int, int, int]

    def __post_init__(self) -> None:
        self.module.eval().requires_grad_(False)
        for module in self.module.modules():
            if getattr(module, "inplace", False):
                module.inplace = False  # type: ignore[assignment]  # outputs of filters are differentiated by
        if not self.filters:
            raise ValueError(f"probe network {self.name!r} has no convolution and no linear layer before its head")

    @cached_property
    def filters(self) -> dict[str, Filters]:
        """The layers whose filters (rows of the weight) are measured, by name, in the order of application."""
        layers = {name: module for name, module in self.module.named_modules() if isinstance(module, Filters)}
        applied: dict[str, Filters] = {}

        def note(name: str, layer: Filters, *_: Tensor) -> None:
            applied.setdefault(name, layer)

        with torch.no_grad(), hooked(layers, note):
            self.module(torch.zeros(1, *self.input_shape))
        return applied

    @cached_property
    def counts(self) -> dict[str, int]:
        """How many filters each layer has."""
        return {name: len(layer.weight) for name, layer in self.filters.items()}

    @cached_property
    def filter_scales(self) -> Tensor:
        """λ², the mean squared weight of each filter's layer: ``[F]``."""
        return torch.cat([layer.weight.square().mean().expand(len(layer.weight)) for layer in self.filters.values()])

    @cached_property
    def sha256(self) -> str:
        """Hash of its weights and of the shape that it takes."""
        state = hashlib.sha256(repr(self.input_shape).encode())
        for name, tensor in self.module.state_dict().items():
            state.update(name.encode())
            state.update(tensor.contiguous().numpy().tobytes())
        return state.hexdigest()

    def inputs(self, examples: Examples) -> Tensor:
        """Images as the probe takes them: resized, gray ones in all colors, colored ones for a gray probe averaged.

        Raises:
            ValueError: The examples are no images.
        """
        images = examples.inputs
        if images.ndim != 4:
            shape = tuple(images.shape[1:])
            raise ValueError(f"a probe network takes images [channels, height, width]; these examples have {shape}")
        channels, *size = self.input_shape
        if images.shape[1] != channels:
            images = images.mean(1, keepdim=True).expand(-1, channels, -1, -1)
        if list(images.shape[2:]) != size:
            images = F.interpolate(images, size=size, mode="bilinear", align_corners=False, antialias=True)
        return images

    @torch.no_grad()
    def features(self, examples: Examples) -> np.ndarray:
        """Features of all examples, float32 ``[N, D]``."""
        parts = (
            self.module(self.inputs(examples.select(slice(start, start + EXAMPLES_AT_ONCE))))
            for start in range(0, len(examples), EXAMPLES_AT_ONCE)
        )
        return torch.cat(list(parts)).numpy()


# Called with the name of a layer, the layer, its input and its output; what it returns replaces the output.
Hook = Callable[[str, Filters, Tensor, Tensor], Tensor | None]


@contextmanager
def hooked(layers: Mapping[str, Filters], hook: Hook) -> Iterator[None]:
    """Calls ``hook`` whenever one of these layers has been applied."""

    def of(name: str) -> Callable[..., Tensor | None]:
        return lambda layer, inputs, output: hook(name, layer, inputs[0], output)

    handles = [layer.register_forward_hook(of(name)) for name, layer in layers.items()]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


@dataclass(frozen=True)
class TrainedProbe:
    """One of our own architectures with trained weights, of a zoo or of :func:`trainables.tasks.probe_training`.

    Attributes:
        name: See :class:`ProbeNetwork`.
        architecture: It takes images, and its last layer, a linear one, is the head.
        weights_P: Its weights, those of the head among them.
    """

    name: str
    architecture: Architecture
    weights_P: Tensor

    def __post_init__(self) -> None:
        shape, layers = self.architecture.input_shape, self.architecture.layers
        if len(shape) != 3:
            raise ValueError(f"probe network {self.name!r} takes {shape}; allowed: images [channels, height, width]")
        if not isinstance(layers[-1], Linear) or len(layers) < 2:
            raise ValueError(
                f"probe network {self.name!r} is {self.architecture.summary}; allowed: what ends in a linear layer"
            )

    @cached_property
    def network(self) -> ProbeNetwork:
        """The probe network: all but the head."""
        channels, height, width = self.architecture.input_shape
        return ProbeNetwork(self.name, self.architecture.to_module(self.weights_P)[:-1], (channels, height, width))

    def to_files(self) -> dict[str, bytes]:
        """As safetensors and JSON."""
        facts = {"name": self.name, "architecture": self.architecture.to_json()}
        return {
            PROBE_FILE: (json.dumps(facts, indent=1) + "\n").encode(),
            PROBE_WEIGHTS_FILE: save({"weights_P": self.weights_P}),
        }

    @classmethod
    def from_files(cls, files: Mapping[str, bytes]) -> TrainedProbe:
        """The inverse of :meth:`to_files`."""
        facts = json.loads(files[PROBE_FILE])
        return cls(
            facts["name"], Architecture.from_json(facts["architecture"]), load(files[PROBE_WEIGHTS_FILE])["weights_P"]
        )


def torchvision_probe(name: str, *, weights: str | None = "DEFAULT", size: int = 224) -> ProbeNetwork:
    """One of torchvision's classification networks, such as "resnet34" as in the paper.

    Args:
        name: Its name in torchvision.
        weights: Which pretrained weights, downloaded by torchvision where they are missing; ``None`` for random ones.
        size: Height and width that images are resized to; networks that average over places take smaller ones than
            they were trained with.

    Raises:
        ValueError: There is no such network or weights, or it has no linear layer.
        FileNotFoundError: The weights are neither here nor to be had.
    """
    from torchvision import models

    if name not in models.list_models(module=models):
        raise ValueError(f"torchvision has no network {name!r} for images; it has resnet18, resnet34, densenet121 …")
    try:
        module = models.get_model(name, weights=weights)
    except OSError as error:
        raise FileNotFoundError(
            f"the weights {weights} of {name} could not be downloaded ({' '.join(str(error).split())}); put the file "
            f"into {torch.hub.get_dir()}/checkpoints, or take a probe network that is trained here"
        ) from error
    heads = [path for path, layer in module.named_modules() if isinstance(layer, nn.Linear)]
    if not heads:
        raise ValueError(f"torchvision's {name} has no linear layer; take one with a linear head, such as resnet34")
    parent, _, attribute = heads[-1].rpartition(".")
    setattr(module.get_submodule(parent), attribute, nn.Identity())
    normalized = nn.Sequential(Normalize(IMAGENET_MEAN, IMAGENET_DEVIATION), module)
    return ProbeNetwork(f"{name} ({weights or 'random weights'})", normalized, (3, size, size))


class Normalize(nn.Module):
    """Subtracts a mean from each channel and divides by a deviation."""

    def __init__(self, mean: Iterable[float], deviation: Iterable[float]) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor(list(mean))[:, None, None])
        self.register_buffer("deviation", torch.tensor(list(deviation))[:, None, None])

    def forward(self, images: Tensor) -> Tensor:
        """Images ``[N, channels, height, width]`` from 0 to 1."""
        return (images - self.get_buffer("mean")) / self.get_buffer("deviation")
