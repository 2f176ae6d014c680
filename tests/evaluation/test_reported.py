"""Data sets that people reported give the figures of the plain one, or say why they cannot."""

from pathlib import Path

import pytest

from flatshot.conversion.convert import convert
from flatshot.demo.detector_files import write_detector
from flatshot.evaluation.dataset import CocoDataset
from flatshot.evaluation.evaluate import evaluate
from flatshot.models.export import export
from flatshot.runtime.detector import Detector


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The demo's detector with 100 detections."""
    prefix = write_detector(tmp_path_factory.mktemp("demo"))
    graph = export(prefix.parent, use_regular_nms=True, max_detections=100)
    return bytes(convert(graph).to_bytes())


def figure(model: bytes, folder: Path, labels: Path | None = None) -> float:
    """The mAP on a data set."""
    return evaluate(Detector(model, labels=labels), CocoDataset(folder), latency_images=0).mAP


def test_categories_that_are_numbered_otherwise(
    data: Path, model: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    """With names the plain figure to the last digit; without, a word on why it is low."""
    case = data / "cases" / "07-data-category-numbers"
    plain = figure(model, case / "plain", case / "labels.txt")
    assert caplog.text == ""
    assert plain > 0.8
    for name in ("from_0", "shuffled"):
        assert figure(model, case / name, case / "labels.txt") == plain
        assert "matched by name" in caplog.text
        caplog.clear()
        assert figure(model, case / name) < 0.2
        assert "numbered in another way" in caplog.text
        caplog.clear()


def test_images_of_another_size_or_turned(
    data: Path, model: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    """Turned photos as their upright copies; small copies nearly as the images themselves."""
    case = data / "cases" / "08-data-size-and-orientation"
    assert figure(model, case / "turned_by_exif") == figure(model, case / "upright")
    plain = figure(model, case / "plain")
    assert caplog.text == ""
    # Half the pixels, compressed once more.
    assert abs(figure(model, case / "half_size") - plain) < 0.05
    assert "scene_0000006.jpg has 128 x 128, listed 256 x 256" in caplog.text
