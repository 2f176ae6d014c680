"""Where Flatshot keeps what it must remember, and one process at a time in a part of it."""

import contextlib
import logging
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

_log = logging.getLogger("flatshot")

# Between two looks at a lock that another process holds, in seconds.
_PAUSE = 0.05


def home() -> Path:
    """Where Flatshot keeps what it must remember: `FLATSHOT_HOME`, or the platform's folder."""
    if given := os.environ.get("FLATSHOT_HOME"):
        return Path(given)
    import platformdirs

    return Path(platformdirs.user_data_dir("flatshot", appauthor=False))


@contextlib.contextmanager
def locked(path: Path, doing: str) -> Iterator[None]:
    """Let nobody else hold the lock `path` while the block runs; wait for who does.

    The operating system gives the lock back when its holder ends, however it ends. The file stays:
    to remove it would let two processes hold "the" lock.

    Args:
        path: the lock's file; its folder is made.
        doing: what whoever holds it does, to say while waiting.

    Raises:
        OSError: the file cannot be made.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+b") as file:
        waiting = False
        while not _try_lock(file):
            if not waiting:
                _log.info("waiting for another process that is %s", doing)
                waiting = True
            time.sleep(_PAUSE)
        yield


if os.name == "nt":  # pragma: no cover
    import msvcrt

    def _try_lock(file: BinaryIO) -> bool:
        file.seek(0)
        try:
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined,unused-ignore]
        except OSError:
            return False
        return True
else:
    import fcntl

    def _try_lock(file: BinaryIO) -> bool:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True
