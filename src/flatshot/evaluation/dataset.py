"""A COCO-format data set on disk: its images in a fixed order, and what is to be found on them.

Nothing here decodes an image. The annotation file is read once into flat arrays, so that 5,000
images weigh a few megabytes; whatever in it cannot be scored is refused, or left out and counted.
"""

import hashlib
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from flatshot.errors import DatasetError
from flatshot.evaluation.annotations import Annotations, GroundTruth, parse_annotations
from flatshot.evaluation.whereabouts import Whereabouts, annotation_file, find_images
from flatshot.formats.files import StrPath, is_directory, is_file, read_bytes

_log = logging.getLogger("flatshot")


@dataclass(frozen=True)
class DatasetImage:
    """One image that is there.

    Attributes:
        id: the data set's number for it.
        name: its name as the annotation file lists it.
        path: its file.
        size: (width, height) in pixels as the annotation file lists them, or None.
    """

    id: int
    name: str
    path: Path
    size: tuple[int, int] | None = None


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
        """Read the data set at `path`.

        Args:
            path: the folder that holds the annotation file and the images, or the annotation file.
            annotations: the annotation file, absolute, in `path`, or in `path`/annotations; found
                by itself (`annotations/instances_*.json`) where there is only one.
            images: the folder of the images, absolute or in `path`; found by itself where it bears
                the name of the annotation file (`instances_val2017.json`, `val2017/`), is called
                `images` or `data`, or is the annotation file's own.

        Raises:
            DatasetError: no or several annotation files, a file that is no COCO annotation file or
                contradicts itself, no image folder, or not one listed image in it.
            FileError: the annotation file cannot be read.
        """
        root = Path(path)
        if annotations is None and is_file(root):
            root, annotations = _home_of(root), root.absolute()
        if not is_directory(root):
            raise DatasetError(f"no data set at {str(root)!r}: it is not a folder")
        self.annotations: Path = annotation_file(root, annotations)
        data = read_bytes(self.annotations)
        self.sha256: str = hashlib.sha256(data).hexdigest()
        content = parse_annotations(self.annotations, data)
        self.categories: Mapping[int, str] = content.categories
        self.truth: GroundTruth = content.truth
        self.skipped: Mapping[str, int] = content.skipped
        found = find_images(root, self.annotations, images, content.names)
        self.folder: Path = found.folder
        self.images, self.missing = _present(content, found)
        self._report(content, found)

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

    def _report(self, content: Annotations, found: Whereabouts) -> None:
        file = self.annotations.name
        if found.moved:
            first = found.moved[0]
            _log.warning(
                "%d of the %d images that %s lists are found in %s by the end of their listed "
                "names (first: %s as %s)",
                *(len(found.moved), len(content.names), file, self.folder, content.names[first]),
                found.paths[first].relative_to(self.folder),
            )
        if self.missing:
            _log.warning(
                "%d of the images that %s lists are not in %s and are left out (first: %s)",
                *(len(self.missing), file, self.folder, self.missing[0]),
            )
        for reason, number in self.skipped.items():
            _log.warning("%d annotations of %s left out: %s", number, file, reason)


def _home_of(file: Path) -> Path:
    """The folder of the data set whose annotation file this is."""
    parent = file.absolute().parent
    return parent.parent if parent.name == "annotations" else parent


def _present(
    content: Annotations, found: Whereabouts
) -> tuple[tuple[DatasetImage, ...], tuple[str, ...]]:
    order = sorted(content.names.items(), key=lambda item: (item[1], item[0]))
    there = tuple(
        DatasetImage(identity, name, found.paths[identity], content.sizes.get(identity))
        for identity, name in order
        if identity in found.paths
    )
    return there, tuple(name for identity, name in order if identity not in found.paths)
