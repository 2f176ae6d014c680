"""`flatshot benchmark`: what it prints and writes, CK's variables, and interrupted runs."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from flatshot.cli.ck_environment import VARIABLES, ck_defaults
from flatshot.cli.main import run
from flatshot.errors import ConfigError, FileError
from flatshot.experiments import journals
from flatshot.records.store import Records
from tests.evaluation.conftest import PlannedDetector, write_dataset


@pytest.fixture(autouse=True)
def _own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLATSHOT_HOME", str(tmp_path / "home"))
    for variable in VARIABLES:
        monkeypatch.delenv(variable, raising=False)


@pytest.fixture
def dataset(tmp_path: Path) -> str:
    """Six grey images that `PlannedDetector` gets right."""
    return str(write_dataset(tmp_path / "set"))


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """What the command asked of its Detector, which is a `PlannedDetector`."""
    calls: list[dict[str, Any]] = []

    def make(model: str, **arguments: Any) -> PlannedDetector:
        calls.append(arguments)
        detector = PlannedDetector()
        detector.threads = arguments["threads"]
        return detector

    monkeypatch.setattr("flatshot.runtime.detector.Detector", make)
    return calls


SUMMARY = r"""
Summary:
-------------------------------
Graph loaded in \d+\.\d{6}s
All images loaded in \d+\.\d{6}s
All images detected in \d+\.\d{6}s
Average detection time: \d+\.\d{6}s
mAP: (\S+)
Recall: (\S+)
--------------------------------
"""


def test_what_it_prints(
    dataset: str, asked: list[dict[str, Any]], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """The original's Summary with full figures, then all figures, latency and rate."""
    file = tmp_path / "result.json"
    assert run(["benchmark", "m.tflite", "--dataset", dataset, "--json", str(file)]) == 0
    out, err = capsys.readouterr()
    (warning,) = err.splitlines()  # no terminal, no talk
    assert "the model holds 10 detections an image" in warning
    summary = re.search(SUMMARY, out)
    assert summary
    content = json.loads(file.read_text())
    # `repr` is what brings a float back to the last bit.
    assert float(summary[1]) == content["mAP"]
    assert float(summary[2]) == content["recall"]
    for name in content["metrics"]:
        assert f"\n{name} " in out
    for word in ("max_detections: 10", "p99", "network", "images per second: ", "processed: 6"):
        assert word in out
    assert content["settings"]["max_detections"] == 10
    assert "AP@[.50:.95]" not in out
    assert not list((tmp_path / "home" / "runs").iterdir()), "a finished run leaves no journal"


def test_options_reach_the_detector(dataset: str, asked: list[dict[str, Any]]) -> None:
    """Each given setting as given; each left out as None, which keeps the model's."""
    options = [
        *("--max-detections", "100", "--nms", "fast", "--score-threshold", "1e-5"),
        *("--scale-y", "10", "--threads", "2"),
        *("--resize", "pillow", "--postprocess", "op"),
    ]
    assert run(["benchmark", "m.tflite", "--dataset", dataset, *options]) == 0
    arguments = asked[0]
    assert arguments["nms"] == "fast"
    assert arguments["score_threshold"] == 1e-5
    assert arguments["scale_y"] == 10
    assert (arguments["threads"], arguments["resize"]) == (2, "pillow")
    assert arguments["postprocess"] == "op"
    left_out = ("iou_threshold", "detections_per_class", "num_classes", "scale_w", "labels")
    assert all(arguments[name] is None for name in left_out)


def test_json_to_stdout(
    dataset: str, asked: list[dict[str, Any]], capsys: pytest.CaptureFixture[str]
) -> None:
    """Nothing else is printed then."""
    command = ["benchmark", "m", "--dataset", dataset, "--json", "-", "--rounding", "ck"]
    assert run([*command, "--count", "2", "--batch-size", "2", "--skip", "1"]) == 0
    content = json.loads(capsys.readouterr().out)
    assert content["images"] == 4
    assert content["options"]["rounding"] == "ck"


