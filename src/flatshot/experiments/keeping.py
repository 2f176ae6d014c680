"""Keeping runs: what is to be recorded is checked before a run, and never recorded twice."""

import contextlib
import json
from collections.abc import Iterator
from dataclasses import dataclass

from flatshot.evaluation.result import Result
from flatshot.records.store import Records
from flatshot.records.tags import words


@dataclass(frozen=True)
class Keeping:
    """How runs are recorded.

    Attributes:
        store: the open records.
        tags: what each record is found by.
        repo: the repository that it belongs to.
    """

    store: Records
    tags: tuple[str, ...] = ()
    repo: str = "local"

    def keep(self, result: Result, name: str | None, **facts: str) -> str:
        """Record `result`, and give the record's uid.

        A run that was killed after its record was written, and is gone on with, gets the record
        that is there: the name of its journal, with what is recorded of it, makes the uid.

        Args:
            result: what `evaluate` gave.
            name: what to call it.
            facts: further ones to keep, such as the path of the model.
        """
        key = None
        if result.journal is not None:
            options = {k: v for k, v in result.options.items() if k != "workers"}
            settings = result.settings.to_options()
            parts = [result.journal, name, self.repo, self.tags, facts, options, settings]
            key = json.dumps(parts, sort_keys=True)
        return self.store.add_result(
            result, name=name, repo=self.repo, tags=self.tags, key=key, **facts
        )


@contextlib.contextmanager
def keeping(wanted: bool, tags: str = "", repo: str = "local") -> Iterator[Keeping | None]:
    """The open records, or None if they are not wanted; before a run, so that it is not in vain.

    Args:
        wanted: whether runs are to be recorded.
        tags: of the records, divided by commas.
        repo: where the records belong.

    Raises:
        RecordError: a tag is none, or the records cannot be opened.
        FileError: their folder cannot be made.
    """
    if not wanted:
        yield None
        return
    checked = words(tag for tag in tags.split(",") if tag.strip())
    with Records() as store:
        yield Keeping(store, tuple(checked), repo)
