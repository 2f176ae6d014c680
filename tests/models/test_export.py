"""The exporter's flags and what they make of the graph."""

import logging
from pathlib import Path

import numpy as np
import pytest

from flatshot.conversion.convert import convert
from flatshot.demo.tiny import PIPELINE, write_tiny_checkpoint
from flatshot.errors import ConfigError, FileError
from flatshot.formats.checkpoint import Checkpoint, write_checkpoint
from flatshot.formats.custom_options import read_options
from flatshot.formats.detector_graph import POSTPROCESS
from flatshot.formats.graphdef import DataType, Graph, Shape
from flatshot.formats.pipeline import read_pipeline
from flatshot.models.detection_config import read_config
from flatshot.models.export import build_graph, export
from tests import litert
from tests.models.configs import Values, built, config, layers, reads, ssd, value, variables

SMALL_NMS = ssd("post_processing { batch_non_max_suppression { max_total_detections: 20 } }")


def test_the_post_processing_node(tiny: Path) -> None:
    """All fourteen attributes, with the types of the original exporter."""
    node = export(tiny, max_detections=100).by_name[POSTPROCESS]
    assert node.inputs == ("raw_outputs/box_encodings", "raw_outputs/class_predictions", "anchors")
    assert node.attrs == {
        "_output_quantized": True,
        "_output_types": [DataType.DT_FLOAT] * 4,
        "_support_output_type_float_in_quantized_op": True,
        "max_detections": 100,
        "max_classes_per_detection": 1,
        "detections_per_class": 100,
        "use_regular_nms": False,
        "nms_score_threshold": pytest.approx(0.3),
        "nms_iou_threshold": pytest.approx(0.6),
        "num_classes": 3,
        "y_scale": 10.0,
        "x_scale": 10.0,
        "h_scale": 5.0,
        "w_scale": 5.0,
    }
    assert isinstance(node.attrs["y_scale"], float)


def test_detections_per_class_and_regular_nms_reach_the_operator(tiny: Path) -> None:
    """The bug of the original exporter, which its README documents: both flags were dropped."""
    graph = export(
        tiny, max_detections=100, detections_per_class=17, use_regular_nms=True,
        max_classes_per_detection=2,
    )  # fmt: skip
    operator = convert(graph).tflite.subgraphs[0].operators[-1]
    assert operator.custom_options is not None
    options = read_options(operator.custom_options)
    assert options["detections_per_class"] == 17
    assert options["use_regular_nms"] is True
    assert options["max_classes_per_detection"] == 2


def test_max_detections_auto(tiny: Path, caplog: pytest.LogCaptureFixture) -> None:
    """It takes the configuration's, and says nothing."""
    graph = export(tiny, config_override=SMALL_NMS, max_detections="auto")
    assert graph.by_name[POSTPROCESS].attrs["max_detections"] == 20
    assert not caplog.records


