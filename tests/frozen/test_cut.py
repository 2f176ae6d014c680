"""Cutting gives back the detector that was wrapped up, whichever way it was."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import flatshot
from flatshot.compiler.frozen.cut import cut_frozen, dissect
from flatshot.conversion.convert import convert
from flatshot.errors import ConfigError, GraphError
from flatshot.formats import tflite
from flatshot.formats.detector_graph import (
    ANCHORS,
    BOX_ENCODINGS,
    CLASS_PREDICTIONS,
    INPUT,
    POSTPROCESS,
    is_exported,
)
from flatshot.formats.graphdef import Array, Graph, Shape, read_binary
from flatshot.formats.normalization import ATTRIBUTE, NAME
from flatshot.formats.pipeline import load_pipeline, read_pipeline
from tests import litert
from tests.frozen.exporter import Style, freeze, scramble

STYLES = {
    "plain": Style(),
    "loop": Style(loop=True),
    "multiply": Style(division="multiply"),
    "merged": Style(division="merged"),
    "split": Style(parts="Split"),
    "no background": Style(background=False),
    "no suppression": Style(suppression=""),
    "V2": Style(suppression="NonMaxSuppressionV2"),
    "V5": Style(suppression="NonMaxSuppressionV5"),
    "other normalisation": Style(normalisation=(1 / 255, 0.0)),
}


@pytest.fixture(scope="module")
def exported(tiny: Path) -> Graph:
    """The detector as `flatshot.export` gives it."""
    return flatshot.export(tiny, use_regular_nms=True, max_detections=100)


def _raw_outputs(graph: Graph, rng: np.random.Generator) -> list[Array]:
    image = rng.uniform(-1, 1, (1, 96, 96, 3)).astype(np.float32)
    return litert.run(convert(graph, cut=True).to_bytes(), image)


def _anchors(graph: Graph) -> Array:
    value = graph.by_name[ANCHORS].attrs["value"]
    assert isinstance(value, np.ndarray)
    return value


@pytest.mark.parametrize("style", STYLES.values(), ids=STYLES)
@pytest.mark.parametrize("scrambled", [False, True], ids=["named", "scrambled"])
def test_the_detector_comes_back(exported: Graph, style: Style, scrambled: bool) -> None:
    """Raw outputs to the last bit, anchors but for rounding, whatever nodes are called."""
    frozen = freeze(exported, style)
    cut = cut_frozen(scramble(frozen) if scrambled else frozen)
    assert is_exported(cut)
    assert not is_exported(frozen)
    want = _raw_outputs(exported, np.random.default_rng(5))
    got = _raw_outputs(cut, np.random.default_rng(5))
    for one, other in zip(want, got, strict=True):
        np.testing.assert_array_equal(one, other)
    # Corners of 0..1 in float32, subtracted and added again: two roundings of 6e-8 each.
    np.testing.assert_allclose(_anchors(cut), _anchors(exported), rtol=0, atol=3e-7)


def test_the_input_is_static(exported: Graph) -> None:
    """Under its own name, with the size that the graph resizes to."""
    first = cut_frozen(freeze(exported, Style())).by_name[INPUT]
    assert first.op == "Placeholder"
    assert first.attrs["shape"] == Shape((1, 96, 96, 3))
    assert ATTRIBUTE not in first.attrs


def test_nothing_of_the_surroundings_stays(exported: Graph) -> None:
    """No operator that only pre- or post-processing has, no arithmetic on shapes."""
    ops = {node.op for node in cut_frozen(freeze(exported, Style(loop=True)))}
    assert not ops & {"Shape", "StridedSlice", "Pack", "Exp", "Cast", "Enter", "ResizeBilinear"}


def test_settings_are_the_graph_s_own(exported: Graph) -> None:
    """Thresholds, limits and scales are read from its post-processing."""
    for style in (Style(), STYLES["V2"], STYLES["V5"], STYLES["merged"]):
        attrs = cut_frozen(freeze(exported, style)).by_name[POSTPROCESS].attrs
        found = {key: value for key, value in attrs.items() if not key.startswith("_")}
        assert found == {
            "max_detections": 90,
            "max_classes_per_detection": 1,
            "detections_per_class": 70,
            "use_regular_nms": True,
            "nms_score_threshold": 0.25,
            "nms_iou_threshold": float(np.float32(0.55)),
            "num_classes": 3,
            "y_scale": 10.0,
            "x_scale": 10.0,
            "h_scale": 5.0,
            "w_scale": 5.0,
        }


def test_without_a_background_every_column_is_a_class(exported: Graph) -> None:
    """The post-processing takes all columns, so the model has one class more."""
    cut = cut_frozen(freeze(exported, STYLES["no background"]))
    assert cut.by_name[POSTPROCESS].attrs["num_classes"] == 4


def test_given_settings_go_first(exported: Graph) -> None:
    """What the caller says goes before what the graph says."""
    settings = {"max_detections": 7, "use_regular_nms": False}
    attrs = cut_frozen(freeze(exported, Style()), settings=settings).by_name[POSTPROCESS].attrs
    assert (attrs["max_detections"], attrs["use_regular_nms"]) == (7, False)
    assert attrs["detections_per_class"] == 70


def test_the_configuration_fills_in(exported: Graph, tiny: Path) -> None:
    """What a graph without suppression does not say, the configuration does."""
    pipeline = load_pipeline(tiny / "pipeline.config")
    frozen = freeze(exported, replace(STYLES["no suppression"], resize=False))
    cut = cut_frozen(frozen, pipeline)
    attrs = cut.by_name[POSTPROCESS].attrs
    assert attrs["max_detections"] == 100
    assert attrs["nms_score_threshold"] == pytest.approx(0.3)
    assert attrs["use_regular_nms"] is False
    assert cut.by_name[INPUT].attrs["shape"] == Shape((1, 96, 96, 3))


def test_defaults_are_said_aloud(exported: Graph, caplog: pytest.LogCaptureFixture) -> None:
    """Where neither graph nor configuration says anything."""
    cut_frozen(freeze(exported, STYLES["no suppression"]))
    warnings = [r.getMessage() for r in caplog.records if r.levelname == "WARNING"]
    for name in ("max_detections_per_class", "score_threshold", "iou_threshold"):
        assert any(name in text for text in warnings), name


def test_a_configuration_of_another_kind_says_nothing(exported: Graph) -> None:
    """One of a two-stage detector has no sizes for us."""
    pipeline = read_pipeline("model { faster_rcnn { num_classes: 3 } }")
    cut = cut_frozen(freeze(exported, Style()), pipeline)
    assert cut.by_name[INPUT].attrs["shape"] == Shape((1, 96, 96, 3))


def test_the_size_can_be_given(exported: Graph) -> None:
    """It goes before all else: the graph's own shape arithmetic follows it."""
    frozen = freeze(exported, replace(Style(), division="merged"))
    with pytest.raises(GraphError, match="anchors"):
        cut_frozen(frozen, input_shape=(1, 192, 192, 3))  # the anchors are constants for 96
    assert dissect(frozen, input_shape=(1, 96, 96, 3)).input_shape == (1, 96, 96, 3)
    with pytest.raises(ConfigError, match="height, width, channels"):
        cut_frozen(frozen, input_shape=(96, 96, 3))


