"""Why figures are near nothing: told from boxes that lie right under other classes, or nowhere."""

import logging
from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from flatshot.evaluation.annotations import GroundTruth
from flatshot.evaluation.metrics import FloatArray

_log = logging.getLogger("flatshot")

# An AP that no working detector has on what it was trained for.
_NOTHING = 0.01
_OVERLAP = 0.5
# The best detections of an image: boxes without a score worth the name lie everywhere.
_TOP = 20
_IMAGES = 500
_LEAST = 5


@dataclass(frozen=True)
class _Hits:
    """Objects that are boxed: all looked at, under any class, under their own, and as what."""

    objects: int
    any_class: int
    own_class: int
    pairs: Counter[tuple[int, int]]


def report(
    truth: GroundTruth, categories: Mapping[int, str], rows: FloatArray, average: float
) -> None:
    """Say what is probably wrong, where boxes lie right and classes do not, or all is near 0.

    Args:
        truth: the objects on the images that were processed.
        categories: id -> name.
        rows: detections as `metrics.ROW`.
        average: the AP.
    """
    if not len(truth):
        return
    hits = _hits(truth, rows)
    if hits.any_class >= max(_LEAST, 0.1 * hits.objects) and hits.any_class > 2 * hits.own_class:
        (found, really), count = hits.pairs.most_common(1)[0]
        _log.warning(
            "%d of %d objects are boxed and only %d of them under their own category: the "
            "categories seem to be numbered in another way (what is found as category %d, %r, is "
            "mostly category %d, %r: %d times)",
            *(hits.any_class, hits.objects, hits.own_class),
            *(found, categories.get(found, "none"), really, categories.get(really), count),
        )
    elif 0 <= average < _NOTHING:
        _log.warning(
            "mAP is near 0: of %d objects %d are boxed, %d under their own category; are the "
            "model, its normalisation, the data set's box format (x, y, width, height in pixels) "
            "and the images those that belong together?",
            *(hits.objects, hits.any_class, hits.own_class),
        )


def _hits(truth: GroundTruth, rows: FloatArray) -> _Hits:
    objects: dict[int, list[int]] = defaultdict(list)
    for place in np.flatnonzero(~truth.crowds).tolist():
        objects[int(truth.image_ids[place])].append(place)
    some = sorted(objects)[:_IMAGES]
    order = np.argsort(rows[:, 0], kind="stable")
    begins = np.searchsorted(rows[order, 0], some, side="left")
    ends = np.searchsorted(rows[order, 0], some, side="right")
    pairs: Counter[tuple[int, int]] = Counter()
    total = boxed = own = 0
    for image, begin, end in zip(some, begins.tolist(), ends.tolist(), strict=True):
        places = objects[image]
        total += len(places)
        here = rows[order[begin:end]]
        here = here[np.argsort(-here[:, 5], kind="stable")[:_TOP]]
        if not len(here):
            continue
        over = _overlaps(truth.boxes[places], here[:, 1:5]) >= _OVERLAP
        best = over.argmax(axis=1)  # of those that overlap the one with the highest score
        for row, place in enumerate(places):
            if over[row, best[row]]:
                category, found = int(truth.category_ids[place]), int(here[best[row], 6])
                boxed += 1
                own += found == category
                pairs[found, category] += found != category
    return _Hits(total, boxed, own, pairs)


def _overlaps(ours: FloatArray, theirs: FloatArray) -> npt.NDArray[np.float64]:
    """Intersection over union of boxes (n, 4) and (m, 4) as x, y, width, height: (n, m)."""
    low = np.maximum(ours[:, None, :2], theirs[None, :, :2])
    high = np.minimum((ours[:, :2] + ours[:, 2:])[:, None], (theirs[:, :2] + theirs[:, 2:])[None])
    both = np.clip(high - low, 0, None).prod(axis=2)
    union = ours[:, 2:].prod(axis=1)[:, None] + theirs[:, 2:].prod(axis=1)[None] - both
    ratio: npt.NDArray[np.float64] = both / np.maximum(union, 1e-12)
    return ratio