def test_a_bar_on_a_terminal(
    dataset: str,
    asked: list[dict[str, Any]],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Two passes, a bar each, on stderr; stdout is as ever."""
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    monkeypatch.setenv("TERM", "xterm")
    # Slow enough for a rate to be known before the end.
    monkeypatch.setattr(PlannedDetector.__init__, "__defaults__", (0.05,))
    assert run(["benchmark", "m", "--dataset", dataset, "--repetitions", "2", "--json", "-"]) == 0
    out, err = capsys.readouterr()
    assert json.loads(out)["images"] == 6
    assert "6/6" in err
    assert "pass 2" in err
    assert "images/s" in err


def test_per_class_and_verbose(
    dataset: str, asked: list[dict[str, Any]], capsys: pytest.CaptureFixture[str]
) -> None:
    """A line a category on stdout, a line an image on stderr."""
    assert run(["benchmark", "m", "--dataset", dataset, "--per-class", "--verbose"]) == 0
    out, err = capsys.readouterr()
    assert re.search(r"^a +1\.000000$", out, re.MULTILINE)
    assert len(re.findall(r"^\d/6 00\d\.png 40x2\d: 1 detections, load", err, re.MULTILINE)) == 6


def test_unreadable_images_are_reported(
    dataset: str, asked: list[dict[str, Any]], capsys: pytest.CaptureFixture[str]
) -> None:
    """On stderr when met, and in the report."""
    (Path(dataset) / "grey" / "003.png").write_bytes(b"rubbish")
    assert run(["benchmark", "m", "--dataset", dataset]) == 0
    out, err = capsys.readouterr()
    assert "images processed: 5\nimages unreadable: 1\n  003.png: " in out
    assert "003.png" in err


@pytest.mark.parametrize(
    ("options", "code", "says"),
    [
        (["--score-threshold", "1.5"], 2, "--score-threshold"),
        (["--iou-threshold", "0"], 2, "--iou-threshold"),
        (["--max-detections", "0"], 2, "--max-detections"),
        (["--count", "0"], 2, "--count"),
        (["--metric", "kitti"], 2, "--metric"),
        (["--skip", "6"], 1, "no image left"),
        (["--annotations", "other.json"], 1, "other.json"),
        (["--record", "--tags", "a,-b"], 1, "no tag"),
    ],
)
def test_bad_options(
    dataset: str,
    asked: list[dict[str, Any]],
    capsys: pytest.CaptureFixture[str],
    options: list[str],
    code: int,
    says: str,
) -> None:
    """Misuse is 2, what cannot be is 1; both in one line that names the culprit."""
    assert run(["benchmark", "m.tflite", "--dataset", dataset, *options]) == code
    assert says in capsys.readouterr().err


def test_recording(
    dataset: str, asked: list[dict[str, Any]], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """CK's own spellings; the record holds figures, settings and detections."""
    options = ["--record", "--record_repo=local", "--record_uoa=mlperf-accuracy", "--tags=a,b"]
    assert run(["benchmark", "m.tflite", "--dataset", dataset, *options]) == 0
    uid = re.search(r"recorded as ([0-9a-f]{16})\n", capsys.readouterr().out)
    assert uid
    with Records(tmp_path / "home") as store:
        record = store.get("mlperf-accuracy")
        assert (record.uid, record.repo, record.tags) == (uid[1], "local", ("a", "b"))
        assert record.content["model"] == "m.tflite"
        assert record.content["machine"]["cores"] >= 1
        assert len(store.detections(record)) == 6


def interrupting(monkeypatch: pytest.MonkeyPatch, after: int) -> None:
    """Let the network be interrupted, once, when that many images have passed it."""
    passed = []
    network = PlannedDetector.network

    def stop(self: PlannedDetector, level: Any) -> Any:
        passed.append(level)
        if len(passed) == after:
            raise KeyboardInterrupt
        return network(self, level)

    monkeypatch.setattr(PlannedDetector, "network", stop)


@pytest.mark.parametrize("tags", ["a,-b", "--resume=j --tags=-"])
def test_bad_tags_before_the_run(
    tags: str, dataset: str, asked: list[dict[str, Any]], capsys: pytest.CaptureFixture[str]
) -> None:
    """Nobody waits for a run that cannot be kept."""
    before = len(PlannedDetector.runs)
    line = ["benchmark", "m", "--dataset", dataset, "--record", *f"--tags={tags}".split()]
    assert run(line) == 1
    assert "is no tag" in capsys.readouterr().err
    assert len(PlannedDetector.runs) == before


def test_records_that_cannot_be_opened(
    dataset: str, asked: list[dict[str, Any]], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """Said before the run as well."""
    home = tmp_path / "home"
    home.mkdir()
    (home / "records.sqlite").write_bytes(b"no database at all, but long enough for one" * 99)
    before = len(PlannedDetector.runs)
    assert run(["benchmark", "m", "--dataset", dataset, "--record"]) == 1
    assert "records" in capsys.readouterr().err
    assert len(PlannedDetector.runs) == before


def test_what_was_measured_is_written_though_the_record_fails(
    dataset: str,
    asked: list[dict[str, Any]],
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The JSON is there, and so is the journal: --resume records it without running again."""

    def full(self: Records, *args: Any, **more: Any) -> str:
        raise FileError("the disk is full")

    line = ["benchmark", "m", "--dataset", dataset, "--record", "--json"]
    with monkeypatch.context() as patch:
        patch.setattr(Records, "add_result", full)
        assert run([*line, str(tmp_path / "first.json")]) == 1
    assert "the disk is full" in capsys.readouterr().err
    first = json.loads((tmp_path / "first.json").read_text())
    assert "record" not in first
    assert len(list((tmp_path / "home" / "runs").iterdir())) == 1
    assert run([*line, str(tmp_path / "second.json"), "--resume"]) == 0
    second = json.loads((tmp_path / "second.json").read_text())
    assert (second["resumed"], second["metrics"]) == (6, first["metrics"])
    with Records() as store:
        assert [record.uid for record in store.find()] == [second["record"]]
    assert list((tmp_path / "home" / "runs").iterdir()) == []


def test_killed_after_the_record(
    dataset: str, asked: list[dict[str, Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the record and the process's end: going on does not record it once more."""
    line = ["benchmark", "m", "--dataset", dataset, "--record", "--tags", "a"]

    def killed(self: journals.Place) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(journals.Place, "done", killed)
        assert run(line) == 130
    with Records() as store:
        (record,) = store.find(["a"])
        kept = sorted(path.name for path in (store.path / "artefacts").rglob("*") if path.is_file())
    assert sorted(record.artefacts.values()) == kept
    assert run([*line, "--resume"]) == 0
    with Records() as store:
        assert [one.uid for one in store.find(["a"])] == [record.uid]
        again = sorted(p.name for p in (store.path / "artefacts").rglob("*") if p.is_file())
    assert again == kept
    # Another run is another record, and so is the same one under other tags.
    assert run(line) == 0
    file = str(tmp_path / "kept.journal")
    for tags in ("b", "b", "c"):
        assert run([*line[:-1], tags, "--resume", file]) == 0
    with Records() as store:
        assert [len(store.find([tag])) for tag in "abc"] == [2, 1, 1]


def test_an_unfinished_run_is_noticed(
    dataset: str,
    asked: list[dict[str, Any]],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A plain run of the same settings says once that there is one; other settings say nothing."""

    def killed(self: journals.Place) -> None:
        raise KeyboardInterrupt

    line = ["benchmark", "m", "--dataset", dataset]
    with monkeypatch.context() as patch:
        patch.setattr(journals.Place, "done", killed)
        assert run(line) == 130
    assert "unfinished" not in capsys.readouterr().err
    assert run(line) == 0
    assert capsys.readouterr().err.count("an unfinished run of these settings is kept") == 1
    assert run([*line, "--rounding", "ck"]) == 0
    assert "unfinished" not in capsys.readouterr().err


def test_ctrl_c_says_how_to_go_on(
    dataset: str,
    asked: list[dict[str, Any]],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Exit code 130, and the journal's name works; so does --resume without one."""
    command = ["benchmark", "m.tflite", "--dataset", dataset, "--workers", "1"]
    assert run([*command, "--json", "-"]) == 0
    whole = json.loads(capsys.readouterr().out)
    for resume_with_name in (True, False):
        interrupting(monkeypatch, 3)
        assert run(command) == 130
        said = re.search(r"--resume '([^']+\.journal)'", capsys.readouterr().err)
        assert said
        journal = Path(said[1])
        assert journal.exists()
        resume = ["--resume", str(journal)] if resume_with_name else ["--resume"]
        assert run([*command, *resume, "--json", "-"]) == 0
        content = json.loads(capsys.readouterr().out)
        assert content["resumed"] == 2
        assert content["metrics"] == whole["metrics"]
        # A journal that was named is the user's.
        assert journal.exists() is resume_with_name
        journal.unlink(missing_ok=True)


def test_old_journals_are_swept_away(
    dataset: str, asked: list[dict[str, Any]], tmp_path: Path
) -> None:
    """Those of runs abandoned for more than 30 days, when a new run starts; nothing else."""
    folder = tmp_path / "home" / "runs"
    folder.mkdir(parents=True)
    days = {"old.journal": 31, "young.journal": 29, "old.txt": 99}
    for name, age in days.items():
        (folder / name).touch()
        then = time.time() - age * 24 * 3600
        os.utime(folder / name, (then, then))
    command = ["benchmark", "m.tflite", "--dataset", dataset]
    assert run([*command, "--resume", str(tmp_path / "named.journal")]) == 0
    assert len(list(folder.iterdir())) == 3, "a run with its own journal leaves them alone"
    assert run(command) == 0
    assert sorted(path.name for path in folder.iterdir()) == ["old.txt", "young.journal"]


def test_resume_of_another_run(
    dataset: str,
    asked: list[dict[str, Any]],
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    """A journal of other settings is refused with what differs."""
    command = ["benchmark", "m", "--dataset", dataset, "--resume", str(tmp_path / "journal")]
    assert run(command) == 0
    assert run([*command, "--rounding", "ck"]) == 1
    assert "rounding was exact, is ck" in capsys.readouterr().err


def test_ck_variables_are_defaults(
    dataset: str,
    asked: list[dict[str, Any]],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The variable counts where the option is left out."""
    monkeypatch.setenv("USE_NMS", "FAST")
    monkeypatch.setenv("CK_BATCH_COUNT", "2")
    monkeypatch.setenv("CK_SKIP_IMAGES", "1")
    monkeypatch.setenv("CK_METRIC_TYPE", "COCO")
    monkeypatch.setenv("CK_HOST_CPU_NUMBER_OF_PROCESSORS", "3")
    monkeypatch.setenv("NMS_SCORE_THRESHOLD", "0.5")
    command = ["benchmark", "m", "--dataset", dataset, "--json", "-"]
    assert run(command) == 0
    assert json.loads(capsys.readouterr().out)["images"] == 2
    assert asked[0]["nms"] == "fast"
    assert asked[0]["threads"] == 3
    assert asked[0]["score_threshold"] is None, "custom settings are off"
    monkeypatch.setenv("USE_CUSTOM_NMS_SETTINGS", "on")
    assert run([*command, "--nms", "regular", "--count", "1"]) == 0
    assert json.loads(capsys.readouterr().out)["images"] == 1
    assert (asked[1]["nms"], asked[1]["score_threshold"]) == ("regular", 0.5)
    monkeypatch.setenv("CK_METRIC_TYPE", "KITTI")
    assert run(command) == 2
    assert "kitti" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("environment", "defaults"),
    [
        ({}, {}),
        ({"USE_NMS": ""}, {}),
        ({"USE_NMS": "Regular"}, {"nms": "regular"}),
        ({"USE_NMS": "whatever"}, {"nms": "fast"}),
        ({"USE_NMS": "fast", "CUSTOM_MODEL_SETTINGS": "yes"}, {"nms": "regular"}),
        ({"USE_NMS": "fast", "USE_CUSTOM_NMS_SETTINGS": "True"}, {"nms": "fast"}),
        ({"CUSTOM_MODEL_SETTINGS": "no", "NMS_IOU_THRESHOLD": "x"}, {}),
        ({"USE_CUSTOM_NMS_SETTINGS": "1", "MAX_DETECTIONS": "-1", "SCALE_H": "4"}, {"scale_h": 4}),
        ({"USE_CUSTOM_NMS_SETTINGS": "1", "H_SCALE": "3", "SCALE_H": "4"}, {"scale_h": 4}),
        ({"USE_CUSTOM_NMS_SETTINGS": "1", "H_SCALE": "3"}, {"scale_h": 3}),
        ({"CK_SILENT_MODE": "YES", "VERBOSE": "0"}, {"silent": True, "verbose": False}),
    ],
)
def test_the_table_of_variables(environment: dict[str, str], defaults: dict[str, Any]) -> None:
    """What each one meant to CK."""
    assert ck_defaults(environment) == defaults


def test_variables_that_are_no_numbers() -> None:
    """The variable is named."""
    with pytest.raises(ConfigError, match="CK_BATCH_COUNT is 'all'"):
        ck_defaults({"CK_BATCH_COUNT": "all"})


@pytest.mark.slow
def test_kill_a_real_run(data: Path, tmp_path: Path) -> None:
    """The installed command on a real model, killed with -9 and gone on with."""
    command = [
        *(sys.executable, "-m", "flatshot", "benchmark", "--count", "60", "--json", "-"),
        *("--dataset", str(data / "coco_val2017_310"), "--resize", "pillow"),
        str(data / "oracle" / "toco_detect_regular.tflite"),
    ]
    environment = {**os.environ, "FLATSHOT_HOME": str(tmp_path)}

    def finish(more: list[str]) -> dict[str, Any]:
        done = subprocess.run(
            [*command, *more], env=environment, capture_output=True, check=True, timeout=300
        )
        content: dict[str, Any] = json.loads(done.stdout)
        return content

    process = subprocess.Popen(
        command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    deadline = time.monotonic() + 120
    lines = 0
    while lines < 16 and time.monotonic() < deadline:
        lines = sum(path.read_bytes().count(b"\n") for path in tmp_path.glob("runs/*.journal"))
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.wait()
    resumed = finish(["--resume"])
    assert 14 <= resumed["resumed"] < 60
    whole = finish([])
    assert (resumed["metrics"], resumed["detections"]) == (whole["metrics"], whole["detections"])
