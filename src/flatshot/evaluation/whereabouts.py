"""Where the parts of a data set lie: its annotation file, its image folder, each listed image.

Annotation files travel between machines and tools, so a listed name may be another machine's path.
An image is looked for under its listed name and then under less and less of that name's end, always
inside the image folder and never outside of it.
"""

import os
import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote

from flatshot.errors import DatasetError
from flatshot.evaluation.foreign import recognise_folder
from flatshot.formats.files import StrPath, is_directory, is_file

# Where tools put annotation files, the most telling first.
_ANNOTATION_FILES = (
    *("annotations/instances_*.json", "instances_*.json", "*.json", "*/*.json"),
    "*/annotations/*.json",
)
# Names that tools give to the folder of the images.
_IMAGE_FOLDERS = ("images", "data", "imgs", "img", "JPEGImages")
# Files that are looked through for images which are not where they should be.
_MAX_FILES = 500_000


def annotation_file(root: Path, given: StrPath | None) -> Path:
    """The annotation file of the data set in `root`: the one that is `given`, or the only one.

    Raises:
        DatasetError: there is none, or several; or the folder holds another kind of data set.
    """
    if given is not None:
        places = [root / given, root / "annotations" / given, Path(given)]
        for place in places:
            if is_file(place):
                return place
        raise DatasetError(f"no annotation file {str(given)!r}, neither in {str(root)!r}")
    for pattern in _ANNOTATION_FILES:
        found = sorted(place for place in root.glob(pattern) if place.is_file())
        if len(found) > 1:
            found = [place for place in found if _looks_like_coco(place)] or found
        if len(found) > 1:
            listed = ", ".join(str(place.relative_to(root)) for place in found[:8])
            raise DatasetError(
                f"several annotation files in {str(root)!r}: {listed}; "
                "choose one with annotations= (--annotations)"
            )
        if found:
            return found[0]
    kind = recognise_folder(root)
    if kind is not None:
        raise DatasetError(
            f"{str(root)!r} holds annotations of another kind, {kind}; COCO's format is needed: "
            "one JSON file with images, categories and annotations"
        )
    raise DatasetError(
        f"no annotations/instances_*.json in {str(root)!r}: "
        "name the annotation file with annotations= (--annotations)"
    )


def _looks_like_coco(place: Path) -> bool:
    """Whether the beginning or the end of a JSON file names one of COCO's lists."""
    try:
        with place.open("rb") as file:
            head = file.read(1 << 16)
            file.seek(max(0, os.fstat(file.fileno()).st_size - (1 << 16)))
            tail = file.read(1 << 16)
    except OSError:
        return False
    found = re.search(rb'"(annotations|images|categories)"\s*:\s*\[', head + b"\n" + tail)
    return found is not None


@dataclass(frozen=True)
class Whereabouts:
    """The image folder, and where in it the listed images are.

    Attributes:
        folder: the folder.
        paths: image id -> file, for the images that are there.
        moved: ids of images that are not where their listed name says, but under a part of it.
    """

    folder: Path
    paths: Mapping[int, Path]
    moved: tuple[int, ...]


def find_images(
    root: Path, file: Path, given: StrPath | None, names: Mapping[int, str]
) -> Whereabouts:
    """Where the images lie that `file`, an annotation file of the data set in `root`, lists.

    Args:
        root: the data set.
        file: its annotation file.
        given: the image folder, where the caller knows it.
        names: image id -> listed name.

    Raises:
        DatasetError: not one of them is found, or two listed names lead to one file.
    """
    candidates = list(_candidates(root, file, given))
    folders = [candidate for candidate in candidates if is_directory(candidate)]
    best: Whereabouts | None = None
    for folder in folders:
        here = _look(folder, names, None)
        if best is None or len(here.paths) > len(best.paths):
            best = here
        if len(here.paths) == len(names):
            break
    if best is not None and len(best.paths) < len(names):
        deep = [best.folder] if best.paths else folders
        for folder in deep:
            best = _look(folder, names, _index(folder))
            if best.paths:
                break
    if best is None or not best.paths:
        looked = ", ".join(str(place) for place in candidates)
        raise DatasetError(
            f"not one of the {len(names)} images of {str(file)!r} is in {looked} "
            f"(first: {next(iter(names.values()))}); name the image folder with images= (--images)"
        )
    _refuse_twins(file, names, best)
    return best


