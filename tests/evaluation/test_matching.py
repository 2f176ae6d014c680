"""A class finds its category by number or by name, and what is doubtful about that is said."""

import logging
from typing import cast

import numpy as np
import pytest

from flatshot.errors import ConfigError
from flatshot.evaluation.dataset import CocoDataset
from flatshot.evaluation.evaluate import evaluate
from flatshot.evaluation.matching import By, match
from flatshot.runtime.detector import Detector
from flatshot.runtime.labels import Labels
from tests.evaluation.conftest import PlannedDetector

NAMES = Labels({0: "cat", 1: "Stop sign", 2: "tv"})


def test_equal_numbers_need_no_word(caplog: pytest.LogCaptureFixture) -> None:
    """Cases, spaces and signs of names make no difference, nor do lists' habits."""
    matching = match(NAMES, 3, {1: "Cat", 2: "stop_sign", 3: "tvmonitor"}, [1, 2])
    assert matching.by == "number"
    assert matching.of(np.array([0, 2])).tolist() == [1, 3]
    assert caplog.text == ""


@pytest.mark.parametrize(
    ("categories", "expected"),
    [
        ({0: "cat", 1: "stop sign", 2: "tv"}, [0, 1, 2]),
        ({3: "cat", 1: "stop sign", 2: "tv"}, [3, 1, 2]),
        ({7: "tv", 90: "STOP-SIGN"}, [-1, 90, 7]),
        ({0: "animals", 1: "tv", 2: "cat", 3: "stop sign"}, [2, 3, 1]),
        ({0: "cat", 1: "cat", 2: "stop sign", 4: "tv"}, [1, 2, 4]),
    ],
)
def test_other_numbers_go_by_name(
    categories: dict[int, str], expected: list[int], caplog: pytest.LogCaptureFixture
) -> None:
    """Said aloud; of two categories of one name the one counts that objects have."""
    matching = match(NAMES, 3, categories, [1, 2, 3, 7])
    assert matching.by == "name"
    assert matching.of(np.arange(3)).tolist() == expected
    assert "matched by name" in caplog.text


def test_categories_without_a_class_are_told(caplog: pytest.LogCaptureFixture) -> None:
    """Their objects count as missed, as COCO's tools have it."""
    match(NAMES, 3, {0: "cat", 1: "dog"}, [0, 1])
    assert "1 of the 2 categories are no class of the model" in caplog.text
    assert "'dog'" in caplog.text


def test_names_that_fit_nowhere_leave_the_numbers(caplog: pytest.LogCaptureFixture) -> None:
    """Another language's names are no reason to count nothing."""
    assert match(NAMES, 3, {1: "Katze", 2: "Stoppschild"}, [1]).by == "number"
    assert (
        "2 of 2 classes have another name in the data set ('cat' is 'Katze' there)" in caplog.text
    )


@pytest.mark.parametrize(
    ("categories", "used", "says"),
    [
        ({0: "cat", 1: "tv", 2: "sign"}, [0, 1], "numbers its categories from 0"),
        ({1: "cat", 2: "tv", 30: "sign"}, [1], "go up to 30 and the model has 3 classes"),
        ({1: "cat", 2: "tv"}, [1], "end at 2 and the model has 3 classes"),
    ],
)
def test_numbers_that_cannot_be_right(
    categories: dict[int, str], used: list[int], says: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Without names nothing can be mended, but it is not passed over."""
    assert match(None, 3, categories, used).by == "number"
    assert says in caplog.text


def test_an_unused_zero_is_nothing(caplog: pytest.LogCaptureFixture) -> None:
    """Roboflow's files begin with a category 0 that no object has."""
    match(None, 3, {0: "shapes", 1: "cat", 2: "tv", 3: "sign"}, [1, 2, 3])
    assert caplog.text == ""


def test_coco_itself_needs_no_word(caplog: pytest.LogCaptureFixture) -> None:
    """80 categories up to 90, with names of all of them or without."""
    categories = {number: f"thing {number}" for number in range(1, 91) if number % 9}
    labels = Labels({number - 1: name for number, name in categories.items()})
    assert match(labels, 90, categories, list(categories)).by == "number"
    assert match(None, 90, categories | {90: "thing 90"}, list(categories)).by == "number"
    assert caplog.text == ""


def test_the_way_can_be_chosen(caplog: pytest.LogCaptureFixture) -> None:
    """By order, by number against the names, by name; or not at all."""
    others = {0: "cat", 1: "stop sign", 5: "tv"}
    assert match(None, 3, others, [0], "order").of(np.arange(4)).tolist() == [0, 1, 5, -1]
    assert match(NAMES, 3, others, [0], "number").of(np.arange(2)).tolist() == [1, 2]
    assert "--categories name" in caplog.text
    assert match(NAMES, 3, {1: "cat"}, [1], "name").by == "name"
    for labels, by, says in (
        (None, "name", "has no names"),
        (Labels({0: "x"}), "name", "no name is in both"),
        (None, "wish", "there are auto, number, name, order"),
    ):
        with pytest.raises(ConfigError, match=says):
            match(labels, 3, others, [0], cast(By, by))


def test_a_perfect_detector_of_other_numbers(
    grey: CocoDataset, caplog: pytest.LogCaptureFixture
) -> None:
    """With names its AP is 1; without them it is 0, and the reason is told."""
    detector = PlannedDetector()
    numbers = {1: 3, 2: 1, 3: 2}
    grey.categories = {numbers[key]: name for key, name in grey.categories.items()}
    grey.truth.category_ids[:] = [numbers[key] for key in grey.truth.category_ids.tolist()]
    with caplog.at_level(logging.WARNING, logger="flatshot"):
        result = evaluate(cast(Detector, detector), grey, latency_images=0)
    assert result.mAP == 0
    assert "6 of 6 objects are boxed and only 0 of them under their own category" in caplog.text
    detector.labels = Labels({0: "a", 1: "b", 2: "c"})
    result = evaluate(cast(Detector, detector), grey, latency_images=0)
    assert abs(result.mAP - 1) <= 1e-12
    assert result.options["categories"] == "name"


def test_boxes_that_lie_nowhere(grey: CocoDataset, caplog: pytest.LogCaptureFixture) -> None:
    """An AP of 0 is never without a word."""
    grey.truth.boxes[:, 0] += 500
    assert evaluate(cast(Detector, PlannedDetector()), grey, latency_images=0).mAP == 0
    assert "mAP is near 0: of 6 objects 0 are boxed" in caplog.text
