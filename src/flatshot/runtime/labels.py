"""The names of the classes: from a text file, a label map, or the model file itself."""

import io
import re
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from flatshot.errors import FormatError
from flatshot.formats.files import StrPath, read_bytes

# First lines that stand for the background, which classes here do not count.
_BACKGROUND = {"???", "background", "__background__"}
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
    """Names by class index, from 0 without the background; not every index needs one."""

    names: Mapping[int, str]

    def __post_init__(self) -> None:
        object.__setattr__(self, "names", MappingProxyType(dict(self.names)))

    def name(self, class_index: int) -> str:
        """The name of a class; "class 17" for one that has none."""
        return self.names.get(int(class_index), f"class {int(class_index)}")

    def __len__(self) -> int:
        """One more than the highest index that has a name."""
        return max(self.names, default=-1) + 1


def load_labels(path: StrPath) -> Labels:
    """The labels in the file at `path`: a `.pbtxt` label map, or text with a name a line.

    Raises:
        FileError: it is missing, a directory, or unreadable.
        FormatError: it holds no labels; the message names it.
    """
    try:
        text = read_bytes(path).decode("utf-8-sig")
        return parse_label_map(text) if Path(path).suffix == ".pbtxt" else parse_lines(text)
    except UnicodeDecodeError as error:
        raise FormatError(f"{path}: labels must be UTF-8 text: {error}") from error
    except FormatError as error:
        raise FormatError(f"{path}: {error}") from error


def parse_lines(text: str) -> Labels:
    """Labels from text with a name a line, line i being class i.

    A first line that names the background (`???`, `background`) does not count. Later lines of
    `???`, and empty ones, are classes without a name.

    Raises:
        FormatError: there is no name in it.
    """
    lines = [line.strip() for line in text.splitlines()]
    if lines and lines[0].lower() in _BACKGROUND:
        del lines[0]
    names = {index: line for index, line in enumerate(lines) if line not in ("", "???")}
    if not names:
        raise FormatError("no labels: expected a name a line")
    return Labels(names)


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
        FormatError: it is no label map, an item lacks its id, or two items share one.
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
