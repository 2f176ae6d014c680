"""The twelve figures are pycocotools', on data sets that hypothesis thinks of."""

import contextlib
import io
from dataclasses import asdict
from typing import Any

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import example, given

from flatshot.errors import DatasetError
from flatshot.evaluation import metrics
from flatshot.evaluation.annotations import GroundTruth
from flatshot.evaluation.metrics import METRIC_NAMES, CocoScores, FloatArray, score

CATEGORIES = {1: "cat", 3: "dog", 7: "cat"}

# Few places and sizes, on both sides of 32 and 96 pixels, so that boxes do meet; few scores, so
# that many are equal.
boxes = st.tuples(
    st.sampled_from([0.0, 3.5, 10.0, 40.0]),
    st.sampled_from([0.0, 4.25, 20.0]),
    st.sampled_from([0.0, 8.0, 10.0, 31.0, 33.0, 90.0, 120.0]),
    st.sampled_from([0.0, 8.0, 12.0, 32.0, 97.0]),
)
objects = st.tuples(
    st.integers(1, 5), st.sampled_from(sorted(CATEGORIES)), boxes, st.floats(0, 2e4), st.booleans()
)
found = st.tuples(
    st.integers(1, 5), st.sampled_from([1, 3, 7, 12]), boxes, st.sampled_from([0.1, 0.5, 0.9])
)


def truth_of(rows: list[Any]) -> GroundTruth:
    """Ground truth of rows as hypothesis draws them."""
    return GroundTruth(
        np.array([row[0] for row in rows], np.int64),
        np.array([row[1] for row in rows], np.int64),
        np.array([row[2] for row in rows], np.float64).reshape(-1, 4),
        np.array([row[3] for row in rows], np.float64),
        np.array([row[4] for row in rows], bool),
    )


def detections_of(rows: list[Any]) -> FloatArray:
    """Rows of results of tuples as hypothesis draws them."""
    table = [(image, *box, score, category) for image, category, box, score in rows]
    return np.array(table, np.float64).reshape(-1, 7)


def pycocotools_scores(
    truth: list[Any], detections: list[Any], images: list[int]
) -> tuple[list[float], dict[int, float]]:
    """The same by pycocotools, its talk thrown away."""
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    with contextlib.redirect_stdout(io.StringIO()):
        ground = COCO()
        ground.dataset = {
            "info": {},
            "images": [{"id": identity} for identity in range(1, 6)],
            "categories": [{"id": key, "name": name} for key, name in CATEGORIES.items()],
            "annotations": [
                {
                    "id": number,
                    "image_id": image,
                    "category_id": category,
                    "bbox": list(box),
                    "area": area,
                    "iscrowd": int(crowd),
                }
                for number, (image, category, box, area, crowd) in enumerate(truth, 1)
            ],
        }
        ground.createIndex()
        if detections:
            result = ground.loadRes(detections_of(detections))
        else:
            result = COCO()
            result.dataset = {**ground.dataset, "annotations": []}
            result.createIndex()
        evaluation = COCOeval(ground, result, "bbox")
        evaluation.params.imgIds = images
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    precision = evaluation.eval["precision"]
    per_class = {}
    for place, category in enumerate(sorted(CATEGORIES)):
        values = precision[:, :, place, 0, 2]
        values = values[values > -1]
        per_class[category] = float(values.mean()) if values.size else -1.0
    return [float(value) for value in evaluation.stats], per_class


CROWD = (1, 1, (0.0, 0.0, 120.0, 97.0), 11640.0, True)
PLAIN = (1, 1, (0.0, 0.0, 31.0, 32.0), 992.0, False)


