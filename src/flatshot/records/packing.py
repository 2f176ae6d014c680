"""Detections as bytes: an artefact of the records, and back from a store that may be anybody's."""

import io
import struct
import zipfile
import zlib

import numpy as np

from flatshot.errors import RecordError
from flatshot.evaluation.metrics import FloatArray

# Detections shrink to a third; of a store from elsewhere they could unfold to anything.
_MOST_UNPACKED = 256 << 20
# What zipfile and NumPy raise on an archive of arrays that is none.
_NO_DETECTIONS = (
    EOFError, KeyError, MemoryError, NotImplementedError, OSError, OverflowError, RuntimeError,
    SyntaxError, TypeError, ValueError, struct.error, zipfile.BadZipFile, zlib.error,
)  # fmt: skip


def pack_detections(rows: FloatArray) -> bytes:
    """Detections as a compressed .npz: `image_id`, `category_id`, `bbox` (n, 4), `score`."""
    buffer = io.BytesIO()
    np.savez_compressed(
        buffer,
        image_id=rows[:, 0].astype(np.int64),
        category_id=rows[:, 6].astype(np.int64),
        bbox=rows[:, 1:5],
        score=rows[:, 5],
    )
    return buffer.getvalue()


def unpack_detections(data: bytes) -> FloatArray:
    """The detections that `pack_detections` packed.

    Raises:
        RecordError: the bytes hold none; they may be anybody's.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            if sum(info.file_size for info in archive.infolist()) > _MOST_UNPACKED:
                raise RecordError("the detections of the record unfold to more than they can be")
        with np.load(io.BytesIO(data), allow_pickle=False) as parts:
            columns = (parts["image_id"], parts["bbox"], parts["score"], parts["category_id"])
        rows: FloatArray = np.column_stack(columns).astype(np.float64)
    except _NO_DETECTIONS as error:
        raise RecordError(f"the detections of the record are damaged: {error}") from error
    if rows.ndim != 2 or rows.shape[1] != 7 or not np.isfinite(rows).all():
        raise RecordError("the detections of the record are damaged: they are no rows of numbers")
    return rows
