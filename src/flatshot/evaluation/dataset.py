"""A COCO-format data set on disk: its images in a fixed order, and what is to be found on them.

Nothing here decodes an image. The annotation file is read once into flat arrays, so that 5,000
images weigh a few megabytes; whatever in it cannot be scored is refused, or left out and counted.
"""

import hashlib
import json
import logging
import math
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import numpy.typing as npt

from flatshot.errors import DatasetError
from flatshot.formats.files import StrPath, read_bytes

LOG = logging.getLogger("flatshot")

# COCO results travel as float64 rows, which hold whole numbers up to here.
MAX_ID = 2**53

# All that scoring asks of an annotation file; segmentations are most of COCO's own and go unread.
KEYS = {"images", "file_name", "categories", "name", "annotations", "id"} | {
    "image_id",
    "category_id",
    "bbox",
    "area",
    "iscrowd",
}


@dataclass(frozen=True)
class DatasetImage:
    """One image that is there: the data set's number for it, its listed name and its file."""

    id: int
    name: str
    path: Path


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


class CocoDataset:
    """A folder of images with a COCO annotation file, ready to be scored against.

    Attributes:
        annotations: the annotation file.
        folder: the folder that image names are relative to.
        sha256: of the annotation file, 64 hexadecimal digits.
        images: the images that are there, sorted by name, as Collective Knowledge took them.
        missing: names that the annotation file lists and the folder lacks, sorted.
        categories: category id -> name, in the order of the file.
        truth: the objects to find, on the images of the file (also on missing ones).
        skipped: why annotations were left out -> how many.
    """

    def __init__(
        self,
        path: StrPath,
        annotations: StrPath | None = None,
        images: StrPath | None = None,
    ) -> None:
        """Read the data set in the folder `path`.

        Args:
            path: the folder that holds the annotation file and the images.
            annotations: the annotation file, absolute, in `path`, or in `path`/annotations; found
                by itself (`annotations/instances_*.json`) where there is only one.
            images: the folder of the images, absolute or in `path`; found by itself where it bears
                the name of the annotation file (`instances_val2017.json`, `val2017/`), is called
                `images`, or is the annotation file's own.

        Raises:
            DatasetError: no or several annotation files, a file that is no COCO annotation file or
                contradicts itself, no image folder, or not one listed image in it.
            FileError: the annotation file cannot be read.
        """
        root = Path(path)
        if not root.is_dir():
            raise DatasetError(f"no data set at {str(root)!r}: it is not a folder")
        self.annotations: Path = _annotation_file(root, annotations)
        data = read_bytes(self.annotations)
        self.sha256: str = hashlib.sha256(data).hexdigest()
        content = _parse(self.annotations, data)
        names = _image_names(self.annotations, content)
        self.categories: Mapping[int, str] = _categories(self.annotations, content)
        self.truth, self.skipped = _ground_truth(
            self.annotations, content, names.keys(), self.categories.keys()
        )
        self.folder: Path = _image_folder(root, self.annotations, images, names.values())
        self.images, self.missing = _present(self.folder, names)
        self._report()

    def __len__(self) -> int:
        return len(self.images)

    def __repr__(self) -> str:
        return f"CocoDataset({str(self.annotations)!r}, {len(self)} images)"

    def select(self, count: int | None = None, skip: int = 0) -> tuple[DatasetImage, ...]:
        """`count` images (all by default) after the first `skip`, in the data set's order.

        Raises:
            DatasetError: that leaves no image.
        """
        chosen = self.images[skip:] if count is None else self.images[skip : skip + count]
        if not chosen:
            raise DatasetError(
                f"no image left of the {len(self)} in {str(self.folder)!r} after skipping {skip}: "
                "skip fewer, or count at least one"
            )
        return chosen

    def _report(self) -> None:
        if self.missing:
            LOG.warning(
                "%d of the images that %s lists are not in %s and are left out (first: %s)",
                *(len(self.missing), self.annotations.name, self.folder, self.missing[0]),
            )
        for reason, number in self.skipped.items():
            LOG.warning("%d annotations of %s left out: %s", number, self.annotations.name, reason)


def _annotation_file(root: Path, given: StrPath | None) -> Path:
    if given is not None:
        places = [root / given, root / "annotations" / given, Path(given)]
        for place in places:
            if place.is_file():
                return place
        raise DatasetError(f"no annotation file {str(given)!r}, neither in {str(root)!r}")
    for pattern in ("annotations/instances_*.json", "instances_*.json", "*.json", "*/*.json"):
        found = sorted(place for place in root.glob(pattern) if place.is_file())
        if len(found) > 1:
            listed = ", ".join(str(place.relative_to(root)) for place in found[:8])
            raise DatasetError(
                f"several annotation files in {str(root)!r}: {listed}; "
                "choose one with annotations= (--annotations)"
            )
        if found:
            return found[0]
    raise DatasetError(
        f"no annotations/instances_*.json in {str(root)!r}: "
        "name the annotation file with annotations= (--annotations)"
    )


