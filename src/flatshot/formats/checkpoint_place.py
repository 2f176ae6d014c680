"""Where a checkpoint lies: from what people have at hand (a folder, a file of it) to its prefix."""

import functools
import logging
import re
from pathlib import Path
from typing import Any

from flatshot.errors import FileError, FormatError, UnsupportedError
from flatshot.formats import files, protobuf, sstable
from flatshot.formats.files import StrPath

_log = logging.getLogger("flatshot")

CONFIG_NAME = "pipeline.config"
_STATE = "checkpoint"
# The files of one checkpoint, after its prefix.
_MEMBER = re.compile(r"\.(index|meta|data-\d{5}-of-\d{5})$")
_NUMBERED = re.compile(r"(.*)-(\d+)")


def find_prefix(place: StrPath) -> str:
    """The prefix of the checkpoint that `place` means.

    Args:
        place: the prefix (`dir/model.ckpt`), one of the checkpoint's files, a `checkpoint` state
            file, or a directory. Of a directory's checkpoints it is the one that the state file
            names, else the one of the largest number; a directory `checkpoint` inside, as
            TensorFlow 2's exporter makes it, is looked into.

    Raises:
        FileError: there is none, or a directory holds several that are not numbered.
        FormatError: the state file is damaged.
        UnsupportedError: there is one of the V1 format.
    """
    path = Path(place)
    if files.is_directory(path):
        return _find_in_directory(path)
    if path.name == _STATE and files.is_file(path):
        return _read_state(path)
    prefix = _MEMBER.sub("", str(place))
    if _is_prefix(prefix):
        return prefix
    if files.is_file(path) and prefix == str(place):
        raise FileError(
            f"{path}: neither a checkpoint (give its prefix, its directory or its .index file) "
            "nor a graph (.pb, .pbtxt)"
        )
    there = _list(_prefixes(Path(prefix).parent))
    raise FileError(
        f"no checkpoint at {str(place)!r}: there is no {prefix + '.index'!r}"
        + (f"; there is {there}" if there else "")
    )


def find_config(prefix: str) -> Path:
    """The configuration of the checkpoint `prefix`: beside it, or one directory above.

    The latter is where TensorFlow 2's exporter puts it.

    Raises:
        FileError: there is none.
    """
    beside = Path(prefix).with_name(CONFIG_NAME)
    above = Path(prefix).absolute().parent.parent / CONFIG_NAME
    for path in (beside, above):
        if files.is_file(path):
            return path
    raise FileError(
        f"there is no {beside} and no {above}: give the configuration with --pipeline_config_path"
    )


def _is_prefix(prefix: str) -> bool:
    """Whether there is a checkpoint of this prefix; one of the V1 format is refused by name."""
    if files.is_file(f"{prefix}.index"):
        return True
    if files.is_file(prefix) and sstable.is_table(files.map_bytes(prefix)):
        raise UnsupportedError(
            f"{prefix}: a checkpoint of the V1 format (one file, before TensorFlow 0.12); "
            "load it in TensorFlow 1.x and save it with tf.train.Saver to get V2"
        )
    return False


def _find_in_directory(directory: Path) -> str:
    state = directory / _STATE
    if files.is_file(state):
        return _read_state(state)
    found = _prefixes(directory)
    if not found and files.is_directory(state):
        return _find_in_directory(state)
    if len(found) == 1:
        return str(directory / found[0])
    numbered = [match for match in map(_NUMBERED.fullmatch, found) if match]
    if found and len(numbered) == len(found) and len({match[1] for match in numbered}) == 1:
        newest = max(numbered, key=lambda match: int(match[2]))[0]
        _log.warning(
            "%s: no state file says which checkpoint is the latest; taking %s, the one with the "
            "largest number",
            directory,
            newest,
        )
        return str(directory / newest)
    if found:
        raise FileError(
            f"{directory}: several checkpoints and no state file: give one of {_list(found)}"
        )
    raise FileError(f"{directory}: no checkpoint in it: there is no *.index file")


def _read_state(path: Path) -> str:
    """The latest checkpoint that a state file names, looked for beside the file if it has moved."""
    state = _messages()["CheckpointState"]()
    protobuf.parse_text(state, files.read_bytes(path), str(path))
    named = state.model_checkpoint_path
    if not named:
        raise FormatError(f"{path}: it names no model_checkpoint_path")
    # The path may be of another machine, and of another system.
    last = re.split(r"[/\\]", named)[-1]
    for prefix in (str(path.parent / named), str(path.parent / last)):
        if _is_prefix(prefix):
            return prefix
    there = _list(_prefixes(path.parent))
    raise FileError(
        f"{path}: it names the checkpoint {named!r}, which is not there"
        + (f"; there is {there}: give its prefix" if there else "")
    )


def _prefixes(directory: Path) -> list[str]:
    """The names of the checkpoints in `directory`, those with numbers in their order."""
    if not files.is_directory(directory):
        return []
    names = (path.name.removesuffix(".index") for path in directory.glob("*.index"))

    def order(name: str) -> tuple[str, int]:
        match = _NUMBERED.fullmatch(name)
        return (match[1], int(match[2])) if match else (name, -1)

    return sorted(names, key=order)


def _list(names: list[str], limit: int = 5) -> str:
    """The last of `names`, which are the newest."""
    rest = len(names) - limit
    return ", ".join(names[-limit:]) + (f" and {rest} more" if rest > 0 else "")


@functools.cache
def _messages() -> dict[str, Any]:
    return protobuf.message_classes(
        "tensorflow.checkpoint_state",
        "proto2",
        {
            "CheckpointState": [
                "string model_checkpoint_path = 1",
                "repeated string all_model_checkpoint_paths = 2",
            ],
        },
    )
