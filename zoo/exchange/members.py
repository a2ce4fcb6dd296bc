"""Export of one member at one epoch: safetensors, ``state_dict`` or ONNX."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch
from safetensors.torch import save_file

from zoo.architecture import Architecture
from zoo.config import canonical_json, to_json
from zoo.exchange.exporting import new_path
from zoo.population import Member
from zoo.storage.zoo import Zoo

Writer = Callable[[Path, Architecture, torch.Tensor, dict[str, str]], None]


def export_member(zoo: Zoo, member: int, target: Path, *, epoch: int | None = None, layout: str | None = None) -> Path:
    """Writes one network to a file that appears when it is complete.

    Args:
        zoo: Whose.
        member: Number of the member.
        target: The file; its suffix tells the format where ``layout`` does not.
        epoch: Which snapshot; the last by default.
        layout: A name in ``MEMBER_FORMATS``.

    Raises:
        ValueError: The target exists, the format is unknown, or there is no such member or epoch.
        ZooError: The zoo is damaged.
    """
    if layout is None:
        layout = format_of_suffix(target)
    if layout not in MEMBER_FORMATS:
        raise ValueError(f"unknown format {layout!r}; known: {', '.join(MEMBER_FORMATS)}")
    if epoch is None:
        epoch = zoo.recipe.snapshot_epochs[-1]
    architecture, weights_P, trained = read_member(zoo, member, epoch)
    told = {
        "architecture": canonical_json(architecture),
        "member": canonical_json(to_json(trained)),
        "epoch": str(epoch),
        "zoo": zoo.name,
    }
    with new_path(target) as partial:
        MEMBER_FORMATS[layout][1](partial, architecture, weights_P, told)
    return target


def format_of_suffix(target: Path) -> str:
    """The name in ``MEMBER_FORMATS`` that a file's suffix stands for.

    Raises:
        ValueError: It stands for none.
    """
    for name, (suffix, _) in MEMBER_FORMATS.items():
        if suffix == target.suffix:
            return name
    known = ", ".join(f"{name} ({suffix})" for name, (suffix, _) in MEMBER_FORMATS.items())
    raise ValueError(f"{target} names no format for a member; known: {known}")


def read_member(zoo: Zoo, member: int, epoch: int) -> tuple[Architecture, torch.Tensor, Member]:
    """One snapshot: its architecture, its weights ``[P]``, and how it was trained; also one that diverged."""
    for population in zoo.populations(members=[member], epochs=[epoch], include_diverged=True):
        architecture = population.architectures[int(population.architecture_M[0])]
        return architecture, population.weights_MP[0], population.members[0]
    raise ValueError(f"zoo {zoo.name} has no member {member} at epoch {epoch}")


def _state(architecture: Architecture, weights_P: torch.Tensor) -> dict[str, torch.Tensor]:
    return {name: tensor[0].clone() for name, tensor in architecture.tensors(weights_P[None]).items()}


def _save_safetensors(path: Path, architecture: Architecture, weights_P: torch.Tensor, told: dict[str, str]) -> None:
    save_file(_state(architecture, weights_P), path, metadata=told)


def _save_state_dict(path: Path, architecture: Architecture, weights_P: torch.Tensor, told: dict[str, str]) -> None:  # noqa: ARG001
    torch.save(_state(architecture, weights_P), path)


def _save_onnx(path: Path, architecture: Architecture, weights_P: torch.Tensor, told: dict[str, str]) -> None:
    try:
        from zoo.exchange.onnx_graph import onnx_model
    except ModuleNotFoundError as error:
        raise ValueError(f"ONNX needs the package {error.name}: pip install onnx") from error
    path.write_bytes(onnx_model(architecture, weights_P, told))


MEMBER_FORMATS: dict[str, tuple[str, Writer]] = {
    "safetensors": (".safetensors", _save_safetensors),
    "state-dict": (".pt", _save_state_dict),
    "onnx": (".onnx", _save_onnx),
}
