"""What differs between recorded runs: settings and figures, side by side."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from flatshot.records.record import Record

# The parts of a record's content that say what was measured; the rest says how it was set up.
FIGURES = ("mAP", "recall", "metrics", "per_class", "timing", "images", "detections", "left_out")


@dataclass(frozen=True)
class Row:
    """One value in each of the records; None where a record lacks it.

    Attributes:
        key: the way to the value, its steps joined by dots.
        values: one a record.
        change: the last less the first, where both are numbers.
    """

    key: str
    values: tuple[Any, ...]
    change: float | None

    @property
    def differs(self) -> bool:
        """Whether the records disagree."""
        return any(value != self.values[0] for value in self.values)


@dataclass(frozen=True)
class Difference:
    """Records side by side: how they were set up, and what came out."""

    settings: tuple[Row, ...]
    figures: tuple[Row, ...]


def difference(records: Sequence[Record], *, everything: bool = False) -> Difference:
    """The rows in which `records` (at least one) differ, or all of them with `everything`."""
    flat = [dict(_flat(record.content)) for record in records]
    keys = dict.fromkeys(key for one in flat for key in one)
    rows = [_row(key, tuple(one.get(key) for one in flat)) for key in keys]
    shown = [row for row in rows if everything or row.differs]
    figures = tuple(row for row in shown if row.key.partition(".")[0] in FIGURES)
    return Difference(tuple(row for row in shown if row not in figures), figures)


def _row(key: str, values: tuple[Any, ...]) -> Row:
    ends = (values[0], values[-1])
    numbers = all(isinstance(end, int | float) and not isinstance(end, bool) for end in ends)
    return Row(key, values, ends[1] - ends[0] if numbers and len(values) > 1 else None)


def _flat(value: Any, key: str = "") -> list[tuple[str, Any]]:
    if isinstance(value, Mapping):
        items = [(str(name), inner) for name, inner in value.items()]
    elif isinstance(value, list):
        items = [(str(place), inner) for place, inner in enumerate(value)]
    else:
        return [(key, value)]
    return [
        pair for name, inner in items for pair in _flat(inner, f"{key}.{name}" if key else name)
    ]
