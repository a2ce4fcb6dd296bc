"""``python -m cluster VERB``, the same as ``zooscale VERB``."""

import os
import sys

from cluster import own_packages


def main() -> None:
    """Runs the command line and exits with its code."""
    own_packages.put_first()
    # As `python -m` does: `module:attribute` also names modules of the folder that the user is in.
    if os.getcwd() not in sys.path:
        sys.path.append(os.getcwd())
    from cluster.cli import run  # after our packages are known to be ours

    sys.exit(run(sys.argv[1:]))


if __name__ == "__main__":
    main()
