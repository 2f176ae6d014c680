"""The journal of a run: a line an image, written as it is done, so that a killed run can go on.

Each line is the CRC-32 of a JSON object in hexadecimal, a space, the object. The first line binds
the journal to a `Run`: a model, a data set and everything else that changes detections. The second
names the journal, by which a record of it is known again. The others hold one `Outcome` each; of
two for one image, which changed in between, the later counts. A line goes to the operating system
at once, so that killing the process loses no finished image, and to the disk at least once a
second, so that losing power loses a second. What a kill can leave behind is one torn line at the
end; it is cut off when the journal is opened.
"""

import base64
import contextlib
import json
import logging
import os
import secrets
import time
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from flatshot.errors import ConfigError, FileError, FormatError
from flatshot.evaluation.outcome import Outcome
from flatshot.formats.files import StrPath
from flatshot.formats.json_text import parse_json

_log = logging.getLogger("flatshot")

FORMAT = "flatshot-journal-2"
SYNC_SECONDS = 1.0


class Journal:
    """An open journal; a context manager that closes it.

    Attributes:
        path: the file.
        uid: 32 hexadecimal digits, drawn when the journal was started.
        outcomes: image id -> what earlier runs found; empty in a new journal.
    """

    def __init__(self, path: StrPath, header: Mapping[str, Any]) -> None:
        """Open the journal at `path`, or start one.

        Args:
            path: the file; a missing parent folder is made.
            header: everything that the outcomes depend on, as JSON values.

        Raises:
            ConfigError: the journal there belongs to another header, the file is no journal, or
                another process is writing to it.
            FileError: the place cannot be read or written.
        """
        self.path = Path(path)
        self.uid = ""
        self.outcomes: dict[int, Outcome] = {}
        first = _line({"format": FORMAT, **header})
        with self._file_errors():
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._file = self.path.open("a+b", buffering=0)
        try:
            with self._file_errors():
                self._lock()
                self._file.seek(0)
                self._recover(self._file.read() or b"", first)
        except BaseException:
            self._file.close()
            raise
        self._synced = time.monotonic()

    def add(self, outcome: Outcome) -> None:
        """Put `outcome` at the end; an image that failed is left out, and so tried again.

        Raises:
            FileError: the disk is full or gone.
        """
        if outcome.error is not None:
            return
        with self._file_errors():
            self._write(_line(_packed(outcome)))
            if time.monotonic() - self._synced >= SYNC_SECONDS:
                os.fsync(self._file.fileno())
                self._synced = time.monotonic()

    def close(self) -> None:
        """Bring all to the disk; the file stays."""
        with self._file_errors(), self._file:
            os.fsync(self._file.fileno())

    def __enter__(self) -> "Journal":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _recover(self, data: bytes, first: bytes) -> None:
        end = data.rfind(b"\n") + 1
        if not end:
            # A run killed before its first line was whole leaves a piece of a first line.
            if not first.startswith(data):
                raise self._foreign()
            self._cut(0)
            self._write(first)
        else:
            lines = data[:end].splitlines()
            self._check_header(lines[0], first)
            damaged = sum(not self._take(line) for line in lines[1:])
            if damaged:
                _log.warning("%d damaged lines of %s: their images run again", damaged, self.path)
            self._cut(end)
        if not self.uid:
            self.uid = secrets.token_hex(16)
            self._write(_line({"journal": self.uid}))
            os.fsync(self._file.fileno())

    def _take(self, line: bytes) -> bool:
        """Take what a line says; false if it is damaged."""
        try:
            content = _content(line)
            if "journal" in content:
                self.uid = self.uid or str(content["journal"])
                return True
            outcome = _unpacked(content)
        except (ValueError, KeyError, TypeError, OverflowError):
            return False
        self.outcomes[outcome.image_id] = outcome
        return True

    def _check_header(self, line: bytes, first: bytes) -> None:
        try:
            there = _content(line)
        except ValueError as error:
            raise self._foreign() from error
        want = _content(first.rstrip(b"\n"))
        differ = sorted(
            key for key in there.keys() | want.keys() if there.get(key) != want.get(key)
        )
        if differ:
            changes = "; ".join(
                f"{key} {_difference(there.get(key), want.get(key))}" for key in differ
            )
            raise ConfigError(
                f"the journal {str(self.path)!r} is of another run: {changes}; "
                "run as before, or name another journal"
            )

    def _foreign(self) -> ConfigError:
        return ConfigError(f"{str(self.path)!r} is no journal of a run; name another file")

    def _write(self, line: bytes) -> None:
        view = memoryview(line)
        while view:
            view = view[self._file.write(view) or 0 :]

    def _cut(self, end: int) -> None:
        # Files opened for appending write at their end wherever they were read.
        self._file.truncate(end)

    def _lock(self) -> None:
        """Keep other processes out until this one closes the file or dies."""
        try:
            import fcntl
        except ImportError:  # pragma: no cover - Windows, where nothing keeps a second run out
            return
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise ConfigError(
                f"another run is writing the journal {str(self.path)!r}; "
                "wait for it, or name another journal"
            ) from error

    @contextlib.contextmanager
    def _file_errors(self) -> Iterator[None]:
        try:
            yield
        except (OSError, ValueError) as error:
            raise FileError(f"cannot keep the journal {str(self.path)!r}: {error}") from error


