"""Images: from the bytes of a file to pixels, and from pixels to the size that a network takes."""

import functools
import io
import os
import threading
from typing import Any, Literal, cast

import numpy as np
import numpy.typing as npt

from flatshot.errors import ConfigError, ImageError
from flatshot.formats import tflite
from flatshot.formats.files import StrPath, read_bytes

Pixels = npt.NDArray[np.uint8]
Resize = Literal["tensorflow", "pillow", "opencv"]
RESIZE_MODES: tuple[Resize, ...] = ("tensorflow", "pillow", "opencv")

# Pillow's own limit: a quarter of a gigabyte of 24-bit pixels. Small files can unfold to more.
MAX_PIXELS = 1024 * 1024 * 1024 // 4 // 3
# What Pillow raises on damaged files, beside the OSError that it means to raise.
_DAMAGE = (OSError, ValueError, SyntaxError, TypeError, LookupError, EOFError, ArithmeticError)
# Images beyond this are resized without the model, whose float copy of the image would be large.
_MODEL_PIXELS = 2_000_000


def load(path: StrPath) -> Pixels:
    """The pixels of the image file at `path`, as `decode` gives them.

    Raises:
        FileError: it is missing, a directory, or unreadable.
        ImageError: it is no image, or damaged; the message names it.
    """
    data = read_bytes(path)
    try:
        return decode(data)
    except ImageError as error:
        raise ImageError(f"{os.fspath(path)}: {error}") from error


def decode(data: bytes) -> Pixels:
    """The pixels of an image file's bytes: (height, width, 3) uint8, RGB.

    They are those of Pillow's `convert("RGB")`, whatever the file holds: grey becomes three equal
    channels, transparency is dropped, and a rotation in the EXIF data is not applied, for COCO's
    boxes do not know it. JPEGs take a quicker road with bit-equal results.

    Raises:
        ImageError: the bytes are no image, are truncated or damaged, or unfold to more than
            `MAX_PIXELS` pixels.
    """
    if data[:2] == b"\xff\xd8":
        pixels = _decode_jpeg(data)
        if pixels is not None:
            return pixels
    return _decode_with_pillow(data)


def _decode_jpeg(data: bytes) -> Pixels | None:
    """The pixels of a sound JPEG in RGB or grey; None for what Pillow should judge."""
    import simplejpeg

    try:
        height, width, colours, _ = simplejpeg.decode_jpeg_header(data)
        if height * width > MAX_PIXELS or colours not in ("YCbCr", "RGB", "Gray"):
            return None
        pixels = simplejpeg.decode_jpeg(data, "RGB", fastdct=False, fastupsample=False)
    except ValueError:
        # Damaged, truncated or of an unusual kind: Pillow decides which, and says so.
        return None
    return cast(Pixels, pixels)


def _decode_with_pillow(data: bytes) -> Pixels:
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(io.BytesIO(data)) as image:
            if image.width * image.height > MAX_PIXELS:
                raise ImageError(
                    f"{image.width} x {image.height} pixels are more than the {MAX_PIXELS} that "
                    "are taken"
                )
            return _rgb(image)
    except UnidentifiedImageError:
        raise ImageError(f"{len(data)} bytes that are no image of a known format") from None
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise ImageError(f"more pixels than are taken: {error}") from error
    except _DAMAGE as error:
        raise ImageError(f"truncated or damaged image: {error}") from error


def _rgb(image: Any) -> Pixels:
    if image.mode == "P" and "transparency" in image.info:
        # Pillow asks for this step when the palette carries transparency; the colours are the same.
        image = image.convert("RGBA")
    return np.array(image.convert("RGB"), np.uint8)


def resize(pixels: Pixels, height: int, width: int, mode: Resize) -> npt.NDArray[Any]:
    """`pixels` at another size, without regard to the aspect ratio.

    Args:
        pixels: (h, w, c) uint8 with c of 1 or 3.
        height: of the result.
        width: of the result.
        mode: "tensorflow", the bilinear of TensorFlow 1 that detectors are trained with: samples at
            `x * in / out`, no antialiasing; float32 result. "pillow": Pillow's BILINEAR, which
            widens its triangle when it shrinks; uint8. "opencv": OpenCV's INTER_LINEAR, samples at
            `(x + 1/2) * in / out - 1/2`, no antialiasing; uint8, within one grey level of it.

    Returns:
        (height, width, c), float32 in 0 to 255 or uint8.

    Raises:
        ConfigError: there is no such mode.
    """
    if mode not in RESIZE_MODES:
        raise ConfigError(f"no resize mode {mode!r}; there are {', '.join(RESIZE_MODES)}")
    if mode == "pillow":
        return _resize_with_pillow(pixels, height, width)
    half_pixel = mode == "opencv"
    if pixels.shape[0] * pixels.shape[1] > _MODEL_PIXELS:
        result = bilinear(pixels, height, width, half_pixel)
    else:
        result = _Resizers.of_thread(pixels.shape, height, width, half_pixel)(pixels)
    return np.rint(result).astype(np.uint8) if half_pixel else result


