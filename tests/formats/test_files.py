"""Files: a file that exists is whole, and what cannot be read or written says why."""

from collections.abc import Callable
from pathlib import Path

import pytest

from flatshot.errors import FileError, FormatError
from flatshot.formats import files


def test_what_names_a_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No file takes its name, whether it is there or not; nothing is made in vain."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "there").mkdir()
    for name in ("there", "there/", "new/", f"{tmp_path}/new/"):
        for work in (files.check_target, lambda path: files.write_bytes(path, b"")):
            with pytest.raises(FileError, match=f"cannot write '{name}': it is a directory"):
                work(name)
    for work in (files.check_target, lambda path: files.write_bytes(path, b"")):
        with pytest.raises(FileError, match="there is no directory '/nodir'"):
            work("/nodir/deep/x")
    assert not Path("/nodir").exists()
    files.check_target("deep/er/x")
    files.check_target("x")
    assert [path.name for path in tmp_path.iterdir()] == ["there"]
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(FileError, match=r"file' is no directory"):
        files.check_target("file/x")
    files.write_bytes("deep/er/x", b"1")
    assert (tmp_path / "deep" / "er" / "x").read_bytes() == b"1"


def test_the_old_file_stays_when_the_block_raises(tmp_path: Path) -> None:
    """And nothing else is left behind."""
    target = tmp_path / "model.tflite"
    target.write_bytes(b"old")

    def write() -> None:
        with files.write_beside(target) as file:
            file.write(b"new")
            raise FormatError("stop")

    with pytest.raises(FormatError, match="stop"):
        write()
    assert target.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [target]


def test_a_mistake_of_the_block_is_not_called_a_file_error(tmp_path: Path) -> None:
    """Only what the file system says is one."""
    with pytest.raises(ValueError, match="a bug"), files.write_beside(tmp_path / "x"):
        raise ValueError("a bug")
    assert list(tmp_path.iterdir()) == []


def test_the_new_file_appears_when_the_block_ends_and_parents_are_made(tmp_path: Path) -> None:
    """Until then the name is free."""
    target = tmp_path / "a" / "b" / "model.tflite"
    with files.write_beside(target) as file:
        file.write(b"new")
        assert not target.exists()
    assert target.read_bytes() == b"new"
    assert list(target.parent.iterdir()) == [target]


def test_a_name_as_long_as_the_file_system_allows_can_be_written(tmp_path: Path) -> None:
    """The neighbour's name is no longer than the target's may be."""
    target = tmp_path / ("x" * 255)
    files.write_bytes(target, b"data")
    assert files.read_bytes(target) == b"data"


@pytest.mark.parametrize("place", ["", ".", "/", "nul\0", "x" * 300, "folder", "file/below"])
def test_a_place_that_cannot_be_written_is_a_file_error(tmp_path: Path, place: str) -> None:
    """A directory, a name that no file can have, a file where a directory is needed."""
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").write_bytes(b"")
    target = tmp_path / place if place.strip("./") else place
    with pytest.raises(FileError, match="cannot write"):
        files.write_bytes(target, b"data")


def test_a_device_is_not_replaced_by_a_file() -> None:
    """Renaming over it would take it away from everybody."""
    with pytest.raises(FileError, match="cannot write '/dev/null': it is no regular file"):
        files.write_bytes("/dev/null", b"data")
    assert not Path("/dev/null").is_file()


@pytest.mark.parametrize("read", [files.read_bytes, files.map_bytes])
@pytest.mark.parametrize("place", ["none", ".", "nul\0", "x" * 300])
def test_a_place_that_cannot_be_read_is_a_file_error(
    tmp_path: Path, read: Callable[[Path], bytes | memoryview], place: str
) -> None:
    """Missing, a directory, a name that no file can have."""
    with pytest.raises(FileError, match="cannot read"):
        read(tmp_path / place)
    assert not files.is_file(tmp_path / place)


def test_a_mapped_file_is_its_bytes_and_an_empty_one_is_empty(tmp_path: Path) -> None:
    """An empty file cannot be mapped, and need not be."""
    (tmp_path / "full").write_bytes(b"abc")
    (tmp_path / "empty").write_bytes(b"")
    assert bytes(files.map_bytes(tmp_path / "full")) == b"abc"
    assert bytes(files.map_bytes(tmp_path / "empty")) == b""
    assert files.is_directory(tmp_path)
    assert not files.is_directory("nul\0")
