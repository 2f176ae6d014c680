"""Photographs on a page: small copies with boxes, and words on the boxes."""

import base64
import io
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from flatshot.errors import FlatshotError
from flatshot.evaluation.dataset import CocoDataset, DatasetImage
from flatshot.evaluation.metrics import FloatArray
from flatshot.formats.files import read_bytes
from flatshot.runtime import images as image_files

# The box that a photograph is fitted into; the page scales it.
WIDTH, HEIGHT = 400, 300
QUALITY = 66
# Words on boxes: at most so many of a kind, of this size in the photograph's own units.
LABELS_OF_A_KIND = 5
LETTER, LINE = 6.6, 15.0


@dataclass(frozen=True)
class Shape:
    """A box to draw over a photograph.

    Attributes:
        kind: `ok` found, `fp` false alarm, `ms` missed, `tr` truth of what was found, `sh` what
            two runs share.
        box: x, y, width, height in pixels of the image.
        text: the word on it.
        rank: the higher, the sooner it gets a word.
    """

    kind: str
    box: tuple[float, float, float, float]
    text: str
    rank: float


@dataclass(frozen=True)
class Drawn:
    """A box in the units of the small copy, with the place of its word, if it has one."""

    kind: str
    x: float
    y: float
    width: float
    height: float
    text: str
    label: tuple[float, float, float] | None


@dataclass(frozen=True)
class Credit:
    """Where a photograph comes from and under which licence."""

    source: str = ""
    licence: str = ""
    licence_url: str = ""


@dataclass(frozen=True)
class Photograph:
    """A small copy of an image, centred in `WIDTH` x `HEIGHT`, with its boxes."""

    identity: int
    data: str
    place: tuple[float, float, float, float]
    boxes: list[Drawn]
    title: str
    note: str
    lines: list[str]
    credit: Credit


@dataclass(frozen=True)
class Caption:
    """The words under a photograph: what it shows, a figure at its right, further lines."""

    title: str
    note: str = ""
    lines: tuple[str, ...] = ()


def photograph(
    image: DatasetImage, shapes: Iterable[Shape], caption: Caption, credit: Credit
) -> Photograph | None:
    """The small copy of `image` with `shapes`; None where the file is gone or damaged."""
    from PIL import Image

    try:
        pixels = image_files.load(image.path)
    except FlatshotError:
        return None  # the run has told of it, and the page says that it shows what is left
    height, width = pixels.shape[:2]
    scale = min(WIDTH / width, HEIGHT / height)
    size = max(1, round(width * scale)), max(1, round(height * scale))
    small = Image.fromarray(pixels).resize(size, Image.Resampling.LANCZOS, reducing_gap=2.0)
    buffer = io.BytesIO()
    small.save(buffer, "JPEG", quality=QUALITY, optimize=True)
    left, top = (WIDTH - size[0]) / 2, (HEIGHT - size[1]) / 2
    return Photograph(
        image.id,
        "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode(),
        (left, top, *size),
        _draw(list(shapes), scale, left, top, size),
        caption.title,
        caption.note,
        list(caption.lines),
        credit,
    )


def credits(dataset: CocoDataset, identities: Iterable[int]) -> dict[int, Credit]:
    """What the annotation file says of the origin of images, as COCO's own do."""
    wanted = set(identities)
    content: Any = json.loads(read_bytes(dataset.annotations))
    licences = {
        row.get("id"): row for row in content.get("licenses") or [] if isinstance(row, Mapping)
    }
    found = {}
    for row in content.get("images") or []:
        if row.get("id") in wanted:
            licence = licences.get(row.get("license"), {})
            found[row["id"]] = Credit(
                _web(row.get("flickr_url") or row.get("coco_url")),
                str(licence.get("name") or ""),
                _web(licence.get("url")),
            )
    return found


def _web(value: object) -> str:
    """An address of the web, or nothing: files of strangers may hold any scheme."""
    text = str(value or "")
    return text if text.startswith(("http://", "https://")) else ""


def _draw(
    shapes: list[Shape], scale: float, left: float, top: float, size: tuple[int, int]
) -> list[Drawn]:
    taken: list[tuple[float, float, float, float]] = []
    words: dict[int, tuple[float, float, float]] = {}
    numbers: dict[str, int] = {}
    for place in sorted(range(len(shapes)), key=lambda place: -shapes[place].rank):
        shape = shapes[place]
        if not shape.text or numbers.get(shape.kind, 0) >= LABELS_OF_A_KIND:
            continue
        x, y, _, _ = _clip(shape.box, scale, size)
        spot = _free_spot(left + x, top + y, LETTER * len(shape.text) + 8, taken)
        if spot is not None:
            taken.append((*spot, LINE))
            words[place] = spot
            numbers[shape.kind] = numbers.get(shape.kind, 0) + 1
    drawn = []
    for place, shape in enumerate(shapes):
        x, y, wide, high = _clip(shape.box, scale, size)
        drawn.append(Drawn(shape.kind, left + x, top + y, wide, high, shape.text, words.get(place)))
    return drawn


def _clip(
    box: tuple[float, float, float, float], scale: float, size: tuple[int, int]
) -> tuple[float, float, float, float]:
    """`box` in the units of the small copy, as far as it lies in it."""
    x, y, wide, high = (float(value) * scale for value in box)
    right, bottom = min(x + wide, size[0] - 1), min(y + high, size[1] - 1)
    x, y = max(1.0, min(x, size[0] - 2)), max(1.0, min(y, size[1] - 2))
    return x, y, max(1.0, right - x), max(1.0, bottom - y)


def _free_spot(
    x: float, y: float, wide: float, taken: list[tuple[float, float, float, float]]
) -> tuple[float, float, float] | None:
    """x, y and width of a word above a box, or just inside it; None where others stand."""
    x = max(0.0, min(x - 1, WIDTH - wide))
    for top in (y - LINE - 1, y + 1):
        if top < 0 or top + LINE > HEIGHT:
            continue
        if not any(
            x < other[0] + other[2]
            and other[0] < x + wide
            and top < other[1] + LINE
            and other[1] < top + LINE
            for other in taken
        ):
            return x, top, wide
    return None


def overlaps(box: FloatArray, others: FloatArray) -> FloatArray:
    """(n,) IoU of one box (4,) with others (n, 4), x, y, width, height."""
    low = np.maximum(box[:2], others[:, :2])
    high = np.minimum(box[:2] + box[2:], others[:, :2] + others[:, 2:])
    inner = np.prod(np.maximum(high - low, 0), axis=1)
    union = box[2] * box[3] + np.prod(others[:, 2:], axis=1) - inner
    result: FloatArray = np.where(union > 0, inner / np.where(union > 0, union, 1), 0)
    return result
