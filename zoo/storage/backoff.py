"""How long to go on asking a store that does not answer, and how often."""

from __future__ import annotations

import os
import random
from collections.abc import Iterator

PATIENCE_VARIABLE = "ZOOSCALE_PATIENCE_S"
# A store that has answered before comes back: a server that restarts, a network that was cut, throttling.
PATIENCE_S = 120.0
# One that never has is more likely misspelt.
FIRST_PATIENCE_S = 10.0
SHORTEST_WAIT_S, LONGEST_WAIT_S = 0.1, 8.0


def patience_s(*, answered: bool) -> float:
    """Seconds for which a request is tried again.

    ``ZOOSCALE_PATIENCE_S`` sets them; by default 120 for a store that has answered this process, else 10.

    Raises:
        ValueError: The variable is no number, or negative.
    """
    given = os.environ.get(PATIENCE_VARIABLE)
    if given is None:
        return PATIENCE_S if answered else FIRST_PATIENCE_S
    try:
        seconds = float(given)
    except ValueError:
        seconds = -1.0
    if not seconds >= 0:
        raise ValueError(f"{PATIENCE_VARIABLE} is {given!r}; allowed: seconds, 0 or more")
    return seconds


def waits() -> Iterator[float]:
    """Seconds to wait before each further attempt: doubling up to 8, a random half of each.

    The random part keeps many workers that failed together from asking again together.
    """
    wait = SHORTEST_WAIT_S
    while True:
        yield wait * random.uniform(0.5, 1.0)  # noqa: S311
        wait = min(2 * wait, LONGEST_WAIT_S)
