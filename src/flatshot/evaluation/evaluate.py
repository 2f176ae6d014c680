"""The benchmark loop: a detector over a data set, to COCO figures and true times.

Latency is measured first, one image at a time while nothing else runs. Then one single-thread
interpreter a core works through the images in threads of this process: LiteRT releases Python's
lock while it computes, and reading and resizing an image fits beside another one's network. Of
each image only its detections stay, as small arrays, and a line in the journal where there is one.
"""

import contextlib
import logging
import queue
import threading
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from flatshot.errors import ConfigError, DatasetError, FileError, ImageError
from flatshot.evaluation import diagnosis
from flatshot.evaluation.dataset import CocoDataset, DatasetImage
from flatshot.evaluation.journal import Journal
from flatshot.evaluation.machine import cores, machine, versions
from flatshot.evaluation.matching import By, match
from flatshot.evaluation.metrics import CocoFigures, FloatArray, score
from flatshot.evaluation.outcome import Outcome, Rounding, coco_rows
from flatshot.evaluation.sizes import settle
from flatshot.evaluation.timing import Latency, Timing
from flatshot.formats.files import StrPath
from flatshot.formats.postprocess import PostProcessSettings
from flatshot.runtime.detector import Detector

LOG = logging.getLogger("flatshot")

# Enough for a steady median and a rough 99th percentile, in a few seconds.
LATENCY_IMAGES = 100
# The first runs of an interpreter touch its memory for the first time.
WARM_UP_IMAGES = 3


@dataclass(frozen=True)
class Progress:
    """How far a run is: called after each image, and once before the first.

    Attributes:
        done: images behind us, those of the journal included.
        total: images of this pass.
        repetition: which pass over the images, from 1.
        image: the image just finished, or None at the beginning of a pass.
        outcome: what was found on it, or None likewise.
    """

    done: int
    total: int
    repetition: int
    image: DatasetImage | None
    outcome: Outcome | None


@dataclass(frozen=True, eq=False)
class Result:
    """How good and how fast a detector is on a data set.

    Attributes:
        figures: the twelve COCO figures, on the processed images only.
        per_class: category name -> AP@[.50:.95]; -1 where the category is on no image.
        timing: the times, see `Timing`.
        settings: the settings of the post-processing in force.
        options: resize, rounding, threads and all else that the run was asked for.
        model_sha256: of the model's bytes.
        dataset_sha256: of the annotation file's bytes.
        images: how many images were processed, and so count.
        resumed: how many of them came out of the journal.
        missing: images that the data set lists and does not have.
        unreadable: name -> reason of the images that could not be read.
        skipped: why annotations were left out -> how many.
        unknown: detections of categories that the data set does not know; they do not count.
        detections: (n, 7) float64 rows as `metrics.ROW`, pixels; those that the figures are of.
        machine: what it ran on.
        versions: of Flatshot, Python and the libraries.
    """

    figures: CocoFigures
    per_class: Mapping[str, float] = field(repr=False)
    timing: Timing
    settings: PostProcessSettings
    options: Mapping[str, Any]
    model_sha256: str
    dataset_sha256: str
    images: int
    resumed: int
    missing: int
    unreadable: Mapping[str, str]
    skipped: Mapping[str, int]
    unknown: int
    detections: FloatArray = field(repr=False)
    machine: Mapping[str, Any] = field(repr=False)
    versions: Mapping[str, str] = field(repr=False)

    @property
    def mAP(self) -> float:  # noqa: N802 - the name of the original's summary
        """AP@[.50:.95], all areas, 100 detections."""
        return self.figures.mAP

    @property
    def recall(self) -> float:
        """AR@100, all areas."""
        return self.figures.recall

    def to_json(self) -> dict[str, Any]:
        """All of it but the detections, as JSON values."""
        timing = asdict(self.timing)
        timing["images_per_second"] = list(self.timing.images_per_second)
        return {
            "mAP": self.mAP,
            "recall": self.recall,
            "metrics": self.figures.named(),
            "per_class": dict(self.per_class),
            "timing": timing,
            "settings": asdict(self.settings),
            "options": dict(self.options),
            "model_sha256": self.model_sha256,
            "dataset_sha256": self.dataset_sha256,
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
            "versions": dict(self.versions),
        }


def worker_threads(detector: Detector, workers: int | None) -> int:
    """Threads of each interpreter of the loop: one, or the detector's own if it works alone.

    Many interpreters of one thread get more done than one of many threads; but whoever asks for a
    single worker asks for the detector as it is, and LiteRT's operator does depend on its threads.
    """
    return detector.threads if workers == 1 else 1


def run_header(
    detector: Detector, dataset: CocoDataset, rounding: Rounding, workers: int | None
) -> dict[str, Any]:
    """What binds a journal: all that the detections of an image depend on, as JSON values."""
    return {
        "threads": worker_threads(detector, workers),
        "model": detector.sha256,
        "dataset": dataset.sha256,
        "settings": asdict(detector.settings),
        "resize": detector.resize,
        "postprocess": detector.postprocess,
        "rounding": rounding,
    }


