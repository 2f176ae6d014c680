"""Sweeps: each combination once, with the figures of a single run to the last digit."""

import json
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from flatshot.cli.main import run
from flatshot.conversion.convert import convert
from flatshot.demo.detector_files import write_detector
from flatshot.demo.scenes import write_dataset
from flatshot.errors import ConfigError
from flatshot.evaluation.dataset import CocoDataset
from flatshot.evaluation.evaluate import evaluate
from flatshot.evaluation.result import Result
from flatshot.experiments.grid import Asked, Grid, Swept
from flatshot.experiments.sweep import best_first, front, sweep
from flatshot.records.store import Records
from flatshot.runtime.detector import Detector


@pytest.fixture(autouse=True)
def _home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLATSHOT_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The demo's detector."""
    folder = tmp_path_factory.mktemp("model")
    write_detector(folder / "detector")
    return convert(folder / "detector").save(folder / "detect.tflite")


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six scenes."""
    return write_dataset(tmp_path_factory.mktemp("scenes"), 6)


def same(one: Result, other: Result) -> None:
    """Everything that is no time is the same, to the last bit."""
    left, right = (result.to_json() for result in (one, other))
    for content in (left, right):
        for key in ("timing",):
            del content[key]
    assert left == right
    np.testing.assert_array_equal(one.detections, other.detections)
    np.testing.assert_array_equal(one.curves.precision, other.curves.precision)


def test_equal_to_single_runs(model: Path, scenes: Path) -> None:
    """Each combination once, in every figure and detection what a run of its own gives."""
    dataset = CocoDataset(scenes)
    grid = Grid(
        models=[model, model],
        settings={
            "nms": ["regular", "fast"],
            "score_threshold": [0.3, 1e-8],
            "max_detections": [3, 100],
        },
        resize=["tensorflow", "pillow"],
        threads=[1, 2],
    )
    done = list(sweep(grid, dataset, Asked(count=5)))
    assert len(done) == len({one.title for one in done}) == 2 * 2 * 8
    for one in done:
        more: Any = {"resize": one.result.run.resize, "threads": one.result.options["threads"]}
        detector = Detector(model, **one.changes, **more)
        same(one.result, evaluate(detector, dataset, count=5, latency_images=0))
        assert one.result.timing.images_per_second == (None,)
        assert len(one.result.times.latency) == 5
        assert one.seconds > 0
        assert one.operator is None


def test_the_network_sees_an_image_once(
    model: Path, scenes: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And a few more times for the latency, however many settings there are."""
    calls = []
    network = Detector.network

    def counted(self: Detector, prepared: Any) -> Any:
        calls.append(1)
        return network(self, prepared)

    monkeypatch.setattr(Detector, "network", counted)
    grid = Grid(models=[model], settings={"score_threshold": [0.1 * n for n in range(1, 8)]})
    assert len(list(sweep(grid, CocoDataset(scenes)))) == 7
    # Six images, three that warm up, six whose latency is measured.
    assert len(calls) == 6 + 3 + 6


def test_the_operator_is_timed_where_asked(model: Path, scenes: Path, tmp_path: Path) -> None:
    """A cut model has none."""
    grid = Grid(models=[model], settings={"score_threshold": [1e-8]})
    (one,) = sweep(grid, CocoDataset(scenes), Asked(operator=True))
    assert one.operator is not None
    assert one.operator >= 0
    cut = convert(write(tmp_path / "detector"), cut=True).save(tmp_path / "cut.tflite")
    (other,) = sweep(Grid(models=[cut], settings={}), CocoDataset(scenes), Asked(operator=True))
    assert other.operator is None


def write(folder: Path) -> Path:
    """The demo's checkpoint in `folder`."""
    write_detector(folder)
    return folder


def test_wrong_settings_before_anything_runs(model: Path, scenes: Path) -> None:
    """Named by their names."""
    dataset = CocoDataset(scenes)
    for settings, says in (
        ({"score_threshold": [0.3, 2]}, "nms_score_threshold is 2"),
        ({"score_treshold": [0.3]}, "did you mean score_threshold"),
        ({"nms": []}, "nms has no values"),
        ({"num_classes": [9]}, "num_classes is 9, and the model has"),
    ):
        given: Any = settings
        with pytest.raises(ConfigError, match=says):
            list(sweep(Grid(models=[model], settings=given), dataset))


