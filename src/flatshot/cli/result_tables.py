"""What is printed of results: the original's Summary, all figures, times, tables of several."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from flatshot.cli.tables import table

if TYPE_CHECKING:
    from flatshot.evaluation.dataset import CocoDataset
    from flatshot.evaluation.result import Result
    from flatshot.runtime.detector import Detector


def settings_report(
    model: str, detector: "Detector", dataset: "CocoDataset", options: dict[str, Any]
) -> str:
    """What a run is about to be done with; settings that are not the model's are marked."""
    baked = {} if detector.baked is None else asdict(detector.baked)
    lines = [
        f"model: {model} (sha256 {detector.sha256})",
        f"data set: {dataset.annotations}, {len(dataset)} images (sha256 {dataset.sha256})",
        f"resize: {options['resize']}, rounding: {options['rounding']}, "
        f"post-processing by: {detector.postprocess}",
        "post-processing settings in force:",
    ]
    for name, value in asdict(detector.settings).items():
        was = baked.get(name, value)
        lines.append(f"  {name}: {value}" + ("" if was == value else f" (the model holds {was})"))
    return "\n".join(lines)


def summary(result: "Result") -> str:
    """The Summary block of the original README: same words, same order, true times."""
    timing = result.timing
    return "\n".join(
        (
            "Summary:",
            "-" * 31,
            f"Graph loaded in {timing.graph_load:f}s",
            f"All images loaded in {timing.images_load:f}s",
            f"All images detected in {timing.detection:f}s",
            f"Average detection time: {timing.detection / result.images:f}s",
            f"mAP: {result.mAP!r}",
            f"Recall: {result.recall!r}",
            "-" * 32,
        )
    )


def report(result: "Result", *, per_class: bool) -> str:
    """All that there is to say of a result in a terminal."""
    parts = ["", summary(result), "", _figures_table(result)]
    if per_class:
        parts += ["", _per_class_table(result)]
    parts += ["", _times_table(result), "", *_counts(result)]
    return "\n".join(parts)


def _figures_table(result: "Result") -> str:
    return "\n".join(f"{name:40} {value:.6f}" for name, value in result.figures.named().items())


def _per_class_table(result: "Result") -> str:
    rows = (
        f"{name:40} {f'{value:.6f}' if value >= 0 else 'on no image'}"
        for name, value in result.per_class.items()
    )
    return "\n".join((f"{'AP@[.50:.95]':40}", *rows))


def _times_table(result: "Result") -> str:
    lines = []
    latency = result.timing.latency
    if latency is not None:
        threads = result.options["threads"]
        lines.append(
            f"latency of one image at a time, {latency.images} images, "
            f"{threads} thread{'s' if threads > 1 else ''}, ms"
        )
        lines.append(f"{'':12}" + "".join(f"{name:>9}" for name in asdict(latency.total)))
        for name in ("total", "load", "preprocess", "network", "nms"):
            values = (1000 * value for value in asdict(getattr(latency, name)).values())
            label = "NMS" if name == "nms" else name
            lines.append(f"{label:12}" + "".join(f"{value:9.2f}" for value in values))
        if result.run.postprocess == "op":
            lines.append("(the model's own operator does the NMS: its time is in the network's)")
    workers, each = result.timing.workers, result.options["worker_threads"]
    team = f"{workers} interpreter{'s' * (workers > 1)} of {each} thread{'s' * (each > 1)}"
    for number, rate in enumerate(result.timing.images_per_second, 1):
        if rate is not None:
            name = "images per second" + (f", pass {number}" if number > 1 else "")
            lines.append(f"{name}: {rate:.2f} ({team})")
    return "\n".join(lines)


def _counts(result: "Result") -> Iterator[str]:
    resumed = f", {result.resumed} of them from the journal" if result.resumed else ""
    yield f"images processed: {result.images}{resumed}"
    if result.missing:
        yield f"images missing: {result.missing}"
    if result.unreadable:
        yield f"images unreadable: {len(result.unreadable)}"
        yield from (f"  {name}: {reason}" for name, reason in result.unreadable.items())
    for reason, number in result.skipped.items():
        yield f"annotations left out: {number} ({reason})"
    if result.unknown:
        yield f"detections of categories that the data set does not know: {result.unknown}"


def results_table(results: Sequence[tuple[str, "Result"]]) -> str:
    """The table of the original README's "Reference accuracy", with speed beside it."""
    header = ("settings", "mAP", "Recall", "mAP@.50IOU", "ms an image", "images/s")
    lines = []
    for title, result in results:
        latency, rate = result.timing.latency, result.timing.images_per_second[0]
        lines.append(
            (
                title,
                f"{result.mAP:.4f}",
                f"{result.recall:.4f}",
                f"{result.figures.named()['DetectionBoxes_Precision/mAP@.50IOU']:.4f}",
                "-" if latency is None else f"{1000 * latency.total.median:.1f}",
                "-" if rate is None else f"{rate:.1f}",
            )
        )
    return table(header, lines, right=(1, 2, 3, 4, 5))
