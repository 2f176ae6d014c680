"""`flatshot detect`: objects in images, as a table, as annotated copies, as COCO results."""

import json
import re
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from flatshot.cli.detector_options import post_process_options, resize_option
from flatshot.cli.image_arguments import find_images
from flatshot.cli.places import place
from flatshot.cli.terminal import visible
from flatshot.errors import ConfigError, FileError, FormatError, ImageError
from flatshot.formats.files import check_target, read_bytes, write_beside, write_bytes

if TYPE_CHECKING:
    from flatshot.runtime.detections import Detections
    from flatshot.runtime.detector import Detector
    from flatshot.runtime.images import Pixels

SHOWN_ABOVE = 0.3
STDOUT = Path("-")
# Kinds of image files that are written as what they were; others become PNG.
_KINDS = {".jpg": "JPEG", ".jpeg": "JPEG", ".png": "PNG"}


@dataclass(frozen=True)
class Wishes:
    """What to do with what is found."""

    output: Path | None
    results: Path | None
    shown_above: float


@click.command(name="detect")
@click.argument("model", callback=place)
@click.argument("images", nargs=-1, required=True, metavar="IMAGE|DIR|GLOB...")
@click.option(
    "-o", "--output", type=click.Path(path_type=Path), help="Write annotated images here."
)
@click.option(
    "--json",
    "results",
    type=click.Path(path_type=Path),
    help="Write COCO results here (- for stdout alone): all that the model reports, whatever is "
    "shown.",
)
@click.option(
    "--labels",
    callback=place,
    help="Names of the classes: .txt (with or without a leading ???) or .pbtxt. Default: those "
    "packed into the model.",
)
@post_process_options
@resize_option
@click.option(
    "--threads",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    help="Of the interpreter.",
)
@click.option(
    "--anchors",
    type=click.Path(path_type=Path),
    help="Anchors of a cut model: .npy, or text with four numbers a line (yc, xc, h, w).",
)
def command(
    model: str,
    images: tuple[str, ...],
    output: Path | None,
    results: Path | None,
    labels: str | None,
    score_threshold: float | None,
    anchors: Path | None,
    **settings: Any,
) -> int:
    """Find objects in images with the .tflite detector MODEL.

    Images are files, directories (all image files below them) or quoted patterns. A damaged image
    is reported and passed over; the exit code is 1 only if none could be read. Without
    --score-threshold the table and the pictures show scores from 0.3 up.
    """
    from flatshot.runtime.detector import Detector

    found = find_images(images)
    paths = found.paths
    if results is not None and results != STDOUT:
        check_target(results)
    if results is not None and results.resolve() in {path.resolve() for path in paths}:
        raise ConfigError(f"--json {results} would overwrite one of the images")
    targets = _targets(paths, output)
    for target in list(targets.values())[:1]:
        check_target(target)
    detector = Detector(
        model,
        labels=labels,
        score_threshold=score_threshold,
        anchors=None if anchors is None else load_anchors(anchors),
        **settings,
    )
    wishes = Wishes(output, results, SHOWN_ABOVE if score_threshold is None else 0.0)
    for pattern in found.missing:
        click.echo(f"flatshot: skipped: no image at {pattern!r}", err=True)
    if found.passed_over:
        kinds = ", ".join(
            f"{n} {suffix or 'without suffix'}" for suffix, n in found.passed_over.items()
        )
        click.echo(f"flatshot: passed over in folders, as no images: {kinds}", err=True)
    return _run(detector, paths, targets, wishes)


def load_anchors(path: Path) -> Any:
    """The anchors in a file, (n, 4) float32: .npy, or text of numbers.

    Raises:
        FileError: it cannot be read.
        FormatError: it holds no rows of four numbers.
    """
    import io

    import numpy as np

    data = read_bytes(path)
    try:
        if path.suffix == ".npy":
            values = np.load(io.BytesIO(data), allow_pickle=False)
        else:
            values = np.array(data.decode().replace(",", " ").split(), np.float32)
        return np.asarray(values, np.float32).reshape(-1, 4)
    except (ValueError, EOFError, TypeError) as error:
        raise FormatError(f"{path}: no anchors, which are four numbers each: {error}") from error


def _targets(paths: Sequence[Path], output: Path | None) -> dict[Path, Path]:
    """Where the annotated copy of each image goes; no image is overwritten, nor another copy."""
    if output is None:
        return {}
    originals = {path.resolve() for path in paths}
    targets: dict[Path, Path] = {}
    used: set[Path] = set()
    for path in paths:
        suffix = path.suffix if path.suffix.lower() in _KINDS else f"{path.suffix}.png"
        names = (f"{path.stem}{part}{suffix}" for part in _numbering())
        target = next(output / name for name in names if output / name not in used)
        if target.resolve() in originals:
            raise ConfigError(f"--output {output} holds the images themselves; choose another")
        used.add(target)
        targets[path] = target
    return targets


