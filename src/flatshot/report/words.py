"""Numbers and names as the pages write them: rounded for eyes, one spelling everywhere."""

import math
from collections.abc import Iterable, Sequence

MINUS = "\u2212"
# Holds a number and its unit, or the groups of a long number, on one line.
NARROW = "\u202f"
NBSP = "\u00a0"
NOTHING = "\u2013"


def figure(value: float) -> str:
    """A COCO figure: three digits, or a dash where there was nothing to find (-1)."""
    return NOTHING if value < 0 else f"{value:.3f}"


def bound(value: float) -> str:
    """A share with two digits, as headings have them."""
    return f"{value:.2f}"


def percent(share: float) -> str:
    """A share from 0 to 1 in whole per cent."""
    return f"{100 * share:.0f}{NBSP}%"


def count(number: float) -> str:
    """A whole number, in groups of three."""
    return f"{round(number):,}".replace(",", NARROW)


def plural(number: int, one: str, many: str | None = None) -> str:
    """`1 photograph`, `2 photographs`."""
    return f"{count(number)}{NBSP}{one if number == 1 else many or one + 's'}"


def points(difference: float) -> str:
    """A difference of figures in points of 0.01, signed; one that rounds to 0.0 shows more."""
    value = 100 * difference
    digits = 1 if abs(value) >= 0.05 or value == 0 else 2
    return signed(value, digits)


def signed(value: float, digits: int) -> str:
    """A number with its sign, a real minus; 0 has none."""
    text = f"{abs(value):.{digits}f}"
    if float(text) == 0:
        return text
    return (MINUS if value < 0 else "+") + text


def milliseconds(seconds: float) -> str:
    """A time in milliseconds with three digits that count."""
    value = 1000 * seconds
    if value >= 100 or not math.isfinite(value):
        return f"{value:.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def number(value: float) -> str:
    """A setting as people write it: no exponent where a plain number is short."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    short = f"{value:.6g}"
    if "e-" in short and value >= 1e-8:
        return f"{value:.10f}".rstrip("0")
    return short


def listed(words: Iterable[str]) -> str:
    """`a, b and c`."""
    items = list(words)
    if len(items) < 2:
        return "".join(items)
    return f"{', '.join(items[:-1])} and {items[-1]}"


def tally(names: Sequence[str]) -> str:
    """`car 3, truck 2, bus`: names by how often they occur."""
    numbers: dict[str, int] = {}
    for name in names:
        numbers[name] = numbers.get(name, 0) + 1
    ranked = sorted(numbers.items(), key=lambda item: (-item[1], item[0]))
    return ", ".join(f"{name} {number}" if number > 1 else name for name, number in ranked)


def sentence(text: str) -> str:
    """`text` with a capital letter; the rest as it is."""
    return text[:1].upper() + text[1:]
