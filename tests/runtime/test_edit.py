"""Detectors changed in their files: settings, labels, metadata, with and without the operator."""

import io
import zipfile
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

import flatshot
from flatshot.cli.main import run
from flatshot.compiler.compile import Model
from flatshot.errors import ConfigError, FlatshotError, ModelError
from flatshot.formats import tflite
from flatshot.formats.model_metadata import NAME, ModelMetadata, read_model_metadata
from flatshot.runtime.anatomy import read_anatomy
from flatshot.runtime.edit import edit, packed_files
from flatshot.runtime.quantize import quantize

Capture = pytest.CaptureFixture[str]


@pytest.fixture(scope="module")
def model(tiny_model: Model) -> bytes:
    """The file of the tiny detector."""
    return bytes(tiny_model.to_bytes())


@pytest.fixture(scope="module")
def picture() -> npt.NDArray[np.uint8]:
    """Any pixels."""
    return np.random.default_rng(1).integers(0, 256, (96, 96, 3), dtype=np.uint8)


def _described(data: bytes) -> ModelMetadata:
    read = tflite.read_model(data)
    (entry,) = (entry for entry in read.metadata if entry.name == NAME)
    content = read.buffers[entry.buffer].data
    assert content is not None
    return read_model_metadata(content.tobytes())


def test_settings(model: bytes) -> None:
    """What is asked for changes, and all else stays, byte for byte where it can."""
    edited = edit(model, max_detections=7, score_threshold=0.25)
    before, after = read_anatomy(model).options, read_anatomy(edited).options
    assert before is not None
    assert after == {**before, "max_detections": 7, "nms_score_threshold": 0.25}
    # but for the place where the options lie
    assert sum(a != b for a, b in zip(model, edited, strict=False)) <= 4


def test_labels(model: bytes, picture: npt.NDArray[np.uint8]) -> None:
    """Behind the model in a stored archive, and named in the metadata."""
    edited = edit(model, labels=["cat", "dog", "cow"])
    with zipfile.ZipFile(io.BytesIO(edited)) as archive:
        (entry,) = archive.infolist()
        assert (entry.filename, entry.compress_type) == ("labels.txt", zipfile.ZIP_STORED)
        assert archive.read(entry) == b"cat\ndog\ncow\n"
    category = _described(edited).subgraphs[0].outputs[1]
    assert [(file.name, file.type) for file in category.associated_files] == [("labels.txt", 3)]
    found = flatshot.Detector(edited, score_threshold=1e-8)(picture)
    assert found.names is not None
    assert set(found.names) <= {"cat", "dog", "cow"}
    assert edit(model, labels=["cat", "dog", "cow"]) == edited
    again = edit(edited, max_detections=3)
    assert packed_files(again) == {"labels.txt": b"cat\ndog\ncow\n"}
    assert packed_files(edit(edited, labels=["x"])) == {"labels.txt": b"x\n"}


def test_labels_stay_when_a_model_is_quantised(model: bytes) -> None:
    """And the metadata says what the new input is."""
    labelled = edit(model, labels=["cat", "dog", "cow"])
    pictures = [np.full((96, 96, 3), grey, np.uint8) for grey in (0, 100, 255)]
    small = bytes(quantize(labelled, pictures, input_type="uint8").to_bytes())
    assert packed_files(small) == packed_files(labelled)
    assert _described(labelled).subgraphs[0].inputs[0].process_units
    assert not _described(small).subgraphs[0].inputs[0].process_units


def test_every_detector_describes_itself(model: bytes) -> None:
    """Input, four outputs, no labels."""
    graph = _described(model).subgraphs[0]
    (image,) = graph.inputs
    options = image.process_units[0].options
    np.testing.assert_allclose([options.mean[0], options.std[0]], 127.5, rtol=1e-6)
    names = [output.name for output in graph.outputs]
    assert names == ["location", "category", "score", "number of detections"]
    assert graph.outputs[0].content is not None
    assert graph.outputs[0].content.properties.index.tolist() == [1, 0, 3, 2]


def test_the_operator_goes_and_comes_back(model: bytes, picture: npt.NDArray[np.uint8]) -> None:
    """The same detections each way."""
    want = flatshot.Detector(model, score_threshold=1e-8, postprocess="op")(picture)
    cut = edit(model, cut=True, max_detections=50)
    assert read_anatomy(cut).operator is None
    assert flatshot.Detector(cut).settings.max_detections == 50
    anchors = read_anatomy(cut).anchors
    whole = edit(cut, anchors=anchors, max_detections=100)
    assert read_anatomy(whole).operator is not None
    got = flatshot.Detector(whole, score_threshold=1e-8, postprocess="op")(picture)
    np.testing.assert_array_equal(got.boxes, want.boxes)
    np.testing.assert_array_equal(got.scores, want.scores)
    other = flatshot.Detector(edit(cut, iou_threshold=0.3))
    assert other.settings.nms_iou_threshold == np.float32(0.3)


def test_what_cannot_be(model: bytes) -> None:
    """Each reason is told."""
    anchors = read_anatomy(model).anchors
    cut = edit(model, cut=True)
    for arguments, data, error, message in (
        ({"cut": True, "anchors": anchors}, model, ConfigError, "give one"),
        ({"anchors": anchors}, model, ConfigError, "has a post-processing operator already"),
        ({"cut": True}, cut, ConfigError, "no post-processing operator to drop"),
        ({"labels": ["a\nb"]}, model, FlatshotError, "several lines"),
        ({"labels": ["a"]}, cut, ModelError, "--anchors puts one in"),
        ({"max_detections": -1}, model, ConfigError, "max_detections"),
        ({"anchors": np.zeros((3, 4))}, cut, ConfigError, "anchors have shape"),
    ):
        with pytest.raises(error, match=message):
            edit(data, **arguments)


def test_the_command(model: bytes, tmp_path: Path, capsys: Capture) -> None:
    """Files in, a file out; nothing to do is misuse."""
    place, out = tmp_path / "in.tflite", tmp_path / "out.tflite"
    place.write_bytes(model)
    labels = tmp_path / "labels.txt"
    labels.write_text("cat\ndog\ncow\n")
    assert run(["edit", str(place), "-o", str(out), "--max-detections", "5"]) == 0
    assert flatshot.Detector(out).settings.max_detections == 5
    assert run(["edit", str(place), "-o", str(out), "--labels", str(labels)]) == 0
    assert "labels.txt" in packed_files(out.read_bytes())
    cut = tmp_path / "cut.tflite"
    assert run(["edit", str(place), "-o", str(cut), "--cut"]) == 0
    assert run(["edit", str(cut), "-o", str(out), "--anchors", "carried"]) == 0
    assert run(["edit", str(place), "-o", str(out)]) == 2
    assert run(["edit", str(cut), "-o", str(out), "--anchors", str(labels)]) == 1
    assert "no array of anchors" in capsys.readouterr().err


def test_foreign_models(data: Path) -> None:
    """TOCO's files: settings, labels, the operator dropped; the same detections as before."""
    content = (data / "oracle/toco_detect_regular.tflite").read_bytes()
    image = sorted((data / "coco_val2017_310/val2017").glob("*.jpg"))[0]
    want = flatshot.Detector(content)(image)
    for edited in (edit(content, cut=True), edit(content, labels=["person"] * 90)):
        got = flatshot.Detector(edited)(image)
        np.testing.assert_array_equal(got.boxes, want.boxes)
    assert flatshot.Detector(edit(content, max_detections=3)).settings.max_detections == 3
