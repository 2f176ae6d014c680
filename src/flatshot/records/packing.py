"""The arrays of a result as bytes, the artefacts of its record; and back from anybody's store."""

import io
import struct
import zipfile
import zlib
from typing import Any

import numpy as np
import numpy.typing as npt

from flatshot.errors import RecordError
from flatshot.evaluation.metrics import Curves, FloatArray
from flatshot.evaluation.result import Result
from flatshot.evaluation.timing import Times

# What records call the artefacts of a result.
DETECTIONS, CURVES, TIMES = "detections", "curves", "times"

# Arrays shrink to a third and less; of a store from elsewhere they could unfold to anything.
_MOST_UNPACKED = 256 << 20
# What zipfile and NumPy raise on an archive of arrays that is none.
_NO_ARRAYS = (
    EOFError, KeyError, MemoryError, NotImplementedError, OSError, OverflowError, RuntimeError,
    SyntaxError, TypeError, ValueError, struct.error, zipfile.BadZipFile, zlib.error,
)  # fmt: skip


def artefacts(result: Result) -> dict[str, bytes]:
    """The arrays of `result` as compressed .npz files, by the names that records keep them under.

    `detections`: `image_id`, `category_id`, `bbox` (n, 4), `score`. `curves` and `times`: the
    attributes of `Curves` and `Times`.
    """
    return {
        DETECTIONS: pack_detections(result.detections),
        CURVES: _pack(vars(result.curves)),
        TIMES: _pack(vars(result.times)),
    }


def pack_detections(rows: FloatArray) -> bytes:
    """Detections as a compressed .npz: `image_id`, `category_id`, `bbox` (n, 4), `score`."""
    return _pack(
        {
            "image_id": rows[:, 0].astype(np.int64),
            "category_id": rows[:, 6].astype(np.int64),
            "bbox": rows[:, 1:5],
            "score": rows[:, 5],
        }
    )


def unpack_detections(data: bytes) -> FloatArray:
    """The detections that `pack_detections` packed.

    Raises:
        RecordError: the bytes hold none; they may be anybody's.
    """
    parts = _unpack(data, DETECTIONS, ("image_id", "bbox", "score", "category_id"))
    try:
        rows: FloatArray = np.column_stack(list(parts.values())).astype(np.float64)
    except (TypeError, ValueError) as error:
        raise RecordError(f"the detections of the record are damaged: {error}") from error
    if rows.ndim != 2 or rows.shape[1] != 7 or not np.isfinite(rows).all():
        raise RecordError("the detections of the record are damaged: they are no rows of numbers")
    return rows


def unpack_curves(data: bytes) -> Curves:
    """The curves that `artefacts` packed.

    Raises:
        RecordError: the bytes hold none.
    """
    parts = _unpack(data, CURVES, ("categories", "precision", "recall"))
    count = parts["categories"].size
    _check(CURVES, parts["categories"], (count,), "iu")
    _check(CURVES, parts["precision"], (10, 101, count, 4, 3), "f")
    _check(CURVES, parts["recall"], (10, count, 4, 3), "f")
    return Curves(**parts)


def unpack_times(data: bytes) -> Times:
    """The times that `artefacts` packed.

    Raises:
        RecordError: the bytes hold none.
    """
    names = ("image_ids", "sizes", "seconds", "latency_ids", "latency")
    parts = _unpack(data, TIMES, names)
    images, alone = parts["image_ids"].size, parts["latency_ids"].size
    _check(TIMES, parts["image_ids"], (images,), "iu")
    _check(TIMES, parts["sizes"], (images, 2), "iu")
    _check(TIMES, parts["seconds"], (images, 4), "f")
    _check(TIMES, parts["latency_ids"], (alone,), "iu")
    _check(TIMES, parts["latency"], (alone, 4), "f")
    return Times(**parts)


def _pack(parts: dict[str, npt.NDArray[Any]]) -> bytes:
    buffer = io.BytesIO()
    np.savez_compressed(buffer, allow_pickle=False, **parts)
    return buffer.getvalue()


def _unpack(data: bytes, what: str, names: tuple[str, ...]) -> dict[str, npt.NDArray[Any]]:
    """The arrays of those names, in that order."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            if sum(info.file_size for info in archive.infolist()) > _MOST_UNPACKED:
                raise RecordError(f"the {what} of the record unfold to more than they can be")
        with np.load(io.BytesIO(data), allow_pickle=False) as parts:
            return {name: parts[name] for name in names}
    except _NO_ARRAYS as error:
        raise RecordError(f"the {what} of the record are damaged: {error}") from error


def _check(what: str, array: npt.NDArray[Any], shape: tuple[int, ...], kinds: str) -> None:
    if array.shape != shape or array.dtype.kind not in kinds or not np.isfinite(array).all():
        raise RecordError(
            f"the {what} of the record are damaged: {array.dtype} {array.shape} stands where "
            f"numbers of shape {shape} belong"
        )
