"""Files in and out: read whole, map lazily, and write so that a file that exists is whole."""

import contextlib
import mmap
import os
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from flatshot.errors import FileError

StrPath = str | os.PathLike[str]


def read_bytes(path: StrPath) -> bytes:
    """The content of the file at `path`.

    Raises:
        FileError: it is missing, a directory, or unreadable.
    """
    try:
        return Path(path).read_bytes()
    except (OSError, ValueError) as error:
        raise _file_error("read", path, error) from error


def map_bytes(path: StrPath) -> memoryview:
    """A read-only view of the file at `path`; pages are read when they are touched.

    The mapping lives as long as any view of it. An empty file gives an empty view.

    Raises:
        FileError: it is missing, a directory, or unreadable.
    """
    try:
        with Path(path).open("rb") as file:
            if os.fstat(file.fileno()).st_size == 0:
                return memoryview(b"")
            return memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
    except (OSError, ValueError) as error:
        raise _file_error("read", path, error) from error


def is_file(path: StrPath) -> bool:
    """Whether there is a file at `path`; there is none of a name that no file can have."""
    try:
        return Path(path).is_file()
    except (OSError, ValueError):
        return False


def is_directory(path: StrPath) -> bool:
    """Whether there is a directory at `path`; there is none of a name that none can have."""
    try:
        return Path(path).is_dir()
    except (OSError, ValueError):
        return False


def check_target(path: StrPath) -> None:
    """Look whether `path` could be written, before work whose result shall go there.

    Nothing is made: a missing directory is, when the file is written.

    Raises:
        FileError: it is a directory, or its directory is not to be written or made.
    """
    target = Path(path)
    try:
        _check_name(path)
        folder = next(folder for folder in target.absolute().parents if folder.exists())
        if not folder.is_dir():
            raise NotADirectoryError(f"{str(folder)!r} is no directory")
        if not os.access(folder, os.W_OK):
            raise PermissionError("its directory cannot be written")
    except (OSError, ValueError) as error:
        raise _file_error("write", path, error) from error


def _check_name(path: StrPath) -> None:
    """Refuse what names a directory, also one that is not there yet: `out/`.

    Missing directories are made, but none beside /home and /tmp: nobody means that.
    """
    text, target = os.fspath(path), Path(path)
    ends = (os.sep, os.altsep) if os.altsep else (os.sep,)
    if target.is_dir() or text.endswith(ends):
        raise IsADirectoryError("it is a directory; name a file in it")
    top = next((one for one in target.absolute().parents if len(one.parts) == 2), None)
    if top is not None and not top.exists():
        raise FileNotFoundError(f"there is no directory {str(top)!r}")


@contextlib.contextmanager
def write_beside(path: StrPath) -> Iterator[BinaryIO]:
    """A file to write that takes the name `path` only once the block ends without an error.

    The parts go to a hidden neighbour first, so that nobody ever sees half a file; a file that was
    there before stays until the new one is whole. Missing parent directories are made.

    Raises:
        FileError: the place cannot be written.
    """
    target = Path(path)
    try:
        _check_name(path)
        file, part = _open_part(target)
    except (OSError, ValueError) as error:
        raise _file_error("write", path, error) from error
    try:
        with file:
            yield file
        part.replace(target)
    except OSError as error:
        raise _file_error("write", path, error) from error
    finally:
        part.unlink(missing_ok=True)


def _open_part(target: Path) -> tuple[BinaryIO, Path]:
    """A new file to write beside `target`, and its path."""
    if target.exists() and not target.is_file():
        raise OSError("it is no regular file")  # renaming over /dev/null would do harm
    # A name can be as long as the file system allows; that of the part must not be longer.
    part = target.with_name(f".{target.name[:50]}.{secrets.token_hex(4)}.part")
    target.parent.mkdir(parents=True, exist_ok=True)
    return part.open("xb"), part


def write_bytes(path: StrPath, data: bytes | memoryview) -> None:
    """Put `data` at `path`, whole or not at all, as `write_beside` does.

    Whole means whatever becomes of this process. Nothing waits for the disk: whoever must survive
    a loss of power right after syncs the file.

    Raises:
        FileError: the place cannot be written.
    """
    with write_beside(path) as file:
        file.write(data)


def _file_error(verb: str, path: StrPath, error: Exception) -> FileError:
    reason = (error.strerror if isinstance(error, OSError) else None) or str(error)
    return FileError(f"cannot {verb} {os.fspath(path)!r}: {reason}")
