"""One run as the pages see it: what was recorded, and where its boxes and the truth agree.

hotcoco matches and counts, as for the figures themselves (`evaluation.metrics`); what it gives is
turned into arrays here once, a row a detection and a row an object.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from flatshot.errors import RecordError
from flatshot.evaluation.annotations import GroundTruth
from flatshot.evaluation.dataset import CocoDataset, DatasetImage
from flatshot.evaluation.metrics import FloatArray

# Overlap (IoU) from which a box counts as right, where one must be chosen.
OVERLAP = 0.5

FOUND, FALSE_ALARM, IGNORED = 1, 0, -1

# Images that hotcoco tells of at once.
PORTION = 500

Places = npt.NDArray[np.int64]
Rows = Places | slice


@dataclass(frozen=True, eq=False)
class Matches:
    """Which box found which object, class by class, at an overlap of `OVERLAP`.

    Boxes of a class are taken by falling score, so that what is right from a threshold up is what
    is right here among the boxes of at least that score.

    Attributes:
        status: (n,) a detection each: `FOUND`, `FALSE_ALARM`, or `IGNORED` (it lies on a crowd).
        found: (n,) the row of the object in the truth that a detection found, or -1.
        finder: (m,) an object each: the row of the detection that found it, or -1.
        counts: (m,) whether the object counts: crowds do not.
    """

    status: npt.NDArray[np.int8]
    found: npt.NDArray[np.int64]
    finder: npt.NDArray[np.int64]
    counts: npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Doubt:
    """A sure box that the annotations contradict, by rows.

    Attributes:
        box: the detection.
        object: the object of another class that lies there, or None where nothing is annotated.
    """

    box: int
    object: int | None


@dataclass(frozen=True, eq=False)
class Study:
    """A recorded run with the data set that it was measured on.

    Attributes:
        name: what the page calls the run.
        content: what the record holds: `Result.to_json` and what was kept beside it.
        detections: (n, 7) float64 rows as `metrics.ROW`.
        dataset: the data set.
        seconds: (k, 4) float64 of each photograph of the latency pass, by stage; None where the
            record does not have them.
    """

    name: str
    content: Mapping[str, Any]
    detections: FloatArray = field(repr=False)
    dataset: CocoDataset = field(repr=False)
    seconds: FloatArray | None = field(default=None, repr=False)

    @cached_property
    def images(self) -> tuple[DatasetImage, ...]:
        """The images that were scored.

        Raises:
            RecordError: the data set is another one, or lacks images that were scored.
        """
        if self.content.get("dataset_sha256") not in (None, self.dataset.sha256):
            raise RecordError(
                f"{self.name}: measured on another annotation file than "
                f"{str(self.dataset.annotations)!r}; name the data set with --dataset"
            )
        options = self.content.get("options", {})
        size, count = options.get("batch_size") or 1, options.get("count")
        skip = (options.get("skip") or 0) * size
        chosen = self.dataset.select(None if count is None else count * size, skip)
        unread = set(self.content.get("left_out", {}).get("unreadable_images", {}))
        scored = tuple(image for image in chosen if image.name not in unread)
        expected = self.content.get("images")
        if expected not in (None, len(scored)):
            raise RecordError(
                f"{self.name}: {expected} images were scored, the data set has {len(scored)} now"
            )
        return scored

    @cached_property
    def truth(self) -> GroundTruth:
        """The objects on the images that were scored."""
        return self.dataset.truth.of([image.id for image in self.images])

    @cached_property
    def categories(self) -> dict[int, str]:
        """Category id -> name, by rising id: the order of all tables of classes."""
        return dict(sorted(self.dataset.categories.items()))

    @cached_property
    def evaluator(self) -> Any:
        """The `hotcoco.COCOeval` of the run, accumulated."""
        everything = slice(None)
        evaluator = self._evaluate(self.images, everything, everything)
        evaluator.accumulate()
        return evaluator

    def _evaluate(self, images: Sequence[DatasetImage], objects: Rows, boxes: Rows) -> Any:
        """Hotcoco's evaluation of some images, with their rows of the truth and the detections.

        Ids of objects and detections are places among those rows, plus one.
        """
        import hotcoco

        truth = self.truth
        ground = hotcoco.COCO.from_arrays(
            [{"id": image.id, "width": 0, "height": 0} for image in images],
            # Two categories of one name stay two.
            [{"id": key, "name": str(key)} for key in self.categories],
            truth.image_ids[objects],
            truth.category_ids[objects],
            truth.boxes[objects],
            area=truth.areas[objects],
            iscrowd=truth.crowds[objects],
        )
        evaluator: Any = hotcoco.COCOeval(ground, ground.load_res(self.detections[boxes]), "bbox")
        evaluator.params.img_ids = [image.id for image in images]
        evaluator.evaluate()
        return evaluator

    @cached_property
    def precision(self) -> FloatArray:
        """(10, 101, classes, 4, 3): IoU .50:.95, recall 0:.01:1, class, area, detections."""
        return np.asarray(self.evaluator.eval["precision"], np.float64)

    @cached_property
    def matches(self) -> Matches:
        """Which box found which object."""
        status = np.full(len(self.detections), IGNORED, np.int8)
        found = np.full(len(self.detections), -1, np.int64)
        finder = np.full(len(self.truth), -1, np.int64)
        for told, objects, boxes in self._diagnostics(-np.inf, OVERLAP):
            for identity, word in told["dt_status"].items():
                status[boxes[identity - 1]] = FOUND if word == "tp" else FALSE_ALARM
            for identity, other in told["dt_match"].items():
                row, hit = boxes[identity - 1], objects[other - 1]
                found[row], finder[hit] = hit, row
        return Matches(status, found, finder, ~self.truth.crowds)

    def doubts(self, threshold: float) -> list[Doubt]:
        """The boxes from `threshold` up that the annotations contradict, the surest first."""
        doubts = [
            Doubt(
                int(boxes[error["dt_id"] - 1]),
                None if error["gt_id"] is None else int(objects[error["gt_id"] - 1]),
            )
            for told, objects, boxes in self._diagnostics(threshold, threshold)
            for error in told["label_errors"]
        ]
        return sorted(doubts, key=lambda doubt: (-self.detections[doubt.box, 5], doubt.box))

    def _diagnostics(self, lowest: float, sure: float) -> Iterator[tuple[Any, Places, Places]]:
        """Hotcoco's word on each box of at least `lowest`, with the rows that its ids stand for.

        It gives a dictionary entry a box, and images know nothing of one another: so they are
        taken in portions.
        """
        kept = np.flatnonzero(self.detections[:, 5] >= lowest)
        for start in range(0, len(self.images), PORTION):
            images = self.images[start : start + PORTION]
            ids = [image.id for image in images]
            objects = np.flatnonzero(np.isin(self.truth.image_ids, ids))
            boxes = kept[np.isin(self.detections[kept, 0], ids)]
            evaluator = self._evaluate(images, objects, boxes)
            yield evaluator.image_diagnostics(OVERLAP, sure), objects, boxes

    @property
    def settings(self) -> Mapping[str, Any]:
        """The settings of the post-processing in force."""
        settings: Mapping[str, Any] = self.content.get("settings", {})
        return settings
