"""Small valid files, and what is done with a file of each kind: the whole way, results dropped."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

import flatshot
from flatshot.demo.tiny import PIPELINE
from flatshot.formats import graphdef, tflite
from flatshot.formats.checkpoint import Checkpoint, write_checkpoint
from flatshot.formats.graphdef import DataType, Graph, Node, Shape
from flatshot.formats.pipeline import read_pipeline
from flatshot.inspection.inspect import inspect
from flatshot.models.detection_config import read_config
from flatshot.models.export import build_graph

FLOAT = DataType.DT_FLOAT
OP = "TFLite_Detection_PostProcess"
BOXES, CLASSES = "raw_outputs/box_encodings", "raw_outputs/class_predictions"


def constant(name: str, value: npt.ArrayLike, dtype: npt.DTypeLike = np.float32) -> Node:
    """A constant node."""
    array = np.asarray(value, dtype)
    return Node(name, "Const", (), {"dtype": graphdef.DATA_TYPES[array.dtype], "value": array})


def placeholder(*dims: int) -> Node:
    """The input `x`."""
    return Node("x", "Placeholder", (), {"dtype": FLOAT, "shape": Shape(dims)})


def graph() -> Graph:
    """A detector in miniature: each operator that detectors are made of."""
    conv: dict[str, Any] = {"strides": [1, 2, 2, 1], "padding": b"SAME", "data_format": b"NHWC"}
    options: dict[str, Any] = {
        "_output_types": [FLOAT] * 4,
        "max_detections": 3,
        "num_classes": 3,
        "use_regular_nms": True,
        "nms_iou_threshold": 0.5,
    }
    return Graph(
        (
            placeholder(1, 4, 4, 2),
            constant("w", np.linspace(-1, 1, 8).reshape(1, 1, 2, 4)),
            *(constant(name, [1, 2, 3, 4]) for name in ("gamma", "beta", "mean", "var", "bias")),
            Node("conv", "Conv2D", ("x", "w"), conv),
            Node("bn", "FusedBatchNormV3", ("conv", "gamma", "beta", "mean", "var"), {}),
            Node("relu", "Relu6", ("bn",)),
            Node("add", "BiasAdd", ("relu", "bias")),
            constant("shape", [1, 4, 1, 4], np.int32),
            Node("reshape", "Reshape", ("add", "shape")),
            constant("axis", 1, np.int32),
            Node("concat", "ConcatV2", ("reshape", "reshape", "axis")),
            Node(BOXES, "Squeeze", ("concat",), {"squeeze_dims": [2]}),
            Node(CLASSES, "Sigmoid", (BOXES,)),
            constant("anchors", np.ones((8, 4))),
            Node(OP, OP, (BOXES, CLASSES, "anchors"), options),
        )
    )


def model() -> bytes:
    """A .tflite with custom options, a signature, metadata and a quantized tensor."""
    made = flatshot.convert(graph()).tflite
    made.subgraphs[0].tensors[0].quantization = tflite.Quantization(
        scale=np.ones(1, np.float32), zero_point=np.zeros(1, np.int64)
    )
    made.metadata.append(tflite.Metadata("note", 1))
    return bytes(tflite.write_model(made))


def use_model(path: Path) -> None:
    """Inspect, read every constant, write."""
    inspect(path)
    read = tflite.read_model(path.read_bytes())
    for part in read.subgraphs:
        for tensor in part.tensors:
            tflite.constant(read, tensor)
    tflite.write_model(read)


def use_graph(path: Path) -> None:
    """Inspect, write, convert."""
    inspect(path)
    read = flatshot.load_graph(path)
    read.to_bytes()
    flatshot.convert(read).to_bytes()


def use_checkpoint(path: Path) -> None:
    """Inspect, read every variable; `path` is one of its files."""
    prefix = path.with_name("m")
    inspect(prefix)
    found = Checkpoint(prefix)
    for name in found:
        found.read(name)


def use_pipeline(path: Path) -> None:
    """Inspect, build the graph."""
    inspect(path)
    build_graph(read_config(read_pipeline(path.read_bytes())), None)


USES: dict[str, Callable[[Path], None]] = {
    "model.tflite": use_model,
    "graph.pb": use_graph,
    "graph.pbtxt": use_graph,
    "m.index": use_checkpoint,
    "m.data-00000-of-00001": use_checkpoint,
    "pipeline.config": use_pipeline,
}


def write_all(folder: Path) -> None:
    """Each file of `USES`, valid."""
    (folder / "model.tflite").write_bytes(model())
    (folder / "graph.pb").write_bytes(graph().to_bytes())
    (folder / "graph.pbtxt").write_bytes(b"".join(graph().to_text()))
    (folder / "pipeline.config").write_text(PIPELINE)
    write_checkpoint(
        folder / "m",
        {"a/w": np.ones((2, 2), np.float32), "a/b": np.array(3), "a/c": np.array([True])},
    )
