"""`flatshot convert`."""

import json
from pathlib import Path

import numpy as np
import pytest

from flatshot.cli.main import run
from flatshot.formats import tflite
from flatshot.runtime.detector import Detector
from tests import litert

Capture = pytest.CaptureFixture[str]
POSTPROCESS = "TFLite_Detection_PostProcess"
DETECTIONS = [POSTPROCESS, *(f"{POSTPROCESS}:{number}" for number in (1, 2, 3))]
RAW = ["raw_outputs/box_encodings", "raw_outputs/class_predictions"]


def outputs(path: Path) -> list[str]:
    """The names of the model's outputs."""
    graph = tflite.read_model(path.read_bytes()).subgraphs[0]
    return [graph.tensors[number].name for number in tflite.indices(graph.outputs)]


@pytest.fixture(scope="module")
def graph(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder with the exported graph of the tiny detector."""
    folder = tmp_path_factory.mktemp("graph")
    assert run(["export", str(tiny), "-o", str(folder), "--use_regular_nms"]) == 0
    return folder


def test_the_whole_way_in_one_command(tiny: Path, graph: Path, tmp_path: Path) -> None:
    """From a checkpoint's directory comes the same model as from the exported graph.

    `export` has the official default of 10 detections; `convert` takes the configuration's number.
    """
    direct, stepwise = tmp_path / "direct.tflite", tmp_path / "stepwise.tflite"
    line = ["convert", str(tiny), "-o", str(direct), "--use_regular_nms"]
    assert run([*line, "--max_detections", "10"]) == 0
    assert run(["convert", str(graph / "tflite_graph.pb"), "-o", str(stepwise)]) == 0
    assert direct.read_bytes() == stepwise.read_bytes()


def test_the_configuration_says_how_many(tiny: Path, tmp_path: Path, capsys: Capture) -> None:
    """As many detections as max_total_detections, no warning, and the suppression in a line."""
    out = tmp_path / "detect.tflite"
    for flags, held, other in (
        ([], "fast NMS, 100 detections", "regular NMS (--use_regular_nms) would find more"),
        (["--use_regular_nms", "--max_detections", "7"], "regular NMS, 7 detections", "fast NMS"),
    ):
        assert run(["convert", str(tiny), "-o", str(out), *flags]) == 0
        err = capsys.readouterr().err
        assert f"the file holds {held} an image from a score of 0.3; {other}" in err
        assert ("at most 10" in err) is False
    assert Detector(out).settings.max_detections == 7
    assert run(["convert", str(tiny), "-o", str(out), "--cut"]) == 0
    assert "the file holds" not in capsys.readouterr().err


def test_text_and_binary_graphs_are_the_same(graph: Path, tmp_path: Path) -> None:
    """A .pbtxt gives the model that its .pb gives."""
    binary, text = tmp_path / "binary.tflite", tmp_path / "text.tflite"
    assert run(["convert", str(graph / "tflite_graph.pb"), "-o", str(binary)]) == 0
    assert run(["convert", str(graph / "tflite_graph.pbtxt"), "-o", str(text)]) == 0
    assert binary.read_bytes() == text.read_bytes()


def test_option_1_of_the_original_readme(graph: Path, tmp_path: Path, capsys: Capture) -> None:
    """TOCO's command line gives detect.tflite, with quotes in the names, and TOCO's log."""
    names = ",".join(f"'{name}'" for name in DETECTIONS)
    out = tmp_path / "detect.tflite"
    code = run(
        [
            "convert",
            f"--input_file={graph / 'tflite_graph.pb'}",
            f"--output_file={out}",
            "--input_shapes=1,96,96,3",
            "--input_arrays=normalized_input_image_tensor",
            f"--output_arrays={names}",
            "--inference_type=FLOAT",
            "--allow_custom_ops",
        ]
    )
    assert code == 0
    assert outputs(out) == DETECTIONS
    log = capsys.readouterr().err
    assert "Before Removing unused ops: 500 operators, 754 arrays (0 quantized)" in log
    assert "After general graph transformations pass 1: 64 operators, 176 arrays" in log
    assert "theoretical optimal value: " in log
    assert "(note that a multiply-add is counted as 2 ops)" in log


def test_option_2_of_the_original_readme(graph: Path, tmp_path: Path) -> None:
    """The raw outputs can be asked for by name or with --cut, and the same model comes."""
    named, cut = tmp_path / "named.tflite", tmp_path / "cut.tflite"
    source = str(graph / "tflite_graph.pb")
    assert run(["convert", source, "-o", str(named), f"--output_arrays={','.join(RAW)}"]) == 0
    assert run(["convert", source, "-o", str(cut), "--cut"]) == 0
    assert outputs(named) == RAW
    assert named.read_bytes() == cut.read_bytes()


def test_both_models_agree(tiny: Path, tmp_path: Path, rng: np.random.Generator) -> None:
    """What the cut model gives is what the operator of the whole model is fed with."""
    whole, cut = tmp_path / "whole.tflite", tmp_path / "cut.tflite"
    auto = ["--max_detections", "auto", "--config_override"]
    low = "model { ssd { post_processing { batch_non_max_suppression { score_threshold: 0 } } } }"
    assert run(["convert", str(tiny), "-o", str(whole), *auto, low]) == 0
    assert run(["convert", str(tiny), "-o", str(cut), "--cut", *auto, low]) == 0
    image = rng.uniform(-1, 1, (1, 96, 96, 3)).astype(np.float32)
    _, classes, scores, count = litert.run(whole.read_bytes(), image)
    _, predictions = litert.run(cut.read_bytes(), image)
    assert count[0] > 0
    # The best detection is the best prediction that is not the background.
    assert scores[0, 0] == predictions[0, :, 1:].max()
    assert classes[0, 0] == predictions[0, :, 1:].max(axis=0).argmax()


def test_json_has_the_figures(tiny: Path, tmp_path: Path, capsys: Capture) -> None:
    """`--json` prints the log's figures on stdout and nothing else."""
    out = tmp_path / "detect.tflite"
    assert run(["convert", str(tiny), "-o", str(out), "--json"]) == 0
    figures = json.loads(capsys.readouterr().out)
    assert figures["path"] == str(out)
    assert figures["imported"] == {"operators": 500, "arrays": 754, "quantized": 0}
    assert figures["converted"] == {"operators": 64, "arrays": 176, "quantized": 0}
    file = tmp_path / "figures.json"
    assert run(["convert", str(tiny), "-o", str(out), "--json", str(file)]) == 0
    assert capsys.readouterr().out == f"{out}\n"
    assert json.loads(file.read_text()) == figures


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["{graph}/nothing.pb"], 1, "No such file"),
        (["{graph}/tflite_graph.pb", "--output_arrays=nothing"], 1, "no node 'nothing'"),
        (["{graph}/tflite_graph.pb", "--input_shapes=1,64,64,3"], 1, "not [1, 64, 64, 3]"),
        (["{graph}/tflite_graph.pb", "--input_arrays=nothing"], 1, "'nothing'"),
        (["{tiny}", "--inference_type=QUANTIZED_UINT8"], 1, "does not have MinMax information"),
        (["{tiny}/pipeline.config"], 1, "neither a checkpoint"),
        (["{graph}/tflite_graph.pb", "--config_override=x"], 1, "this one is exported already"),
        (["{graph}/tflite_graph.pb", "--max_detections=0"], 1, "max_detections is 0"),
        (["{graph}/tflite_graph.pb", "--nms_iou_threshold=2"], 1, "nms_iou_threshold is 2.0"),
        (["{graph}/tflite_graph.pb", "--input_shapes=big"], 2, "1,300,300,3"),
        (["{tiny}", "--cut", "--output_arrays=x"], 2, "give one"),
        ([], 2, "give one input"),
    ],
)
def test_bad_input_is_refused_and_nothing_lost(
    graph: Path,
    tiny: Path,
    tmp_path: Path,
    capsys: Capture,
    arguments: list[str],
    code: int,
    says: str,
) -> None:
    """Bad input exits 1, misuse 2; a model that was there before stays as it was."""
    out = tmp_path / "detect.tflite"
    out.write_bytes(b"before")
    filled = [text.format(graph=graph, tiny=tiny) for text in arguments]
    assert run(["convert", *filled, "-o", str(out)]) == code
    assert says in capsys.readouterr().err
    assert out.read_bytes() == b"before"
    assert list(tmp_path.iterdir()) == [out]
