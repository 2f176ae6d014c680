"""Prints the oldest and the newest Python of this machine: `python -m tests.pythons`.

One line each, version and path. Those that the project does not admit do not count, nor does the
Python that runs this, whose tests are run anyway, nor one that is no release or cannot make a
virtual environment.
"""

import re
import subprocess
import sys
from collections.abc import Iterator
from os import environ
from pathlib import Path

Version = tuple[int, int]

_ASK = (
    "import sys, venv, ensurepip; "
    "print(*sys.version_info[:2], sys.version_info.releaselevel, sys.executable)"
)


def oldest_admitted(pyproject: str) -> Version:
    """The version that `requires-python = ">=X.Y"` in the text of a pyproject.toml names."""
    # Python 3.10 reads no TOML by itself.
    found = re.search(r'^requires-python = ">=(\d+)\.(\d+)"$', pyproject, re.MULTILINE)
    assert found, "pyproject.toml says no requires-python of the form >=X.Y"
    return int(found[1]), int(found[2])


def candidates(path: str, pyenv: Path) -> Iterator[Path]:
    """What may be Pythons: `pythonX.Y` in the folders of `path`, then those that pyenv built."""
    for folder in path.split(":"):
        if folder and Path(folder).is_dir():
            yield from (
                file
                for file in sorted(Path(folder).iterdir())
                if re.fullmatch(r"python3\.\d+", file.name)
            )
    yield from sorted(pyenv.glob("versions/*/bin/python3"))


def answers(python: Path) -> tuple[Version, Path] | None:
    """The version and the true path of `python`; None unless it runs and is a release.

    pyenv's shims are such files too, and refuse to run what is not switched on.
    """
    try:
        done = subprocess.run(
            [python, "-I", "-c", _ASK], capture_output=True, text=True, check=True, timeout=60
        )
        major, minor, level, executable = done.stdout.rstrip("\n").split(" ", 3)
    except (OSError, subprocess.SubprocessError, ValueError):
        return None
    return ((int(major), int(minor)), Path(executable)) if level == "final" else None


def ends(found: dict[Version, Path], own: Version, oldest: Version) -> dict[Version, Path]:
    """The oldest and the newest of `found` that are not younger than `oldest`, without `own`."""
    admitted = sorted(version for version in {*found, own} if version >= oldest)
    return {
        version: found[version]
        for version in dict.fromkeys((admitted[0], admitted[-1]))
        if version != own
    }


def main() -> None:
    """Print the two, or say on stderr which is not there."""
    pyproject = (Path(__file__).parents[1] / "pyproject.toml").read_text()
    pyenv = Path(environ.get("PYENV_ROOT") or Path.home() / ".pyenv")
    found: dict[Version, Path] = {}
    for candidate in candidates(environ.get("PATH", ""), pyenv):
        if answer := answers(candidate):
            found.setdefault(*answer)
    own = sys.version_info[:2]
    chosen = ends(found, own, oldest_admitted(pyproject))
    for (major, minor), python in chosen.items():
        print(f"{major}.{minor} {python}")
    for word, there in (
        ("older", min(chosen, default=own) < own),
        ("newer", max(chosen, default=own) > own),
    ):
        if not there:
            print(f"pythons: none {word} than {own[0]}.{own[1]} here", file=sys.stderr)


if __name__ == "__main__":
    main()
