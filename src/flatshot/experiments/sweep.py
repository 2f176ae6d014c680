"""Sweeps: every combination of models, ways of resizing and settings, each measured once.

The network sees an image once for each model and way of resizing; its raw outputs are finished with
all settings (see `sharing`). Figures and detections are those of single runs to the last bit.
"""

import contextlib
import logging
from collections.abc import Iterator, Sequence
from itertools import product
from pathlib import Path

from flatshot.evaluation.dataset import CocoDataset
from flatshot.evaluation.evaluate import check_numbers
from flatshot.evaluation.loop import OnProgress
from flatshot.experiments.grid import Asked, Grid, Swept
from flatshot.experiments.shared_pass import LATENCY_IMAGES, SharedPass

_log = logging.getLogger("flatshot")


def sweep(
    grid: Grid,
    dataset: CocoDataset,
    asked: Asked | None = None,
    progress: OnProgress | None = None,
) -> Iterator[Swept]:
    """Measure all combinations of `grid` on `dataset`, each once, as they are done.

    The journals of a pass are deleted once all its combinations have been taken: whoever keeps
    records does so before asking for the next one.

    Raises:
        ConfigError: a setting is out of range, or a model's raw outputs cannot be read.
        FlatshotError: see `Detector` and `evaluate`.
    """
    asked = asked or Asked()
    check_numbers(asked.count, 0, 1, asked.workers, 1, LATENCY_IMAGES)
    changes = grid.changes()
    with warnings_once():
        for model, resize in product(
            dict.fromkeys(map(Path, grid.models)), dict.fromkeys(grid.resize)
        ):
            shared = SharedPass(model, resize, changes, dataset, asked)
            yield from shared.run(list(dict.fromkeys(grid.threads)), progress)


def best_first(swept: Sequence[Swept]) -> list[Swept]:
    """Sorted by falling AP, and of equal ones the quickest first."""
    return sorted(swept, key=lambda one: (-one.result.mAP, one.seconds))


def front(swept: Sequence[Swept]) -> set[int]:
    """The places of those that no other one beats: none is as good and quicker, or better as fast.

    Those that are equal in both are on it together.
    """

    def beaten(one: Swept) -> bool:
        return any(
            other.result.mAP >= one.result.mAP
            and other.seconds <= one.seconds
            and (other.result.mAP, other.seconds) != (one.result.mAP, one.seconds)
            for other in swept
        )

    return {place for place, one in enumerate(swept) if not beaten(one)}


@contextlib.contextmanager
def warnings_once() -> Iterator[None]:
    """Let each thing that the library has to say through once: combinations have it in common."""
    said: set[str] = set()

    def new(record: logging.LogRecord) -> bool:
        message = record.getMessage()
        fresh = message not in said
        said.add(message)
        return fresh

    _log.addFilter(new)
    try:
        yield
    finally:
        _log.removeFilter(new)
