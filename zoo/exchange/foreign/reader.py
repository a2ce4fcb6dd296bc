"""What a user may say of a foreign zoo beside its path."""

from __future__ import annotations

from dataclasses import dataclass

from zoo.architecture import Shape
from zoo.exchange.foreign.architectures import GivenArchitecture


@dataclass(frozen=True, kw_only=True, slots=True)
class ImportOptions:
    """Options that readers of foreign formats take.

    Attributes:
        name: A name for the zoo.
        epochs: The epochs to import, ``None`` for those that most networks have.
        given: The architecture, where the user gives it.
        activation: The activation of networks whose architecture is told from their tensors.
        dataset: The data set as it is named here, where it is known.
        input_shape: Shape of an example, where the data set is known.
    """

    name: str
    epochs: tuple[int, ...] | None = None
    given: GivenArchitecture | None = None
    activation: str | None = None
    dataset: str | None = None
    input_shape: Shape | None = None
