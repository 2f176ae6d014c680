"""Boxes are in the size that holds them, whatever happened to the images or the listed sizes."""

import json
from pathlib import Path
from typing import Any, cast

import pytest
from PIL import Image

from flatshot.evaluation.dataset import CocoDataset
from flatshot.evaluation.evaluate import evaluate
from flatshot.runtime.detector import Detector
from tests.evaluation.conftest import PlannedDetector, write_dataset


def changed(root: Path, **rows: Any) -> CocoDataset:
    """The grey data set with other listed sizes, and boxes multiplied."""
    file = write_dataset(root) / "annotations" / "instances_grey.json"
    content = json.loads(file.read_text())
    for number, image in enumerate(content["images"]):
        width, height = rows["size"]
        image |= {
            "width": width,
            "height": height if height != 1 else round(height) * (20 + number),
        }
    for row in content["annotations"]:
        row["bbox"] = [value * rows.get("scale", 1) for value in row["bbox"]]
    file.write_text(json.dumps(content))
    return CocoDataset(root)


def figures(dataset: CocoDataset) -> float:
    """The AP of a detector that finds everything where it is on the image."""
    return evaluate(cast(Detector, PlannedDetector()), dataset, latency_images=0).mAP


def test_resized_images(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Boxes beyond the images' edges are in the listed size: scaled, and said so once."""
    dataset = changed(tmp_path / "set", size=(40, 80), scale=1)
    for image in dataset.images:
        with Image.open(image.path) as picture:
            picture.resize((20, picture.height // 2)).save(image.path)
    # Heights of 20 to 25 in a listed 80: the boxes end within, so that widths decide.
    dataset.truth.boxes[:, 2:] = [20, 80]
    dataset.truth.areas[:] = 1600
    assert abs(figures(dataset) - 1) <= 1e-12
    assert caplog.text.count("another size") == 1
    assert "6 of 6 images have another size" in caplog.text
    assert "000.png has 20 x 10, listed 40 x 80" in caplog.text
    assert "boxes are taken in the listed size" in caplog.text


@pytest.mark.parametrize("size", [(640, 640), (10, 10)])
def test_wrong_sizes_on_right_boxes(
    tmp_path: Path, size: tuple[int, int], caplog: pytest.LogCaptureFixture
) -> None:
    """A script that lists one size for all does no harm, but is told."""
    assert abs(figures(changed(tmp_path / "set", size=size)) - 1) <= 1e-12
    assert "boxes are taken in the size that the images have" in caplog.text


def test_larger_images(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Boxes that all lie in a corner of larger images are in the smaller, listed size."""
    dataset = changed(tmp_path / "set", size=(20, 10))
    dataset.truth.boxes[:] = [0, 0, 10, 10]
    assert abs(figures(dataset) - 1) <= 1e-12
    assert "boxes are taken in the listed size" in caplog.text


def test_right_and_unknown_sizes_need_no_word(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Nor do zeros, which some tools write."""
    assert abs(figures(changed(tmp_path / "zero", size=(0, 0))) - 1) <= 1e-12
    assert abs(figures(changed(tmp_path / "right", size=(40, 1.0))) - 1) <= 1e-12
    assert caplog.text == ""
