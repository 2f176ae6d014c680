"""What a run keeps of each image, small and exact, and how it becomes rows of COCO results."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt

from flatshot.evaluation.matching import Matching
from flatshot.evaluation.metrics import FloatArray

Rounding = Literal["exact", "ck"]

# The stages that each image passes, in order.
STAGES = ("load", "preprocess", "network", "nms")


@dataclass(frozen=True, eq=False)
class Outcome:
    """One image after its run: what was found on it and how long that took, or why it failed.

    Attributes:
        image_id: the data set's number for the image.
        width, height: of the image itself in pixels, whatever the annotations say; 0 if it failed.
        boxes: (n, 4) float32 as ymin, xmin, ymax, xmax in parts of the image, not clipped.
        scores: (n,) float32, falling.
        classes: (n,) int32, from 0.
        seconds: wall time of the `STAGES`, in their order; zeros if it failed.
        error: why the image could not be read, or None.
        stamp: of the image's file when it was read, see `stamp`; zeros if it failed.
    """

    image_id: int
    width: int = 0
    height: int = 0
    boxes: npt.NDArray[np.float32] = field(default_factory=lambda: np.zeros((0, 4), np.float32))
    scores: npt.NDArray[np.float32] = field(default_factory=lambda: np.zeros(0, np.float32))
    classes: npt.NDArray[np.int32] = field(default_factory=lambda: np.zeros(0, np.int32))
    seconds: tuple[float, float, float, float] = (0.0, 0.0, 0.0, 0.0)
    error: str | None = None
    stamp: tuple[int, int] = (0, 0)

    def __len__(self) -> int:
        return len(self.scores)


def stamp(path: Path) -> tuple[int, int]:
    """Bytes of a file and when they changed, in nanoseconds: another stamp, another image.

    A file that cannot be looked at has none, (0, 0).
    """
    try:
        status = path.stat()
    except OSError:
        return 0, 0
    return status.st_size, status.st_mtime_ns


def coco_rows(
    outcomes: Sequence[Outcome],
    categories: Collection[int],
    rounding: Rounding = "exact",
    matching: Matching | None = None,
) -> tuple[FloatArray, int]:
    """All detections as rows of COCO results, and how many were left out.

    Args:
        outcomes: the images; those that failed give no rows.
        categories: the ids that the data set knows; detections of others are left out, counted.
        rounding: "exact", or "ck": corners to 2 decimals, scores to 3, and then width and height
            to 2 again, as Collective Knowledge's text files had them. Equal scores arise there,
            and its published figures contain them.
        matching: which category a class stands for; by default that of the number after its own,
            as in every model that the Object Detection API exports: the category numbers of its
            label maps start at 1, for 0 is background.

    Returns:
        (n, 7) float64 rows as `metrics.ROW`, and the number of detections left out.
    """
    matching = matching or Matching()
    known = np.array(sorted(categories), np.int64)
    # One table for all of them, cut to what was used: pieces to be joined would need it twice.
    rows = np.empty((sum(len(outcome) for outcome in outcomes), 7))
    used = 0
    for outcome in outcomes:
        category = matching.of(outcome.classes)
        keep = np.isin(category, known)
        corners, scores = _pixels(outcome, keep, rounding)
        piece = rows[used : used + len(scores)]
        piece[:, 0] = outcome.image_id
        piece[:, 1:3] = corners[:, :2]
        piece[:, 3:5] = corners[:, 2:] - corners[:, :2]
        piece[:, 5] = scores
        piece[:, 6] = category[keep]
        if rounding == "ck":
            piece[:, 3:5] = _decimals(piece[:, 3:5], 2)
        used += len(scores)
    return rows[:used], len(rows) - used


def _pixels(
    outcome: Outcome, keep: npt.NDArray[np.bool_], rounding: Rounding
) -> tuple[FloatArray, FloatArray]:
    """Corners (n, 4) as x1, y1, x2, y2 in pixels, and scores (n,)."""
    boxes = outcome.boxes[keep][:, [1, 0, 3, 2]]
    size = (outcome.width, outcome.height, outcome.width, outcome.height)
    scores = outcome.scores[keep].astype(np.float64)
    if rounding == "exact":
        return boxes.astype(np.float64) * np.array(size, np.float64), scores
    # The C++ program multiplied in float32 before it printed %.2f.
    corners = boxes * np.array(size, np.float32)
    return _decimals(corners.astype(np.float64), 2), _decimals(scores, 3)


def _decimals(values: FloatArray, places: int) -> FloatArray:
    """`values` printed with that many decimals and read again.

    NumPy's own rounding scales by a power of ten first and so differs where that step rounds.
    """
    texts = [f"{value:.{places}f}" for value in values.ravel().tolist()]
    return np.array(texts, np.float64).reshape(values.shape)