def _line(content: Mapping[str, Any]) -> bytes:
    text = json.dumps(content, sort_keys=True, separators=(",", ":")).encode()
    return b"%08x %s\n" % (zlib.crc32(text), text)


def _content(line: bytes) -> dict[str, Any]:
    """What `_line` was given.

    Raises:
        ValueError: the checksum does not fit, or the text is no JSON object.
    """
    crc, _, text = line.partition(b" ")
    if crc != b"%08x" % zlib.crc32(text):
        raise ValueError("the checksum of the line does not fit")
    try:
        content = parse_json(text)
    except FormatError as error:
        raise ValueError(str(error)) from error
    if not isinstance(content, dict):
        raise ValueError("the line holds no object")
    return content


def _packed(outcome: Outcome) -> dict[str, Any]:
    parts = (
        outcome.boxes.astype("<f4").tobytes(),
        outcome.scores.astype("<f4").tobytes(),
        outcome.classes.astype("<i4").tobytes(),
    )
    return {
        "image": outcome.image_id,
        "size": [outcome.width, outcome.height],
        "file": outcome.stamp,
        "seconds": [round(value, 7) for value in outcome.seconds],
        "found": base64.b64encode(b"".join(parts)).decode(),
    }


def _unpacked(content: Mapping[str, Any]) -> Outcome:
    words = np.frombuffer(base64.b64decode(content["found"]), "<u4").reshape(6, -1)
    n = words.shape[1]
    flat = words.ravel()
    load, preprocess, network, nms = (float(value) for value in content["seconds"])
    width, height = content["size"]
    length, changed = content["file"]
    whole = (content["image"], width, height, length, changed)
    if not all(isinstance(number, int) for number in whole):
        raise ValueError("an image's number and size, and its file's stamp, are whole numbers")
    return Outcome(
        image_id=content["image"],
        width=width,
        height=height,
        boxes=flat[: 4 * n].view("<f4").astype(np.float32).reshape(n, 4),
        scores=flat[4 * n : 5 * n].view("<f4").astype(np.float32),
        classes=flat[5 * n :].view("<i4").astype(np.int32),
        seconds=(load, preprocess, network, nms),
        stamp=(length, changed),
    )


def _difference(there: object, want: object) -> str:
    if isinstance(there, dict) and isinstance(want, dict):
        differ = [key for key in there.keys() | want.keys() if there.get(key) != want.get(key)]
        return ", ".join(
            f"{key} was {there.get(key)}, is {want.get(key)}" for key in sorted(differ)
        )
    return f"was {there}, is {want}"
