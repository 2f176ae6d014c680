"""The whole road for TensorFlow 2's detectors, against TensorFlow 2.8 and its own converter."""

import hashlib
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from flatshot.cli.convert import command
from flatshot.compiler.compile import Model
from flatshot.conversion.convert import convert
from flatshot.errors import ConfigError
from flatshot.formats import normalization, tflite
from flatshot.formats.checkpoint import Checkpoint
from flatshot.formats.detector_graph import ANCHORS, POSTPROCESS
from flatshot.formats.graphdef import Array, Graph
from flatshot.formats.pipeline import load_pipeline
from flatshot.models.detection_config import read_config
from flatshot.models.export import build_graph, export
from flatshot.models.keras_names import KerasVariables
from tests import families2, litert

EVERY = [
    *families2.QUICK,
    *(pytest.param(name, marks=pytest.mark.slow) for name in families2.LARGE),
]
# The convolutions whose filter serves five maps and whose norm does not. We keep one filter and
# multiply and add for each map, as TOCO does; TensorFlow 2's converter writes a filter for each.
SHARED = {
    "small_resnet50_fpn": 10,
    "ssd_efficientdet_d0_512x512_fixed": 30,
    "ssd_mobilenet_v2_fpnlite_320x320_coco17": 20,
    "ssd_resnet50_v1_fpn_640x640_coco17": 40,
    "tiny_fpnlite": 10,
}
# Layers of the checkpoint that no map is made of.
UNUSED = ("top_", "logits")


@pytest.fixture(scope="module", params=EVERY)
def family(request: pytest.FixtureRequest) -> str:
    """The name of a detector."""
    name: str = request.param
    return name


