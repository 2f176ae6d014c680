"""Whatever an image comes as, to pixels: a path, a file's bytes, an array, a Pillow image."""

from typing import Any, cast

import numpy as np
import numpy.typing as npt

from flatshot.errors import ImageError
from flatshot.formats.files import StrPath
from flatshot.runtime import images
from flatshot.runtime.depth import to_rgb
from flatshot.runtime.images import Pixels
from flatshot.runtime.orientation import Orient, pillow_orientation, turned

Image = StrPath | bytes | npt.NDArray[np.uint8] | Any
"""A path, the bytes of an image file, (h, w, 3) uint8, or a `PIL.Image.Image`."""


def to_pixels(image: Image, orient: Orient = "upright", bgr: bool = False) -> Pixels:
    """The pixels of `image`, (h, w, 3) uint8 RGB.

    Args:
        image: a path, the bytes of an image file, an array, or a Pillow image.
        orient: how files and Pillow images are turned by their EXIF data, see `images.decode`.
        bgr: an array has its channels in the order blue, green, red, as OpenCV gives them.

    Raises:
        FileError: the file cannot be read.
        ImageError: it is no image, or damaged; or an array of another shape or type.
    """
    if isinstance(image, bytes):
        return images.decode(image, orient)
    if isinstance(image, np.ndarray):
        return _checked(image, bgr)
    if hasattr(image, "getexif") and hasattr(image, "convert"):
        return turned(to_rgb(image), pillow_orientation(image), orient)
    return images.load(cast(StrPath, image), orient)


def _checked(image: npt.NDArray[Any], bgr: bool) -> Pixels:
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or not image.size:
        raise ImageError(
            f"an image as an array must be uint8 (height, width, 3), not {image.dtype} "
            f"{image.shape}"
        )
    return np.ascontiguousarray(image[:, :, ::-1]) if bgr else image
