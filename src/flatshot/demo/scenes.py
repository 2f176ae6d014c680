"""Scenes of textured shapes with COCO annotations, drawn from a seed: data that needs no download.

A scene is a cluttered background with six kinds of shapes on it, in random colours, textures, sizes
and rotations. Shapes hide parts of one another: some stand alone, some lie on a shape of another
class whose box is nearly theirs (suppression across classes loses one of the two), some overlap a
neighbour of their own class. As in COCO, box and area are those of what can be seen of a shape.

All randomness comes from one PCG64 generator for each scene, so a scene depends on its seed, its
size and the versions of NumPy and Pillow alone. No fonts are used.
"""

import io
import json
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw

from flatshot.errors import ConfigError
from flatshot.formats import files
from flatshot.formats.files import StrPath

CLASSES = ("disc", "ring", "square", "triangle", "star", "cross")
SIZE = (256, 256)
# Of a shape's diameter, as a part of the scene's shorter side.
DIAMETERS = (0.3, 0.6)
# Of a shape that can be seen at least, of its pixels; less is too little to tell what it is.
MIN_VISIBLE = 0.5
# Likewise where one shape happens to lie on another; what is hidden more is hidden on purpose.
MIN_VISIBLE_BY_CHANCE = 0.7
# Two shapes are a pair across classes where their boxes overlap more than this, the suppression
# threshold of the Object Detection API's configurations.
PAIR_IOU = 0.6
# A ring's hole, of its radius.
HOLE = 0.55

Pixels: TypeAlias = npt.NDArray[np.uint8]
Floats: TypeAlias = npt.NDArray[np.float32]
Mask: TypeAlias = npt.NDArray[np.bool_]
Boxes: TypeAlias = npt.NDArray[np.float64]
Box: TypeAlias = tuple[int, int, int, int]
Colour: TypeAlias = npt.NDArray[np.float32]
Points: TypeAlias = list[tuple[float, float]]


@dataclass(frozen=True, eq=False)
class _Shape:
    """A shape in its place: the patch of the scene that it touches, and its masks there.

    `left` and `top` are the patch's corner; `mask` and `edge` are (h, w) float32 in 0 to 1, `edge`
    being the line around the shape.
    """

    kind: int
    centre: tuple[float, float]
    diameter: float
    left: int
    top: int
    mask: Floats
    edge: Floats

    @property
    def window(self) -> tuple[slice, slice]:
        """Where the patch lies in the scene."""
        height, width = self.mask.shape
        return slice(self.top, self.top + height), slice(self.left, self.left + width)

    @property
    def solid(self) -> Mask:
        """The pixels of the patch that count as the shape's."""
        return self.mask >= 0.5


@dataclass(eq=False)
class _Scene:
    """A scene in the making.

    `owners` holds for each pixel the number of the shape that is seen there, from 1; 0 is none.
    """

    rng: np.random.Generator
    canvas: Floats
    owners: npt.NDArray[np.uint8]
    shapes: list[_Shape] = field(default_factory=list)

    def seen(self, number: int, hidden_by: _Shape | None = None) -> Mask:
        """What is seen of shape `number` (from 1), once `hidden_by` too lies on it: (h, w)."""
        seen: Mask = self.owners == number
        if hidden_by is not None:
            seen[hidden_by.window] &= ~hidden_by.solid
        return seen

    def visible(self, number: int, hidden_by: _Shape) -> float:
        """What part of shape `number` is seen, once `hidden_by` too lies on it."""
        shape = self.shapes[number - 1]
        seen = self.seen(number, hidden_by)
        return float(seen.sum() / max(int(shape.solid.sum()), 1))

    def fits(self, shape: _Shape, least: float) -> bool:
        """Whether `shape` leaves at least the part `least` to be seen of each that it hides."""
        under = np.unique(self.owners[shape.window][shape.solid])
        return all(self.visible(int(n), shape) >= least for n in under if n)

    def put(self, shape: _Shape) -> None:
        """Draw `shape` on top of the others."""
        self.shapes.append(shape)
        height, width = shape.mask.shape
        paint = _texture(self.rng, height, width, *_two_colours(self.rng))
        line = _colour(self.rng, (0.0, 1.0), (0.02, 0.22))
        patch = self.canvas[shape.window]
        paint += shape.edge[..., None] * (line - paint)
        patch += shape.mask[..., None] * (paint - patch)
        self.owners[shape.window][shape.solid] = len(self.shapes)


