"""FlatBuffers from declared tables: one declaration gives both the reader and the writer.

A table is a dataclass whose fields are made with `slot`; its slot number and kind come from the
format's schema. Reading checks every offset against the buffer and counts what it visits, so that
no file, however hostile, makes it read outside, run long or allocate more than the file's size.
Vectors of numbers are NumPy views of the buffer: nothing is copied.
"""

import dataclasses
import enum
import struct
from collections.abc import Callable, Mapping
from typing import Any, TypeVar, cast

import numpy as np
import numpy.typing as npt

from flatshot.errors import FormatError

T = TypeVar("T")
_MAX_BYTES = 2**31 - 1
Bytes = bytes | bytearray | memoryview


class Kind(enum.Enum):
    """What a slot of a table holds; the value is the NumPy type code of its number, if any."""

    BOOL = "?"
    U8 = "u1"
    I8 = "i1"
    U16 = "<u2"
    I32 = "<i4"
    U32 = "<u4"
    I64 = "<i8"
    U64 = "<u8"
    F32 = "<f4"
    STRING = "string"
    TABLE = "table"
    UNION = "union"


@dataclasses.dataclass(frozen=True)
class Slot:
    """Where and how a field of a table is stored."""

    number: int
    kind: Kind
    vector: bool
    default: Any
    align: int
    members: Any  # a table class, or for a union the (type field, {number: table class})


def slot(number: int, kind: Kind, default: Any = 0) -> Any:
    """A field that is one number, stored at slot `number` unless it equals `default`."""
    value = bool(default) if kind is Kind.BOOL else default
    return _field(Slot(number, kind, False, value, 0, None), default=value)


def string(number: int) -> Any:
    """A field that is a UTF-8 string; empty where the file has none."""
    return _field(Slot(number, Kind.STRING, False, "", 0, None), default="")


def vector(number: int, kind: Kind, align: int = 0) -> Any:
    """A field that is a vector of numbers (a NumPy array) or None; `align` its first byte."""
    return _field(Slot(number, kind, True, None, align, None), default=None)


def table(number: int, member: Callable[[], type]) -> Any:
    """A field that is another table or None."""
    return _field(Slot(number, Kind.TABLE, False, None, 0, member), default=None)


def tables(number: int, member: Callable[[], type]) -> Any:
    """A field that is a list of tables."""
    slot_ = Slot(number, Kind.TABLE, True, (), 0, member)
    return dataclasses.field(default_factory=list, metadata={"slot": slot_})


def union(number: int, type_field: str, members: Mapping[int, type]) -> Any:
    """A field that is one of `members`, as the number in `type_field` says; None if unknown."""
    return _field(Slot(number, Kind.UNION, False, None, 0, (type_field, members)), default=None)


def _field(slot_: Slot, default: Any) -> Any:
    return dataclasses.field(default=default, metadata={"slot": slot_})


def slots(cls: type) -> dict[str, Slot]:
    """The slots of a table class by field name, in the order of their declaration."""
    found = _SLOTS.get(cls)
    if found is None:
        found = {f.name: f.metadata["slot"] for f in dataclasses.fields(cls)}
        _SLOTS[cls] = found
    return found


_SLOTS: dict[type, dict[str, Slot]] = {}


def read(cls: type[T], data: Bytes, identifier: bytes, what: str) -> T:
    """The root table of `data` as a `cls`.

    Args:
        cls: the dataclass that declares the root table.
        data: a whole FlatBuffer.
        identifier: the four bytes that the format keeps at offset 4.
        what: the format's name, for messages.

    Raises:
        FormatError: `data` is not such a buffer; the message says where it breaks.
    """
    if len(data) < 8:
        raise FormatError(f"not a {what}: {len(data)} bytes are too few")
    if bytes(data[4:8]) != identifier:
        raise FormatError(
            f"not a {what}: its identifier is {bytes(data[4:8])!r}, not {identifier!r}"
        )
    reader = Reader(data, what)
    return cast(T, reader.table(cls, reader.offset(0), cls.__name__))


