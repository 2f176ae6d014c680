"""What the page is given: the detector's own detections, with any settings, from one pass."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

from flatshot.errors import ConfigError, ImageError
from flatshot.runtime.detector import Detector
from flatshot.serve.tryout import KEPT_IMAGES, Tryout


def boxes(answer: dict[str, Any], model: int = 0) -> list[list[float]]:
    """The boxes of one model."""
    return [row["box"] for row in answer["models"][model]["detections"]]


def test_it_finds_what_the_detector_finds(detector: Detector, photograph: bytes) -> None:
    """Without changes the answer is that of the detector itself; each box has its anchor."""
    answer = Tryout({"tiny": detector}).look(photograph)
    found = detector(photograph)
    assert np.allclose(boxes(answer), found.boxes, atol=1e-6)  # rounded to six decimals
    assert [row["score"] for row in answer["models"][0]["detections"]] == found.scores.tolist()
    assert (answer["width"], answer["height"]) == (80, 60)
    anchors = [row["anchor"] for row in answer["models"][0]["detections"]]
    raw = detector.network(detector.prepare(detector.load(photograph)))
    assert anchors == detector.origins(raw, found).tolist()


@pytest.mark.parametrize(
    "changes",
    [
        {"max_detections": 3},
        {"use_regular_nms": True, "nms_iou_threshold": 0.3},
        {"nms_score_threshold": 0.5},
    ],
)
def test_settings_need_no_second_pass(
    detector: Detector, photograph: bytes, changes: dict[str, Any]
) -> None:
    """Changed settings give what a detector with those settings gives."""
    tryout = Tryout({"tiny": detector})
    image = tryout.look(photograph)["image"]
    answer = tryout.find(image, changes)
    raw = detector.network(detector.prepare(detector.load(photograph)))
    expected = detector.finish(raw, detector.settings.override(**changes))
    assert np.allclose(boxes(answer), expected.boxes, atol=1e-6)
    assert len(boxes(answer)) == len(expected)


def test_anchors_decode_to_their_boxes(detector: Detector, photograph: bytes) -> None:
    """The anchor that is told is the one whose box it is."""
    from flatshot.runtime import nms

    raw = detector.network(detector.prepare(detector.load(photograph)))
    found = detector.finish(raw)
    rows = detector.origins(raw, found)
    encodings, _, anchors = detector._raw_outputs(raw)
    decoded = nms.decode(encodings[rows], anchors[rows], detector.settings)
    assert np.array_equal(decoded, found.boxes)


@pytest.mark.parametrize(
    "changes", [{"num_classes": 3}, {"max_detections": -1}, {"nms_iou_threshold": "x"}]
)
def test_other_changes_are_refused(
    detector: Detector, photograph: bytes, changes: dict[str, Any]
) -> None:
    """Names that the page has no control for, and values out of range."""
    tryout = Tryout({"tiny": detector})
    image = tryout.look(photograph)["image"]
    with pytest.raises(ConfigError):
        tryout.find(image, changes)


def test_old_images_are_let_go(detector: Detector, photograph: bytes) -> None:
    """Only the last few images are kept."""
    tryout = Tryout({"tiny": detector})
    first = tryout.look(photograph)["image"]
    for _ in range(KEPT_IMAGES):
        tryout.look(photograph)
    with pytest.raises(ImageError, match="give it again"):
        tryout.find(first, {})


def test_many_at_once(detector: Detector, photograph: bytes) -> None:
    """Questions from many threads get the answers that one at a time would get."""
    tryout = Tryout({"one": detector, "two": detector.fork()})
    expected = boxes(tryout.look(photograph))
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(tryout.look, [photograph] * 24))
    assert all(boxes(answer, model) == expected for answer in answers for model in (0, 1))
