"""How long one image takes, and where the time goes."""

from dataclasses import dataclass

import numpy as np

from flatshot.evaluation.metrics import FloatArray
from flatshot.report.study import Study

# The stages in words, in the order in which an image passes them.
STAGES = ("read and decode", "resize", "network", "post-processing")
_FIELDS = ("load", "preprocess", "network", "nms")
# Steps of the histogram in milliseconds that people read easily.
_STEPS = (0.05, 0.1, 0.2, 0.25, 0.5, 1, 2, 2.5, 5, 10, 20, 25, 50, 100, 200, 250, 500, 1000)
_BARS = 24


@dataclass(frozen=True)
class Stage:
    """A stage: its median and 90th percentile in seconds, and its share of the medians."""

    name: str
    median: float
    p90: float
    share: float


@dataclass(frozen=True, eq=False)
class Latency:
    """The latency pass, in seconds.

    Attributes:
        images: how many were timed, one at a time.
        threads: of the interpreter.
        median, p90, p99: from file to boxes.
        stages: where the time goes.
        edges: (k + 1,) bounds of the histogram, or empty where only quantiles were kept.
        counts: (k,) images between them; the last bar holds all that took longer.
    """

    images: int
    threads: int
    median: float
    p90: float
    p99: float
    stages: list[Stage]
    edges: FloatArray
    counts: FloatArray


def latency(study: Study) -> Latency | None:
    """The latency of a run; None where it was not measured."""
    told = study.content.get("timing", {}).get("latency")
    if not told:
        return None
    medians = [told[field]["median"] for field in _FIELDS]
    whole = sum(medians) or 1.0
    stages = [
        Stage(name, told[field]["median"], told[field]["p90"], told[field]["median"] / whole)
        for name, field in zip(STAGES, _FIELDS, strict=True)
    ]
    edges, counts = _histogram(study.seconds)
    total = told["total"]
    return Latency(
        images=int(told["images"]),
        threads=int(study.content.get("options", {}).get("threads") or 1),
        median=total["median"],
        p90=total["p90"],
        p99=total["p99"],
        # With the operator inside the model nobody can tell its time from the network's.
        stages=[stage for stage in stages if stage.median > 0],
        edges=edges,
        counts=counts,
    )


def _histogram(seconds: FloatArray | None) -> tuple[FloatArray, FloatArray]:
    if seconds is None or len(seconds) < 2:
        return np.zeros(0), np.zeros(0)
    total = 1000 * seconds.sum(axis=1)
    low, high = total.min(), np.percentile(total, 99)
    step = next((step for step in _STEPS if (high - low) / step <= _BARS), (high - low) / _BARS)
    first = np.floor(low / step) * step
    bars = max(1, int(np.ceil((high - first) / step)))
    edges = first + step * np.arange(bars + 1)
    counts, _ = np.histogram(np.minimum(total, edges[-1]), edges)
    return edges / 1000, counts.astype(np.float64)
