"""Archives from strangers: only plain files come out, only inside the folder, only so many bytes.

Whatever could reach outside or never end refuses the whole archive: absolute names, `..`, links
that lead out, devices, two members of one name, more bytes than `size_limit` allows. Links inside
the archive become copies, so that no link is ever made; modes and owners are not taken over.
"""

import contextlib
import errno
import fnmatch
import io
import re
import shutil
import stat
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, TYPE_CHECKING

from flatshot.errors import PackageError

if TYPE_CHECKING:
    from typing import Self

# JSON shrinks to a tenth and text of zeros to a hundredth; a deflate bomb to a thousandth.
RATIO = 100
# Small archives of honest text may do better than that.
FLOOR = 16 << 20
MAX_MEMBERS = 500_000
# A tar's long names and other extras, which Python reads into memory whole.
MAX_HEADER = 1 << 20
_CHUNK = 1 << 20
_DRIVE = re.compile(r"[A-Za-z]:")
# How often the end may be read in a row: tarfile and its stream do so a few times.
_ENDS = 8
# What an entry costs beside its bytes, and each new folder: an inode takes time and disk.
_ENTRY, _FOLDER = 512, 16 << 10
_MAX_DEPTH = 64
_BROKEN = (
    zipfile.BadZipFile, tarfile.TarError, zlib.error, EOFError, LookupError, NotImplementedError,
    RuntimeError, ValueError, OverflowError, struct.error,
)  # fmt: skip
_ARCHIVE_S_FAULT = (
    *(None, errno.EINVAL, errno.ENAMETOOLONG, errno.EILSEQ),
    *(errno.ENOTDIR, errno.EISDIR, errno.EEXIST),
)


@dataclass(frozen=True)
class _Member:
    """A member: its name as written; `link` is where it leads, from the archive's root."""

    name: str
    link: str | None
    open: Callable[[], IO[bytes]]


def size_limit(archive: Path) -> int:
    """How many bytes may come out of `archive`, of all members together."""
    return max(FLOOR, RATIO * archive.stat().st_size)


def unpack(archive: Path, folder: Path, *, strip: int = 0, only: Sequence[str] = ()) -> None:
    """Put the files of a zip or tar archive (plain, gz, bz2, xz) into `folder`.

    Args:
        archive: the file.
        folder: made if it is not there; nothing in it is overwritten.
        strip: leave out so many leading folders; files that lie higher are left out.
        only: patterns as of a shell, over whole names; `*` crosses folders. None means all.

    Raises:
        PackageError: it is no archive, is damaged, or holds what it must not.
        OSError: the disk is full or gone.
    """
    budget = _Budget(archive)
    links: list[tuple[PurePosixPath, PurePosixPath]] = []
    folder.mkdir(parents=True, exist_ok=True)
    written = 0
    with _explained(archive), _members(archive) as members:
        for member in members:
            name = _stripped(_safe(archive, member.name), strip)
            target = None
            if member.link is not None:
                target = _stripped(_safe(archive, member.link), strip)
            chosen = not only or any(fnmatch.fnmatchcase(member.name, each) for each in only)
            if name is None or not chosen:
                continue
            written += 1
            if member.link is None:
                _write(archive, member.open, folder / name, budget)
            elif target is None:
                raise PackageError(f"{archive.name}: the link {member.name!r} leads out")
            else:
                links.append((name, target))
        for name, target in links:
            _copy(archive, folder, name, target, budget)
    if not written:
        raise PackageError(f"{archive.name}: holds no file{_wanted(strip, only)}")


def extract(archive: Path, name: str, target: Path) -> None:
    """Put the one file `name` of an archive at `target`.

    In an npm tarball the leading folder `package/` may be left out.

    Raises:
        PackageError: it is no archive, is damaged, or has no such file.
        OSError: the disk is full or gone.
    """
    budget = _Budget(archive)
    with _explained(archive), _members(archive) as members:
        for member in members:
            if member.link is None and member.name in (name, f"package/{name}"):
                _write(archive, member.open, target, budget)
                return
    raise PackageError(f"{archive.name}: holds no file {name!r}")


class _Budget:
    """How many bytes may still come out."""

    def __init__(self, archive: Path) -> None:
        self._archive = archive
        self._limit = self._left = size_limit(archive)

    def spend(self, count: int) -> None:
        self._left -= count
        if self._left < 0:
            raise PackageError(
                f"{self._archive.name}: more than {self._limit} bytes come out of "
                f"{self._archive.stat().st_size}: it is no honest archive"
            )


class _Metered(io.RawIOBase):
    """A decompressed stream that counts all that is read of it, headers and skipped files too."""

    def __init__(self, stream: io.BufferedIOBase | io.RawIOBase, budget: _Budget) -> None:
        self._stream = stream
        self._budget = budget
        self._fruitless = 0

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        data = self._stream.read(_CHUNK if size < 0 else size) or b""
        self._budget.spend(len(data))
        self._fruitless = 0 if data else self._fruitless + 1
        if self._fruitless > _ENDS:
            # A member that claims more than there is: Python would read on to its end.
            raise EOFError("a member is longer than the archive")
        return data


