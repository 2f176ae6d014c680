"""Every prefix and each changed byte of a valid file: a value or a FlatshotError."""

import contextlib
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from flatshot.errors import FlatshotError
from tests.hostile.samples import USES, write_all

SAMPLED = 250  # of thousands; all of them in the slow run


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a valid file of each kind."""
    write_all(tmp_path)
    return tmp_path


@contextlib.contextmanager
def guard(seconds: int) -> Iterator[None]:
    """Stop a hang, on any machine however slow."""

    def stop(*_: object) -> None:
        raise AssertionError(f"it hangs: {seconds} seconds have passed")

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def damaged(data: bytes, masks: tuple[int, ...]) -> Iterator[bytes]:
    """Every prefix, and each byte changed by each mask."""
    for length in range(len(data)):
        yield data[:length]
    for position in range(len(data)):
        for mask in masks:
            yield data[:position] + bytes([data[position] ^ mask]) + data[position + 1 :]


@pytest.mark.parametrize("name", USES)
def test_the_sound_file_is_used_without_an_error(folder: Path, name: str) -> None:
    """What follows starts from files that work."""
    USES[name](folder / name)


def attack(folder: Path, name: str, variants: Iterator[bytes]) -> None:
    """Use each variant in the file's place; no file may be left beside."""
    before = sorted(folder.iterdir())
    for data in variants:
        (folder / name).write_bytes(data)
        with guard(20), contextlib.suppress(FlatshotError):
            USES[name](folder / name)
    assert sorted(folder.iterdir()) == before


@pytest.mark.parametrize("name", USES)
def test_some_damaged_files_are_a_value_or_a_flatshot_error(folder: Path, name: str) -> None:
    """A sample over all places; never another exception, never a hang."""
    variants = list(damaged((folder / name).read_bytes(), (0x01, 0x18, 0x80)))
    step = max(len(variants) // SAMPLED, 1) | 1
    attack(folder, name, iter(variants[::step]))


@pytest.mark.slow
@pytest.mark.parametrize("name", USES)
def test_all_damaged_files_are_a_value_or_a_flatshot_error(folder: Path, name: str) -> None:
    """Every prefix, and two changes of each byte."""
    attack(folder, name, damaged((folder / name).read_bytes(), (0x01, 0x80)))
