"""`flatshot ck`: every Collective Knowledge command of the original README, `ck` renamed only.

The packages that it names are the demo's under those names, as a catalogue of the user's own can
make them: nothing is fetched, and not a letter of the command lines changes.
"""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from flatshot.cli.ck import EXPORT_SCRIPT, parse_line
from flatshot.cli.ck_environment import VARIABLES
from flatshot.cli.main import COMMANDS, run
from flatshot.demo.scenes import write_dataset
from flatshot.demo.tiny import write_tiny_checkpoint
from flatshot.records.store import Records
from tests.cli.test_find_install_env import MAIN
from tests.packages.conftest import catalogue_json, entry_json, part_json

Capture = pytest.CaptureFixture[str]

MODEL_TAGS = "model,tensorflow,mlperf,ssd-mobilenet,non-quantized"
UOA = "mlperf-object-detection-ssd-mobilenet-tflite-accuracy"
BENCHMARK = r"""ck benchmark program:object-detection-tflite {env} \
--repetitions=1 --env.CK_BATCH_SIZE=1 --env.CK_BATCH_COUNT=5000 --env.CK_METRIC_TYPE=COCO \
--record --record_repo=local --record_uoa=mlperf-object-detection-ssd-mobilenet-tflite-accuracy \
--tags=mlperf,object-detection,ssd-mobilenet,tflite,accuracy \
--skip_print_timers --skip_stat_analysis --process_multi_keys"""
RUNS = {
    "regular": "--env.USE_NMS=regular",
    "fast": "--env.USE_NMS=fast",
    "custom": "--env.USE_NMS=fast --env.CUSTOM_MODEL_SETTINGS=yes",
    "low": "--env.USE_NMS=fast \\\n"
    "--env.CUSTOM_MODEL_SETTINGS=yes --env.NMS_SCORE_THRESHOLD=0.00001",
}
SUMMARY = re.compile(
    r"Summary:\n-{31}\n"
    r"Graph loaded in \d+\.\d{6}s\nAll images loaded in \d+\.\d{6}s\n"
    r"All images detected in \d+\.\d{6}s\nAverage detection time: \d+\.\d{6}s\n"
    r"mAP: (\S+)\nRecall: (\S+)\n-{32}\n"
)


