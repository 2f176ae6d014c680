"""Passes about who shares a constant: twins become one, two layouts become two.

They run last, when all constants are what is written.
"""

import math
from collections.abc import Iterator

import numpy as np

from flatshot.compiler.ir import Graph, Op, Value
from flatshot.compiler.operators import OPERATORS
from flatshot.formats.graphdef import Array

# TOCO leaves smaller twins alone (`--dedupe_array_min_size_bytes`): shapes, mostly.
_LEAST_BYTES = 64
# Larger ones than any filter are not compared: a broadcast number may claim gigabytes.
_MOST_BYTES = 2**26
# Elements that tell constants of one shape apart before all of them are compared.
_SAMPLE = 61


def separate_layouts(graph: Graph) -> int:
    """Give a constant that TensorFlow Lite wants in several layouts one copy for each.

    The first layout keeps the name. An output of the graph is wanted as it is.
    """
    count = 0
    copies: dict[tuple[int, tuple[int, ...], tuple[int, ...]], Value] = {}
    first: dict[int, tuple[tuple[int, ...], tuple[int, ...]]] = {}
    for value in graph.outputs:
        if value.data is not None:
            first[id(value)] = _look(value.data)
    for op, number, value, data in list(_constants(graph)):
        look = _look(data)
        if first.setdefault(id(value), look) == look:
            continue
        key = (id(value), *look)
        if key not in copies:
            copies[key] = _copy(graph, value)
        graph.set_input(op, number, copies[key])
        count += 1
    return count


def _constants(graph: Graph) -> Iterator[tuple[Op, int, Value, Array]]:
    """Who reads which constant, and how it is laid out for them."""
    for op in graph.ops:
        operator = OPERATORS.get(op.kind)
        for number, value in enumerate(op.inputs):
            if value.data is not None:
                data = value.data
                yield op, number, value, operator.layout(number, data) if operator else data


def _look(data: Array) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """What tells two layouts of one constant apart: where along its bytes an index leads."""
    steps = tuple(
        step if size > 1 else 0 for size, step in zip(data.shape, data.strides, strict=True)
    )
    return data.shape, steps


def _copy(graph: Graph, value: Value) -> Value:
    assert value.data is not None
    copy = graph.constant(graph.fresh_name(value.name), value.data)
    copy.range, copy.quantization = value.range, value.quantization
    return copy


def share_constants(graph: Graph) -> int:
    """Let constants of one type, shape and content be one, the first of them.

    Small ones stay apart, as in TOCO's files; outputs of the graph keep their names.
    """
    count = 0
    known: dict[tuple[object, ...], list[Value]] = {}
    done: set[int] = set()
    for _, _, value, data in list(_constants(graph)):
        fits = _LEAST_BYTES <= data.nbytes <= _MOST_BYTES
        if id(value) in done or not fits or graph.is_output(value):
            continue
        done.add(id(value))
        alike = known.setdefault(_likeness(value, data), [])
        twin = next((other for other in alike if _same(other, value)), None)
        if twin is None:
            alike.append(value)
        else:
            graph.replace_uses(value, twin)
            count += 1
    return count


def _likeness(value: Value, data: Array) -> tuple[object, ...]:
    """What twins have in common and others hardly."""
    assert value.data is not None
    step = max(1, math.prod(value.data.shape) // _SAMPLE)
    sample = value.data.flat[::step].tobytes()
    return (value.data.dtype, value.data.shape, _look(data), value.range, sample)


def _same(value: Value, other: Value) -> bool:
    first, second = value.quantization, other.quantization
    if first is not second and (first is None or not first.equals(second)):
        return False
    assert value.data is not None
    assert other.data is not None
    # Bit for bit: two zeros of different sign, or two numbers that are none, are no twins.
    left, right = (
        np.ascontiguousarray(data).reshape(-1).view(np.uint8) for data in (value.data, other.data)
    )
    return np.array_equal(left, right)
