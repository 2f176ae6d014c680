"""Images: from the bytes of a file to pixels, and from pixels to the size that a network takes."""

import functools
import os
import struct
import zlib
from collections.abc import Callable
from typing import Any, Literal, cast

import numpy as np
import numpy.typing as npt

from flatshot.errors import ConfigError, ImageError
from flatshot.formats.files import StrPath, read_bytes
from flatshot.formats.sniffing import kind_of, mistaken
from flatshot.runtime.depth import to_rgb
from flatshot.runtime.opening import check_scans, check_size, open_image
from flatshot.runtime.orientation import (
    Orient,
    jpeg_orientation,
    pillow_orientation,
    turned,
)

Pixels = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int64]
Resize = Literal["tensorflow", "pillow", "opencv"]
RESIZE_MODES: tuple[Resize, ...] = ("tensorflow", "pillow", "opencv")

# What Pillow raises on damaged files, beside the OSError that it means to raise; its warnings of
# damage count where the caller has made errors of them.
_DAMAGE = (
    ArithmeticError,
    AssertionError,
    EOFError,
    AttributeError,
    LookupError,
    MemoryError,
    OSError,
    RuntimeError,
    SyntaxError,
    TypeError,
    ValueError,
    Warning,
    struct.error,
    zlib.error,
)
_READ = {f"a {kind} image" for kind in ("JPEG", "PNG", "GIF", "BMP", "WebP")}
# Numbers that are interpolated at once: the rows of a band stay in the processor's cache.
_BAND = 40_000


def load(path: StrPath, orient: Orient = "upright") -> Pixels:
    """The pixels of the image file at `path`, as `decode` gives them.

    Raises:
        FileError: it is missing, a directory, or unreadable.
        ImageError: it is no image, or damaged; the message names it.
    """
    data = read_bytes(path)
    try:
        return decode(data, orient)
    except ImageError as error:
        raise ImageError(f"{os.fspath(path)}: {error}") from error


def decode(data: bytes, orient: Orient = "upright") -> Pixels:
    """The pixels of an image file's bytes: (height, width, 3) uint8, RGB.

    They are those of Pillow's `convert("RGB")`: grey becomes three equal channels, transparency is
    dropped; of 16-bit channels the high byte is taken. JPEGs take a quicker road with bit-equal
    results.

    Args:
        data: the bytes.
        orient: "upright" turns photos by the orientation in their EXIF data, as every viewer does;
            "stored" does not; a (width, height) is the size that the image should have, and turns
            it where it has that size only when turned.

    Raises:
        ImageError: the bytes are no image, are truncated or damaged, unfold to more than
            `opening.MAX_PIXELS` pixels, or hold numbers without a range (floating point, 32 bits).
    """
    if data[:2] == b"\xff\xd8":
        pixels = _decode_jpeg(data)
        if pixels is not None:
            return turned(pixels, jpeg_orientation(data), orient)
    return _decode_with_pillow(data, orient)


def _decode_jpeg(data: bytes) -> Pixels | None:
    """The pixels of a sound JPEG in RGB or grey; None for what Pillow should judge."""
    import simplejpeg

    try:
        height, width, colours, _ = simplejpeg.decode_jpeg_header(data)
        if colours not in ("YCbCr", "RGB", "Gray"):
            return None
        check_size(len(data), width, height)
        check_scans(data, width, height)
        pixels = simplejpeg.decode_jpeg(data, "RGB", fastdct=False, fastupsample=False)
    except (ValueError, LookupError, RuntimeError):
        # Damaged, truncated or of an unusual kind: Pillow decides which, and says so.
        return None
    return cast(Pixels, pixels)


def _decode_with_pillow(data: bytes, orient: Orient) -> Pixels:
    from PIL import Image, UnidentifiedImageError

    try:
        with open_image(data) as image:
            return turned(to_rgb(image), pillow_orientation(image), orient)
    except UnidentifiedImageError:
        raise ImageError(_told(data)) from None
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise ImageError(f"more pixels than are taken: {error}") from error
    except _DAMAGE as error:
        raise ImageError(f"truncated or damaged image: {error}") from error


def _told(data: bytes) -> str:
    """What bytes are that Pillow cannot open."""
    kind = kind_of(data)
    if kind in _READ:
        return f"truncated or damaged image: it begins as {kind} does"
    if kind is not None and "TIFF" in kind:
        return f"{kind}, of a kind that is not read: save it as JPEG or PNG"
    other = mistaken(data, "an image of a known format")
    return other or f"{len(data)} bytes that are no image of a known format"


