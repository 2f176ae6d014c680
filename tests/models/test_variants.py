"""Settings of TensorFlow 1's detectors against what upstream builds of them, node by node."""

import csv
import gzip
import hashlib
import io
import json
import re
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from flatshot.errors import UnsupportedError
from flatshot.formats.graphdef import Graph, Node
from flatshot.formats.pipeline import Pipeline, load_pipeline
from flatshot.models.detection_config import read_config
from flatshot.models.export import build_graph
from tests.conftest import TEST_DATA

FOLDER = Path(TEST_DATA or "nowhere") / "variants"
# What stands in the way of those that are refused.
REFUSED = {
    "v1_gn": "feature_extractor.conv_hyperparams.group_norm",
    "v1_calib_class": "calibration_config.class_id_function_approximations",
}
INDEX: dict[str, Any] = json.loads((FOLDER / "index.json").read_text()) if FOLDER.is_dir() else {}

Description = tuple[str, tuple[int, ...], Any, Any, Any]


class Asked:
    """Variables of any name and shape, zeros all; keeps who was asked for."""

    def __init__(self, shapes: dict[str, tuple[int, ...]]) -> None:
        self.shapes = shapes
        self.names: set[str] = set()

    def __contains__(self, name: object) -> bool:
        return name in self.shapes

    def read(self, name: str) -> Any:
        """Zeros of the variable's shape."""
        self.names.add(name)
        return np.broadcast_to(np.float32(0), self.shapes[name])


def _pipeline(name: str) -> Pipeline:
    entry = INDEX[name]
    pipeline = load_pipeline(FOLDER.parent / entry["base"], entry["config_override"])
    # What upstream built was noted before it was rewritten for quantisation.
    pipeline.ClearField("graph_rewriter")
    pipeline.eval_config.use_moving_averages = False
    return pipeline


def _upstream(name: str) -> dict[str, Any]:
    record: dict[str, Any] = json.loads(_unpacked(f"{name}.json.gz"))
    return record


def _unpacked(file: str) -> str:
    return gzip.decompress((FOLDER / file).read_bytes()).decode()


def _upstream_nodes(name: str) -> dict[str, Description]:
    csv.field_size_limit(sys.maxsize)
    text = _unpacked(f"{name}.nodes.tsv.gz")
    nodes = {}
    for row in csv.reader(io.StringIO(text), delimiter="\t", quoting=csv.QUOTE_NONE):
        node, op, shape, attrs, _, *value = [*row, ""]
        dims = tuple(int(side) for side in shape.split(",") if side)
        known = json.loads(attrs) if attrs else {}
        described = _describe(op, dims, known)
        nodes[node] = (*described[:4], value[0] if op == "Const" else None)
    return nodes


def _describe(op: str, shape: tuple[int, ...], attrs: dict[str, Any]) -> Description:
    epsilon = attrs.get("epsilon")
    padding = attrs.get("padding")
    return (
        "Variable" if op == "VariableV2" else op,
        shape,
        attrs.get("strides"),
        (
            padding.decode() if isinstance(padding, bytes) else padding,
            None if epsilon is None else float(np.float32(epsilon)),
            attrs.get("ksize"),
        ),
        None,
    )


def _ours(graph: Graph) -> dict[str, Description]:
    from flatshot.compiler.importer import Boundary, import_graph

    # The compiler works out all shapes by itself.
    outputs = tuple(node.name for node in graph if node.op not in ("Const", "Placeholder"))
    ir = import_graph(graph, Boundary(outputs=outputs))
    shapes = {value.name: value.shape for op in ir.ops for value in op.outputs}
    nodes = {}
    for node in graph:
        value = node.attrs.get("value")
        if isinstance(value, np.ndarray):
            is_variable = f"{node.name}/read" in graph.by_name
            described = _describe("Variable" if is_variable else "Const", value.shape, {})
            shown = None if is_variable or value.size > 16 else value.tolist()
            nodes[node.name] = (*described[:4], shown)
        else:
            shape = shapes.get(node.name) or _placeholder_shape(node)
            nodes[node.name] = _describe(node.op, shape or (), dict(node.attrs))
    return nodes


def _placeholder_shape(node: Node) -> tuple[int, ...]:
    declared = node.attrs.get("shape")
    return getattr(declared, "dims", None) or ()


def _as_rewritten(nodes: dict[str, Description]) -> dict[str, Description]:
    """Upstream's nodes after the exporter put one operator in the place of upsampling by stacks."""
    found = {}
    for name, node in nodes.items():
        match = re.fullmatch(r"(.*nearest_neighbor_upsampling(_\d+)?)/(.*)", name)
        if match is None:
            found[name] = node
        elif match[3] == "Reshape":
            place = f"{match[1]}/resize_nearest_neighbor"
            found[place] = _describe("ResizeNearestNeighbor", node[1], {})
            size = str(list(node[1][1:3]))
            found[f"{place}/size"] = (*_describe("Const", (2,), {})[:4], size)
    return found


@pytest.mark.parametrize("name", sorted(set(INDEX) - set(REFUSED)))
def test_variants(data: Path, name: str) -> None:
    """Variables, nodes (operator, shape, strides, padding, epsilon) and anchors are upstream's."""
    upstream = _upstream(name)
    shapes = {key: tuple(shape) for key, (_, shape) in upstream["vars"].items()}
    shapes.pop("global_step", None)
    variables = Asked(shapes)
    config = read_config(_pipeline(name))
    graph = build_graph(config, variables)
    assert variables.names == set(shapes)
    anchors = graph.by_name["anchors"].attrs["value"]
    assert isinstance(anchors, np.ndarray)
    assert len(anchors) == upstream["anchors"]
    assert hashlib.sha256(anchors.tobytes()).hexdigest() == upstream["anchors_sha"]
    want = _upstream_nodes(name)
    if "fpn" in config.feature_extractor.given:
        want = _as_rewritten(want)
    got = _ours(graph)
    del got["anchors"]
    for node, (*description, value) in want.items():
        assert node in got, node
        *ours, number = got[node]
        assert ours == description, node
        if value and number is not None and "..." not in value:
            assert np.allclose(number, json.loads(value), rtol=1e-6), node
    assert set(got) == set(want)


@pytest.mark.parametrize("name", sorted(set(REFUSED) & set(INDEX)))
def test_variants_that_are_refused(data: Path, name: str) -> None:
    """By the name of what is not built."""
    with pytest.raises(UnsupportedError, match=REFUSED[name]):
        read_config(_pipeline(name))
