"""Every recorded run: a row of SQLite, with its bulky parts beside it by their content's hash.

    HOME/records.sqlite            records, their tags, which artefacts they hold (WAL mode)
    HOME/artefacts/ab/ab12...      bytes named by their SHA-256, written beside and renamed

HOME is `FLATSHOT_HOME`, or the platform's folder for user data. Several processes may write at
once: each change is one IMMEDIATE transaction, and whoever comes second waits. A crash at any
moment leaves the records as they were, and at most an artefact that nobody refers to.
"""

import contextlib
import hashlib
import json
import os
import re
import secrets
import sqlite3
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from flatshot.errors import ChecksumError, FileError, FormatError, RecordError
from flatshot.evaluation.metrics import Curves, FloatArray
from flatshot.evaluation.result import Result
from flatshot.evaluation.timing import Times
from flatshot.formats.files import StrPath, read_bytes, write_beside
from flatshot.formats.json_text import parse_json
from flatshot.home import home
from flatshot.records.packing import (
    CURVES,
    DETECTIONS,
    TIMES,
    artefacts,
    unpack_curves,
    unpack_detections,
    unpack_times,
)
from flatshot.records.record import Record
from flatshot.records.schema import SCHEMA, SCHEMA_VERSION, foreign_part
from flatshot.records.tags import tag_word, words

_SHA256 = re.compile(r"[0-9a-f]{64}")
# How long a writer waits for another one.
BUSY_SECONDS = 60.0


