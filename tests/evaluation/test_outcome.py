"""Detections become rows of COCO results: in pixels, with CK's decimals if asked."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from flatshot.evaluation.outcome import Outcome, coco_rows

ONE = Outcome(
    image_id=139,
    width=640,
    height=426,
    boxes=np.array([[0.1, 0.2, 0.30001, 0.4], [-0.01, 0, 1.2, 1]], np.float32),
    scores=np.array([0.98765, 0.5], np.float32),
    classes=np.array([0, 11], np.int32),
)


def test_exact_rows() -> None:
    """x, y, width, height of float32 boxes times the size in double precision; not clipped."""
    rows, unknown = coco_rows([ONE], [1, 12])
    assert unknown == 0
    boxes = ONE.boxes.astype(float)
    assert rows[0].tolist() == [
        139,
        boxes[0, 1] * 640,
        boxes[0, 0] * 426,
        boxes[0, 3] * 640 - boxes[0, 1] * 640,
        boxes[0, 2] * 426 - boxes[0, 0] * 426,
        float(np.float32(0.98765)),
        1,
    ]
    assert rows[1, 2] == boxes[1, 0] * 426


def test_rows_rounded_as_ck_wrote_them() -> None:
    """%.2f corners, %.3f scores, then width and height to two decimals: numbers by hand."""
    rows, _ = coco_rows([ONE], [1, 12], "ck")
    assert rows.tolist() == [
        [139, 128.0, 42.6, 128.0, 85.2, 0.988, 1],
        [139, 0.0, -4.26, 640.0, 515.46, 0.5, 12],
    ]


def test_unknown_categories_are_left_out() -> None:
    """Class 11 is category 12, which COCO never uses."""
    rows, unknown = coco_rows([ONE, Outcome(7, error="7.jpg: no image")], [1, 2])
    assert (rows[:, 0].tolist(), unknown) == ([139], 1)


def test_nothing_found() -> None:
    """No outcome, or none with detections: no rows, but seven columns."""
    assert coco_rows([], [1])[0].shape == (0, 7)
    assert coco_rows([Outcome(1)], [1])[0].shape == (0, 7)


@given(
    corners=st.lists(st.floats(-0.5, 1.5, width=32), min_size=4, max_size=4),
    score=st.floats(0, 1, width=32),
    size=st.tuples(st.integers(1, 5000), st.integers(1, 5000)),
)
def test_ck_rounding_is_what_printing_does(
    corners: list[float], score: float, size: tuple[int, int]
) -> None:
    """Against the text files themselves: print as the C++ did, read as the Python did."""
    width, height = size
    one = Outcome(
        1,
        width,
        height,
        np.array([corners], np.float32),
        np.array([score], np.float32),
        np.array([0], np.int32),
    )
    ymin, xmin, ymax, xmax = np.array(corners, np.float32)
    x1, y1, x2, y2 = (
        float(f"{float(value):.2f}")
        for value in (
            xmin * np.float32(width),
            ymin * np.float32(height),
            xmax * np.float32(width),
            ymax * np.float32(height),
        )
    )
    expected = [1, x1, y1, round(x2 - x1, 2), round(y2 - y1, 2), float(f"{score:.3f}"), 1]
    assert coco_rows([one], [1], "ck")[0][0].tolist() == expected
