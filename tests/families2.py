"""TensorFlow 2's detectors of the real data, built whole from their rule (`families2/`)."""

import gzip
import importlib.util
import json
import shutil
import subprocess
import sys
import zlib
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from flatshot.formats import tflite
from flatshot.formats.checkpoint import read_index

Float32 = npt.NDArray[np.float32]

# Of each network, the ones to run every day and those that take seconds.
QUICK = ("tiny_fpnlite", "tiny_ssd_v1", "tiny_ssd_v2")
LARGE = (
    "small_resnet50_fpn",
    "ssd_efficientdet_d0_512x512_fixed",
    "ssd_mobilenet_v2_320x320_coco17",
    "ssd_mobilenet_v2_fpnlite_320x320_coco17",
    "ssd_resnet50_v1_fpn_640x640_coco17",
)


def build(data: Path, family: str, folder: Path, *, saved: bool = False) -> Path:
    """A directory as the zoo has them: `checkpoint/`, `pipeline.config`, or `saved_model/`."""
    script = data / "families2" / "build2.py"
    arguments = [str(data / "families2" / family), str(folder / family)]
    command = [sys.executable, "-B", str(script), *arguments, *["--saved"] * saved]
    subprocess.run(command, check=True, capture_output=True)
    return folder / family


def build_intermediate(data: Path, family: str, folder: Path) -> Path:
    """The SavedModel that export_tflite_graph_tf2.py left of `family`, with its variables."""
    source = data / "families2" / family
    value = _module(data, "values2").value
    _, entries = read_index((source / "tflite_export_variables.index").read_bytes())
    keys = json.loads((source / "saved_model_keys.json").read_text())
    shard = bytearray(max(entry.offset + entry.size for entry in entries.values()))
    for key, entry in entries.items():
        dtype, shape, *rest = keys[key]
        if dtype != "string":  # the object graph, which is not stored for this one
            named = not rest or isinstance(rest[0], str)
            data_ = value(rest[0] if rest else key, shape, dtype) if named else rest[0]
            numbers = np.asarray(data_, dtype).tobytes()
            shard[entry.offset : entry.offset + entry.size] = numbers
    place = folder / family / "saved_model"
    (place / "variables").mkdir(parents=True)
    graph = gzip.decompress((source / "tflite_export_saved_model.pb.gz").read_bytes())
    (place / "saved_model.pb").write_bytes(graph)
    index = place / "variables" / "variables.index"
    shutil.copy(source / "tflite_export_variables.index", index)
    index.with_suffix(".data-00000-of-00001").write_bytes(shard)
    return place


def _module(data: Path, name: str) -> Any:
    """A script of the real data."""
    spec = importlib.util.spec_from_file_location(name, data / "families2" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


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


def normalized(data: Path, family: str) -> Float32:
    """That picture after the family's own preprocessing, in the words of the data's README."""
    facts = summary(data, family)
    pixels = picture(tuple(facts["input"]))
    kind = facts.get("normalisation", "mobilenet")
    if kind == "resnet":
        return pixels - np.array([123.68, 116.779, 103.939], np.float32)
    if kind == "efficientnet":
        means, deviations = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]
        shifted = pixels / np.float32(255) - np.array(means, np.float32)
        return np.asarray(shifted / np.array(deviations, np.float32), np.float32)
    return np.asarray(np.float32(2 / 255) * pixels - np.float32(1), np.float32)


def operator_counts(model: tflite.TFLiteModel) -> Counter[str]:
    """How often each operator occurs in a model."""
    codes = (model.operator_codes[op.opcode_index] for op in model.subgraphs[0].operators)
    return Counter(code.name for code in codes)


def converter_counts(data: Path, family: str) -> Counter[str]:
    """How often each operator occurs in what TensorFlow's converter made of `family`."""
    counts = summary(data, family)["tflite"]["operators"]
    return Counter({name.removeprefix("CUSTOM:"): count for name, count in counts.items()})
