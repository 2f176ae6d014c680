"""Image files from strangers: which formats are opened at all, and how much they may unfold to.

Pillow knows some fifty formats, one of which is a program that it gives to an interpreter
(PostScript). Here it opens those that photographs come in. What decoding would take is told by the
header: it is bounded before a single pixel is made.
"""

import io
from typing import Any

from flatshot.errors import ImageError

# The quickest first: these are known to Pillow from the start.
_COMMON = ("JPEG", "PNG", "BMP", "DIB", "GIF", "PPM", "MPO")
_OTHERS = ("WEBP", "TIFF", "AVIF", "JPEG2000", "TGA", "QOI")
# The largest sensors of photographers have 61 million; a quarter of a gigabyte of RGBA.
MAX_PIXELS = 1 << 26
# Small files can unfold to more: an even surface takes a thousandth of its pixels in most formats.
# Above what costs little, no honest picture is smaller than this.
_FREE_PIXELS = 1 << 23
_PIXELS_A_BYTE = 4096
# A progressive JPEG goes over all of its coefficients once a scan. Encoders write about ten scans.
_MAX_SCANS = 100
_MAX_SCANNED = 1 << 31
_SCAN = b"\xff\xda"


def open_image(data: bytes) -> Any:
    """The image in `data` as Pillow opens it, its pixels not yet decoded.

    Raises:
        ImageError: it would unfold to too much.
        PIL.UnidentifiedImageError: it is of none of the formats that are opened.
    """
    from PIL import Image, UnidentifiedImageError

    Image.preinit()
    try:
        image = Image.open(io.BytesIO(data), formats=_known(_COMMON))
    except UnidentifiedImageError:
        Image.init()
        image = Image.open(io.BytesIO(data), formats=_known(_OTHERS))
    check_size(len(data), image.width, image.height)
    if image.info.get("compression") in ("jpeg", "tiff_jpeg") or image.format in ("JPEG", "MPO"):
        check_scans(data, image.width, image.height)
    return image


def _known(formats: tuple[str, ...]) -> list[str]:
    """Those of `formats` that this Pillow was built with."""
    from PIL import Image

    return [name for name in formats if name in Image.OPEN]


def check_size(length: int, width: int, height: int) -> None:
    """Refuse an image of more pixels than are taken, or than `length` bytes can honestly hold.

    Raises:
        ImageError: it is so.
    """
    pixels = width * height
    if pixels > MAX_PIXELS:
        raise ImageError(f"{width} x {height} pixels are more than the {MAX_PIXELS} that are taken")
    if pixels > _FREE_PIXELS and pixels > _PIXELS_A_BYTE * length:
        raise ImageError(
            f"{length} bytes say that they are {width} x {height} pixels: the file is damaged, or "
            "made to fill the memory"
        )


def check_scans(data: bytes, width: int, height: int) -> None:
    """Refuse a JPEG that goes over its pixels so often that decoding would take minutes.

    Raises:
        ImageError: it is so.
    """
    # Compressed data never holds these two bytes; a thumbnail does, which adds a few.
    scans = data.count(_SCAN)
    if scans > _MAX_SCANS or scans * width * height > _MAX_SCANNED:
        raise ImageError(
            f"a JPEG of {width} x {height} pixels in {scans} scans: the file is made to take long; "
            "save it anew"
        )
