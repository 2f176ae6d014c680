"""Images whose size is not the one that the annotation file lists, and what the boxes then mean."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from flatshot.evaluation.annotations import GroundTruth
from flatshot.evaluation.dataset import DatasetImage
from flatshot.evaluation.outcome import Outcome

_log = logging.getLogger("flatshot")

# Boxes may touch the edge, and tools round.
_TOLERANCE = 1.5


def settle(
    images: Sequence[DatasetImage], outcomes: Sequence[Outcome], truth: GroundTruth
) -> list[Outcome]:
    """`outcomes` in the size that the annotated boxes are in; said aloud where sizes differ.

    Somebody resized the images and left the annotation file, or wrote a wrong size and drew right
    boxes. The boxes tell which: they lie inside the size that they are in, and an annotator's go
    near its edges. Of two sizes that hold as many of them the smaller one is right.

    Args:
        images: of the data set.
        outcomes: of images that could be read, each with the size of its image.
        truth: the annotated objects.

    Returns:
        The outcomes in their order; their `width` and `height` are the listed ones where the boxes
        are in those, so that detections, which are parts of the image, come out in them.
    """
    listed = {image.id: image for image in images if image.size is not None}
    other = {
        one.image_id: one
        for one in outcomes
        if one.image_id in listed and listed[one.image_id].size != (one.width, one.height)
    }
    if not other:
        return list(outcomes)
    sizes = {key: listed[key].size or (0, 0) for key in other}
    stored = {key: (one.width, one.height) for key, one in other.items()}
    follow = _score(truth, sizes) < _score(truth, stored) and not _swapped(sizes, stored)
    first = next(iter(other))
    _log.warning(
        "%d of %d images have another size than the annotation file lists (first: %s has %d x %d, "
        "listed %d x %d): boxes are taken in the %s",
        *(len(other), len(outcomes), listed[first].name, *stored[first], *sizes[first]),
        "listed size, as if the images were resized" if follow else "size that the images have",
    )
    if not follow:
        return list(outcomes)
    return [
        replace(one, width=sizes[one.image_id][0], height=sizes[one.image_id][1])
        if one.image_id in other
        else one
        for one in outcomes
    ]


def _score(truth: GroundTruth, sizes: Mapping[int, tuple[int, int]]) -> tuple[int, int]:
    """How badly boxes fit the sizes: how many end outside, then how large the sizes are."""
    keep = np.isin(truth.image_ids, list(sizes))
    edges = np.array([sizes[key] for key in truth.image_ids[keep].tolist()]).reshape(-1, 2)
    ends = truth.boxes[keep][:, :2] + truth.boxes[keep][:, 2:]
    outside = int((ends > edges + _TOLERANCE).any(axis=1).sum())
    return outside, sum(width * height for width, height in sizes.values())


def _swapped(sizes: Mapping[int, tuple[int, int]], stored: Mapping[int, tuple[int, int]]) -> bool:
    """Whether the listed sizes are those of the images with width and height exchanged.

    If the images were turned, nobody knows which way; if only the numbers were exchanged, the
    boxes are right as they are.
    """
    return all(sizes[key] == stored[key][::-1] for key in sizes)