def draw_scene(
    seed: int, size: tuple[int, int] = SIZE
) -> tuple[Pixels, Boxes, npt.NDArray[np.int64]]:
    """The scene of `seed`: the same for the same seed and size.

    Args:
        seed: any whole number from 0.
        size: height and width in pixels, at least 64 each.

    Returns:
        Pixels (h, w, 3) uint8; boxes (n, 4) float64 as x, y, width, height in pixels, tight around
        what is seen of each shape; classes (n,) int64 as indices into `CLASSES`.

    Raises:
        ConfigError: the seed is negative, or the scene too small.
    """
    pixels, boxes, classes, _ = _draw(seed, size)
    return pixels, boxes, classes


def write_dataset(folder: StrPath, count: int, seed: int = 0, size: tuple[int, int] = SIZE) -> Path:
    """Write `count` scenes, those of the seeds from `seed` on, as a COCO data set.

    Args:
        folder: gets `annotations/instances_scenes.json`, `scenes/*.jpg`, `scenes.pbtxt` (a label
            map) and `labels.txt`.
        count: how many scenes, at least 1.
        seed: of the first scene; the next one's is greater by one.
        size: height and width of each in pixels.

    Returns:
        The folder, ready for `CocoDataset`.

    Raises:
        ConfigError: a value is out of range.
        FileError: the place cannot be written.
    """
    if count < 1:
        raise ConfigError(f"a data set has at least one scene, not {count}")
    root = Path(folder)
    height, width = size
    listed: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for number in range(count):
        pixels, boxes, classes, areas = _draw(seed + number, size)
        name = f"scene_{seed + number:07d}.jpg"
        files.write_bytes(root / "scenes" / name, _jpeg(pixels))
        listed.append({"id": number + 1, "file_name": name, "height": height, "width": width})
        for box, kind, area in zip(boxes.tolist(), classes.tolist(), areas, strict=True):
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": number + 1,
                    "category_id": kind + 1,
                    "bbox": box,
                    "area": area,
                    "iscrowd": 0,
                }
            )
    content = {
        "info": {"description": f"Flatshot scenes, seeds {seed} to {seed + count - 1}"},
        "images": listed,
        "annotations": annotations,
        "categories": [
            {"id": number, "name": name, "supercategory": "shape"}
            for number, name in enumerate(CLASSES, start=1)
        ],
    }
    text = json.dumps(content, separators=(",", ":"))
    files.write_bytes(root / "annotations" / "instances_scenes.json", text.encode())
    files.write_bytes(root / "scenes.pbtxt", label_map().encode())
    files.write_bytes(root / "labels.txt", "".join(f"{name}\n" for name in CLASSES).encode())
    return root


def label_map() -> str:
    """The classes as a label map of the Object Detection API."""
    return "".join(
        f'item {{\n  id: {number}\n  name: "{name}"\n}}\n'
        for number, name in enumerate(CLASSES, start=1)
    )


def _jpeg(pixels: Pixels) -> bytes:
    data = io.BytesIO()
    Image.fromarray(pixels).save(data, "JPEG", quality=92, subsampling=0)
    return data.getvalue()


def _draw(
    seed: int, size: tuple[int, int]
) -> tuple[Pixels, Boxes, npt.NDArray[np.int64], list[int]]:
    if seed < 0:
        raise ConfigError(f"a scene's seed is a whole number from 0, not {seed}")
    if min(size) < 64:
        raise ConfigError(f"a scene has at least 64 x 64 pixels, not {size[0]} x {size[1]}")
    rng = np.random.Generator(np.random.PCG64(seed))
    scene = _Scene(rng, _background(rng, *size), np.zeros(size, np.uint8))
    _populate(scene)
    grain = rng.standard_normal(size, np.float32)[..., None] * np.float32(rng.uniform(0, 0.02))
    pixels = (np.clip(scene.canvas + grain, 0, 1) * 255).round().astype(np.uint8)
    boxes, areas = _measure(scene)
    classes = np.array([shape.kind for shape in scene.shapes], np.int64)
    return pixels, boxes, classes, areas


def _measure(scene: _Scene) -> tuple[Boxes, list[int]]:
    """Box and area of what is seen of each shape."""
    seen = [scene.seen(number) for number in range(1, len(scene.shapes) + 1)]
    return np.array([_box(mask) for mask in seen], np.float64), [int(mask.sum()) for mask in seen]