def _numbering() -> Iterator[str]:
    yield ""
    number = 2
    while True:
        yield f"-{number}"
        number += 1


def _run(
    detector: "Detector", paths: Sequence[Path], targets: dict[Path, Path], wishes: Wishes
) -> int:
    table = _Table([path.name for path in paths])
    entries: list[dict[str, Any]] = []
    failed, objects, seconds = 0, 0, 0.0
    for path in paths:
        try:
            pixels = detector.load(path)
        except (ImageError, FileError) as error:
            failed += 1
            click.echo(f"flatshot: skipped: {visible(str(error))}", err=True)
            continue
        start = time.perf_counter()
        found = detector(pixels)
        seconds += time.perf_counter() - start
        entries += coco_results(path, found, pixels.shape[1], pixels.shape[0])
        shown = found[found.scores >= wishes.shown_above]
        objects += len(shown)
        if wishes.results != STDOUT:
            table.add(path.name, shown, pixels)
        if path in targets:
            _write_annotated(targets[path], pixels, shown)
    done = len(paths) - failed
    if wishes.results is not None and done:
        text = json.dumps(entries, indent=1)
        if wishes.results == STDOUT:
            click.echo(text)
        else:
            write_bytes(wishes.results, text.encode() + b"\n")
    _report_shared_ids(paths, wishes)
    each = f", {seconds / done * 1000:.0f} ms an image" if done else ""
    skipped = f", {failed} skipped" if failed else ""
    things = f"{objects} object{'s' * (objects != 1)} in {done} image{'s' * (done != 1)}"
    click.echo(f"flatshot: {things}{skipped}{each}", err=True)
    return 0 if done else 1


def image_id(path: Path) -> int | str:
    """COCO's id of an image: the digits that end the file's name, or else the name."""
    digits = re.search(r"[0-9]+$", path.stem)
    return int(digits.group()) if digits else path.stem


def _report_shared_ids(paths: Sequence[Path], wishes: Wishes) -> None:
    """Say so where two images get one id in the results."""
    if wishes.results is None:
        return
    seen: dict[int | str, Path] = {}
    for path in paths:
        other = seen.setdefault(image_id(path), path)
        if other != path:
            click.echo(
                f"flatshot: warning: {other.name} and {path.name} share image_id {image_id(path)} "
                f"in {wishes.results}",
                err=True,
            )


def coco_results(path: Path, found: "Detections", width: int, height: int) -> list[dict[str, Any]]:
    """COCO's result entries: boxes in pixels as x, y, width, height, classes from 1."""
    return [
        {
            "image_id": image_id(path),
            "category_id": int(class_) + 1,
            "bbox": [left, top, right - left, bottom - top],
            "score": float(score),
        }
        for class_, score, (left, top, right, bottom) in zip(
            found.classes, found.scores, found.pixels(width, height).tolist(), strict=True
        )
    ]


class _Table:
    """Columns on stdout, a line a detection, written as they come."""

    def __init__(self, names: Sequence[str]) -> None:
        self._width = min(max(map(len, names), default=0), 40)
        self._begun = False

    def add(self, name: str, found: "Detections", pixels: "Pixels") -> None:
        """Print what was found in one image."""
        if not self._begun:
            self._line("image", "score", "class", ["left", "top", "width", "height"])
            self._begun = True
        boxes = found.pixels(pixels.shape[1], pixels.shape[0]).tolist()
        names = found.names or tuple(f"class {class_}" for class_ in found.classes)
        for (left, top, right, bottom), score, label in zip(
            boxes, found.scores, names, strict=True
        ):
            numbers = [str(round(n)) for n in (left, top, right - left, bottom - top)]
            self._line(name, f"{score:.2f}", label, numbers)
        if not boxes:
            self._line(name, "-", "nothing", [])

    def _line(self, name: str, score: str, label: str, numbers: Sequence[str]) -> None:
        cells = "".join(f"{number:>7}" for number in numbers)
        name, label = visible(name), visible(label)
        click.echo(f"{name:<{self._width}}  {score:>5}  {label:<16}{cells}".rstrip())


def _write_annotated(target: Path, pixels: "Pixels", found: "Detections") -> None:
    from PIL import Image

    from flatshot.runtime.drawing import draw

    picture = Image.fromarray(draw(pixels, found))
    with write_beside(target) as file:
        picture.save(file, _KINDS[target.suffix.lower()], quality=92)
