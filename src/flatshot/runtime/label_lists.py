"""Lists of class names as people have them: lines, numbered lines, JSON, CSV, YAML.

Each reader gives names by number and whether the numbers are only places in a list. Where a file
numbers its names itself, numbers from 0 are classes and numbers from 1 those of a label map, whose
class is one less; a number 0 that names the background does not count.
"""

import ast
import itertools
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from flatshot.errors import FormatError

# First names that stand for the background, which classes here do not count.
_BACKGROUND = {"???", "background", "__background__", "_background_"}
# The same where a number 0 says that there is one; alone they may be classes.
_NOTHING = _BACKGROUND | {"unlabeled", "unlabelled", "none", "n/a", "void", "nothing", "bg"}
_NUMBERED = re.compile(r"\s*([0-9]{1,6})(?:\s*[:;,=)\]|]\s*|\s*[.-](?![0-9])\s*|\s+)(\S.*)")
_LABEL_MAP = re.compile(r"\s*(?:#[^\n]*\n\s*)*item\s*:?\s*[{<]")
_CVAT_LINE = re.compile(r"([^:#]+):[0-9]+,[0-9]+,[0-9]+:[^:]*:[^:]*")
_YAML_NAMES = re.compile(r"(?ms)^names[ \t]*:[ \t]*(\[.*?\]|\{.*?\}|\n(?:[ \t-][^\n]*\n?)+)")
# Numbers that are an index leave few gaps; those that belong to the names ("30 km/h") do.
_DENSE = 0.6
_LEAST_TABLE = 3
# Python's own lists are read by its parser, which takes some hundred bytes for one.
_MAX_LITERAL = 1 << 20


@dataclass(frozen=True)
class Named:
    """Names by class; `by_place` where only their order in a list numbers them."""

    names: dict[int, str]
    by_place: bool = False


def is_label_map(text: str) -> bool:
    """Whether a text begins as a label map of the Object Detection API does."""
    return _LABEL_MAP.match(text) is not None


def names_nothing(name: str) -> bool:
    """Whether a name that is numbered 0 is the background's."""
    return name.strip().casefold() in _NOTHING


def read_list(text: str) -> Named:
    """The names in a text, whatever form they have there.

    Raises:
        FormatError: there are none, or the text is a table of something else.
    """
    head = text.lstrip()[:1]
    if head and head in "[{":
        return _structured(_literal(text))
    yaml = _YAML_NAMES.search(text)
    if yaml is not None:
        return _yaml(yaml[1])
    return read_lines(text)


def read_lines(text: str) -> Named:
    """Names a line each: bare, behind their numbers, or in one line divided by commas."""
    lines = [line.strip() for line in text.splitlines()]
    filled = [line for line in lines if line]
    if not filled:
        raise FormatError("no labels: expected a name a line")
    if filled[0].startswith("#") and all(_CVAT_LINE.fullmatch(line) for line in filled[1:]):
        return _listed([line.partition(":")[0] for line in filled[1:]])
    numbered = _numbered(filled)
    if numbered is not None:
        return numbered
    table = _table(filled)
    return table if table is not None else _listed(lines)


def _listed(lines: list[str]) -> Named:
    """Names by their places; a first one that is the background's does not count."""
    if lines and lines[0].casefold() in _BACKGROUND:
        lines = lines[1:]
    names = {index: line for index, line in enumerate(lines) if line not in ("", "???")}
    if not names:
        raise FormatError("no labels: expected a name a line")
    return Named(names, by_place=True)


def _numbered(lines: list[str]) -> Named | None:
    """Lines that all begin with their numbers; None where those are parts of the names."""
    found = [match for line in lines if (match := _NUMBERED.fullmatch(line))]
    if len(found) != len(lines) or len(found) < 2:
        return None
    numbers = [int(match[1]) for match in found]
    names = [match[2].strip() for match in found]
    rising = all(one < other for one, other in itertools.pairwise(numbers))
    dense = numbers[0] <= 1 and len(numbers) >= _DENSE * (numbers[-1] + 1 - numbers[0])
    real = [name for name in names if name.casefold() not in _NOTHING]
    distinct = len(set(real)) == len(real)
    if not (rising and dense and distinct):
        return None
    return _by_number(dict(zip(numbers, names, strict=True)))


def _by_number(numbered: Mapping[int, str]) -> Named:
    """Names under numbers of their own, as classes."""
    if not numbered or min(numbered) < 0:
        raise FormatError("no labels: expected names, or names by number from 0")
    lowest = min(numbered)
    if lowest == 0 and names_nothing(numbered[0]):
        numbered, lowest = {key: name for key, name in numbered.items() if key}, 1
    shift = 0 if lowest == 0 else 1
    names = {key - shift: name for key, name in numbered.items() if name not in ("", "???")}
    if not names:
        raise FormatError("no labels: expected names, or names by number from 0")
    return Named(names, by_place=lowest == 0)