def _box(mask: Mask) -> Box:
    """The tight box of the true pixels, of which there are some: x, y, width, height."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    left, top = int(columns[0]), int(rows[0])
    return left, top, int(columns[-1]) + 1 - left, int(rows[-1]) + 1 - top


# What a scene holds.


def _populate(scene: _Scene) -> None:
    """Put shapes on the scene: alone, in pairs across classes, beside one of their own."""
    rng = scene.rng
    wanted = int(rng.integers(2, 6))
    for _ in range(4 * wanted):
        if len(scene.shapes) >= wanted:
            return
        shape = _random_shape(scene)
        if _crowded(scene, shape) or not scene.fits(shape, MIN_VISIBLE_BY_CHANCE):
            continue
        scene.put(shape)
        fate = rng.random()
        if fate < 0.16:
            _put_pair(scene, shape)
        elif fate < 0.4:
            _put_neighbour(scene, shape)
    if not scene.shapes:
        scene.put(_random_shape(scene))


def _crowded(scene: _Scene, shape: _Shape) -> bool:
    """Whether more than a tenth of `shape` would lie on others; pairs are made on purpose."""
    return float(np.mean(scene.owners[shape.window][shape.solid] > 0)) > 0.1


def _random_shape(scene: _Scene) -> _Shape:
    rng = scene.rng
    height, width = scene.owners.shape
    diameter = min(height, width) * math.exp(
        rng.uniform(math.log(DIAMETERS[0]), math.log(DIAMETERS[1]))
    )
    margin = 0.5 * diameter + 2
    centre = (
        float(rng.uniform(margin, height - margin)),
        float(rng.uniform(margin, width - margin)),
    )
    kind = int(rng.integers(len(CLASSES)))
    return _shape(rng, kind, centre, diameter, scene.owners.shape)


def _put_pair(scene: _Scene, under: _Shape) -> None:
    """Lay a shape of another class on `under` so that suppression across classes takes one."""
    rng = scene.rng
    number = len(scene.shapes)
    for _ in range(6):
        kind = (under.kind + int(rng.integers(1, len(CLASSES)))) % len(CLASSES)
        if CLASSES[kind] == "ring":
            continue  # What fills a ring's hole looks like a disc.
        diameter = under.diameter * float(rng.uniform(0.8, 1.02))
        jitter = rng.uniform(-0.03, 0.03, 2) * under.diameter
        centre = (under.centre[0] + float(jitter[0]), under.centre[1] + float(jitter[1]))
        over = _shape(rng, kind, centre, diameter, scene.owners.shape)
        left, top, width, height = _box(over.solid)
        box = (left + over.left, top + over.top, width, height)
        if (
            scene.fits(over, MIN_VISIBLE)
            and _iou(_box(scene.seen(number, over)), box) > PAIR_IOU + 0.03
        ):
            scene.put(over)
            return


def _put_neighbour(scene: _Scene, beside: _Shape) -> None:
    """Lay a shape of the same class over the rim of `beside`."""
    rng = scene.rng
    height, width = scene.owners.shape
    for _ in range(6):
        angle = rng.uniform(0, 2 * math.pi)
        diameter = beside.diameter * float(rng.uniform(0.8, 1.15))
        away = float(rng.uniform(0.4, 0.7)) * 0.5 * (beside.diameter + diameter)
        centre = (
            beside.centre[0] + away * math.sin(angle),
            beside.centre[1] + away * math.cos(angle),
        )
        margin = 0.5 * diameter + 1
        if not (margin < centre[0] < height - margin and margin < centre[1] < width - margin):
            continue
        shape = _shape(rng, beside.kind, centre, diameter, scene.owners.shape)
        if scene.fits(shape, MIN_VISIBLE):
            scene.put(shape)
            return


def _iou(a: Box, b: Box) -> float:
    width = min(a[0] + a[2], b[0] + b[2]) - max(a[0], b[0])
    height = min(a[1] + a[3], b[1] + b[3]) - max(a[1], b[1])
    common = max(width, 0) * max(height, 0)
    return common / (a[2] * a[3] + b[2] * b[3] - common)


# Shapes: an outline about the origin, within a circle of radius 1.


def _polygon(corners: int, inner: float | None = None) -> Points:
    """A regular polygon; with `inner`, a star whose notches lie on a circle of that radius."""
    count = corners if inner is None else 2 * corners
    radii = [1.0 if inner is None or k % 2 == 0 else inner for k in range(count)]
    return [
        (r * math.sin(2 * math.pi * k / count), -r * math.cos(2 * math.pi * k / count))
        for k, r in enumerate(radii)
    ]


def _cross(arm: float = 0.33) -> Points:
    reach = math.sqrt(1 - arm * arm)
    quarter = [(arm, arm), (reach, arm), (reach, -arm)]
    points = []
    for _ in range(4):
        points += quarter
        quarter = [(y, -x) for x, y in quarter]
    return points


_OUTLINES: dict[str, Points] = {
    "disc": _polygon(48),
    "ring": _polygon(48),
    "square": _polygon(4),
    "triangle": _polygon(3),
    "star": _polygon(5, 0.42),
    "cross": _cross(),
}


def _shape(
    rng: np.random.Generator,
    kind: int,
    centre: tuple[float, float],
    diameter: float,
    size: tuple[int, ...],
) -> _Shape:
    """A shape of class `kind`, rotated at random; what lies outside of the scene is cut off."""
    turn = rng.uniform(0, 2 * math.pi)
    radius = 0.5 * diameter
    left = max(int(centre[1] - radius) - 1, 0)
    top = max(int(centre[0] - radius) - 1, 0)
    width = min(int(centre[1] + radius) + 2, size[1]) - left
    height = min(int(centre[0] + radius) + 2, size[0]) - top
    cos, sin = math.cos(turn), math.sin(turn)

    def placed(points: Points, scale: float = 1.0) -> Points:
        # Twice as fine as the scene: halved again below, the rims come out smooth.
        return [
            (
                2 * (centre[1] - left + scale * radius * (x * cos - y * sin)),
                2 * (centre[0] - top + scale * radius * (x * sin + y * cos)),
            )
            for x, y in points
        ]

    name = CLASSES[kind]
    outlines = [placed(_OUTLINES[name])]
    if name == "ring":
        outlines.append(placed(_OUTLINES[name], HOLE))
    line = max(2, round(0.03 * diameter))
    mask = Image.new("L", (2 * width, 2 * height))
    edge = Image.new("L", (2 * width, 2 * height))
    for points, fill in zip(outlines, (255, 0), strict=False):
        ImageDraw.Draw(mask).polygon(points, fill=fill)
        ImageDraw.Draw(edge).line([*points, *points[:2]], fill=255, width=2 * line, joint="curve")
    return _Shape(kind, centre, diameter, left, top, _halved(mask), _halved(edge))


def _halved(image: Image.Image) -> Floats:
    shares: Floats = np.asarray(image.reduce(2), np.float32) / np.float32(255)
    return shares


# Colours and textures.


def _colour(
    rng: np.random.Generator, saturation: tuple[float, float], value: tuple[float, float]
) -> Colour:
    hue, s, v = 6 * rng.random(), rng.uniform(*saturation), rng.uniform(*value)
    shares = np.clip(np.abs((hue + np.array([3.0, 1.0, 5.0])) % 6 - 3) - 1, 0, 1)
    colour: Colour = (v * (1 - s * (1 - shares))).astype(np.float32)
    return colour


def _two_colours(rng: np.random.Generator) -> tuple[Colour, Colour]:
    """The colours of a shape's texture: the second is the first, with some of another one."""
    first = _colour(rng, (0.45, 1.0), (0.6, 1.0))
    other = _colour(rng, (0.2, 1.0), (0.3, 1.0))
    return first, first + np.float32(rng.uniform(0.3, 0.6)) * (other - first)


