"""`flatshot run`: the whole road of a checkpoint, a graph, a model and a package."""

import json
from pathlib import Path

import pytest

from flatshot.cli.main import COMMANDS, run
from flatshot.conversion.convert import convert
from flatshot.demo.scenes import write_dataset
from flatshot.errors import FileError
from flatshot.models.export import export
from flatshot.records.store import Records

Capture = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def _home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("find", "install", "env", "run", "ck"):
        if name not in COMMANDS:
            monkeypatch.setitem(COMMANDS, name, name)
    monkeypatch.setenv("FLATSHOT_HOME", str(tmp_path / "home"))
    monkeypatch.setattr("flatshot.cli.packages_menu.DEMO_SCENES", 2)
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A small data set."""
    folder = tmp_path_factory.mktemp("scenes")
    write_dataset(folder, 2)
    return str(folder)


def titles(out: str) -> list[str]:
    """What the rows of the table are called."""
    return [line.split("  ")[0] for line in out.splitlines()[2:]]


FOUR = [
    "regular NMS",
    "fast NMS",
    "fast graph, custom settings: regular NMS",
    "regular NMS, score threshold 0.00001",
]


def test_a_package(capsys: Capture, tmp_path: Path) -> None:
    """The demo's detector is installed, made into three models and measured on its scenes."""
    assert run(["run", "demo,model", "--json", "table.json"]) == 0
    assert titles(capsys.readouterr().out) == FOUR
    made = {path.name for path in (tmp_path / "flatshot-run" / "demo-detector").iterdir()}
    assert made == {"detect_regular_nms.tflite", "detect_fast_nms.tflite", "detect_no_nms.tflite"}
    entries = json.loads((tmp_path / "table.json").read_text())
    assert [entry["title"] for entry in entries] == FOUR
    assert entries[0]["metrics"] == entries[2]["metrics"]
    assert entries[0]["images"] == 2


def test_a_checkpoint(tiny: Path, scenes: str, capsys: Capture, tmp_path: Path) -> None:
    """A folder or a prefix, to a place of one's own, with records."""
    command = ["run", "--dataset", scenes, "--count", "1", "--workers", "1"]
    assert run([*command, str(tiny / "model.ckpt"), "-o", "out", "--record", "--tags=a,b"]) == 0
    assert titles(capsys.readouterr().out) == FOUR
    assert (tmp_path / "out" / "detect_no_nms.tflite").exists()
    with Records() as store:
        assert [record.name for record in store.find(["a", "b"])] == FOUR


@pytest.mark.parametrize("suffix", [".pb", ".tflite"])
def test_one_file(suffix: str, tiny: Path, scenes: str, capsys: Capture, tmp_path: Path) -> None:
    """A graph is converted once and a model not at all; the settings are overridden in memory."""
    graph = export(tiny)
    graph.save(tmp_path / "graph")
    path = tmp_path / "graph" / "tflite_graph.pb"
    if suffix == ".tflite":
        path = convert(graph).save(tmp_path / "model.tflite")
    assert run(["run", str(path), "--dataset", scenes, "--count", "1"]) == 0
    assert titles(capsys.readouterr().out) == [
        "as the model is",
        "regular NMS",
        "fast NMS",
        FOUR[3],
    ]
    assert (tmp_path / "flatshot-run").exists() is (suffix == ".pb")


@pytest.mark.parametrize("kind", ["model.json", "saved_model", "model.meta"])
def test_what_convert_takes(
    kind: str,
    tiny: Path,
    scenes: str,
    capsys: Capture,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A graph of any kind; what lies in a folder of a general name is called by the folder."""
    graph = export(tiny)
    place = tmp_path / "my_detector" / kind
    place.parent.mkdir()
    if kind == "saved_model":
        place.mkdir()
        (place / "saved_model.pb").touch()
    else:
        place.touch()
    # The readers have tests of their own: here only that they are asked.
    monkeypatch.setattr("flatshot.conversion.sources.load_graph", lambda source: graph)
    assert run(["run", str(place), "--dataset", scenes, "--count", "1", "--json", "-"]) == 0
    out = capsys.readouterr().out
    entries = json.loads(out)
    assert [entry["title"] for entry in entries][1:3] == ["regular NMS", "fast NMS"]
    name = {"model.json": "my_detector", "saved_model": "saved_model", "model.meta": "model"}[kind]
    assert entries[0]["model"] == f"flatshot-run/{name}/detect.tflite"
    assert not (tmp_path / "-").exists()


def test_tags_without_a_record(tiny: Path, scenes: str, capsys: Capture) -> None:
    """They would be for nothing; a bad tag is said before anything is made."""
    assert run(["run", str(tiny), "--dataset", scenes, "--tags", "a"]) == 2
    assert "add --record" in capsys.readouterr().err
    assert run(["run", str(tiny), "--dataset", scenes, "--record", "--tags", "a,-b"]) == 1
    assert "is no tag" in capsys.readouterr().err
    assert not Path("flatshot-run").exists()


def test_rows_that_were_measured_are_not_thrown_away(
    tiny: Path, scenes: str, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A record that fails ends the run, and what is measured by then is there."""

    def full(self: Records, *args: object, **more: object) -> str:
        raise FileError("the disk is full")

    monkeypatch.setattr(Records, "add_result", full)
    line = ["run", str(tiny), "--dataset", scenes, "--count", "1", "--record", "--json", "t.json"]
    assert run(line) == 1
    out, err = capsys.readouterr()
    assert "the disk is full" in err
    assert titles(out) == FOUR[:1]
    assert len(json.loads(Path("t.json").read_text())) == 1


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["nothing.tflite"], "'nothing.tflite' is no path that exists, and no package has tags"),
        (["demo-scenes"], "'demo-scenes' is a dataset, and a model is needed"),
        (["demo-detector", "--dataset", "demo-detector"], "is a model, and a dataset is needed"),
        (["mobilenet-v2"], "packages have tags 'mobilenet-v2'"),
    ],
)
def test_what_cannot_be_run(arguments: list[str], says: str, capsys: Capture) -> None:
    """It is said in a line, before anything is fetched."""
    assert run(["run", *arguments]) == 1
    error = capsys.readouterr().err
    assert says in error
    assert len(error.splitlines()) == 1


def test_no_data_set_behind_one_s_back(tiny: Path, capsys: Capture) -> None:
    """A gigabyte is not fetched unasked."""
    assert run(["run", str(tiny)]) == 1
    assert "`flatshot install coco-2017-val` (1.07 GB) first" in capsys.readouterr().err
