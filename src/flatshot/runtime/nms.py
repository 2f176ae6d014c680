"""The post-processing in NumPy, with the results of TFLite_Detection_PostProcess.

The operator decodes the boxes, then suppresses what overlaps a better box. There are two kinds:

- **regular**: within each class by itself, then the best detections of all classes;
- **fast**: once over all anchors, each with its best class; further classes of a box come along.

The operator runs the regular kind over all anchors for each class, whatever is asked for in the
end. Here both kinds are one greedy pass in the order of the scores that stops when enough is
kept. A candidate is kept unless a better one of its group (its class, or one group for all)
overlaps it; nothing after it in the order can change that. So what is kept up to any point is what
the operator would keep.

Equal scores: the operator of today's LiteRT takes the lower class first, then the lower anchor,
and so does this. (Two corners of it leave ties open: the regular kind on several threads merges
classes as the threads finish, and the fast kind sorts the classes of a box with std::partial_sort
when it reports more than one of them.) A score that is not a number is never a candidate here.
"""

import logging
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from flatshot.errors import ConfigError
from flatshot.formats.postprocess import PostProcessSettings

Floats = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int64]

_log = logging.getLogger("flatshot")
# Candidates that are compared with each other at once: few enough that most images, which keep
# 100, need one or two rounds, and enough that NumPy's cost of a call does not count.
_BLOCK = 96
_LATER = np.triu(np.ones((_BLOCK, _BLOCK), bool), 1)
# So many pairs of anchor and class are sorted at once without a thought.
_FEW = 2048

Candidates = Iterator[tuple[Ints, Ints]]
Decoder = Callable[[Ints], Floats]


class Selected(NamedTuple):
    """The entries that the operator writes, in its order and nothing past its count.

    `boxes` (n, 4) float32 as ymin, xmin, ymax, xmax in parts of the image; `classes` (n,) int64
    from 0 without background; `scores` (n,) float32; `dropped`, the number of decoded boxes that
    end before they begin. With more than one class a box the scores fall only within a box and
    from box to box, not from entry to entry.
    """

    boxes: Floats
    classes: Ints
    scores: Floats
    dropped: int


def postprocess(
    box_encodings: npt.NDArray[np.floating[Any]],
    scores: npt.NDArray[np.floating[Any]],
    anchors: npt.NDArray[np.floating[Any]],
    settings: PostProcessSettings,
) -> Selected:
    """What the operator makes of the raw outputs of a network.

    A decoded box with ymin > ymax or xmin > xmax makes the operator fail the whole image. Here
    such a box is left out, counted and reported in the log.

    Args:
        box_encodings: (n, 4 or more) ty, tx, th, tw for each anchor; further columns (keypoints)
            are ignored.
        scores: (n, c), c being the number of classes, or one more with the background first.
        anchors: (n, 4) centre y, centre x, height, width in parts of the image.
        settings: what to do.

    Raises:
        ConfigError: the shapes do not fit each other or the number of classes.
    """
    box_encodings, scores, anchors = (
        np.asarray(part, np.float32) for part in (box_encodings, scores, anchors)
    )
    _check_shapes(box_encodings, scores, anchors, settings)

    def decoded(rows: Ints) -> Floats:
        return decode(box_encodings[rows], anchors[rows], settings)

    dropped = 0
    # Only an anchor of negative size can make a box that ends before it begins.
    if (anchors[:, 2:] < 0).any():
        boxes = decode(box_encodings, anchors, settings)
        bad = (boxes[:, 0] > boxes[:, 2]) | (boxes[:, 1] > boxes[:, 3])
        dropped = int(np.count_nonzero(bad))
        scores = np.where(bad[:, None], np.float32(np.nan), scores)
    if dropped:
        _log.warning("%d boxes that end before they begin were left out", dropped)
    select = _regular if settings.use_regular_nms else _fast
    return Selected(*select(scores, decoded, settings), dropped)


def _check_shapes(
    box_encodings: Floats, scores: Floats, anchors: Floats, settings: PostProcessSettings
) -> None:
    flat = box_encodings.ndim != 2 or scores.ndim != 2 or box_encodings.shape[1] < 4
    if flat or anchors.shape != (len(box_encodings), 4) or len(scores) != len(anchors):
        must = "be (n, 4 or more) and (n, classes)" if flat else "have one row for each anchor"
        raise ConfigError(
            f"raw outputs must {must}, not box encodings {box_encodings.shape}, scores "
            f"{scores.shape}, anchors {anchors.shape}"
        )
    if scores.shape[1] - settings.num_classes not in (0, 1):
        raise ConfigError(
            f"num_classes is {settings.num_classes}, and the model has {scores.shape[1]} columns "
            "of scores; they must be as many, or one more with the background"
        )


