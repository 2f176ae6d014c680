"""`flatshot export`."""

import re
from pathlib import Path

import pytest

from flatshot.cli.main import run
from flatshot.formats.graph_files import load_graph

Capture = pytest.CaptureFixture[str]
OVERRIDE = (
    "model { ssd { post_processing { batch_non_max_suppression { score_threshold: 0.25 "
    "iou_threshold: 0.5 max_detections_per_class: 7 max_total_detections: 9 } } } }"
)


def options(folder: Path) -> dict[str, object]:
    """The attributes of the post-processing operator of the exported graph."""
    return dict(
        load_graph(folder / "tflite_graph.pb").by_name["TFLite_Detection_PostProcess"].attrs
    )


def test_a_directory_is_enough(tiny: Path, tmp_path: Path, capsys: Capture) -> None:
    """`flatshot export DIR -o OUT` writes both files and prints their paths."""
    assert run(["export", str(tiny), "-o", str(tmp_path / "out")]) == 0
    paths = capsys.readouterr().out.split()
    assert [Path(path).name for path in paths] == ["tflite_graph.pb", "tflite_graph.pbtxt"]
    assert all(Path(path).is_file() for path in paths)


def test_the_flags_of_the_original_script(tiny: Path, tmp_path: Path, capsys: Capture) -> None:
    """The original README's command line works word for word, `--input_type` with a notice."""
    code = run(
        [
            "export",
            "--input_type",
            "image_tensor",
            "--pipeline_config_path",
            str(tiny / "pipeline.config"),
            "--trained_checkpoint_prefix",
            str(tiny / "model.ckpt"),
            "--output_directory",
            str(tmp_path),
            "--add_postprocessing_op=true",
            "--use_regular_nms=true",
            "--config_override",
            OVERRIDE,
        ]
    )
    assert code == 0
    assert "--input_type image_tensor has no effect" in capsys.readouterr().err
    found = options(tmp_path)
    assert found["use_regular_nms"] is True
    assert found["detections_per_class"] == 100
    assert found["nms_score_threshold"] == 0.25
    assert found["nms_iou_threshold"] == 0.5


def test_grep_finds_the_option_as_in_the_original_readme(tiny: Path, tmp_path: Path) -> None:
    """`grep -A 3 use_regular_nms tflite_graph.pbtxt` prints the four lines of the original."""
    assert run(["export", str(tiny), "-o", str(tmp_path), "--use_regular_nms"]) == 0
    lines = (tmp_path / "tflite_graph.pbtxt").read_text().splitlines()
    at = next(n for n, line in enumerate(lines) if "use_regular_nms" in line)
    assert lines[at : at + 4] == [
        '    key: "use_regular_nms"',
        "    value {",
        "      b: true",
        "    }",
    ]


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        (["--use_regular_nms"], True),
        (["--use_regular_nms=true"], True),
        (["--use_regular_nms=1"], True),
        (["--use-regular-nms"], True),
        (["--nouse_regular_nms"], False),
        (["--use_regular_nms=False"], False),
        (["--use_regular_nms=f"], False),
        ([], False),
    ],
)
def test_booleans_in_the_style_of_absl(
    tiny: Path, tmp_path: Path, flags: list[str], expected: bool
) -> None:
    """Each spelling of a boolean reaches the operator, and nothing else does in its place."""
    assert run(["export", str(tiny), "-o", str(tmp_path), "--detections_per_class=42", *flags]) == 0
    assert options(tmp_path)["use_regular_nms"] is expected
    assert options(tmp_path)["detections_per_class"] == 42


@pytest.mark.parametrize(
    "arguments",
    [
        ["--use_regular_nms", "false"],
        ["--use_regular_nms=maybe"],
        ["--max_detections", "many"],
        ["--no_such_flag"],
        ["--trained_checkpoint_prefix", "x"],
    ],
)
def test_misuse_exits_2(tiny: Path, tmp_path: Path, arguments: list[str], capsys: Capture) -> None:
    """What the original tools misread in silence is refused, and nothing is written."""
    assert run(["export", str(tiny), "-o", str(tmp_path / "out"), *arguments]) == 2
    assert "Error" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_limits_that_disagree_are_said(tiny: Path, tmp_path: Path, capsys: Capture) -> None:
    """The config's max_total_detections is compared with the flag, and `auto` takes it."""
    assert run(["export", str(tiny), "-o", str(tmp_path)]) == 0
    assert re.search(r"at most 10 .* max_total_detections: 100", capsys.readouterr().err)
    assert options(tmp_path)["max_detections"] == 10
    assert run(["export", str(tiny), "-o", str(tmp_path), "--max_detections=auto"]) == 0
    assert "max_total_detections" not in capsys.readouterr().err
    assert options(tmp_path)["max_detections"] == 100


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["{tmp}/nothing"], "no checkpoint at"),
        (["{tiny}", "--pipeline_config_path", "{tmp}/nothing"], "No such file"),
        (["{tiny}", "--config_override", "model { ssd { num_classes: x } }"], "line 1, column"),
        (["{tiny}", "--config_override", "model { ssd { num_clases: 3 } }"], "num_clases"),
        (["{tiny}", "--config_override", "model { ssd { num_classes: 4 } }"], "BoxPredictor_0"),
        (["{tiny}", "--max_detections", "0"], "max_detections must be at least 1"),
    ],
)
def test_bad_input_is_one_line_and_writes_nothing(
    tiny: Path, tmp_path: Path, capsys: Capture, arguments: list[str], says: str
) -> None:
    """Bad input exits 1 with one line that says what is wrong, and leaves no file behind."""
    filled = [
        text.replace("{tiny}", str(tiny)).replace("{tmp}", str(tmp_path)) for text in arguments
    ]
    assert run(["export", *filled, "-o", str(tmp_path / "out")]) == 1
    *_, line = capsys.readouterr().err.strip().splitlines()
    assert line.startswith("flatshot: error: ")
    assert says in line
    assert not (tmp_path / "out").exists()