class Records:
    """The store; a context manager that closes it.

    Attributes:
        path: its folder.
    """

    def __init__(self, path: StrPath | None = None) -> None:
        """Open the store in the folder `path` (`home()` by default), or start one.

        Raises:
            RecordError: the file there is no store, or one of a later version of Flatshot.
            FileError: the folder cannot be made.
        """
        self.path = home() if path is None else Path(path)
        try:
            self.path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise FileError(f"cannot keep records in {str(self.path)!r}: {error}") from error
        file = self.path / "records.sqlite"
        with self._sqlite_errors():
            self._db = sqlite3.connect(file, timeout=BUSY_SECONDS, isolation_level=None)
        try:
            self._prepare()
        except BaseException:
            self._db.close()
            raise

    def close(self) -> None:
        """Close the store; what it holds stays."""
        self._db.close()

    def __enter__(self) -> "Records":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def add(
        self,
        content: Mapping[str, Any],
        *,
        name: str | None = None,
        repo: str = "local",
        tags: Iterable[str] = (),
        artefacts: Mapping[str, bytes] | None = None,
        key: str | None = None,
    ) -> str:
        """Keep a run, and give its uid.

        Args:
            content: what was measured, as JSON values.
            name: what to call it.
            repo: the repository that it belongs to.
            tags: words to find it by; case and surrounding space do not count.
            artefacts: kind -> bytes to keep beside, once for all records that share them.
            key: names the run: what is added under one key twice is kept once.

        Raises:
            RecordError: a tag is empty, begins with `-` or holds a comma, or `content` is no JSON.
            FileError: the disk is full or gone.
        """
        tags = words(tags)
        try:
            text = json.dumps(content, allow_nan=False)
        except (TypeError, ValueError) as error:
            raise RecordError(f"a record must be made of JSON values: {error}") from error
        uid = secrets.token_hex(8) if key is None else hashlib.sha256(key.encode()).hexdigest()[:16]
        created = _now()
        with self._sqlite_errors():
            if self._db.execute("SELECT 1 FROM records WHERE uid = ?", (uid,)).fetchone():
                return uid
        kept = {kind: (self._keep(data), data) for kind, data in (artefacts or {}).items()}
        with self._transaction() as db:
            new = db.execute(
                "INSERT INTO records VALUES (?, ?, ?, ?, ?) ON CONFLICT (uid) DO NOTHING",
                (uid, name, repo, created, text),
            ).rowcount
            if not new:
                return uid
            db.executemany("INSERT INTO tags VALUES (?, ?)", [(uid, tag) for tag in tags])
            for kind, (sha256, data) in kept.items():
                # A deletion may have taken an equal artefact away since; here nobody else writes.
                self._keep(data)
                db.execute(
                    "INSERT INTO artefacts VALUES (?, ?, ?, ?)", (uid, kind, sha256, len(data))
                )
        return uid

    def add_result(
        self,
        result: Result,
        *,
        name: str | None = None,
        repo: str = "local",
        tags: Iterable[str] = (),
        key: str | None = None,
        **more: str,
    ) -> str:
        """Keep the `Result` of an evaluation with its detections, and give the record's uid.

        Args:
            result: what `evaluate` gave.
            name: what to call it.
            repo: the repository that it belongs to.
            tags: words to find it by.
            key: as of `add`.
            more: further facts to keep, such as the path of the model.

        Raises:
            RecordError: see `add`.
            FileError: the disk is full or gone.
        """
        return self.add(
            {**more, **result.to_json()},
            name=name,
            repo=repo,
            tags=tags,
            artefacts=artefacts(result),
            key=key,
        )

    def find(
        self, tags: Sequence[str] = (), *, name: str | None = None, repo: str | None = None
    ) -> list[Record]:
        """The records, oldest first, that bear all `tags`, and none of those written `-tag`.

        Raises:
            RecordError: a tag is empty or holds a comma.
        """
        wanted = {tag_word(tag) for tag in tags if not tag.strip().startswith("-")}
        forbidden = {tag_word(tag.strip()[1:]) for tag in tags if tag.strip().startswith("-")}
        with self._sqlite_errors(), self._snapshot() as db:
            rows = db.execute(
                "SELECT uid FROM records WHERE (?1 IS NULL OR name = ?1)"
                " AND (?2 IS NULL OR repo = ?2) ORDER BY created, uid",
                (name, repo),
            ).fetchall()
            records = [self._load(db, uid) for (uid,) in rows]
        return [
            record
            for record in records
            if wanted <= set(record.tags) and not forbidden & set(record.tags)
        ]

    def get(self, key: str) -> Record:
        """The record of that uid, of a uid that begins so, or of that name.

        Raises:
            RecordError: there is none, or there are several.
        """
        with self._sqlite_errors(), self._snapshot() as db:
            rows = db.execute(
                "SELECT uid FROM records WHERE uid = ?1 OR name = ?1"
                " OR (length(?1) >= 4 AND substr(uid, 1, length(?1)) = ?1) ORDER BY created, uid",
                (key,),
            ).fetchall()
            if not rows:
                raise RecordError(
                    f"no record {key!r} in {str(self.path)!r}; `flatshot records list` shows all"
                )
            if len(rows) > 1:
                uids = ", ".join(uid for (uid,) in rows[:8]) + (", ..." if len(rows) > 8 else "")
                raise RecordError(f"{len(rows)} records are called {key!r}: give one of {uids}")
            return self._load(db, rows[0][0])

    def artefact(self, record: Record, kind: str) -> bytes:
        """The bytes that `record` keeps as `kind`.

        Raises:
            RecordError: it keeps none.
            FileError: they are gone.
            ChecksumError: they are not those that were kept.
        """
        if kind not in record.artefacts:
            known = ", ".join(record.artefacts) or "none"
            raise RecordError(f"record {record.uid} keeps no {kind!r}; it keeps: {known}")
        path = self._place(record.artefacts[kind])
        data = read_bytes(path)
        if hashlib.sha256(data).hexdigest() != path.name:
            raise ChecksumError(f"{str(path)!r} of record {record.uid} has changed on disk")
        return data

    def detections(self, record: Record) -> FloatArray:
        """The detections of a recorded evaluation, (n, 7) float64 rows as `metrics.ROW`.

        Raises:
            RecordError, FileError, ChecksumError: see `artefact`.
        """
        return unpack_detections(self.artefact(record, DETECTIONS))

    def curves(self, record: Record) -> Curves:
        """Precision and recall of a recorded evaluation.

        Raises:
            RecordError, FileError, ChecksumError: see `artefact`.
        """
        return unpack_curves(self.artefact(record, CURVES))

    def times(self, record: Record) -> Times:
        """The times of each image of a recorded evaluation.

        Raises:
            RecordError, FileError, ChecksumError: see `artefact`.
        """
        return unpack_times(self.artefact(record, TIMES))

    def delete(self, uid: str) -> None:
        """Forget the record of exactly that uid, and artefacts that no other record shares.

        Raises:
            RecordError: there is none.
        """
        with self._transaction() as db:
            held = db.execute("SELECT sha256 FROM artefacts WHERE uid = ?", (uid,)).fetchall()
            if not db.execute("DELETE FROM records WHERE uid = ?", (uid,)).rowcount:
                raise RecordError(f"no record {uid!r} in {str(self.path)!r}")
        # A transaction of its own, so that a crash before it leaves bytes too many, never too few;
        # inside one, nobody else can come to refer to what is found unused.
        with self._transaction() as db:
            for (sha256,) in held:
                shared = "SELECT 1 FROM artefacts WHERE sha256 = ?"
                if not db.execute(shared, (sha256,)).fetchone():
                    self._place(sha256).unlink(missing_ok=True)

    def _load(self, db: sqlite3.Connection, uid: str) -> Record:
        row = db.execute(
            "SELECT name, repo, created, content FROM records WHERE uid = ?", (uid,)
        ).fetchone()
        if row is None:
            raise RecordError(f"the records in {str(self.path)!r} are damaged: {uid!r} has no row")
        name, repo, created, text = row
        tags = db.execute("SELECT tag FROM tags WHERE uid = ? ORDER BY tag", (uid,)).fetchall()
        kept = db.execute(
            "SELECT kind, sha256 FROM artefacts WHERE uid = ? ORDER BY kind", (uid,)
        ).fetchall()
        words = tuple(tag for (tag,) in tags)
        texts = (uid, repo, created, text, *words, *(part for pair in kept for part in pair))
        try:
            if not all(isinstance(one, str) for one in (*texts, name or "")):
                raise FormatError("a text of it is none")
            content = parse_json(text)
            if not isinstance(content, dict):
                raise FormatError("its content is no object")
        except FormatError as error:
            where = f"record {uid!r} in {str(self.path)!r}"
            raise RecordError(f"{where} is damaged: {error}") from error
        return Record(uid, name, repo, created, words, content, dict(kept))

    def _place(self, sha256: str) -> Path:
        # A database may come from anybody: what it names must not become a path elsewhere.
        if not (isinstance(sha256, str) and _SHA256.fullmatch(sha256)):
            raise RecordError(
                f"the records in {str(self.path)!r} name an artefact {sha256!r}, which is no "
                "SHA-256: they were damaged, or made to reach other files"
            )
        return self.path / "artefacts" / sha256[:2] / sha256

    def _keep(self, data: bytes) -> str:
        sha256 = hashlib.sha256(data).hexdigest()
        place = self._place(sha256)
        if not place.is_file() or place.stat().st_size != len(data):
            with write_beside(place) as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
        return sha256

    def _prepare(self) -> None:
        with self._sqlite_errors():
            self._db.execute(f"PRAGMA busy_timeout = {int(1000 * BUSY_SECONDS)}")
            self._db.execute("PRAGMA foreign_keys = ON")
            self._use_wal()
        with self._transaction() as db:
            (version,) = db.execute("PRAGMA user_version").fetchone()
            if foreign := foreign_part(db):
                raise RecordError(
                    f"the records in {str(self.path)!r} hold a {foreign} that Flatshot did not "
                    "make: they are no store of its own"
                )
            if version > SCHEMA_VERSION:
                raise RecordError(
                    f"the records in {str(self.path)!r} are of a later Flatshot: update this one"
                )
            if version == 0:
                for statement in SCHEMA:
                    db.execute(statement)
                db.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")

    def _use_wal(self) -> None:
        # SQLite does not wait for others here, even when told how long to wait: two processes
        # that start one store at the same time must try again themselves.
        deadline = time.monotonic() + BUSY_SECONDS
        while True:
            try:
                self._db.execute("PRAGMA journal_mode = WAL")
                return
            except sqlite3.OperationalError as error:
                if "locked" not in str(error) or time.monotonic() > deadline:
                    raise
                time.sleep(0.02)

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        """All or nothing, and nobody else writes in between."""
        with self._sqlite_errors():
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield self._db
                self._db.execute("COMMIT")
            except BaseException:
                self._db.execute("ROLLBACK")
                raise

    @contextlib.contextmanager
    def _snapshot(self) -> Iterator[sqlite3.Connection]:
        """The store as it is at one moment, whoever writes meanwhile."""
        self._db.execute("BEGIN")
        try:
            yield self._db
        finally:
            self._db.execute("ROLLBACK")

    @contextlib.contextmanager
    def _sqlite_errors(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, UnicodeDecodeError) as error:
            raise RecordError(f"the records in {str(self.path)!r} do not work: {error}") from error


def _now() -> str:
    # Microseconds keep the order of records that are written one after the other.
    seconds, rest = divmod(time.time_ns() // 1000, 1_000_000)
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds)) + f".{rest:06d}Z"
