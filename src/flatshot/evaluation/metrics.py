"""The twelve COCO figures: hotcoco matches and accumulates, the means are taken here.

The figures are pycocotools' to the last digit (tests hold them within 1e-12); hotcoco gives the
same arrays of precision and recall some seventy times faster. Its own `summarize` prints, which a
library must not, so the twelve means are pycocotools' `np.mean(values > -1)` on those arrays.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import numpy.typing as npt

from flatshot.errors import DatasetError
from flatshot.evaluation.annotations import GroundTruth

FloatArray = npt.NDArray[np.float64]

# Detections that hotcoco is given at once, but for categories that have more by themselves.
PORTION = 50_000

# What one detection is called as a row of numbers; the order is the one that COCO's tools read.
ROW = ("image_id", "x", "y", "width", "height", "score", "category_id")

# Names of the twelve figures in the TensorFlow evaluators and in CK's results, in COCO's order.
METRIC_NAMES = (
    "DetectionBoxes_Precision/mAP",
    "DetectionBoxes_Precision/mAP@.50IOU",
    "DetectionBoxes_Precision/mAP@.75IOU",
    "DetectionBoxes_Precision/mAP (small)",
    "DetectionBoxes_Precision/mAP (medium)",
    "DetectionBoxes_Precision/mAP (large)",
    "DetectionBoxes_Recall/AR@1",
    "DetectionBoxes_Recall/AR@10",
    "DetectionBoxes_Recall/AR@100",
    "DetectionBoxes_Recall/AR@100 (small)",
    "DetectionBoxes_Recall/AR@100 (medium)",
    "DetectionBoxes_Recall/AR@100 (large)",
)

# Places in hotcoco's arrays: IoU thresholds .50 and .75 of .50:.05:.95; areas; detections.
IOU_50, IOU_75 = 0, 5
ALL, SMALL, MEDIUM, LARGE = range(4)
TOP_1, TOP_10, TOP_100 = range(3)


@dataclass(frozen=True)
class CocoFigures:
    """The twelve figures of a COCO evaluation, each in 0..1, or -1 where there was nothing to find.

    AP is the precision averaged over recall 0:.01:1, over IoU .50:.05:.95 and over categories; AR
    the greatest recall averaged likewise. Small, medium and large divide objects at 32² and 96²
    square pixels. AR1, AR10 and AR100 allow that many detections an image and category.
    """

    AP: float
    AP50: float
    AP75: float
    AP_small: float
    AP_medium: float
    AP_large: float
    AR1: float
    AR10: float
    AR100: float
    AR_small: float
    AR_medium: float
    AR_large: float

    @property
    def mAP(self) -> float:  # noqa: N802 - the name of the original's summary
        """AP@[.50:.95], all areas, 100 detections: the first of COCO's figures."""
        return self.AP

    @property
    def recall(self) -> float:
        """AR@100, all areas: the ninth of COCO's figures, CK's `Recall`."""
        return self.AR100

    def values(self) -> tuple[float, ...]:
        """The twelve in COCO's own order (`COCOeval.stats`)."""
        return tuple(getattr(self, item.name) for item in fields(self))

    def named(self) -> dict[str, float]:
        """The twelve under their names in the TensorFlow evaluators."""
        return dict(zip(METRIC_NAMES, self.values(), strict=True))


@dataclass(frozen=True, eq=False)
class Curves:
    """The arrays that the figures are means of, -1 where there is nothing to find.

    Attributes:
        categories: (k,) int64, their ids, rising.
        precision: (10, 101, k, 4, 3) float64, over IoU .50:.05:.95, recall 0:.01:1, categories,
            areas (all, small, medium, large) and detections an image (1, 10, 100).
        recall: (10, k, 4, 3) float64, the greatest recall, likewise.
    """

    categories: npt.NDArray[np.int64]
    precision: FloatArray
    recall: FloatArray


@dataclass(frozen=True)
class CocoScores:
    """The twelve figures, the AP of each category by id (-1 if on no image), and the curves."""

    figures: CocoFigures
    per_class: Mapping[int, float]
    curves: Curves