class _Header(tarfile.TarInfo):
    """A tar header that announces no extras beyond reason."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> "Self":
        info = super().frombuf(buf, encoding, errors)
        if not info.isreg() and not info.isdir() and info.size > MAX_HEADER:
            raise PackageError(f"{info.size} bytes of header in an archive: it is no honest one")
        return info


@contextlib.contextmanager
def _explained(archive: Path) -> Iterator[None]:
    try:
        yield
    except _BROKEN as error:
        raise PackageError(f"{archive.name}: a damaged archive: {error}") from error
    except OSError as error:
        # gzip and bz2 report damage so, without a number of the operating system; some numbers
        # mean that a name or an offset in the archive cannot be. The rest is the disk's affair.
        if error.errno not in _ARCHIVE_S_FAULT:
            raise
        raise PackageError(f"{archive.name}: a damaged archive: {error}") from error


@contextlib.contextmanager
def _members(archive: Path) -> Iterator[Iterator[_Member]]:
    with archive.open("rb") as file:
        magic = file.read(6)
    if magic.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        with zipfile.ZipFile(archive) as zipped:
            yield _zip_members(archive, zipped)
        return
    with _decompressed(archive, magic) as stream:
        # Beside what is written: headers and skipped files must end somewhere too.
        metered = _Metered(stream, _Budget(archive))
        with tarfile.open(fileobj=metered, mode="r|", tarinfo=_Header) as tarred:
            yield _tar_members(archive, tarred)


def _decompressed(archive: Path, magic: bytes) -> io.BufferedIOBase | io.RawIOBase:
    import bz2
    import gzip

    if magic.startswith(b"\x1f\x8b"):
        return gzip.open(archive, "rb")
    if magic.startswith(b"BZh"):
        return bz2.open(archive, "rb")
    if magic.startswith(b"\xfd7zXZ\x00"):
        from flatshot.packages.xz import XzFile

        return XzFile(archive)
    return archive.open("rb")


def _zip_members(archive: Path, zipped: zipfile.ZipFile) -> Iterator[_Member]:
    if len(zipped.infolist()) > MAX_MEMBERS:
        raise PackageError(f"{archive.name}: more than {MAX_MEMBERS} members")
    for info in zipped.infolist():
        mode = info.external_attr >> 16
        if info.is_dir():
            _safe(archive, info.filename)
            continue
        if stat.S_IFMT(mode) not in (0, stat.S_IFREG):
            raise PackageError(f"{archive.name}: {info.filename!r} is a link or a device")
        if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise PackageError(
                f"{archive.name}: {info.filename!r} is compressed in another way than deflate"
            )
        yield _Member(info.orig_filename, None, lambda info=info: zipped.open(info))  # type: ignore[misc]


def _tar_members(archive: Path, tarred: tarfile.TarFile) -> Iterator[_Member]:
    for number, info in enumerate(tarred):
        if number > MAX_MEMBERS:
            raise PackageError(f"{archive.name}: more than {MAX_MEMBERS} members")
        if info.isdir():
            _safe(archive, info.name)
        elif info.issym():
            yield _Member(info.name, _joined(archive, info), io.BytesIO)
        elif info.islnk():
            yield _Member(info.name, info.linkname, io.BytesIO)
        elif info.isreg():
            yield _Member(info.name, None, lambda info=info: _tar_file(archive, tarred, info))  # type: ignore[misc]
        else:
            raise PackageError(f"{archive.name}: {info.name!r} is a device")


def _tar_file(archive: Path, tarred: tarfile.TarFile, info: tarfile.TarInfo) -> IO[bytes]:
    file = tarred.extractfile(info)
    if file is None:
        raise PackageError(f"{archive.name}: {info.name!r} is no file")
    return file


def _joined(archive: Path, info: tarfile.TarInfo) -> str:
    """Where a symbolic link leads, from the archive's root, with its `..` worked out."""
    if PurePosixPath(info.linkname).is_absolute():
        raise PackageError(f"{archive.name}: the link {info.name!r} leads out")
    parts: list[str] = []
    for part in (PurePosixPath(info.name).parent / info.linkname).parts:
        if part != "..":
            parts.append(part)
        elif parts:
            parts.pop()
        else:
            raise PackageError(f"{archive.name}: the link {info.name!r} leads out")
    return "/".join(parts)


def _safe(archive: Path, name: str) -> PurePosixPath:
    """The path that `name` means, which lies inside.

    Raises:
        PackageError: it leads out, or means something else on another system.
    """
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or _DRIVE.match(name):
        raise PackageError(f"{archive.name}: the name {name!r} leads out")
    if "\\" in name or "\0" in name or len(path.parts) > _MAX_DEPTH:
        raise PackageError(f"{archive.name}: {name!r:.200} is no name for a file")
    return path


def _stripped(path: PurePosixPath, strip: int) -> PurePosixPath | None:
    return PurePosixPath(*path.parts[strip:]) if len(path.parts) > strip else None


def _write(archive: Path, opened: Callable[[], IO[bytes]], target: Path, budget: _Budget) -> None:
    _make_folder(target.parent, budget)
    try:
        with opened() as source, target.open("xb") as file:
            while chunk := source.read(_CHUNK):
                budget.spend(len(chunk))
                file.write(chunk)
    except FileExistsError:
        raise PackageError(f"{archive.name}: two members are called {target.name!r}") from None


def _make_folder(folder: Path, budget: _Budget) -> None:
    budget.spend(_ENTRY)
    missing = 0
    for place in (folder, *folder.parents):
        if place.is_dir():
            break
        missing += 1
    budget.spend(missing * _FOLDER)
    folder.mkdir(parents=True, exist_ok=True)


def _copy(
    archive: Path, folder: Path, name: PurePosixPath, target: PurePosixPath, budget: _Budget
) -> None:
    source = folder / target
    if not source.is_file():
        raise PackageError(f"{archive.name}: the link {str(name)!r} leads to no file of it")
    budget.spend(source.stat().st_size)
    _make_folder((folder / name).parent, budget)
    if (folder / name).exists():
        raise PackageError(f"{archive.name}: two members are called {name.name!r}")
    shutil.copyfile(source, folder / name)


def _wanted(strip: int, only: Sequence[str]) -> str:
    if only:
        return f" that matches {', '.join(only)}"
    return f" below {strip} folders" if strip else ""
