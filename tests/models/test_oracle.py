"""The graphs that are built here against those of the official exporter, on real data."""

import ast
import hashlib
import json
import re
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from flatshot.formats.checkpoint import Checkpoint, read_index
from flatshot.formats.detector_graph import POSTPROCESS
from flatshot.formats.graphdef import Attr, DataType, Graph, Node, Shape
from flatshot.formats.pipeline import load_pipeline
from flatshot.models.detection_config import read_config
from flatshot.models.export import _postprocess_attrs, build_graph, export
from tests import families

# What the original README changes in the configuration.
OVERRIDE = """
model { ssd { post_processing { batch_non_max_suppression {
  score_threshold: 0.3 iou_threshold: 0.6 max_detections_per_class: 100 max_total_detections: 100
} } } }
"""


@pytest.fixture(scope="module")
def exported(data: Path) -> Graph:
    """The graph of the real checkpoint, with the options of the oracle's."""
    return export(
        data / "ssd_mobilenet_v1_0.75_coco",
        config_override=OVERRIDE,
        max_detections=100,
        use_regular_nms=True,
    )


def _text(value: Attr) -> str:
    """An attribute as protobuf prints an AttrValue."""
    if isinstance(value, list):
        return "".join(["list {\n", *(f"  {_text(item)}\n" for item in value), "}"])
    if isinstance(value, Shape):
        assert value.dims is not None
        dims = "".join(f"  dim {{\n    size: {size}\n  }}\n" for size in value.dims)
        return f"shape {{\n{dims}}}"
    if isinstance(value, bool):
        return f"b: {str(value).lower()}"
    if isinstance(value, DataType):
        return f"type: {value.name}"
    if isinstance(value, bytes):
        return f's: "{value.decode()}"'
    return f"{'i' if isinstance(value, int) else 'f'}: {value}"


def _describe(node: Node) -> tuple[str, list[str], Any]:
    """Operator, inputs, and attributes; of a constant, element type and shape."""
    value = node.attrs.get("value")
    if isinstance(value, np.ndarray):
        return node.op, [], f"{value.dtype}{list(value.shape)}"
    return node.op, list(node.inputs), {key: _text(item) for key, item in node.attrs.items()}


def _read_oracle(path: Path) -> dict[str, tuple[str, list[str], Any]]:
    nodes = {}
    for line in path.read_text().splitlines():
        name, op, inputs, rest = line.split(" | ", 3)
        attrs: Any = rest
        if op != "Const":
            quoted = re.findall(r"(\w+)=('(?:[^'\\]|\\.)*')", rest)
            attrs = {key: ast.literal_eval(value) for key, value in quoted}
        nodes[name] = (op, ast.literal_eval(inputs), attrs)
    return nodes


def test_nodes_are_the_exporters(data: Path, exported: Graph) -> None:
    """All 564 nodes: names, operators, inputs, attributes; shapes and types of constants."""
    want = _read_oracle(data / "oracle/tflite_graph_nodes.txt")
    assert len(want) == 564
    assert {node.name: _describe(node) for node in exported} == want


def test_nodes_stand_in_an_order_that_can_run(exported: Graph) -> None:
    """Each node comes after those that it reads; the custom operator is the last."""
    seen: set[str] = set()
    for node in exported:
        assert seen.issuperset(node.inputs)
        seen.add(node.name)
    assert exported.nodes[-1].name == POSTPROCESS


def test_anchors_are_the_exporters_to_the_last_bit(data: Path, exported: Graph) -> None:
    """All 7,668 values."""
    with np.load(data / "oracle/raw_outputs.npz") as oracle:
        want = oracle["anchors"]
    got = exported.by_name["anchors"].attrs["value"]
    assert isinstance(got, np.ndarray)
    assert got.tobytes() == want.tobytes()


def test_weights_are_the_checkpoints(data: Path, exported: Graph) -> None:
    """Every variable of the checkpoint is in the graph, bit for bit."""
    checkpoint = Checkpoint(data / "ssd_mobilenet_v1_0.75_coco")
    names = set(checkpoint) - {"global_step"}
    assert {n.name for n in exported if f"{n.name}/read" in exported.by_name} == names
    for name in names:
        value = exported.by_name[name].attrs["value"]
        assert isinstance(value, np.ndarray)
        assert value.tobytes() == checkpoint.read(name).tobytes()


class _Zeros:
    """Variables of an index file with zeros for values, which notes what is asked for."""

    def __init__(self, index: Path) -> None:
        self.shapes = {name: v.shape for name, v in read_index(index.read_bytes())[1].items()}
        self.asked: set[str] = set()

    def __contains__(self, name: object) -> bool:
        return name in self.shapes

    def read(self, name: str) -> npt.NDArray[Any]:
        self.asked.add(name)
        return np.broadcast_to(np.float32(0), self.shapes[name])


@pytest.mark.parametrize(
    "name",
    [
        "ssd_mobilenet_v1_coco_2018_01_28",
        "ssd_mobilenet_v2_coco_2018_03_29",
        "ssdlite_mobilenet_v2_coco_2018_05_09",
    ],
)
def test_published_checkpoints_fit(data: Path, name: str) -> None:
    """No variable of a zoo checkpoint is missing or of another shape, and none is left over."""
    folder = data / "zoo" / name
    variables = _Zeros(folder / "model.ckpt.index")
    graph = build_graph(read_config(load_pipeline(folder / "pipeline.config")), variables)
    assert set(variables.shapes) - variables.asked == {"global_step"}
    assert len(variables.asked) == sum(f"{node.name}/read" in graph.by_name for node in graph)


@pytest.mark.parametrize("family", families.FAMILIES)
def test_families(data: Path, family: str) -> None:
    """Every variable is used; nodes, anchors and input are those of the official exporter."""
    variables = families.variables(data, family)
    graph = families.build(data, family, variables)
    summary = json.loads((data / "families" / family / "summary.json").read_text())
    assert set(variables.shapes) - variables.read_names == {"global_step"}
    counts = Counter(node.op for node in graph if node.op != POSTPROCESS)
    assert counts == summary["nodes"]
    anchors = graph.by_name["anchors"].attrs["value"]
    assert isinstance(anchors, np.ndarray)
    assert anchors.shape == (summary["anchors"], 4)
    assert hashlib.sha256(anchors.tobytes()).hexdigest() == summary["anchors_sha256"]
    image = graph.by_name["normalized_input_image_tensor"].attrs["shape"]
    assert image == Shape(tuple(summary["input"]))


@pytest.mark.parametrize("family", families.FAMILIES)
def test_options_of_families(data: Path, family: str) -> None:
    """The operator's options follow from the configuration and two flags."""
    folder = data / "families" / family
    config = read_config(load_pipeline(folder / "pipeline.config"))
    got = _postprocess_attrs(config, 100, 1, 100, use_regular_nms=True)
    want = json.loads((folder / "summary.json").read_text())["options"]
    assert got.pop("_output_types") == [DataType.DT_FLOAT] * 4
    del want["_output_types"]  # a list, which the summary does not keep
    assert got == want
