"""Records survive other writers and crashes, and are found by their tags."""

import contextlib
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flatshot.errors import ChecksumError, FileError, RecordError
from flatshot.evaluation.dataset import CocoDataset
from flatshot.evaluation.evaluate import evaluate
from flatshot.home import home
from flatshot.records.store import Records
from tests.evaluation.conftest import planned, write_dataset


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Records]:
    """An empty store."""
    with Records(tmp_path / "home") as records:
        yield records


def artefacts(store: Records) -> list[Path]:
    """The files beside the database."""
    return sorted(path for path in (store.path / "artefacts").rglob("*") if path.is_file())


def test_a_record_comes_back(store: Records) -> None:
    """Content, name, tags and artefacts, in another opening of the store."""
    content = {"mAP": 0.2030431203492965, "settings": {"max_detections": 100}, "none": None}
    uid = store.add(content, name="first", tags=["MLPerf", " tflite "], artefacts={"raw": b"abc"})
    store.close()
    with Records(store.path) as again:
        record = again.get(uid)
        assert record.content == content
        assert (record.name, record.repo, record.tags) == ("first", "local", ("mlperf", "tflite"))
        assert again.artefact(record, "raw") == b"abc"
        assert again.find() == [record]


def test_a_result_comes_back(store: Records, tmp_path: Path) -> None:
    """An evaluation with its detections, to the last bit."""
    result = evaluate(planned(), CocoDataset(write_dataset(tmp_path / "set")))
    uid = store.add_result(result, name="run", tags=["a"], model="detect.tflite")
    record = store.get(uid)
    assert record.content == {"model": "detect.tflite", **result.to_json()}
    assert record.content["model_sha256"] == result.run.model
    np.testing.assert_array_equal(store.detections(record), result.detections)
    for kept, had in (
        (store.curves(record), result.curves),
        (store.times(record), result.times),
    ):
        for name, value in vars(had).items():
            np.testing.assert_array_equal(getattr(kept, name), value)


def test_lookup(store: Records) -> None:
    """By uid, by its beginning, by a name that only one has; otherwise an error that helps."""
    one = store.add({}, name="twin")
    two = store.add({}, name="twin")
    three = store.add({}, name="single")
    assert store.get(one).uid == one
    assert store.get(three[:6]).uid == three
    assert store.get("single").uid == three
    with pytest.raises(RecordError, match=f"2 records are called 'twin'.*{one}, {two}"):
        store.get("twin")
    for nothing in ("", "nobody", one[:3], "____", "%"):
        with pytest.raises(RecordError, match="no record"):
            store.get(nothing)


words = st.sets(st.sampled_from("abcd"))


@given(bags=st.lists(words, max_size=6), wanted=words, forbidden=words)
def test_tag_queries(
    tmp_path_factory: pytest.TempPathFactory,
    bags: list[set[str]],
    wanted: set[str],
    forbidden: set[str],
) -> None:
    """All that are wanted, none that are forbidden."""
    with Records(tmp_path_factory.mktemp("home")) as store:
        uids = {store.add({}, tags=bag): bag for bag in bags}
        query = [*wanted, *(f"-{word}" for word in forbidden)]
        found = {record.uid for record in store.find(query)}
        assert found == {uid for uid, bag in uids.items() if wanted <= bag and not bag & forbidden}


def test_find_by_name_and_repository(store: Records) -> None:
    """Both are exact."""
    one = store.add({}, name="x", repo="local")
    two = store.add({}, name="x", repo="paper")
    assert [record.uid for record in store.find(name="x")] == [one, two]
    assert [record.uid for record in store.find(name="x", repo="paper")] == [two]
    assert store.find(name="y") == []


@pytest.mark.parametrize("tag", ["", " ", "-a", "a,b"])
def test_words_that_are_no_tags(store: Records, tag: str) -> None:
    """A tag that a query could not ask for is refused."""
    with pytest.raises(RecordError, match="no tag"):
        store.add({}, tags=[tag])
    assert store.find() == []


def test_content_that_is_no_json(store: Records) -> None:
    """Nothing is kept that could not be read again."""
    for content in ({"a": object()}, {"a": float("nan")}):
        with pytest.raises(RecordError, match="JSON"):
            store.add(content)
    assert store.find() == []


def test_deleting(store: Records) -> None:
    """Shared artefacts stay with the other record, and go with the last one."""
    one = store.add({}, tags=["a"], artefacts={"raw": b"same", "own": b"one"})
    two = store.add({}, artefacts={"raw": b"same"})
    assert len(artefacts(store)) == 2
    store.delete(one)
    assert [record.uid for record in store.find()] == [two]
    assert store.artefact(store.get(two), "raw") == b"same"
    assert len(artefacts(store)) == 1
    store.delete(two)
    assert artefacts(store) == []
    with pytest.raises(RecordError, match="no record"):
        store.delete(two)
    with contextlib.closing(sqlite3.connect(store.path / "records.sqlite")) as rows:
        assert rows.execute("SELECT count(*) FROM tags").fetchone() == (0,)
        assert rows.execute("SELECT count(*) FROM artefacts").fetchone() == (0,)


