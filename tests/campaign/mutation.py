"""Changes of sound files that keep most of their structure, so that readers get far before a fault.

Each takes a file's bytes and a source of random numbers, and gives the bytes of another one.
"""

import dataclasses
import json
import random
import re
import struct
import zlib
from collections.abc import Callable
from typing import Any

import numpy as np

from flatshot.formats import flatbuffer, sstable, tflite

Mutation = Callable[[bytes, random.Random], bytes]
# Numbers at which counters, signs and sizes break.
NUMBERS = (
    *(0, 1, -1, 2, 3, 4, 7, 8, 9, 127, 128, 255, 256, -128, 32767, 65535, 2**20, 2**24, 10**8),
    *(2**28, 2**31 - 1, 2**31, -(2**31), 2**32 - 1, 2**53, 2**62, 2**63 - 1, -(2**63), 2**64 - 1),
)
STRINGS = (
    *(b"", b"\0", b"\xff\xfe", b"a" * 300, b"\x1b[2J", b"../../x", b"/etc/passwd", b"^x", b":0"),
    *(b"x:7", b"%s%n", "\u202e\U0001f600".encode(), b"\xed\xa0\x80", b"1e999", b"-1", b"NaN"),
)
_TOKEN = re.compile(rb"[A-Za-z_/0-9.+-]+|\"[^\"\n]*\"|\s+|.", re.DOTALL)


def raw(data: bytes, rng: random.Random) -> bytes:
    """Bits flipped, numbers put, pieces cut out, doubled, moved; the end cut off."""
    out = bytearray(data)
    for _ in range(rng.choice((1, 1, 1, 2, 4, 16))):
        if not out:
            return bytes(rng.choice(STRINGS))
        at = rng.randrange(len(out))
        size = min(rng.choice((1, 2, 4, 8, 16, 64)), len(out) - at)
        kind = rng.randrange(7)
        if kind == 0:
            out[at] ^= 1 << rng.randrange(8)
        elif kind == 1:
            out[at] = rng.randrange(256)
        elif kind == 2:
            number = rng.choice(NUMBERS) & (2 ** (8 * size) - 1)
            out[at : at + size] = number.to_bytes(size, rng.choice(("little", "big")))
        elif kind == 3:
            del out[at : at + size]
        elif kind == 4:
            out[at:at] = out[at : at + size] * rng.choice((1, 2, 50))
        elif kind == 5:
            other = rng.randrange(len(out))
            out[at : at + size] = out[other : other + size]
        else:
            del out[at:]
    return bytes(out)


def text(data: bytes, rng: random.Random) -> bytes:
    """Words left out, doubled, exchanged, replaced by those that break things."""
    tokens = _TOKEN.findall(data)
    for _ in range(rng.choice((1, 1, 2, 5))):
        if not tokens:
            break
        at, other = rng.randrange(len(tokens)), rng.randrange(len(tokens))
        kind = rng.randrange(6)
        if kind == 0:
            del tokens[at : at + rng.choice((1, 1, 3, 20))]
        elif kind == 1:
            tokens[at:at] = tokens[at : at + rng.choice((1, 5, 40))] * rng.choice((1, 2, 30))
        elif kind == 2:
            tokens[at] = tokens[other]
        elif kind == 3:
            tokens[at] = str(rng.choice(NUMBERS)).encode()
        elif kind == 4:
            tokens[at] = rng.choice(STRINGS)
        else:
            tokens[at] = raw(tokens[at], rng)
    return b"".join(tokens)


def wire(data: bytes, rng: random.Random) -> bytes:
    """A Protocol Buffers message with a field, somewhere within, that is another one."""
    fields = _fields(data)
    if not fields:
        return raw(data, rng)
    at = rng.randrange(len(fields))
    number, kind, value = fields[at]
    inner = _fields(value) if kind == 2 else []
    if inner and rng.random() < 0.85:
        fields[at] = (number, kind, wire(value, rng))
    else:
        _change_field(fields, at, rng)
    return b"".join(_packed(*field) for field in fields)


