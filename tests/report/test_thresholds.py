"""From which score to draw: what is counted above each threshold."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flatshot.report.thresholds import thresholds
from tests.report.studies import found_boxes, study, write_set


def test_counts_by_hand(tmp_path: Path) -> None:
    """Three objects: two right boxes at 0.9 and 0.3, a false one at 0.6."""
    dataset = write_set(tmp_path, ["cat"], images=1, objects=4)  # the first is a crowd
    boxes = dataset.truth.boxes[~dataset.truth.crowds]
    x, y, wide, high = dataset.truth.boxes[0]
    off = (0 if x > 3 else x + wide, 0 if y > 3 else y + high)  # a corner that the crowd leaves
    rows = np.array(
        [
            [0, *boxes[0], 0.9, 1],
            [0, *boxes[1], np.float32(0.3), 1],
            [0, *off, 3, 3, 0.6, 1],
        ]
    )
    told = thresholds(study(dataset, rows))
    assert told.precision[told.at(0.3)] == pytest.approx(2 / 3)
    assert told.recall[told.at(0.3)] == pytest.approx(2 / 3)
    assert told.precision[told.at(0.5)] == pytest.approx(1 / 2)
    assert told.precision[told.at(0.7)] == 1
    assert told.recall[told.at(0.95)] == 0
    assert told.boxes[told.at(0.5)] == 2
    assert told.recommended == pytest.approx(0.3)


@pytest.mark.parametrize("threshold", [0.3, 0.5, 0.8])
def test_fewer_boxes_match_alike(tmp_path: Path, threshold: float) -> None:
    """What is right above a threshold is right among the boxes above it alone."""
    dataset = write_set(tmp_path, ["cat", "dog"])
    found = found_boxes(dataset)
    told = thresholds(study(dataset, found))
    kept = thresholds(study(dataset, found[found[:, 5] >= threshold]))
    place = told.at(threshold)
    assert told.f1[place] == kept.f1[place]
    assert told.precision[place] == kept.precision[place]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for one data set."""
    return tmp_path_factory.mktemp("made") / "set"


@given(keep=st.floats(0, 1), seed=st.integers(0, 2**31))
def test_the_recommended_threshold_is_nearly_the_best(made: Path, keep: float, seed: int) -> None:
    """Its F1 is within 1 % of the best, and all shares lie in 0..1."""
    from flatshot.evaluation.dataset import CocoDataset

    dataset = CocoDataset(made) if made.exists() else write_set(made, ["cat", "dog"], images=3)
    told = thresholds(study(dataset, found_boxes(dataset, keep, seed)))
    assert told.f1[told.at(told.recommended)] >= 0.99 * told.f1.max()
    for values in (told.precision, told.recall, told.f1):
        assert ((values >= 0) & (values <= 1)).all()
    assert told.band[0] <= told.recommended <= told.band[1] or told.f1.max() == 0
