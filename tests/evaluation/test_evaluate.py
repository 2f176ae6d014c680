"""The loop: what counts, what is timed, and that a killed run goes on as if it never died."""

import json
import logging
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
from PIL import Image

from flatshot.errors import ConfigError, DatasetError, ModelError
from flatshot.evaluation import machine
from flatshot.evaluation.dataset import CocoDataset
from flatshot.evaluation.evaluate import Progress, Result, evaluate
from flatshot.evaluation.metrics import ROW
from flatshot.evaluation.timing import Latency
from flatshot.runtime.detector import Detector
from flatshot.runtime.labels import Labels
from tests.evaluation.conftest import PlannedDetector, planned, write_dataset


def test_a_perfect_detector(grey: CocoDataset) -> None:
    """Every object found where it is: AP and AR of 1, and a row a detection."""
    result = evaluate(planned(), grey, workers=2)
    # 101 equal precisions averaged: exact but for rounding.
    assert abs(result.mAP - 1) <= 1e-12
    assert result.recall == 1
    assert (result.images, result.resumed, result.missing, result.unreadable) == (6, 0, 0, {})
    assert result.detections.shape == (6, len(ROW))
    assert result.detections[2].tolist()[:5] == [2, 0, 0, 20, 22]
    assert result.detections[:, 6].tolist() == [2, 3, 1, 2, 3, 1]
    assert set(result.per_class) == set("abc")


def test_the_result_is_json(grey: CocoDataset) -> None:
    """All that a record or a file keeps goes through JSON unchanged."""
    content = evaluate(planned(), grey).to_json()
    assert json.loads(json.dumps(content, allow_nan=False)) == content
    assert content["metrics"]["DetectionBoxes_Precision/mAP"] == content["mAP"]
    assert content["timing"]["latency"]["images"] == 6


def test_times_are_true(grey: CocoDataset) -> None:
    """The network's 10 ms are seen as latency, in the sums, and in the images per second."""
    result = evaluate(planned(0.01), grey, workers=2, repetitions=2)
    latency = result.timing.latency
    assert latency is not None
    assert 0.01 <= latency.network.min <= latency.network.median <= latency.total.median
    # Sleeping and a busy machine only ever add time; six times 10 ms is the least.
    assert result.timing.detection >= 0.06
    assert result.timing.images_load > 0
    assert len(result.timing.images_per_second) == 2
    # Two workers that sleep 10 ms an image do no more than 200 of them a second.
    assert all(rate is not None and rate <= 200 for rate in result.timing.images_per_second)


def test_latency_can_be_left_out(grey: CocoDataset) -> None:
    """Then each image runs exactly once."""
    detector = PlannedDetector()
    result = evaluate(cast(Detector, detector), grey, latency_images=0)
    assert result.timing.latency is None
    assert sorted(detector.seen) == [image.name for image in grey.images]


def test_batches_count_images(grey: CocoDataset) -> None:
    """`count` and `skip` are batches, as CK_BATCH_COUNT and CK_SKIP_IMAGES were."""
    result = evaluate(planned(), grey, count=2, skip=1, batch_size=2)
    assert result.detections[:, 0].tolist() == [2, 3, 4, 5]
    assert evaluate(planned(), grey, count=1).detections[:, 0].tolist() == [0]
    # As in CK, the last batch may be cut short by the end of the data set.
    assert evaluate(planned(), grey, count=9, skip=5).images == 1


@pytest.mark.parametrize(
    "wrong",
    [
        *({"count": 0}, {"skip": -1}, {"batch_size": 0}, {"workers": 0}, {"repetitions": 0}),
        {"latency_images": -1},
    ],
)
def test_numbers_out_of_range(grey: CocoDataset, wrong: dict[str, int]) -> None:
    """Refused by name before anything runs."""
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        evaluate(planned(), grey, **cast(Any, wrong))


def test_unreadable_images_do_not_count(
    grey: CocoDataset, caplog: pytest.LogCaptureFixture
) -> None:
    """They are named, and the figures are those of the other images."""
    (grey.folder / "001.png").write_bytes(b"\x89PNG\r\n\x1a\n rubbish")
    (grey.folder / "004.png").unlink()
    (grey.folder / "004.png").mkdir()
    with caplog.at_level(logging.WARNING, logger="flatshot"):
        result = evaluate(planned(), grey)
    assert sorted(result.unreadable) == ["001.png", "004.png"]
    assert "001.png" in caplog.text
    assert result.images == 4
    assert result.recall == 1
    for image in grey.images:
        if image.path.is_file():
            image.path.write_bytes(b"")
    with pytest.raises(DatasetError, match="none of the 6 images could be read"):
        evaluate(planned(), grey)


