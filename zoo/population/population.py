"""Populations: weights together with what is needed to know and use them.

Shape letters: M members, P parameters, N examples, C classes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from types import MappingProxyType

import numpy as np
import torch
from torch import Tensor

from zoo.architecture import Architecture
from zoo.population.member import Member

# Members that are worked on together: enough that products of small networks are worth their start.
BLOCK = 128


@dataclass(frozen=True, kw_only=True)
class Population:
    """Snapshots of one parameter layout with the architecture of each.

    Attributes:
        weights_MP: Flat parameters, float32.
        architectures: The distinct architectures; all have the same layout.
        architecture_M: For each row, its index into ``architectures``.
        members: For each row, how it was trained; empty where that is not known, as of generated networks.
        epochs: For each row, the epoch of the snapshot; empty where that is not known.
        columns: What else is known of each row, such as its split and its metrics: ``[M]`` each.
    """

    weights_MP: Tensor
    architectures: tuple[Architecture, ...]
    architecture_M: Tensor
    members: tuple[Member, ...] = ()
    epochs: tuple[int, ...] = ()
    columns: Mapping[str, np.ndarray] = field(default_factory=lambda: MappingProxyType({}))

    def __post_init__(self) -> None:
        layouts = {architecture.layout for architecture in self.architectures}
        if len(layouts) != 1:
            raise ValueError(f"a population has one parameter layout, got {len(layouts)}; split it by architecture")
        if self.weights_MP.ndim != 2 or self.weights_MP.shape[1] != self.architecture.parameters:
            raise ValueError(
                f"weights have shape {tuple(self.weights_MP.shape)}; expected [members, {self.architecture.parameters}]"
            )
        rows = len(self.weights_MP)
        counts = {"architecture_M": len(self.architecture_M)}
        counts |= {name: len(known) for name in ("members", "epochs") if (known := getattr(self, name))}
        counts |= {f"column {name!r}": len(values) for name, values in self.columns.items()}
        for name, count in counts.items():
            if count != rows:
                raise ValueError(f"there are {rows} rows of weights, but {name} has {count}; these must be equal")

    def __len__(self) -> int:
        return len(self.weights_MP)

    @property
    def architecture(self) -> Architecture:
        """The first architecture: good for everything that depends on the layout alone."""
        return self.architectures[0]

    @property
    def parameters(self) -> int:
        """P."""
        return self.architecture.parameters

    def groups(self) -> Iterator[tuple[Architecture, Tensor]]:
        """Yields each architecture that occurs with the rows that have it (int64)."""
        for index, architecture in enumerate(self.architectures):
            rows = torch.nonzero(self.architecture_M == index).flatten()
            if len(rows):
                yield architecture, rows

    def blocks(self) -> list[Tensor]:
        """Rows of blocks of members (int64), of one architecture each: what is computed of them is cut here alone.

        Products round by how much there is to multiply. So what is found of a block is the same to the last bit
        whatever else is looked at, if all that goes over members goes by blocks, or by :func:`steps`.
        """
        return [block for _, rows in self.groups() for block in rows.split(BLOCK)]

    def column(self, name: str) -> np.ndarray:
        """What is known of each row under a name: one of :attr:`columns`, a field of ``Member``, epoch, activation.

        Returns:
            ``[M]``; activations are names, several in one network joined by commas.

        Raises:
            ValueError: Nothing is known under that name; the message lists what there is.
        """
        if name in self.columns:
            return self.columns[name]
        if name == "activation":
            return np.array([architecture.activation for architecture in self.architectures])[
                self.architecture_M.numpy()
            ]
        if name == "epoch" and self.epochs:
            return np.array(self.epochs)
        of_member = [member_field.name for member_field in fields(Member)] if self.members else []
        if name in of_member:
            return np.array([getattr(member, name) for member in self.members])
        known = [*self.columns, *of_member, *(["epoch"] if self.epochs else []), "activation"]
        raise ValueError(f"nothing is known of these networks under {name!r}; allowed: {', '.join(known)}")

    def with_weights(self, weights_MP: Tensor) -> Population:
        """The same rows with other weights: what a decoder returns, ready to be applied to examples.

        What is known of the rows stays, and so tells of the original weights.
        """
        return replace(self, weights_MP=weights_MP)

    def select(self, rows: Sequence[int] | Tensor) -> Population:
        """The given rows, in the given order."""
        index = torch.as_tensor(rows, dtype=torch.int64)
        chosen = index.tolist()
        return replace(
            self,
            weights_MP=self.weights_MP[index],
            architecture_M=self.architecture_M[index],
            members=tuple(self.members[row] for row in chosen) if self.members else (),
            epochs=tuple(self.epochs[row] for row in chosen) if self.epochs else (),
            columns={name: values[index.numpy()] for name, values in self.columns.items()},
        )

    def logits(self, x: Tensor, weights_MP: Tensor | None = None) -> Tensor:
        """Applies every row to every example, each with its own architecture; differentiable in the weights.

        Args:
            x: Examples ``[N, *input_shape]`` in floating point.
            weights_MP: Used instead of the population's own weights where given.

        Returns:
            ``logits_MNC``.
        """
        weights_MP = self.weights_MP if weights_MP is None else weights_MP
        groups = list(self.groups())
        if len(groups) == 1:
            return groups[0][0].logits(weights_MP, x)
        parts = [architecture.logits(weights_MP[rows], x) for architecture, rows in groups]
        order = torch.cat([rows for _, rows in groups])
        return torch.cat(parts)[torch.argsort(order)]


def steps(rows: Tensor, most: int) -> tuple[Tensor, ...]:
    """Rows of one architecture in parts of at most so many, none of which has rows of two blocks."""
    return rows.split(1 << (max(1, min(most, BLOCK)).bit_length() - 1))


def single_architecture(
    architecture: Architecture, weights_MP: Tensor, members: Sequence[Member] = (), epochs: Sequence[int] = ()
) -> Population:
    """A population whose rows all have one architecture."""
    return Population(
        weights_MP=weights_MP,
        architectures=(architecture,),
        architecture_M=torch.zeros(len(weights_MP), dtype=torch.int64),
        members=tuple(members),
        epochs=tuple(epochs),
    )
