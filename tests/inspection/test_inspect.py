"""What is seen in a file of each kind."""

import json
from pathlib import Path

import pytest

from flatshot.compiler.compile import Model
from flatshot.conversion.convert import convert
from flatshot.errors import FileError, FormatError
from flatshot.formats.graphdef import Graph
from flatshot.inspection.inspect import as_json, inspect, inspect_model
from tests.compiler.graphs import graph, placeholder
from tests.compiler.graphs import node as make


def test_a_model(tiny_model: Model, tmp_path: Path) -> None:
    """Inputs, outputs, operators with cost and shapes, tensors, options."""
    path = tiny_model.save(tmp_path / "a.tflite")
    seen = inspect(path)
    assert seen.kind == "TensorFlow Lite model, detector with post-processing"
    (image,) = seen.inputs
    assert (image.name, image.dtype, image.shape) == (
        "normalized_input_image_tensor",
        "float32",
        (1, 96, 96, 3),
    )
    assert len(seen.outputs) == 4
    assert seen.operator_counts == {
        "CONV_2D": 34,
        "DEPTHWISE_CONV_2D": 13,
        "RESHAPE": 13,
        "CONCATENATION": 2,
        "LOGISTIC": 1,
        "TFLite_Detection_PostProcess": 1,
    }
    first = seen.operators[0]
    assert first.inputs == ((1, 96, 96, 3), (8, 3, 3, 3), (8,))
    assert first.outputs == ((1, 48, 48, 8),)
    assert first.arithmetic_ops == 48 * 48 * 8 * (2 * 27 + 1)
    assert len(seen.tensors) == 176
    assert seen.postprocess["use_regular_nms"] is True
    assert seen.arithmetic_ops == sum(op.arithmetic_ops for op in seen.operators)
    assert seen.bytes is not None
    assert seen.parameters is not None
    assert seen.bytes == 4 * seen.parameters
    assert seen.peak_memory == tiny_model.log.memory.peak
    assert seen.facts["signatures"] == "serving_default"


@pytest.mark.parametrize("suffix", [".pb", ".pbtxt"])
def test_a_graph(tiny_graph: Graph, tmp_path: Path, suffix: str) -> None:
    """Its nodes, and what it would be as TensorFlow Lite."""
    tiny_graph.save(tmp_path)
    seen = inspect(tmp_path / f"tflite_graph{suffix}")
    assert seen.kind == "frozen TensorFlow graph (GraphDef)"
    assert seen.operator_counts["FusedBatchNormV3"] == 35
    assert seen.inputs[0].shape == (1, 96, 96, 3)
    assert seen.postprocess["detections_per_class"] == 100
    assert seen.facts["as TensorFlow Lite"].startswith("64 operators")


def test_a_graph_that_cannot_be_converted(tmp_path: Path) -> None:
    """It is described all the same, with the reason."""
    source = graph(placeholder("x", 3), make("y", "Erf", "x"))
    (tmp_path / "a.pb").write_bytes(source.to_bytes())
    seen = inspect(tmp_path / "a.pb")
    assert [tensor.name for tensor in seen.outputs] == ["y"]
    assert seen.facts["as TensorFlow Lite"].startswith("no: ")


def test_a_checkpoint(tiny: Path) -> None:
    """By directory, by prefix, by its index and by its state file."""
    seen = inspect(tiny)
    assert seen.kind == "TensorFlow checkpoint, V2 (TensorBundle)"
    assert "global_step" in {tensor.name for tensor in seen.tensors}
    assert seen.facts["data files"] == "1"
    assert seen.facts["moving averages"] == "none"
    for name in ("model.ckpt", "model.ckpt.index", "checkpoint"):
        assert inspect(tiny / name).tensors == seen.tensors


def test_a_checkpoint_without_its_data(data: Path) -> None:
    """The index alone tells names and shapes; the file that is missing is named."""
    seen = inspect(data / "zoo/ssd_mobilenet_v1_coco_2018_01_28/model.ckpt.index")
    assert len(seen.tensors) == 200
    assert seen.facts["data files"].endswith("data-00000-of-00001 missing")


def test_a_configuration(tiny: Path, tiny_model: Model) -> None:
    """What it would build, weights or not."""
    seen = inspect(tiny / "pipeline.config")
    assert seen.kind == "pipeline.config of the TensorFlow Object Detection API"
    assert seen.facts["feature extractor"] == "ssd_mobilenet_v1"
    assert seen.facts["classes"] == "3"
    # 6 x 6 cells of 3, then 3 x 3, 2 x 2 and three single ones of 6
    assert seen.facts["anchors"] == str(36 * 3 + (9 + 4 + 3) * 6)
    assert seen.arithmetic_ops == tiny_model.log.arithmetic_ops


def test_a_configuration_that_is_not_supported(tiny: Path, tmp_path: Path) -> None:
    """The reason is a fact like others."""
    text = (tiny / "pipeline.config").read_text().replace("ssd_mobilenet_v1", "ssd_vgg")
    (tmp_path / "pipeline.config").write_text(text)
    assert "'ssd_vgg' is not built yet" in inspect(tmp_path / "pipeline.config").facts["supported"]


def test_googles_quantised_model(data: Path) -> None:
    """A model that others made, with its quantisation."""
    seen = inspect(data / "ssd_mobilenet_v1_0.75_coco_quant/detect.tflite")
    assert seen.inputs[0].dtype == "uint8"
    assert seen.inputs[0].quantization == "scale 0.0078125, zero point 128"
    assert seen.postprocess["max_detections"] == 10
    assert seen.operator_counts["CONV_2D"] == 34


def test_files_without_a_telling_name(tiny: Path, tiny_model: Model, tmp_path: Path) -> None:
    """Content decides."""
    (tmp_path / "a.bin").write_bytes(tiny_model.to_bytes())
    assert inspect(tmp_path / "a.bin").kind.startswith("TensorFlow Lite")
    (tmp_path / "b.txt").write_bytes((tiny / "pipeline.config").read_bytes())
    assert inspect(tmp_path / "b.txt").kind.startswith("pipeline.config")


def test_what_is_nothing_of_these(tmp_path: Path) -> None:
    """Or is not there."""
    (tmp_path / "a.jpg").write_bytes(b"\xff\xd8\xff")
    with pytest.raises(FormatError, match=r"neither a \.tflite, a GraphDef"):
        inspect(tmp_path / "a.jpg")
    for name in ("a.tflite", "a.pb", "a.config"):
        with pytest.raises(FileError, match=name):
            inspect(tmp_path / name)
    (tmp_path / "a.tflite").write_bytes(b"nothing")
    with pytest.raises(FormatError, match=r"a\.tflite"):
        inspect(tmp_path / "a.tflite")


def test_json(tiny_graph: Graph) -> None:
    """Every field is plain enough for JSON, operators counted."""
    seen = inspect_model(convert(tiny_graph, cut=True).to_bytes())
    record = json.loads(json.dumps(as_json(seen)))
    assert record["operator_counts"]["CONV_2D"] == 34
    assert record["facts"]["metadata"] == "anchors, TFLite_Detection_PostProcess"
    assert record["inputs"][0]["shape"] == [1, 96, 96, 3]
