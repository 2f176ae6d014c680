"""Stores and journals from strangers: attacks 03 and 15."""

import io
import json
import sqlite3
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from flatshot.cli.main import run
from flatshot.errors import ConfigError, FormatError, RecordError
from flatshot.evaluation.journal import Journal
from flatshot.formats.json_text import parse_json
from flatshot.records import packing
from flatshot.records.packing import pack_detections, unpack_detections
from flatshot.records.store import Records

ROWS = np.arange(14.0).reshape(2, 7)


@pytest.fixture
def stranger(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """A store with one record, changed by a statement of SQL: gives the record's uid."""
    monkeypatch.setenv("FLATSHOT_HOME", str(tmp_path / "home"))

    def make(statement: str, *values: Any) -> str:
        with Records() as store:
            uid = store.add({"mAP": 1.0}, artefacts={"detections": pack_detections(ROWS)})
        db = sqlite3.connect(tmp_path / "home" / "records.sqlite")
        db.execute("PRAGMA writable_schema = ON")
        db.execute(statement, values)
        db.commit()
        db.close()
        return uid

    return make


@pytest.mark.parametrize("name", ["{}", "../../{}", "ab/../../../{}", ""])
def test_no_path_in_a_database_is_followed(
    tmp_path: Path, stranger: Callable[..., str], capsys: pytest.CaptureFixture[str], name: str
) -> None:
    """Neither deleted nor read: an absolute path, one that leads up, a folder of the store."""
    victim = tmp_path / "precious.txt"
    victim.write_text("precious")
    uid = stranger("UPDATE artefacts SET sha256 = ?", name.format(victim))
    assert run(["records", "export", uid, "-", "--detections"]) == 1
    assert run(["records", "delete", uid, "--yes"]) == 1
    told = capsys.readouterr().err.splitlines()
    assert len(told) == 2
    assert all("which is no SHA-256" in line for line in told)
    assert victim.read_text() == "precious"


@pytest.mark.parametrize(
    ("statement", "value"),
    [
        ("UPDATE records SET content = ?", "no JSON"),
        ("UPDATE records SET content = ?", "[" * 100_000),
        ("UPDATE records SET content = ?", '{"a":' * 200 + "1" + "}" * 200),
        ("UPDATE records SET content = ?", "[1]"),
        ("UPDATE records SET content = ?", '{"mAP": Infinity}'),
        ("UPDATE records SET content = ?", '{"mAP": 1' + "0" * 400 + "}"),
        ("UPDATE records SET content = ?", '{"mAP": "\\ud800"}'),
        ("UPDATE records SET name = CAST(? AS TEXT)", b"\xff\xfe"),
    ],
)
@pytest.mark.parametrize("arguments", [["list"], ["show"], ["compare"]])
def test_foreign_content_is_refused_in_a_line(
    stranger: Callable[..., str],
    capsys: pytest.CaptureFixture[str],
    statement: str,
    value: object,
    arguments: list[str],
) -> None:
    """Whatever stands in the columns, and whatever else stands in the file."""
    uid = stranger(statement, value)
    keys = {"list": [], "show": [uid], "compare": [uid, uid]}[arguments[0]]
    code = run(["records", *arguments, *keys])
    told = capsys.readouterr().err
    assert code == 1
    assert len(told.splitlines()) == 1, told


@pytest.mark.parametrize(
    ("statement", "what"),
    [
        ("CREATE TRIGGER t AFTER DELETE ON tags BEGIN DELETE FROM records; END", "trigger 't'"),
        ("CREATE VIEW v AS SELECT 1", "view 'v'"),
        ("CREATE TABLE x (a, b AS (a + 1))", "table 'x'"),
    ],
)
def test_what_computes_is_refused(stranger: Callable[..., str], statement: str, what: str) -> None:
    """It would run with our own statements."""
    stranger(statement)
    with pytest.raises(RecordError, match=f"a {what} that Flatshot did not make"):
        Records()


def test_pages_that_are_damaged(tmp_path: Path) -> None:
    """A store of many pages, each byte of some changed: an answer or a RecordError."""
    with Records(tmp_path) as store:
        for number in range(40):
            store.add({"n": "x" * 200}, name=f"r{number}", tags=["a", "b"])
    file = tmp_path / "records.sqlite"
    good = file.read_bytes()
    rng = np.random.default_rng(5)
    refused = 0
    for _ in range(60):
        bad = np.frombuffer(good, np.uint8).copy()
        places = rng.integers(100, bad.size, 30)
        bad[places] = rng.integers(0, 256, 30)
        file.write_bytes(bad.tobytes())
        try:
            with Records(tmp_path) as store:
                store.find(["a"])
        except RecordError:
            refused += 1
    assert refused > 10


def npz(**arrays: Any) -> bytes:
    """An archive of arrays."""
    file = io.BytesIO()
    np.savez_compressed(file, **arrays)
    return file.getvalue()


@pytest.mark.parametrize(
    "make",
    [
        lambda: b"",
        lambda: b"PK\x05\x06",
        lambda: npz(image_id=np.zeros(2)),
        lambda: pack_detections(ROWS)[:-30],
        lambda: npz(image_id=["a"], category_id=["b"], bbox=[["c"] * 4], score=["d"]),
        lambda: npz(image_id=[1], category_id=[1], bbox=[[1]], score=[1]),
        lambda: npz(image_id=[1, 2], category_id=[1], bbox=[[1] * 4], score=[1]),
        lambda: pack_detections(np.full((1, 7), np.nan)),
    ],
)
@pytest.mark.filterwarnings("ignore:invalid value encountered in cast")
def test_detections_of_a_stranger(make: Callable[[], bytes]) -> None:
    """Rows of seven numbers, or a RecordError."""
    np.testing.assert_array_equal(unpack_detections(pack_detections(ROWS)), ROWS)
    with pytest.raises(RecordError, match="the detections of the record"):
        unpack_detections(make())


def test_detections_that_unfold_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two megabytes of nothing in two kilobytes, where one is the most."""
    monkeypatch.setattr(packing, "_MOST_UNPACKED", 1 << 20)
    with pytest.raises(RecordError, match="unfold to more than they can be"):
        unpack_detections(npz(bbox=np.zeros(1 << 18)))


def line(content: str) -> bytes:
    """A line of a journal with the right checksum."""
    return b"%08x %s\n" % (zlib.crc32(content.encode()), content.encode())


OUTCOME = {
    "image": 7,
    "size": [4, 3],
    "file": [10, 20],
    "seconds": [0.1, 0.1, 0.1, 0.1],
    "found": "",
}


@pytest.mark.parametrize(
    "content",
    [
        json.dumps({**OUTCOME, "image": float("inf")}),
        json.dumps({**OUTCOME, "size": [4, float("inf")]}),
        json.dumps({**OUTCOME, "size": [1e300, 2]}),
        json.dumps({**OUTCOME, "seconds": [1, 2, 3]}),
        json.dumps({**OUTCOME, "file": [1.5, 2]}),
        json.dumps({**OUTCOME, "file": 3}),
        json.dumps({**OUTCOME, "found": "AAAA"}),
        json.dumps({**OUTCOME, "image": 10**30}),
        "[" * 1000 + "]" * 1000,
        "[" * 100_000,
        "7",
    ],
)
def test_a_line_of_a_journal_that_cannot_be(
    tmp_path: Path, content: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Its image runs again; as a first line it makes the file no journal."""
    path = tmp_path / "journal"
    with Journal(path, {"model": "m"}):
        pass
    good = path.read_bytes()
    path.write_bytes(good + line(json.dumps(OUTCOME)) + line(content))
    with Journal(path, {"model": "m"}) as journal:
        assert set(journal.outcomes) == {7}
    assert "1 damaged lines" in caplog.text
    if not content.startswith("{"):
        path.write_bytes(line(content))
        with pytest.raises(ConfigError, match="is no journal"):
            Journal(path, {"model": "m"})


@pytest.mark.parametrize(
    "text", [b"\xff", "{", "NaN", "-Infinity", "1e999", '"\\udfff"', '{"\\ud834": 1}', str(2**63)]
)
def test_json_that_nobody_can_rely_on(text: str | bytes) -> None:
    """Refused by one error."""
    with pytest.raises(FormatError):
        parse_json(text)


def test_json_that_is_sound() -> None:
    """Pairs of surrogates are a character; whole numbers go to the end of 64 bits."""
    text = '{"a": ["\\ud834\\udd1e", -9223372036854775808, 1.5, null, true]}'
    assert parse_json(text) == {"a": ["\U0001d11e", -(2**63), 1.5, None, True]}