def test_a_size_that_nobody_knows(exported: Graph) -> None:
    """The message says how to give one."""
    with pytest.raises(GraphError, match="--input_shapes"):
        cut_frozen(freeze(exported, Style(resize=False)))


def test_another_normalisation_stays_with_the_model(exported: Graph) -> None:
    """As an attribute of the graph, through its file, and as metadata of the model."""
    cut = cut_frozen(freeze(exported, STYLES["other normalisation"]))
    again = read_binary(cut.to_bytes())
    record = again.by_name[INPUT].attrs[ATTRIBUTE]
    assert isinstance(record, bytes)
    want = {"scale": [pytest.approx(1 / 255)], "offset": [0.0]}
    assert json.loads(record) == want
    for ends in (False, True):
        model = tflite.read_model(convert(again, cut=ends).to_bytes())
        kept = {item.name: model.buffers[item.buffer].data for item in model.metadata}
        data = kept[NAME]
        assert data is not None
        assert json.loads(bytes(data)) == want


def test_a_plain_input_is_taken_for_the_usual(
    exported: Graph, caplog: pytest.LogCaptureFixture
) -> None:
    """Without preprocessing in the graph there is nothing to read; a warning says so."""
    frozen = freeze(exported, replace(Style(), normalisation=None, resize=False))
    nodes = tuple(node for node in frozen if node.name not in ("ToFloat", "image_tensor"))
    floats = frozen.by_name["FeatureExtractor/image"]
    plain = Graph(
        tuple(
            replace(node, op="Placeholder", inputs=(), attrs={"shape": Shape((1, 96, 96, 3))})
            if node.name == floats.name
            else node
            for node in nodes
        )
    )
    assert ATTRIBUTE not in cut_frozen(plain).by_name[INPUT].attrs
    assert any("no preprocessing" in record.getMessage() for record in caplog.records)


def test_convert_cuts_by_itself(exported: Graph) -> None:
    """`flatshot.convert` takes any frozen detector, with its settings."""
    frozen = freeze(exported, Style())
    model = convert(frozen, postprocess={"max_detections": 5})
    outputs = model.tflite.subgraphs[0].outputs
    assert outputs is not None
    assert outputs.size == 4
    named = convert(frozen, output_arrays=["Squeeze"], input_arrays=["FeatureExtractor/image"],
                    input_shapes=[(1, 96, 96, 3)])  # fmt: skip
    (got,) = litert.run(named.to_bytes(), np.zeros((1, 96, 96, 3), np.float32))
    assert got.shape == (1, _anchors(exported).shape[0], 4)


def test_names_that_are_interfaces_give_way(exported: Graph) -> None:
    """A node of the graph that happens to be called `anchors` is not taken for them."""
    frozen = freeze(exported, Style())
    nodes = []
    for node in frozen:
        inputs = tuple(ANCHORS if text == "Squeeze" else text for text in node.inputs)
        name = ANCHORS if node.name == "Squeeze" else node.name
        nodes.append(replace(node, name=name, inputs=inputs))
    cut = cut_frozen(Graph(tuple(nodes)))
    assert cut.by_name[BOX_ENCODINGS].inputs == (f"{ANCHORS}/of_the_graph",)
    assert cut.by_name[CLASS_PREDICTIONS].inputs == ("convert_scores",)
    np.testing.assert_array_equal(
        _raw_outputs(cut, np.random.default_rng(6))[0],
        _raw_outputs(exported, np.random.default_rng(6))[0],
    )
