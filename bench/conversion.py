"""How long and how much memory the road from checkpoint to .tflite takes.

The checkpoint is a full-width SSD MobileNet V1 with 90 classes, 27 MB, written on the spot. The
baseline is what no converter in Python can do without: a process that imports NumPy and LiteRT's
schema, and copies 27 MB from file to file. Runs alternate; a row is the ratio of the medians.
"""

import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from bench.report import header, row
from flatshot.demo.tiny import PIPELINE, write_tiny_checkpoint

ROUNDS = 11
FULL_WIDTH = (
    PIPELINE.replace("num_classes: 3", "num_classes: 90")
    .replace("depth_multiplier: 0.25", "depth_multiplier: 1.0")
    .replace("height: 96 width: 96", "height: 300 width: 300")
)
BASELINE = """
import shutil, sys
import numpy
import ai_edge_litert.schema_py_generated
shutil.copyfile(sys.argv[1], sys.argv[2])
"""
IMPORTS = """
import flatshot.cli.convert, flatshot.conversion.convert, flatshot.models.export, flatbuffers
"""


def main() -> None:
    """Print all rows."""
    header("conversion: checkpoint (27 MB) to detect.tflite, process start to file written")
    with tempfile.TemporaryDirectory() as folder:
        prefix = write_tiny_checkpoint(folder, FULL_WIDTH)
        shard = f"{prefix}.data-00000-of-00001"
        out = Path(folder) / "out"
        python = sys.executable
        baseline = [python, "-c", BASELINE, shard, str(out)]
        imports = [python, "-c", IMPORTS]
        convert = [python, "-m", "flatshot", "convert", folder, "-o", str(out)]
        rounds = [
            [_run(command) for command in (baseline, imports, convert)] for _ in range(ROUNDS)
        ]
        size = Path(shard).stat().st_size
    times = [statistics.median(run[i][0] for run in rounds) for i in range(3)]
    peaks = [statistics.median(run[i][1] for run in rounds) for i in range(3)]
    row(
        "time, against importing NumPy and the schema and copying 27 MB",
        times[2] / times[0],
        "<= 3",
        f"{times[2] * 1000:.0f} ms against {times[0] * 1000:.0f} ms",
    )
    row(
        "peak memory above that of the imports, against the checkpoint",
        (peaks[2] - peaks[1]) / size,
        "<= 4",
        f"{(peaks[2] - peaks[1]) / 1e6:.0f} MB against {size / 1e6:.1f} MB",
    )


def _run(command: list[str]) -> tuple[float, int]:
    """Seconds and peak bytes of a process, the start of the interpreter included."""
    start = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - start
    if status != 0:
        raise SystemExit(f"{' '.join(command)} failed")
    # Linux counts kilobytes, macOS bytes.
    return seconds, usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024)


if __name__ == "__main__":
    main()
