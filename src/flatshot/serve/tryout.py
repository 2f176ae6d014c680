"""What the page asks for: an image through the networks once, post-processing as often as asked.

Nothing of it is kept on disk; the raw outputs of the last few images stay in memory.
"""

import dataclasses
import itertools
import threading
import time
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from pathlib import PurePath
from typing import Any

import numpy as np
import numpy.typing as npt

from flatshot.errors import ConfigError, FlatshotError, ImageError
from flatshot.evaluation.dataset import CocoDataset
from flatshot.formats.files import read_bytes
from flatshot.formats.postprocess import PostProcessSettings
from flatshot.runtime.detections import Detections
from flatshot.runtime.detector import Detector, Raw
from flatshot.runtime.images import Pixels

# Images whose raw outputs are kept: a megabyte or two each.
KEPT_IMAGES = 8
# What the page may change, under the names of the settings.
CHANGEABLE = ("nms_score_threshold", "nms_iou_threshold", "max_detections", "use_regular_nms")


@dataclasses.dataclass(frozen=True, eq=False)
class Looked:
    """What one model made of one image: raw outputs or why there are none, seconds by stage."""

    raw: Raw | None
    seconds: Mapping[str, float]
    error: str | None = None


@dataclasses.dataclass(frozen=True, eq=False)
class _Kept:
    """An image that was looked at: its size and what each model made of it."""

    width: int
    height: int
    looked: Sequence[Looked]


class Tryout:
    """Models to try, and optionally a data set to step through.

    Every method may be called from any thread; a model looks at one image at a time.

    Args:
        detectors: name -> detector, one or two.
        dataset: the data set, or None.
    """

    def __init__(
        self, detectors: Mapping[str, Detector], dataset: CocoDataset | None = None
    ) -> None:
        self._names = list(detectors)
        self._detectors = list(detectors.values())
        self._locks = [threading.Lock() for _ in self._detectors]
        self._dataset = dataset
        self._categories = dataset.categories if dataset else {}
        self._images: OrderedDict[int, _Kept] = OrderedDict()
        self._numbers = itertools.count(1)
        self._guard = threading.Lock()

    def about(self) -> dict[str, Any]:
        """The models with the settings that they hold, and how many images the data set has."""
        models = [
            {
                "name": name,
                "input": list(detector.input_shape[1:3]),
                "settings": _settings(detector.settings),
                "changeable": detector.postprocess == "numpy",
            }
            for name, detector in zip(self._names, self._detectors, strict=True)
        ]
        return {"models": models, "images": len(self._dataset.images) if self._dataset else 0}

    def dataset_image(self, number: int) -> tuple[str, bytes]:
        """The name and the bytes of an image of the data set, by its place.

        Raises:
            ConfigError: there is no such place.
            FileError: the file is gone.
        """
        images = self._dataset.images if self._dataset else ()
        if not 0 <= number < len(images):
            raise ConfigError(f"there is no image {number} in the data set")
        return PurePath(images[number].name).name, read_bytes(images[number].path)

    def look(self, data: bytes) -> dict[str, Any]:
        """Run every model on an image file's bytes, and say what was found with its own settings.

        Raises:
            ImageError: the bytes are no image, or one of too many pixels.
        """
        begin = time.perf_counter()
        pixels = self._detectors[0].load(data)
        decoded = time.perf_counter() - begin
        looked = [self._run(place, pixels, decoded) for place in range(len(self._detectors))]
        height, width = pixels.shape[:2]
        with self._guard:
            number = next(self._numbers)
            self._images[number] = _Kept(width, height, looked)
            while len(self._images) > KEPT_IMAGES:
                self._images.popitem(last=False)
        return self.find(number, {})

    def _run(self, place: int, pixels: Pixels, decoded: float) -> Looked:
        detector = self._detectors[place]
        with self._locks[place]:
            try:
                begin = time.perf_counter()
                prepared = detector.prepare(pixels)
                middle = time.perf_counter()
                raw = detector.network(prepared)
                end = time.perf_counter()
            except FlatshotError as error:
                return Looked(None, {}, str(error))
        return Looked(raw, {"decode": decoded, "resize": middle - begin, "network": end - middle})

    def find(self, image: int, changes: Mapping[str, Any]) -> dict[str, Any]:
        """What each model finds on an image that it has looked at, with `changes` to its settings.

        Args:
            image: the number that `look` gave.
            changes: values by the names in `CHANGEABLE`; what is left out stays as in the model.

        Raises:
            ImageError: the image is no longer kept.
            ConfigError: a name is not changeable, or a value out of range.
        """
        unknown = sorted(set(changes) - set(CHANGEABLE))
        if unknown:
            raise ConfigError(f"{', '.join(unknown)} cannot be changed here")
        with self._guard:
            kept = self._images.get(image)
            if kept is not None:
                self._images.move_to_end(image)
        if kept is None:
            raise ImageError("this image is no longer kept: give it again")
        models = [
            self._found(detector, looked, changes)
            for detector, looked in zip(self._detectors, kept.looked, strict=True)
        ]
        return {"image": image, "width": kept.width, "height": kept.height, "models": models}

    def _found(
        self, detector: Detector, looked: Looked, changes: Mapping[str, Any]
    ) -> dict[str, Any]:
        if looked.raw is None:
            return {"error": looked.error, "detections": [], "seconds": {}}
        begin = time.perf_counter()
        settings = detector.settings
        if detector.postprocess == "numpy":
            settings = settings.override(**changes)
        try:
            found = detector.finish(looked.raw, settings)
        except FlatshotError as error:
            return {"error": str(error), "detections": [], "seconds": dict(looked.seconds)}
        seconds = {**looked.seconds, "post-processing": time.perf_counter() - begin}
        origins = detector.origins(looked.raw, found, settings)
        return {
            "error": None,
            "detections": _rows(found, origins, self._categories),
            "seconds": seconds,
        }


def _rows(
    found: Detections, origins: npt.NDArray[np.int64], categories: Mapping[int, str]
) -> list[dict[str, Any]]:
    # A model without names has the data set's: class 0 is its category 1.
    names = found.names or [
        categories.get(index + 1, f"class {index}") for index in found.classes.tolist()
    ]
    return [
        {
            "box": [round(value, 6) for value in box],
            "score": score,
            "class": index,
            "name": name,
            "anchor": origin if origin >= 0 else None,
        }
        for box, score, index, name, origin in zip(
            found.boxes.tolist(),
            found.scores.tolist(),
            found.classes.tolist(),
            names,
            origins.tolist(),
            strict=True,
        )
    ]


def _settings(settings: PostProcessSettings) -> dict[str, Any]:
    return {name: getattr(settings, name) for name in CHANGEABLE}
