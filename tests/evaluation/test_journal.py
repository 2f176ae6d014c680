"""The journal keeps outcomes exactly, survives being torn, and refuses what is not its own."""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from flatshot.errors import ConfigError, FileError
from flatshot.evaluation.journal import Journal
from flatshot.evaluation.outcome import Outcome

HEADER: dict[str, Any] = {"model": "aa", "settings": {"max_detections": 10, "nms": 0.1}}


def outcome(number: int) -> Outcome:
    """Image `number` with `number` detections."""
    rng = np.random.default_rng(number)
    return Outcome(
        image_id=number,
        width=640,
        height=480 + number,
        boxes=rng.normal(size=(number, 4)).astype(np.float32),
        scores=rng.random(number, np.float32),
        classes=rng.integers(0, 90, number).astype(np.int32),
        seconds=(0.001, 0.002, 0.03, 0.0000004),
    )


def equal(one: Outcome, other: Outcome) -> None:
    """The same to the last bit; times to a tenth of a microsecond."""
    assert (one.image_id, one.width, one.height) == (other.image_id, other.width, other.height)
    for name in ("boxes", "scores", "classes"):
        mine, theirs = getattr(one, name), getattr(other, name)
        assert mine.dtype == theirs.dtype
        np.testing.assert_array_equal(mine, theirs)
    # Lines keep seven decimals.
    np.testing.assert_allclose(one.seconds, other.seconds, rtol=0, atol=5.1e-8)


def write(path: Path, numbers: range = range(4)) -> bytes:
    """A journal of those images, and its bytes."""
    with Journal(path, HEADER) as journal:
        for number in numbers:
            journal.add(outcome(number))
    return path.read_bytes()


def lines(content: bytes) -> list[bytes]:
    """The lines of a journal."""
    return content.splitlines(keepends=True)


def test_outcomes_come_back(tmp_path: Path) -> None:
    """Detections bit by bit, and no failures; the file's folder is made."""
    path = tmp_path / "deep" / "run.journal"
    write(path)
    with Journal(path, HEADER) as journal:
        journal.add(Outcome(9, error="9.jpg: no image"))
    with Journal(path, HEADER) as journal:
        assert sorted(journal.outcomes) == [0, 1, 2, 3]
        for number in range(4):
            equal(journal.outcomes[number], outcome(number))


@given(
    boxes=arrays.arrays(np.float32, st.tuples(st.integers(0, 5), st.just(4))),
    width=st.integers(1, 2**20),
)
def test_any_boxes_come_back(
    tmp_path_factory: pytest.TempPathFactory, boxes: Any, width: int
) -> None:
    """Also infinities, NaN and denormals: the bits are kept, not their decimals."""
    path = tmp_path_factory.mktemp("journal") / "run.journal"
    n = len(boxes)
    one = Outcome(1, width, 1, boxes, boxes[:, 0], np.zeros(n, np.int32))
    with Journal(path, HEADER) as journal:
        journal.add(one)
    with Journal(path, HEADER) as journal:
        assert journal.outcomes[1].boxes.tobytes() == boxes.tobytes()
        equal(journal.outcomes[1], one)


def test_torn_at_every_byte(tmp_path: Path) -> None:
    """Cut anywhere, it gives back the whole lines, and goes on from there."""
    path = tmp_path / "run.journal"
    whole = write(path, range(3))
    rest = [line for line in lines(whole) if b"journal" not in line[9:20]]
    for cut in range(len(whole)):
        path.write_bytes(whole[:cut])
        with Journal(path, HEADER) as journal:
            there = sorted(journal.outcomes)
            assert there == list(range(max(whole[:cut].count(b"\n") - 2, 0)))
            for number in range(len(there), 3):
                journal.add(outcome(number))
        now = path.read_bytes()
        if cut > whole.index(b"\n", whole.index(b"\n") + 1):
            assert now == whole
        else:  # the name of the journal is drawn anew
            assert [line for line in lines(now) if b"journal" not in line[9:20]] == rest
            assert len(lines(now)) == len(rest) + 1


def test_its_name_stays(tmp_path: Path) -> None:
    """Drawn once, whoever opens it later; another journal has another."""
    paths = [tmp_path / name for name in "ab"]
    uids = []
    for path in (*paths, *paths):
        with Journal(path, HEADER) as journal:
            uids.append(journal.uid)
            journal.add(outcome(1))
    assert uids[:2] == uids[2:]
    assert len({*uids}) == 2
    assert all(len(uid) == 32 for uid in uids)


def test_damage_in_the_middle(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A changed line is noticed by its checksum: its image runs again."""
    path = tmp_path / "run.journal"
    parts = lines(write(path))
    parts[3] = parts[3].replace(b'"size":[640', b'"size":[641')
    path.write_bytes(b"".join(parts))
    with Journal(path, HEADER) as journal:
        assert sorted(journal.outcomes) == [0, 2, 3]
    assert "1 damaged lines" in caplog.text


def test_an_image_twice_counts_once(tmp_path: Path) -> None:
    """The later one holds: the image changed in between."""
    path = tmp_path / "run.journal"
    write(path)
    with Journal(path, HEADER) as journal:
        journal.add(dataclasses.replace(outcome(1), width=7, stamp=(3, 4)))
    with Journal(path, HEADER) as journal:
        assert sorted(journal.outcomes) == [0, 1, 2, 3]
        assert (journal.outcomes[1].width, journal.outcomes[1].stamp) == (7, (3, 4))


def test_another_run(tmp_path: Path) -> None:
    """What changed is said, and the file is left alone."""
    path = tmp_path / "run.journal"
    whole = write(path)
    other = {"model": "aa", "settings": {"max_detections": 20, "nms": 0.1}}
    with pytest.raises(ConfigError, match="settings max_detections was 10, is 20"):
        Journal(path, other)
    assert path.read_bytes() == whole


@pytest.mark.parametrize("content", [b"my thesis", b"my thesis\n", b"00000000 {}\n", b"\xff\n\n"])
def test_files_that_are_no_journals(tmp_path: Path, content: bytes) -> None:
    """Nothing of the user's is ever overwritten."""
    path = tmp_path / "thesis.txt"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match="no journal"):
        Journal(path, HEADER)
    assert path.read_bytes() == content


def test_two_runs_at_once(tmp_path: Path) -> None:
    """The second one is told; once the first is done it may go on."""
    path = tmp_path / "run.journal"
    with Journal(path, HEADER), pytest.raises(ConfigError, match="another run"):
        Journal(path, HEADER)
    Journal(path, HEADER).close()


def test_a_place_that_cannot_be_written(tmp_path: Path) -> None:
    """A folder is no journal."""
    with pytest.raises(FileError, match="cannot keep the journal"):
        Journal(tmp_path, HEADER)
