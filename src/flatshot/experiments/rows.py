"""The rows of the original README's "Reference accuracy", of any model."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flatshot.evaluation.dataset import CocoDataset
from flatshot.evaluation.evaluate import evaluate
from flatshot.evaluation.loop import OnProgress
from flatshot.evaluation.result import Result
from flatshot.experiments.models import Models
from flatshot.runtime.detector import Detector
from flatshot.runtime.images import Resize

LOW_THRESHOLD = 0.00001


@dataclass(frozen=True)
class Row:
    """One line of the table: what it is called, the model, and what overrides its settings."""

    title: str
    model: Path
    overrides: dict[str, Any]


def rows(models: Models) -> Iterator[Row]:
    """The lines of the table, of these models."""
    low = {"nms": "regular", "score_threshold": LOW_THRESHOLD}
    if models.regular == models.fast:
        yield Row("as the model is", models.fast, {})
        yield Row("regular NMS", models.fast, {"nms": "regular"})
        yield Row("fast NMS", models.fast, {"nms": "fast"})
    else:
        yield Row("regular NMS", models.regular, {})
        yield Row("fast NMS", models.fast, {})
        yield Row("fast graph, custom settings: regular NMS", models.fast, {"nms": "regular"})
    yield Row(f"regular NMS, score threshold {LOW_THRESHOLD:.5f}", models.fast, low)


def measure(
    row: Row,
    dataset: CocoDataset,
    *,
    resize: Resize = "tensorflow",
    count: int | None = None,
    workers: int | None = None,
    progress: OnProgress | None = None,
) -> Result:
    """Benchmark the model of `row` with its settings.

    Raises:
        FlatshotError: see `Detector` and `evaluate`.
    """
    detector = Detector(row.model, resize=resize, **row.overrides)
    return evaluate(detector, dataset, count=count, workers=workers, progress=progress)