def decode(box_encodings: Floats, anchors: Floats, settings: PostProcessSettings) -> Floats:
    """The corners of the boxes, (n, 4) float32 as ymin, xmin, ymax, xmax.

    Centre = t / scale * size of the anchor + its centre; half a size = exp(t / scale) / 2 * size of
    the anchor (Faster R-CNN's box coder). As in the operator, centre and half size are computed in
    double precision and rounded to float32 before they are added.
    """
    code = box_encodings[:, :4].astype(np.float64)
    centre, size = anchors[:, :2].astype(np.float64), anchors[:, 2:].astype(np.float64)
    # The operator keeps its scales in single precision.
    shift = np.array([settings.y_scale, settings.x_scale], np.float32)
    stretch = np.array([settings.h_scale, settings.w_scale], np.float32)
    # Sizes beyond float32 become infinite there too, and infinity minus infinity no number.
    with np.errstate(over="ignore", invalid="ignore", under="ignore"):
        middle = (code[:, :2] / shift * size + centre).astype(np.float32)
        half = (0.5 * np.exp(code[:, 2:] / stretch) * size).astype(np.float32)
        return np.concatenate([middle - half, middle + half], axis=1)


def _regular(
    scores: Floats, decoded: Decoder, settings: PostProcessSettings
) -> tuple[Floats, Ints, Floats]:
    anchors, classes, boxes = _greedy(
        _pairs(scores, settings),
        decoded,
        np.float32(settings.nms_iou_threshold),
        settings.max_detections,
        settings.detections_per_class,
    )
    background = scores.shape[1] - settings.num_classes
    return boxes, classes, scores[anchors, classes + background]


def _fast(
    scores: Floats, decoded: Decoder, settings: PostProcessSettings
) -> tuple[Floats, Ints, Floats]:
    scores = scores[:, scores.shape[1] - settings.num_classes :]
    # fmax passes over what is not a number.
    best = np.fmax.reduce(scores, axis=1)
    candidates = np.flatnonzero(best >= np.float32(settings.nms_score_threshold))
    order = candidates[np.argsort(-best[candidates], kind="stable")]
    anchors, _, boxes = _greedy(
        iter([(order, np.zeros_like(order))]),
        decoded,
        np.float32(settings.nms_iou_threshold),
        settings.max_detections,
        settings.max_detections,
    )
    columns = min(settings.max_classes_per_detection, settings.num_classes)
    # What is not a number comes after everything that is one.
    found = scores[anchors]
    found = np.where(np.isnan(found), np.float32(-np.inf), found)
    if columns == 1:
        classes = np.argmax(found, axis=1, keepdims=True)
    else:
        classes = np.argsort(-found, axis=1, kind="stable")[:, :columns]
    values = np.take_along_axis(found, classes, axis=1)
    return np.repeat(boxes, columns, axis=0), classes.ravel(), values.ravel()


def _pairs(scores: Floats, settings: PostProcessSettings) -> Candidates:
    """The (anchor, class) pairs that reach the threshold, best first.

    Where they are few they come at once, and in growing portions where they are many: the k-th best
    of the anchors' best scores is a floor that at least k pairs reach, and only the anchors above
    it can hold them. So a portion is found without sorting all pairs.
    """
    # It is false for what is not a number.
    reached = scores >= np.float32(settings.nms_score_threshold)
    background = scores.shape[1] - settings.num_classes
    if np.count_nonzero(reached) > _FEW:
        yield from _portions(scores[:, background:], settings)
        return
    row, column = np.divmod(np.flatnonzero(reached), scores.shape[1])
    if background:
        row, column = row[column > 0], column[column > 0]
    order = np.lexsort((row, column, -scores[row, column]))
    yield row[order], column[order] - background


def _portions(scores: Floats, settings: PostProcessSettings) -> Candidates:
    threshold = np.float32(settings.nms_score_threshold)
    best = np.fmax.reduce(scores, axis=1)
    rows = np.flatnonzero(best >= threshold)
    rows = rows[np.argsort(-best[rows], kind="stable")]
    depth = max(settings.max_detections, _BLOCK)
    ceiling = np.float32(np.inf)
    first = True
    while rows.size:
        floor = max(threshold, best[rows[depth - 1]]) if depth < rows.size else threshold
        inside = np.sort(rows[best[rows] >= floor])
        values = scores[inside]
        # The first portion has no upper end, so that infinite scores are in it.
        picked = (values >= floor) if first else (values >= floor) & (values < ceiling)
        row, classes = np.nonzero(picked)
        order = np.lexsort((row, classes, -values[row, classes]))
        yield inside[row[order]], classes[order]
        if depth >= rows.size:
            return
        ceiling, first, depth = floor, False, depth * 4