def test_one_image(tmp_path: Path) -> None:
    """The smallest data set has figures and quantiles too."""
    result = evaluate(planned(), CocoDataset(write_dataset(tmp_path / "one", 1)))
    assert (result.images, result.timing.workers) == (1, 1)
    assert result.timing.latency is not None
    assert result.timing.latency.total.min == result.timing.latency.total.p99


def test_unknown_categories_are_counted(grey: CocoDataset) -> None:
    """A class that the data set lacks is no false alarm; it is left out and counted."""
    grey.categories = {2: "b", 3: "c"}
    result = evaluate(planned(), grey)
    assert result.unknown == 2
    assert result.recall == 1


def test_other_labels_are_noticed(grey: CocoDataset, caplog: pytest.LogCaptureFixture) -> None:
    """Names of another list on the same numbers; where they match elsewhere, see test_matching."""
    detector = PlannedDetector()
    detector.labels = Labels({0: "A", 1: "x", 2: "d"})
    with caplog.at_level(logging.WARNING, logger="flatshot"):
        evaluate(cast(Detector, detector), grey)
    assert "2 of 3 classes have another name in the data set ('x' is 'b' there)" in caplog.text


def test_a_failing_model_ends_the_run(grey: CocoDataset, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a worker raises is raised where the caller can see it."""

    def fail(self: PlannedDetector, level: object) -> object:
        raise ModelError("LiteRT fails")

    monkeypatch.setattr(PlannedDetector, "network", fail)
    with pytest.raises(ModelError, match="LiteRT fails"):
        evaluate(planned(), grey, latency_images=0)


def test_progress_reaches_the_end(grey: CocoDataset) -> None:
    """One call before each pass, then one an image; the latency's pass is the last."""
    calls: list[Progress] = []
    evaluate(planned(), grey, repetitions=2, progress=calls.append)
    assert [(call.repetition, call.done) for call in calls] == [
        (number, done) for number in (1, 2, 0) for done in range(7)
    ]
    assert {call.image.name for call in calls if call.image} == {i.name for i in grey.images}


def same(one: Result, other: Result) -> None:
    """Figures and detections equal to the last bit."""
    assert asdict(one.figures) == asdict(other.figures)
    np.testing.assert_array_equal(one.detections, other.detections)


def test_an_interrupted_run_goes_on(grey: CocoDataset, tmp_path: Path) -> None:
    """Only what is left runs; the figures are those of a run in one piece."""

    def interrupt(progress: Progress) -> None:
        if progress.done == 3:
            raise KeyboardInterrupt

    journal = tmp_path / "run.journal"
    with pytest.raises(KeyboardInterrupt):
        evaluate(planned(), grey, resume=journal, progress=interrupt)
    detector = PlannedDetector()
    result = evaluate(cast(Detector, detector), grey, resume=journal, latency_images=0)
    assert len(detector.seen) == 3
    assert result.resumed == 3
    same(result, evaluate(planned(), grey))
    # A finished journal answers by itself, and there is no rate of nothing.
    again = evaluate(cast(Detector, detector), grey, resume=journal, latency_images=0)
    assert len(detector.seen) == 3
    assert again.timing.images_per_second == (None,)
    same(again, result)


def test_an_image_that_was_mended(grey: CocoDataset, tmp_path: Path) -> None:
    """One that could not be read is tried again by the run that goes on; the others are not."""
    journal = tmp_path / "run.journal"
    image = grey.images[1].path
    whole = image.read_bytes()
    image.write_bytes(whole[:20])
    assert list(evaluate(planned(), grey, resume=journal).unreadable) == ["001.png"]
    image.write_bytes(whole)
    detector = PlannedDetector()
    result = evaluate(cast(Detector, detector), grey, resume=journal, latency_images=0)
    assert detector.seen == ["001.png"]
    same(result, evaluate(planned(), grey))


def test_an_image_that_changed(grey: CocoDataset, tmp_path: Path) -> None:
    """Another file under the same name runs again: what the journal knows is of the old one."""
    journal = tmp_path / "run.journal"
    evaluate(planned(), grey, resume=journal)
    Image.new("RGB", (40, 24), (99,) * 3).save(grey.images[4].path)
    detector = PlannedDetector()
    result = evaluate(cast(Detector, detector), grey, resume=journal, latency_images=0)
    assert detector.seen == ["004.png"]
    same(result, evaluate(planned(), grey))


@pytest.mark.parametrize("what", ["anchors", "folder", "versions", "settings"])
def test_a_journal_of_another_run(
    grey: CocoDataset, tmp_path: Path, what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All that detections depend on binds it: the message says what is different."""
    journal = tmp_path / "run.journal"
    evaluate(planned(), grey, resume=journal, latency_images=0)
    detector, dataset = PlannedDetector(), grey
    if what == "anchors":
        detector.anchors = np.ones((1, 4), np.float32)
    elif what == "folder":
        shutil.copytree(grey.folder, tmp_path / "other")
        dataset = CocoDataset(grey.folder.parent, images=tmp_path / "other")
    elif what == "versions":
        now = machine.versions() | {"numpy": "1.0"}
        monkeypatch.setattr("flatshot.evaluation.run.versions", lambda: now)
    else:
        detector.settings = detector.settings.override(score_threshold=0.25)
    with pytest.raises(ConfigError, match=f"is of another run: .*{what}.* was .*, is "):
        evaluate(cast(Detector, detector), dataset, resume=journal, latency_images=0)
    assert detector.seen == []


def test_the_arrays_behind_the_figures(grey: CocoDataset) -> None:
    """The figures are means of the curves, the sums are sums of the times."""
    result = evaluate(planned(), grey, count=4, latency_images=2)
    assert result.curves.precision.shape == (10, 101, 3, 4, 3)
    assert result.curves.recall.shape == (10, 3, 4, 3)
    there = result.curves.precision[:, :, :, 0, 2]
    assert result.mAP == float(np.mean(there[there > -1]))
    assert result.times.image_ids.tolist() == [0, 1, 2, 3]
    assert result.times.sizes.tolist() == [[40, 20 + number] for number in range(4)]
    assert result.timing.detection == result.times.seconds[:, 2:].sum()
    assert result.times.latency_ids.tolist() == [0, 1]
    assert result.timing.latency == Latency.of(result.times.latency)


def test_a_journal_of_a_larger_run(grey: CocoDataset, tmp_path: Path) -> None:
    """Images of the journal that were not asked for this time do not count."""
    journal = tmp_path / "run.journal"
    evaluate(planned(), grey, resume=journal)
    result = evaluate(planned(), grey, count=2, resume=journal)
    assert (result.images, result.resumed) == (2, 2)
    same(result, evaluate(planned(), grey, count=2))


ROOT = Path(__file__).parents[2]
KILLED = """
import sys
from flatshot.evaluation.dataset import CocoDataset
from flatshot.evaluation.evaluate import evaluate
from tests.evaluation.conftest import planned
result = evaluate(planned(0.02), CocoDataset(sys.argv[1]), workers=2, resume=sys.argv[2],
                  latency_images=0)
"""


def test_kill_and_resume(tmp_path: Path) -> None:
    """Killed with -9 again and again, at any moment: the same figures, and no image twice."""
    root, journal = write_dataset(tmp_path / "set", 60), tmp_path / "run.journal"
    lines = [0]
    for _ in range(3):
        process = subprocess.Popen(
            [sys.executable, "-c", KILLED, str(root), str(journal)], cwd=ROOT, env=os.environ
        )
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline and process.poll() is None:
            done = journal.read_bytes().count(b"\n") if journal.exists() else 0
            if done >= lines[-1] + 10:
                break
            time.sleep(0.001)
        process.send_signal(signal.SIGKILL)
        process.wait()
        lines.append(journal.read_bytes().count(b"\n"))
    assert lines[1] < lines[2] < lines[3] < 62, "the runs were to die in the middle"
    dataset = CocoDataset(root)
    detector = PlannedDetector()
    result = evaluate(cast(Detector, detector), dataset, resume=journal, latency_images=0)
    assert len(detector.seen) == 62 - lines[3]
    assert result.resumed == lines[3] - 2
    texts = journal.read_text().splitlines()[2:]
    images = [json.loads(text.partition(" ")[2])["image"] for text in texts]
    assert sorted(images) == list(range(60))
    same(result, evaluate(planned(), dataset))
