"""Where the journals of runs lie, so that one that was interrupted can be gone on with."""

import contextlib
import hashlib
import json
import logging
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flatshot.home import home

_log = logging.getLogger("flatshot")

# `--resume` without a file: go on with the newest unfinished run of the same settings.
NEWEST = "<newest>"
# Journals of runs that were left unfinished are kept so long.
ABANDONED_SECONDS = 30 * 24 * 3600


@dataclass(frozen=True)
class Place:
    """Where a run keeps its journal.

    Attributes:
        path: the file; None where none can be kept.
        own: whether it is Flatshot's, and goes when the run is done.
    """

    path: Path | None
    own: bool

    def done(self) -> None:
        """The run is whole, and so is all that was to be kept of it."""
        if self.own and self.path is not None:
            self.path.unlink(missing_ok=True)


def journal_place(header: Mapping[str, Any], resume: str | None = None) -> Place:
    """The journal of the run that `header` binds.

    Where Flatshot's home cannot be written there is none, unless one was asked for.

    Args:
        header: all that the run's detections depend on, as JSON values.
        resume: a file of the user's; `NEWEST` for the newest unfinished run of the same header;
            None for a new one.
    """
    if resume is not None and resume != NEWEST:
        return Place(Path(resume), own=False)
    key = hashlib.sha256(json.dumps(header, sort_keys=True).encode()).hexdigest()[:16]
    folder = home() / "runs"
    left = sorted(folder.glob(f"{key}-*.journal"), key=_changed)
    if resume == NEWEST:
        if left:
            return Place(left[-1], own=True)
        _log.info("no unfinished run of this model, data set and settings: starting a new one")
    elif left:
        _log.info("an unfinished run of these settings is kept: --resume would go on with it")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        writable = os.access(folder, os.W_OK)
    except OSError:
        writable = False
    if not writable and resume is None:
        _log.warning("this run cannot be resumed: %s cannot be written; set FLATSHOT_HOME", folder)
        return Place(None, own=True)
    _sweep(folder)
    return Place(folder / f"{key}-{os.urandom(4).hex()}.journal", own=True)


def _changed(path: Path) -> float:
    """When a file changed; long ago, if another process has deleted it meanwhile."""
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0


def _sweep(folder: Path) -> None:
    """Delete the journals of runs that nobody has gone on with for a month."""
    for path in folder.glob("*.journal"):
        # Another process may be sweeping too; and what cannot be deleted does not stop a run.
        with contextlib.suppress(OSError):
            if time.time() - path.stat().st_mtime > ABANDONED_SECONDS:
                path.unlink()
