"""Names that a terminal would obey: attack 21, and names of other files."""

from pathlib import Path

import pytest

from flatshot.cli.main import run
from flatshot.cli.tables import pairs, table
from flatshot.cli.terminal import visible, visible_lines
from flatshot.formats.graphdef import Graph, Node
from flatshot.records.store import Records
from tests.hostile.samples import constant, placeholder

NASTY = "a\x1b]0;owned\x07\x1b[2J\x9b31m\r\n\u202eb"


def test_what_is_visible() -> None:
    """Escapes in the place of control characters; letters of all languages stay."""
    assert visible("na\u00efve \u4e2d\U0001f600 \\x1b") == "na\u00efve \u4e2d\U0001f600 \\x1b"
    assert visible(NASTY) == r"a\x1b]0;owned\x07\x1b[2J\x9b31m\r\n\u202eb"
    assert visible("\ud800") == r"\ud800"
    assert visible_lines("a\x1b\nb") == "a\\x1b\nb"


def test_tables_stay_in_their_lines() -> None:
    """A name with an end of line makes no second row."""
    assert len(table([NASTY], [[NASTY], ["b"]]).splitlines()) == 4
    assert len(pairs([(NASTY, NASTY)]).splitlines()) == 1


def obeyed(text: str) -> bool:
    """Whether a terminal would do more than show the text."""
    return any(not line.isprintable() for line in text.split("\n"))


@pytest.mark.parametrize("name", ["esc.tflite", "esc.pbtxt"])
@pytest.mark.parametrize("more", [[], ["--operators"], ["--tensors"]])
def test_inspection_shows_escapes(
    data: Path, capsys: pytest.CaptureFixture[str], name: str, more: list[str]
) -> None:
    """Of tensors and operators."""
    run(["inspect", str(data / "attacks" / "21-escapes-on-terminal" / name), *more])
    told = capsys.readouterr()
    assert told.out + told.err
    assert not obeyed(told.out + told.err)


def test_errors_show_escapes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The names that they speak of are those of the file."""
    nodes = (placeholder(1, 4), constant("c", [1.0]), Node("out", NASTY, ("x", "c"), {}))
    (tmp_path / "g.pb").write_bytes(Graph(nodes).to_bytes())
    target = str(tmp_path / "o.tflite")
    arguments = ["convert", str(tmp_path / "g.pb"), "-o", target, "--output_arrays=out"]
    assert run(arguments) == 1
    told = capsys.readouterr().err
    assert "owned" in told
    assert not obeyed(told)
    assert len(told.splitlines()) == 1


def test_records_show_escapes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Of names, tags, repositories and what they hold."""
    monkeypatch.setenv("FLATSHOT_HOME", str(tmp_path))
    with Records() as store:
        uids = [
            store.add({f"k{NASTY}": f"{NASTY}{n}"}, name=NASTY, repo=NASTY, tags=["x\x1b[2J"])
            for n in range(2)
        ]
    for arguments in (["list"], ["show", uids[0]], ["compare", *uids]):
        assert run(["records", *arguments]) == 0
    told = capsys.readouterr()
    assert "owned" in told.out
    assert not obeyed(told.out + told.err)