@pytest.fixture(scope="module")
def folder(data: Path, family: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Its directory."""
    return families2.build(data, family, tmp_path_factory.mktemp("zoo"))


@pytest.fixture(scope="module")
def graph(folder: Path) -> Graph:
    """Its graph."""
    return export(folder, max_detections=100)


@pytest.fixture(scope="module")
def model(graph: Graph) -> Model:
    """Its model, cut before the post-processing operator."""
    return convert(graph, cut=True)


def constant(graph: Graph, name: str) -> np.ndarray:
    """The value of a constant."""
    value = graph.by_name[name].attrs["value"]
    assert isinstance(value, np.ndarray)
    return value


def test_anchors_are_tensorflows(data: Path, family: str, graph: Graph) -> None:
    """To the last bit."""
    digest = hashlib.sha256(constant(graph, ANCHORS).astype("<f4").tobytes()).hexdigest()
    want = families2.summary(data, family)["anchors"]
    assert list(constant(graph, ANCHORS).shape) == want["shape"]
    assert digest == want["sha256_float32_center_form"]


class Asked(KerasVariables):
    """Counts how often each variable is read."""

    def __init__(self, checkpoint: Checkpoint) -> None:
        super().__init__(checkpoint)
        self.counts: Counter[str] = Counter()

    def read(self, name: str) -> Array:
        """The value of a variable."""
        self.counts[name] += 1
        return super().read(name)


def test_every_variable_is_used(folder: Path) -> None:
    """Each is read once, and the networks have none that the checkpoint lacks."""
    asked = Asked(Checkpoint(folder))
    build_graph(read_config(load_pipeline(folder / "pipeline.config")), asked)
    there = {name for name in asked if not name.startswith(("save_counter", *UNUSED))}
    assert {name for name, count in asked.counts.items() if count == 1} == there


def test_raw_outputs_are_tensorflows(data: Path, family: str, model: Model) -> None:
    """Within twice what TensorFlow differs from its own TensorFlow Lite model.

    Weights by rule make deep networks amplify rounding; on trained ones it is a hundredth of that.
    """
    summary = families2.summary(data, family)
    want = families2.raw_outputs(data, family)
    boxes, scores = litert.run(model.to_bytes(), families2.normalized(data, family))
    rows, limits = want["rows"], summary["tflite_vs_tf"]
    box_error = np.abs(boxes[0][rows] - want["box_encodings"]).max()
    score_error = np.abs(scores[0][rows] - want["class_predictions"]).max()
    assert box_error <= 2 * limits["box_max"]
    assert score_error <= 2 * limits["score_max"]


def test_operators_are_the_converters(data: Path, family: str, graph: Graph) -> None:
    """Kind by kind, but for shared filters.

    And for EfficientDet's weighted sums, which TensorFlow's converter unrolls to single products.
    """
    ours = families2.operator_counts(convert(graph).tflite)
    want = families2.converter_counts(data, family)
    shared = SHARED.get(family, 0)
    want.update(Counter({"MUL": shared, "ADD": shared}) if shared else Counter())
    if "efficientdet" not in family:
        assert ours == want
        return
    assert want.total() > 21_000
    assert ours.total() < 700
    # What is no combination of maps and no resampling is the same.
    for kind in ("CONV_2D", "DEPTHWISE_CONV_2D", "LOGISTIC", "MAX_POOL_2D", "MEAN"):
        assert ours[kind] == want[kind]
    assert ours["RESIZE_NEAREST_NEIGHBOR"] == 12


def test_pixels_are_normalised_as_in_training(data: Path, family: str, model: Model) -> None:
    """A Detector reads it in the model; the usual way needs no word."""
    facts = families2.summary(data, family)["preprocessed"]
    found = families2.normalized(data, family)[0, 0, 0]
    np.testing.assert_allclose(found, facts["first_pixel"], rtol=1e-6)
    records = {entry.name: model.tflite.buffers[entry.buffer] for entry in model.tflite.metadata}
    if normalization.NAME not in records:
        assert families2.summary(data, family).get("normalisation", "mobilenet") == "mobilenet"
        return
    record = records[normalization.NAME].data
    assert record is not None
    scale, offset = normalization.read_normalization(bytes(record), 3)
    values = np.array(facts["x_first_pixel"]) * np.array(scale) + np.array(offset)
    np.testing.assert_allclose(values, facts["first_pixel"], rtol=1e-5)


def test_a_threshold_is_not_printed_to_nothing(graph: Graph) -> None:
    """TensorFlow 2's exporter writes 1e-8 as 0.000000, and leaves `detections_per_class` out."""
    attrs = graph.by_name[POSTPROCESS].attrs
    assert attrs["nms_score_threshold"] == pytest.approx(1e-8)
    assert attrs["detections_per_class"] == 100


@pytest.fixture(scope="module")
def trained(data: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Training folders: with momentum, and with moving averages as well."""
    place = tmp_path_factory.mktemp("training")
    names = ("tiny_fpnlite_train_momentum", "tiny_fpnlite_train_ema")
    return {name: families2.build(data, name, place) for name in names}


@pytest.mark.parametrize(
    ("name", "averages", "suffix"),
    [
        ("tiny_fpnlite_train_momentum", None, ""),
        ("tiny_fpnlite_train_ema", None, ""),
        ("tiny_fpnlite_train_ema", True, "_averaged"),
    ],
)
def test_a_training_checkpoint_gives_its_network(
    data: Path, trained: dict[str, Path], name: str, averages: bool | None, suffix: str
) -> None:
    """Slots are passed over; plain weights by default, averages on demand."""
    want = families2.raw_outputs(data, name)
    model = convert(export(trained[name], use_moving_averages=averages), cut=True)
    image = families2.normalized(data, "tiny_fpnlite")
    boxes, scores = litert.run(model.to_bytes(), image)
    limits = families2.summary(data, "tiny_fpnlite")["tflite_vs_tf"]
    box_error = np.abs(boxes[0] - want[f"box_encodings{suffix}"]).max()
    score_error = np.abs(scores[0] - want[f"class_predictions{suffix}"]).max()
    assert box_error <= 2 * limits["box_max"]
    assert score_error <= 2 * limits["score_max"]


def test_averages_that_are_not_there_are_missed_by_name(trained: dict[str, Path]) -> None:
    """With what to do, and not with the advice for a wrong configuration."""
    with pytest.raises(ConfigError, match=r"has no Conv1/kernel/average.*--nouse_moving_averages"):
        export(trained["tiny_fpnlite_train_momentum"], use_moving_averages=True)


def test_plain_weights_are_said_aloud_where_there_are_averages(
    trained: dict[str, Path], caplog: pytest.LogCaptureFixture
) -> None:
    """Once, and not where there are none."""
    for name, count in (("tiny_fpnlite_train_ema", 1), ("tiny_fpnlite_train_momentum", 0)):
        caplog.clear()
        export(trained[name], max_detections="auto")
        assert caplog.text.count("the plain weights are taken") == count


def test_the_other_tensorflows_configuration_is_refused_by_name(data: Path) -> None:
    """A checkpoint of one and a network of the other have no variable in common."""
    case = data / "cases" / "21-checkpoint-of-tensorflow-2"
    with pytest.raises(ConfigError, match="network of TensorFlow 1: give the pipe"):
        export(case)
    config = data / "families2" / "tiny_fpnlite" / "pipeline.config"
    with pytest.raises(ConfigError, match="a checkpoint of TensorFlow 1, and feature_extractor"):
        export(data / "ssd_mobilenet_v1_0.75_coco", config)


def test_the_model_file_is_read_back(model: Model) -> None:
    """What was written is a model of the same operators."""
    assert len(tflite.read_model(bytes(model.to_bytes())).subgraphs[0].operators) > 50


def test_convert_takes_averages_on_demand(trained: dict[str, Path], tmp_path: Path) -> None:
    """The whole way from the command line, under the names of TensorFlow 2's exporter."""
    place = str(trained["tiny_fpnlite_train_ema"])
    models = []
    for extra in ([], ["--use_moving_averages"]):
        path = tmp_path / "a.tflite"
        result = CliRunner().invoke(
            command,
            [
                *("--trained_checkpoint_dir", place, "-o", str(path)),
                *("--ssd_use_regular_nms", "--max_detections", "auto", *extra),
            ],
        )
        assert result.exit_code == 0, result.output
        models.append(path.read_bytes())
    assert models[0] != models[1]
    assert models[1] == bytes(
        convert(
            place,
            use_moving_averages=True,
            postprocess={"use_regular_nms": True, "max_detections": "auto"},
        ).to_bytes()
    )


def test_the_order_of_tensorflow_2_on_demand(graph: Graph, data: Path, family: str) -> None:
    """Its signature and its list of outputs; the numbers are the same."""
    from ai_edge_litert.interpreter import Interpreter

    image = families2.normalized(data, family)
    plain = litert.run(convert(graph).to_bytes(), image)
    boxes, classes, scores, count = plain
    model = bytes(convert(graph, output_order="tf2").to_bytes())
    for found, want in zip(litert.run(model, image), (scores, boxes, count, classes), strict=True):
        np.testing.assert_array_equal(found, want)
    runner = Interpreter(model_content=model).get_signature_runner("serving_default")
    named = runner(input=image)
    shapes = [named[f"output_{number}"].shape for number in range(4)]
    assert shapes == [value.shape for value in (count, scores, classes, boxes)]


def test_raw_outputs_have_no_order_of_detections(graph: Graph) -> None:
    """What cannot be honoured is an error, as are averages of a graph."""
    with pytest.raises(ConfigError, match="order of TensorFlow 2 is one of detections"):
        convert(graph, cut=True, output_order="tf2")
    with pytest.raises(ConfigError, match="use_moving_averages is for a checkpoint"):
        convert(graph, use_moving_averages=True)
