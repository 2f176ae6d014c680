"""What a detector found, and ways to pick from it."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from flatshot.runtime.detections import Detections
from flatshot.runtime.detector import Detector
from tests.runtime.tiny import Tiny


def three() -> Detections:
    """Three detections, the second partly outside the image."""
    return Detections(
        boxes=np.array([[0.1, 0.2, 0.3, 0.4], [-0.1, 0, 1.2, 1], [0, 0, 0, 0]], np.float32),
        scores=np.array([0.9, 0.5, 0.5], np.float32),
        classes=np.array([7, 0, 3]),
        names=("train", "person", "car"),
    )


def test_pixels_are_x_first_and_not_clipped() -> None:
    """Width goes with x, height with y."""
    want = [[20, 5, 40, 15], [0, -5, 100, 60], [0, 0, 0, 0]]
    # Boxes are float32: 3e-8 off at .1 times 100 pixels.
    np.testing.assert_allclose(three().pixels(100, 50), want, atol=1e-5)


def test_picking() -> None:
    """A mask, a slice, indices and one index all give detections."""
    found = three()
    assert len(found) == 3
    assert found[found.scores > 0.6].names == ("train",)
    assert found[1:].classes.tolist() == [0, 3]
    assert found[[0, 2]].names == ("train", "car")
    assert found[1].boxes.tolist() == found.boxes[1:2].tolist()
    assert len(found[np.zeros(3, bool)]) == 0


def test_types_are_settled() -> None:
    """Whatever kind of number comes in."""
    found = Detections(np.zeros((1, 4)), np.ones(1), np.zeros(1, np.float32))  # type: ignore[arg-type]
    assert found.boxes.dtype == np.float32
    assert found.scores.dtype == np.float32
    assert found.classes.dtype == np.int64
    assert found.names is None
    nothing = Detections(np.zeros((0, 4)), np.zeros(0), np.zeros(0))  # type: ignore[arg-type]
    assert len(nothing) == 0
    assert nothing.pixels(3, 4).shape == (0, 4)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"boxes": np.zeros((2, 4))}, "do not fit together"),
        ({"classes": np.zeros((3, 1))}, "do not fit together"),
        ({"names": ("a",)}, "1 names for 3 detections"),
        ({"scores": np.array([0.1, 0.2, 0.3])}, "must fall"),
        ({"scores": np.array([0.3, np.nan, 0.1])}, "must fall"),
        ({"classes": np.array([0, -1, 2])}, "count from 0"),
    ],
)
def test_what_cannot_be(change: dict[str, object], message: str) -> None:
    """Refused where it is made, not where it is used."""
    found = three()
    parts = {"boxes": found.boxes, "scores": found.scores, "classes": found.classes}
    with pytest.raises(ValueError, match=message):
        Detections(**(parts | change))  # type: ignore[arg-type]


def test_a_short_repr_a_dictionary_and_a_table() -> None:
    """What a terminal, a JSON file and a notebook show; names are escaped."""
    found = Detections(
        np.zeros((7, 4), np.float32),
        np.linspace(0.9, 0.3, 7, dtype=np.float32),
        np.arange(7),
        tuple("<abcdef"),
    )
    assert repr(found) == "<Detections: < 0.90, a 0.80, b 0.70, c 0.60, d 0.50, 2 more>"
    assert repr(found[:0]) == "<Detections: none>"
    content = found.to_dict()
    assert json.loads(json.dumps(content)) == content
    assert content["names"] == list("<abcdef")
    table = found._repr_html_()
    assert "<td>&lt;</td><td>0.900</td>" in table
    assert Detections(
        np.zeros((1, 4), np.float32), np.ones(1, np.float32), np.array([4])
    ).to_dict()["names"] == ["class 4"]


def test_draw_takes_what_the_detector_takes(tmp_path: Path) -> None:
    """A path, an array in either order of channels, a Pillow image: the same picture."""
    pixels = np.random.default_rng(1).integers(0, 256, (40, 60, 3), np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    found = Detections(
        np.array([[0.1, 0.1, 0.8, 0.9]], np.float32), np.ones(1, np.float32), np.zeros(1, np.int64)
    )
    pictures = [
        found.draw(pixels),
        found.draw(tmp_path / "a.png"),
        found.draw(Image.fromarray(pixels)),
        found.draw(pixels[:, :, ::-1], bgr=True),
    ]
    for picture in pictures:
        np.testing.assert_array_equal(np.asarray(picture), np.asarray(pictures[0]))
    assert (np.asarray(pictures[0]) != pixels).any()


def test_the_detector_takes_pillow_images_and_bgr() -> None:
    """With the detections of the array; photos upright."""
    detector = Detector(Tiny().bytes())
    pixels = np.random.default_rng(1).integers(0, 256, (40, 60, 3), np.uint8)
    plain = detector(pixels)
    for found in (detector(Image.fromarray(pixels)), detector(pixels[:, :, ::-1], bgr=True)):
        np.testing.assert_array_equal(found.boxes, plain.boxes)
        np.testing.assert_array_equal(found.scores, plain.scores)
    grey = Image.fromarray(pixels[:, :, 0])
    assert detector.load(grey).shape == (40, 60, 3)
