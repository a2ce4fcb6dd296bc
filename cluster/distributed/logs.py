"""TensorBoard's logs of a study, one folder a trial, written on the driver."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

from torch.utils.tensorboard import SummaryWriter
from torch.utils.tensorboard.summary import hparams

from trainables.study_files import StudyFolder

LIVE, TENSORBOARD = "live", "tensorboard"


class LiveFolder(StudyFolder):
    """A study's folder with its part on the driver's disk: TensorBoard's logs, and of a search its journal."""

    @cached_property
    def live(self) -> Path:
        """The folder on the driver's disk: inside a local store, else in the user's cache."""
        if self.store.is_local:
            return Path(self.store.join(self.path(LIVE)))
        cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
        return cache / "zooscale" / hashlib.sha256(self.store.uri.encode()).hexdigest()[:8] / self.name

    @property
    def tensorboard(self) -> Path:
        """TensorBoard's logs, one folder a trial."""
        return self.live / TENSORBOARD

    def save_logs(self) -> None:
        """Copies TensorBoard's logs to a store that is not on this disk, so that dashboards elsewhere have them."""
        if self.store.is_local or not self.tensorboard.is_dir():
            return
        for file in sorted(path for path in self.tensorboard.rglob("*") if path.is_file()):
            stored = self.path(TENSORBOARD, *file.relative_to(self.tensorboard).parts)
            if not self.store.exists(stored) or self.store.size(stored) < file.stat().st_size:
                self.store.put(stored, file.read_bytes())

    def fetch_logs(self) -> None:
        """Copies from the store what this disk lacks of TensorBoard's logs."""
        self.tensorboard.mkdir(parents=True, exist_ok=True)
        for stored in [] if self.store.is_local else self.store.list(self.path(TENSORBOARD)):
            content = self.store.read(stored)
            target = self.tensorboard / stored.removeprefix(self.path(TENSORBOARD) + "/")
            if not target.exists() or target.stat().st_size < len(content):
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(content)


class TrialLogs:
    """Writes what fits say of their epochs under ``fit/``, what validation gives under ``validated/``, and HParams.

    Args:
        folder: TensorBoard's folder of the study.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._writers: dict[int, SummaryWriter] = {}

    def add(self, trial: int, epoch: int, group: str, values: Mapping[str, Any]) -> None:
        """Notes the numbers among some values."""
        for name, value in values.items():
            if isinstance(value, int | float):
                self._writer(trial).add_scalar(f"{group}/{name}", value, epoch)

    def end(self, trial: int, state: str, parameters: Mapping[str, Any]) -> None:
        """Ends the logs of a trial with its row in the table of hyper-parameters.

        Its metrics there are the last scalars. What is tried may differ from trial to trial, so no list of columns is
        written: TensorBoard takes all that it finds.

        Args:
            trial: Its number.
            state: How it has ended, a column too.
            parameters: Fields of its configuration.
        """
        plain = {
            name: value if isinstance(value, bool | int | float) else str(value) for name, value in parameters.items()
        }
        _, begin, end = hparams({"state": state, **plain}, {})
        for summary in (begin, end):
            self._writer(trial)._get_file_writer().add_summary(summary)
        self.close(trial)

    def close(self, trial: int) -> None:
        """Closes the file of a trial, if there is one open."""
        if (writer := self._writers.pop(trial, None)) is not None:
            writer.close()

    def _writer(self, trial: int) -> SummaryWriter:
        if trial not in self._writers:
            self._writers[trial] = SummaryWriter(str(self._folder / f"trial-{trial:04d}"))
        return self._writers[trial]
