"""What a detector found in one image."""

import dataclasses
import html
from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int64]
# So many detections are told by `repr`.
_SHOWN = 5


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
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

    def name(self, index: int) -> str:
        """The name of the class of detection `index`; "class 17" without labels."""
        return self.names[index] if self.names is not None else f"class {self.classes[index]}"

    def to_dict(self) -> dict[str, Any]:
        """The detections as JSON values: lists by attribute; boxes as parts of the image."""
        return {
            "boxes": self.boxes.tolist(),
            "scores": self.scores.tolist(),
            "classes": self.classes.tolist(),
            "names": [self.name(index) for index in range(len(self))],
        }

    def draw(self, image: Any, *, bgr: bool = False) -> Any:
        """A Pillow image with the boxes drawn into a copy of `image`; see `Detector.__call__`.

        Raises:
            FileError, ImageError: `image` cannot be read.
        """
        from PIL import Image

        from flatshot.runtime.drawing import draw
        from flatshot.runtime.sources import to_pixels

        return Image.fromarray(draw(to_pixels(image, bgr=bgr), self))

    def __repr__(self) -> str:
        shown = [f"{self.name(i)} {self.scores[i]:.2f}" for i in range(min(len(self), _SHOWN))]
        more = [f"{len(self) - _SHOWN} more"] if len(self) > _SHOWN else []
        return f"<Detections: {', '.join(shown + more) or 'none'}>"

    def _repr_html_(self) -> str:
        """A table, for notebooks."""
        rows = "".join(
            f"<tr><td>{html.escape(self.name(i))}</td><td>{self.scores[i]:.3f}</td>"
            + "".join(f"<td>{value:.3f}</td>" for value in self.boxes[i].tolist())
            + "</tr>"
            for i in range(len(self))
        )
        head = "".join(f"<th>{n}</th>" for n in ("class", "score", "ymin", "xmin", "ymax", "xmax"))
        return f"<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>"
