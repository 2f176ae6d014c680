"""Label maps that took minutes, gave tracebacks, or were refused though sound: attack 11."""

import time
from pathlib import Path

import pytest

from flatshot.errors import FormatError
from flatshot.runtime.labels import load_labels, parse_label_map


def test_hostile_label_maps(data: Path) -> None:
    """A comment at the end is one, an id of twenty digits none, and spaces cost what they are."""
    folder = data / "attacks" / "11-labels"
    assert load_labels(folder / "comment.pbtxt").names
    with pytest.raises(FormatError, match=r"huge\.pbtxt: label map: line 1, column"):
        load_labels(folder / "huge.pbtxt")
    before = time.perf_counter()
    assert load_labels(folder / "spaces.pbtxt").names
    assert time.perf_counter() - before < 2


@pytest.mark.parametrize(
    "text",
    ["item {" * 30_000, "item { x: [" * 9000, "item { x {" * 9000, "#\n" * 200_000, "[" * 9999],
)
def test_deep_and_long_label_maps_end(text: str) -> None:
    """Python's stack never decides, nor does a pattern that goes back."""
    before = time.perf_counter()
    with pytest.raises(FormatError):
        parse_label_map(text)
    assert time.perf_counter() - before < 5
