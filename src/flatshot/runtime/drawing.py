"""Detections drawn into their image."""

import colorsys
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from flatshot.runtime.detections import Detections
from flatshot.runtime.images import Pixels

if TYPE_CHECKING:
    from PIL import ImageDraw

Colour = tuple[int, int, int]
Rectangle = tuple[float, float, float, float]

_BLACK, _WHITE = (0, 0, 0), (255, 255, 255)
# Steps of the golden ratio around the colour wheel keep any run of classes apart.
_GOLDEN = 0.6180339887498949
# A contrast ratio of 3 with black, what WCAG 2 asks of graphics: (l + .05) / .05.
_DARKEST = 0.1


def draw(pixels: Pixels, found: Detections) -> Pixels:
    """A copy of an image with a box, a name and a score for each detection.

    A class has the same colour in every image. Boxes have a dark rim and labels are filled, so
    that they show on any background; labels stay inside the image and, where there is room, off
    each other. Lines and letters grow with the image. Boxes are clipped to it, and those without
    a part in it are left out.

    Args:
        pixels: (height, width, 3) uint8, RGB.
        found: what was found in it.

    Returns:
        (height, width, 3) uint8, RGB.
    """
    from PIL import Image, ImageDraw, ImageFont

    height, width = pixels.shape[:2]
    image = Image.fromarray(pixels).copy()
    canvas = ImageDraw.Draw(image)
    line = max(1, round((height + width) / 450))
    font = ImageFont.load_default(size=max(10, round((height + width) / 75)))
    boxes = [_clipped(row, width, height) for row in found.pixels(width, height)]
    visible = [(index, box) for index, box in enumerate(boxes) if box is not None]
    labels: list[_Label] = []
    for index, box in visible:
        text = f"{_name(found, index)} {found.scores[index]:.0%}"
        taken = [label.place for label in labels]
        labels.append(_Label.near(box, text, canvas, font, line, (width, height), taken))
    # The best comes last, over the others.
    for index, box in reversed(visible):
        _frame(canvas, box, colour(int(found.classes[index])), line)
    for (index, _), label in zip(reversed(visible), reversed(labels), strict=True):
        label.write(canvas, font, colour(int(found.classes[index])))
    return np.array(image)


def colour(class_index: int) -> Colour:
    """The colour of a class: unlike that of its neighbours, and light enough for a black ground."""
    hue = (class_index * _GOLDEN + 0.58) % 1
    # Every third class is darker, for hues alone run out after a dozen.
    value = (1.0, 0.85, 0.7)[class_index % 3]
    red, green, blue = colorsys.hsv_to_rgb(hue, 0.85, value)
    tint = round(red * 255), round(green * 255), round(blue * 255)
    while _luminance(tint) < _DARKEST:
        tint = tint[0] + (255 - tint[0]) // 8, tint[1] + (255 - tint[1]) // 8, tint[2]
    return tint


def contrast(tint: Colour) -> Colour:
    """Black or white, whichever can be read on `tint`."""
    # Where the contrast ratios with black and with white are equal: (l + .05)^2 = 1.05 * .05.
    return _BLACK if _luminance(tint) > 0.179 else _WHITE


def _luminance(tint: Colour) -> float:
    """Relative luminance as WCAG 2 defines it, 0 to 1."""
    channels = [c / 255 for c in tint]
    linear = [c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def _name(found: Detections, index: int) -> str:
    if found.names is not None:
        return found.names[index]
    return f"class {int(found.classes[index])}"


def _clipped(row: Any, width: int, height: int) -> Rectangle | None:
    """xmin, ymin, xmax, ymax of the part in the image; None without one."""
    if np.isnan(row).any():
        return None
    left, top = max(row[0], 0.0), max(row[1], 0.0)
    right, bottom = min(row[2], width - 1.0), min(row[3], height - 1.0)
    return (left, top, right, bottom) if left < right and top < bottom else None


def _frame(canvas: "ImageDraw.ImageDraw", box: Rectangle, tint: Colour, line: int) -> None:
    rim = max(1, line // 3)
    outer = (box[0] - rim, box[1] - rim, box[2] + rim, box[3] + rim)
    canvas.rectangle(outer, outline=_BLACK, width=line + 2 * rim)
    canvas.rectangle(box, outline=tint, width=line)


@dataclass(frozen=True)
class _Label:
    """A line of text and the filled rectangle that it stands on."""

    text: str
    place: Rectangle
    origin: tuple[float, float]

    @classmethod
    def near(
        cls,
        box: Rectangle,
        text: str,
        canvas: "ImageDraw.ImageDraw",
        font: Any,
        line: int,
        size: tuple[int, int],
        taken: Iterable[Rectangle],
    ) -> "_Label":
        left, _, right, _ = canvas.textbbox((0, 0), text, font=font)
        # As high as the highest letters, so that all labels are alike.
        _, top, _, bottom = canvas.textbbox((0, 0), "\u00c5g", font=font)
        pad = line + 1
        wide, high = right - left + 2 * pad, bottom - top + 2 * pad
        place = _free_place(wide, high, box, size, taken)
        return cls(text, place, (place[0] + pad - left, place[1] + pad - top))

    def write(self, canvas: "ImageDraw.ImageDraw", font: Any, tint: Colour) -> None:
        canvas.rectangle(self.place, fill=tint, outline=_BLACK)
        canvas.text(self.origin, self.text, fill=contrast(tint), font=font)


def _free_place(
    wide: float, high: float, box: Rectangle, size: tuple[int, int], taken: Iterable[Rectangle]
) -> Rectangle:
    """Above the box, inside its top, inside its bottom or below it: the first that is free."""
    x = max(0.0, min(box[0], size[0] - 1 - wide))
    places = []
    for y in (box[1] - high, box[1], box[3] - high, box[3]):
        inside = max(0.0, min(y, size[1] - 1 - high))
        places.append((x, inside, x + wide, inside + high))
    others = list(taken)
    for place in places:
        if not any(_meet(place, other) for other in others):
            return place
    return places[0]


def _meet(a: Rectangle, b: Rectangle) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]