def evaluate(
    detector: Detector,
    dataset: CocoDataset,
    *,
    count: int | None = None,
    skip: int = 0,
    batch_size: int = 1,
    workers: int | None = None,
    repetitions: int = 1,
    rounding: Rounding = "exact",
    categories: By = "auto",
    resume: StrPath | None = None,
    progress: Callable[[Progress], None] | None = None,
    latency_images: int = LATENCY_IMAGES,
) -> Result:
    """Run `detector` over `dataset` and say how good and how fast it is.

    Args:
        detector: the detector; its own threads are those of the latency, while throughput and
            figures come from independent single-thread copies of it.
        dataset: the images and what is to be found on them.
        count: batches to process, all by default; with a `batch_size` of 1 these are images.
        skip: batches to leave out at the beginning.
        batch_size: images a batch, for counting and skipping; the model takes them one by one.
        workers: single-thread interpreters side by side, one a core by default. An explicit 1 is
            one copy of the detector as it is, with its own number of threads.
        repetitions: passes over the images; the later ones are timed and not scored.
        rounding: "exact", or "ck" for the decimals of Collective Knowledge's files.
        categories: how a class finds its category: by "number" (class + 1 is the id), by "name",
            by "order" (class i is the i-th category by rising id); "auto" takes names where they
            are known on both sides and the numbers contradict them. See `matching.match`.
        resume: the journal of the run; one that exists is gone on with, and no image in it runs
            again. None keeps no journal.
        progress: called in the calling thread; what it raises ends the run.
        latency_images: the first images, at most so many, are measured one at a time as well;
            0 leaves that out.

    Returns:
        The figures, the times and all they depend on. Images that are missing or cannot be read
        do not count; they are reported.

    Raises:
        ConfigError: a number is out of range, or the journal is of another run.
        DatasetError: no image is left to score.
        ModelError: the model fails on an image.
    """
    for name, value, least in (
        ("count", 1 if count is None else count, 1),
        ("skip", skip, 0),
        ("batch_size", batch_size, 1),
        ("workers", cores() if workers is None else workers, 1),
        ("repetitions", repetitions, 1),
        ("latency_images", latency_images, 0),
    ):
        if value < least:
            raise ConfigError(f"{name} is {value}; it must be at least {least}")
    images = dataset.select(None if count is None else count * batch_size, skip * batch_size)
    matching = match(
        detector.labels,
        detector.settings.num_classes,
        dataset.categories,
        dataset.truth.category_ids,
        categories,
    )
    threads = worker_threads(detector, workers)
    team = _Team(detector, min(workers or cores(), len(images)), threads)
    with contextlib.ExitStack() as stack:
        header = run_header(detector, dataset, rounding, workers)
        journal = stack.enter_context(Journal(resume, header)) if resume is not None else None
        outcomes, loop = _first_pass(team, images, journal, progress)
    resumed = sum(1 for image in images if journal and image.id in journal.outcomes)
    again = [_repeat(team, images, number, progress) for number in range(2, repetitions + 1)]
    # After the figures: what is interrupted here has lost nothing.
    latency = _latency(detector, images[:latency_images])
    graph_load, size = team.graph_load, team.size
    del team, journal  # their memory goes before scoring asks for its own

    done = [outcomes[image.id] for image in images]
    good = [outcome for outcome in done if outcome.error is None]
    unreadable = {
        image.name: outcome.error
        for image, outcome in zip(images, done, strict=True)
        if outcome.error is not None
    }
    if not good:
        raise DatasetError(
            f"none of the {len(images)} images could be read; the first: "
            f"{next(iter(unreadable.values()))}"
        )
    begin = time.perf_counter()
    good = settle(images, good, dataset.truth)
    rows, unknown = coco_rows(good, dataset.categories.keys(), rounding, matching)
    processed = [one.image_id for one in good]
    scores = score(dataset.truth, dataset.categories, processed, rows)
    diagnosis.report(dataset.truth.of(processed), dataset.categories, rows, scores.figures.AP)
    scoring = time.perf_counter() - begin
    fresh = len(images) - resumed
    first = fresh / (loop + scoring) if fresh else None
    return Result(
        figures=scores.figures,
        per_class={dataset.categories[key]: value for key, value in scores.per_class.items()},
        timing=Timing(
            graph_load=graph_load,
            images_load=sum(one.seconds[0] + one.seconds[1] for one in good),
            detection=sum(one.seconds[2] + one.seconds[3] for one in good),
            loop=loop,
            scoring=scoring,
            workers=size,
            images_per_second=(first, *again),
            latency=latency,
        ),
        settings=detector.settings,
        options={
            "resize": detector.resize,
            "rounding": rounding,
            "categories": matching.by,
            "postprocess": detector.postprocess,
            "threads": detector.threads,
            "workers": size,
            "worker_threads": threads,
            "count": count,
            "skip": skip,
            "batch_size": batch_size,
            "repetitions": repetitions,
        },
        model_sha256=detector.sha256,
        dataset_sha256=dataset.sha256,
        images=len(good),
        resumed=resumed,
        missing=len(dataset.missing),
        unreadable=unreadable,
        skipped=dict(dataset.skipped),
        unknown=unknown,
        detections=rows,
        machine=machine(),
        versions=versions(),
    )


