"""Records side by side."""

from typing import Any

from flatshot.records.difference import difference
from flatshot.records.record import Record


def record(content: dict[str, Any]) -> Record:
    """A record of that content."""
    return Record("00", None, "local", "2026-11-22", (), content, {})


ONE = {"mAP": 0.25, "settings": {"nms": True, "iou": 0.6}, "timing": {"rates": [1.0, 2.0]}}
TWO = {"mAP": 0.5, "settings": {"nms": False, "iou": 0.6}, "timing": {"rates": [1.0]}, "new": "x"}


def test_what_differs() -> None:
    """Settings apart from figures, keys by their way, the change where both are numbers."""
    both = difference([record(ONE), record(TWO)])
    assert [(row.key, row.values, row.change) for row in both.settings] == [
        ("settings.nms", (True, False), None),
        ("new", (None, "x"), None),
    ]
    assert [(row.key, row.values, row.change) for row in both.figures] == [
        ("mAP", (0.25, 0.5), 0.25),
        ("timing.rates.1", (2.0, None), None),
    ]


def test_everything() -> None:
    """What is equal is shown only when asked for."""
    both = difference([record(ONE), record(TWO)], everything=True)
    assert "settings.iou" in [row.key for row in both.settings]
    assert "timing.rates.0" in [row.key for row in both.figures]


def test_equal_records() -> None:
    """No rows at all."""
    same = difference([record(ONE), record(ONE), record(ONE)])
    assert (same.settings, same.figures) == ((), ())


def test_three_records() -> None:
    """The middle one counts as well; the change is from the first to the last."""
    (row,) = difference([record({"mAP": v}) for v in (0.25, 0.5, 0.25)]).figures
    assert (row.values, row.change) == ((0.25, 0.5, 0.25), 0.0)