class Reader:
    """Bounds-checked access to one FlatBuffer."""

    def __init__(self, data: Bytes, what: str) -> None:
        self.data = data
        self._what = what
        # What a sound file describes takes its bytes once, or a few times where equal parts are
        # shared; more means that parts are shared so as to look bigger than the file is.
        self._budget = 4 * len(data) + 1024

    def _fail(self, where: str, problem: str) -> FormatError:
        return FormatError(
            f"damaged {self._what}: {where}: {problem}; it may be cut short: copy it again"
        )

    def _spend(self, count: int, where: str) -> None:
        self._budget -= count
        if self._budget < 0:
            raise self._fail(where, "it describes more than its size can hold")

    def number(self, code: str, at: int, where: str) -> Any:
        """The number of struct code `code` (without byte order) at byte `at`."""
        try:
            return struct.unpack_from("<" + code, self.data, at)[0]
        except struct.error:
            raise self._fail(
                where, f"offset {at} lies outside its {len(self.data)} bytes"
            ) from None

    def offset(self, at: int, where: str = "root") -> int:
        """The place that the forward offset at byte `at` points to."""
        distance = self.number("I", at, where)
        if not 4 <= distance <= len(self.data) - at - 4:
            raise self._fail(where, f"the offset at byte {at} points outside")
        return at + cast(int, distance)

    def field_position(self, at: int, number: int, where: str) -> int | None:
        """The byte at which the table at `at` keeps slot `number`; None where it has none."""
        vtable = at - self.number("i", at, where)
        if vtable < 0:
            raise self._fail(where, f"the table at byte {at} has its layout outside")
        size = self.number("H", vtable, where)
        entry = 4 + 2 * number
        if entry + 2 > size:
            return None
        distance = self.number("H", vtable + entry, where)
        return at + cast(int, distance) if distance else None

    def length(self, at: int, item: int, where: str) -> int:
        """The length of the vector at `at`, known to fit when its items take `item` bytes."""
        count = cast(int, self.number("I", at, where))
        if count * item > len(self.data) - at - 4:
            raise self._fail(where, f"a length of {count} at byte {at} exceeds the file")
        return count

    def table(self, cls: type, at: int, where: str) -> Any:
        """The table of class `cls` at byte `at`, with everything below it."""
        self._spend(1, where)
        values: dict[str, Any] = {}
        for name, slot_ in slots(cls).items():
            position = self.field_position(at, slot_.number, where)
            if position is not None:
                values[name] = self._value(slot_, position, f"{where}.{name}", values)
        return cls(**values)

    def _value(self, slot_: Slot, at: int, where: str, seen: Mapping[str, Any]) -> Any:
        kind = slot_.kind
        if slot_.vector:
            start = self.offset(at, where)
            if kind is Kind.TABLE:
                return self._table_list(slot_.members(), start, where)
            return self._numbers(kind, start, where)
        if kind is Kind.STRING:
            return self._string(self.offset(at, where), where)
        if kind is Kind.TABLE:
            return self.table(slot_.members(), self.offset(at, where), where)
        if kind is Kind.UNION:
            type_field, members = slot_.members
            member = members.get(seen.get(type_field, 0))
            return member and self.table(member, self.offset(at, where), where)
        return self.number(_STRUCT[kind], at, where)

    def _table_list(self, cls: type, at: int, where: str) -> list[Any]:
        count = self.length(at, 4, where)
        self._spend(count, where)
        return [
            self.table(cls, self.offset(at + 4 + 4 * i, where), f"{where}[{i}]")
            for i in range(count)
        ]

    def _numbers(self, kind: Kind, at: int, where: str) -> npt.NDArray[Any]:
        dtype = np.dtype(kind.value)
        count = self.length(at, dtype.itemsize, where)
        self._spend(count * dtype.itemsize, where)
        return np.frombuffer(self.data, dtype, count, at + 4)

    def _string(self, at: int, where: str) -> str:
        count = self.length(at, 1, where)
        self._spend(count, where)
        try:
            return bytes(self.data[at + 4 : at + 4 + count]).decode()
        except UnicodeDecodeError:
            raise self._fail(where, f"the string at byte {at} is not UTF-8") from None


