"""The sorted string table in which TensorFlow keeps the index of a checkpoint.

It is LevelDB's: blocks of key-value pairs with shared key prefixes, an index block that points to
them, and a footer. Source: LevelDB's `doc/table_format.md`, TensorFlow's `core/lib/io/format.cc`.
"""

import struct
from collections.abc import Iterable, Iterator

from flatshot.errors import ChecksumError, FormatError, UnsupportedError
from flatshot.formats import snappy
from flatshot.formats.checksum import masked_crc32c
from flatshot.formats.sniffing import HEAD, mistaken
from flatshot.formats.varint import read_varint, write_varint

MAGIC = 0xDB4775248B80FB57
FOOTER_SIZE = 48
_TRAILER_SIZE = 5  # a byte for the compression, four for the checksum of all before it
_PLAIN, _SNAPPY = 0, 1
_RESTART_INTERVAL = 16
_BLOCK_SIZE = 262144
# Keys share their beginnings within a restart interval at most, so those of a sound table take
# no more than this many times its size. (A table of another interval has room for some more.)
_EXPANSION = 4 * _RESTART_INTERVAL


def is_table(data: bytes | memoryview) -> bool:
    """Whether `data` ends as a table does."""
    return len(data) >= FOOTER_SIZE and _magic(data) == MAGIC


def read_table(data: bytes | memoryview) -> Iterator[tuple[bytes, bytes]]:
    """The pairs of key and value in the bytes of a table, in the order of their keys.

    Raises:
        FormatError: `data` is no table, or an offset in it points outside.
        ChecksumError: a block's bytes are not those that were written.
        UnsupportedError: a block is compressed by something else than Snappy.
    """
    if not is_table(data):
        other = mistaken(data[:HEAD], "the index of a checkpoint") if len(data) else None
        raise FormatError(other or f"no table footer at the end of its {len(data)} bytes")
    footer = bytes(data[-FOOTER_SIZE:])
    _, position = _read_handle(footer, 0)
    index, _ = _read_handle(footer, position)
    budget = len(data)
    previous: bytes | None = None
    for _, handle in _read_block(data, *index):
        (offset, size), _ = _read_handle(handle, 0)
        # Blocks of a sound table do not overlap, so together they are no larger than it.
        budget -= size + 1
        if budget < 0:
            raise FormatError("its blocks overlap")
        for key, value in _read_block(data, offset, size):
            if previous is not None and key <= previous:
                raise FormatError(f"the key {key[:80]!r} is out of order")
            previous = key
            yield key, value


def write_table(pairs: Iterable[tuple[bytes, bytes]]) -> bytes:
    """A table of `pairs`, whose keys must be in ascending order."""
    out = bytearray()
    index = []
    block: list[tuple[bytes, bytes]] = []
    size = 0
    for key, value in pairs:
        block.append((key, value))
        size += len(key) + len(value)
        if size >= _BLOCK_SIZE:
            index.append((key, _append_block(out, block)))
            block, size = [], 0
    if block:
        index.append((block[-1][0], _append_block(out, block)))
    metaindex_handle = _append_block(out, [])
    index_handle = _append_block(out, index)
    handles = (metaindex_handle + index_handle).ljust(FOOTER_SIZE - 8, b"\0")
    return bytes(out) + handles + struct.pack("<Q", MAGIC)


def _magic(data: bytes | memoryview) -> int:
    return int.from_bytes(data[-8:], "little")


def _read_handle(data: bytes, position: int) -> tuple[tuple[int, int], int]:
    offset, position = read_varint(data, position)
    size, position = read_varint(data, position)
    return (offset, size), position


def _read_block(data: bytes | memoryview, offset: int, size: int) -> Iterator[tuple[bytes, bytes]]:
    end = offset + size
    if end + _TRAILER_SIZE > len(data) - FOOTER_SIZE or size < 4:
        raise FormatError(f"the block at {offset} of {size} bytes lies outside the table")
    (stored,) = struct.unpack_from("<I", data, end + 1)
    if masked_crc32c(data[offset : end + 1]) != stored:
        raise ChecksumError(f"the block at {offset} is damaged: its checksum differs")
    block = bytes(data[offset:end])
    if data[end] == _SNAPPY:
        block = snappy.decompress(block)
    elif data[end] != _PLAIN:
        raise UnsupportedError(f"the block at {offset} is compressed in the way {data[end]}")
    if len(block) < 4:
        raise FormatError(f"the block at {offset} holds {len(block)} bytes")
    (restarts,) = struct.unpack_from("<I", block, len(block) - 4)
    limit = len(block) - 4 - 4 * restarts
    if limit < 0:
        raise FormatError(f"the block at {offset} claims {restarts} restarts")
    # By what is stored: a compressed block of small size must not make keys without end either.
    yield from _read_entries(block[:limit], budget=_EXPANSION * size)


def _read_entries(block: bytes, budget: int) -> Iterator[tuple[bytes, bytes]]:
    position = 0
    key = b""
    while position < len(block):
        shared, position = read_varint(block, position)
        unshared, position = read_varint(block, position)
        length, position = read_varint(block, position)
        if shared > len(key) or position + unshared + length > len(block):
            raise FormatError("an entry of a block is longer than the block")
        key = key[:shared] + block[position : position + unshared]
        position += unshared
        budget -= len(key)
        if budget < 0:
            raise FormatError("the keys of a block are too long for it")
        yield key, block[position : position + length]
        position += length


def _append_block(out: bytearray, pairs: list[tuple[bytes, bytes]]) -> bytes:
    """Write a block at the end of `out`; the handle by which it is found."""
    block = bytearray()
    restarts = [0]
    previous = b""
    for number, (key, value) in enumerate(pairs):
        shared = 0
        if number % _RESTART_INTERVAL:
            shared = _shared_prefix(previous, key)
        elif number:
            restarts.append(len(block))
        block += write_varint(shared) + write_varint(len(key) - shared) + write_varint(len(value))
        block += key[shared:] + value
        previous = key
    block += struct.pack(f"<{len(restarts) + 1}I", *restarts, len(restarts))
    handle = write_varint(len(out)) + write_varint(len(block))
    block.append(_PLAIN)
    out += block + struct.pack("<I", masked_crc32c(block))
    return handle


def _shared_prefix(left: bytes, right: bytes) -> int:
    length = min(len(left), len(right))
    return next((i for i in range(length) if left[i] != right[i]), length)