@given(
    truth=st.lists(objects, max_size=25),
    detections=st.lists(found, max_size=40),
    images=st.lists(st.integers(1, 5), min_size=1, max_size=5, unique=True),
    portion=st.sampled_from([1, 4, metrics.PORTION]),
)
@example(truth=[PLAIN], detections=[], images=[1], portion=1)
@example(truth=[], detections=[(1, 1, PLAIN[2], 0.5)], images=[1, 2], portion=1)
@example(truth=[], detections=[], images=[3], portion=1)
@example(truth=[CROWD, PLAIN], detections=[(1, 1, CROWD[2], 0.9)] * 3, images=[1, 2], portion=1)
@example(truth=[PLAIN, PLAIN], detections=[(1, 1, PLAIN[2], 0.5)] * 4, images=[1], portion=1)
def test_figures_are_those_of_pycocotools(
    truth: list[Any], detections: list[Any], images: list[int], portion: int
) -> None:
    """Crowds, empty images, no detections, equal scores, unknown categories: all the same."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(metrics, "PORTION", portion)
        ours = score(truth_of(truth), CATEGORIES, images, detections_of(detections))
    figures, per_class = pycocotools_scores(truth, detections, images)
    # Means of the same arrays; 1e-12 leaves room for another order of summing.
    np.testing.assert_allclose(ours.figures.values(), figures, rtol=0, atol=1e-12)
    assert ours.per_class.keys() == per_class.keys()
    for category, value in per_class.items():
        assert abs(ours.per_class[category] - value) <= 1e-12  # as above


@given(detections=st.lists(found, max_size=30), order=st.randoms(use_true_random=False))
def test_the_order_of_images_does_not_matter(detections: list[Any], order: Any) -> None:
    """Threads finish images in any order; rows within an image keep theirs."""
    truth = truth_of([PLAIN, CROWD, (2, 3, (3.5, 4.25, 33.0, 97.0), 3201.0, False)])
    images = [1, 2, 3, 4, 5]
    before = score(truth, CATEGORIES, images, detections_of(detections))
    order.shuffle(images)
    shuffled = [row for image in images for row in detections if row[0] == image]
    after = score(truth, CATEGORIES, images, detections_of(shuffled))
    assert asdict(before.figures) == asdict(after.figures)


def one_right_one_wrong() -> CocoScores:
    """Image 1: a cat found, and a dog seen where there is none; image 2: a dog missed."""
    rows = [(1, 1, PLAIN[2], 0.9), (1, 3, (40.0, 20.0, 8.0, 8.0), 0.8)]
    truth = truth_of([PLAIN, (2, 3, (0.0, 0.0, 97.0, 97.0), 9409.0, False)])
    return score(truth, CATEGORIES, [1, 2], detections_of(rows))


def test_figures_by_hand() -> None:
    """One of two categories found perfectly: half, and -1 where there is nothing to find."""
    scores = one_right_one_wrong()
    # 101 equal precisions averaged: exact but for rounding.
    assert abs(scores.figures.AP - 0.5) <= 1e-12
    assert abs(scores.figures.AP_small - 1.0) <= 1e-12  # as above
    assert scores.figures.AP_medium == -1
    assert scores.figures.AP_large == 0
    assert scores.figures.mAP == scores.figures.AP
    assert scores.figures.recall == scores.figures.AR100 == 0.5
    assert scores.per_class[7] == -1
    assert scores.per_class[3] == 0


def test_names_follow_the_order_of_coco() -> None:
    """`mAP` is the first figure and `Recall` the ninth."""
    figures = one_right_one_wrong().figures
    assert tuple(figures.named()) == METRIC_NAMES
    assert figures.named()["DetectionBoxes_Precision/mAP"] == figures.values()[0] == figures.mAP
    assert figures.named()["DetectionBoxes_Recall/AR@100"] == figures.values()[8] == figures.recall


def test_no_image_cannot_be_scored() -> None:
    """-1 everywhere would look like a figure."""
    with pytest.raises(DatasetError, match="no image"):
        score(truth_of([]), CATEGORIES, [], detections_of([]))


def test_boxes_that_are_no_numbers_are_refused() -> None:
    """A model that diverged must not pass for one that finds nothing."""
    rows = detections_of([(1, 1, PLAIN[2], float("nan"))])
    with pytest.raises(DatasetError, match="finite"):
        score(truth_of([PLAIN]), CATEGORIES, [1], rows)


def test_scoring_prints_nothing(capfd: pytest.CaptureFixture[str]) -> None:
    """Only the command prints."""
    one_right_one_wrong()
    assert capfd.readouterr() == ("", "")
