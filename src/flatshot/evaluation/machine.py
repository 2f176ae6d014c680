"""What a figure was measured on: the machine and the versions of what did the work."""

import os
import platform
from importlib import metadata
from pathlib import Path

from flatshot.version import VERSION

# The distributions whose versions can change a figure or a time.
LIBRARIES = ("ai-edge-litert", "hotcoco", "numpy", "pillow", "simplejpeg")


def machine() -> dict[str, str | int]:
    """The machine: operating system, architecture, processor and the cores this process may use."""
    return {
        "system": platform.platform(),
        "architecture": platform.machine(),
        "processor": _processor(),
        "cores": cores(),
    }


def versions() -> dict[str, str]:
    """The versions of Flatshot, Python and the libraries underneath."""
    found = {"flatshot": VERSION, "python": platform.python_version()}
    for name in LIBRARIES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = "not installed"
    return found


def cores() -> int:
    """The processor cores that this process may use, at least 1."""
    if hasattr(os, "sched_getaffinity"):  # not on macOS and Windows
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(errors="replace").splitlines()
    except OSError:
        # Other systems say it through `platform`, if at all.
        return platform.processor() or "unknown"
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or "unknown"
