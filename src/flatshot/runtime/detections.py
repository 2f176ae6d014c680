"""What a detector found in one image."""

import dataclasses
from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int64]


@dataclasses.dataclass(frozen=True, eq=False)
class Detections:
    """The objects found in one image, best first.

    Attributes:
        boxes: (n, 4) float32, rows of ymin, xmin, ymax, xmax as parts of the image's height and
            width; 0 to 1 inside the image, and not clipped to it.
        scores: (n,) float32, falling.
        classes: (n,) int64, from 0, the background not counted (COCO's category id is one more).
        names: n names of the classes, or None where the model has no labels.

    Raises:
        ValueError: the shapes disagree, or scores rise.
    """

    boxes: Floats
    scores: Floats
    classes: Ints
    names: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        set_ = object.__setattr__
        set_(self, "boxes", np.asarray(self.boxes, np.float32))
        set_(self, "scores", np.asarray(self.scores, np.float32))
        set_(self, "classes", np.asarray(self.classes, np.int64))
        n = self.scores.size
        if self.boxes.shape != (n, 4) or self.scores.shape != (n,) or self.classes.shape != (n,):
            raise ValueError(
                f"detections do not fit together: boxes {self.boxes.shape}, "
                f"scores {self.scores.shape}, classes {self.classes.shape}"
            )
        if self.names is not None and len(self.names) != n:
            raise ValueError(f"{len(self.names)} names for {n} detections")
        if n and (np.isnan(self.scores).any() or (self.scores[1:] > self.scores[:-1]).any()):
            raise ValueError("the scores of detections must fall and be numbers")
        if n and self.classes.min() < 0:
            raise ValueError("classes count from 0, without the background")

    def __len__(self) -> int:
        return int(self.scores.size)

    def __getitem__(self, key: Any) -> "Detections":
        """The detections that `key` picks: one index, a slice, indices or a boolean mask (n,)."""
        rows = np.atleast_1d(np.arange(len(self))[key])
        names = None if self.names is None else tuple(self.names[i] for i in rows)
        return Detections(self.boxes[rows], self.scores[rows], self.classes[rows], names)

    def pixels(self, width: float, height: float) -> npt.NDArray[np.float64]:
        """The boxes in pixels of an image that is `width` by `height`.

        Returns:
            (n, 4) float64, rows of xmin, ymin, xmax, ymax; not clipped.
        """
        scale = np.array([width, height, width, height], np.float64)
        return self.boxes[:, [1, 0, 3, 2]].astype(np.float64) * scale
