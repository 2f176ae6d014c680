"""The page of several runs side by side: what differs, and whether the images can tell."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from flatshot.errors import RecordError
from flatshot.evaluation.metrics import ALL, IOU_50, TOP_100
from flatshot.report import gallery, headings, mistakes, words
from flatshot.report.classes import mean_curve
from flatshot.report.figures import FIGURES, Figures, differences, values
from flatshot.report.latency import Latency, latency
from flatshot.report.plots import Plot, round_ticks
from flatshot.report.sections import FIFTHS, Section, facts, named_settings
from flatshot.report.study import Study
from flatshot.report.thresholds import Thresholds, thresholds

# Lines of the runs, told apart by more than colour.
_LINES = ("pa", "pb", "i", "pm")
# A difference of AP in a class that is worth a row.
_CLASS_DIFFERENCE = 0.02
_CLASSES = 12


@dataclass(frozen=True)
class ClassDifference:
    """A class whose AP differs: in the first run, in the other, and by how much."""

    name: str
    objects: int
    base: float
    other: float

    @property
    def difference(self) -> float:
        """The other minus the first."""
        return self.other - self.base


@dataclass(frozen=True, eq=False)
class Rival:
    """A run held against the first one."""

    study: Study
    differences: Figures
    thresholds: Thresholds
    latency: Latency | None


def comparison(studies: Sequence[Study]) -> Mapping[str, Any]:
    """What the page of several runs needs.

    Raises:
        RecordError: the runs are of different images.
    """
    base, others = studies[0], studies[1:]
    for other in others:
        same = base.dataset.sha256 == other.dataset.sha256
        if not same or [i.id for i in base.images] != [i.id for i in other.images]:
            raise RecordError(
                f"{base.name} and {other.name} were measured on different images: figures of "
                "different images cannot be compared; measure both on the same"
            )
    drawn = thresholds(base)
    rivals = [
        Rival(other, differences(base, other), thresholds(other), latency(other))
        for other in others
    ]
    parts = list(_sections(base, drawn, rivals))
    return {
        "title": f"{words.listed([study.name for study in studies])}, Flatshot report",
        "eyebrow": f"Flatshot report, {len(studies)} runs",
        "base": base,
        "base_values": values(base),
        "base_thresholds": drawn,
        "base_latency": latency(base),
        "rivals": rivals,
        "verdicts": [verdict(base, rival) for rival in rivals],
        "sections": parts,
    }


def verdict(base: Study, rival: Rival) -> str:
    """A sentence: what the other run scores against the first one, and whether that is shown."""
    told = rival.differences["AP"]
    if told.value == 0 and not told.shown:
        return f"{rival.study.name} scores the same mAP as {base.name}."
    way = "below" if told.value < 0 else "above"
    size = words.points(abs(told.value)).removeprefix("+")
    shown = "a difference" if told.shown else "no difference shown"
    return (
        f"{rival.study.name} scores {size} points of mAP {way} {base.name} "
        f"(95 % interval {words.points(told.lower)} to {words.points(told.upper)}): {shown}."
    )


def _sections(base: Study, drawn: Thresholds, rivals: list[Rival]) -> Any:
    first = rivals[0]
    names = [base.name, *(rival.study.name for rival in rivals)]
    data: dict[str, Any] = {
        "base": values(base),
        "rivals": rivals,
        "names": names,
        "images": len(base.images),
        "limit": _limit(rivals),
    }
    yield Section("figures", "Figures", headings.of_differences(first.differences), data)
    studies = [base, *(rival.study for rival in rivals)]
    yield _curves(studies, [drawn, *(rival.thresholds for rival in rivals)])
    rows = class_differences(base, first.study)
    if len(base.categories) > 1 and rows:
        up = sum(row.difference > 0 for row in rows)
        heading = f"{len(rows) - up} classes lose {100 * _CLASS_DIFFERENCE:.0f} points or more, "
        data = {"rows": rows[:_CLASSES], "names": names[:2], "more": len(rows) - _CLASSES}
        yield Section("classes", "Classes", f"{heading}{up} gain them", data)
    yield _errors(studies, names)
    yield from _latency(studies, names)
    viewers = [gallery.Viewer(study, drawn.recommended) for study in studies[:2]]
    pairs = gallery.disagreements(viewers[0], viewers[1])
    if pairs:
        data = {"pairs": pairs, "names": names[:2], "drawn": drawn.recommended}
        heading = f"The {len(pairs)} photographs on which they differ most"
        yield Section("disagree", "Where they disagree", heading, data)
    yield _settings(studies, names)


def _limit(rivals: Sequence[Rival]) -> float:
    """How far the forest of differences must reach, in points."""
    ends = [
        abs(100 * bound)
        for rival in rivals
        for name in FIGURES
        for bound in (rival.differences[name].lower, rival.differences[name].upper)
    ]
    return max(1.0, float(np.ceil(max(ends))))


def _curves(studies: Sequence[Study], told: Sequence[Thresholds]) -> Section:
    recall = np.linspace(0, 1, 101)
    precision = Plot(
        "Precision over recall at an overlap of 0.50, a line a run.",
        x_title="recall",
        y_title="precision at overlap 0.50, mean of the classes",
    )
    precision.axes(FIFTHS, FIFTHS)
    top = max(0.1, float(np.ceil(10 * max(t.f1.max() for t in told)) / 10))
    scores = Plot(
        "F1 over the score threshold, a line a run.",
        y=(0, top),
        x_title="score from which boxes are drawn",
        y_title="F1",
    )
    scores.axes(FIFTHS, round_ticks(0, top))
    for place, (study, run) in enumerate(zip(studies, told, strict=True)):
        css = _LINES[place % len(_LINES)]
        colour = {"pa": "ca", "pb": "cb"}.get(css, "")
        curve = mean_curve(study, IOU_50)
        precision.line(recall, curve, css)
        scores.line(run.scores, run.f1, css)
        at = 40 - 16 * (place % 3)
        shift = "translate(10%,-130%)" if place % 2 == 0 else "translate(-110%,40%)"
        precision.label(study.name, at / 100, float(curve[at]), shift, colour)
        where = 0.3 - 0.1 * (place % 3)
        scores.label(study.name, where, float(run.f1[run.at(where)]), shift, colour)
    scores.rule(told[0].recommended)
    gap = max(float(np.abs(told[0].f1 - other.f1).max()) for other in told[1:])
    heading = f"F1 differs by {gap:.3f} at most, whatever the threshold"
    data = {"precision": precision, "scores": scores, "drawn": told[0].recommended}
    return Section("curves", "Curves", heading, data)


def class_differences(base: Study, other: Study) -> list[ClassDifference]:
    """The classes whose AP differs by two points or more, the greatest loss first."""
    rows = []
    for place, (identity, name) in enumerate(base.categories.items()):
        aps = [
            study.precision[:, :, place, ALL, TOP_100].mean() if study.precision.size else -1.0
            for study in (base, other)
        ]
        objects = int(((base.truth.category_ids == identity) & base.matches.counts).sum())
        if objects and abs(aps[1] - aps[0]) >= _CLASS_DIFFERENCE:
            rows.append(ClassDifference(name, objects, float(aps[0]), float(aps[1])))
    return sorted(rows, key=lambda row: row.difference)


def _errors(studies: Sequence[Study], names: Sequence[str]) -> Section:
    told = [{kind.key: kind for kind in mistakes.error_kinds(study)} for study in studies]
    changes = {key: told[1][key].cost - told[0][key].cost for key in told[0]}
    key = max(changes, key=lambda key: abs(changes[key]))
    name, change = told[0][key].name.lower(), changes[key]
    way = "more" if change > 0 else "less"
    heading = (
        f"“{name}” costs {abs(100 * change):.1f} points {way} in {names[1]}"
        if abs(change) >= 0.0005
        else "The kinds of error cost the same"
    )
    data = {"told": told, "names": names, "order": [k.key for k in told[0].values()]}
    return Section("errors", "Errors", heading, data)


def _latency(studies: Sequence[Study], names: Sequence[str]) -> Any:
    told = [latency(study) for study in studies]
    there = [one for one in told if one is not None]
    if len(there) < len(told):
        return
    change = there[1].median - there[0].median
    way = "longer" if change > 0 else "less"
    ms = words.milliseconds(abs(change))
    heading = f"A photograph takes {ms}{words.NBSP}ms {way} in {names[1]}"
    yield Section("latency", "Latency", heading, {"told": there, "names": names})


def _settings(studies: Sequence[Study], names: Sequence[str]) -> Section:
    settings = [named_settings(study.settings) for study in studies]
    differing = [
        key for key in settings[0] if len({column.get(key, "") for column in settings}) > 1
    ]
    columns = [{key: column.get(key, "") for key in differing} for column in settings]
    heading = (
        f"They differ in {words.listed(differing)}" if differing else "Their settings are the same"
    )
    data = {"columns": columns, "names": names, "facts": [facts(study) for study in studies]}
    return Section("data", "Data and settings", heading, data)
