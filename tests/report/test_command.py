"""`flatshot report`: from records and results to a page, and what is refused."""

import json
from pathlib import Path

import pytest

from flatshot.cli.main import run
from flatshot.records.store import Records
from tests.report.studies import found_boxes, study, write_set


@pytest.fixture
def recorded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a data set, two records `one` and `two`, and their results as JSON."""
    from flatshot.records.packing import pack_detections

    monkeypatch.setenv("FLATSHOT_HOME", str(tmp_path / "home"))
    dataset = write_set(tmp_path / "set", ["cat", "dog"])
    with Records() as store:
        for seed, name in enumerate(("one", "two")):
            made = study(dataset, found_boxes(dataset, 0.8, seed), f"{name}.tflite")
            content = {**made.content, "dataset": str(tmp_path / "set")}
            detections = pack_detections(made.detections)
            uid = store.add(content, name=name, artefacts={"detections": detections})
            (tmp_path / f"{name}.json").write_text(json.dumps({**content, "record": uid}))
    return tmp_path


def test_a_record_and_a_result(recorded: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Both give the same page; what is said goes to stderr."""
    for key in ("one", str(recorded / "one.json")):
        page = recorded / "page.html"
        assert run(["report", key, "-o", str(page)]) == 0
        assert "<title>one.tflite" in page.read_text()
    assert capsys.readouterr().out == ""


def test_two_records(recorded: Path) -> None:
    """Two are compared."""
    page = recorded / "page.html"
    assert run(["report", "one", "two", "--output", str(page)]) == 0
    assert "minus one.tflite" in page.read_text()


def test_an_exported_record(recorded: Path) -> None:
    """`records export --detections` writes all that a page needs but the data set."""
    exported = recorded / "exported.json"
    assert run(["records", "export", "one", str(exported), "--detections"]) == 0
    assert run(["report", str(exported), "-o", str(recorded / "page.html")]) == 0


def test_detections_of_other_tools(recorded: Path) -> None:
    """A result that keeps no detections takes them from a file of COCO results."""
    content = json.loads((recorded / "one.json").read_text())
    del content["record"]
    (recorded / "bare.json").write_text(json.dumps(content))
    box = {"image_id": 0, "category_id": 1, "bbox": [1, 2, 3, 4], "score": 0.5}
    (recorded / "found.json").write_text(json.dumps([box]))
    line = ["report", str(recorded / "bare.json"), "-o", str(recorded / "page.html")]
    assert run(line) == 1
    assert run([*line, "--detections", str(recorded / "found.json")]) == 0


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["nosuch"], "no record 'nosuch'"),
        (["{}/set/annotations/instances_pictures.json"], "is no result"),
        (["{}/set/pictures/00.jpg"], "not a JSON file"),
        (["one", "--dataset", "{}/nowhere"], "nowhere"),
    ],
)
def test_refusals(
    recorded: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], reason: str
) -> None:
    """One line on stderr, exit code 1, and no page."""
    page = recorded / "page.html"
    given = [text.format(recorded) for text in arguments]
    assert run(["report", *given, "-o", str(page)]) == 1
    told = capsys.readouterr().err
    assert reason in told
    assert told.count("\n") == 1
    assert not page.exists()


def test_a_data_set_that_moved(recorded: Path) -> None:
    """The page says what to give, and takes it."""
    (recorded / "set").rename(recorded / "elsewhere")
    page = recorded / "page.html"
    assert run(["report", "one", "-o", str(page)]) == 1
    line = ["report", "one", "-o", str(page), "--dataset", str(recorded / "elsewhere")]
    assert run(line) == 0