def _grid(rng: np.random.Generator, height: int, width: int) -> tuple[Floats, Floats]:
    """Coordinates of the pixels of a patch in pixels, turned and moved at random."""
    turn = rng.uniform(0, math.pi)
    y, x = np.ogrid[:height, :width]
    cos, sin = np.float32(math.cos(turn)), np.float32(math.sin(turn))
    moved = rng.uniform(0, 64, 2).astype(np.float32)
    y, x = y.astype(np.float32), x.astype(np.float32)
    return y * cos - x * sin + moved[0], y * sin + x * cos + moved[1]


def _stripes(rng: np.random.Generator, height: int, width: int) -> Floats:
    y, _ = _grid(rng, height, width)
    return _sharpen(np.sin(y * np.float32(2 * math.pi / rng.uniform(7, 18))))


def _checks(rng: np.random.Generator, height: int, width: int) -> Floats:
    y, x = _grid(rng, height, width)
    step = np.float32(math.pi / rng.uniform(6, 12))
    return _sharpen(np.sin(y * step) * np.sin(x * step) * np.float32(2))


def _dots(rng: np.random.Generator, height: int, width: int) -> Floats:
    y, x = _grid(rng, height, width)
    step = np.float32(2 * math.pi / rng.uniform(9, 18))
    return _sharpen(np.cos(y * step) + np.cos(x * step) - np.float32(rng.uniform(0.4, 1.0)))


