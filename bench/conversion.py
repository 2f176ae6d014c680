"""How long and how much memory the road from checkpoint to .tflite takes.

The checkpoints are full-width detectors with 90 classes, written on the spot: SSD MobileNet V1 (27
MB), and the same with a feature pyramid and a shared head at 640 x 640 (49 MB). The baseline is
what no converter in Python can do without: a process that imports NumPy and LiteRT's schema, and
copies the checkpoint from file to file. Runs alternate; a row is the ratio of the medians.
`FLATSHOT_TEST_DATA=DIR` adds a SavedModel of TensorFlow 2, against the checkpoint it was made from.
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
FEATURE_PYRAMID = """
model { ssd {
  num_classes: 90
  image_resizer { fixed_shape_resizer { height: 640 width: 640 } }
  feature_extractor {
    type: "ssd_mobilenet_v1_fpn" fpn { }
    conv_hyperparams { activation: RELU_6 batch_norm { scale: true } }
  }
  box_predictor { weight_shared_convolutional_box_predictor {
    depth: 256 num_layers_before_predictor: 4
    conv_hyperparams { activation: RELU_6 batch_norm { scale: true } }
  } }
  anchor_generator { multiscale_anchor_generator { aspect_ratios: [1.0, 2.0, 0.5] } }
  post_processing { score_converter: SIGMOID }
} }
"""
# An official converter's file of the same has each shared filter once.
LARGEST_PYRAMID = 50e6
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
    header("conversion: checkpoint to detect.tflite, process start to file written")
    _measure("V1 300", FULL_WIDTH)
    size = _measure("V1 FPN 640", FEATURE_PYRAMID)
    row("V1 FPN 640: bytes of the file", size / LARGEST_PYRAMID, "<= 1", f"{size / 1e6:.1f} MB")
    if data := os.environ.get("FLATSHOT_TEST_DATA"):
        _measure_saved_model(Path(data) / "families2")


def _measure(name: str, pipeline: str) -> int:
    """Print the rows of one detector; the bytes of the file that was made."""
    with tempfile.TemporaryDirectory() as folder:
        prefix = write_tiny_checkpoint(folder, pipeline)
        shard = f"{prefix}.data-00000-of-00001"
        out = Path(folder) / "out"
        python = sys.executable
        baseline = [python, "-c", BASELINE, shard, str(out)]
        imports = [python, "-c", IMPORTS]
        convert = [python, "-m", "flatshot", "convert", folder, "-o", str(out)]
        rounds = [
            [_run(command) for command in (baseline, imports, convert)] for _ in range(ROUNDS)
        ]
        size, made = Path(shard).stat().st_size, out.stat().st_size
    times = [statistics.median(run[i][0] for run in rounds) for i in range(3)]
    peaks = [statistics.median(run[i][1] for run in rounds) for i in range(3)]
    row(
        f"{name}: time, against imports and copying {size / 1e6:.0f} MB",
        times[2] / times[0],
        "<= 3",
        f"{times[2] * 1000:.0f} ms against {times[0] * 1000:.0f} ms",
    )
    row(
        f"{name}: peak memory above imports, against the checkpoint",
        (peaks[2] - peaks[1]) / size,
        "<= 4",
        f"{(peaks[2] - peaks[1]) / 1e6:.0f} MB against {size / 1e6:.1f} MB",
    )
    return made


def _measure_saved_model(families: Path) -> None:
    """Print the row of a SavedModel of TensorFlow 2, against its checkpoint."""
    name = "ssd_mobilenet_v2_320x320_coco17"
    with tempfile.TemporaryDirectory() as folder:
        build = [sys.executable, "-B", str(families / "build2.py"), str(families / name), folder]
        for flags in ((), ("--saved",)):
            subprocess.run([*build, *flags], check=True, capture_output=True)
        out = Path(folder) / "out.tflite"
        convert = [sys.executable, "-m", "flatshot", "convert", "-o", str(out)]
        rounds = [
            [_run([*convert, place])[0] for place in (folder, f"{folder}/saved_model")]
            for _ in range(ROUNDS)
        ]
    checkpoint, saved = (statistics.median(times) for times in zip(*rounds, strict=True))
    row(
        "TensorFlow 2, V2 300: SavedModel, against its checkpoint",
        saved / checkpoint,
        "<= 3",
        f"{saved * 1000:.0f} ms against {checkpoint * 1000:.0f} ms",
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
