"""The names of the classes: from a text file, a label map, or the model file itself."""

import io
import re
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

from flatshot.errors import FormatError
from flatshot.formats.files import StrPath, read_bytes
from flatshot.formats.sniffing import decode_text, is_markup, mistaken
from flatshot.runtime.label_lists import is_label_map, names_nothing, read_lines, read_list

_LABEL_MAP_SUFFIXES = {".pbtxt", ".pbtext", ".prototxt", ".textproto"}

# Labels packed into a model: no class list is larger, and a zip file can unfold to anything.
_MAX_PACKED = 4 << 20
# What zipfile raises on archives that are damaged, encrypted or packed in unusual ways.
_DAMAGE = (
    EOFError,
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


_TOKEN = re.compile(
    r"""\s*(?:\#[^\n]*\s*)*(?:
        (?P<string>"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*')
      | (?P<word>[\w.+-]+)
      | (?P<mark>[{}<>:,;\[\]])
      | (?P<bad>\S))""",
    re.VERBOSE,
)
_SIMPLE_ESCAPES = {"n": "\n", "t": "\t", "r": "\r"}
_ESCAPE = re.compile(rb"\\(?:([0-7]{1,3})|x([0-9a-fA-F]{1,2})|(.))", re.DOTALL)


def parse_label_map(text: str) -> Labels:
    """Labels from a label map of the Object Detection API: `item { id: 1 name: "person" }`.

    The id is the class index plus one; `display_name` goes before `name`. Fields of other names are
    passed over, with whatever they contain. Id 0, the background, is left out.

    Raises:
        FormatError: it is no label map, an item lacks its id, two items share one, or one of id 0
            has a name that is not the background's: TensorFlow refuses those, and whoever counted
            from 0 would find all names moved by one.
    """
    tokens = _tokens(text)
    names: dict[int, str] = {}
    position = 0
    while position < len(tokens):
        if tokens[position] != ("word", "item"):
            raise FormatError(f"a label map holds items, not {tokens[position][1]!r}")
        fields, position = _item(tokens, position + 1)
        number = _identifier(fields)
        if number - 1 in names:
            raise FormatError(f"two items of the label map have id {number}")
        name = fields.get("display_name") or fields.get("name") or ""
        if number == 0 and name and not names_nothing(name):
            raise FormatError(
                f"the item {name!r} has id 0, which is the background's: number the items from 1"
            )
        if number > 0:
            names[number - 1] = fields.get("display_name") or fields.get("name") or f"id {number}"
    if not names:
        raise FormatError("no labels: expected items with an id and a name")
    return Labels(names)


def _tokens(text: str) -> list[tuple[str, str]]:
    """(kind, text) of what the text consists of; adjacent strings become one."""
    found: list[tuple[str, str]] = []
    for match in _TOKEN.finditer(text):
        kind, value = match.lastgroup, match.group(match.lastgroup or 0)
        if kind is None or kind == "bad":
            raise FormatError(f"a label map has no {value!r} there (character {match.start()})")
        if kind == "string":
            value = _unquoted(value)
            if found and found[-1][0] == "string":
                found[-1] = ("string", found[-1][1] + value)
                continue
        found.append((kind, value))
    return found


def _unquoted(quoted: str) -> str:
    """The string between the quotes; octal and hexadecimal escapes are bytes of UTF-8."""

    def plain(match: re.Match[bytes]) -> bytes:
        octal, hexadecimal, other = match.groups()
        if octal or hexadecimal:
            return bytes([int(octal or hexadecimal, 8 if octal else 16) & 0xFF])
        return _SIMPLE_ESCAPES.get(other.decode("latin-1"), "").encode() or bytes(other)

    return _ESCAPE.sub(plain, quoted[1:-1].encode()).decode("utf-8", "replace")


_CLOSING = {"{": "}", "<": ">"}


def _item(tokens: list[tuple[str, str]], position: int) -> tuple[dict[str, str], int]:
    """The plain fields of the item whose body begins at `position`, and the place after it."""
    fields: dict[str, str] = {}
    position = _skip(tokens, position, ":")
    closing = _CLOSING.get(_at(tokens, position)[1])
    if closing is None:
        raise FormatError("an item of the label map lacks its opening brace")
    position += 1
    while _at(tokens, position) != ("mark", closing):
        kind, name = _at(tokens, position)
        if kind != "word":
            raise FormatError(f"a label map has no {name!r} where a field is expected")
        position = _skip(tokens, position + 1, ":")
        if _at(tokens, position)[0] == "mark":
            position = _after_message(tokens, position)
        else:
            fields[name] = _at(tokens, position)[1]
            position += 1
        position = _skip(tokens, position, ",", ";")
    return fields, _skip(tokens, position + 1, ",", ";")


def _at(tokens: list[tuple[str, str]], position: int) -> tuple[str, str]:
    if position >= len(tokens):
        raise FormatError("the label map ends within an item")
    return tokens[position]


def _skip(tokens: list[tuple[str, str]], position: int, *marks: str) -> int:
    while position < len(tokens) and tokens[position] in [("mark", mark) for mark in marks]:
        position += 1
    return position


def _after_message(tokens: list[tuple[str, str]], position: int) -> int:
    """The place after a message or list that nobody asked for."""
    depth = 0
    while True:
        kind, value = _at(tokens, position)
        if kind == "mark":
            depth += (value in "{<[") - (value in "}>]")
        position += 1
        if depth <= 0:
            return position


def _identifier(fields: Mapping[str, str]) -> int:
    try:
        return int(fields["id"], 0)
    except (KeyError, ValueError):
        raise FormatError(
            f"an item of the label map has no id that is a number: {dict(fields)}"
        ) from None


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