def _greedy(
    portions: Candidates, decoded: Decoder, threshold: np.float32, limit: int, group_limit: int
) -> tuple[Ints, Ints, Floats]:
    """The anchors, groups and boxes that are kept of candidates that come best first.

    Args:
        portions: (anchors, groups) of candidates; groups do not compete with each other.
        decoded: gives the (n, 4) boxes of n anchors.
        threshold: overlap above which the later of two candidates goes.
        limit: how many are kept in all.
        group_limit: how many are kept of one group.
    """
    kept_anchors = np.zeros(0, np.int64)
    kept_groups = np.zeros(0, np.int64)
    kept_boxes = np.zeros((0, 4), np.float32)
    for anchors, groups in _blocks(portions):
        boxes = decoded(anchors)
        taken = _free(kept_groups, kept_boxes, groups, boxes, threshold)
        kept_anchors = np.concatenate([kept_anchors, anchors[taken]])
        kept_groups = np.concatenate([kept_groups, groups[taken]])
        kept_boxes = np.concatenate([kept_boxes, boxes[taken]])
        if group_limit < limit:
            room = _rank(kept_groups) < group_limit
            kept_anchors, kept_groups = kept_anchors[room], kept_groups[room]
            kept_boxes = kept_boxes[room]
        if kept_anchors.size >= limit:
            break
    return kept_anchors[:limit], kept_groups[:limit], kept_boxes[:limit]


def _blocks(portions: Candidates) -> Candidates:
    for anchors, groups in portions:
        for start in range(0, anchors.size, _BLOCK):
            yield anchors[start : start + _BLOCK], groups[start : start + _BLOCK]


def _free(
    kept_groups: Ints, kept_boxes: Floats, groups: Ints, boxes: Floats, threshold: np.float32
) -> npt.NDArray[np.bool_]:
    """Which of a block neither what is kept suppresses nor a survivor of the block before it."""
    alive = np.ones(groups.size, bool)
    if kept_groups.size:
        rivals = (kept_groups[:, None] == groups) & overlaps(kept_boxes, boxes, threshold)
        alive = ~rivals.any(axis=0)
    # Row i holds those after i that it would suppress.
    rivals = (groups[:, None] == groups) & overlaps(boxes, boxes, threshold)
    rivals &= _LATER[: groups.size, : groups.size]
    for position in np.flatnonzero(rivals.any(axis=1)).tolist():
        if alive[position]:
            alive &= ~rivals[position]
    return alive


def _rank(groups: Ints) -> Ints:
    """How many of the same group come before each."""
    order = np.argsort(groups, kind="stable")
    ordered = groups[order]
    starts = np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1]]) if groups.size else order
    sizes = np.diff(np.r_[starts, groups.size])
    rank = np.empty_like(order)
    rank[order] = np.arange(groups.size) - np.repeat(starts, sizes)
    return rank


def overlaps(a: Floats, b: Floats, threshold: np.float32) -> npt.NDArray[np.bool_]:
    """Which boxes of `a` (n, 4) and `b` (m, 4) overlap by more than `threshold`: (n, m) bool.

    The overlap is intersection over union in single precision; the boxes are not clipped to the
    image. The order of the operations is the operator's. A box without an area overlaps nothing:
    its share is 0, or 0 / 0, for which a comparison is false.
    """
    top, left, bottom, right = np.ascontiguousarray(b.T)
    with np.errstate(invalid="ignore", over="ignore", divide="ignore", under="ignore"):
        area_a = (a[:, 2] - a[:, 0]) * (a[:, 3] - a[:, 1])
        area_b = (bottom - top) * (right - left)
        zero = np.float32(0)
        common = np.minimum(a[:, 2, None], bottom)
        common -= np.maximum(a[:, 0, None], top)
        np.maximum(common, zero, out=common)
        width = np.minimum(a[:, 3, None], right)
        width -= np.maximum(a[:, 1, None], left)
        np.maximum(width, zero, out=width)
        common *= width
        union = area_a[:, None] + area_b
        union -= common
        common /= union
        return np.asarray(common > threshold)