_STRUCT = {
    Kind.BOOL: "?",
    Kind.U8: "B",
    Kind.I8: "b",
    Kind.I32: "i",
    Kind.U32: "I",
    Kind.I64: "q",
    Kind.U64: "Q",
    Kind.F32: "f",
}


def write(root: Any, identifier: bytes) -> memoryview:
    """The bytes of the table `root` and of all below it, as one FlatBuffer.

    Raises:
        FormatError: they are more than the 2 GiB that offsets reach.
    """
    import flatbuffers

    size = _payload(root) + 4096
    if size > _MAX_BYTES:
        raise FormatError(f"{size} bytes are too many: a FlatBuffer holds 2 GiB")
    # The builder copies everything when it grows; ask for enough at the start.
    builder = flatbuffers.Builder(size)
    builder.Finish(_write_table(builder, root), identifier)
    return memoryview(builder.Bytes)[builder.Head() :]


def _payload(value: Any) -> int:
    """About how many bytes `value` takes: its vectors, plus what a table costs."""
    total = 64
    for name, slot_ in slots(type(value)).items():
        item = getattr(value, name)
        if item is None:
            continue
        if slot_.kind in (Kind.TABLE, Kind.UNION):
            total += sum(map(_payload, item if slot_.vector else [item]))
        elif slot_.kind is Kind.STRING:
            total += len(item) + 8
        elif slot_.vector:
            total += np.asarray(item).nbytes + slot_.align + 8
    return total


def _write_table(builder: Any, value: Any) -> int:
    declared = slots(type(value))
    children: dict[str, int] = {}
    for name, slot_ in declared.items():
        item = getattr(value, name)
        if item is not None:
            offset = _write_child(builder, slot_, item)
            if offset is not None:
                children[name] = offset
    builder.StartObject(1 + max((s.number for s in declared.values()), default=-1))
    for name, slot_ in declared.items():
        if name in children:
            builder.PrependUOffsetTRelativeSlot(slot_.number, children[name], 0)
        elif not slot_.vector and slot_.kind in _PREPEND:
            prepend = getattr(builder, f"Prepend{_PREPEND[slot_.kind]}Slot")
            prepend(slot_.number, getattr(value, name), slot_.default)
    return cast(int, builder.EndObject())


def _write_child(builder: Any, slot_: Slot, item: Any) -> int | None:
    """The offset of what the table only points to; None for numbers and for empty strings."""
    if slot_.kind is Kind.STRING:
        return cast(int, builder.CreateString(item)) if item else None
    if slot_.kind in (Kind.TABLE, Kind.UNION) and not slot_.vector:
        return _write_table(builder, item)
    if not slot_.vector:
        return None
    if slot_.kind is Kind.TABLE:
        offsets = [_write_table(builder, child) for child in item]
        if not offsets:
            return None
        builder.StartVector(4, len(offsets), 4)
        for offset in reversed(offsets):
            builder.PrependUOffsetTRelative(offset)
        return cast(int, builder.EndVector())
    return _write_numbers(builder, slot_, item)


def _write_numbers(builder: Any, slot_: Slot, item: Any) -> int:
    array = np.ascontiguousarray(item, np.dtype(slot_.kind.value))
    builder.StartVector(array.itemsize, array.size, max(slot_.align, array.itemsize))
    head = builder.Head() - array.nbytes
    builder.head = head
    builder.Bytes[head : head + array.nbytes] = array.data.cast("B") if array.size else b""
    return cast(int, builder.EndVector())


_PREPEND = {
    Kind.BOOL: "Bool",
    Kind.U8: "Uint8",
    Kind.I8: "Int8",
    Kind.I32: "Int32",
    Kind.U32: "Uint32",
    Kind.I64: "Int64",
    Kind.U64: "Uint64",
    Kind.F32: "Float32",
}
