"""Which tensor of a foreign network is which of an architecture: by name, by order, or by shape.

Shape letters: M snapshots, P parameters.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from zoo.architecture import Architecture

Shape = tuple[int, ...]
Leaves = dict[str, tuple[str, Shape]]

# What the last part of a tensor's name is called elsewhere (Keras), and what it is here.
LEAVES = {
    "kernel": "weight",
    "gamma": "weight",
    "beta": "bias",
    "moving_mean": "running_mean",
    "moving_variance": "running_var",
}
# Batch norm's count of batches: no parameter of the function that the network computes.
IGNORED = ("num_batches_tracked",)


class MismatchError(ValueError):
    """The tensors of a network are not those of the architecture."""


@dataclass(frozen=True, slots=True)
class ForeignTensor:
    """A tensor as its source describes it.

    Attributes:
        name: Its name there: ``module_list.0.weight``, ``sequential/conv2d/kernel:0``.
        shape: Its shape in the order of axes of PyTorch.
    """

    name: str
    shape: Shape


def match_tensors(
    tensors: Sequence[ForeignTensor],
    architecture: Architecture,
    *,
    ordered: bool,
    names: Mapping[str, str] | None = None,
) -> dict[str, str]:
    """Finds for each tensor of an architecture the one that it is in a foreign network.

    In this order: the names that are given; equal names; layers in equal order with equal shapes; where the order
    does not fit, shapes, if they leave one possibility.

    Args:
        tensors: The foreign network's tensors.
        architecture: What they are to be.
        ordered: Whether their order is that of the layers, as in a ``state_dict`` that torch saved. Safetensors
            files sort their names; layers are then in the order of the numbers in their names.
        names: Names in the architecture's layout and those in the foreign network, given by the user.

    Returns:
        For each name in the architecture's layout, the foreign tensor's.

    Raises:
        MismatchError: A tensor is missing, is too many or has another shape, or there is more than one way.
    """
    found = {tensor.name: tensor for tensor in tensors if not tensor.name.endswith(IGNORED)}
    wanted = {spec.name: tuple(spec.shape) for spec in architecture.layout}
    if names is not None:
        return _check_given(names, found, wanted)
    if set(found) == set(wanted):
        return _check_shapes({name: name for name in wanted}, found, wanted)
    theirs = by_module(tensors, ordered=ordered)
    ours = by_module([ForeignTensor(name, shape) for name, shape in wanted.items()], ordered=True)
    modules = list(theirs)
    if len(modules) == len(ours) and all(
        _shapes(theirs[a]) == _shapes(ours[b]) for a, b in zip(modules, ours, strict=True)
    ):
        if not ordered:
            _require_numbered(modules, theirs)
        pairs = list(zip(modules, ours, strict=True))
    else:
        pairs = _by_shape(theirs, ours)
    return {ours[b][leaf][0]: theirs[a][leaf][0] for a, b in pairs for leaf in ours[b]}


def gather_tensors(
    tensors: Mapping[str, np.ndarray],
    architecture: Architecture,
    matched: Mapping[str, str],
    where: str,
    dtype: type[np.generic] = np.float32,
) -> np.ndarray:
    """Lays the tensors of one network, or numbers in their places, out as the architecture's flat vector ``[P]``.

    Args:
        tensors: By the foreign names, axes in the order of PyTorch.
        architecture: Whose layout.
        matched: From :func:`match_tensors`.
        where: Name of the file, for errors.
        dtype: Of the result.

    Raises:
        MismatchError: A tensor is missing or has another shape than in the network that was matched.
    """
    weights_P = np.empty(architecture.parameters, dtype)
    for spec in architecture.layout:
        tensor = tensors.get(matched[spec.name])
        if tensor is None or tensor.shape != tuple(spec.shape):
            found = "is missing" if tensor is None else f"has shape {tensor.shape}"
            raise MismatchError(
                f"{where}: tensor {matched[spec.name]} {found}; expected {tuple(spec.shape)}. All networks of one "
                "architecture must have the same tensors: remove this one, or import it apart"
            )
        weights_P[spec.span] = tensor.reshape(-1)
    placed = set(matched.values())
    extra = [name for name in tensors if name not in placed and not name.endswith(IGNORED)]
    if extra:
        raise MismatchError(f"{where}: tensor {extra[0]} has no place in the architecture; remove the file")
    return weights_P


def columns_of(
    tensors: Mapping[str, np.ndarray], architecture: Architecture, names: Mapping[str, str] | None, where: str
) -> np.ndarray:
    """Where in a table of networks, a row each, the entries of the architecture's flat vector are: int64 ``[P]``.

    Args:
        tensors: By the foreign names, in the order of the layers, the numbers of the columns of their entries.
        architecture: Whose layout.
        names: As in :func:`match_tensors`.
        where: Name of the file, for errors.

    Raises:
        MismatchError: The tensors are not those of the architecture.
    """
    foreign = [ForeignTensor(name, tensor.shape) for name, tensor in tensors.items()]
    try:
        matched = match_tensors(foreign, architecture, ordered=True, names=names)
    except MismatchError as error:
        raise MismatchError(f"{where}: {error}") from error
    return gather_tensors(tensors, architecture, matched, where, np.int64)


def _check_given(
    names: Mapping[str, str], found: Mapping[str, ForeignTensor], wanted: Mapping[str, Shape]
) -> dict[str, str]:
    """The names that the user gave, where they are complete."""
    wrappers = {name.removesuffix(given) for name in found for given in names.values() if name.endswith(f".{given}")}
    for wrapper in wrappers:  # such as "module." of DataParallel
        if {f"{wrapper}{given}" for given in names.values()} == set(found):
            names = {name: f"{wrapper}{given}" for name, given in names.items()}
    if set(names) != set(wanted) or set(names.values()) != set(found):
        odd = sorted(set(names) ^ set(wanted)) or sorted(set(names.values()) ^ set(found))
        raise MismatchError(
            f"the names given do not fit at {', '.join(odd[:3])}; the architecture has {', '.join(wanted)}, the files "
            f"{', '.join(found)}"
        )
    return _check_shapes(names, found, wanted)


def _check_shapes(
    names: Mapping[str, str], found: Mapping[str, ForeignTensor], wanted: Mapping[str, Shape]
) -> dict[str, str]:
    for name, theirs in names.items():
        if found[theirs].shape != wanted[name]:
            raise MismatchError(
                f"tensor {theirs} has shape {found[theirs].shape}, tensor {name} of the architecture {wanted[name]}; "
                "give the architecture that these networks have"
            )
    return dict(names)


def by_module(tensors: Iterable[ForeignTensor], *, ordered: bool) -> dict[str, Leaves]:
    """Tensors by their modules, leaf to (full name, shape); ``ordered`` is as in :func:`match_tensors`."""
    modules: dict[str, Leaves] = {}
    for tensor in tensors:
        if not tensor.name.endswith(IGNORED):
            module, _, leaf = re.sub(r":\d+$", "", tensor.name.replace("/", ".")).rpartition(".")
            modules.setdefault(module, {})[LEAVES.get(leaf, leaf)] = (tensor.name, tensor.shape)
    return modules if ordered else {name: modules[name] for name in sorted(modules, key=_number_parts)}


def _shapes(leaves: Leaves) -> dict[str, Shape]:
    return {leaf: shape for leaf, (_, shape) in leaves.items()}


def _number_parts(name: str) -> list[tuple[int, int, str]]:
    """A key that sorts ``layer.10`` after ``layer.2``."""
    return [(1, int(part), "") if part.isdecimal() else (0, 0, part) for part in re.split(r"(\d+)", name) if part != ""]


def _require_numbered(modules: Sequence[str], theirs: Mapping[str, Leaves]) -> None:
    """Raises where sorted names leave open which of two layers of equal shape comes first."""
    seen: dict[tuple[tuple[str, Shape], ...], str] = {}
    for module in modules:
        key = tuple(sorted(_shapes(theirs[module]).items()))
        pattern = re.sub(r"\d+", "#", module)
        if seen.setdefault(key, pattern) != pattern:
            raise MismatchError(
                f"layer {module} has the shapes of another, and names do not tell which comes first; give names in the "
                'architecture\'s file: {"names": {"1.weight": "' + theirs[module][next(iter(theirs[module]))][0] + '", '
                "...}}"
            )


def _by_shape(theirs: Mapping[str, Leaves], ours: Mapping[str, Leaves]) -> list[tuple[str, str]]:
    """Pairs layers by their shapes, where these leave one possibility."""

    def key(leaves: Leaves) -> tuple[tuple[str, Shape], ...]:
        return tuple(sorted(_shapes(leaves).items()))

    their_keys, our_keys = Counter(map(key, theirs.values())), Counter(map(key, ours.values()))
    if their_keys == our_keys and max(their_keys.values()) == 1:
        place = {key(leaves): module for module, leaves in theirs.items()}
        return [(place[key(leaves)], module) for module, leaves in ours.items()]
    described = "; ".join(
        f"{name}: " + (", ".join(f"{tensor} {shape}" for tensor, shape in _flat(modules)) or "none")
        for name, modules in (("the network has", theirs), ("the architecture", ours))
    )
    why = "in more than one way" if their_keys == our_keys else "in no way"
    raise MismatchError(
        f"the tensors of the network fit those of the architecture {why}. {described}. Give the architecture that "
        'these networks have, or names in its file: {"names": {"1.weight": "conv1.weight", ...}}'
    )


def _flat(modules: Mapping[str, Leaves]) -> list[tuple[str, Shape]]:
    return [pair for leaves in modules.values() for pair in leaves.values()]