def _candidates(root: Path, file: Path, given: StrPath | None) -> Iterable[Path]:
    if given is not None:
        return (root / given, Path(given))
    split = re.sub(r"^instances_|[._]?annotations[._]?|[._]coco$", "", file.stem)
    near = [root / split, *(root / name / split for name in _IMAGE_FOLDERS)] if split else []
    near += [root / split / name for name in _IMAGE_FOLDERS] if split else []
    near += [place / name for place in (file.parent, root) for name in _IMAGE_FOLDERS]
    return dict.fromkeys((*near, file.parent, root))


def _look(
    folder: Path, names: Mapping[int, str], index: Mapping[str, Path | None] | None
) -> Whereabouts:
    paths: dict[int, Path] = {}
    moved = []
    for identity, name in names.items():
        path = _listed(folder, name)
        if path is None:
            path = _under_its_end(folder, name) or (_in_index(index, name) if index else None)
            if path is None:
                continue
            moved.append(identity)
        paths[identity] = path
    return Whereabouts(folder, paths, tuple(moved))


def _listed(folder: Path, name: str) -> Path | None:
    """The file of exactly that name in the folder, unless the name leads out of it."""
    inside = not (Path(name).is_absolute() or ".." in Path(name).parts)
    return folder / name if inside and is_file(folder / name) else None


def _ends(name: str) -> Iterator[str]:
    """The listed name from its second part on, and so forth to the last part alone.

    A drive, a host or leading `..` are no parts; nor are they ever looked for.
    """
    for text in dict.fromkeys((name, unquote(name), unquote(name.partition("?")[0]))):
        parts = [part for part in re.split(r"[/\\]", text) if part not in ("", ".")]
        leading = [place for place, part in enumerate(parts) if part == ".." or part[-1] == ":"]
        parts = parts[leading[-1] + 1 :] if leading else parts
        for start in range(len(parts)):
            yield "/".join(parts[start:])


def _under_its_end(folder: Path, name: str) -> Path | None:
    return next((folder / end for end in _ends(name) if is_file(folder / end)), None)


def _index(folder: Path) -> dict[str, Path | None]:
    """The files below a folder by their names' `_key`s; None where a key is not of one file."""
    index: dict[str, Path | None] = {}
    count = 0
    for place, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in files:
            for key in _keys(name):
                index[key] = None if key in index else Path(place, name)
        count += len(files)
        if count > _MAX_FILES:
            break
    return index


def _keys(name: str) -> Iterator[str]:
    """A file's name as other machines may spell it, and the same without its suffix.

    Cases differ on Windows, and macOS takes letters with marks apart.
    """
    plain = unicodedata.normalize("NFC", name).casefold()
    yield f"name {plain}"
    stem, dot, suffix = plain.rpartition(".")
    if dot and f".{suffix}" in _SUFFIXES:
        yield f"stem {stem}"


_SUFFIXES = {".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff", ".gif"}


def _in_index(index: Mapping[str, Path | None], name: str) -> Path | None:
    """The one file of the index whose name is the end of `name`, however spelt."""
    last = list(_ends(name))
    for end in last:
        if "/" not in end:
            for key in (*_keys(end), f"stem {unicodedata.normalize('NFC', end).casefold()}"):
                path = index.get(key)
                if path is not None:
                    return path
    return None


def _refuse_twins(file: Path, names: Mapping[int, str], found: Whereabouts) -> None:
    moved = set(found.moved)
    taken: dict[Path, int] = {}
    for identity, path in found.paths.items():
        other = taken.setdefault(path, identity)
        if other != identity and (identity in moved or other in moved):
            raise DatasetError(
                f"{str(file)!r}: {names[other]!r} and {names[identity]!r} are both {path} "
                "by the end of their names; put the images into folders as they are listed"
            )