@pytest.fixture(scope="module")
def material(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint and a few scenes, packed as archives."""
    folder = tmp_path_factory.mktemp("material")
    write_tiny_checkpoint(folder / "detector")
    write_dataset(folder / "scenes", 3)
    for name in ("detector", "scenes"):
        shutil.make_archive(str(folder / name), "gztar", folder / name)
    return folder


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, material: Path) -> Path:
    """A home whose catalogue has the original's packages, made of the demo's material."""
    for name in ("find", "install", "env", "run", "ck"):
        if name not in COMMANDS:
            monkeypatch.setitem(COMMANDS, name, name)
    for variable in VARIABLES:
        monkeypatch.delenv(variable, raising=False)
    path = tmp_path / "home"
    (path / "catalogue").mkdir(parents=True)
    fields = {"unpack": True, "to": "."}
    detector = part_json(f"file:{material}/detector.tar.gz", **fields)
    scenes = part_json(f"file:{material}/scenes.tar.gz", **fields)
    (path / "catalogue" / "demo.json").write_bytes(
        catalogue_json(
            entry_json(
                detector,
                name="ssd-mobilenet-v1-coco",
                version="2018.01.28",
                tags=[*MODEL_TAGS.split(","), "vcoco", "mobilenet-v1"],
                exports={"WEIGHTS_FILE": "./model.ckpt"},
            ),
            entry_json(
                scenes,
                name="coco-2017-val",
                version="2017",
                kind="dataset",
                tags=["dataset", "coco", "coco.2017", "2017", "val"],
            ),
        )
    )
    monkeypatch.setenv("FLATSHOT_HOME", str(path))
    monkeypatch.setenv("PYTHONWARNINGS", "default")
    return path


def ck(line: str) -> int:
    """Run a line of the original's, its first word taken away."""
    words = shlex.split(line.replace("\\\n", " "))
    assert words[0] == "ck"
    return run(["ck", *words[1:]])


@pytest.mark.parametrize(
    ("tags", "why"),
    [
        ("lib,tensorflow,v1.13,vcpu", "without TensorFlow"),
        ("model,tensorflow,api", "`flatshot export` takes the flags"),
        ("lib,tflite,vstatic", "LiteRT"),
        ("tool,coco", "hotcoco"),
    ],
)
def test_what_is_not_needed(tags: str, why: str, capsys: Capture, home: Path) -> None:
    """The answer says so and why; nothing is installed."""
    assert ck(f"ck install package --tags={tags}") == 0
    out = capsys.readouterr().out
    assert out.startswith(f"nothing to install for {tags}: ")
    assert why in out
    assert not (home / "packages").exists()


def test_install_and_show(capsys: Capture, home: Path) -> None:
    """The original's model, and the table of what is there."""
    assert ck("ck show env") == 0
    assert "no environments" in capsys.readouterr().err
    assert ck(f"ck install package --tags={MODEL_TAGS}") == 0
    place = home / "packages" / "ssd-mobilenet-v1-coco" / "2018.01.28"
    assert capsys.readouterr().out == f"{place}\n"
    assert ck("ck show env") == 0
    header, _, *rows = capsys.readouterr().out.splitlines()
    assert header.split("  ")[0] == "Env UID:"
    assert [row.split()[3:5] for row in rows] == [["ssd-mobilenet-v1-coco", "2018.01.28"]]
    assert ck("ck show env --tags=dataset") == 0
    assert capsys.readouterr().out == ""
    assert ck(f"ck install package --tags={MODEL_TAGS} --rebuild --quiet") == 0


def test_virtual_env(capfd: pytest.CaptureFixture[str], home: Path) -> None:
    """`--shell_cmd` runs a command with the variables, and its exit code is ours."""
    ck(f"ck install package --tags={MODEL_TAGS}")
    capfd.readouterr()
    command = (
        "echo ${CK_ENV_TENSORFLOW_MODEL_WEIGHTS_FILE}; "
        'echo "$(dirname ${CK_ENV_TENSORFLOW_MODEL_WEIGHTS_FILE})"; '
        "echo ${CK_ENV_TENSORFLOW_MODEL_DIR}; exit 4"
    )
    assert ck(f"ck virtual env --tags={MODEL_TAGS} --shell_cmd={shlex.quote(command)}") == 4
    place = home / "packages" / "ssd-mobilenet-v1-coco" / "2018.01.28"
    assert capfd.readouterr().out == f"{place}/model.ckpt\n{place}\n{place}\n"


@pytest.mark.skipif(shutil.which("bash") is None, reason="bash is not installed: see below")
def test_the_original_s_walk_through_the_environments(home: Path, tmp_path: Path) -> None:
    """Three nested shells, and in the innermost the original's own conversion command.

    The lines are typed into one bash; each `ck virtual env` starts the next one, which reads on:
    bash takes no more of its standard input than it runs, unlike other shells.
    """
    place = home / "packages" / "ssd-mobilenet-v1-coco" / "2018.01.28"
    script = f"""
ck install package --tags=lib,tensorflow,v1.13,vcpu
ck install package --tags=model,tensorflow,api
ck install package --tags={MODEL_TAGS}
ck virtual env --tags=lib,tensorflow,v1.13,vcpu
ck virtual env --tags=model,tensorflow,api
echo ${{CK_ENV_TENSORFLOW_MODELS_OBJ_DET_DIR}}
ck virtual env --tags={MODEL_TAGS}
echo ${{CK_ENV_TENSORFLOW_MODEL_WEIGHTS_FILE}}
${{CK_ENV_COMPILER_PYTHON_FILE}} \\
${{CK_ENV_TENSORFLOW_MODELS_OBJ_DET_DIR}}/export_tflite_ssd_graph.py \\
--input_type image_tensor \\
--pipeline_config_path "$(dirname ${{CK_ENV_TENSORFLOW_MODEL_WEIGHTS_FILE}})"/pipeline.config \\
--trained_checkpoint_prefix "$(dirname ${{CK_ENV_TENSORFLOW_MODEL_WEIGHTS_FILE}})"/model.ckpt \\
--output_directory "$(dirname ${{CK_ENV_TENSORFLOW_MODEL_WEIGHTS_FILE}})" \\
--add_postprocessing_op=true \\
--use_regular_nms=true \\
--config_override " \\
  model {{ \\
    ssd {{ \\
      post_processing {{ \\
        batch_non_max_suppression {{ \\
          score_threshold: 0.3 \\
          iou_threshold: 0.6 \\
          max_detections_per_class: 100 \\
          max_total_detections: 100 \\
        }} \\
      }} \\
    }} \\
  }} \\
"
grep -A 3 use_regular_nms "$(dirname ${{CK_ENV_TENSORFLOW_MODEL_WEIGHTS_FILE}})"/tflite_graph.pbtxt
"""
    program = tmp_path / "bin" / "ck"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -c "{MAIN}" ck "$@"\n')
    program.chmod(0o755)
    environment = {
        **os.environ,
        "PATH": f"{program.parent}{os.pathsep}{os.environ['PATH']}",
        "SHELL": shutil.which("bash") or "",
    }
    done = subprocess.run(
        ["bash"], input=script, env=environment, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0].startswith("nothing to install for lib,tensorflow")
    assert lines[1].startswith("nothing to install for model,tensorflow,api")
    assert lines[2] == str(place)
    assert lines[3] == str(home / "ck" / "research" / "object_detection")
    assert lines[4] == f"{place}/model.ckpt"
    assert done.stdout.endswith('    key: "use_regular_nms"\n    value {\n      b: true\n    }\n')


def test_the_script_that_stands_for_the_api_s() -> None:
    """It is Python, and no more than a call."""
    compile(EXPORT_SCRIPT, "export_tflite_ssd_graph.py", "exec")


@pytest.fixture
def installed(capsys: Capture) -> None:
    """The two packages of the original's benchmarks."""
    ck(f"ck install package --tags={MODEL_TAGS}")
    ck("ck install package --tags=dataset,coco.2017,val")
    capsys.readouterr()


@pytest.mark.usefixtures("installed")
def test_the_original_s_benchmarks(capsys: Capture, home: Path) -> None:
    """Its four commands print the Summary; custom settings make the fast graph regular."""
    figures = {}
    for name, environment in RUNS.items():
        assert ck(BENCHMARK.format(env=environment)) == 0
        found = SUMMARY.search(capsys.readouterr().out)
        assert found, name
        figures[name] = (float(found[1]), float(found[2]))
    assert figures["custom"] == figures["regular"]
    with Records() as store:
        records = store.find(UOA.split("-")[:1], name=UOA, repo="local")
    assert len(records) == 4
    assert records[0].tags == ("accuracy", "mlperf", "object-detection", "ssd-mobilenet", "tflite")
    settings = [record.content["settings"] for record in records]
    assert [each["use_regular_nms"] for each in settings] == [True, False, True, True]
    assert settings[3]["nms_score_threshold"] == pytest.approx(1e-5)
    options = records[0].content["options"]
    assert (options["resize"], options["rounding"]) == ("pillow", "ck")
    models = [Path(record.content["model"]).name for record in records]
    assert models == ["detect_regular_nms.tflite", *["detect_fast_nms.tflite"] * 3]


def test_the_demo_s_packages_stand_in(capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without any COCO package the demo's are taken, and that is said."""
    monkeypatch.setattr("flatshot.cli.packages_menu.DEMO_SCENES", 2)
    line = "ck benchmark program:object-detection-tflite --env.USE_NMS=regular --env.VERBOSE=no"
    assert ck(line) == 0
    captured = capsys.readouterr()
    assert "taking the demo's detector and scenes" in captured.err
    assert SUMMARY.search(captured.out)


@pytest.mark.usefixtures("installed")
def test_dependencies_by_tags(capsys: Capture, home: Path) -> None:
    """`--dep_add_tags` narrows each; what is not installed is named."""
    line = f"{BENCHMARK.format(env='--env.USE_NMS=fast')} --env.CK_BATCH_COUNT=1"
    assert ck(f"{line} --dep_add_tags.weights=mobilenet-v1 --dep_add_tags.dataset=val,coco") == 0
    assert "images processed: 1\n" in capsys.readouterr().out
    assert ck(f"{line} --dep_add_tags.weights=mobilenet-v2,quantized,tflite") == 1
    assert "no package with tags 'model,mobilenet-v2,quantized,tflite' is installed" in (
        capsys.readouterr().err
    )
    assert ck(f"{line} --dep_add_tags.python=v3") == 1
    assert "only weights and dataset" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("tags", "says"),
    [
        (MODEL_TAGS, "no COCO data set is installed"),
        ("dataset,coco.2017", "no COCO model is installed"),
    ],
)
def test_half_of_what_is_needed(tags: str, says: str, capsys: Capture) -> None:
    """A COCO model is never scored on drawn scenes; the missing half's command is given."""
    ck(f"ck install package --tags={tags}")
    assert ck("ck benchmark program:object-detection-tflite") == 1
    error = capsys.readouterr().err
    assert says in error
    assert "ck install package --tags=" in error


def test_the_program_s_variables_are_put_back(
    capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a line sets holds for its run alone; dead variables are accepted and said."""
    monkeypatch.setattr("flatshot.cli.packages_menu.DEMO_SCENES", 1)
    monkeypatch.setenv("CK_BATCH_SIZE", "1")
    line = "ck run program:object-detection-tflite --env.CK_BATCH_SIZE=2 --env.FULL_REPORT=yes"
    assert ck(f"{line} --env.CK_SILENT_MODE=yes") == 0
    assert "--env.FULL_REPORT has no effect here" in capsys.readouterr().err
    assert os.environ["CK_BATCH_SIZE"] == "1"
    assert "CK_SILENT_MODE" not in os.environ


@pytest.mark.parametrize(
    ("line", "code", "says"),
    [
        ("ck", 2, "Missing argument"),
        ("ck pull repo:ck-mlperf", 2, "known are: install package; virtual env"),
        ("ck install package", 2, "give --tags=a,b"),
        ("ck install package --tags=a --colour", 2, "no --colour"),
        ("ck install package --tag=a", 2, "is --tags meant?"),
        ("ck install package -q", 2, "begin with two dashes"),
        ("ck virtual env", 2, "give --tags=a,b"),
        ("ck virtual env --tags=mlperf,model", 1, "`flatshot install` brings"),
        ("ck install package --tags=no-such-thing", 1, "unknown"),
        ("ck benchmark program:object-detection-tf-py", 2, "known are"),
        ("ck benchmark program:object-detection-tflite --env.USE_NMZ=1", 1, "is USE_NMS meant?"),
        ("ck benchmark program:object-detection-tflite --repetition=1", 2, "is --repetitions"),
    ],
)
def test_misuse(line: str, code: int, says: str, capsys: Capture) -> None:
    """What is not understood is refused, with what comes close."""
    assert ck(line) == code
    assert says in capsys.readouterr().err


def test_a_line_is_words_and_options() -> None:
    """A value may hold anything, also `=`."""
    line = parse_line(["virtual", "--a=b=c", "env", "--flag", "--empty="])
    assert line.words == ("virtual", "env")
    assert line.options == {"a": "b=c", "flag": "", "empty": ""}
    assert json.dumps(line.part("f")) == '{"lag": ""}'
