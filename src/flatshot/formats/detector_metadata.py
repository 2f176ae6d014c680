"""What a detector says of itself in TensorFlow Lite's model metadata, and its labels behind it.

MediaPipe's and the Task library's object detectors ask for it: how pixels become input, what the
four outputs are, and which file in the ZIP archive behind the model names the classes.
"""

import io
import zipfile
from collections.abc import Sequence

import numpy as np

from flatshot.errors import FormatError
from flatshot.formats import flatbuffer
from flatshot.formats.model_metadata import (
    IDENTIFIER,
    AssociatedFile,
    BoundingBoxProperties,
    Content,
    FeatureProperties,
    ImageProperties,
    ModelMetadata,
    NormalizationOptions,
    ProcessUnit,
    Stats,
    SubGraphMetadata,
    TensorMetadata,
    ValueRange,
)

LABELS = "labels.txt"
_PARSER = "1.5.0"
_RGB, _GREY = 1, 2
_FEATURES, _IMAGE, _BOXES = 1, 2, 3
_VALUE_LABELS = 3
# Columns of a box that are left, top, right, bottom: the operator gives top, left, bottom, right.
_LEFT_TOP_RIGHT_BOTTOM = (1, 0, 3, 2)
_BOUNDARIES = 1
# Zip files carry a date; this one is the earliest there is, so that bytes depend on nothing.
_DATE = (1980, 1, 1, 0, 0, 0)


def describe_detector(
    *,
    channels: int = 3,
    scale: Sequence[float] | None = None,
    offset: Sequence[float] | None = None,
    labelled: bool = False,
) -> bytes:
    """The metadata of a detector whose outputs are those of the post-processing operator.

    Args:
        channels: of the input image: 3 for RGB, 1 for grey.
        scale: of an input in real numbers: it is pixel * scale + offset, one number or one for
            each channel; None for an input of pixels.
        offset: see `scale`.
        labelled: whether the labels lie behind the model, see `append_labels`.
    """
    image = TensorMetadata(
        name="image",
        description="the image, resized",
        content=Content(_IMAGE, ImageProperties(_RGB if channels == 3 else _GREY)),
        stats=_stats(0.0, 255.0),
    )
    if scale is not None and offset is not None:
        factors, shifts = (np.array(numbers, np.float64) for numbers in (scale, offset))
        # (pixel - mean) / std
        options = NormalizationOptions(
            mean=(-shifts / factors).astype(np.float32), std=(1 / factors).astype(np.float32)
        )
        image.process_units = [ProcessUnit(1, options)]
        image.stats = Stats(
            max=(255 * factors + shifts).astype(np.float32), min=shifts.astype(np.float32)
        )
    files = [AssociatedFile(name=LABELS, type=_VALUE_LABELS)] if labelled else []
    boxes = BoundingBoxProperties(np.array(_LEFT_TOP_RIGHT_BOTTOM, np.uint32), _BOUNDARIES)
    outputs = [
        TensorMetadata(
            name="location",
            description="top, left, bottom, right of the boxes, as parts of the image",
            content=Content(_BOXES, boxes, ValueRange(2, 2)),
        ),
        TensorMetadata(
            name="category",
            description="the class of each box, from 0",
            content=Content(_FEATURES, FeatureProperties()),
            associated_files=files,
        ),
        TensorMetadata(
            name="score",
            description="the score of each box, from 0 to 1",
            content=Content(_FEATURES, FeatureProperties()),
        ),
        TensorMetadata(
            name="number of detections",
            description="how many boxes there are",
            content=Content(_FEATURES, FeatureProperties()),
        ),
    ]
    model = ModelMetadata(
        name="detector",
        description="a single-shot detector",
        subgraphs=[SubGraphMetadata(inputs=[image], outputs=outputs)],
        min_parser_version=_PARSER,
    )
    return bytes(flatbuffer.write(model, IDENTIFIER))


def _stats(low: float, high: float) -> Stats:
    return Stats(max=np.array([high], np.float32), min=np.array([low], np.float32))


def append_labels(model: flatbuffer.Bytes, names: Sequence[str]) -> bytes:
    """The model with the names of its classes, from 0, in a stored ZIP archive behind it.

    Raises:
        FormatError: a name has several lines.
    """
    if broken := [name for name in names if "\n" in name or "\r" in name]:
        raise FormatError(f"the label {broken[0]!r} has several lines; one a class is written")
    stream = io.BytesIO()
    stream.write(bytes(model))
    with zipfile.ZipFile(stream, "a", zipfile.ZIP_STORED) as archive:
        text = "".join(f"{name}\n" for name in names)
        archive.writestr(zipfile.ZipInfo(LABELS, _DATE), text)
    return stream.getvalue()
