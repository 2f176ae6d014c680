"""The names of the classes: from a text file, a label map, or the model file itself."""

import functools
import io
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

from flatshot.errors import FormatError
from flatshot.formats import protobuf
from flatshot.formats.files import StrPath, read_bytes
from flatshot.formats.sniffing import decode_text, is_markup, mistaken
from flatshot.runtime.label_lists import is_label_map, names_nothing, read_lines, read_list

_LABEL_MAP_SUFFIXES = {".pbtxt", ".pbtext", ".prototxt", ".textproto"}

# Labels packed into a model: no class list is larger, and a zip file can unfold to anything.
_MAX_PACKED = 4 << 20
# What zipfile raises on archives that are damaged, encrypted or packed in unusual ways.
_DAMAGE = (
    EOFError,
    LookupError,
    NotImplementedError,
    RuntimeError,
    ValueError,
    zipfile.BadZipFile,
    zlib.error,
)


@dataclass(frozen=True)
class Labels:
    """Names by class index, from 0 without the background; not every index needs one.

    Attributes:
        names: class index -> name.
        by_place: only their order in a list numbers the names, so that one more of them than the
            model has classes means that the list begins with the background.
    """

    names: Mapping[int, str]
    by_place: bool = field(default=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "names", MappingProxyType(dict(self.names)))

    def name(self, class_index: int) -> str:
        """The name of a class; "class 17" for one that has none."""
        return self.names.get(int(class_index), f"class {int(class_index)}")

    def __len__(self) -> int:
        """One more than the highest index that has a name."""
        return max(self.names, default=-1) + 1

    def without_first(self) -> "Labels":
        """The labels without that of class 0, each of the others a class lower."""
        return Labels({index - 1: name for index, name in self.names.items() if index})


def load_labels(path: StrPath) -> Labels:
    """The labels in the file at `path`: a label map, or a list of names in one of many forms.

    What it holds decides, not its suffix: a label map of the Object Detection API, a name a line
    (with or without its number), JSON (a list, names by number, an annotation file), two columns
    divided by commas, the YAML of a YOLO data set.

    Raises:
        FileError: it is missing, a directory, or unreadable.
        FormatError: it holds no labels; the message names it, and says what it is if it is known.
    """
    data = read_bytes(path)
    try:
        return _parse(decode_text(data), Path(path).suffix.lower() in _LABEL_MAP_SUFFIXES)
    except UnicodeDecodeError as error:
        other = mistaken(data, "a list of names")
        raise FormatError(f"{path}: {other or f'labels must be UTF-8 text: {error}'}") from error
    except FormatError as error:
        other = mistaken(data, "a list of names") if is_markup(data) else None
        raise FormatError(f"{path}: {other or error}") from error


def _parse(text: str, label_map: bool) -> Labels:
    if "\0" in text:
        raise FormatError("no text: labels are a name a line")
    if is_label_map(text) or label_map:
        return parse_label_map(text)
    if is_markup(text[:4096].encode()) or (text.lstrip()[:1] == "<" and "</" in text):
        raise FormatError("XML or HTML, no list of names")
    found = read_list(text)
    return Labels(found.names, found.by_place)


def parse_lines(text: str) -> Labels:
    """Labels from text with a name a line, line i being class i.

    A first line that names the background (`???`, `background`) does not count. Later lines of
    `???`, and empty ones, are classes without a name. Lines that all begin with their numbers are
    numbered by those.

    Raises:
        FormatError: there is no name in it.
    """
    found = read_lines(text)
    return Labels(found.names, found.by_place)


def parse_label_map(text: str) -> Labels:
    """Labels from a label map of the Object Detection API: `item { id: 1 name: "person" }`.

    The id is the class index plus one; `display_name` goes before `name`. Fields of other names are
    passed over, with whatever they contain. Id 0, the background, is left out.

    Raises:
        FormatError: it is no label map (with the line and column of the mistake), an item lacks
            its id, two items share one, or one of id 0 has a name that is not the background's:
            TensorFlow refuses those, and whoever counted from 0 would find all names moved by one.
    """
    label_map = _label_map_class()()
    protobuf.parse_text(label_map, text, "label map")
    names: dict[int, str] = {}
    for item in label_map.item:
        if not item.HasField("id"):
            raise FormatError(f"an item of the label map has no id that is a number: {_name(item)}")
        if item.id - 1 in names:
            raise FormatError(f"two items of the label map have id {item.id}")
        if item.id == 0 and _name(item) and not names_nothing(_name(item)):
            raise FormatError(
                f"the item {_name(item)!r} has id 0, which is the background's: number the items "
                "from 1"
            )
        if item.id > 0:
            names[item.id - 1] = _name(item) or f"id {item.id}"
    if not names:
        raise FormatError("no labels: expected items with an id and a name")
    return Labels(names)


def _name(item: Any) -> str:
    """What an item is called; bytes that are no UTF-8 are replaced."""
    name: bytes = item.display_name or item.name
    return name.decode("utf-8", "replace")


@functools.cache
def _label_map_class() -> Any:
    """The API's message of label maps; fields that are not declared are passed over."""
    item = ["bytes name = 1", "int32 id = 2", "bytes display_name = 3"]
    declared = {"Item": item, "LabelMap": ["repeated Item item = 1"]}
    return protobuf.message_classes("flatshot.labels", "proto2", declared)["LabelMap"]


def packed_labels(model: bytes | memoryview) -> Labels | None:
    """The labels in the zip file behind a .tflite model, where TensorFlow's metadata puts them.

    Returns:
        The labels of the first text file with "label" in its name, or of the only text file; None
        if there is none.

    Raises:
        FormatError: the file that should hold them is damaged, or no text.
    """
    stream = io.BytesIO(model)
    if not zipfile.is_zipfile(stream):
        return None
    try:
        with zipfile.ZipFile(stream) as archive:
            texts = [i for i in archive.infolist() if i.filename.lower().endswith(".txt")]
            named = [i for i in texts if "label" in i.filename.lower()]
            chosen = named[:1] or texts[: len(texts) == 1]
            if not chosen:
                return None
            if chosen[0].file_size > _MAX_PACKED:
                raise FormatError(f"{chosen[0].filename}: {chosen[0].file_size} bytes of labels")
            return parse_lines(archive.read(chosen[0]).decode("utf-8-sig"))
    except _DAMAGE as error:
        raise FormatError(f"the labels packed into the model are unreadable: {error}") from error
