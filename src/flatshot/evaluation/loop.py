"""The loop over images: independent copies of a detector in threads, one image at a time each.

LiteRT releases Python's lock while it computes, and reading and resizing an image fits beside
another one's network.
"""

import queue
import threading
import time
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from flatshot.errors import FileError, ImageError
from flatshot.evaluation.dataset import DatasetImage
from flatshot.evaluation.outcome import Outcome, stamp
from flatshot.runtime.detector import Detector, Raw

Found = TypeVar("Found")


@dataclass(frozen=True)
class Progress:
    """How far a run is: called after each image, and once before the first.

    Attributes:
        done: images behind us, those of the journal included.
        total: images of this pass.
        repetition: which pass over the images, from 1; 0 is the one for the latency, one image at a
            time, which comes last.
        image: the image just finished, or None at the beginning of a pass.
        outcome: what was found on it, or None likewise.
    """

    done: int
    total: int
    repetition: int
    image: DatasetImage | None
    outcome: Outcome | None


OnProgress = Callable[[Progress], None]


class Team(Generic[Found]):
    """Independent copies of a detector that do the same work on images.

    Attributes:
        size: how many they are.
        graph_load: seconds that making one of them took.
    """

    def __init__(
        self,
        detector: Detector,
        size: int,
        threads: int,
        work: Callable[[Detector, DatasetImage], Found],
    ) -> None:
        """Make `size` copies of `detector`, of `threads` threads each, that do `work`."""
        begin = time.perf_counter()
        self._detectors = [detector.fork(threads)]
        self.graph_load = time.perf_counter() - begin
        self._detectors += [detector.fork(threads) for _ in range(size - 1)]
        self._work = work
        self.size = size

    def outcomes(
        self, images: Sequence[DatasetImage]
    ) -> Generator[tuple[DatasetImage, Found], None, None]:
        """The images with what was found, in the order in which they are done.

        Closing the iterator waits for the images at work and drops them.
        """
        left = iter(images)
        lock = threading.Lock()
        stop = threading.Event()
        finished: queue.SimpleQueue[tuple[DatasetImage, Found] | BaseException] = (
            queue.SimpleQueue()
        )

        def work(detector: Detector) -> None:
            try:
                while not stop.is_set():
                    with lock:
                        image = next(left, None)
                    if image is None:
                        return
                    finished.put((image, self._work(detector, image)))
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


@dataclass(frozen=True)
class Seen:
    """An image after the network, before the post-processing.

    Attributes:
        image_id: the data set's number for the image.
        stamp: of the image's file when it was read.
        width, height: of the image in pixels.
        raw: what the network made of it.
        seconds: wall time of loading, preprocessing and the network.
    """

    image_id: int
    stamp: tuple[int, int]
    width: int
    height: int
    raw: Raw
    seconds: tuple[float, float, float]


def see(detector: Detector, image: DatasetImage) -> Seen | Outcome:
    """One image up to the network, each stage timed; the outcome of one that cannot be read."""
    start = time.perf_counter()
    try:
        mark = stamp(image.path)
        pixels = detector.load(image.path, image.size or "stored")
    except (ImageError, FileError) as error:
        return Outcome(image.id, error=" ".join(str(error).split()))
    loaded = time.perf_counter()
    prepared = detector.prepare(pixels)
    ready = time.perf_counter()
    raw = detector.network(prepared)
    seconds = (loaded - start, ready - loaded, time.perf_counter() - ready)
    height, width = pixels.shape[:2]
    return Seen(image.id, mark, width, height, raw, seconds)


def finish(detector: Detector, seen: Seen) -> Outcome:
    """What `detector` makes of an image after the network."""
    begin = time.perf_counter()
    found = detector.finish(seen.raw)
    seconds = (*seen.seconds, time.perf_counter() - begin)
    return Outcome(
        image_id=seen.image_id,
        width=seen.width,
        height=seen.height,
        boxes=found.boxes,
        scores=found.scores,
        classes=found.classes.astype("int32"),
        seconds=seconds,
        stamp=seen.stamp,
    )


def look(detector: Detector, image: DatasetImage) -> Outcome:
    """One image through the four stages, each one timed."""
    seen = see(detector, image)
    return seen if isinstance(seen, Outcome) else finish(detector, seen)