def test_the_front() -> None:
    """Points that no other beats in both; equal ones stand together."""

    class Point(Swept):
        def __init__(self, ap: float, seconds: float) -> None:
            self.point = (ap, seconds)

        @property
        def seconds(self) -> float:
            return self.point[1]

        @property
        def result(self) -> Any:
            return type("R", (), {"mAP": self.point[0]})

    points: Sequence[Any] = [
        Point(*point) for point in ((0.2, 2.0), (0.3, 3.0), (0.2, 2.0), (0.1, 2.5), (0.3, 3.5))
    ]
    assert front(points) == {0, 1, 2}
    ordered = [(one.result.mAP, one.seconds) for one in best_first(points)]
    assert ordered[:2] == [
        (0.3, 3.0),
        (0.3, 3.5),
    ]


LINE = ["--nms", "regular,fast", "--score-threshold", "0.3,1e-8"]


def test_the_command(
    model: Path, scenes: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """A sorted table, JSON, records that do not come twice, and a page."""
    line = ["sweep", str(model), "--dataset", str(scenes), *LINE, "--record", "--tags", "s"]
    assert run([*line, "--json", "s.json", "--report", "s.html"]) == 0
    out = capsys.readouterr().out
    assert out.splitlines()[0].split() == [
        *("nms", "score_threshold", "mAP", "AP50", "Recall", "ms", "an", "image"),
    ]
    entries = json.loads(Path("s.json").read_text())
    assert len(entries) == 4
    assert [entry["mAP"] for entry in entries] == sorted(
        (entry["mAP"] for entry in entries), reverse=True
    )
    assert any(entry["pareto"] for entry in entries)
    assert "<html" in Path("s.html").read_text()
    with Records() as store:
        kept = {record.uid: record for record in store.find(["s"])}
    assert set(kept) == {entry["record"] for entry in entries}
    for entry in entries:
        assert kept[entry["record"]].content["metrics"] == entry["metrics"]
        assert kept[entry["record"]].name == entry["title"]
    assert not list((tmp_path / "home" / "runs").iterdir()), "a finished sweep leaves no journals"


def test_resume(
    model: Path,
    scenes: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Killed while it records: the network runs for no image again, and no record comes twice."""
    line = ["sweep", str(model), "--dataset", str(scenes), *LINE, "--record", "--json", "-"]
    add, calls = Records.add_result, []

    def killed(self: Records, *arguments: Any, **more: Any) -> str:
        uid = add(self, *arguments, **more)
        calls.append(uid)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return uid

    with monkeypatch.context() as patch:
        patch.setattr(Records, "add_result", killed)
        assert run(line) == 130
    capsys.readouterr()
    assert run([*line, "--resume"]) == 0
    entries = json.loads(capsys.readouterr().out)
    assert {entry["resumed"] for entry in entries} == {6}
    with Records() as store:
        assert len(store.find()) == 4


def test_warnings_come_once(
    model: Path, scenes: Path, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    """What all combinations have in common is not said for each of them."""
    content = json.loads(next(scenes.rglob("instances_*.json")).read_text())
    for image in content["images"]:
        image["width"] += 7
    other = tmp_path / "other.json"
    other.write_text(json.dumps(content))
    dataset = CocoDataset(scenes, annotations=other)
    grid = Grid(models=[model], settings={"score_threshold": [0.3, 0.1, 1e-8]})
    with caplog.at_level(logging.WARNING, logger="flatshot"):
        list(sweep(grid, dataset))
    assert caplog.text.count("another size than the annotation file lists") == 1


@pytest.mark.slow
def test_the_reference(data: Path) -> None:
    """The official operator's seven rows on 310 photographs, from one pass."""
    rows = json.loads((data / "oracle" / "metrics.json").read_text())
    rows = {name: row for name, row in rows.items() if "two_threads" not in name}
    names = ("use_regular_nms", "nms_score_threshold", "nms_iou_threshold", "max_detections")
    grid = Grid(
        models=[data / "oracle" / "toco_detect_regular.tflite"],
        settings={name: sorted({row["options"][name] for row in rows.values()}) for name in names},
        resize=["pillow"],
    )
    done = {
        tuple(one.changes.values()): one.result
        for one in sweep(grid, CocoDataset(data / "coco_val2017_310"))
    }
    for row in rows.values():
        figures = done[tuple(row["options"][name] for name in names)].figures
        # Boxes of NumPy and the operator differ by 1.2e-7 of the image; another processor's order
        # of summation in the network.
        assert figures.mAP == pytest.approx(row["AP"], abs=1e-6)
        assert figures.recall == pytest.approx(row["AR100"], abs=1e-6)
