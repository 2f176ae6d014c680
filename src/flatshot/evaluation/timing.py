"""How long things took: one image at a time (latency), and all of them (throughput)."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True)
class Spread:
    """How a time is spread over images, in seconds; quantiles as `numpy.percentile` has them."""

    min: float
    mean: float
    median: float
    p90: float
    p99: float

    @classmethod
    def of(cls, seconds: npt.ArrayLike) -> "Spread":
        """The spread of `seconds`, (n,) with n from 1."""
        values = np.asarray(seconds, np.float64)
        median, p90, p99 = np.percentile(values, [50, 90, 99]).tolist()
        return cls(float(values.min()), float(values.mean()), median, p90, p99)


@dataclass(frozen=True)
class Latency:
    """What one image takes from file to detections while nothing else runs.

    Attributes:
        images: how many were measured, after a few that were not.
        total: from file to detections.
        load: reading and decoding the file.
        preprocess: resizing and normalising.
        network: the interpreter; with the NMS inside, where the model's own operator does it.
        nms: the post-processing, where it can be told from the network.
    """

    images: int
    total: Spread
    load: Spread
    preprocess: Spread
    network: Spread
    nms: Spread

    @classmethod
    def of(cls, seconds: npt.ArrayLike) -> "Latency":
        """The latency of images by their stages: (m, 4) load, preprocess, network, nms."""
        table = np.asarray(seconds, np.float64)
        return cls(len(table), Spread.of(table.sum(axis=1)), *(Spread.of(c) for c in table.T))


@dataclass(frozen=True, eq=False)
class Times:
    """The times behind the sums and quantiles, image by image.

    Attributes:
        image_ids: (n,) int64, the processed images.
        sizes: (n, 2) int64, their width and height in pixels.
        seconds: (n, 4) float64, load, preprocess, network and NMS while other images were at work.
        latency_ids: (m,) int64, the images that were measured one at a time.
        latency: (m, 4) float64, the same stages while nothing else ran.
    """

    image_ids: npt.NDArray[np.int64]
    sizes: npt.NDArray[np.int64]
    seconds: npt.NDArray[np.float64]
    latency_ids: npt.NDArray[np.int64]
    latency: npt.NDArray[np.float64]


@dataclass(frozen=True)
class Timing:
    """Times of a whole run, in seconds.

    The sums run over images, so that with several workers they exceed the time on the clock.

    Attributes:
        graph_load: building one interpreter that is ready to run.
        images_load: loading and preprocessing, summed over all processed images.
        detection: network and post-processing, summed over all processed images.
        loop: time on the clock of the first pass over the images that this run processed.
        scoring: taking the figures.
        workers: interpreters side by side.
        images_per_second: of each repetition, from file to detections; the first one counts the
            scoring too. None where a resumed run had nothing left to do.
        latency: one image at a time, or None where it was not asked for.
    """

    graph_load: float
    images_load: float
    detection: float
    loop: float
    scoring: float
    workers: int
    images_per_second: tuple[float | None, ...]
    latency: Latency | None
