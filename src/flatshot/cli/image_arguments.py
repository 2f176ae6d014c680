"""Arguments that name images: files, folders with all that lies below them, quoted patterns."""

import glob
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

# What Pillow reads by default and people have; .jfif is what Windows' browsers save.
SUFFIXES = {
    *(".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".apng", ".webp", ".bmp", ".dib", ".gif"),
    *(".tif", ".tiff", ".ppm", ".pgm", ".pbm", ".pnm", ".mpo", ".jp2", ".j2k", ".tga", ".avif"),
}
# Named in folders, so that the reason why they cannot be read is said.
_FOREIGN = {".heic", ".heif"}


@dataclass(frozen=True)
class Found:
    """The images that arguments stand for.

    Attributes:
        paths: the files, each once, in the order of the arguments.
        missing: the arguments that stand for none.
        passed_over: suffix -> how many files of it in folders are taken for no images.
    """

    paths: list[Path]
    missing: list[str]
    passed_over: dict[str, int]


def find_images(arguments: Sequence[str]) -> Found:
    """The image files that the arguments stand for; folders are walked, hidden ones left out."""
    found: dict[Path, None] = {}
    missing = []
    others: Counter[str] = Counter()
    for argument in arguments:
        path = Path(argument)
        if path.is_dir():
            files = list(_below(path))
            paths = [file for file in files if file.suffix.lower() in SUFFIXES | _FOREIGN]
            others.update(file.suffix.lower() for file in set(files) - set(paths))
        elif path.exists() or not glob.has_magic(argument):
            paths = [path]
        else:
            matches = map(Path, sorted(glob.glob(argument, recursive=True)))  # noqa: PTH207
            paths = [match for match in matches if match.is_file()]
        if not paths:
            missing.append(argument)
        found.update(dict.fromkeys(paths))
    return Found(list(found), missing, dict(sorted(others.items())))


def _below(folder: Path) -> Iterator[Path]:
    """The files of a folder by name, then those of its folders; links to folders not followed."""
    for place, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        yield from (Path(place, name) for name in sorted(files) if not name.startswith("."))
