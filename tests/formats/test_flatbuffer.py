# ruff: noqa: RUF009 - fields are made by `slot` and its kin
"""FlatBuffers from declared tables: round trip, and buffers that lie about themselves."""

import struct
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flatshot.errors import FormatError
from flatshot.formats import flatbuffer
from flatshot.formats.flatbuffer import Kind, slot, string, table, tables, vector


@dataclass
class Leaf:
    """One field of each kind of number."""

    flag: bool = slot(0, Kind.BOOL)
    small: int = slot(1, Kind.I8, -1)
    byte: int = slot(2, Kind.U8)
    int32: int = slot(3, Kind.I32, 7)
    uint32: int = slot(5, Kind.U32)
    int64: int = slot(6, Kind.I64)
    uint64: int = slot(7, Kind.U64)
    real: float = slot(8, Kind.F32, 0.0)
    name: str = string(9)


@dataclass
class Tree:
    """A table in a table, and many."""

    one: Leaf | None = table(0, lambda: Leaf)
    many: list["Tree"] = tables(1, lambda: Tree)
    numbers: Any = vector(2, Kind.I64, align=16)
    extra: int = slot(3, Kind.I32)


def i(bits: int, *, signed: bool = True) -> st.SearchStrategy[int]:
    """Integers of so many bits."""
    low = -(2 ** (bits - 1)) if signed else 0
    return st.integers(low, low + 2**bits - 1)


leaves = st.builds(
    Leaf,
    st.booleans(),
    i(8),
    i(8, signed=False),
    i(32),
    i(32, signed=False),
    i(64),
    i(64, signed=False),
    st.floats(width=32, allow_nan=False),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=8),
)
lists = st.none() | st.lists(i(64), max_size=5)
trees = st.recursive(
    st.builds(Tree, st.none() | leaves, st.just([]), lists, st.just(0)),
    lambda inner: st.builds(Tree, st.none() | leaves, st.lists(inner, max_size=3), lists, i(32)),
    max_leaves=8,
)


def plain(value: Any) -> Any:
    """A tree in tuples and lists."""
    if isinstance(value, Tree):
        numbers = None if value.numbers is None else list(map(int, value.numbers))
        return plain(value.one), [plain(item) for item in value.many], numbers, value.extra
    return value


@given(trees)
def test_what_is_written_reads_back_equal(tree: Tree) -> None:
    """Any table of tables, with defaults left out of the file."""
    data = flatbuffer.write(tree, b"TREE")
    assert plain(flatbuffer.read(Tree, data, b"TREE", "tree")) == plain(tree)


def test_a_field_equal_to_its_default_takes_no_bytes_and_comes_back() -> None:
    """FlatBuffers leaves it out; the reader fills it in."""
    default = flatbuffer.write(Tree(one=Leaf()), b"TREE")
    changed = flatbuffer.write(Tree(one=Leaf(int32=8)), b"TREE")
    assert len(default) < len(changed)
    assert flatbuffer.read(Tree, default, b"TREE", "tree").one == Leaf(small=-1, int32=7)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "not a tree: 0 bytes are too few"),
        (struct.pack("<I", 8) + b"TFL3", "identifier is b'TFL3', not b'TREE'"),
        (struct.pack("<I", 2**32 - 1) + b"TREE", "points outside"),
        (struct.pack("<I", 0) + b"TREE", "points outside"),
        (struct.pack("<I4si", 8, b"TREE", 99), "its layout outside"),
        (struct.pack("<I4si", 8, b"TREE", -99), "lies outside its 12 bytes"),
    ],
)
def test_an_offset_that_points_outside_is_refused(data: bytes, reason: str) -> None:
    """With the place in the message."""
    with pytest.raises(FormatError, match=reason):
        flatbuffer.read(Tree, data, b"TREE", "tree")


def test_a_vector_longer_than_the_file_is_refused() -> None:
    """Before anything is allocated for it."""
    data = bytearray(flatbuffer.write(Tree(numbers=[1, 2, 3]), b"TREE"))
    at = bytes(data).index(struct.pack("<Iq", 3, 1)[:4], 12)
    struct.pack_into("<I", data, at, 2**32 - 1)
    with pytest.raises(FormatError, match=r"Tree\.numbers: a length of 4294967295"):
        flatbuffer.read(Tree, data, b"TREE", "tree")


def test_tables_that_share_their_parts_cannot_grow_beyond_the_file() -> None:
    """Thirty levels of two references to the same table would be 2**30 tables."""
    data = bytearray(struct.pack("<I4s", 12, b"TREE") + bytes(4))
    for level in range(31):
        at = len(data)
        last = level == 30
        # The layout (8 bytes) lies behind the table (8 bytes) and its vector (12 bytes).
        data += struct.pack("<iI", -20, 4) + struct.pack("<I", 0 if last else 2)
        behind = at + 28
        data += struct.pack("<II", behind - (at + 12), behind - (at + 16)) if not last else bytes(8)
        data += struct.pack("<HHHH", 8, 8, 0, 4)
    with pytest.raises(FormatError, match="more than its size can hold"):
        flatbuffer.read(Tree, data, b"TREE", "tree")


def test_more_than_two_gibibytes_are_refused() -> None:
    """Offsets do not reach further; nothing is allocated."""
    huge = np.broadcast_to(np.int64(1), (2**28,))
    with pytest.raises(FormatError, match="a FlatBuffer holds 2 GiB"):
        flatbuffer.write(Tree(numbers=huge), b"TREE")
