"""Models that ended LiteRT's process, and Python's with it: attacks 01, 12, 19 and 20."""

from pathlib import Path

import pytest

from tests.hostile.children import outcomes
from tests.runtime.tiny import OPTIONS, Tiny

DETECT = """
import numpy, flatshot
limit()
pixels = numpy.random.default_rng(0).integers(0, 256, (20, 30, 3), numpy.uint8)
for path in sys.argv[1:]:
    for way in ("auto", "op"):
        tell(lambda: len(flatshot.Detector(path, postprocess=way)(pixels)))
"""


@pytest.mark.parametrize("folder", ["01-litert-crash", "12-tflite-foreign"])
def test_models_that_killed_litert_are_refused(data: Path, folder: str) -> None:
    """Each by a ModelError that names the file, in both ways of post-processing."""
    files = sorted((data / "attacks" / folder).glob("*.tflite"))
    lines = outcomes(DETECT, *files)
    assert len(files) >= 11
    assert len(lines) == 2 * len(files)
    for path, pair in zip(files, zip(lines[::2], lines[1::2], strict=True), strict=True):
        for line in pair:
            assert line.startswith(f"REFUSED ModelError {path}: "), line


def test_models_that_killed_litert_are_not_compared_either(data: Path) -> None:
    """Each with itself."""
    files = sorted((data / "attacks" / "01-litert-crash").glob("*.tflite"))
    code = "limit()\nfor path in sys.argv[1:]: tell(lambda: flatshot.compare(path, path))"
    for path, line in zip(files, outcomes(f"import flatshot\n{code}", *files), strict=True):
        assert line.startswith(f"REFUSED ModelError {path}: "), line


def test_anchors_that_end_before_the_boxes_are_refused(data: Path) -> None:
    """LiteRT's operator would read what lies behind them in memory."""
    lines = outcomes(DETECT, data / "attacks" / "20-litert-reads-outside" / "anchors1.tflite")
    for line in lines:
        assert "[1, 36, 4], [1, 36, 4] and [1, 4]; it takes [1, n, 4]" in line


def test_room_for_more_detections_than_there_can_be_is_not_made(tmp_path: Path) -> None:
    """A count of 2**31 - 1 gives what the number of boxes and classes gives, in 1 GiB."""
    files = []
    for setting in ("max_detections", "max_classes_per_detection", "detections_per_class"):
        for regular in (True, False):
            for value in (3 * 36, 2**31 - 1):
                options = {**OPTIONS, "use_regular_nms": regular, setting: value}
                files.append(tmp_path / f"{setting}-{regular}-{value}.tflite")
                files[-1].write_bytes(Tiny(options=options).bytes())
    lines = outcomes(DETECT, *files)
    counts = [int(line) for line in lines]
    assert len(counts) == 24
    assert min(counts) > 0
    for few, many in zip(zip(*[iter(counts)] * 4, strict=True), files[::2], strict=True):
        assert few[:2] == few[2:], many