def _parse(file: Path, data: bytes) -> dict[str, Any]:
    def keep(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        return {key: value for key, value in pairs if key in KEYS}

    try:
        content = json.loads(data, object_pairs_hook=keep)
    except (ValueError, RecursionError) as error:
        raise DatasetError(f"{str(file)!r} is not JSON: {error}") from error
    if not isinstance(content, dict):
        raise DatasetError(f"{str(file)!r} is no COCO annotation file: its top is not an object")
    return content


def _rows(file: Path, content: Mapping[str, Any], key: str) -> list[dict[str, Any]]:
    rows = content.get(key)
    if not isinstance(rows, list):
        raise DatasetError(f"{str(file)!r} is no COCO annotation file: it has no list {key!r}")
    for number, row in enumerate(rows):
        if not isinstance(row, dict):
            raise DatasetError(f"{str(file)!r}: {key}[{number}] is not an object")
    return rows


def _identity(file: Path, where: str, row: Mapping[str, Any], key: str = "id") -> int:
    value = row.get(key)
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < MAX_ID:
        raise DatasetError(
            f"{str(file)!r}: {where} needs {key!r}, a whole number from 0 to 2**53, "
            f"not {_shown(value)}"
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


def _image_names(file: Path, content: Mapping[str, Any]) -> dict[int, str]:
    names: dict[int, str] = {}
    for number, row in enumerate(_rows(file, content, "images")):
        where = f"images[{number}]"
        identity = _identity(file, where, row)
        if identity in names:
            raise DatasetError(f"{str(file)!r}: image id {identity} occurs twice")
        name = _text(file, where, row, "file_name")
        pure = PurePosixPath(name.replace("\\", "/"))
        if pure.is_absolute() or ".." in pure.parts or "\0" in name:
            raise DatasetError(
                f"{str(file)!r}: {where} names a file outside of the image folder: {_shown(name)}"
            )
        names[identity] = name
    if not names:
        raise DatasetError(f"{str(file)!r} lists no images")
    return names


def _image_folder(root: Path, file: Path, given: StrPath | None, names: Iterable[str]) -> Path:
    split = file.stem.removeprefix("instances_")
    if given is not None:
        candidates = [root / given, Path(given)]
    else:
        near = [root / split, root / "images" / split, root / "images", file.parent, root]
        candidates = list(dict.fromkeys(near))
    folders = [candidate for candidate in candidates if candidate.is_dir()]
    listed = list(names)
    for folder in folders:
        if any((folder / name).is_file() for name in listed):
            return folder
    looked = ", ".join(str(place) for place in candidates)
    raise DatasetError(
        f"not one of the {len(listed)} images of {str(file)!r} is in {looked} "
        f"(first: {listed[0]}); name the image folder with images= (--images)"
    )


def _present(
    folder: Path, names: Mapping[int, str]
) -> tuple[tuple[DatasetImage, ...], tuple[str, ...]]:
    there: list[DatasetImage] = []
    missing: list[str] = []
    for identity, name in sorted(names.items(), key=lambda item: (item[1], item[0])):
        path = folder / name
        if path.is_file():
            there.append(DatasetImage(identity, name, path))
        else:
            missing.append(name)
    return tuple(there), tuple(missing)


def _ground_truth(
    file: Path, content: Mapping[str, Any], images: Iterable[int], categories: Iterable[int]
) -> tuple[GroundTruth, dict[str, int]]:
    rows = _rows(file, content, "annotations")
    known_images, known_categories = set(images), set(categories)
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
        if image not in known_images:
            skipped["their image is not listed"] += 1
        elif row.get("category_id") is None:
            skipped["they name no category"] += 1
        elif (category := _identity(file, where, row, "category_id")) not in known_categories:
            skipped["their category is not listed"] += 1
        else:
            ids.append((image, category))
            values.append((*_box(file, where, row), *_area_and_crowd(file, where, row)))
    if rows and not ids:
        reasons = "; ".join(f"{count}: {reason}" for reason, count in skipped.items())
        raise DatasetError(f"none of the {len(rows)} annotations of {str(file)!r} fits: {reasons}")
    pairs = np.array(ids, np.int64).reshape(-1, 2)
    numbers = np.array(values, np.float64).reshape(-1, 6)
    truth = GroundTruth(
        np.ascontiguousarray(pairs[:, 0]),
        np.ascontiguousarray(pairs[:, 1]),
        np.ascontiguousarray(numbers[:, :4]),
        np.ascontiguousarray(numbers[:, 4]),
        numbers[:, 5] != 0,
    )
    return truth, dict(skipped)


def _box(file: Path, where: str, row: Mapping[str, Any]) -> tuple[float, float, float, float]:
    box = row.get("bbox")
    if (
        not isinstance(box, list)
        or len(box) != 4
        or not all(_is_number(value) for value in box)
        or box[2] < 0
        or box[3] < 0
    ):
        raise DatasetError(
            f"{str(file)!r}: {where} needs 'bbox', four numbers x, y, width, height in pixels, "
            f"not {_shown(box)}"
        )
    return (float(box[0]), float(box[1]), float(box[2]), float(box[3]))


def _area_and_crowd(file: Path, where: str, row: Mapping[str, Any]) -> tuple[float, bool]:
    area = row.get("area", None)
    if area is None:
        area = row["bbox"][2] * row["bbox"][3]
    if not _is_number(area):
        raise DatasetError(f"{str(file)!r}: {where} needs 'area', a number, not {_shown(area)}")
    crowd = row.get("iscrowd", 0)
    if crowd not in (0, 1, None):
        raise DatasetError(f"{str(file)!r}: {where} needs 'iscrowd', 0 or 1, not {_shown(crowd)}")
    return float(area), bool(crowd)


def _is_number(value: object) -> bool:
    # JSON as Python reads it knows NaN, Infinity and whole numbers too big for a float.
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return abs(value) < MAX_ID and math.isfinite(value)


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