def _change_field(fields: list[tuple[int, int, Any]], at: int, rng: random.Random) -> None:
    number, kind, value = fields[at]
    choice = rng.randrange(6)
    if choice == 0:
        del fields[at]
    elif choice == 1:
        fields[at:at] = [fields[at]] * rng.choice((1, 2, 40))
    elif choice == 2:
        other = rng.randrange(len(fields))
        fields[at], fields[other] = fields[other], fields[at]
    elif choice == 3:
        same = [field[2] for field in fields if field[1] == kind]
        fields[at] = (rng.choice((number, number, rng.randrange(1, 20))), kind, rng.choice(same))
    elif kind == 0:
        fields[at] = (number, 0, rng.choice(NUMBERS) & (2**64 - 1))
    elif kind == 2:
        fields[at] = (number, 2, rng.choice(STRINGS) if choice == 4 else raw(value, rng))
    else:
        fields[at] = (number, kind, raw(value, rng)[: len(value)].ljust(len(value), b"\xff"))


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            return value, at
        if shift > 63:
            raise ValueError("no varint")


def _fields(data: bytes) -> list[tuple[int, int, Any]]:
    """(number, wire type, content) of each field; empty where `data` is no message."""
    found: list[tuple[int, int, Any]] = []
    at = 0
    try:
        while at < len(data):
            key, at = _varint(data, at)
            kind = key & 7
            if kind == 0:
                value: Any
                value, at = _varint(data, at)
            else:
                size = {1: 8, 5: 4}.get(kind, 0)
                if kind == 2:
                    size, at = _varint(data, at)
                value, at = data[at : at + size], at + size
                if kind not in (1, 2, 5) or at > len(data):
                    return []
            if not 0 < key >> 3 < 1000:
                return []
            found.append((key >> 3, kind, value))
    except (IndexError, ValueError):
        return []
    return found


def _packed(number: int, kind: int, value: Any) -> bytes:
    def varint(rest: int) -> bytes:
        out = bytearray()
        while rest > 0x7F:
            out.append(rest & 0x7F | 0x80)
            rest >>= 7
        return bytes([*out, rest])

    key = varint(number << 3 | kind)
    if kind == 0:
        return key + varint(value)
    return key + (varint(len(value)) if kind == 2 else b"") + bytes(value)


def tables(data: bytes, rng: random.Random) -> bytes:
    """A TensorFlow Lite model with a slot, somewhere within, that holds another value."""
    model = tflite.read_model(data)
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        _change_table(_some_table(model, rng), rng)
    try:
        return bytes(tflite.write_model(model))
    except (ArithmeticError, AttributeError, TypeError, ValueError, struct.error):
        return raw(data, rng)  # a value that the format cannot hold


def _some_table(table: Any, rng: random.Random) -> Any:
    """A table within `table`, or it."""
    inner: list[Any] = []
    for field in dataclasses.fields(table):
        value = getattr(table, field.name)
        inner += value if isinstance(value, list) else [value]
    inner = [one for one in inner if dataclasses.is_dataclass(one)]
    return _some_table(rng.choice(inner), rng) if inner and rng.random() < 0.9 else table


def _change_table(table: Any, rng: random.Random) -> None:
    names = list(flatbuffer.slots(type(table)))
    if not names:
        return
    name = rng.choice(names)
    value = getattr(table, name)
    if isinstance(value, list):
        _change_list(value, rng)
    elif isinstance(value, np.ndarray) or (value is None and rng.random() < 0.3):
        setattr(table, name, _other_array(value, rng))
    elif isinstance(value, str):
        setattr(table, name, rng.choice(STRINGS).decode("utf-8", "replace"))
    elif isinstance(value, bool):
        setattr(table, name, not value)
    elif isinstance(value, float):
        setattr(table, name, rng.choice((0.0, -1.0, 1e30, float("nan"), float("inf"))))
    elif isinstance(value, int):
        setattr(table, name, rng.choice((*range(-1, 12), *range(140), *NUMBERS[:20])))
    else:
        setattr(table, name, None)


def _change_list(items: list[Any], rng: random.Random) -> None:
    if not items:
        return
    at, other = rng.randrange(len(items)), rng.randrange(len(items))
    kind = rng.randrange(4)
    if kind == 0:
        del items[at]
    elif kind == 1:
        items.insert(at, items[other])
    elif kind == 2:
        items[at], items[other] = items[other], items[at]
    else:
        items[at] = items[other]


