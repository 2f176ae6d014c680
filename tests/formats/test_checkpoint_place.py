"""Where checkpoints lie, as people have them: zoo folders, training folders, copies of either."""

import logging
import shutil
from pathlib import Path

import numpy as np
import pytest

from flatshot.errors import FileError
from flatshot.formats.checkpoint import write_checkpoint
from flatshot.formats.checkpoint_place import find_config, find_prefix


def put(prefix: Path) -> Path:
    """A checkpoint without a state file."""
    write_checkpoint(prefix, {"a": np.zeros(3, np.float32)})
    (prefix.parent / "checkpoint").unlink()
    return prefix


def state(folder: Path, path: str) -> None:
    """A state file that names `path` as the latest checkpoint."""
    (folder / "checkpoint").write_text(f'model_checkpoint_path: "{path}"\n')


@pytest.mark.parametrize(
    "place",
    [
        *(".", "checkpoint", "model.ckpt", "model.ckpt.index", "model.ckpt.meta"),
        "model.ckpt.data-00000-of-00001",
    ],
)
def test_whatever_people_have_at_hand_means_the_checkpoint(tmp_path: Path, place: str) -> None:
    """The folder, its state file, the prefix, each file of it, those that are not there too."""
    put(tmp_path / "model.ckpt")
    state(tmp_path, "model.ckpt")
    assert find_prefix(tmp_path / place) == str(tmp_path / "model.ckpt")


@pytest.mark.parametrize(
    "path",
    ["/home/someone/model.ckpt", r"C:\\Users\\someone\\training\\model.ckpt", "a/model.ckpt"],
)
def test_a_state_file_that_moved_names_its_neighbour(tmp_path: Path, path: str) -> None:
    """Savers write absolute paths of the machine that trained, whatever its system is."""
    put(tmp_path / "model.ckpt")
    state(tmp_path, path)
    assert find_prefix(tmp_path) == str(tmp_path / "model.ckpt")


def test_a_state_file_whose_checkpoint_was_not_copied_says_what_is_there(tmp_path: Path) -> None:
    """Another checkpoint is not taken in its place."""
    for number in (9, 10):
        put(tmp_path / f"ckpt-{number}")
    state(tmp_path, "/gone/ckpt-11")
    with pytest.raises(FileError, match=r"'/gone/ckpt-11', which is not there; there is ckpt-9, "):
        find_prefix(tmp_path)
    state(tmp_path, "x" * 5000)
    with pytest.raises(FileError, match="which is not there"):
        find_prefix(tmp_path)


def test_without_a_state_file_the_largest_number_is_the_newest(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """As a number, and said aloud."""
    for number in (1, 9, 10):
        put(tmp_path / f"ckpt-{number}")
    with caplog.at_level(logging.WARNING, "flatshot"):
        assert find_prefix(tmp_path) == str(tmp_path / "ckpt-10")
    assert "taking ckpt-10, the one with the largest number" in caplog.text


@pytest.mark.parametrize("names", [("a.ckpt", "b.ckpt"), ("a-1", "b-2"), ("a-1", "a")])
def test_checkpoints_that_are_not_numbered_alike_are_listed(
    tmp_path: Path, names: tuple[str, ...]
) -> None:
    """A directory must not be ambiguous."""
    for name in names:
        put(tmp_path / name)
    with pytest.raises(FileError, match="several checkpoints") as error:
        find_prefix(tmp_path)
    assert all(name in str(error.value) for name in names)


def test_the_folder_of_the_exporter_is_looked_into(tmp_path: Path) -> None:
    """TensorFlow 2 keeps the checkpoint one floor down, and the configuration beside that."""
    prefix = put(tmp_path / "zoo" / "checkpoint" / "ckpt-0")
    config = tmp_path / "zoo" / "pipeline.config"
    config.touch()
    for with_state in (False, True):
        if with_state:
            state(prefix.parent, "ckpt-0")
        for place in ("zoo", "zoo/checkpoint", "zoo/checkpoint/ckpt-0"):
            assert find_prefix(tmp_path / place) == str(prefix)
    assert find_config(str(prefix)) == config


def test_the_configuration_beside_goes_before_the_one_above(tmp_path: Path) -> None:
    """And without either both places are named."""
    prefix = str(tmp_path / "a" / "ckpt-0")
    with pytest.raises(FileError, match=r"a/pipeline\.config and no .*--pipeline_config_path"):
        find_config(prefix)
    (tmp_path / "a").mkdir()
    for place in (tmp_path, tmp_path / "a"):
        (place / "pipeline.config").touch()
        assert find_config(prefix) == place / "pipeline.config"


def test_the_configuration_above_is_found_from_inside(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A prefix without a folder has a floor above it all the same."""
    (tmp_path / "checkpoint").mkdir()
    (tmp_path / "pipeline.config").touch()
    monkeypatch.chdir(tmp_path / "checkpoint")
    assert find_config("ckpt-0") == tmp_path / "pipeline.config"


def test_a_prefix_without_its_number_says_what_is_there(tmp_path: Path) -> None:
    """The newest of them, and how many more."""
    for number in range(7):
        put(tmp_path / f"model.ckpt-{number}")
    with pytest.raises(FileError, match=r"; there is model.ckpt-2, .*, model.ckpt-6 and 2 more$"):
        find_prefix(tmp_path / "model.ckpt")


@pytest.mark.parametrize("place", ["none", "none.index", "empty", "a" * 5000, "nul\0"])
def test_no_checkpoint_is_a_file_error(tmp_path: Path, place: str) -> None:
    """Also of a name that no file can have."""
    (tmp_path / "empty").mkdir()
    with pytest.raises(FileError, match="no checkpoint"):
        find_prefix(tmp_path / place)


def test_a_file_that_is_something_else_is_told(tmp_path: Path) -> None:
    """With what would do."""
    (tmp_path / "photo.jpg").write_bytes(b"\xff\xd8")
    with pytest.raises(FileError, match="neither a checkpoint"):
        find_prefix(tmp_path / "photo.jpg")


def test_the_published_folder_is_found(data: Path, tmp_path: Path) -> None:
    """Its state file has fields that older readers do not know."""
    folder = data / "families2" / "zoo2_fpnlite_320x320"
    (tmp_path / "checkpoint").mkdir()
    for name in ("checkpoint", "ckpt-0.index"):
        shutil.copy(folder / name, tmp_path / "checkpoint")
    assert find_prefix(tmp_path) == str(tmp_path / "checkpoint" / "ckpt-0")
