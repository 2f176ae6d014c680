"""TensorFlow 2's detectors of the real data, built whole from their rule (`families2/`)."""

import json
import subprocess
import sys
import zlib
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from flatshot.formats import tflite

Float32 = npt.NDArray[np.float32]

# Of each network, the ones to run every day and those that take seconds.
QUICK = ("tiny_fpnlite", "tiny_ssd_v1", "tiny_ssd_v2")
LARGE = ("ssd_mobilenet_v2_320x320_coco17", "ssd_mobilenet_v2_fpnlite_320x320_coco17")


def build(data: Path, family: str, folder: Path, *, saved: bool = False) -> Path:
    """A directory as the zoo has them: `checkpoint/`, `pipeline.config`, or `saved_model/`."""
    script = data / "families2" / "build2.py"
    arguments = [str(data / "families2" / family), str(folder / family)]
    command = [sys.executable, "-B", str(script), *arguments, *["--saved"] * saved]
    subprocess.run(command, check=True, capture_output=True)
    return folder / family


def summary(data: Path, family: str) -> Any:
    """What TensorFlow and its converter made of `family`."""
    return json.loads((data / "families2" / family / "summary.json").read_text())


def raw_outputs(data: Path, family: str) -> Any:
    """The raw outputs that TensorFlow computed, at some rows."""
    return np.load(data / "families2" / family / "raw_outputs.npz")


def picture(shape: tuple[int, ...]) -> Float32:
    """The pixels 0 to 255 whose raw outputs are known, before any preprocessing."""
    key = zlib.crc32(b"normalized_input_image_tensor")
    values = np.random.Generator(np.random.Philox(key=key)).integers(0, 256, shape)
    return values.astype(np.float32)


def operator_counts(model: tflite.TFLiteModel) -> Counter[str]:
    """How often each operator occurs in a model."""
    codes = (model.operator_codes[op.opcode_index] for op in model.subgraphs[0].operators)
    return Counter(code.name for code in codes)


def converter_counts(data: Path, family: str) -> Counter[str]:
    """How often each operator occurs in what TensorFlow's converter made of `family`."""
    counts = summary(data, family)["tflite"]["operators"]
    return Counter({name.removeprefix("CUSTOM:"): count for name, count in counts.items()})