def resize(
    pixels: Pixels, height: int, width: int, mode: Resize, normalise: bool = False
) -> npt.NDArray[Any]:
    """`pixels` at another size, without regard to the aspect ratio.

    Args:
        pixels: (h, w, c) uint8 with c of 1 or 3.
        height: of the result.
        width: of the result.
        mode: "tensorflow", the bilinear of TensorFlow 1 that detectors are trained with: samples at
            `x * in / out`, no antialiasing; float32 result. "pillow": Pillow's BILINEAR, which
            widens its triangle when it shrinks; uint8. "opencv": OpenCV's INTER_LINEAR, samples at
            `(x + 1/2) * in / out - 1/2`, no antialiasing; uint8, within one grey level of it.
        normalise: bring the result from 0 to 255 to -1 to 1, in float32: `x * 2 / 255 - 1`.

    Returns:
        (height, width, c), float32 in 0 to 255 or uint8; float32 in -1 to 1 if normalised.

    Raises:
        ConfigError: there is no such mode.
    """
    if mode not in RESIZE_MODES:
        raise ConfigError(f"no resize mode {mode!r}; there are {', '.join(RESIZE_MODES)}")
    if mode == "tensorflow":
        return bilinear(pixels, height, width, False, _normalise if normalise else None)
    if mode == "pillow":
        resized = _resize_with_pillow(pixels, height, width)
    else:
        resized = np.rint(bilinear(pixels, height, width, True)).astype(np.uint8)
    if not normalise:
        return resized
    values = resized.astype(np.float32)
    _normalise(values)
    return values


def _normalise(values: Floats) -> None:
    # Doubling is exact, so that this division rounds as doubling and dividing by 255 does.
    values /= np.float32(127.5)
    values -= np.float32(1)


def _resize_with_pillow(pixels: Pixels, height: int, width: int) -> Pixels:
    from PIL import Image

    grey = pixels.shape[2] == 1
    image = Image.fromarray(pixels[:, :, 0] if grey else pixels)
    # Pillow rounds to bytes between its two passes. Up to version 12 the rows always came first,
    # since 13 whichever pass leaves much less to the other: one level in a fifth of the pixels of a
    # tall image. Each pass by itself is the same in all, and the rule here is that of 13.
    columns_first = pixels.shape[0] - height > max(0, 2 * (pixels.shape[1] - width))
    between = (pixels.shape[1], height) if columns_first else (width, pixels.shape[0])
    for size in (between, (width, height)):
        image = image.resize(size, Image.Resampling.BILINEAR)
    resized = np.array(image)
    return resized[:, :, None] if grey else resized


def bilinear(
    pixels: Pixels,
    height: int,
    width: int,
    half_pixel: bool,
    after: Callable[[Floats], None] | None = None,
) -> Floats:
    """Two-tap interpolation along y, then along x: (height, width, c) float32 in 0 to 255.

    A place `i` of the result samples at `i * in / out`, or with `half_pixel` at
    `(i + 1/2) * in / out - 1/2`, within the image.

    Args:
        pixels: (h, w, c) uint8.
        height: of the result.
        width: of the result.
        half_pixel: where to sample.
        after: done to each band of rows of the result, in place, while it is in the cache.
    """
    rows, columns, channels = pixels.shape
    length, wanted = columns * channels, width * channels
    top, bottom, down = _taps(rows, height, 1, half_pixel)
    left, right, across = _taps(columns, width, channels, half_pixel)
    flat = pixels.reshape(rows, length)
    result = np.empty((height, wanted), np.float32)
    band = min(height, max(1, _BAND // length))
    # All that a band needs, once for all bands.
    bytes_ = np.empty((band, length), np.uint8)
    uppers, lowers = np.empty((2, band, length), np.float32)
    ends = np.empty((band, wanted), np.float32)
    for start in range(0, height, band):
        places = slice(start, start + band)
        begin = result[places]
        n = len(begin)
        picked, upper, lower, end = bytes_[:n], uppers[:n], lowers[:n], ends[:n]
        # The indices are within the rows; "clip" is the mode in which NumPy does not check them.
        np.copyto(upper, flat.take(top[places], 0, picked, "clip"))
        np.copyto(lower, flat.take(bottom[places], 0, picked, "clip"))
        lower -= upper
        lower *= down[places, None]
        upper += lower
        upper.take(left, 1, begin, "clip")
        upper.take(right, 1, end, "clip")
        end -= begin
        end *= across
        begin += end
        if after is not None:
            after(begin)
    return result.reshape(height, width, channels)


@functools.lru_cache(maxsize=256)
def _taps(size: int, wanted: int, channels: int, half_pixel: bool) -> tuple[Ints, Ints, Floats]:
    """The two samples and the weight of the second for each of `wanted` places along an axis.

    With several channels, for each channel of each place: indices of numbers, not of pixels.
    """
    place = np.arange(wanted, dtype=np.float32)
    step = np.float32(size) / np.float32(wanted)
    place = (place + np.float32(0.5)) * step - np.float32(0.5) if half_pixel else place * step
    place = np.maximum(place, np.float32(0))
    low = np.minimum(np.floor(place).astype(np.int64), size - 1)
    high, weight = np.minimum(low + 1, size - 1), place - low.astype(np.float32)
    channel = np.arange(channels)
    low, high = ((taps[:, None] * channels + channel).ravel() for taps in (low, high))
    weight = weight.repeat(channels)
    for table in (low, high, weight):
        table.flags.writeable = False  # they are shared
    return low, high, weight
