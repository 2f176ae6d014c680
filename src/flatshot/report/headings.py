"""Headings that say the finding: a rule each, with words for what the rule does not fit."""

from collections.abc import Sequence

import numpy as np

from flatshot.evaluation.metrics import FloatArray
from flatshot.report import words
from flatshot.report.classes import ENOUGH_FOR_HEADING, ClassRow, SizeRow
from flatshot.report.figures import FIGURES, Figures, Interval
from flatshot.report.gallery import Gallery
from flatshot.report.latency import Latency
from flatshot.report.mistakes import Calibration, Confusions, ErrorKind
from flatshot.report.thresholds import Thresholds

# From which AP a detector is said to find things so; below the last it hardly does.
_MANNERS = ((0.4, "well"), (0.2, "fairly well"), (0.1, "poorly"), (-1.0, "hardly"))
# A score is told apart from a probability by more than this.
_CALIBRATED = 0.05


def manner(ap: float) -> str:
    """How well an AP finds things, in a word."""
    return next(word for least, word in _MANNERS if ap >= least)


def verdict(rows: Sequence[SizeRow], ap: float) -> str:
    """The first clause of the page: what is found well and what is not."""
    there = [row for row in rows if row.ap.value >= 0]
    if len(there) < 2 or manner(there[0].ap.value) == manner(there[-1].ap.value):
        kind = f"{there[0].name} objects" if len(there) == 1 else "objects of every size"
        return f"Finds {kind} {manner(ap)}"
    first, last = there[0], there[-1]
    return (
        f"Finds {first.name} objects {manner(first.ap.value)}, "
        f"{last.name} ones {manner(last.ap.value)}"
    )


def of_figures(images: int, figure: Interval) -> str:
    """How sure the main figure is."""
    low, high = words.bound(figure.lower), words.bound(figure.upper)
    if low == high:
        return f"{words.plural(images, 'photograph')} place mAP at {low}"
    return f"{words.plural(images, 'photograph')} place mAP between {low} and {high}"


def of_thresholds(told: Thresholds) -> str:
    """The threshold to draw from."""
    if not told.f1.max() > 0:
        return "No threshold draws a right box"
    return f"Draw boxes from a score of {words.bound(told.recommended)}"


def of_curves(curve: FloatArray) -> str:
    """How far recall can be raised while most boxes are right."""
    good = np.flatnonzero(curve >= 0.5)
    if not len(good):
        return "Precision stays below one half"
    reach = good[-1] / 100
    return f"Precision stays above one half up to a recall of {words.bound(reach)}"


