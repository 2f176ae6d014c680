"""The masked CRC-32C of TensorFlow."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flatshot.formats.checksum import _CHUNK, masked_crc32c


def unmasked(data: bytes | memoryview) -> int:
    """The CRC-32C without the mask; source: LevelDB's `Unmask`."""
    rotated = (masked_crc32c(data) - 0xA282EAD8) & 0xFFFFFFFF
    return (rotated >> 17 | rotated << 15) & 0xFFFFFFFF


@pytest.mark.parametrize(
    ("data", "want"),
    [
        (b"", 0),
        (b"123456789", 0xE3069283),
        (bytes(32), 0x8A9136AA),
        (b"\xff" * 32, 0x62A8AB43),
        (bytes(range(32)), 0x46DD794E),
    ],
)
def test_the_checksum_is_crc32c(data: bytes, want: int) -> None:
    """The vectors of RFC 3720, B.4, and the usual check value."""
    assert unmasked(data) == want


@given(st.binary(max_size=40))
def test_the_checksum_is_that_of_its_definition(data: bytes) -> None:
    """Bit by bit with the reversed polynomial 0x82F63B78."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    assert unmasked(data) == crc ^ 0xFFFFFFFF


def test_data_is_summed_in_portions_without_a_seam() -> None:
    """A long run of zeros equals what the library says of it at once."""
    google_crc32c = pytest.importorskip("google_crc32c")
    data = bytes(_CHUNK - 8) + bytes(range(64))
    assert unmasked(memoryview(data)) == google_crc32c.value(data)
