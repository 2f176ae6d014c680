"""The Pythons that `make versions` runs the everyday tests on."""

import sys
from pathlib import Path

import pytest

from tests import pythons


def script(place: Path, text: str) -> Path:
    """An executable at `place` that runs `text` in a shell."""
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_text(f"#!/bin/sh\n{text}\n")
    place.chmod(0o755)
    return place


def test_the_project_admits_every_newer_python() -> None:
    """There is no upper bound: the version is all that `requires-python` says."""
    text = (Path(__file__).parents[1] / "pyproject.toml").read_text()
    assert pythons.oldest_admitted(text) == (3, 10)


def test_candidates_are_those_on_the_path_and_those_of_pyenv(tmp_path: Path) -> None:
    """Full names count, in the order of PATH; `python3-config` and folders that are gone do not."""
    here = script(tmp_path / "bin" / "python3.12", "")
    script(tmp_path / "bin" / "python3-config", "")
    script(tmp_path / "bin" / "python3.12-config", "")
    built = script(tmp_path / "pyenv/versions/3.13.0/bin/python3", "")
    path = f"{tmp_path / 'gone'}::{tmp_path / 'bin'}"
    assert list(pythons.candidates(path, tmp_path / "pyenv")) == [here, built]


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("echo 3 12 final /opt/a python", ((3, 12), Path("/opt/a python"))),
        ("echo 3 15 alpha /opt/python", None),
        ("echo pyenv: python3.12: command not found >&2; exit 127", None),
        ("echo nonsense", None),
    ],
    ids=["release", "alpha", "shim", "nonsense"],
)
def test_only_releases_that_run_count(
    tmp_path: Path, text: str, answer: tuple[pythons.Version, Path] | None
) -> None:
    """A shim that refuses, a pre-release and what is no Python are passed over."""
    assert pythons.answers(script(tmp_path / "python3", text)) == answer


def test_a_real_python_answers() -> None:
    """The Python of this test says its version and where it lies."""
    answer = pythons.answers(Path(sys.executable))
    assert answer is not None
    assert answer[0] == sys.version_info[:2]


@pytest.mark.parametrize(
    ("minors", "own", "expected"),
    [
        ([8, 9, 10, 12, 13], 11, [10, 13]),
        ([10, 11], 11, [10]),
        ([12, 14], 11, [14]),
        ([9], 11, []),
        ([11, 12, 13], 13, [11]),
    ],
)
def test_the_ends(minors: list[int], own: int, expected: list[int]) -> None:
    """The oldest that is admitted and the newest, never the one that runs anyway."""
    found = {(3, minor): Path(f"python3.{minor}") for minor in minors}
    chosen = pythons.ends(found, (3, own), (3, 10))
    assert list(chosen) == [(3, minor) for minor in expected]