def _table(lines: list[str]) -> Named | None:
    """Names in columns divided by commas, semicolons or tabs; None where there are no columns."""
    for mark in (",", ";", "\t"):
        rows = [[cell.strip().strip("\"'") for cell in line.split(mark)] for line in lines]
        columns = len(rows[0])
        if columns < 2 or any(len(row) != columns for row in rows):
            continue
        if len(rows) == 1:
            return _listed(rows[0]) if columns >= _LEAST_TABLE else None
        if mark == "," and all(f"{mark} " in line for line in lines):
            continue  # synonyms, as in ImageNet's list
        return _columns(rows)
    return None


def _columns(rows: list[list[str]]) -> Named:
    head = [cell.casefold() for cell in rows[0]]
    body = rows[1:] if not any(cell.isdecimal() for cell in rows[0]) else rows
    columns = list(zip(*(body or rows), strict=True))
    numbers = [i for i, column in enumerate(columns) if all(map(str.isdecimal, column))]
    texts = [i for i in range(len(columns)) if i not in numbers]
    if len(rows[0]) == 2 and len(numbers) == 1 and len(texts) == 1:
        keys = [int(cell) for cell in columns[numbers[0]]]
        if len(set(keys)) == len(keys):
            return _by_number(dict(zip(keys, columns[texts[0]], strict=True)))
    if len(rows[0]) == 2 and rows[0][0].startswith("/m/"):  # Open Images' class descriptions
        return _listed([row[1] for row in rows])
    raise FormatError(
        f"a table with the columns {', '.join(head)[:60]}, no list of names: give one name a line, "
        "or a number and a name"
    )


def _literal(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        try:
            if len(text) > _MAX_LITERAL:
                raise ValueError
            return ast.literal_eval(text.strip())
        except (ValueError, SyntaxError, MemoryError, RecursionError, TypeError):
            raise FormatError(f"labels that begin as JSON and are none: {error}") from None


def _structured(value: Any) -> Named:
    """Names in lists and objects, as JSON files have them."""
    if isinstance(value, dict):
        for key in ("names", "labels", "classes", "categories", "id2label"):
            if isinstance(value.get(key), list | dict):
                return _structured(value[key])
        return _mapping(value)
    if isinstance(value, list) and all(isinstance(one, str) for one in value):
        return _listed([one.strip() for one in value])
    if isinstance(value, list) and value and all(isinstance(one, dict) for one in value):
        return _objects(value)
    raise FormatError("JSON without a list of names, or names by number")


def _mapping(value: Mapping[Any, Any]) -> Named:
    if all(_whole(number) is not None for number in value.values()):
        turned = {_whole(number): name for name, number in value.items()}
        if len(turned) == len(value):
            value = turned
    names = {_whole(number): _name(name) for number, name in value.items()}
    if None in names or None in names.values() or len(names) != len(value):
        raise FormatError("JSON without a list of names, or names by number")
    return _by_number({number or 0: name or "" for number, name in names.items()})


def _objects(rows: list[dict[str, Any]]) -> Named:
    names = [_name(row) for row in rows]
    numbers = [_whole(row.get("id")) for row in rows]
    if None in names:
        raise FormatError("JSON objects of which not all have a name")
    if None in numbers:
        return _listed([name or "" for name in names])
    found = {number or 0: name or "" for number, name in zip(numbers, names, strict=True)}
    if len(found) != len(rows):
        raise FormatError("JSON objects of which two share an id")
    # Roboflow's files begin with the project's own name, of which the others are kinds.
    kinds = {row.get("supercategory") for row in rows if _whole(row.get("id"))}
    if len(found) > 1 and 0 in found and found[0] in kinds:
        del found[0]
    return _by_number(found)


def _name(value: Any) -> str | None:
    if isinstance(value, dict):
        keys = ("display_name", "displayName", "name", "label")
        value = next((value[key] for key in keys if value.get(key)), None)
    return value.strip() if isinstance(value, str) else None


def _whole(value: Any) -> int | None:
    if isinstance(value, str) and re.fullmatch(r"\s*[0-9]{1,6}\s*", value):
        return int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _yaml(text: str) -> Named:
    """The `names` of a YOLO data set's YAML: a list, or names by number; in one line or several."""
    inner = text.strip()
    if inner[:1] in "[{":
        cells = inner[1:-1].split(",")
    else:
        cells = [line.strip().removeprefix("-") for line in inner.splitlines()]
    plain = [cell.partition(" #")[0].strip() for cell in cells]
    plain = [cell for cell in plain if cell]
    pairs = [re.fullmatch(r"([0-9]{1,6})\s*:\s*(.+)", cell) for cell in plain]
    if plain and all(pairs):
        return _by_number({int(pair[1]): pair[2].strip("\"'") for pair in pairs if pair})
    return _listed([cell.strip("\"'") for cell in plain])
