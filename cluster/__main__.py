"""``python -m cluster VERB``, the same as ``zooscale VERB``."""

import os
import sys

from cluster.cli import run


def main() -> None:
    """Runs the command line and exits with its code."""
    # As `python -m` does: `module:attribute` also names modules of the folder that the user is in.
    if os.getcwd() not in sys.path:
        sys.path.append(os.getcwd())
    sys.exit(run(sys.argv[1:]))


if __name__ == "__main__":
    main()
