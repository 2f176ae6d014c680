"""Pixels of every depth and colour space that image files have, as 8-bit RGB."""

import logging
from typing import Any

import numpy as np
import numpy.typing as npt

from flatshot.errors import ImageError

_log = logging.getLogger("flatshot")
_SAVE = "save the image with 8 or 16 bits a channel"
# Pillow keeps 16-bit grey of some formats in 32-bit numbers.
_SIXTEEN_BITS = {"PNG", "PPM", "JPEG2000"}
# Where 16 bits hold 12 or fewer, as of thermal and medical cameras, the picture is all but black.
_DARK = 4096


def to_rgb(image: Any) -> npt.NDArray[np.uint8]:
    """The pixels of a Pillow image: (height, width, 3) uint8.

    They are those of Pillow's `convert("RGB")`, but for 16-bit grey, which Pillow clips at 255 and
    of which the high byte is taken, as of 16-bit colour.

    Raises:
        ImageError: the numbers have no range that the file tells (floating point, 32 bits), or the
            colour space is none that Pillow makes RGB of.
    """
    mode = image.mode
    if mode.startswith("I;16") or (mode == "I" and image.format in _SIXTEEN_BITS):
        return _of_sixteen_bits(np.asarray(image))
    if mode in ("I", "F"):
        kind = "floating-point" if mode == "F" else "32-bit"
        raise ImageError(f"{kind} pixels, whose range the file does not tell: {_SAVE}")
    if mode in ("LAB", "HSV") or ";" in mode:
        raise ImageError(f"pixels of kind {mode}, which are not taken: save the image as RGB")
    if mode == "P" and "transparency" in image.info:
        # Pillow asks for this step when the palette carries transparency; the colours are the same.
        image = image.convert("RGBA")
    return np.array(image.convert("RGB"), np.uint8)


def _of_sixteen_bits(values: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
    low, high = int(values.min(initial=0)), int(values.max(initial=0))
    if low < 0 or high > 0xFFFF:
        raise ImageError(f"grey pixels from {low} to {high} are more than 16 bits: {_SAVE}")
    if 0 < high < _DARK:
        _log.warning(
            "a 16-bit image uses only %d of its 65536 levels and is all but black: scale it first",
            high + 1,
        )
    grey = (values >> 8).astype(np.uint8)
    return np.repeat(grey[:, :, None], 3, axis=2)
