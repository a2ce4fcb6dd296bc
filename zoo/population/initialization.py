"""Initial weights of members, each from its own random stream.

Shape letters: M members, P parameters.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from zoo.architecture import Architecture, BatchNorm
from zoo.population.distributions import fans, find_initialization
from zoo.population.member import Member
from zoo.streams import Purpose, stream


def initial_weights(architecture: Architecture, members: Sequence[Member]) -> Tensor:
    """Draws every member's initial weights from its own stream.

    Returns:
        ``weights_MP`` float32; a member's row depends on the member and the architecture alone.
    """
    weights_MP = np.zeros((len(members), architecture.parameters), dtype=np.float32)
    norms = [place.name for place in architecture.placed if isinstance(place.layer, BatchNorm)]
    ones = {f"{name}.{part}" for name in norms for part in ("weight", "running_var")}
    for spec in architecture.layout:
        if spec.name in ones:
            weights_MP[:, spec.span] = 1
    for row, member in enumerate(members):
        distribution = find_initialization(member.initialization)
        generator = stream(Purpose.INITIALIZATION, member.seed)
        for spec in architecture.layout:
            if len(spec.shape) < 2:
                continue
            std = distribution.std(*fans(spec)) * member.init_scale
            weights_MP[row, spec.span] = distribution.draw(generator, spec, std)
    return torch.from_numpy(weights_MP)
