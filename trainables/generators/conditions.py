"""What can be wanted of generated networks, as numbers.

Shape letters: M networks, Q numbers of a condition.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from trainables.encoders.supervised import Target
from zoo.population import Population


@dataclass(frozen=True)
class Conditions:
    """Columns that can be wanted, as numbers: a standardized value or one-hot, and whether it is given.

    Attributes:
        targets: The columns.
    """

    targets: tuple[Target, ...]

    @property
    def width(self) -> int:
        """Q: numbers of a condition."""
        return sum(target.outputs + 1 for target in self.targets)

    def of_networks(self, population: Population) -> Tensor:
        """What is known of training networks: ``[M, Q]``."""
        parts = [torch.zeros(len(population), 0)]
        for target in self.targets:
            value_M = target.of_networks(population)
            if target.categories:
                given_M = value_M >= 0
                parts.append(nn.functional.one_hot(value_M.clamp_min(0), len(target.categories)) * given_M[:, None])
            else:
                given_M = torch.isfinite(value_M)
                parts.append(value_M.nan_to_num(0.0)[:, None])
            parts.append(given_M[:, None])
        return torch.cat([part.float() for part in parts], dim=1)

    def wanted(self, wanted: Mapping[str, float | str], count: int) -> Tensor:
        """What is wanted of all of so many networks: ``[M, Q]``.

        Raises:
            ValueError: A column is none of the conditions, or a category is unknown.
        """
        unknown = [name for name in wanted if name not in {target.name for target in self.targets}]
        if unknown:
            names = ", ".join(target.name for target in self.targets) or "none: fit with --set conditions=…"
            raise ValueError(f"{', '.join(unknown)} is wanted; conditions of this generator: {names}")
        numbers: list[float] = []
        for target in self.targets:
            given = target.name in wanted
            if target.categories:
                if given and str(wanted[target.name]) not in target.categories:
                    raise ValueError(
                        f"{target.name} {wanted[target.name]!r} is wanted; allowed: {', '.join(target.categories)}"
                    )
                numbers += [float(given and str(wanted[target.name]) == each) for each in target.categories]
            else:
                numbers.append((float(wanted[target.name]) - target.mean) / target.deviation if given else 0.0)
            numbers.append(float(given))
        return torch.tensor(numbers).reshape(1, -1).expand(count, -1)