def _resize_with_pillow(pixels: Pixels, height: int, width: int) -> Pixels:
    from PIL import Image

    grey = pixels.shape[2] == 1
    image = Image.fromarray(pixels[:, :, 0] if grey else pixels)
    resized = np.array(image.resize((width, height), Image.Resampling.BILINEAR))
    return resized[:, :, None] if grey else resized


def bilinear(pixels: Pixels, height: int, width: int, half_pixel: bool) -> npt.NDArray[np.float32]:
    """Two-tap interpolation along y, then along x: (height, width, c) float32.

    Only the rows that are sampled become floats, so a large image takes little memory.
    """
    top, bottom, down = _taps(pixels.shape[0], height, half_pixel)
    left, right, across = _taps(pixels.shape[1], width, half_pixel)
    rows = pixels[top].astype(np.float32)
    rows += (pixels[bottom] - rows) * down[:, None, None]
    result = rows[:, left]
    result += (rows[:, right] - result) * across[:, None]
    return result


def _taps(
    size: int, wanted: int, half_pixel: bool
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.float32]]:
    """The two samples and the weight of the second for each of `wanted` places along an axis."""
    place = np.arange(wanted, dtype=np.float32)
    step = np.float32(size) / np.float32(wanted)
    place = (place + np.float32(0.5)) * step - np.float32(0.5) if half_pixel else place * step
    place = np.maximum(place, np.float32(0))
    low = np.minimum(np.floor(place).astype(np.int64), size - 1)
    return low, np.minimum(low + 1, size - 1), place - low.astype(np.float32)


class _Resizer:
    """A LiteRT model that does nothing but resize: several times as fast as NumPy here.

    LiteRT lets other Python threads run meanwhile, as it does for the network.
    """

    def __init__(self, shape: tuple[int, ...], height: int, width: int, half_pixel: bool) -> None:
        from ai_edge_litert.interpreter import Interpreter

        content = bytes(_resize_model(shape, height, width, half_pixel))
        self._interpreter = Interpreter(model_content=content)
        self._interpreter.allocate_tensors()
        self._input = self._interpreter.get_input_details()[0]["index"]
        self._output = self._interpreter.get_output_details()[0]["index"]

    def __call__(self, pixels: Pixels) -> npt.NDArray[np.float32]:
        self._interpreter.set_tensor(self._input, pixels[None])
        self._interpreter.invoke()
        return cast(npt.NDArray[np.float32], self._interpreter.get_tensor(self._output)[0])


class _Resizers(threading.local):
    """The resizers of one thread; an interpreter must not be shared between threads."""

    def __init__(self) -> None:
        # Photographs come in a few sizes; each resizer holds a few megabytes.
        self.get = functools.lru_cache(maxsize=12)(_Resizer)

    @staticmethod
    def of_thread(shape: tuple[int, ...], height: int, width: int, half_pixel: bool) -> _Resizer:
        return _RESIZERS.get(shape, height, width, half_pixel)


_RESIZERS = _Resizers()


def _resize_model(shape: tuple[int, ...], height: int, width: int, half_pixel: bool) -> memoryview:
    """uint8 pixels -> CAST -> RESIZE_BILINEAR -> float32."""

    def ints(*values: int) -> npt.NDArray[np.int32]:
        return np.array(values, np.int32)

    kinds = tflite.TensorType
    size = ints(height, width).view(np.uint8)
    tensors = [
        tflite.Tensor(name="pixels", shape=ints(1, *shape), type=kinds.UINT8),
        tflite.Tensor(name="floats", shape=ints(1, *shape), type=kinds.FLOAT32),
        tflite.Tensor(name="size", shape=ints(2), type=kinds.INT32, buffer=1),
        tflite.Tensor(name="resized", shape=ints(1, height, width, shape[2]), type=kinds.FLOAT32),
    ]
    cast_, resize_ = tflite.Builtin.CAST, tflite.Builtin.RESIZE_BILINEAR
    codes = [
        tflite.OperatorCode(deprecated_builtin_code=cast_, builtin_code=cast_),
        # Version 3 of the operator is the first with half-pixel centres.
        tflite.OperatorCode(deprecated_builtin_code=resize_, builtin_code=resize_, version=3),
    ]
    options = tflite.ResizeBilinearOptions(half_pixel_centers=half_pixel)
    operators = [
        tflite.Operator(opcode_index=0, inputs=ints(0), outputs=ints(1)),
        tflite.Operator(
            opcode_index=1,
            inputs=ints(1, 2),
            outputs=ints(3),
            options_type=tflite.OPTIONS_TYPE[tflite.ResizeBilinearOptions],
            options=options,
        ),
    ]
    graph = tflite.SubGraph(tensors=tensors, inputs=ints(0), outputs=ints(3), operators=operators)
    buffers = [tflite.Buffer(), tflite.Buffer(data=size)]
    return tflite.write_model(
        tflite.TFLiteModel(
            version=tflite.VERSION, operator_codes=codes, subgraphs=[graph], buffers=buffers
        )
    )
