"""Class by class, and by size of object: what can be relied on."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from flatshot.evaluation.metrics import ALL, IOU_50, TOP_100, FloatArray
from flatshot.report.figures import Figures, Interval
from flatshot.report.study import FALSE_ALARM, FOUND, Study

# Fewer objects say little: such classes stand in a table of their own.
ENOUGH = 10
# Classes that a heading names have at least so many.
ENOUGH_FOR_HEADING = 20
# COCO's bounds of areas in square pixels.
SMALL_AREA, MEDIUM_AREA = 32**2, 96**2


@dataclass(frozen=True, eq=False)
class ClassRow:
    """One class.

    Attributes:
        name: of the category.
        objects: how many are to be found, crowds left out.
        images: on how many images they are.
        ap: AP@[.50:.95].
        ap50: AP at an overlap of 0.50.
        found: share of its objects that are found from the recommended threshold up.
        right: share of the boxes drawn from there up that are right; None where none is drawn.
        curve: (101,) precision over recall 0:.01:1 at an overlap of 0.50.
    """

    name: str
    objects: int
    images: int
    ap: float
    ap50: float
    found: float
    right: float | None
    curve: FloatArray


@dataclass(frozen=True)
class SizeRow:
    """The objects of a size: how many, AP and recall; -1 where there are none."""

    name: str
    extent: str
    objects: int
    share: float
    ap: Interval
    recall: Interval


def classes(study: Study, threshold: float) -> list[ClassRow]:
    """The classes that have objects on the images, by falling AP."""
    truth, matches = study.truth, study.matches
    precision = study.precision[..., ALL, TOP_100]
    drawn = study.detections[:, 5] >= threshold
    category = study.detections[:, 6].astype(np.int64)
    caught = matches.finder >= 0
    caught[caught] = drawn[matches.finder[caught]]
    rows = []
    for place, (identity, name) in enumerate(study.categories.items()):
        mine = (truth.category_ids == identity) & matches.counts
        objects = int(mine.sum())
        if not objects:
            continue
        own = drawn & (category == identity)
        right = int((own & (matches.status == FOUND)).sum())
        counted = right + int((own & (matches.status == FALSE_ALARM)).sum())
        rows.append(
            ClassRow(
                name,
                objects,
                len(np.unique(truth.image_ids[mine])),
                _mean(precision[:, :, place]),
                _mean(precision[IOU_50, :, place]),
                int((mine & caught).sum()) / objects,
                right / counted if counted else None,
                np.maximum(precision[IOU_50, :, place], 0),
            )
        )
    return sorted(rows, key=lambda row: (-row.ap, row.name))


def mean_curve(study: Study, overlap_place: int) -> FloatArray:
    """(101,) the precision over recall 0:.01:1 at one overlap, mean of the classes."""
    curves = study.precision[overlap_place, :, :, ALL, TOP_100]
    there = curves[0] > -1
    return curves[:, there].mean(axis=1) if there.any() else np.zeros(101)


def sizes(study: Study, figures: Figures) -> list[SizeRow]:
    """Large, medium and small objects, as COCO divides them by area."""
    areas = study.truth.areas[study.matches.counts]
    total = max(1, len(areas))
    bounds: Sequence[tuple[str, str, str, float, float]] = (
        ("large", "over 96 × 96 px", "l", MEDIUM_AREA, np.inf),
        ("medium", "32 × 32 to 96 × 96 px", "m", SMALL_AREA, MEDIUM_AREA),
        ("small", "under 32 × 32 px", "s", -np.inf, SMALL_AREA),
    )
    rows = []
    for name, extent, letter, low, high in bounds:
        objects = int(((areas >= low) & (areas < high)).sum())
        rows.append(
            SizeRow(
                name,
                extent,
                objects,
                objects / total,
                figures[f"AP{letter}"],
                figures[f"AR{letter}"],
            )
        )
    return rows


def _mean(values: FloatArray) -> float:
    there = values[values > -1]
    return float(there.mean()) if there.size else -1.0
