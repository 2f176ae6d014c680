"""SavedModels of TensorFlow 2, functions and all, against TensorFlow and the checkpoint's road."""

import hashlib
from pathlib import Path

import numpy as np
import pytest

from flatshot.compiler.frozen.cut import cut_frozen
from flatshot.conversion.convert import convert
from flatshot.conversion.sources import open_source
from flatshot.formats.detector_graph import ANCHORS, INPUT, POSTPROCESS
from flatshot.formats.graph_files import load_graph
from flatshot.formats.graphdef import Graph
from flatshot.formats.normalization import ATTRIBUTE, read_normalization
from flatshot.inspection.inspect import inspect
from flatshot.models.export import export
from tests import families2, litert

EFFICIENTDET = pytest.param("ssd_efficientdet_d0_512x512_fixed", marks=pytest.mark.slow)
FAMILIES = (
    "tiny_fpnlite",
    "tiny_ssd_v2",
    "small_resnet50_fpn",
    pytest.param("ssd_mobilenet_v2_320x320_coco17", marks=pytest.mark.slow),
    EFFICIENTDET,
)


@pytest.fixture(scope="module", params=FAMILIES)
def family(request: pytest.FixtureRequest) -> str:
    """The name of a detector."""
    name: str = request.param
    return name


@pytest.fixture(scope="module")
def place(data: Path, family: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What exporter_main_v2 made of it, with nothing but the SavedModel."""
    return families2.build(data, family, tmp_path_factory.mktemp("zoo"), saved=True)


@pytest.fixture(scope="module")
def detector(place: Path) -> Graph:
    """The detector in it; size, pixels and settings are read from the graph alone."""
    return cut_frozen(open_source(place / "saved_model"))


def _image(graph: Graph, shape: tuple[int, ...]) -> families2.Float32:
    """The pixels whose raw outputs are known, as the graph says they are normalised."""
    record = graph.by_name[INPUT].attrs.get(ATTRIBUTE)
    numbers: tuple[tuple[float, ...], tuple[float, ...]] = ((2 / 255,), (-1.0,))
    if isinstance(record, bytes):
        numbers = read_normalization(record, shape[3])
    scale, offset = (np.array(part, np.float32) for part in numbers)
    return np.asarray(families2.picture(shape) * scale + offset, np.float32)


def test_anchors_are_tensorflows(data: Path, family: str, detector: Graph) -> None:
    """To the last bit, as the graph computes them."""
    anchors = detector.by_name[ANCHORS].attrs["value"]
    assert isinstance(anchors, np.ndarray)
    digest = hashlib.sha256(anchors.astype("<f4").tobytes()).hexdigest()
    assert digest == families2.summary(data, family)["anchors"]["sha256_float32_center_form"]


def test_raw_outputs_are_tensorflows(data: Path, family: str, detector: Graph) -> None:
    """Within twice what TensorFlow differs from its own TensorFlow Lite model."""
    summary = families2.summary(data, family)
    want = families2.raw_outputs(data, family)
    image = _image(detector, tuple(summary["input"]))
    known = summary["preprocessed"]["first_pixel"]
    np.testing.assert_allclose(image[0, 0, 0], known, rtol=1e-6)
    boxes, scores = litert.run(convert(detector, cut=True).to_bytes(), image)
    rows, limits = want["rows"], summary["tflite_vs_tf"]
    assert np.abs(boxes[0][rows] - want["box_encodings"]).max() <= 2 * limits["box_max"]
    assert np.abs(scores[0][rows] - want["class_predictions"]).max() <= 2 * limits["score_max"]


@pytest.mark.parametrize(
    "family", ["tiny_fpnlite", "small_resnet50_fpn", EFFICIENTDET], indirect=True
)
def test_what_the_exporter_for_tensorflow_lite_left_gives_the_same(
    data: Path,
    family: str,
    detector: Graph,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """To the last bit; its pixels are guessed by the names of its layers, which is said aloud."""
    place = families2.build_intermediate(data, family, tmp_path)
    ours = open_source(place)
    assert "does not say how its pixels are normalised" in caplog.text
    shape = tuple(families2.summary(data, family)["input"])
    image = _image(detector, shape)
    # Products of the same numbers, rounded in another order: a unit of the largest, 2.6.
    np.testing.assert_allclose(_image(ours, shape), image, rtol=1e-6, atol=2**-22)
    one, other = (litert.run(convert(g, cut=True).to_bytes(), image) for g in (detector, ours))
    for got, want in zip(one, other, strict=True):
        np.testing.assert_array_equal(got, want)
    options = dict(ours.by_name[POSTPROCESS].attrs)
    assert (options["max_detections"], options["use_regular_nms"]) == (100, False)
    assert options["num_classes"] == detector.by_name[POSTPROCESS].attrs["num_classes"]
    model = convert(place, postprocess={"max_detections": 7, "nms": "regular"})
    assert model.tflite.subgraphs[0].outputs is not None


def test_a_folder_with_nothing_but_a_saved_model(data: Path, place: Path, family: str) -> None:
    """As people keep them: the `saved_model` in it is meant."""
    assert len(load_graph(place)) == len(load_graph(place / "saved_model"))


@pytest.mark.parametrize("family", ["tiny_fpnlite"], indirect=True)
def test_inspect_says_what_it_is(data: Path, place: Path, tmp_path: Path) -> None:
    """Its TensorFlow, and what was found; of the exporter for TensorFlow Lite's, the operator."""
    seen = inspect(place)
    assert seen.kind == "SavedModel of TensorFlow 2.8.4, detector"
    assert seen.facts["anchors"] == "2046"
    assert seen.postprocess["max_detections"] == 100
    left = inspect(families2.build_intermediate(data, "tiny_fpnlite", tmp_path))
    assert left.kind.startswith("SavedModel of TensorFlow 2.8.4")
    assert left.postprocess["use_regular_nms"] is False
    assert left.facts["as TensorFlow Lite"].startswith("158 operators")


@pytest.mark.parametrize("family", families2.QUICK[::2], indirect=True)
def test_the_checkpoint_gives_the_same(
    data: Path, family: str, detector: Graph, tmp_path: Path
) -> None:
    """To the last bit, in the same operators."""
    ours = export(families2.build(data, family, tmp_path), max_detections=100)
    shape = tuple(families2.summary(data, family)["input"])
    models = [convert(graph, cut=True) for graph in (detector, ours)]
    one, other = (litert.run(model.to_bytes(), _image(detector, shape)) for model in models)
    for got, want in zip(one, other, strict=True):
        np.testing.assert_array_equal(got, want)
    counts = [families2.operator_counts(model.tflite) for model in models]
    assert counts[0] == counts[1]


def test_settings_are_the_graphs(family: str, detector: Graph) -> None:
    """Of its own suppression, class by class."""
    attrs = detector.by_name[POSTPROCESS].attrs
    assert attrs["use_regular_nms"] is True
    assert attrs["nms_score_threshold"] == pytest.approx(1e-8)
    assert attrs["nms_iou_threshold"] == pytest.approx(0.5 if "efficientdet" in family else 0.6)
    assert (attrs["max_detections"], attrs["detections_per_class"]) == (100, 100)
