"""``dashboard``: a study in optuna-dashboard, on a copy of its journal, and TensorBoard."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from types import FrameType

from cluster.display import say
from cluster.distributed.study import StudyFolder
from cluster.verbs.inventory import STUDIES, existing_store
from zoo.storage.store import Store

POLL_S = 0.5
END_S = 5.0


def run_dashboard(store_uri: str, study: str | None, *, host: str, port: int) -> None:
    """The verb ``dashboard``: runs until Ctrl-C or SIGTERM.

    Args:
        store_uri: The store.
        study: The study, or the beginning of its name; the newest by default.
        host: Address to listen on.
        port: Port of optuna-dashboard; TensorBoard has the next.

    Raises:
        ValueError: There is no such study.
        RuntimeError: A dashboard has ended by itself, for example because its port is taken.
    """
    folder = find_folder(existing_store(store_uri), study)
    with tempfile.TemporaryDirectory(prefix="zooscale-dashboard-") as scratch:
        copy = Path(scratch, "journal.log")
        copy_journal(folder, copy)
        folder.fetch_logs()
        commands = {
            "optuna-dashboard": [
                str(Path(sys.executable).with_name("optuna-dashboard")), str(copy), "--host", host, "--port", str(port)
            ],
            "TensorBoard": [
                sys.executable, "-m", "tensorboard.main", "--logdir", str(folder.tensorboard), "--host", host,
                "--port", str(port + 1),
            ],
        }  # fmt: skip
        running: dict[str, subprocess.Popen[str]] = {}
        before = signal.signal(signal.SIGTERM, _leave)
        try:
            for name, command in commands.items():
                running[name] = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
            say(f"study {folder.name} (a copy: what is changed there does not change the study)")
            say(f"optuna-dashboard  http://{host}:{port}/")
            say(f"TensorBoard       http://{host}:{port + 1}/")
            say("Ctrl-C ends both")
            while True:
                for name, process in running.items():
                    if process.poll() is not None:
                        words = (process.stderr.read() if process.stderr else "").strip().splitlines()
                        raise RuntimeError(f"{name} has ended: {words[-1] if words else 'without a word'}")
                time.sleep(POLL_S)
        finally:
            for process in running.values():
                process.terminate()
            for process in running.values():
                try:
                    process.wait(END_S)
                except subprocess.TimeoutExpired:
                    process.kill()
            signal.signal(signal.SIGTERM, before)


def _leave(number: int, frame: FrameType | None) -> None:  # noqa: ARG001
    """Ends this process by way of ``finally``, with the exit code of one that a signal ended."""
    raise SystemExit(128 + number)


def find_folder(store: Store, study: str | None) -> StudyFolder:
    """The study of that name, or the one whose journal changed last; it may still be running.

    Raises:
        ValueError: There is none, or several begin so; the message lists those there are.
    """
    folders = [StudyFolder(store, name) for name in store.folders(STUDIES)]
    known = ", ".join(folder.name for folder in folders) or "none: `zooscale search STUDY --zoo ZOO` makes one"
    matches = [folder for folder in folders if folder.name == study]
    matches = matches or [folder for folder in folders if folder.name.startswith(study or "")]
    if not matches or (study and len(matches) > 1):
        what = "several studies begin with" if matches else "there is no study"
        raise ValueError(f"{what} {study or ''!r} in {store.uri}; studies there: {known}")
    return max(matches, key=_changed)


def copy_journal(folder: StudyFolder, target: Path) -> None:
    """Copies a study's journal: that on this disk, else the newest one in the store.

    Raises:
        ValueError: There is neither.
    """
    if folder.journal.exists():
        shutil.copyfile(folder.journal, target)
    elif taken := folder.snapshots():
        target.write_bytes(folder.store.read(taken[-1]))
    else:
        raise ValueError(f"study {folder.name} has no journal here or in {folder.store.uri}; run its search first")


def _changed(folder: StudyFolder) -> float:
    """When a journal was written last: that on this disk, else the newest one in the store."""
    if folder.journal.exists():
        return folder.journal.stat().st_mtime
    taken = folder.snapshots()
    return folder.store.modified(taken[-1]) if taken else 0.0
