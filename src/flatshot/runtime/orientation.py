"""How a photo was held: the orientation in its EXIF data, and turning pixels by it."""

import struct
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

Pixels = npt.NDArray[np.uint8]
# "upright" turns the image as every viewer does; "stored" leaves it; a (width, height) is the size
# that a data set lists, and turns it only where it has that size turned and not as it is stored.
Orient = Literal["upright", "stored"] | tuple[int, int]

_ORIENTATION = 0x0112
# Markers of JPEG segments that have no length: restarts, beginning and end.
_BARE = {0x01, *range(0xD0, 0xD9)}


def turned(pixels: Pixels, orientation: int, orient: Orient) -> Pixels:
    """`pixels` as `orient` wants them.

    Args:
        pixels: (h, w, 3) uint8 as stored.
        orientation: EXIF's, 1 to 8; others count as 1.
        orient: see `Orient`.

    Returns:
        (h, w, 3) or, turned by a quarter, (w, h, 3).
    """
    if orient == "stored" or not 2 <= orientation <= 8:
        return pixels
    if isinstance(orient, tuple):
        height, width = pixels.shape[:2]
        shown = (height, width) if orientation >= 5 else (width, height)
        if orient != shown or orient == (width, height):
            return pixels
    return np.ascontiguousarray(_turn(pixels, orientation))


def _turn(pixels: Pixels, orientation: int) -> Pixels:
    # EXIF 2.3, tag 0x0112: which edge of the picture the first row and the first column are.
    if orientation >= 5:
        pixels = pixels.transpose(1, 0, 2)
    rows = -1 if orientation in (3, 4, 7, 8) else 1
    columns = -1 if orientation in (2, 3, 6, 7) else 1
    return pixels[::rows, ::columns]


def jpeg_orientation(data: bytes) -> int:
    """The orientation that a JPEG's EXIF segment tells, 1 to 8; 1 where it tells none."""
    place = 2
    while place + 4 <= len(data) and data[place] == 0xFF:
        marker, length = data[place + 1], int.from_bytes(data[place + 2 : place + 4], "big")
        if marker == 0xFF:  # a fill byte
            place += 1
        elif marker in _BARE:
            place += 2
        elif marker == 0xDA:  # the scan: no EXIF comes after it
            break
        else:
            segment = data[place + 4 : place + 2 + length]
            if marker == 0xE1 and segment[:6] == b"Exif\0\0":
                return _in_tiff(segment[6:])
            place += 2 + length
    return 1


def _in_tiff(data: bytes) -> int:
    """The orientation in the first directory of a TIFF structure."""
    order = {b"II": "<", b"MM": ">"}.get(data[:2])
    if order is None or len(data) < 8:
        return 1
    (start,) = struct.unpack(f"{order}I", data[4:8])
    (count,) = struct.unpack(f"{order}H", data[start : start + 2].ljust(2, b"\0"))
    for number in range(count):
        entry = data[start + 2 + 12 * number : start + 14 + 12 * number]
        if len(entry) < 12:
            break
        tag, kind, _, value = struct.unpack(f"{order}HHIH", entry[:10])
        if tag == _ORIENTATION and kind == 3:
            return value if 1 <= value <= 8 else 1
    return 1


def pillow_orientation(image: Any) -> int:
    """The orientation that an opened Pillow image tells, 1 to 8; 1 where it tells none."""
    try:
        value = image.getexif().get(_ORIENTATION, 1)
    except (ValueError, TypeError, LookupError, OSError, SyntaxError, struct.error):
        return 1  # damage to what only describes the pixels is no damage to them
    return value if isinstance(value, int) and 1 <= value <= 8 else 1
