"""The benchmark: a detector over a data set, to COCO figures and true times.

One single-thread interpreter a core works through the images. Of each image only its detections
stay, as small arrays, and a line in the journal where there is one. Latency is measured after
that, one image at a time while nothing else runs: what is interrupted there has lost nothing.
"""

import contextlib
import logging
import time
from collections.abc import Generator, Sequence

from flatshot.errors import ConfigError
from flatshot.evaluation.dataset import CocoDataset, DatasetImage
from flatshot.evaluation.journal import Journal
from flatshot.evaluation.loop import OnProgress, Progress, Team, look
from flatshot.evaluation.machine import cores
from flatshot.evaluation.matching import By, match
from flatshot.evaluation.outcome import Outcome, Rounding, stamp
from flatshot.evaluation.result import Measured, Result, conclude
from flatshot.evaluation.run import Run
from flatshot.formats.files import StrPath
from flatshot.runtime.detector import Detector

__all__ = ["Progress", "Result", "evaluate"]

_log = logging.getLogger("flatshot")

# Enough for a steady median and a rough 99th percentile, in a few seconds.
LATENCY_IMAGES = 100
# The first runs of an interpreter touch its memory for the first time.
WARM_UP_IMAGES = 3


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
    progress: OnProgress | None = None,
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
    check_numbers(count, skip, batch_size, workers, repetitions, latency_images)
    images = dataset.select(None if count is None else count * batch_size, skip * batch_size)
    matching = match(
        detector.labels,
        detector.settings.num_classes,
        dataset.categories,
        dataset.truth.category_ids,
        categories,
    )
    run = Run.of(detector, dataset, rounding=rounding, workers=workers)
    team = Team(detector, min(workers or cores(), len(images)), run.threads, look)
    with contextlib.ExitStack() as stack:
        journal = stack.enter_context(Journal(resume, run.to_json())) if resume else None
        uid = journal.uid if journal else None
        outcomes = known(journal, images)
        fresh = len(images) - len(outcomes)
        loop = _first_pass(team, images, outcomes, journal, progress)
    again = [_repeat(team, images, number, progress) for number in range(2, repetitions + 1)]
    latency = look_alone(detector, images[:latency_images], progress)
    options = {
        "categories": matching.by,
        "threads": detector.threads,
        "workers": team.size,
        "worker_threads": run.threads,
        "count": count,
        "skip": skip,
        "batch_size": batch_size,
        "repetitions": repetitions,
    }
    measured = Measured(team.graph_load, loop, team.size, fresh, again, latency, options, uid)
    del team, journal  # their memory goes before scoring asks for its own
    return conclude(run, dataset, images, outcomes, matching, measured)


def check_numbers(
    count: int | None,
    skip: int,
    batch_size: int,
    workers: int | None,
    repetitions: int,
    latency_images: int,
) -> None:
    """Do nothing if all are in range.

    Raises:
        ConfigError: one is not; the message names it.
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


def known(journal: Journal | None, images: Sequence[DatasetImage]) -> dict[int, Outcome]:
    """What the journal knows of `images`, by id, unless their files have changed since."""
    if journal is None:
        return {}
    found = {
        image.id: journal.outcomes[image.id] for image in images if image.id in journal.outcomes
    }
    changed = [
        image
        for image in images
        if image.id in found and found[image.id].stamp != stamp(image.path)
    ]
    if changed:
        _log.warning(
            "%d images have changed since the journal was written and run again; the first: %s",
            len(changed),
            changed[0].name,
        )
    for image in changed:
        del found[image.id]
    return found


def look_alone(
    detector: Detector, images: Sequence[DatasetImage], progress: OnProgress | None = None
) -> list[Outcome]:
    """The outcomes of `images`, one at a time, after a few that warm up."""
    if progress and images:
        progress(Progress(0, len(images), 0, None, None))
    for image in images[:WARM_UP_IMAGES]:
        look(detector, image)
    outcomes = []
    for number, image in enumerate(images, 1):
        outcomes.append(look(detector, image))
        if progress:
            progress(Progress(number, len(images), 0, image, outcomes[-1]))
    return outcomes


def _first_pass(
    team: Team[Outcome],
    images: Sequence[DatasetImage],
    outcomes: dict[int, Outcome],
    journal: Journal | None,
    progress: OnProgress | None,
) -> float:
    """Complete `outcomes`, by image id; the seconds on the clock."""
    left = [image for image in images if image.id not in outcomes]
    begin = time.perf_counter()
    with contextlib.closing(_reported(team, left, len(outcomes), 1, progress)) as stream:
        for image, outcome in stream:
            outcomes[image.id] = outcome
            if journal is not None:
                journal.add(outcome)
            if outcome.error is not None:
                _log.warning("left out: %s", outcome.error)
    return time.perf_counter() - begin


def _repeat(
    team: Team[Outcome],
    images: Sequence[DatasetImage],
    number: int,
    progress: OnProgress | None,
) -> float:
    """Images per second of one more pass; what it finds has been found already."""
    begin = time.perf_counter()
    for _ in _reported(team, images, 0, number, progress):
        pass
    return len(images) / (time.perf_counter() - begin)


def _reported(
    team: Team[Outcome],
    images: Sequence[DatasetImage],
    done: int,
    repetition: int,
    progress: OnProgress | None,
) -> Generator[tuple[DatasetImage, Outcome], None, None]:
    """The images with their outcomes; progress is told after each one has been dealt with."""
    total = done + len(images)
    if progress:
        progress(Progress(done, total, repetition, None, None))
    with contextlib.closing(team.outcomes(images)) as stream:
        for number, (image, outcome) in enumerate(stream, done + 1):
            yield image, outcome
            if progress:
                progress(Progress(number, total, repetition, image, outcome))
