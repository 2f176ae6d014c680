"""A COCO annotation file: its images, its categories and what is to be found, checked.

Files that people have are written by many tools, so numbers may come in another coat (`285.0`,
`"285"`); what cannot be scored is refused, or left out and counted.
"""

import json
import math
import re
from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from flatshot.errors import DatasetError
from flatshot.evaluation.foreign import recognise_json

# COCO results travel as float64 rows, which hold whole numbers up to here.
MAX_ID = 2**53
_WHOLE = re.compile(r"\s*([0-9]{1,16})(?:\.0*)?\s*")
_NUMBER = re.compile(r"\s*[+-]?[0-9]{1,20}(?:\.[0-9]{0,40})?(?:[eE][+-]?[0-9]{1,3})?\s*")

# All that scoring asks of an annotation file; segmentations are most of COCO's own and go unread.
KEYS = {"images", "file_name", "width", "height", "categories", "name", "annotations", "id"} | {
    "image_id",
    "category_id",
    "bbox",
    "area",
    "iscrowd",
}


@dataclass(frozen=True, eq=False)
class GroundTruth:
    """What is to be found, a row an object, in the order of the annotation file.

    Attributes:
        image_ids: (n,) int64.
        category_ids: (n,) int64, each one of the data set's categories.
        boxes: (n, 4) float64 as x, y, width, height in pixels; width and height are not negative.
        areas: (n,) float64 in square pixels; the box's own where the file gives none.
        crowds: (n,) bool; a crowd may be matched any number of times and costs nothing if missed.
    """

    image_ids: npt.NDArray[np.int64]
    category_ids: npt.NDArray[np.int64]
    boxes: npt.NDArray[np.float64]
    areas: npt.NDArray[np.float64]
    crowds: npt.NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.image_ids)

    def of(self, image_ids: npt.ArrayLike) -> "GroundTruth":
        """Only the objects on the images `image_ids`, in the same order."""
        keep = np.isin(self.image_ids, np.asarray(image_ids, np.int64))
        return GroundTruth(
            self.image_ids[keep],
            self.category_ids[keep],
            self.boxes[keep],
            self.areas[keep],
            self.crowds[keep],
        )


@dataclass(frozen=True, eq=False)
class Annotations:
    """What an annotation file holds.

    Attributes:
        names: image id -> the file name that it lists.
        sizes: image id -> (width, height) in pixels, of the images for which it says so.
        categories: category id -> name, in the order of the file.
        truth: the objects.
        skipped: why annotations were left out -> how many.
    """

    names: Mapping[int, str]
    sizes: Mapping[int, tuple[int, int]]
    categories: Mapping[int, str]
    truth: GroundTruth
    skipped: Mapping[str, int]


