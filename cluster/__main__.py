"""``python -m cluster VERB``, the same as ``zooscale VERB``."""

import atexit
import os
import sys

from cluster import own_packages


def main() -> None:
    """Runs the command line and exits with its code."""
    ended: list[int] = []
    atexit.register(_leave, ended)  # registered first, so called last
    own_packages.put_first()
    # As `python -m` does: `module:attribute` also names modules of the folder that the user is in.
    if os.getcwd() not in sys.path:
        sys.path.append(os.getcwd())
    from cluster.cli import run  # after our packages are known to be ours

    ended.append(run(sys.argv[1:]))
    sys.exit(ended[0])


def _leave(ended: list[int]) -> None:
    """Ends the process with the command's code, when all that Python does at its end is done.

    Threads of Arrow that let go of Python's objects while the interpreter goes away abort it, now and then, after a
    command has done all its work (apache/arrow, issues 34314 and 45017).
    """
    if not ended:
        return  # it failed in a way that the interpreter tells of
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    except OSError:
        return  # likewise
    os._exit(ended[0])


if __name__ == "__main__":
    main()
