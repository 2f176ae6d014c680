"""The tables of the store, and how a store of a stranger's is told from one of ours."""

import re
import sqlite3

SCHEMA_VERSION = 1
SCHEMA = (
    """CREATE TABLE records (
        uid TEXT PRIMARY KEY,
        name TEXT,
        repo TEXT NOT NULL,
        created TEXT NOT NULL,
        content TEXT NOT NULL
    ) STRICT""",
    """CREATE TABLE tags (
        uid TEXT NOT NULL REFERENCES records ON DELETE CASCADE,
        tag TEXT NOT NULL,
        PRIMARY KEY (uid, tag)
    ) STRICT""",
    """CREATE TABLE artefacts (
        uid TEXT NOT NULL REFERENCES records ON DELETE CASCADE,
        kind TEXT NOT NULL,
        sha256 TEXT NOT NULL,
        size INTEGER NOT NULL,
        PRIMARY KEY (uid, kind)
    ) STRICT""",
    "CREATE INDEX artefacts_by_content ON artefacts (sha256)",
)
_COMPUTED = re.compile(r"\b(GENERATED|AS|VIRTUAL)\b", re.IGNORECASE)


def foreign_part(db: sqlite3.Connection) -> str | None:
    """A view, trigger or computed column in `db`, by which it would compute as its maker likes."""
    for kind, name, text in db.execute("SELECT type, name, sql FROM sqlite_master"):
        computed = isinstance(text, str) and _COMPUTED.search(text)
        if kind not in ("table", "index") or computed:
            return f"{kind} {name!r}"
    return None
