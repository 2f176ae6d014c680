"""Sorted string tables: round trip, and damage that is refused."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flatshot.errors import ChecksumError, FormatError, UnsupportedError
from flatshot.formats.checksum import masked_crc32c
from flatshot.formats.sstable import MAGIC, read_table, write_table
from flatshot.formats.varint import read_varint, write_varint


@given(st.dictionaries(st.binary(max_size=20), st.binary(max_size=30), max_size=60))
def test_what_is_written_reads_back_equal(pairs: dict[bytes, bytes]) -> None:
    """Any keys and values, in the order of the keys, over several restart intervals."""
    assert list(read_table(write_table(sorted(pairs.items())))) == sorted(pairs.items())


def test_a_table_of_several_blocks_reads_back_equal() -> None:
    """Each block holds 256 KiB."""
    pairs = [(b"%06d" % i, bytes(1000)) for i in range(900)]
    assert list(read_table(write_table(pairs))) == pairs


@given(st.integers(0, 2**64 - 1))
def test_varints_read_back_equal(number: int) -> None:
    """Up to 64 bits."""
    data = write_varint(number)
    assert read_varint(data, 0) == (number, len(data))


def test_a_varint_that_does_not_end_is_refused() -> None:
    """Of eleven bytes, and at the end of the data."""
    with pytest.raises(FormatError, match="longer than 64 bits"):
        read_varint(b"\xff" * 11, 0)
    with pytest.raises(FormatError, match="runs past the end"):
        read_varint(b"\xff", 0)


def block(body: bytes, restarts: int = 0, kind: int = 0) -> bytes:
    """A block with its trailer."""
    data = body + struct.pack("<I", restarts) + bytes([kind])
    return data + struct.pack("<I", masked_crc32c(data))


def entry(shared: int, key: bytes, value: bytes) -> bytes:
    """An entry of a block."""
    return write_varint(shared) + write_varint(len(key)) + write_varint(len(value)) + key + value


def table(data_block: bytes, *handles: tuple[int, int]) -> bytes:
    """A table with one block of data, to which the index points by these handles."""
    body = b"".join(
        entry(0, b"%d" % i, write_varint(at) + write_varint(size))
        for i, (at, size) in enumerate(handles or [(0, len(data_block) - 5)])
    )
    index = block(body)
    place = write_varint(0) * 2 + write_varint(len(data_block)) + write_varint(len(index) - 5)
    return data_block + index + place.ljust(40, b"\0") + struct.pack("<Q", MAGIC)


def snappy_block(body: bytes) -> bytes:
    """A block compressed to one piece; the checksum is of the compressed bytes."""
    data = write_varint(len(body)) + bytes([len(body) - 1 << 2]) + body + b"\x01"
    return data + struct.pack("<I", masked_crc32c(data))


def test_a_compressed_block_is_read() -> None:
    """The same pairs as of the plain block, restarts and all."""
    body = entry(0, b"ab", b"1") + entry(1, b"c", b"2") + struct.pack("<I", 0)
    assert list(read_table(table(snappy_block(body)))) == [(b"ab", b"1"), (b"ac", b"2")]


def test_the_handmade_table_of_these_tests_is_sound() -> None:
    """The refusals below have the reason that they say."""
    data = table(block(entry(0, b"ab", b"1") + entry(1, b"c", b"2")))
    assert list(read_table(data)) == [(b"ab", b"1"), (b"ac", b"2")]


LONG = entry(0, b"k" * 4000, b"")


@pytest.mark.parametrize(
    ("data", "error", "reason"),
    [
        (b"", FormatError, "no table footer"),
        (bytes(40) + struct.pack("<Q", MAGIC), FormatError, "lies outside"),
        (table(block(b""), (2**62, 4)), FormatError, "lies outside the table"),
        (table(block(b""), (0, 2**62)), FormatError, "overlap"),
        (table(block(entry(0, b"a", b"")), *[(0, 8)] * 9), FormatError, "out of order"),
        (table(block(b"", 99), *[(0, 900)] * 2), FormatError, "outside|overlap"),
        (table(block(b"", restarts=2**32 - 1)), FormatError, "claims 4294967295 restarts"),
        (table(block(entry(9, b"a", b""))), FormatError, "longer than the block"),
        (table(block(b"\0\x7f\0")), FormatError, "longer than the block"),
        (table(block(entry(0, b"b", b"") + entry(0, b"a", b""))), FormatError, "'a' is out of"),
        (table(block(entry(0, b"a", b"") * 2)), FormatError, "out of order"),
        (table(block(b"", kind=2)), UnsupportedError, "compressed in the way 2"),
        (table(block(b"\x09", kind=1)), FormatError, "Snappy hold 2, not the 9"),
        (table(snappy_block(b"abc")), FormatError, "holds 3 bytes"),
        (table(bytes(9)), ChecksumError, "checksum differs"),
        (
            table(block(LONG + b"".join(entry(4000 + i, b"k", b"") for i in range(3000)))),
            FormatError,
            "too long for it",
        ),
    ],
)
def test_a_damaged_table_is_refused(data: bytes, error: type[Exception], reason: str) -> None:
    """With a reason, and without taking more than the table's size."""
    with pytest.raises(error, match=reason):
        list(read_table(data))