def _other_array(value: Any, rng: random.Random) -> Any:
    if value is None:
        return np.array([rng.choice(NUMBERS[:12])], np.int32)
    kind = rng.randrange(5)
    if kind == 0:
        return value[:-1]
    if kind == 1:
        return np.concatenate([value, value[-1:]])
    if kind == 2:
        return np.zeros(0, value.dtype) if rng.random() < 0.5 else None
    changed = value.copy()
    if changed.size:
        at = rng.randrange(changed.size)
        low = np.iinfo(value.dtype).min if value.dtype.kind in "iu" else -(2**63)
        high = np.iinfo(value.dtype).max if value.dtype.kind in "iu" else 2**63
        fitting = [number for number in (*range(-1, 12), *NUMBERS) if low <= number <= high]
        changed[at] = rng.choice(fitting)
    return changed


def object_text(data: bytes, rng: random.Random) -> bytes:
    """JSON with a value, somewhere within, that is another one."""
    content = json.loads(data)
    for _ in range(rng.choice((1, 1, 2))):
        content = _other_json(content, rng)
    out = json.dumps(content).encode()
    return raw(out, rng) if rng.random() < 0.1 else out


_VALUES: tuple[Any, ...] = (
    *(None, True, 0, -1, 1.5, 2**31, 2**63, 10**400, float("inf"), float("nan"), 1e308, -0.5),
    *("", "x", "\ud800", "\0", "\x1b[2J", "a" * 300, "../../x", "1e999", "99"),
    *([], {}, [[]], {"a": {}}),
)


def _other_json(value: Any, rng: random.Random) -> Any:
    if isinstance(value, dict) and value and rng.random() < 0.93:
        key = rng.choice(list(value))
        kind = rng.randrange(12)
        changed = dict(value)
        if kind == 0:
            del changed[key]
        elif kind == 1:
            changed[str(rng.choice(("x", "\ud800", "", key + "s")))] = changed.pop(key)
        else:
            changed[key] = _other_json(value[key], rng)
        return changed
    if isinstance(value, list) and value and rng.random() < 0.93:
        at, other = rng.randrange(len(value)), rng.randrange(len(value))
        kind = rng.randrange(10)
        if kind == 0:
            return value[:at] + value[at + 1 :]
        if kind == 1:
            return value[:at] + [value[other]] * rng.choice((1, 2, 60)) + value[at:]
        return [*value[:at], _other_json(value[at], rng), *value[at + 1 :]]
    if rng.random() < 0.01:
        deep: Any = []
        for _ in range(900):
            deep = [deep]
        return deep
    return rng.choice(_VALUES)


def index(data: bytes, rng: random.Random) -> bytes:
    """A checkpoint's index with an entry that is another one, and right checksums."""
    pairs = list(sstable.read_table(data))
    at = rng.randrange(len(pairs))
    key, value = pairs[at]
    kind = rng.randrange(8)
    if kind == 0:
        del pairs[at]
    elif kind == 1:
        pairs[at] = (raw(key, rng), value)
    else:
        pairs[at] = (key, wire(value, rng))
    try:
        return sstable.write_table(sorted(dict(pairs).items()))
    except ValueError:
        return raw(data, rng)


def checked_lines(data: bytes, rng: random.Random) -> bytes:
    """A journal with a line that holds another object, and its right checksum."""
    lines = data.splitlines()
    at = rng.randrange(len(lines))
    content = object_text(lines[at].partition(b" ")[2], rng)
    lines[at] = b"%08x %s" % (zlib.crc32(content), content)
    return b"\n".join(lines) + b"\n"


_TAR_FIELDS = ((0, 100), (100, 8), (124, 12), (136, 12), (156, 1), (157, 100), (257, 8), (345, 155))


def tar_header(data: bytes, rng: random.Random) -> bytes:
    """A tar with a header that says something else, and its right checksum."""
    out = bytearray(data)
    heads = [at for at in range(0, len(out), 512) if out[at + 257 : at + 262] == b"ustar"]
    if not heads:
        return raw(data, rng)
    head = rng.choice(heads)
    start, size = rng.choice(_TAR_FIELDS)
    if start == 156:
        new = bytes([rng.choice(b"0123456789gxLKSVDM\0")])
    elif size in (8, 12):
        number = abs(rng.choice(NUMBERS))
        new = (b"%o" % number)[: size - 1] if rng.random() < 0.8 else b"\x80" + b"\xff" * (size - 1)
    else:
        new = rng.choice((*STRINGS, b"a/" * 40, b"c:x", b"a\\b"))
    out[head + start : head + start + size] = new[:size].ljust(size, b"\0")
    out[head + 148 : head + 156] = b" " * 8
    out[head + 148 : head + 156] = b"%06o\0 " % sum(out[head : head + 512])
    return bytes(out)
