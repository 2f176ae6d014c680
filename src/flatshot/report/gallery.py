"""Which photographs to show: the worst ones, the largest misses, doubtful annotations."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from flatshot.report import words
from flatshot.report.photographs import (
    Caption,
    Credit,
    Photograph,
    Shape,
    credits,
    overlaps,
    photograph,
)
from flatshot.report.study import FALSE_ALARM, FOUND, Doubt, Study

WORST, MISSED, SUSPICIOUS, DISAGREEMENTS = 12, 8, 8, 8
# F1 of a photograph with fewer objects is a matter of luck.
FEWEST_OBJECTS = 3


@dataclass(frozen=True, eq=False)
class Seen:
    """What is drawn on one image from a threshold up, as rows of the detections and the truth."""

    found: npt.NDArray[np.int64]
    false: npt.NDArray[np.int64]
    caught: npt.NDArray[np.int64]
    missed: npt.NDArray[np.int64]

    @property
    def f1(self) -> float:
        """Harmonic mean of precision and recall on this image; 1 where nothing is wrong."""
        total = 2 * len(self.found) + len(self.false) + len(self.missed)
        return 2 * len(self.found) / total if total else 1.0


@dataclass(frozen=True)
class Gallery:
    """Photographs, and the words and numbers that their heading needs."""

    photographs: list[Photograph]
    total: int = 0
    objects: int = 0
    missed: int = 0
    small: int = 0


class Viewer:
    """The images of a run with what is drawn on them from `threshold` up."""

    def __init__(self, study: Study, threshold: float) -> None:
        self.study = study
        self.threshold = threshold
        self.files = {image.id: image for image in study.images}
        self._drawn = np.flatnonzero(study.detections[:, 5] >= threshold)
        self._rows = _by_image(study.detections[self._drawn, 0].astype(np.int64), self._drawn)
        counted = np.flatnonzero(study.matches.counts)
        self._objects = _by_image(study.truth.image_ids[counted], counted)

    def seen(self, identity: int) -> Seen:
        """What is drawn on the image, and what is missed."""
        matches = self.study.matches
        rows = self._rows.get(identity, np.zeros(0, np.int64))
        objects = self._objects.get(identity, np.zeros(0, np.int64))
        finder = matches.finder[objects]
        caught = np.isin(finder, rows) & (finder >= 0)
        return Seen(
            rows[matches.status[rows] == FOUND],
            rows[matches.status[rows] == FALSE_ALARM],
            objects[caught],
            objects[~caught],
        )

    def name_of(self, category: float) -> str:
        """The name of a category."""
        return self.study.categories.get(int(category), f"category {int(category)}")

    def detection(self, row: int, kind: str, *, rank: float = 0.0) -> Shape:
        """The box of a detection, with its class and score."""
        line = self.study.detections[row]
        sign = {"ok": "✓ ", "fp": "✕ "}.get(kind, "")
        text = f"{sign}{self.name_of(line[6])} {words.bound(line[5]).removeprefix('0')}"
        return Shape(kind, _box(line[1:5]), text, rank + float(line[5]))

    def object(self, row: int, kind: str, *, rank: float = 0.0) -> Shape:
        """The box of an object; one that was found bears no word."""
        truth = self.study.truth
        name = self.name_of(truth.category_ids[row])
        text = f"? {name}" if kind == "ms" else ""
        return Shape(kind, _box(truth.boxes[row]), text, rank + float(truth.areas[row]) / 1e7)

    def shapes(self, seen: Seen) -> list[Shape]:
        """All that is found, wrong and missed on an image."""
        return [
            *(self.object(row, "tr") for row in seen.caught),
            *(self.detection(row, "ok") for row in seen.found),
            *(self.detection(row, "fp", rank=1) for row in seen.false),
            *(self.object(row, "ms", rank=2) for row in seen.missed),
        ]


def worst(viewer: Viewer) -> Gallery:
    """The photographs with the lowest F1, of those with three objects or more."""
    looked = {identity: viewer.seen(identity) for identity in viewer.files}
    ranked = sorted(
        (
            (seen.f1, -len(seen.missed) - len(seen.false), identity)
            for identity, seen in looked.items()
            if len(seen.caught) + len(seen.missed) >= FEWEST_OBJECTS and seen.f1 < 1
        ),
    )
    chosen = [identity for _, _, identity in ranked[:WORST]]
    origin = credits(viewer.study.dataset, chosen)
    shown = []
    for identity in chosen:
        seen = looked[identity]
        title = f"{len(seen.found)} found, {len(seen.false)} false, {len(seen.missed)} missed"
        lines = (_named("Missed", viewer, seen.missed), _named("False", viewer, seen.false, True))
        caption = Caption(title, f"F1 {words.bound(seen.f1)}", (" ".join(filter(None, lines)),))
        shown.append(_show(viewer, identity, viewer.shapes(seen), caption, origin))
    areas = [viewer.study.truth.areas[looked[identity].missed] for identity in chosen]
    return Gallery(
        _there(shown),
        objects=sum(len(looked[i].caught) + len(looked[i].missed) for i in chosen),
        missed=sum(len(looked[i].missed) for i in chosen),
        small=int(sum((area < 32**2).sum() for area in areas)),
    )


def largest_missed(viewer: Viewer) -> Gallery:
    """The largest objects without a right box, one a photograph, and the box that comes nearest."""
    truth, detections = viewer.study.truth, viewer.study.detections
    looked = {identity: viewer.seen(identity) for identity in viewer.files}
    empty = np.zeros(0, np.int64)
    missed = np.concatenate([seen.missed for seen in looked.values()] or [empty])
    chosen: dict[int, int] = {}
    for row in missed[np.argsort(-truth.areas[missed], kind="stable")]:
        chosen.setdefault(int(truth.image_ids[row]), int(row))
        if len(chosen) == MISSED:
            break
    origin = credits(viewer.study.dataset, chosen)
    shown = []
    for identity, row in chosen.items():
        seen = looked[identity]
        boxes = np.concatenate([seen.found, seen.false])
        shapes = [viewer.object(row, "ms", rank=2)]
        line = "No box comes near it"
        if len(boxes):
            near = overlaps(truth.boxes[row], detections[boxes, 1:5])
            best = int(near.argmax())
            if near[best] >= 0.1:
                found = detections[boxes[best]]
                shapes.append(viewer.detection(int(boxes[best]), "fp", rank=1))
                line = (
                    f"The nearest box says {viewer.name_of(found[6])}, {words.bound(found[5])}, "
                    f"overlap {words.bound(float(near[best]))}"
                )
        wide, high = truth.boxes[row, 2:]
        title = f"{viewer.name_of(truth.category_ids[row])}, {wide:.0f} × {high:.0f} px"
        shown.append(_show(viewer, identity, shapes, Caption(title, "", (line,)), origin))
    large = int((truth.areas[missed] >= 96**2).sum())
    return Gallery(_there(shown), total=large, missed=len(missed))


def suspicious(viewer: Viewer) -> tuple[Gallery, int, int]:
    """Sure boxes that the annotations contradict; how many lack one, how many have another class.

    hotcoco names them; what the model is sure of is a box from the threshold up.
    """
    study = viewer.study
    told = study.doubts(viewer.threshold)
    absent = sum(doubt.object is None for doubt in told)
    chosen: dict[int, Doubt] = {}
    for doubt in told:
        chosen.setdefault(int(study.detections[doubt.box, 0]), doubt)
        if len(chosen) == SUSPICIOUS:
            break
    origin = credits(study.dataset, chosen)
    shown = []
    for identity, doubt in chosen.items():
        shapes = [viewer.detection(doubt.box, "fp", rank=2)]
        line = "Nothing is annotated there"
        if doubt.object is not None:
            shapes.append(viewer.object(doubt.object, "tr"))
            line = f"Annotated as {viewer.name_of(study.truth.category_ids[doubt.object])}"
        found = study.detections[doubt.box]
        title = f"{viewer.name_of(found[6])}, {words.bound(found[5])}"
        shown.append(_show(viewer, identity, shapes, Caption(title, "", (line,)), origin))
    return Gallery(_there(shown), total=len(told)), absent, len(told) - absent


def disagreements(one: Viewer, other: Viewer) -> list[tuple[Photograph, Photograph]]:
    """The photographs on which two runs differ most; boxes that both draw alike are mute."""
    ranked = []
    for identity in one.files:
        first, second = one.seen(identity), other.seen(identity)
        lost = len(np.setdiff1d(first.caught, second.caught))
        won = len(np.setdiff1d(second.caught, first.caught))
        alarms = abs(len(first.false) - len(second.false))
        if lost + won + alarms:
            ranked.append((-(lost + won), -alarms, identity))
    chosen = [identity for _, _, identity in sorted(ranked)[:DISAGREEMENTS]]
    origin = credits(one.study.dataset, chosen)
    pairs = []
    for identity in chosen:
        pair = [_beside(a, b, identity, origin) for a, b in ((one, other), (other, one))]
        if pair[0] is not None and pair[1] is not None:
            pairs.append((pair[0], pair[1]))
    return pairs


def _beside(
    viewer: Viewer, rival: Viewer, identity: int, origin: dict[int, Credit]
) -> Photograph | None:
    seen, theirs = viewer.seen(identity), rival.seen(identity)
    rows = np.concatenate([theirs.found, theirs.false])
    boxes = rival.study.detections[rows]

    def shared(row: int) -> bool:
        mine = viewer.study.detections[row]
        same = boxes[boxes[:, 6] == mine[6]]
        return bool(len(same) and overlaps(mine[1:5], same[:, 1:5]).max() > 0.9)

    shapes = []
    for row, kind in [*((r, "ok") for r in seen.found), *((r, "fp") for r in seen.false)]:
        shape = viewer.detection(int(row), kind, rank=1)
        shapes.append(Shape("sh", shape.box, "", 0) if shared(int(row)) else shape)
    lost = np.setdiff1d(seen.missed, theirs.missed)
    shapes += [viewer.object(int(row), "ms", rank=2) for row in lost]
    title = f"{len(seen.found)} found, {len(seen.false)} false, {len(seen.missed)} missed"
    caption = Caption(title, f"F1 {words.bound(seen.f1)}")
    return _show(viewer, identity, shapes, caption, origin)


def _show(
    viewer: Viewer,
    identity: int,
    shapes: Sequence[Shape],
    caption: Caption,
    origin: dict[int, Credit],
) -> Photograph | None:
    image = viewer.files[identity]
    return photograph(image, shapes, caption, origin.get(identity, Credit()))


def _there(shown: Iterable[Photograph | None]) -> list[Photograph]:
    return [item for item in shown if item is not None]


def _named(word: str, viewer: Viewer, rows: npt.NDArray[np.int64], detections: bool = False) -> str:
    if not len(rows):
        return ""
    study = viewer.study
    numbers = study.detections[rows, 6] if detections else study.truth.category_ids[rows]
    return f"{word}: {words.tally([viewer.name_of(number) for number in numbers])}."


def _by_image(
    identities: npt.NDArray[np.int64], rows: npt.NDArray[np.int64]
) -> dict[int, npt.NDArray[np.int64]]:
    order = np.argsort(identities, kind="stable")
    ranked, starts = np.unique(identities[order], return_index=True)
    parts = np.split(rows[order], starts[1:])
    return {int(key): part for key, part in zip(ranked, parts, strict=False)}


def _box(values: Sequence[float] | npt.NDArray[np.float64]) -> tuple[float, float, float, float]:
    x, y, wide, high = (float(value) for value in values)
    return x, y, wide, high
