"""A record: one run that was kept."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Record:
    """One recorded run.

    Attributes:
        uid: 16 hexadecimal digits; any unique beginning of them finds the record.
        name: what the user called it, or None; several records may share one.
        repo: the repository that it belongs to, "local" by default.
        created: UTC, ISO 8601, to the microsecond.
        tags: sorted, in lower case.
        content: settings, figures, times, machine, versions: JSON values, see `Result.to_json`.
        artefacts: kind -> SHA-256 of the bytes kept beside.
    """

    uid: str
    name: str | None
    repo: str
    created: str
    tags: tuple[str, ...]
    content: Mapping[str, Any] = field(repr=False)
    artefacts: Mapping[str, str] = field(repr=False)

    def to_json(self) -> dict[str, Any]:
        """All of it but the artefacts' bytes, as JSON values."""
        return {
            "uid": self.uid,
            "name": self.name,
            "repo": self.repo,
            "created": self.created,
            "tags": list(self.tags),
            "content": dict(self.content),
            "artefacts": dict(self.artefacts),
        }
