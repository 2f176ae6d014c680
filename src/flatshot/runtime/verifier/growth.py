"""Operators that make more than they read: how much, from constants and declared shapes.

LiteRT works shapes out anew and makes room for whatever comes of it, so a model of a kilobyte could
fill the memory by a size that its declared shapes do not show.
"""

import math
from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]
Shape = Sequence[int]
# Below so many elements nothing is asked: they cost little, and converters round some shapes.
FREE = 1 << 22
_BROADCASTING = (0, 18, 41, 42, 54, 55, 57, 58, 61, 62, 63, 64, 71, 72, 78, 84, 86, 90, 95, 99, 123)


def _resized(shapes: Sequence[Shape], constants: Sequence[Ints | None]) -> int | None:
    size = constants[1]
    outer = shapes[0]
    return None if size is None or len(outer) != 4 else outer[0] * outer[3] * _product(size)


def _asked(place: int) -> Callable[[Sequence[Shape], Sequence[Ints | None]], int | None]:
    def count(shapes: Sequence[Shape], constants: Sequence[Ints | None]) -> int | None:
        size = constants[place]
        return None if size is None else _product(size)

    return count


def _tiled(shapes: Sequence[Shape], constants: Sequence[Ints | None]) -> int | None:
    times = constants[1]
    return None if times is None else math.prod(shapes[0]) * _product(times)


def _padded(shapes: Sequence[Shape], constants: Sequence[Ints | None]) -> int | None:
    pads = constants[-1] if len(constants) == 3 and constants[1] is None else constants[1]
    if pads is None or pads.size != 2 * len(shapes[0]):
        return None
    sums: list[int] = pads.reshape(-1, 2).sum(axis=1).tolist()
    padded = [max(0, n + more) for n, more in zip(shapes[0], sums, strict=True)]
    return math.prod(padded)


def _broadcast(shapes: Sequence[Shape], constants: Sequence[Ints | None]) -> int | None:
    try:
        return math.prod(np.broadcast_shapes(*map(tuple, shapes)))
    except ValueError:
        return None  # LiteRT refuses them


def _product(sizes: Ints) -> int:
    return math.prod(abs(n) for n in sizes.reshape(-1)[:32].tolist())


_COUNTS: dict[int, Callable[[Sequence[Shape], Sequence[Ints | None]], int | None]] = {
    23: _resized, 97: _resized,
    94: _asked(0), 130: _asked(1), 67: _asked(0),
    69: _tiled,
    34: _padded, 60: _padded, 100: _padded,
    **dict.fromkeys(_BROADCASTING, _broadcast),
}  # fmt: skip


def elements(code: int, shapes: Sequence[Shape], constants: Sequence[Ints | None]) -> int | None:
    """How many elements an operator makes; None where that is not known, or no more than it reads.

    Args:
        code: of the builtin operator.
        shapes: of its inputs, as they are declared.
        constants: the inputs that are constant whole numbers; None for the others.
    """
    count = _COUNTS.get(code)
    return None if count is None else count(shapes, constants)
