"""Numbers in base 128, least significant group first: of LevelDB, Snappy and protobuf."""

from flatshot.errors import FormatError


def read_varint(data: bytes | memoryview, position: int) -> tuple[int, int]:
    """The base-128 number at `position`, and the position after it.

    Raises:
        FormatError: it runs past the end or is longer than 64 bits.
    """
    result = 0
    for shift in range(0, 70, 7):
        if position >= len(data):
            raise FormatError("a number runs past the end")
        byte = data[position]
        position += 1
        result |= (byte & 0x7F) << shift
        if byte < 0x80:
            return result, position
    raise FormatError("a number is longer than 64 bits")


def write_varint(number: int) -> bytes:
    """`number` in base 128, least significant group first."""
    out = bytearray()
    while number >= 0x80:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)