def parse_annotations(file: Path, data: bytes) -> Annotations:
    """The annotations in `data`, the bytes of `file`: UTF-8, UTF-16 or UTF-32.

    Raises:
        DatasetError: it is no COCO annotation file (where another tool's is recognised, it says
            which), or contradicts itself; one line that names file and place.
    """

    def keep(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        return {key: value for key, value in pairs if key in KEYS}

    try:
        content = json.loads(data, object_pairs_hook=keep)
    except (ValueError, RecursionError) as error:
        raise DatasetError(f"{str(file)!r} is not JSON: {error}") from error
    if not isinstance(content, dict) or not all(
        isinstance(content.get(key), list) for key in ("images", "categories", "annotations")
    ):
        kind = recognise_json(data)
        if kind is not None:
            raise DatasetError(f"{str(file)!r} is no COCO annotation file: it is {kind}")
    if not isinstance(content, dict):
        raise DatasetError(f"{str(file)!r} is no COCO annotation file: its top is not an object")
    return read_annotations(file, content)


def read_annotations(file: Path, content: Mapping[str, Any]) -> Annotations:
    """The annotations in `content`, which has the form of COCO's JSON and came from `file`.

    Raises:
        DatasetError: see `parse_annotations`.
    """
    names, sizes = _images(file, content)
    categories = _categories(file, content)
    truth, skipped = _ground_truth(file, content, names, categories)
    return Annotations(names, sizes, categories, truth, skipped)


def _rows(file: Path, content: Mapping[str, Any], key: str) -> list[dict[str, Any]]:
    rows = content.get(key)
    if not isinstance(rows, list):
        raise DatasetError(f"{str(file)!r} is no COCO annotation file: it has no list {key!r}")
    for number, row in enumerate(rows):
        if not isinstance(row, dict):
            raise DatasetError(f"{str(file)!r}: {key}[{number}] is not an object")
    return rows


def _whole(value: object) -> int | None:
    """The whole number that `value` is, whatever its coat: 285, 285.0, "285"; else None."""
    if isinstance(value, str):
        match = _WHOLE.fullmatch(value)
        return int(match[1]) if match else None
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    if isinstance(value, int):
        return value
    return int(value) if math.isfinite(value) and value == int(value) else None


def _identity(file: Path, where: str, row: Mapping[str, Any], key: str = "id") -> int:
    value = _whole(row.get(key))
    if value is None or not 0 <= value < MAX_ID:
        raise DatasetError(
            f"{str(file)!r}: {where} needs {key!r}, a whole number from 0 to 2**53, "
            f"not {_shown(row.get(key))}"
        )
    return value


def _text(file: Path, where: str, row: Mapping[str, Any], key: str) -> str:
    value = row.get(key)
    if not isinstance(value, str) or not value:
        raise DatasetError(f"{str(file)!r}: {where} needs {key!r}, a text, not {_shown(value)}")
    return value


def _categories(file: Path, content: Mapping[str, Any]) -> dict[int, str]:
    categories: dict[int, str] = {}
    for number, row in enumerate(_rows(file, content, "categories")):
        where = f"categories[{number}]"
        identity = _identity(file, where, row)
        if identity in categories:
            raise DatasetError(f"{str(file)!r}: category id {identity} occurs twice")
        categories[identity] = _text(file, where, row, "name")
    if not categories:
        raise DatasetError(f"{str(file)!r} names no categories: there is nothing to score")
    return categories


def _images(
    file: Path, content: Mapping[str, Any]
) -> tuple[dict[int, str], dict[int, tuple[int, int]]]:
    names: dict[int, str] = {}
    sizes: dict[int, tuple[int, int]] = {}
    for number, row in enumerate(_rows(file, content, "images")):
        where = f"images[{number}]"
        identity = _identity(file, where, row)
        if identity in names:
            raise DatasetError(f"{str(file)!r}: image id {identity} occurs twice")
        names[identity] = _text(file, where, row, "file_name")
        width, height = _whole(row.get("width")), _whole(row.get("height"))
        # Some tools write 0 where they never looked.
        if width and height and 0 < width < MAX_ID and 0 < height < MAX_ID:
            sizes[identity] = (width, height)
    if not names:
        raise DatasetError(f"{str(file)!r} lists no images")
    return names, sizes


def _ground_truth(
    file: Path, content: Mapping[str, Any], images: Collection[int], categories: Collection[int]
) -> tuple[GroundTruth, dict[str, int]]:
    rows = _rows(file, content, "annotations")
    skipped: Counter[str] = Counter()
    seen: set[int] = set()
    ids: list[tuple[int, int]] = []
    values: list[tuple[float, float, float, float, float, bool]] = []
    for number, row in enumerate(rows):
        where = f"annotations[{number}]"
        if "id" in row:
            identity = _identity(file, where, row)
            if identity in seen:
                raise DatasetError(f"{str(file)!r}: annotation id {identity} occurs twice")
            seen.add(identity)
        image = _identity(file, where, row, "image_id")
        if image not in images:
            skipped["their image is not listed"] += 1
        elif row.get("category_id") is None:
            skipped["they name no category"] += 1
        elif (category := _identity(file, where, row, "category_id")) not in categories:
            skipped["their category is not listed"] += 1
        else:
            ids.append((image, category))
            box = _box(file, where, row)
            values.append((*box, *_area_and_crowd(file, where, row, box)))
    if rows and not ids:
        reasons = "; ".join(f"{count}: {reason}" for reason, count in skipped.items())
        raise DatasetError(f"none of the {len(rows)} annotations of {str(file)!r} fits: {reasons}")
    truth = _arrays(ids, values)
    _check_pixels(file, truth.boxes)
    return truth, dict(skipped)


def _arrays(
    ids: list[tuple[int, int]], values: list[tuple[float, float, float, float, float, bool]]
) -> GroundTruth:
    pairs = np.array(ids, np.int64).reshape(-1, 2)
    numbers = np.array(values, np.float64).reshape(-1, 6)
    return GroundTruth(
        np.ascontiguousarray(pairs[:, 0]),
        np.ascontiguousarray(pairs[:, 1]),
        np.ascontiguousarray(numbers[:, :4]),
        np.ascontiguousarray(numbers[:, 4]),
        numbers[:, 5] != 0,
    )


def _check_pixels(file: Path, boxes: npt.NDArray[np.float64]) -> None:
    """Refuse boxes in parts of the image, as YOLO and Open Images have them.

    No object that anybody draws a box around is smaller than a pixel; all of them are not.
    """
    if len(boxes) and boxes.min() >= 0 and 0 < boxes.max() <= 1:
        raise DatasetError(
            f"{str(file)!r}: every 'bbox' lies between 0 and 1, so they are parts of the image; "
            "COCO's are pixels: multiply x and width by the image's width, y and height by its "
            "height"
        )


def _box(file: Path, where: str, row: Mapping[str, Any]) -> tuple[float, float, float, float]:
    box = row.get("bbox")
    values = [_number(value) for value in box] if isinstance(box, list) and len(box) == 4 else []
    numbers = [value for value in values if value is not None]
    if len(numbers) != 4 or numbers[2] < 0 or numbers[3] < 0:
        raise DatasetError(
            f"{str(file)!r}: {where} needs 'bbox', four numbers x, y, width, height in pixels, "
            f"not {_shown(box)}"
        )
    return (numbers[0], numbers[1], numbers[2], numbers[3])


def _area_and_crowd(
    file: Path, where: str, row: Mapping[str, Any], box: tuple[float, float, float, float]
) -> tuple[float, bool]:
    given = row.get("area")
    area = box[2] * box[3] if given is None else _number(given)
    if area is None:
        raise DatasetError(f"{str(file)!r}: {where} needs 'area', a number, not {_shown(given)}")
    crowd = row.get("iscrowd")
    if isinstance(crowd, str):
        crowd = _whole(crowd) if crowd else 0
    if crowd not in (0, 1, None) or (crowd is None and row.get("iscrowd") is not None):
        raise DatasetError(
            f"{str(file)!r}: {where} needs 'iscrowd', 0 or 1, not {_shown(row.get('iscrowd'))}"
        )
    return area, bool(crowd)


def _number(value: object) -> float | None:
    """The finite number that `value` is, also as a text; else None."""
    if isinstance(value, str):
        value = float(value) if _NUMBER.fullmatch(value) else None
    # JSON as Python reads it knows NaN, Infinity and whole numbers too big for a float.
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if abs(value) < MAX_ID and math.isfinite(value) else None


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