def test_damaged_artefacts(store: Records) -> None:
    """Changed or missing bytes are noticed, and kept anew by the next run that has them."""
    record = store.get(store.add({}, artefacts={"raw": b"abcd"}))
    (path,) = artefacts(store)
    path.write_bytes(b"abcX")
    with pytest.raises(ChecksumError, match="has changed"):
        store.artefact(record, "raw")
    path.unlink()
    with pytest.raises(FileError, match="cannot read"):
        store.artefact(record, "raw")
    with pytest.raises(RecordError, match="keeps no 'dets'; it keeps: raw"):
        store.artefact(record, "dets")
    store.add({}, artefacts={"raw": b"abcd"})
    assert store.artefact(record, "raw") == b"abcd"


def test_a_failed_write_leaves_nothing(store: Records, monkeypatch: pytest.MonkeyPatch) -> None:
    """The row and its tags come together or not at all."""
    calls = []

    def fail_second(self: Records, data: bytes) -> str:
        calls.append(data)
        if len(calls) == 2:  # inside of the transaction, after the row and the tags
            raise FileError("disk full")
        return "00"

    monkeypatch.setattr(Records, "_keep", fail_second)
    with pytest.raises(FileError, match="disk full"):
        store.add({}, tags=["a"], artefacts={"raw": b"abc"})
    assert store.find() == []
    monkeypatch.undo()
    store.add({}, tags=["a"])
    assert len(store.find(["a"])) == 1


WRITER = """
import sys
from flatshot.records.store import Records
for number in range(int(sys.argv[3])):
    with Records(sys.argv[1]) as store:
        store.add({"number": number}, name=sys.argv[2], tags=[sys.argv[2]],
                  artefacts={"raw": b"%d" % number * 1000})
        print(number, flush=True)
"""


def start(path: Path, name: str, number: int) -> "subprocess.Popen[bytes]":
    """Another process that writes so many records."""
    return subprocess.Popen(
        [sys.executable, "-c", WRITER, str(path), name, str(number)],
        env=os.environ,
        stdout=subprocess.PIPE,
    )


def test_concurrent_writers(tmp_path: Path) -> None:
    """Four processes start one store at the same time; every record is there, whole."""
    writers = [start(tmp_path / "home", f"writer{number}", 15) for number in range(4)]
    for writer in writers:
        writer.communicate(timeout=120)
    assert [writer.returncode for writer in writers] == [0] * 4
    with Records(tmp_path / "home") as store:
        for number in range(4):
            found = store.find([f"writer{number}"])
            assert [record.content["number"] for record in found] == list(range(15))
            for record in found:
                expected = b"%d" % record.content["number"] * 1000
                assert store.artefact(record, "raw") == expected
        assert len(artefacts(store)) == 15


def test_killed_writers(tmp_path: Path) -> None:
    """Killed with -9 in the middle: what was reported as kept is there, and all there is whole."""
    kept = 0
    for number in range(3):
        writer = start(tmp_path / "home", "victim", 100_000)
        assert writer.stdout is not None
        reported = [writer.stdout.readline() for _ in range(5 + number)]
        time.sleep(0.002 * number)
        writer.send_signal(signal.SIGKILL)
        rest, _ = writer.communicate()
        kept += len(reported) + rest.count(b"\n")
    with Records(tmp_path / "home") as store:
        found = store.find(["victim"])
        # The last one may have been killed between keeping and reporting.
        assert kept <= len(found) <= kept + 3
        for record in found:
            assert store.artefact(record, "raw") == b"%d" % record.content["number"] * 1000
        store.add({}, name="after")


def test_a_torn_log(tmp_path: Path) -> None:
    """SQLite's log cut anywhere after a crash: a prefix of the records, none of them torn."""
    with Records(tmp_path / "home") as store:
        for number in range(4):
            store.add({"number": number}, tags=["t"])
        # As a crash leaves it: the log was not merged, for the store is still open.
        copies = {path.name: path.read_bytes() for path in store.path.glob("records.sqlite*")}
    log = copies["records.sqlite-wal"]
    seen = set()
    for cut in (*range(0, len(log), 512), len(log)):
        torn = tmp_path / f"cut{cut}"
        torn.mkdir()
        (torn / "records.sqlite").write_bytes(copies["records.sqlite"])
        (torn / "records.sqlite-wal").write_bytes(log[:cut])
        with Records(torn) as store:
            numbers = [record.content["number"] for record in store.find(["t"])]
        assert numbers == list(range(len(numbers)))
        seen.add(len(numbers))
    assert seen == {0, 1, 2, 3, 4}


def test_files_that_are_no_store(tmp_path: Path) -> None:
    """A foreign file is an error and is left alone; so is a store of the future."""
    (tmp_path / "records.sqlite").write_bytes(b"my thesis, not a database" * 100)
    with pytest.raises(RecordError, match="do not work"):
        Records(tmp_path)
    assert (tmp_path / "records.sqlite").read_bytes().startswith(b"my thesis")
    Records(tmp_path / "future").close()
    with contextlib.closing(sqlite3.connect(tmp_path / "future" / "records.sqlite")) as rows:
        rows.execute("PRAGMA user_version = 99")
    with pytest.raises(RecordError, match="later Flatshot"):
        Records(tmp_path / "future")
    (tmp_path / "file").touch()
    with pytest.raises(FileError, match="cannot keep records"):
        Records(tmp_path / "file" / "home")


def test_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """FLATSHOT_HOME decides; without it, the platform's folder for user data."""
    monkeypatch.setenv("FLATSHOT_HOME", str(tmp_path))
    assert home() == tmp_path
    monkeypatch.delenv("FLATSHOT_HOME")
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "share"))
    monkeypatch.setenv("HOME", str(tmp_path))
    assert tmp_path in home().parents
    assert home().name == "flatshot"
