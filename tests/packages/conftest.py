"""What the tests of packages share: an internet, a home, and entries of a catalogue."""

import hashlib
import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from flatshot.packages.catalogue import Package, read_catalogue
from flatshot.packages.fetch import Patience
from tests.packages.internet import Internet, internet

# Impatient, so that a test of patience takes no time; a byte is enough to count as progress.
IMPATIENT = Patience(silence=2.0, window=0.2, slowest=10, attempts=3, pause=0.01)


@pytest.fixture
def net() -> Iterator[Internet]:
    """A server whose pages misbehave on demand."""
    with internet() as found:
        yield found


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty home of our own."""
    monkeypatch.setenv("FLATSHOT_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.fixture
def said(caplog: pytest.LogCaptureFixture) -> Iterator[pytest.LogCaptureFixture]:
    """What the library says, which the command line's set-up would keep from pytest."""
    log = logging.getLogger("flatshot")
    before = log.handlers[:], log.propagate, log.level
    log.handlers[:], log.propagate = [], True
    log.setLevel(logging.INFO)
    yield caplog
    log.handlers[:], log.propagate = before[0], before[1]
    log.setLevel(before[2])


def sha256(data: bytes) -> str:
    """The SHA-256 of `data`."""
    return hashlib.sha256(data).hexdigest()


def part_json(*urls: str, **fields: Any) -> dict[str, Any]:
    """A part of an entry, that goes to `file` unless told otherwise."""
    return {"urls": list(urls), "to": "file", **fields}


def entry_json(*parts: dict[str, Any], **fields: Any) -> dict[str, Any]:
    """An entry of a catalogue."""
    return {
        "name": "thing", "kind": "model", "version": "1.0", "title": "a thing", "tags": ["model"],
        "licence": "MIT", "source": "a test", "path": ".", "exports": {}, "parts": list(parts),
        **fields,
    }  # fmt: skip


def catalogue_json(*entries: dict[str, Any]) -> bytes:
    """A catalogue file of these entries."""
    return json.dumps({"format": 1, "packages": list(entries)}).encode()


def make_package(*parts: dict[str, Any], **fields: Any) -> Package:
    """A package of these parts."""
    return read_catalogue(catalogue_json(entry_json(*parts, **fields)), "test")[0]
