"""A small data set on disk, and a detector that needs no model."""

import hashlib
import json
import time
from pathlib import Path
from typing import Any, ClassVar, cast

import numpy as np
import pytest
from PIL import Image

from flatshot.errors import ImageError
from flatshot.evaluation.dataset import CocoDataset
from flatshot.formats.postprocess import PostProcessSettings
from flatshot.runtime.detections import Detections
from flatshot.runtime.detector import Detector
from flatshot.runtime.labels import Labels


class PlannedDetector:
    """Finds in each image the box that its brightness says, as the stages of a Detector do.

    A grey image of level g holds an object of class g % 3 in its left half, seen with a score of
    g / 255. It counts its calls, so that a test can tell which images ran.
    """

    runs: ClassVar[list[str]] = []

    def __init__(self, delay: float = 0.0, *, postprocess: str = "numpy") -> None:
        self.seen: list[str] = []
        self.settings = PostProcessSettings.from_options(
            {
                "max_detections": 10,
                "max_classes_per_detection": 1,
                "nms_iou_threshold": 0.5,
                "num_classes": 3,
                **dict.fromkeys(("y_scale", "x_scale", "h_scale", "w_scale"), 1.0),
            }
        )
        self.baked: PostProcessSettings | None = self.settings
        self.sha256 = hashlib.sha256(b"planned").hexdigest()
        self.resize = "tensorflow"
        self.postprocess = postprocess
        self.threads = 1
        self.anchors: Any = None
        self.shift = 0.0
        self.labels: Labels | None = None
        self._delay = delay

    def fork(self, threads: int | None = None) -> "PlannedDetector":
        """A copy that notes its calls in the same list."""
        twin = PlannedDetector(self._delay, postprocess=self.postprocess)
        twin.threads = threads or self.threads
        twin.seen = self.seen
        twin.shift = self.shift
        return twin

    def load(self, path: Path, orient: object = "upright") -> Any:
        """The pixels, or the ImageError of one that is no image."""
        self.seen.append(path.name)
        self.runs.append(path.name)
        try:
            with Image.open(path) as image:
                return np.asarray(image.convert("RGB"))
        except OSError as error:
            raise ImageError(f"{path}: truncated or damaged image") from error

    def prepare(self, pixels: Any) -> Any:
        """The brightness of the first pixel."""
        return pixels[0, 0, 0]

    def network(self, level: Any) -> Any:
        """The same, after a while."""
        time.sleep(self._delay)
        return level

    def finish(self, level: Any) -> Detections:
        """One box."""
        return Detections(
            np.array([[0, self.shift, 1, 0.5 + self.shift]], np.float32),
            np.array([int(level) / 255], np.float32),
            np.array([int(level) % 3]),
        )


def planned(delay: float = 0.0) -> Detector:
    """A `PlannedDetector` where a Detector is asked for."""
    return cast(Detector, PlannedDetector(delay))


def write_dataset(root: Path, images: int = 6) -> Path:
    """Grey images of levels 100, 101, ..., each with the object that `PlannedDetector` finds."""
    (root / "annotations").mkdir(parents=True)
    (root / "grey").mkdir()
    rows = []
    for number in range(images):
        level = 100 + number
        Image.new("RGB", (40, 20 + number), (level,) * 3).save(root / "grey" / f"{number:03}.png")
        box = [0, 0, 20, 20 + number]
        rows.append(
            {"id": number + 1, "image_id": number, "category_id": 1 + level % 3, "bbox": box}
        )
    content = {
        "images": [{"id": number, "file_name": f"{number:03}.png"} for number in range(images)],
        "categories": [{"id": number, "name": name} for number, name in enumerate("abc", 1)],
        "annotations": rows,
    }
    (root / "annotations" / "instances_grey.json").write_text(json.dumps(content))
    return root


@pytest.fixture
def grey(tmp_path: Path) -> CocoDataset:
    """Six images that `PlannedDetector` gets right."""
    return CocoDataset(write_dataset(tmp_path / "grey_set"))
