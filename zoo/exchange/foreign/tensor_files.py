"""Reading one network's ``state_dict`` from a file that cannot run code.

Shape letters: P parameters.
"""

from __future__ import annotations

import pickle
import re
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from zoo.architecture import Architecture, Shape
from zoo.exchange.foreign.mlp_tensors import mlp_of
from zoo.exchange.foreign.names import ForeignTensor, MismatchError, gather_tensors, match_tensors
from zoo.exchange.input_files import NETWORK_BYTES, require_regular, require_uncompressed

# Where training scripts keep the state_dict among other things.
NESTED = ("state_dict", "model_state_dict", "model")


@dataclass(frozen=True, slots=True)
class StateFile:
    """The tensors of one file.

    Attributes:
        tensors: By name, float32.
        ordered: Whether they are in the order of the network's layers; safetensors files are sorted by name.
    """

    tensors: Mapping[str, np.ndarray]
    ordered: bool

    @property
    def described(self) -> tuple[ForeignTensor, ...]:
        """Names and shapes."""
        return tuple(ForeignTensor(name, tensor.shape) for name, tensor in self.tensors.items())


def read_state(path: Path) -> StateFile:
    """Reads a ``.safetensors`` file, or one that ``torch.save`` wrote of a ``state_dict``.

    Raises:
        ValueError: It is missing or damaged, needs code to be read, or holds no floating-point tensors by name.
    """
    require_regular(path, NETWORK_BYTES)
    try:
        if path.suffix == ".safetensors":
            return StateFile(_floats(load_file(path), path), ordered=False)
        return StateFile(_floats(_state_dict(load_tensors(path), path), path), ordered=True)
    except (OSError, SafetensorError) as error:
        raise ValueError(f"{path} cannot be read ({error}); fetch it again, or remove it") from error


class StateReader:
    """Reads ``state_dict`` files as flat vectors; tensors are matched once for every set of names and shapes."""

    def __init__(self, names: Mapping[str, str] | None) -> None:
        self._names = names
        self._matches: dict[tuple[object, ...], dict[str, str]] = {}
        self._mlps: dict[tuple[object, ...], Architecture] = {}

    def read(self, path: Path, architecture: Architecture) -> np.ndarray:
        """One network: float32 ``[P]``.

        Raises:
            ValueError: The file cannot be read, or its tensors are not those of the architecture.
        """
        state = read_state(path)
        key = (architecture, state.ordered, state.described)
        if key not in self._matches:
            try:
                self._matches[key] = match_tensors(
                    state.described, architecture, ordered=state.ordered, names=self._names
                )
            except MismatchError as error:
                raise MismatchError(f"{path}: {error}") from error
        return gather_tensors(state.tensors, architecture, self._matches[key], str(path))

    def mlp(self, path: Path, activation: str, input_shape: Shape | None) -> Architecture:
        """The MLP whose tensors a file has, as :func:`zoo.exchange.foreign.mlp_tensors.mlp_of` finds it.

        Raises:
            ValueError: The file cannot be read, or is of another network.
        """
        state = read_state(path)
        key = (state.ordered, state.described, activation)
        if key not in self._mlps:
            self._mlps[key] = mlp_of(
                state.described, ordered=state.ordered, activation=activation, input_shape=input_shape
            )
        return self._mlps[key]


def load_tensors(path: Path) -> Any:
    """What ``torch.save`` wrote, if it is tensors and plain values alone.

    Raises:
        ValueError: It is damaged, or a pickle that needs code.
        OSError: It cannot be read.
    """
    require_uncompressed(path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # of other pickle protocols: it either works or raises
            return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        needs = re.search(r"GLOBAL (\S+)", str(error))
        reason = f"needs code to be read ({needs[1]})" if needs else "is damaged"
        raise ValueError(
            f"{path} {reason}. Only tensors and plain values are read, since a pickle can run any code: where you "
            "trust its source, load it there and save it again as a state_dict or as safetensors"
        ) from error
    except (EOFError, LookupError, RuntimeError, TypeError, ValueError, AttributeError, MemoryError) as error:
        raise ValueError(
            f"{path} is no file that torch.save wrote, or is damaged; fetch it again, or leave it out"
        ) from error


def _state_dict(value: Any, path: Path) -> Mapping[Any, Any]:
    if isinstance(value, Mapping):
        for key in NESTED:
            if isinstance(value.get(key), Mapping):
                return dict(value[key])
        return dict(value)
    raise ValueError(f"{path} holds a {type(value).__name__}; expected a state_dict: tensors by their names")


def _floats(tensors: Mapping[Any, Any], path: Path) -> dict[str, np.ndarray]:
    floats = {}
    for name, tensor in tensors.items():
        if not isinstance(name, str):
            raise ValueError(f"{path}: {name!r} is no name; expected a state_dict: dense tensors by their names")
        if not isinstance(tensor, torch.Tensor) or tensor.layout != torch.strided:
            kind = f"{tensor.layout} tensor" if isinstance(tensor, torch.Tensor) else type(tensor).__name__
            raise ValueError(f"{path}: {name!r} is a {kind}; expected a state_dict: dense tensors by their names")
        if re.search(r"(^|[./])kernel(:\d+)?$", name):
            raise ValueError(
                f"{path}: {name} is a kernel of Keras or Flax, whose axes lie otherwise; save the networks as "
                "state_dicts of PyTorch"
            )
        if tensor.numel() * 4 > NETWORK_BYTES:  # one number can stand for any many in a file
            raise ValueError(f"{path}: {name} has {tensor.numel():,} entries, as no network has that is imported")
        if tensor.is_floating_point():
            floats[name] = tensor.detach().to(torch.float32).numpy()
    if not floats:
        raise ValueError(f"{path} holds no tensors of floating-point numbers; expected a state_dict")
    return floats
