"""Raw Snappy: every kind of piece, what Google's own compressor made, and damage."""

import contextlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flatshot.errors import FormatError
from flatshot.formats.checkpoint import Checkpoint
from flatshot.formats.snappy import MOST_EXPANSION, decompress
from flatshot.formats.varint import write_varint

# A piece: bytes as they are, or (distance, length) of a copy; distances are cut to what is there.
PIECES = st.lists(
    st.binary(min_size=1, max_size=70) | st.tuples(st.integers(1, 70_000), st.integers(1, 64)),
    max_size=40,
)


def literal(data: bytes) -> bytes:
    """A piece of bytes as they are: a short length in the tag, else in as few bytes as it takes."""
    length = len(data) - 1
    if length < 60:
        return bytes([length << 2]) + data
    size = (length.bit_length() + 7) // 8
    return bytes([(59 + size) << 2]) + length.to_bytes(size, "little") + data


def copy(distance: int, length: int) -> bytes:
    """A piece that repeats, in the shortest of the three ways to say it."""
    if 4 <= length <= 11 and distance < 2048:
        return bytes([1 | length - 4 << 2 | distance >> 8 << 5, distance & 255])
    if distance < 65536:
        return bytes([2 | length - 1 << 2]) + distance.to_bytes(2, "little")
    return bytes([3 | length - 1 << 2]) + distance.to_bytes(4, "little")


@given(st.binary(min_size=1, max_size=9), st.sampled_from([1, 100, 10_000]), PIECES)
def test_every_kind_of_piece_is_read(
    start: bytes, times: int, pieces: list[bytes | tuple[int, int]]
) -> None:
    """Written piece by piece here, copied byte by byte as the description says it."""
    out = bytearray(start * times)
    compressed = literal(bytes(out))
    for piece in pieces:
        if isinstance(piece, bytes):
            out += piece
            compressed += literal(piece)
            continue
        distance, length = min(piece[0], len(out)), piece[1]
        compressed += copy(distance, length)
        for _ in range(length):
            out.append(out[-distance])
    assert decompress(write_varint(len(out)) + compressed) == out


def test_the_index_of_the_published_detector_is_read(data: Path) -> None:
    """Its blocks are compressed; it has a variable more than the 385 with values, the graph."""
    folder = data / "families2"
    zoo = Checkpoint(folder / "zoo2_fpnlite_320x320" / "ckpt-0")
    ours = Checkpoint(folder / "ssd_mobilenet_v2_fpnlite_320x320_coco17" / "ckpt-0")
    assert {name: v.shape for name, v in zoo.items()} == {name: v.shape for name, v in ours.items()}
    assert len(zoo) == 386


@given(st.binary(max_size=300))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    """With a FormatError, and never more than the promised expansion."""
    with contextlib.suppress(FormatError):
        assert len(decompress(data)) <= MOST_EXPANSION * len(data)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "runs past the end"),
        (write_varint(2**40) + literal(b"abc"), "claim to hold"),
        (b"\x05" + literal(b"abc"), "hold 3, not the 5"),
        (b"\x02" + literal(b"abc"), "more than the 2"),
        (b"\x03\xf4\x02", "within a tag"),
        (b"\x03\x08ab", "within a literal"),
        (b"\x08" + literal(b"abc") + b"\x01", "within a tag"),
        (b"\x08" + literal(b"abc") + copy(4, 5), "reaches 4 back, of 3"),
        (b"\x08" + literal(b"abc") + b"\x05\x00", "reaches 0 back"),
    ],
)
def test_damage_is_refused(data: bytes, reason: str) -> None:
    """With a reason."""
    with pytest.raises(FormatError, match=reason):
        decompress(data)