def of_classes(rows: Sequence[ClassRow]) -> str:
    """The classes that can be relied on, and those that cannot."""
    if len(rows) == 1:
        return f"One class, {rows[0].name}, with an AP of {words.figure(rows[0].ap)}"
    sure = [row for row in rows if row.objects >= ENOUGH_FOR_HEADING]
    if len(sure) < 4:
        return f"{words.plural(len(rows), 'class', 'classes')}, from {_ends(rows)}"
    many = min(3, len(sure) // 2)
    best, least = sure[:many], sure[-many:]
    ill = "are hardly found" if all(manner(row.ap) == "hardly" for row in least) else "come last"
    first = words.sentence(words.listed([row.name for row in best]))
    last = words.listed([row.name for row in reversed(least)])
    return f"{first} come out best; {last} {ill if many > 1 else ill.replace('are', 'is')}"


def _ends(rows: Sequence[ClassRow]) -> str:
    return f"{rows[0].name} ({words.figure(rows[0].ap)}) to {rows[-1].name} " + (
        f"({words.figure(rows[-1].ap)})"
    )


def of_sizes(rows: Sequence[SizeRow]) -> str:
    """What the smallest objects cost."""
    there = [row for row in rows if row.objects and row.ap.value >= 0]
    if not there:
        return "No object has a size"
    smallest = there[-1]
    share = words.percent(smallest.share)
    if len(there) == 1:
        return f"All objects are {smallest.name}"
    if smallest.name == "small" and manner(smallest.ap.value) == "hardly":
        lost = "almost all are lost" if smallest.recall.value < 0.1 else "most are lost"
        return f"Small objects are {share} of the truth and {lost}"
    largest = there[0]
    if largest.ap.value - smallest.ap.value > 0.1:
        return f"{words.sentence(smallest.name)} objects, {share} of the truth, are the harder ones"
    return "Size makes little difference"


def of_errors(kinds: Sequence[ErrorKind]) -> str:
    """The two kinds of error that cost most."""
    phrases = {
        "Loc": "boxes that do not fit",
        "Miss": "objects missed",
        "Cls": "wrong classes",
        "Bkg": "boxes on nothing",
        "Both": "loose boxes of a wrong class",
        "Dupe": "objects found twice",
    }
    dear = [kind for kind in kinds if kind.cost >= 0.0005][:2]
    if not dear:
        return "No kind of error costs anything"
    first = f"{phrases[dear[0].key]} ({100 * dear[0].cost:.1f} points of AP)"
    rest = [f"{phrases[kind.key]} ({100 * kind.cost:.1f})" for kind in dear[1:]]
    return f"What costs most: {words.listed([first, *rest])}"


def of_confusions(told: Confusions) -> str:
    """Whether objects are missed or mistaken."""
    missed, mistaken = words.count(told.missed), words.count(told.mistaken)
    if told.missed > 4 * told.mistaken:
        return f"Objects are missed, seldom mistaken: {missed} missed, {mistaken} taken for another"
    if told.mistaken > told.missed:
        return f"Objects are mistaken more often than missed: {mistaken} against {missed}"
    return f"{missed} objects are missed, {mistaken} taken for another class"


def of_calibration(told: Calibration) -> str:
    """Whether a score can be read as a probability."""
    if told.error < _CALIBRATED:
        return "A score can be read as the chance that the box is right"
    boxes = sum(part.boxes for part in told.bins)
    over = sum(part.boxes * (part.confidence - part.right) for part in told.bins) / boxes
    way = "promises too much" if over > 0 else "promises too little"
    return f"A score {way}: it is off by {words.bound(told.error)} on average"


def of_latency(told: Latency) -> str:
    """The median, and what most of it is."""
    text = f"Half of the photographs take {words.milliseconds(told.median)}{words.NBSP}ms or less"
    dearest = max(told.stages, key=lambda stage: stage.share, default=None)
    if dearest is None or len(told.stages) < 2:
        return text
    return f"{text}; {words.percent(dearest.share)} of it is the {dearest.name}"


def of_worst(gallery: Gallery) -> str:
    """What the worst photographs have in common."""
    number = len(gallery.photographs)
    which = "In the worst photograph" if number == 1 else f"In the {number} worst photographs"
    text = f"{which} {gallery.missed} of {gallery.objects} objects are missed"
    return f"{text}, {gallery.small} of them small" if gallery.small else text


def of_missed(gallery: Gallery) -> str:
    """How many of the objects without a right box are large."""
    return (
        f"{words.count(gallery.total)} of the {words.count(gallery.missed)} objects without a "
        "right box are large"
        if gallery.total
        else f"None of the {words.plural(gallery.missed, 'object')} without a right box is large"
    )


def of_suspicious(gallery: Gallery) -> str:
    """How many sure boxes the annotations contradict."""
    one = gallery.total == 1
    verb = "may be a gap" if one else "may be gaps"
    return f"{words.plural(gallery.total, 'false alarm')} {verb} in the annotations"


def of_differences(told: Figures) -> str:
    """How many of the twelve figures differ beyond what the choice of images explains."""
    there = [name for name in FIGURES if told[name].value != 0 or told[name].shown]
    shown = [name for name in FIGURES if told[name].shown]
    if not shown:
        return "No figure differs beyond chance" if there else "All figures are equal"
    main = "mAP is one of them" if told["AP"].shown else "mAP is not among them"
    noun = "figure differs" if len(shown) == 1 else "figures differ"
    return f"{len(shown)} of {len(FIGURES)} {noun} beyond chance; {main}"
