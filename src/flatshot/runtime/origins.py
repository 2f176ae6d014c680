"""From which anchor each detection came."""

from typing import Any

import numpy as np
import numpy.typing as npt

from flatshot.formats.postprocess import PostProcessSettings
from flatshot.runtime import nms
from flatshot.runtime.detections import Detections


def origins(
    box_encodings: npt.NDArray[np.floating[Any]],
    predictions: npt.NDArray[np.floating[Any]],
    anchors: npt.NDArray[np.floating[Any]],
    settings: PostProcessSettings,
    found: Detections,
) -> npt.NDArray[np.int64]:
    """The anchor of each detection that the post-processing in NumPy made of raw outputs.

    A detection's score is its anchor's to the last bit; where several anchors share it, the box
    tells.

    Args:
        box_encodings: what `nms.postprocess` was given, as the three that follow.
        predictions: (n, c).
        anchors: (n, 4).
        settings: of the post-processing.
        found: what it found.

    Returns:
        (n,) rows of the anchors.
    """
    background = predictions.shape[1] - settings.num_classes
    rows = np.empty(len(found), np.int64)
    for place, (score, index) in enumerate(zip(found.scores, found.classes, strict=True)):
        alike = np.flatnonzero(predictions[:, index + background] == score)
        if len(alike) > 1:
            boxes = nms.decode(box_encodings[alike], anchors[alike], settings)
            alike = alike[[int(np.abs(boxes - found.boxes[place]).sum(axis=1).argmin())]]
        rows[place] = alike[0]
    return rows
