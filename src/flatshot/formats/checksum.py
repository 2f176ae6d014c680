"""The checksum that TensorFlow stores with tables and tensors."""

import google_crc32c

_CHUNK = 1 << 18


def masked_crc32c(data: bytes | bytearray | memoryview) -> int:
    """The CRC-32C of `data`, rotated by 15 bits, plus a constant.

    The mask keeps the checksum of data that itself holds checksums useful; source: LevelDB's
    `util/crc32c.h`.
    """
    crc = 0
    # The library takes nothing but `bytes`: copying by the chunk stays in the processor's cache.
    for start in range(0, len(data), _CHUNK):
        crc = google_crc32c.extend(crc, bytes(data[start : start + _CHUNK]))
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF
