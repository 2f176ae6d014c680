"""A frozen detector is shown as what it is."""

from pathlib import Path

import pytest

import flatshot
from flatshot.compiler.frozen.description import feature_extractor
from flatshot.formats.graphdef import Graph
from flatshot.inspection.inspect import inspect
from tests.compiler.graphs import conv, graph, placeholder
from tests.compiler.graphs import node as make
from tests.frozen.exporter import Style, freeze


@pytest.fixture(scope="module")
def exported(tiny: Path) -> Graph:
    """The detector as `flatshot.export` gives it."""
    return flatshot.export(tiny, use_regular_nms=True, max_detections=100)


def test_a_detector(exported: Graph, tmp_path: Path) -> None:
    """Its input, heads, anchors, post-processing, and that it converts."""
    path = tmp_path / "frozen_inference_graph.pb"
    path.write_bytes(freeze(exported, Style(loop=True)).to_bytes())
    found = inspect(path)
    assert found.kind == "frozen TensorFlow graph (GraphDef), detector"
    assert [(value.name, value.dtype) for value in found.inputs] == [("image_tensor", "uint8")]
    assert [value.name for value in found.outputs] == ["num_detections"]
    facts = found.facts
    assert facts["feature extractor"] == "MobilenetV1"
    assert facts["classes"] == "3"
    assert facts["network input"] == "Preprocessor/sub, 96 x 96, 3 channels"
    assert facts["box encodings"] == "Squeeze"
    assert facts["class predictions"] == "convert_scores, 4 columns, column 0 the background"
    assert facts["score converter"] == "Sigmoid"
    assert facts["anchors"] == str(exported.by_name["anchors"].attrs["value"].shape[0])  # type: ignore[union-attr]
    assert facts["box coder"].endswith("10, 10, 5, 5")
    assert "score threshold 0.25, IoU threshold 0.55, a class 70, in all 90" in facts["suppression"]
    assert "operators" in facts["as TensorFlow Lite"]
    assert found.postprocess["max_detections"] == 90


def test_no_detector(tmp_path: Path) -> None:
    """The reason is a line among the facts, not an error."""
    path = tmp_path / "classifier.pb"
    path.write_bytes(graph(placeholder("x", 3), make("end", "Softmax", "x")).to_bytes())
    found = inspect(path)
    assert "detector" not in found.kind
    assert "looks like a classifier's end" in found.facts["as TensorFlow Lite"]


@pytest.mark.parametrize(
    ("names", "text"),
    [
        (["a/MobilenetV2/Conv", "BoxEncodingPredictor_depthwise/w"], "MobilenetV2, SSDLite"),
        (["x/mobile_net_v2fpn/conv"], "mobile_net_v2, feature pyramid"),
        (["n0001"], "not to be told from names"),
    ],
)
def test_extractors_are_told_by_names(names: list[str], text: str) -> None:
    """Nothing else says what the backbone is called."""
    found = graph(placeholder("x", 1), *(conv(name, "x", "w") for name in names))
    assert feature_extractor(found).startswith(text)
