"""`flatshot convert` of frozen detectors, with the flags that reach the post-processing."""

from pathlib import Path

import pytest

import flatshot
from flatshot.cli.main import run
from flatshot.formats import tflite
from flatshot.formats.custom_options import read_options
from tests.compiler.graphs import graph, placeholder
from tests.compiler.graphs import node as make
from tests.frozen.exporter import Style, freeze

Capture = pytest.CaptureFixture[str]


@pytest.fixture(scope="module")
def frozen(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with one frozen detector that says all, and one that has no suppression."""
    folder = tmp_path_factory.mktemp("frozen")
    exported = flatshot.export(tiny)
    (folder / "whole.pb").write_bytes(freeze(exported, Style()).to_bytes())
    bare = freeze(exported, Style(suppression="", resize=False))
    (folder / "bare.pb").write_bytes(bare.to_bytes())
    return folder


def _options(path: Path) -> dict[str, object]:
    operator = tflite.read_model(path.read_bytes()).subgraphs[0].operators[-1]
    assert operator.custom_options is not None
    return dict(read_options(operator.custom_options.tobytes()))


def test_a_frozen_detector_becomes_a_model(frozen: Path, tmp_path: Path, capsys: Capture) -> None:
    """With the graph's own settings, and a line on what was found."""
    out = tmp_path / "detect.tflite"
    assert run(["convert", str(frozen / "whole.pb"), "-o", str(out)]) == 0
    assert _options(out)["max_detections"] == 90
    told = capsys.readouterr().err
    assert "the network begins at" in told
    assert "normalisation: 2/255 x - 1" in told


def test_flags_go_before_the_graph(frozen: Path, tmp_path: Path) -> None:
    """Those that are given; `auto` is what the graph says."""
    out = tmp_path / "detect.tflite"
    source = str(frozen / "whole.pb")
    flags = ["--detections_per_class=9", "--nouse_regular_nms", "--max_detections=auto"]
    assert run(["convert", source, "-o", str(out), *flags]) == 0
    options = _options(out)
    assert (options["max_detections"], options["detections_per_class"]) == (90, 9)
    assert options["use_regular_nms"] is False
    assert run(["convert", source, "-o", str(out), "--max_detections", "4"]) == 0
    assert _options(out)["max_detections"] == 4


def test_the_configuration_settles_what_is_open(frozen: Path, tiny: Path, tmp_path: Path) -> None:
    """The size and the settings, with an override."""
    out = tmp_path / "detect.tflite"
    command = ["convert", str(frozen / "bare.pb"), "-o", str(out)]
    config = ["--pipeline_config_path", str(tiny / "pipeline.config")]
    text = (
        "model { ssd { post_processing { batch_non_max_suppression "
        "{ max_total_detections: 33 } } } }"
    )
    assert run([*command, *config, "--config_override", text]) == 0
    assert _options(out)["max_detections"] == 33
    assert run([*command, "--input_shapes", "1,96,96,3"]) == 0
    assert _options(out)["max_detections"] == 100


@pytest.mark.parametrize(
    ("name", "flags", "code", "message"),
    [
        ("bare.pb", [], 1, "--input_shapes"),
        ("bare.pb", ["--config_override", "x"], 1, "config_override changes a configuration"),
        ("classifier.pb", [], 1, "looks like a classifier's end"),
        ("gone.json", [], 1, "gone.json"),
    ],
)
def test_refusals_leave_nothing(
    frozen: Path, tmp_path: Path, capsys: Capture, name: str, flags: list[str], code: int,
    message: str,
) -> None:  # fmt: skip
    """One line, an exit code, no file."""
    classifier = graph(placeholder("x", 3), make("end", "Softmax", "x"))
    (frozen / "classifier.pb").write_bytes(classifier.to_bytes())
    out = tmp_path / "detect.tflite"
    assert run(["convert", str(frozen / name), "-o", str(out), *flags]) == code
    assert message in capsys.readouterr().err
    assert not out.exists()