def test_a_disagreement_about_max_detections_is_told(
    tiny: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The original's default of 10 cuts off nine tenths of what the configuration asks for."""
    graph = export(tiny)
    assert graph.by_name[POSTPROCESS].attrs["max_detections"] == 10
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert "at most 10 detections" in record.message
    assert "max_total_detections: 100" in record.message
    caplog.clear()
    export(tiny, max_detections=100)
    assert not caplog.records


@pytest.mark.parametrize("flag", ["max_classes_per_detection", "detections_per_class"])
@pytest.mark.parametrize("count", [0, 2**31])
def test_counts_out_of_range(tiny: Path, flag: str, count: int) -> None:
    """They are named."""
    with pytest.raises(ConfigError, match=f"{flag} must be at least 1 and fit 32 bits"):
        export(tiny, max_detections=100, **{flag: count})  # type: ignore[arg-type]


def test_without_the_operator(tiny: Path) -> None:
    """Raw outputs and anchors are the loose ends."""
    graph = export(tiny, max_detections=100, add_postprocessing_op=False)
    assert POSTPROCESS not in graph.by_name
    read = {name for node in graph for name in node.inputs}
    ends = {node.name for node in graph if node.name not in read}
    assert ends == {"raw_outputs/box_encodings", "raw_outputs/class_predictions", "anchors"}


@pytest.mark.parametrize("with_op", [True, False])
def test_additional_outputs(tiny: Path, with_op: bool) -> None:
    """They are kept, with the operator and without; one that is not there is named."""
    wanted = "FeatureExtractor/MobilenetV1/MobilenetV1/Conv2d_0/Relu6"
    loose = config()
    graph = build_graph(loose, None, {} if with_op else None, [wanted])
    assert wanted in graph.by_name
    with pytest.raises(ConfigError, match="no node 'x' to keep"):
        export(tiny, max_detections=100, additional_output_tensors=["x"])


def test_moving_averages(tmp_path: Path) -> None:
    """Trained variables come from their shadows, statistics from themselves."""
    write_tiny_checkpoint(tmp_path)
    checkpoint = Checkpoint(tmp_path)
    tensors = {name: checkpoint.read(name) for name in checkpoint}
    statistics = ("moving_mean", "moving_variance", "global_step")
    shadows = {
        f"{name}/ExponentialMovingAverage": tensor + 1
        for name, tensor in tensors.items()
        if not name.endswith(statistics)
    }
    write_checkpoint(tmp_path / "model.ckpt", {**tensors, **shadows})
    on, off = (
        export(
            tmp_path,
            config_override=f"eval_config {{ use_moving_averages: {text} }}",
            max_detections=100,
        )
        for text in ("true", "false")
    )
    assert [n.name for n in on] == [n.name for n in off]
    for name in variables(off):
        np.testing.assert_array_equal(value(off, name), tensors[name])
        np.testing.assert_array_equal(
            value(on, name), tensors[name] + (0 if name.endswith(statistics) else 1)
        )


def test_moving_averages_that_are_not_there(tiny: Path) -> None:
    """Their names are in the message, and the field that asks for them; not those at no fault."""
    reason = r"has no .*weights/ExponentialMovingAverage.*use_moving_averages be false"
    with pytest.raises(ConfigError, match=reason):
        export(tiny, config_override="eval_config { use_moving_averages: true }")


def test_a_checkpoint_that_does_not_fit(tiny: Path) -> None:
    """Other names and other shapes, in one message."""
    override = ssd("num_classes: 5 feature_extractor { num_layers: 6 min_depth: 24 }")
    with pytest.raises(ConfigError) as caught:
        export(tiny, config_override=override)
    assert "the checkpoint lacks FeatureExtractor/" in str(caught.value)
    assert "in the checkpoint FeatureExtractor/MobilenetV1/Conv2d_0/weights is" in str(caught.value)
    assert "more" in str(caught.value)


def test_anchors_and_maps_must_agree() -> None:
    """Their numbers are two fields of the configuration."""
    with pytest.raises(
        ConfigError, match=r"num_layers is 6, but the feature extractor gives 4 maps"
    ):
        built(ssd("feature_extractor { num_layers: 4 }"))


def test_where_the_configuration_is(tiny: Path, tmp_path: Path) -> None:
    """Beside the checkpoint, or where one says; if it is nowhere, the flag is named."""
    write_tiny_checkpoint(tmp_path / "a")
    (tmp_path / "a/pipeline.config").rename(tmp_path / "other.config")
    with pytest.raises(FileError, match="--pipeline_config_path"):
        export(tmp_path / "a", max_detections=100)
    graph = export(tmp_path / "a/model.ckpt", tmp_path / "other.config", max_detections=100)
    assert graph.to_bytes() == export(tiny, max_detections=100).to_bytes()


@pytest.mark.parametrize(
    ("converter", "ops"),
    [("IDENTITY", "Identity"), ("SIGMOID", "Sigmoid"), ("SOFTMAX", "Softmax")],
)
def test_score_converters(converter: str, ops: str) -> None:
    """Each is an operator after the division by logit_scale."""
    graph = built(ssd(f"post_processing {{ score_converter: {converter} }}"))
    (node,) = reads(graph, "raw_outputs/class_predictions")
    assert (node.name, node.op) == ("convert_scores", ops)
    (scaled,) = reads(graph, "convert_scores")
    assert (scaled.name, scaled.op) == ("scale_logits", "Mul")


def _run(graph: Graph, image: np.ndarray) -> list[np.ndarray]:
    return litert.run(convert(graph, cut=True).to_bytes(), image)


def test_converters_and_logit_scale_compute_what_they_say(rng: np.random.Generator) -> None:
    """Softmax and sigmoid of the same logits, halved by logit_scale 2."""
    image = rng.uniform(-1, 1, (1, 96, 96, 3)).astype(np.float32)
    graphs = {}
    for text in ("IDENTITY", "SIGMOID", "SOFTMAX", "SIGMOID logit_scale: 2"):
        settings = config(ssd(f"post_processing {{ score_converter: {text} }}"))
        source = Values(variables(build_graph(settings, None)))
        graphs[text] = _run(build_graph(settings, source), image)[1].astype(np.float64)
    logits = graphs["IDENTITY"]
    powers = np.exp(logits - logits.max(axis=-1, keepdims=True))
    # LiteRT computes the exponential functions in float32: seven digits of numbers up to 1
    atol = 1e-6
    sums = powers.sum(axis=-1, keepdims=True)
    np.testing.assert_allclose(graphs["SIGMOID"], 1 / (1 + np.exp(-logits)), atol=atol, rtol=0)
    np.testing.assert_allclose(graphs["SOFTMAX"], powers / sums, atol=atol, rtol=0)
    halved = graphs["SIGMOID logit_scale: 2"]
    np.testing.assert_allclose(halved, 1 / (1 + np.exp(-logits / 2)), atol=atol, rtol=0)


@pytest.mark.parametrize(("height", "width"), [(96, 160), (128, 64)])
@pytest.mark.parametrize("grayscale", ["true", "false"])
@pytest.mark.parametrize("kind", ["ssd_mobilenet_v1", "ssd_mobilenet_v2"])
def test_inputs_of_any_size(height: int, width: int, grayscale: str, kind: str) -> None:
    """Not square, and of one channel; as many anchors as the maps have places for."""
    resizer = f"height: {height} width: {width} convert_to_grayscale: {grayscale}"
    graph = built(
        ssd(f"image_resizer {{ fixed_shape_resizer {{ {resizer} }} }}"),
        ssd(f'feature_extractor {{ type: "{kind}" }}'),
    )
    channels = 1 if grayscale == "true" else 3
    image = np.zeros((1, height, width, channels), np.float32)
    declared = graph.by_name["normalized_input_image_tensor"].attrs["shape"]
    assert declared == Shape(image.shape)
    boxes, scores = _run(graph, image)
    rows = value(graph, "anchors").shape[0]
    assert boxes.shape == (1, rows, 4)
    assert scores.shape == (1, rows, 4)
    grids = [(-(-height // step), -(-width // step)) for step in (16, 32, 64, 128, 256, 512)]
    counts = [3, 6, 6, 6, 6, 6]
    assert rows == sum(y * x * n for (y, x), n in zip(grids, counts, strict=True))


def test_one_layer(rng: np.random.Generator) -> None:
    """A single map needs no concatenation, and runs."""
    graph = built(layers(1))
    assert "ConcatV2" not in {node.op for node in graph}
    boxes, _ = _run(graph, rng.uniform(-1, 1, (1, 96, 96, 3)).astype(np.float32))
    assert boxes.shape == (1, 6 * 6 * 3, 4)


def test_the_text_that_the_original_readme_greps(tiny: Path, tmp_path: Path) -> None:
    """`grep -A 3 use_regular_nms tflite_graph.pbtxt`."""
    export(tiny, max_detections=100, use_regular_nms=True).save(tmp_path)
    lines = (tmp_path / "tflite_graph.pbtxt").read_text().splitlines()
    at = next(number for number, line in enumerate(lines) if "use_regular_nms" in line)
    assert lines[at : at + 4] == [
        '    key: "use_regular_nms"',
        "    value {",
        "      b: true",
        "    }",
    ]


def test_an_old_configuration_is_taken(tmp_path: Path) -> None:
    """`batch_norm_trainable` of 2018 has no effect."""
    old = PIPELINE.replace("min_depth: 8", "min_depth: 8 batch_norm_trainable: true")
    assert config(pipeline=old) == config()
    write_tiny_checkpoint(tmp_path, old)
    export(tmp_path, max_detections=100)


def test_too_many_anchors_are_refused() -> None:
    """A configuration whose anchors would fill the memory is refused with their number."""
    ratios = " ".join(["aspect_ratios: 1.0"] * 90)
    text = PIPELINE.replace("height: 96 width: 96", "height: 16384 width: 16384").replace(
        "aspect_ratios: 1.0", ratios
    )
    with pytest.raises(ConfigError, match=r"makes \d+ anchors; 4194304 are the limit"):
        build_graph(read_config(read_pipeline(text)), None)