class _Team:
    """Independent copies of a detector, and the time that making one took."""

    def __init__(self, detector: Detector, size: int, threads: int) -> None:
        begin = time.perf_counter()
        self._detectors = [detector.fork(threads)]
        self.graph_load = time.perf_counter() - begin
        self._detectors += [detector.fork(threads) for _ in range(size - 1)]
        self.size = size

    def outcomes(
        self, images: Sequence[DatasetImage]
    ) -> Generator[tuple[DatasetImage, Outcome], None, None]:
        """The images with their outcomes, in the order in which they are done.

        Closing the iterator waits for the images at work and drops them.
        """
        left = iter(images)
        lock = threading.Lock()
        stop = threading.Event()
        finished: queue.SimpleQueue[tuple[DatasetImage, Outcome] | BaseException] = (
            queue.SimpleQueue()
        )

        def work(detector: Detector) -> None:
            try:
                while not stop.is_set():
                    with lock:
                        image = next(left, None)
                    if image is None:
                        return
                    finished.put((image, _look(detector, image)))
            except BaseException as error:
                # It is raised again where the outcomes are taken.
                finished.put(error)

        threads = [
            threading.Thread(target=work, args=(one,), daemon=True) for one in self._detectors
        ]
        for thread in threads:
            thread.start()
        try:
            for _ in images:
                done = finished.get()
                if isinstance(done, BaseException):
                    raise done
                yield done
        finally:
            stop.set()
            for thread in threads:
                thread.join()


def _look(detector: Detector, image: DatasetImage) -> Outcome:
    """One image through the four stages, each one timed."""
    start = time.perf_counter()
    try:
        pixels = detector.load(image.path, image.size or "stored")
    except (ImageError, FileError) as error:
        return Outcome(image.id, error=" ".join(str(error).split()))
    loaded = time.perf_counter()
    prepared = detector.prepare(pixels)
    ready = time.perf_counter()
    raw = detector.network(prepared)
    computed = time.perf_counter()
    found = detector.finish(raw)
    end = time.perf_counter()
    height, width = pixels.shape[:2]
    return Outcome(
        image_id=image.id,
        width=width,
        height=height,
        boxes=found.boxes,
        scores=found.scores,
        classes=found.classes.astype("int32"),
        seconds=(loaded - start, ready - loaded, computed - ready, end - computed),
    )


def _first_pass(
    team: _Team,
    images: Sequence[DatasetImage],
    journal: Journal | None,
    progress: Callable[[Progress], None] | None,
) -> tuple[dict[int, Outcome], float]:
    """The outcome of every image by its id, and the seconds on the clock."""
    chosen = {image.id for image in images}
    known = {} if journal is None else journal.outcomes
    outcomes = {key: outcome for key, outcome in known.items() if key in chosen}
    left = [image for image in images if image.id not in outcomes]
    begin = time.perf_counter()
    if progress:
        progress(Progress(len(outcomes), len(images), 1, None, None))
    with contextlib.closing(team.outcomes(left)) as stream:
        for image, outcome in stream:
            outcomes[image.id] = outcome
            if journal is not None:
                journal.add(outcome)
            if outcome.error is not None:
                LOG.warning("left out: %s", outcome.error)
            if progress:
                progress(Progress(len(outcomes), len(images), 1, image, outcome))
    return outcomes, time.perf_counter() - begin


def _repeat(
    team: _Team,
    images: Sequence[DatasetImage],
    number: int,
    progress: Callable[[Progress], None] | None,
) -> float:
    """Images per second of one more pass; what it finds has been found already."""
    begin = time.perf_counter()
    if progress:
        progress(Progress(0, len(images), number, None, None))
    with contextlib.closing(team.outcomes(images)) as stream:
        for done, (image, outcome) in enumerate(stream, 1):
            if progress:
                progress(Progress(done, len(images), number, image, outcome))
    return len(images) / (time.perf_counter() - begin)


def _latency(detector: Detector, images: Sequence[DatasetImage]) -> Latency | None:
    for image in images[:WARM_UP_IMAGES]:
        _look(detector, image)
    looked = [_look(detector, image) for image in images]
    seconds = [outcome.seconds for outcome in looked if outcome.error is None]
    return Latency.of(seconds) if seconds else None
