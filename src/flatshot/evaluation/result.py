"""What a run gave: figures, times, detections, and what they are of."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from flatshot.errors import DatasetError
from flatshot.evaluation import diagnosis
from flatshot.evaluation.dataset import CocoDataset, DatasetImage
from flatshot.evaluation.machine import machine
from flatshot.evaluation.matching import Matching
from flatshot.evaluation.metrics import CocoFigures, Curves, FloatArray, score
from flatshot.evaluation.outcome import Outcome, coco_rows
from flatshot.evaluation.run import Run
from flatshot.evaluation.sizes import settle
from flatshot.evaluation.timing import Latency, Times, Timing
from flatshot.formats.postprocess import PostProcessSettings


@dataclass(frozen=True, eq=False)
class Result:
    """How good and how fast a detector is on a data set.

    Attributes:
        run: what it is a result of: model, data, settings, versions.
        figures: the twelve COCO figures, on the processed images only.
        per_class: category name -> AP@[.50:.95]; -1 where the category is on no image.
        timing: the times, see `Timing`.
        options: what else the run was asked for: threads, workers, count, repetitions and so on.
        images: how many images were processed, and so count.
        resumed: how many of them came out of the journal.
        missing: images that the data set lists and does not have.
        unreadable: name -> reason of the images that could not be read.
        skipped: why annotations were left out -> how many.
        unknown: detections of categories that the data set does not know; they do not count.
        detections: (n, 7) float64 rows as `metrics.ROW`, pixels; those that the figures are of.
        curves: precision and recall, of which the figures are means.
        times: of each image.
        machine: what it ran on.
        journal: the uid of the run's journal, or None where it kept none.
    """

    run: Run
    figures: CocoFigures
    per_class: Mapping[str, float] = field(repr=False)
    timing: Timing
    options: Mapping[str, Any]
    images: int
    resumed: int
    missing: int
    unreadable: Mapping[str, str]
    skipped: Mapping[str, int]
    unknown: int
    detections: FloatArray = field(repr=False)
    curves: Curves = field(repr=False)
    times: Times = field(repr=False)
    machine: Mapping[str, Any] = field(repr=False)
    journal: str | None = None

    @property
    def mAP(self) -> float:  # noqa: N802 - the name of the original's summary
        """AP@[.50:.95], all areas, 100 detections."""
        return self.figures.mAP

    @property
    def recall(self) -> float:
        """AR@100, all areas."""
        return self.figures.recall

    @property
    def settings(self) -> PostProcessSettings:
        """The settings of the post-processing in force."""
        return self.run.settings

    def to_json(self) -> dict[str, Any]:
        """All of it but the arrays, as JSON values."""
        timing = asdict(self.timing)
        timing["images_per_second"] = list(self.timing.images_per_second)
        run = self.run
        return {
            "mAP": self.mAP,
            "recall": self.recall,
            "metrics": self.figures.named(),
            "per_class": dict(self.per_class),
            "timing": timing,
            "settings": asdict(run.settings),
            "options": {
                "resize": run.resize,
                "rounding": run.rounding,
                "postprocess": run.postprocess,
                **self.options,
            },
            "model_sha256": run.model,
            "anchors_sha256": run.anchors,
            "dataset_sha256": run.dataset,
            "image_folder": run.image_folder,
            "images": self.images,
            "resumed": self.resumed,
            "detections": len(self.detections),
            "left_out": {
                "missing_images": self.missing,
                "unreadable_images": dict(self.unreadable),
                "annotations": dict(self.skipped),
                "detections_of_unknown_categories": self.unknown,
            },
            "machine": dict(self.machine),
            "versions": dict(run.versions),
        }


@dataclass(frozen=True, eq=False)
class Measured:
    """What the clock said of a run, and how it went.

    Attributes:
        graph_load: seconds to make one interpreter.
        loop: seconds of the first pass.
        workers: interpreters side by side.
        fresh: images that the first pass processed, the others being known.
        again: images per second of the later passes.
        latency: the outcomes of images that were looked at one at a time.
        options: as `Result`.
        journal: as `Result`.
        shared: whether the first pass was that of other runs too, so that it tells no rate.
    """

    graph_load: float
    loop: float
    workers: int
    fresh: int
    again: Sequence[float]
    latency: Sequence[Outcome]
    options: Mapping[str, Any]
    journal: str | None
    shared: bool = False


def conclude(
    run: Run,
    dataset: CocoDataset,
    images: Sequence[DatasetImage],
    outcomes: Mapping[int, Outcome],
    matching: Matching,
    measured: Measured,
) -> Result:
    """Score the outcomes of `images`, by their ids, and put all that is to be said together.

    Raises:
        DatasetError: no image could be read.
    """
    good = [outcomes[image.id] for image in images if outcomes[image.id].error is None]
    unreadable = {
        image.name: error for image in images if (error := outcomes[image.id].error) is not None
    }
    if not good:
        raise DatasetError(
            f"none of the {len(images)} images could be read; the first: "
            f"{next(iter(unreadable.values()))}"
        )
    begin = time.perf_counter()
    good = settle(images, good, dataset.truth)
    rows, unknown = coco_rows(good, dataset.categories.keys(), run.rounding, matching)
    processed = [one.image_id for one in good]
    scores = score(dataset.truth, dataset.categories, processed, rows)
    diagnosis.report(dataset.truth.of(processed), dataset.categories, rows, scores.figures.AP)
    scoring = time.perf_counter() - begin
    times = _times(good, measured.latency)
    alone = measured.fresh and not measured.shared
    first = measured.fresh / (measured.loop + scoring) if alone else None
    return Result(
        run=run,
        figures=scores.figures,
        per_class={dataset.categories[key]: value for key, value in scores.per_class.items()},
        timing=Timing(
            graph_load=measured.graph_load,
            images_load=float(times.seconds[:, :2].sum()),
            detection=float(times.seconds[:, 2:].sum()),
            loop=measured.loop,
            scoring=scoring,
            workers=measured.workers,
            images_per_second=(first, *measured.again),
            latency=Latency.of(times.latency) if len(times.latency) else None,
        ),
        options=measured.options,
        images=len(good),
        resumed=len(images) - measured.fresh,
        missing=len(dataset.missing),
        unreadable=unreadable,
        skipped=dict(dataset.skipped),
        unknown=unknown,
        detections=rows,
        curves=scores.curves,
        times=times,
        machine=machine(),
        journal=measured.journal,
    )


def _times(good: Sequence[Outcome], latency: Sequence[Outcome]) -> Times:
    looked = [outcome for outcome in latency if outcome.error is None]
    return Times(
        np.array([one.image_id for one in good], np.int64),
        np.array([(one.width, one.height) for one in good], np.int64).reshape(-1, 2),
        np.array([one.seconds for one in good], np.float64).reshape(-1, 4),
        np.array([one.image_id for one in looked], np.int64),
        np.array([one.seconds for one in looked], np.float64).reshape(-1, 4),
    )