def _sharpen(wave: Floats) -> Floats:
    sharp: Floats = np.clip(wave * np.float32(3) + np.float32(0.5), 0, 1)
    return sharp


def _noise(rng: np.random.Generator, height: int, width: int) -> Floats:
    cell = rng.uniform(4, 24)
    rows, columns = math.ceil(height / cell) + 1, math.ceil(width / cell) + 1
    coarse = Image.fromarray(rng.integers(0, 256, (rows, columns), np.uint8))
    fine = coarse.resize((width, height), Image.Resampling.BICUBIC)
    shares: Floats = np.asarray(fine, np.float32) / np.float32(255)
    return shares


def _gradient(rng: np.random.Generator, height: int, width: int) -> Floats:
    y, _ = _grid(rng, height, width)
    low, high = y.min(), y.max()
    shares: Floats = (y - low) / (high - low)
    return shares


def _plain(rng: np.random.Generator, height: int, width: int) -> Floats:
    return np.zeros((height, width), np.float32)


TEXTURES: tuple[Callable[[np.random.Generator, int, int], Floats], ...] = (
    _stripes,
    _checks,
    _dots,
    _noise,
    _gradient,
    _plain,
)


def _texture(
    rng: np.random.Generator, height: int, width: int, first: Colour, second: Colour
) -> Floats:
    """(height, width, 3): one of the textures, between two colours."""
    share = TEXTURES[int(rng.integers(len(TEXTURES)))](rng, height, width)
    return first + share[..., None] * (second - first)


def _background(rng: np.random.Generator, height: int, width: int) -> Floats:
    """Two muted textures, one on the other, and a litter of lines, slabs and specks."""
    colours = [_colour(rng, (0.0, 0.45), (0.25, 0.95)) for _ in range(3)]
    base = _texture(rng, height, width, colours[0], 0.7 * colours[0] + 0.3 * colours[1])
    veil = _noise(rng, height, width)[..., None] * np.float32(rng.uniform(0.1, 0.5))
    base += veil * (colours[2] - base)
    image = Image.fromarray((np.clip(base, 0, 1) * 255).astype(np.uint8))
    canvas = ImageDraw.Draw(image)
    for _ in range(int(rng.integers(3, 13))):
        _litter(rng, canvas, height, width)
    littered: Floats = np.asarray(image, np.float32) / np.float32(255)
    return littered


def _litter(rng: np.random.Generator, canvas: ImageDraw.ImageDraw, height: int, width: int) -> None:
    """A piece of clutter that is no shape of any class."""
    shade = tuple(int(255 * part) for part in _colour(rng, (0.0, 0.5), (0.15, 0.95)))
    x, y = float(rng.uniform(0, width)), float(rng.uniform(0, height))
    scale, turn = min(height, width), rng.uniform(0, 2 * math.pi)
    kind = int(rng.integers(3))
    if kind == 0:
        reach = scale * rng.uniform(0.1, 0.6)
        end = (x + reach * math.cos(turn), y + reach * math.sin(turn))
        canvas.line([(x, y), end], fill=shade, width=int(rng.integers(1, 5)))
    elif kind == 1:
        long, thin = scale * rng.uniform(0.08, 0.3), scale * rng.uniform(0.01, 0.04)
        along = np.array([math.cos(turn), math.sin(turn)]) * long
        across = np.array([-math.sin(turn), math.cos(turn)]) * thin
        corners = [along + across, along - across, -along - across, -along + across]
        canvas.polygon([(x + float(c[0]), y + float(c[1])) for c in corners], fill=shade)
    else:
        reach = scale * rng.uniform(0.005, 0.03)
        canvas.ellipse([x - reach, y - reach, x + reach, y + reach], fill=shade)
