"""The commands that a document shows, as a shell would run them: with its variables and loops, but nothing is run.

Blocks of four spaces, and code within lines that begins with the name of a command. ``…`` stands for what is said
elsewhere, words in capitals for what a reader fills in.
"""

import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

BASH = shutil.which("bash")
NAMES = "zooscale |python -m cluster|python benchmarks/|make |ray job submit"
# Each command writes its words into a third stream; what a document reads from one of them is left open.
RECORDER = r"""
record() { printf '%s\037' "$@" >&3; printf '\036' >&3; }
zooscale() { record zooscale "$@"; }
python() { if [ "$1 $2" = "-m cluster" ]; then shift 2; record zooscale "$@"; else record python "$@"; fi; }
make() { record make "$@"; }
ray() { while [ "$1" != -- ]; do shift; done; shift; "$@"; }
source() { :; }
awk() { echo STUDY; }
paste() { echo STUDIES; }
command_not_found_handle() { case "$1" in grep|pip|…) ;; *) record "$@";; esac; }
PATH=/nowhere
"""


def commands(document: Path) -> Iterator[list[str]]:
    """The words of each command of a document, ``zooscale``, ``python`` or ``make`` first."""
    text = re.sub(r"^```.*?^```", "", document.read_text(), flags=re.DOTALL | re.MULTILINE)
    blocks = re.findall(r"(?:^    .*\n)+", text, re.MULTILINE)
    prose = re.sub(r"\s+", " ", re.sub(r"^    .*\n", "", text, flags=re.MULTILINE))
    for shown in [*blocks, *re.findall(rf"`((?:{NAMES})[^`]*)`", prose)]:
        if re.search(NAMES, shown):
            yield from _run(shown)


def _run(script: str) -> list[list[str]]:
    """What a script runs.

    Raises:
        ValueError: It is none.
    """
    done = subprocess.run(
        [str(BASH), "-c", f"exec 3>&1 >/dev/null\n{RECORDER}\n{script}"], capture_output=True, text=True, check=False
    )
    if "syntax error" in done.stderr:
        raise ValueError(f"{done.stderr}\n{script}")
    return [command.split("\x1f")[:-1] for command in done.stdout.split("\x1e")[:-1]]
