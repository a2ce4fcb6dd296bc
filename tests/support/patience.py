"""How long tests wait for what other processes and threads do."""

import time
from collections.abc import Callable

# For what takes seconds on an idle machine: a start of Ray has taken two minutes on one that others used.
PATIENCE_S = 400


def wait(condition: Callable[[], object], each_s: float = 0.1) -> bool:
    """Asks every ``each_s`` seconds whether something is true, as long as patience lasts; whether it is."""
    deadline = time.monotonic() + PATIENCE_S
    while not (true := bool(condition())) and time.monotonic() < deadline:
        time.sleep(each_s)
    return true