def score(
    truth: GroundTruth,
    categories: Mapping[int, str],
    image_ids: npt.ArrayLike,
    detections: FloatArray,
) -> CocoScores:
    """How well `detections` find `truth` on the images `image_ids`, and on no others.

    Args:
        truth: the objects to find; those on other images do not count.
        categories: category id -> name; detections of other categories do not count.
        image_ids: (m,) the images that were processed, at least one.
        detections: (n, 7) rows as `ROW`: image id, x, y, width, height in pixels, score in 0..1,
            category id. Of equal scores the earlier row goes first.

    Raises:
        DatasetError: no image, or detections that are not finite numbers.
    """
    images = np.unique(np.asarray(image_ids, np.int64))
    if not len(images):
        raise DatasetError("no image was processed: there is nothing to score")
    if not np.isfinite(detections).all():
        raise DatasetError("the model found boxes or scores that are not finite numbers")
    precision, recall = _accumulate(truth.of(images), categories, images, detections)
    top = precision[..., TOP_100]
    figures = CocoFigures(
        AP=_mean(top[..., ALL]),
        AP50=_mean(top[IOU_50, ..., ALL]),
        AP75=_mean(top[IOU_75, ..., ALL]),
        AP_small=_mean(top[..., SMALL]),
        AP_medium=_mean(top[..., MEDIUM]),
        AP_large=_mean(top[..., LARGE]),
        AR1=_mean(recall[..., ALL, TOP_1]),
        AR10=_mean(recall[..., ALL, TOP_10]),
        AR100=_mean(recall[..., ALL, TOP_100]),
        AR_small=_mean(recall[..., SMALL, TOP_100]),
        AR_medium=_mean(recall[..., MEDIUM, TOP_100]),
        AR_large=_mean(recall[..., LARGE, TOP_100]),
    )
    # COCO's tools lay categories out by rising id.
    per_class = {
        identity: _mean(top[:, :, place, ALL]) for place, identity in enumerate(sorted(categories))
    }
    curves = Curves(np.array(sorted(categories), np.int64), precision, recall)
    return CocoScores(figures, per_class, curves)


def _accumulate(
    truth: GroundTruth,
    categories: Mapping[int, str],
    images: npt.NDArray[np.int64],
    detections: FloatArray,
) -> tuple[FloatArray, FloatArray]:
    """Precision (10, 101, categories, 4, 3) and recall (10, categories, 4, 3), -1 where empty.

    Categories, by rising id, know nothing of one another, so they are taken in portions: hotcoco
    keeps a third of a kilobyte for each detection that it looks at.
    """
    inside = np.isin(detections[:, 0], images)
    if not inside.all():  # a copy of all detections is the largest thing in memory
        detections = detections[inside]
    numbers = sorted(categories)
    found = np.searchsorted(np.sort(detections[:, 6]), numbers, side="right")
    portions = np.split(np.array(numbers), _ends(found))
    parts = [_accumulate_portion(truth, portion, images, detections) for portion in portions]
    precision, recall = zip(*parts, strict=True)
    return np.concatenate(precision, axis=2), np.concatenate(recall, axis=1)


def _ends(found: npt.NDArray[np.int64]) -> list[int]:
    """Where to divide categories, of which `found` counts detections up to and with each."""
    ends: list[int] = []
    start = 0
    for place, total in enumerate(found[:-1].tolist(), 1):
        if total - start >= PORTION:
            ends.append(place)
            start = total
    return ends


def _accumulate_portion(
    truth: GroundTruth,
    categories: npt.NDArray[np.int64],
    images: npt.NDArray[np.int64],
    detections: FloatArray,
) -> tuple[FloatArray, FloatArray]:
    """Precision and recall of some categories, as `_accumulate`."""
    import hotcoco

    here = np.isin(truth.category_ids, categories)
    # Names play no part in the matching, so that two categories of one name stay two.
    ground = hotcoco.COCO.from_arrays(
        [{"id": int(identity), "width": 0, "height": 0} for identity in images],
        [{"id": int(identity), "name": str(identity)} for identity in categories],
        truth.image_ids[here],
        truth.category_ids[here],
        truth.boxes[here],
        area=truth.areas[here],
        iscrowd=truth.crowds[here],
    )
    found = ground.load_res(detections[np.isin(detections[:, 6], categories)])
    evaluation = hotcoco.COCOeval(ground, found, "bbox")
    parameters: Any = evaluation.params
    parameters.img_ids = [int(identity) for identity in images]
    evaluation.evaluate()
    evaluation.accumulate()
    result: Any = evaluation.eval
    return np.asarray(result["precision"]), np.asarray(result["recall"])


def _mean(values: FloatArray) -> float:
    there = values[values > -1]
    return float(np.mean(there)) if there.size else -1.0
