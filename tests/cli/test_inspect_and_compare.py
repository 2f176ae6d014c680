"""`flatshot inspect` and `flatshot compare`."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from flatshot.cli.main import run

Capture = pytest.CaptureFixture[str]


@pytest.fixture(scope="module")
def models(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the graph and the models of the tiny detector."""
    folder = tmp_path_factory.mktemp("models")
    assert run(["export", str(tiny), "-o", str(folder)]) == 0
    assert run(["convert", str(tiny), "-o", str(folder / "detect.tflite")]) == 0
    assert run(["convert", str(tiny), "-o", str(folder / "cut.tflite"), "--cut"]) == 0
    return folder


@pytest.mark.parametrize(
    ("name", "says"),
    [
        (
            "{models}/detect.tflite",
            ["TensorFlow Lite model, detector", "CONV_2D", "max_detections"],
        ),
        ("{models}/cut.tflite", ["raw_outputs/box_encodings", "anchors"]),
        (
            "{models}/tflite_graph.pb",
            ["frozen TensorFlow graph", "FusedBatchNormV3", "64 operators"],
        ),
        ("{models}/tflite_graph.pbtxt", ["frozen TensorFlow graph", "348"]),
        ("{tiny}", ["TensorFlow checkpoint, V2", "200"]),
        ("{tiny}/model.ckpt", ["TensorFlow checkpoint, V2"]),
        ("{tiny}/model.ckpt.index", ["TensorFlow checkpoint, V2"]),
        ("{tiny}/checkpoint", ["TensorFlow checkpoint, V2"]),
        ("{tiny}/pipeline.config", ["pipeline.config", "ssd_mobilenet_v1", "anchors"]),
    ],
)
def test_inspect_says_what_a_file_is(
    models: Path, tiny: Path, capsys: Capture, name: str, says: list[str]
) -> None:
    """Each kind of file is recognised, in words and as JSON."""
    path = name.format(models=models, tiny=tiny)
    capsys.readouterr()
    assert run(["inspect", path]) == 0
    text = capsys.readouterr().out
    assert all(word in text for word in says)
    assert run(["inspect", path, "--json"]) == 0
    figures = json.loads(capsys.readouterr().out)
    assert figures["kind"] in text
    assert figures["parameters"] > 0


def test_inspect_lists_operators_and_tensors(models: Path, capsys: Capture) -> None:
    """The lists have a line for each operator and each tensor."""
    capsys.readouterr()
    assert run(["inspect", str(models / "detect.tflite"), "--operators", "--tensors"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert sum("CONV_2D" in line and "DEPTHWISE" not in line for line in lines) == 34
    assert sum(line.startswith("float32") for line in lines) == 176 - 13


@pytest.mark.parametrize("name", ["nothing", "nothing.tflite", "empty", "noise.tflite", "noise.pb"])
def test_inspect_refuses_what_it_does_not_know(tmp_path: Path, capsys: Capture, name: str) -> None:
    """What is missing or unknown is an error of one line."""
    (tmp_path / "empty").touch()
    (tmp_path / "noise.tflite").write_bytes(bytes(range(256)))
    (tmp_path / "noise.pb").write_bytes(bytes(range(256)))
    assert run(["inspect", str(tmp_path / name)]) == 1
    assert capsys.readouterr().err.startswith("flatshot: error: ")


def test_a_model_is_no_different_from_itself(models: Path, capsys: Capture) -> None:
    """Compared with itself, every difference is 0."""
    path = str(models / "detect.tflite")
    assert run(["compare", path, path, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert len(found["outputs"]) == 4
    assert len(found["tensors"]) == 63
    assert {row["largest"] for row in [*found["outputs"], *found["tensors"]]} == {0.0}
    assert found["only"] == [0, 0]


def test_a_difference_is_found_and_the_worst_comes_first(
    tiny: Path, models: Path, tmp_path: Path, capsys: Capture
) -> None:
    """A changed logit scale shows in the scores and in nothing before them."""
    changed = tmp_path / "changed.tflite"
    override = "model { ssd { post_processing { logit_scale: 2.0 } } }"
    assert run(["convert", str(tiny), "-o", str(changed), "--config_override", override]) == 0
    image = tmp_path / "image.png"
    pixels = np.random.default_rng(1).integers(0, 256, (50, 70, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(image)
    arguments = ["compare", str(models / "detect.tflite"), str(changed), "--image", str(image)]
    capsys.readouterr()
    assert run([*arguments, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["tensors"][0]["name"] == "convert_scores"
    assert found["tensors"][0]["largest"] > 0
    assert all(row["largest"] == 0 for row in found["tensors"][1:])
    assert run(arguments) == 0
    assert "convert_scores" in capsys.readouterr().out


def test_compare_needs_two_models(models: Path, tmp_path: Path, capsys: Capture) -> None:
    """A file that is no model is named."""
    bad = tmp_path / "bad.tflite"
    bad.write_bytes(b"nothing of the kind")
    assert run(["compare", str(models / "detect.tflite"), str(bad)]) == 1
    assert "not a TensorFlow Lite model" in capsys.readouterr().err
