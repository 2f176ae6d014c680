"""The sections of the page of one run, each with its heading and what its template needs."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from flatshot.evaluation.metrics import IOU_50, IOU_75
from flatshot.report import gallery, headings, mistakes, words
from flatshot.report.classes import ENOUGH, classes, mean_curve, sizes
from flatshot.report.figures import Figures, figures
from flatshot.report.latency import Latency, latency
from flatshot.report.plots import Plot, round_ticks
from flatshot.report.study import Study
from flatshot.report.thresholds import Thresholds, thresholds

FIFTHS = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)
# Overlap 0.90 of .50:.05:.95.
IOU_90 = 8


@dataclass(frozen=True)
class Section:
    """A section: its id, which is also its template, its short name, its heading, its data."""

    id: str
    name: str
    heading: str
    data: Mapping[str, Any] = field(repr=False)


@dataclass(frozen=True, eq=False)
class Summary:
    """What the head of the page says."""

    verdict: str
    figures: Figures
    thresholds: Thresholds
    latency: Latency | None


Progress = Callable[[str], None]


def summary(study: Study) -> Summary:
    """The figures that the head of the page and most sections need."""
    told = figures(study)
    verdict = headings.verdict(sizes(study, told), told["AP"].value)
    return Summary(verdict, told, thresholds(study), latency(study))


def sections(study: Study, head: Summary, command: str) -> Iterator[Section]:
    """The sections, in the order in which people ask; those without data are left out."""
    drawn = head.thresholds.recommended
    yield _figures(study, head)
    if len(study.detections):
        yield _thresholds(study, head.thresholds)
        yield _curves(study)
    yield _classes(study, drawn)
    yield _sizes(study, head.figures)
    if len(study.detections):
        yield from _mistakes(study, drawn)
    if head.latency is not None:
        yield _latency(head.latency)
    yield from _galleries(gallery.Viewer(study, drawn))
    yield Section("data", "Data and settings", "What was measured, and with what", facts(study))
    if command:
        told = {"command": command}
        yield Section("repeat", "Repeat it", "One command makes this page again", told)


def _figures(study: Study, head: Summary) -> Section:
    heading = headings.of_figures(len(study.images), head.figures["AP"])
    names = ("AP", "AP50", "AP75", "AR1", "AR10", "AR100")
    rows = {"names": names, "figures": head.figures, "images": len(study.images)}
    return Section("figures", "Figures", heading, rows)


def _thresholds(study: Study, told: Thresholds) -> Section:
    plot = Plot(
        f"Precision, recall and F1 over the score threshold. F1 is highest, {told.f1.max():.3f}, "
        f"at {words.bound(told.best)}.",
        x_title="score from which boxes are drawn",
        y_title="share",
    )
    plot.axes(FIFTHS, FIFTHS)
    if told.f1.max() > 0:
        plot.band(*told.band)
    for values, css in ((told.precision, "pa"), (told.recall, "pb"), (told.f1, "i")):
        plot.line(told.scores, values, css)
    chosen = told.at(told.recommended)
    plot.rule(told.recommended)
    plot.dot(told.recommended, float(told.f1[chosen]), "dot i")
    left = told.recommended >= 0.4
    plot.label(
        f"draw from {words.bound(told.recommended)}",
        told.recommended,
        1,
        "translate(-104%,-10%)" if left else "translate(4%,-10%)",
    )
    _label_lines(plot, told)
    rows = sorted({0.3, 0.4, 0.45, 0.5, 0.55, 0.6, 0.7, round(told.recommended, 2)})
    held = study.settings.get("nms_score_threshold")
    data = {"plot": plot, "told": told, "rows": [told.at(row) for row in rows], "held": held}
    return Section("threshold", "Threshold", headings.of_thresholds(told), data)


def _label_lines(plot: Plot, told: Thresholds) -> None:
    """Names on the lines, where they lie apart."""
    places = {"precision": (0.72, told.precision, "ca"), "recall": (0.17, told.recall, "cb")}
    for name, (x, values, css) in places.items():
        y = float(values[told.at(x)])
        plot.label(name, x, y, "translate(-50%,-130%)" if y < 0.85 else "translate(-50%,60%)", css)
    plot.label("F1", 0.24, float(told.f1[told.at(0.24)]), "translate(-130%,-90%)")


def _curves(study: Study) -> Section:
    recall = np.linspace(0, 1, 101)
    loose, tight, tightest = (mean_curve(study, place) for place in (IOU_50, IOU_75, IOU_90))
    plot = Plot(
        f"Precision over recall at overlaps of 0.50, 0.75 and 0.90. Areas: {loose.mean():.3f}, "
        f"{tight.mean():.3f}, {tightest.mean():.3f}.",
        x_title="recall",
        y_title="precision, mean of the classes",
    )
    plot.axes(FIFTHS, FIFTHS)
    named = ((loose, "i", 0.34, "overlap 0.50", ""), (tight, "pa", 0.2, "0.75", "ca"))
    for curve, line, x, text, css in (*named, (tightest, "pb", 0.06, "0.90", "cb")):
        plot.line(recall, curve, line)
        y = float(curve[round(100 * x)])
        plot.label(text, x, y, "translate(8%,-120%)" if y < 0.9 else "translate(8%,40%)", css)
    data = {"plot": plot, "ap50": float(loose.mean()), "ap75": float(tight.mean())}
    return Section("curves", "Precision and recall", headings.of_curves(loose), data)


def _classes(study: Study, drawn: float) -> Section:
    rows = classes(study, drawn)
    few = [row for row in rows if row.objects < ENOUGH]
    many = [row for row in rows if row.objects >= ENOUGH]
    if not many or not few:
        many, few = rows, []
    data = {"many": many, "few": few, "enough": ENOUGH, "drawn": drawn}
    absent = len(study.categories) - len(rows)
    return Section("classes", "Classes", headings.of_classes(rows), {**data, "absent": absent})


def _sizes(study: Study, told: Figures) -> Section:
    rows = sizes(study, told)
    return Section("size", "Size of objects", headings.of_sizes(rows), {"rows": rows})


def _mistakes(study: Study, drawn: float) -> Iterator[Section]:
    kinds = mistakes.error_kinds(study)
    base = float(mean_curve(study, IOU_50).mean())
    data: dict[str, Any] = {"kinds": kinds, "base": base, "total": sum(k.cost for k in kinds)}
    yield Section("errors", "Errors", headings.of_errors(kinds), data)
    told = mistakes.confusions(study, drawn)
    if len(study.categories) > 1:
        data = {"told": told, "drawn": drawn}
        yield Section("confusions", "Confusions", headings.of_confusions(told), data)
    calibration = mistakes.calibration(study)
    data = {"told": calibration, "plot": _calibration_plot(calibration)}
    yield Section("calibration", "Calibration", headings.of_calibration(calibration), data)


def _calibration_plot(told: mistakes.Calibration) -> Plot:
    plot = Plot(
        f"How often boxes of each score are right. The expected error is {told.error:.3f}.",
        x_title="score of the boxes",
        y_title="share that is right",
    )
    plot.axes(FIFTHS, FIFTHS)
    plot.line([0, 1], [0, 1], "pm")
    plot.label("as promised", 0.8, 0.8, "translate(-106%,-60%)", "cm")
    for part in told.bins:
        plot.bar(part.low + 0.01, part.high - 0.01, part.right, "fas")
    plot.line([p.confidence for p in told.bins], [p.right for p in told.bins], "pa")
    for part in told.bins:
        plot.dot(part.confidence, part.right, "dot pa")
    return plot


def _latency(told: Latency) -> Section:
    data: dict[str, Any] = {"told": told, "plot": None}
    if len(told.counts):
        low, high = 1000 * told.edges[0], 1000 * told.edges[-1]
        most = float(told.counts.max())
        plot = Plot(
            f"How many photographs took how long: median {words.milliseconds(told.median)} ms, "
            f"90 % within {words.milliseconds(told.p90)}.",
            x=(low, high),
            y=(0, most * 1.12),
            x_title="ms from file to boxes",
            y_title="photographs",
        )
        plot.axes(round_ticks(low, high), [t for t in round_ticks(0, most) if t == int(t)])
        for left, right, number in zip(told.edges, told.edges[1:], told.counts, strict=False):
            plot.bar(1000 * left, 1000 * right, number, "fas")
        plot.rule(min(1000 * told.median, high), "i")
        plot.rule(min(1000 * told.p90, high))
        plot.label("median", 1000 * told.median, plot.y[1], "translate(-106%,0)")
        plot.label("90 %", min(1000 * told.p90, high), plot.y[1], "translate(6%,0)")
        data["plot"] = plot
    return Section("latency", "Latency", headings.of_latency(told), data)


def _galleries(viewer: gallery.Viewer) -> Iterator[Section]:
    shown = gallery.worst(viewer)
    if shown.photographs:
        data: dict[str, Any] = {"shown": shown, "drawn": viewer.threshold}
        yield Section("gallery", "Worst photographs", headings.of_worst(shown), data)
    shown = gallery.largest_missed(viewer)
    if shown.photographs:
        data = {"shown": shown, "drawn": viewer.threshold}
        yield Section("missed", "Largest objects missed", headings.of_missed(shown), data)
    if not len(viewer.study.detections):
        return
    shown, absent, other = gallery.suspicious(viewer)
    if shown.photographs:
        data = {"shown": shown, "drawn": viewer.threshold, "absent": absent, "other": other}
        heading = headings.of_suspicious(shown)
        yield Section("suspicious", "Suspicious annotations", heading, data)


def facts(study: Study) -> dict[str, Any]:
    """What was measured, on what, with which settings and versions."""
    content, truth = study.content, study.truth
    left = content.get("left_out", {})
    return {
        "content": content,
        "dataset": study.dataset,
        "images": len(study.images),
        "objects": int(study.matches.counts.sum()) if len(study.detections) else len(truth),
        "crowds": int(truth.crowds.sum()),
        "present": len(np.unique(truth.category_ids)),
        "categories": len(study.categories),
        "boxes": len(study.detections),
        "missing": left.get("missing_images", 0),
        "unreadable": len(left.get("unreadable_images", {})),
        "settings": named_settings(study.settings),
    }


_SETTING_NAMES = {
    "nms_score_threshold": "lowest score kept",
    "nms_iou_threshold": "overlap that suppresses",
    "max_detections": "boxes kept of a photograph",
    "detections_per_class": "boxes kept of a class",
    "max_classes_per_detection": "classes told of a box",
    "num_classes": "classes",
}


def named_settings(settings: Mapping[str, Any]) -> dict[str, str]:
    """The settings of the post-processing in words."""
    named = {}
    if "use_regular_nms" in settings:
        named["kind of NMS"] = "regular" if settings["use_regular_nms"] else "fast"
    for key, name in _SETTING_NAMES.items():
        if key in settings:
            named[name] = words.number(settings[key])
    return named
