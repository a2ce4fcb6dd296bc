"""``dashboard``: a study in optuna-dashboard, on a copy of its journal, and TensorBoard."""

from __future__ import annotations

import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar, NoReturn

import typer

from cluster import options
from cluster.display import say
from cluster.stores import existing_store
from cluster.verb import Verb

if TYPE_CHECKING:
    from cluster.distributed.journal import SearchFolder
    from zoo.storage.store import Store

POLL_S = 0.5
END_S = 5.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Dashboard(Verb):
    """Show a study in optuna-dashboard (on a copy) and its learning curves in TensorBoard."""

    answers: ClassVar[bool] = False
    store: options.Store = "./store"
    study: Annotated[
        str | None,
        typer.Option(help="A study of the store. (default: the newest)", autocompletion=options.names_in("studies")),
    ] = None
    host: Annotated[str, typer.Option(help="Address to listen on; the dashboards ask for no password.")] = "127.0.0.1"
    port: Annotated[int, typer.Option(min=1, max=65534, help="Port of optuna-dashboard; TensorBoard has the next.")] = (
        8080
    )

    def run(self) -> NoReturn:
        """Runs until Ctrl-C or SIGTERM.

        Raises:
            ValueError: There is no such study, or one of the two ports cannot be listened on.
            RuntimeError: A dashboard has ended by itself.
        """
        folder = find_folder(existing_store(self.store), self.study)
        for port in (self.port, self.port + 1):
            require_free(self.host, port)
        with tempfile.TemporaryDirectory(prefix="zooscale-dashboard-") as scratch:
            copy = Path(scratch, "journal.log")
            copy_journal(folder, copy)
            folder.fetch_logs()
            commands = {
                "optuna-dashboard": [
                    str(Path(sys.executable).with_name("optuna-dashboard")), str(copy), "--host", self.host,
                    "--port", str(self.port),
                ],
                "TensorBoard": [
                    sys.executable, "-m", "tensorboard.main", "--logdir", str(folder.tensorboard), "--host", self.host,
                    "--port", str(self.port + 1),
                ],
            }  # fmt: skip
            say(f"study {folder.name} (a copy: what is changed there does not change the study)")
            say(f"optuna-dashboard  http://{self.host}:{self.port}/")
            say(f"TensorBoard       http://{self.host}:{self.port + 1}/")
            say("Ctrl-C ends both")
            _serve(commands)


def require_free(host: str, port: int) -> None:
    """Finds out whether a server can listen on a port.

    Raises:
        ValueError: It cannot: another program does, or the address is none of this machine.
    """
    try:
        with socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET):
            pass
    except OSError as error:
        why = error.strerror or str(error)
        raise ValueError(
            f"cannot listen on port {port} of {host}: {why}; --port takes another, and the next one with it"
        ) from error


def _serve(commands: Mapping[str, Sequence[str]]) -> NoReturn:
    """Runs servers side by side until one of them ends or this process is told to."""
    running: dict[str, subprocess.Popen[str]] = {}
    try:
        for name, command in commands.items():
            running[name] = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
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


def find_folder(store: Store, study: str | None) -> SearchFolder:
    """The study of that name, or the one whose journal changed last; it may still be running.

    Raises:
        ValueError: There is none, or several begin so; the message lists those there are.
    """
    from cluster.distributed.journal import SearchFolder
    from trainables.study_files import STUDIES

    folders = [SearchFolder(store, name) for name in store.folders(STUDIES)]
    if not folders and not study:
        raise ValueError(f"there is no study in {store.uri} yet; `zooscale search STUDY --zoo ZOO` makes one")
    matches = [folder for folder in folders if folder.name == study]
    matches = matches or [folder for folder in folders if folder.name.startswith(study or "")]
    if not matches or (study and len(matches) > 1):
        what = "several studies begin with" if matches else "there is no study"
        known = ", ".join(folder.name for folder in folders) or "none: `zooscale search STUDY --zoo ZOO` makes one"
        raise ValueError(f"{what} {study!r} in {store.uri}; studies there: {known}")
    return max(matches, key=_changed)


def copy_journal(folder: SearchFolder, target: Path) -> None:
    """Copies a study's journal as optuna-dashboard reads it: that on this disk, else the newest one in the store.

    optuna-dashboard takes the best of all complete trials, whatever their constraints. Trials that leave a limit are
    therefore pruned in the copy; and of constraints it reads the list that Optuna wrote until release 4.

    Raises:
        ValueError: There is no journal.
    """
    import optuna
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend
    from optuna.trial import TrialState

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    original = target.with_suffix(".original")
    if folder.journal.exists():
        shutil.copyfile(folder.journal, original)
    elif taken := folder.snapshots():
        original.write_bytes(folder.store.read(taken[-1]))
    else:
        raise ValueError(f"study {folder.name} has no journal here or in {folder.store.uri}; run its search first")
    stored, storage = (JournalStorage(JournalFileBackend(str(path))) for path in (original, target))
    study = optuna.load_study(study_name=folder.name, storage=stored)
    copy = optuna.create_study(study_name=folder.name, storage=storage, directions=study.directions)
    for name, value in stored.get_study_system_attrs(study._study_id).items():  # what the objectives are called
        storage.set_study_system_attr(copy._study_id, name, value)
    trials = study.get_trials()
    for trial in trials:
        excesses = list(trial.constraints.values())
        if trial.state == TrialState.COMPLETE and any(excess > 0 for excess in excesses):
            trial.state = TrialState.PRUNED
        trial.system_attrs = {**trial.system_attrs, "constraints": excesses}
    copy.add_trials(trials)


def _changed(folder: SearchFolder) -> float:
    """When a journal was written last: that on this disk, else the newest one in the store."""
    if folder.journal.exists():
        return folder.journal.stat().st_mtime
    taken = folder.snapshots()
    return folder.store.modified(taken[-1]) if taken else 0.0
