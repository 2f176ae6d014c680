"""`flatshot records`: list, show, compare, export and delete."""

import json
from pathlib import Path
from typing import Any

import pytest

from flatshot.cli.main import run
from flatshot.evaluation.dataset import CocoDataset
from flatshot.evaluation.evaluate import evaluate
from flatshot.records.store import Records
from tests.evaluation.conftest import PlannedDetector, planned, write_dataset


@pytest.fixture
def uids(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Two recorded runs that differ in their rounding."""
    monkeypatch.setenv("FLATSHOT_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    dataset = CocoDataset(write_dataset(tmp_path / "set"))
    exact, rounded = evaluate(planned(), dataset), evaluate(planned(), dataset, rounding="ck")
    with Records() as store:
        return [
            store.add_result(exact, name="one", tags=["mlperf", "exact"]),
            store.add_result(rounded, name="two", tags=["mlperf"]),
        ]


def test_list(uids: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """A line a record; tags must all match, and `-tag` forbids."""
    assert run(["records", "list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == ["uid", *uids]
    assert "exact,mlperf" in lines[1]
    assert run(["records", "list", "--tags", "mlperf,-exact", "--json", "-"]) == 0
    assert [record["uid"] for record in json.loads(capsys.readouterr().out)] == uids[1:]
    assert run(["records", "list", "--name", "nobody"]) == 0
    assert capsys.readouterr().out == "no records\n"


def test_show(uids: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """Every value under its key, and the same as JSON."""
    assert run(["records", "show", uids[0][:5]]) == 0
    out = capsys.readouterr().out
    assert out.startswith(f"{uids[0]} one (local, ")
    assert "settings.max_detections" in out
    assert "keeps detections, sha256 " in out
    assert run(["records", "show", "two", "--json", "-"]) == 0
    assert json.loads(capsys.readouterr().out)["uid"] == uids[1]
    assert run(["records", "show", "three"]) == 1
    assert "no record 'three'" in capsys.readouterr().err


def test_compare(uids: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """Only what differs, in the order that was asked for."""
    assert run(["records", "compare", "one", "two"]) == 0
    out = capsys.readouterr().out
    settings, _, figures = out.partition("\nfigures")
    assert ["options.rounding", "exact", "ck"] in [line.split() for line in settings.splitlines()]
    assert "max_detections" not in out
    assert "timing." in figures
    assert run(["records", "compare", "two", "one", "--all", "--json", "-"]) == 0
    content = json.loads(capsys.readouterr().out)
    assert content["records"] == uids[::-1]
    rows = {row["key"]: row for row in content["settings"] + content["figures"]}
    assert rows["options.rounding"]["values"] == ["ck", "exact"]
    assert rows["settings.max_detections"]["values"] == [10, 10]
    assert rows["images"]["change"] == 0
    assert run(["records", "compare", "one"]) == 2
    assert "two records or more" in capsys.readouterr().err


def test_the_verdict(uids: list[str], capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """With its interval where the images are there; in words why not where they are not."""
    dataset = CocoDataset(tmp_path / "set")
    worse = PlannedDetector()
    worse.shift = 0.4
    with Records() as store:
        for name, detector, count in (
            ("right", PlannedDetector(), 6),
            ("again", PlannedDetector(), 6),
            ("worse", worse, 6),
            ("fewer", PlannedDetector(), 3),
        ):
            made: Any = detector
            result = evaluate(made, dataset, count=count, latency_images=0)
            store.add_result(result, name=name, dataset=str(tmp_path / "set"), model="m")
    assert run(["records", "compare", "right", "again", "worse", "fewer", "--json", "v.json"]) == 0
    lines = capsys.readouterr().out.splitlines()[-3:]
    assert lines[0].endswith(": +0.0 AP, 95 % interval +0.0 .. +0.0: no difference shown")
    assert lines[1].endswith(": a difference")
    assert lines[2].endswith("no verdict: they were measured on other images")
    verdicts = json.loads(Path("v.json").read_text())["verdicts"]
    with Records() as store:
        one, other = (store.get(name).content["mAP"] for name in ("right", "worse"))
    # hotcoco's own means of the same arrays.
    assert verdicts[1]["change"] == pytest.approx(other - one, abs=1e-12)
    assert verdicts[1]["lower"] <= verdicts[1]["change"] <= verdicts[1]["upper"] < 0
    assert verdicts[2] is None
    assert run(["records", "compare", "one", "two"]) == 0
    assert "no verdict: one does not say its data set" in capsys.readouterr().out


def test_compare_equal_records(uids: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """No difference is said in words."""
    assert run(["records", "compare", "one", uids[0]]) == 0
    out = capsys.readouterr().out
    assert "settings: no difference\n\nfigures: no difference" in out


def test_export(uids: list[str], capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """The whole record, with its detections if asked, as COCO results."""
    file = tmp_path / "deep" / "one.json"
    assert run(["records", "export", "one", str(file), "--detections"]) == 0
    assert capsys.readouterr().out == ""
    content = json.loads(file.read_text())
    assert content["content"]["recall"] == 1
    assert len(content["coco_results"]) == 6
    first = content["coco_results"][0]
    assert first == {
        "image_id": 0,
        "category_id": 2,
        "bbox": [0.0, 0.0, 20.0, 20.0],
        "score": first["score"],
    }
    # The score travels as the float32 that it was.
    assert abs(first["score"] - 100 / 255) <= 3e-8
    assert run(["records", "export", "one", "-"]) == 0
    assert "coco_results" not in json.loads(capsys.readouterr().out)


def test_delete(uids: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """Without a terminal nobody is asked and nothing goes without --yes."""
    assert run(["records", "delete", "one"]) == 1
    assert "--yes" in capsys.readouterr().err
    assert run(["records", "delete", "one", "nobody", "--yes"]) == 1
    assert run(["records", "list", "--json", "-"]) == 0
    out = capsys.readouterr().out
    assert len(json.loads(out)) == 2, "one unknown record spares them all"
    assert run(["records", "delete", "one", uids[0], "two", "--yes"]) == 0
    assert capsys.readouterr().out.split() == ["deleted", uids[0], "deleted", uids[1]]
    assert run(["records", "list"]) == 0
    assert capsys.readouterr().out == "no records\n"
