"""Raw Snappy, in which some TensorFlow builds keep the blocks of a checkpoint's index.

A length, then pieces: bytes as they are, and copies of what has come out before. Source: Google's
`snappy/format_description.txt`. Without the framing of Snappy files, which has checksums; here the
table around it has them.
"""

from flatshot.errors import FormatError
from flatshot.formats.varint import read_varint

# A copy of 64 bytes is told in 3: nothing comes out larger than this many times what went in.
MOST_EXPANSION = 22


def decompress(data: bytes) -> bytes:
    """What was compressed to `data`; time and memory are in proportion to its length.

    Raises:
        FormatError: `data` is no such thing.
    """
    size, position = read_varint(data, 0)
    if size > MOST_EXPANSION * len(data):
        raise FormatError(f"{len(data)} bytes of Snappy claim to hold {size}")
    out = bytearray()
    while position < len(data):
        tag = data[position]
        position += 1
        if tag & 3:
            length, distance, position = _read_copy(data, tag, position)
            _copy(out, distance, length)
        else:
            length, position = _read_literal(data, tag >> 2, position)
            if length > len(data) - position:
                raise FormatError("bytes of Snappy end within a literal")
            out += data[position : position + length]
            position += length
        if len(out) > size:
            raise FormatError(f"bytes of Snappy hold more than the {size} that they claim")
    if len(out) != size:
        raise FormatError(f"bytes of Snappy hold {len(out)}, not the {size} that they claim")
    return bytes(out)


def _read_literal(data: bytes, code: int, position: int) -> tuple[int, int]:
    """The length of a literal, and where it begins: short lengths stand in the tag itself."""
    if code < 60:
        return code + 1, position
    length, position = _read_number(data, position, code - 59)
    return length + 1, position


def _read_copy(data: bytes, tag: int, position: int) -> tuple[int, int, int]:
    """Length and distance of a copy, and the position after it."""
    if tag & 3 == 1:
        low, position = _read_number(data, position, 1)
        return (tag >> 2 & 7) + 4, tag >> 5 << 8 | low, position
    distance, position = _read_number(data, position, 2 if tag & 3 == 2 else 4)
    return (tag >> 2) + 1, distance, position


def _read_number(data: bytes, position: int, size: int) -> tuple[int, int]:
    if size > len(data) - position:
        raise FormatError("bytes of Snappy end within a tag")
    return int.from_bytes(data[position : position + size], "little"), position + size


def _copy(out: bytearray, distance: int, length: int) -> None:
    """Append `length` bytes that begin `distance` before the end; they may overlap themselves."""
    start = len(out) - distance
    if distance == 0 or start < 0:
        raise FormatError(f"a copy of Snappy reaches {distance} back, of {len(out)} bytes")
    piece = out[start : start + length]
    out += (piece * (length // len(piece) + 1))[:length]
