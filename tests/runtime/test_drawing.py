"""Boxes and labels in images: seen on any ground, inside the picture, alike for a class."""

import itertools

import numpy as np
import pytest

from flatshot.runtime.detections import Detections
from flatshot.runtime.drawing import colour, contrast, draw


def found(*boxes: tuple[float, float, float, float], classes: tuple[int, ...] = ()) -> Detections:
    """Detections at `boxes` (ymin, xmin, ymax, xmax)."""
    n = len(boxes)
    return Detections(
        np.array(boxes, np.float32).reshape(n, 4),
        np.linspace(0.9, 0.5, n, dtype=np.float32),
        np.array(classes or range(n)),
        ("a name",) * n,
    )


def luminance(tint: tuple[int, int, int]) -> float:
    """Relative luminance, by the definition of WCAG 2."""
    c = np.array(tint) / 255
    linear = np.where(c <= 0.03928, c / 12.92, ((c + 0.055) / 1.055) ** 2.4)
    return float(linear @ [0.2126, 0.7152, 0.0722])


def test_colours_can_be_told_apart_and_read() -> None:
    """On black and with their text; neighbours differ."""
    tints = [colour(i) for i in range(90)]
    assert len(set(tints)) == 90
    for tint, after in itertools.pairwise(tints):
        assert sum(abs(a - b) for a, b in zip(tint, after, strict=True)) > 100
        light = luminance(tint) + 0.05
        assert light / 0.05 >= 3  # WCAG 2 on graphics
        text = luminance(contrast(tint)) + 0.05
        assert max(light, text) / min(light, text) >= 4.5  # WCAG 2 on text


@pytest.mark.parametrize("ground", [0, 128, 255])
@pytest.mark.parametrize("size", [(240, 320), (1200, 900), (12, 9)])
def test_a_box_shows_on_any_ground(ground: int, size: tuple[int, int]) -> None:
    """Its colour and its dark rim are there; the original is untouched."""
    pixels = np.full((*size, 3), ground, np.uint8)
    drawn = draw(pixels, found((0.25, 0.25, 0.75, 0.75), classes=(4,)))
    assert (pixels == ground).all()
    assert drawn.shape == pixels.shape
    bottom = drawn[: -size[0] // 8, size[1] // 2].tolist()
    assert list(colour(4)) in bottom
    assert [0, 0, 0] in bottom


def test_nothing_is_drawn_of_what_lies_outside() -> None:
    """Nor of boxes that are empty or no numbers; a box is clipped."""
    pixels = np.full((100, 100, 3), 77, np.uint8)
    inf, nan = float("inf"), float("nan")
    outside = [(0.2, 1.1, 0.4, 1.3), (-0.5, 0.1, -0.2, 0.3), (0.5, 0.5, 0.5, 0.5)]
    assert (draw(pixels, found(*outside, (nan, 0, 1, 1))) == 77).all()
    assert (draw(pixels, found((-inf, -inf, inf, inf))) != 77).any()
    assert (draw(pixels, found()) == 77).all()


def test_labels_stay_inside_and_apart() -> None:
    """A label at each corner, and three at one place."""
    pixels = np.full((300, 300, 3), 128, np.uint8)
    tiny = [(0, 0, 0.02, 0.02), (0, 0.98, 0.02, 1), (0.98, 0, 1, 0.02), (0.98, 0.98, 1, 1)]
    drawn = draw(pixels, found(*tiny))
    for index in range(4):
        filled = (drawn == colour(index)).all(axis=2)
        assert filled.sum() > 300  # a label's ground, not only the little frame
    stacked = draw(pixels, found(*[(0.4, 0.4, 0.6, 0.6)] * 3))
    for index in range(3):
        assert (stacked == colour(index)).all(axis=2).sum() > 300
