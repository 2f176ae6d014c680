"""What twenty settings cost in one sweep, against a single run of one of them.

`FLATSHOT_TEST_DATA=DIR python -m bench.sweeping` takes a model and 310 photographs from DIR. The
two alternate; the processor's time stands beside the clock's, for others slow the clock more. Each
single run has its latency measured on as many images as it has by default, the sweep on its own.
"""

import os
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from bench.evaluation import IMAGES, MODEL
from bench.report import header, row
from flatshot.evaluation.dataset import CocoDataset
from flatshot.evaluation.evaluate import evaluate
from flatshot.experiments.grid import Grid
from flatshot.experiments.sweep import sweep
from flatshot.runtime.detector import Detector

ROUNDS = 3
SETTINGS: Mapping[str, Sequence[Any]] = {
    "nms": ["regular", "fast"],
    "score_threshold": [0.3, 0.1, 0.05, 1e-5, 1e-8],
    "max_detections": [10, 100],
}


def main() -> None:
    """Print all rows; without real data there is nothing to measure."""
    if folder := os.environ.get("FLATSHOT_TEST_DATA"):
        header("sweeps: 20 settings of the post-processing, 310 photographs")
        twenty_against_one(Path(folder))


def twenty_against_one(data: Path) -> None:
    """The whole of both, from files to figures, latency included."""
    dataset, model = CocoDataset(data / IMAGES), data / MODEL
    grid = Grid(models=[model], settings=SETTINGS)

    def single() -> None:
        evaluate(Detector(model, nms="regular", score_threshold=1e-8), dataset)

    def twenty() -> None:
        assert len(list(sweep(grid, dataset))) == 20

    rounds = [(_cost(single), _cost(twenty)) for _ in range(ROUNDS)]
    for place, what in ((1, "processor"), (0, "clock")):
        one, many = (min(costs[side][place] for costs in rounds) for side in (0, 1))
        row(
            f"20 settings in one sweep / one run, {what}",
            many / one,
            "<= 1.5",
            f"{many:.2f} / {one:.2f} s; 20 single runs would be {20 * one:.0f} s",
        )


def _cost(work: Callable[[], None]) -> tuple[float, float]:
    """Seconds of the clock and of the processor."""
    clock, processor = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - clock, time.process_time() - processor


if __name__ == "__main__":
    main()
